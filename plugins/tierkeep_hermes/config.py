"""Where the memory is, and whose: `$HERMES_HOME/tierkeep.json`, and what a session says of its user."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tierkeep.errors import ScopeError, SettingsError

#: What Hermes waits for a prefetch, in seconds; one that takes longer was for nothing, and the next ones are skipped until it returns.
HERMES_CAP_S = 8.0
_FILE = "tierkeep.json"
#: Platforms on which the person at the machine is the user, and Hermes gives no id.
_LOCAL = frozenset({"cli", "tui", "desktop", "acp"})
#: Hermes looks for these words in the file before it loads it.
_SHIM = '''"""tierkeep as Hermes' memory; written by `python -m tierkeep_hermes`. The code is in the installed package."""

from tierkeep_hermes import register  # its register_memory_provider call is what Hermes looks for
'''


class Config(BaseModel):
    """The values of `tierkeep.json`, each of which may be left out.

    Attributes:
        store: Folder of the memory; "~" and "$HERMES_HOME" are understood, and None means `$HERMES_HOME/tierkeep`.
        user: Whose memory the sessions at this machine have (command line, desktop, editor).
        users: Other names of the same people: `{"telegram:4711": "ana"}`. A platform alone, such as "api_server", names the one user of
            a platform that has no user ids.
        budget: Tokens of the evidence in a turn; `TurnSettings.budget` otherwise.
        deadline_s: Seconds that a recall may take, below Hermes' own 8; `TurnSettings.deadline_s` otherwise.
        tools: Whether results of tools are kept, as untrusted evidence.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    store: str | None = None
    user: str = "local"
    users: Mapping[str, str] = Field(default_factory=dict)
    budget: int | None = Field(default=None, ge=1)
    deadline_s: float | None = Field(default=None, gt=0, lt=HERMES_CAP_S)
    tools: bool = True

    @classmethod
    def load(cls, home: Path) -> Config:
        """Return the configuration of a Hermes home, or the defaults; raise SettingsError for a file that cannot be used."""
        path = home / _FILE
        try:
            return cls.model_validate_json(path.read_bytes()) if path.exists() else cls()
        except OSError as error:
            raise SettingsError(f"{path} cannot be read: {error.strerror or error}") from error
        except ValidationError as error:
            raise SettingsError(f"{path}: {_said(error)}") from None

    @classmethod
    def save(cls, home: Path, values: Mapping[str, Any]) -> None:
        """Take in what `hermes memory setup` has asked for, and leave the rest; raise SettingsError for a value that cannot hold."""
        known = {name: value for name, value in values.items() if name in cls.model_fields and value not in ("", None)}
        try:
            merged = cls.model_validate({**cls.load(home).model_dump(), **known})
        except ValidationError as error:
            raise SettingsError(_said(error)) from None
        _write(home / _FILE, merged.model_dump_json(indent=2, exclude_defaults=True) + "\n")

    def place(self, home: Path) -> str:
        """Return where the memory is, as `Memory.open` takes it."""
        if not self.store:
            return str(home / "tierkeep")
        if "://" in self.store:
            return self.store
        named = self.store.replace("${HERMES_HOME}", str(home)).replace("$HERMES_HOME", str(home))
        return str(Path(named).expanduser())

    def owner(self, said: Mapping[str, Any]) -> str:
        """Return whose memory a session has, from what Hermes says of it; never from what a model says.

        A chat of several people has a memory of its own: nobody's personal memory is told to a group.

        Raises:
            ScopeError: It has no user, or is a chat of several people without an id.
        """
        platform, user = (_text(said, name) for name in ("platform", "user_id"))
        platform = platform or "cli"
        chat_type = _text(said, "chat_type") or "dm"
        if chat_type != "dm":
            chat = _text(said, "chat_id")
            if not chat:
                raise ScopeError(f"this {chat_type} on {platform} does not say which one it is: it has no memory", field="chat_id")
            return ":".join(filter(None, (platform, chat_type, chat, _text(said, "thread_id"))))
        if user:
            return self.users.get(f"{platform}:{user}", f"{platform}:{user}")
        if platform in self.users:
            return self.users[platform]
        if platform in _LOCAL and self.user.strip():
            return self.user
        raise ScopeError(
            f"this session on {platform} does not say who its user is: it has no memory. If {platform} has one user only, name them in "
            f'{_FILE}: {{"users": {{"{platform}": "NAME"}}}}', field="user_id",
        )  # fmt: skip


def hermes_home() -> Path:
    """Return the home of the Hermes profile that runs."""
    try:
        from hermes_constants import get_hermes_home
    except ImportError:
        return Path(os.environ.get("HERMES_HOME") or "~/.hermes").expanduser()
    return Path(get_hermes_home())


def install(home: Path) -> Path:
    """Write the folder in which Hermes looks for this provider, and return it. It refers to the installed package: once is enough."""
    folder = home.expanduser() / "plugins" / "tierkeep"
    _write(folder / "__init__.py", _SHIM)
    _write(folder / "plugin.yaml", (Path(__file__).parent / "plugin.yaml").read_text(encoding="utf-8"))
    return folder


def _text(said: Mapping[str, Any], name: str) -> str:
    value = said.get(name)
    return str(value).strip() if isinstance(value, str | int) else ""


def _write(path: Path, text: str) -> None:
    """Write a file beside its place, for its owner only, then put it there: a failure leaves an older one as it was."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.part")
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(beside, path)
    except OSError as error:
        raise SettingsError(f"{path} cannot be written: {error.strerror or error}") from error


def _said(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}"
