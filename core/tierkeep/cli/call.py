"""What every command shares: whose memory, which store, how to print, and how errors become exit codes."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_type_hints

import typer

from tierkeep import Memory, TierkeepError
from tierkeep.cli.output import Output, literal
from tierkeep.errors import InputError, MissingExtraError, NotFoundError, ScopeError, SettingsError, WriteRejected

if TYPE_CHECKING:
    from tierkeep.ledger.seal import Seal
    from tierkeep.scoped import ScopedMemory

DONE, NOTHING, BAD_INPUT, STORE_FAILED, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 3, 130, 141
_PANEL = "Whose memory, and where"

_StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store", "-s", envvar="TIERKEEP_STORE", show_default="your data folder", rich_help_panel=_PANEL,
        help="Folder or file of the memory, or postgresql://…",
    ),
]  # fmt: skip
_UserOption = Annotated[
    str, typer.Option("--user", "-u", envvar="TIERKEEP_USER", rich_help_panel=_PANEL, help="Person whose memory it is.")
]
_TenantOption = Annotated[
    str, typer.Option("--tenant", rich_help_panel=_PANEL, help="Organisation, when several share a store.")
]
_AgentOption = Annotated[
    str, typer.Option("--agent", rich_help_panel=_PANEL, help="Agent, when agents must not share.")
]
_SessionOption = Annotated[str | None, typer.Option("--session", rich_help_panel=_PANEL, help="One conversation only.")]
_JsonOption = Annotated[bool, typer.Option("--json", rich_help_panel=_PANEL, help="Print one JSON document.")]


@dataclass(frozen=True, slots=True)
class Call:
    """One use of a command: the options that all commands share.

    Attributes:
        store: Folder or file of the memory.
        user: Person whose memory it is.
        tenant: Organisation.
        agent: Agent.
        session: One conversation, or None.
        out: Where results go.
    """

    store: str
    user: str
    tenant: str
    agent: str
    session: str | None
    out: Output

    @contextmanager
    def memory(self, *, create: bool = False, **options: Any) -> Iterator[Memory]:
        """Open the store.

        Args:
            options: For `Memory.open`.
            create: Make the store when there is none. Without it, a read of a store that does not exist says so, rather
                than leaving an empty one behind.

        Raises:
            NotFoundError: There is no store yet.
            StorageError: The store cannot be opened.
        """
        if not create and not exists(self.store):
            raise NotFoundError(
                f"there is no memory at {self.store} yet; add something first, or name another with --store"
            )
        with Memory.open(self.store, seal=seal(), **options) as memory:
            yield memory

    @contextmanager
    def mine(self, *, create: bool = False, bound: bool = True, **options: Any) -> Iterator[ScopedMemory]:
        """Open the store and narrow it to its owner.

        Args:
            options: For `Memory.open`.
            create: Make the store when there is none.
            bound: Whether `--session` narrows the scope.

        Raises:
            ScopeError: Nobody is named.
        """
        self.check_owner()
        with self.memory(create=create, **options) as memory:
            yield self.owner(memory, bound=bound)

    def check_owner(self) -> None:
        """Refuse to go on for nobody, before a store is opened or made.

        Raises:
            ScopeError: Nobody is named.
        """
        if not (self.user or self.tenant or self.agent):
            raise ScopeError(
                "whose memory? Pass --user NAME (or --agent, or --tenant), or set TIERKEEP_USER", field="user"
            )

    def confirmed(self, question: str, done: str) -> bool:
        """Ask whether to go on; return the answer.

        Args:
            question: What is asked.
            done: What did not happen when the answer is no, such as "forgotten".

        Raises:
            InputError: Nobody can be asked.
        """
        if self.out.as_json:
            raise InputError("with --json nobody can be asked: pass --yes")
        self.out.err.print(literal(f"{question} [y/N] "), end="")
        said = sys.stdin.readline().strip().lower()
        if said in {"y", "yes"}:
            return True
        self.out.err.print(literal(f"\nNothing was {done}." if not said else f"Nothing was {done}."))
        return False

    def owner(self, memory: Memory, *, bound: bool = True) -> ScopedMemory:
        """Return the owner's memory; narrowed by `--session` when `bound`."""
        return memory.scope(tenant=self.tenant, user=self.user, agent=self.agent, session=self.session if bound else None)


def seal() -> Seal | None:
    """Return the key of a sealed store, from TIERKEEP_SEAL_KEY and TIERKEEP_SEAL_ANCHOR; None where no key is set."""
    if not os.environ.get("TIERKEEP_SEAL_KEY"):
        return None
    from tierkeep.ledger.seal import Seal

    return Seal.from_env(anchor=os.environ.get("TIERKEEP_SEAL_ANCHOR") or None)


def default_store() -> str:
    """Return the folder in which this platform keeps an application's data."""
    if data := os.environ.get("XDG_DATA_HOME"):
        return str(Path(data) / "tierkeep")
    if sys.platform == "darwin":
        return str(Path.home() / "Library" / "Application Support" / "tierkeep")
    if sys.platform == "win32":
        return str(Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "tierkeep")
    return str(Path.home() / ".local" / "share" / "tierkeep")


def exit_code(error: TierkeepError) -> int:
    """Return the exit code that stands for an error."""
    if isinstance(error, NotFoundError):
        return NOTHING
    if isinstance(error, InputError | SettingsError | MissingExtraError | WriteRejected):
        return BAD_INPUT
    return STORE_FAILED


def command(
    app: typer.Typer, name: str, *, by_session: bool = True, json_help: str = ""
) -> Callable[[Callable[..., int | None]], Callable[..., int | None]]:
    """Return a decorator that makes a function a command with the shared options.

    The function's first parameter is the `Call`; the others are its own arguments and options. What it returns is the
    exit code, None standing for 0.

    Args:
        app: Where the command is added.
        name: What it is called.
        by_session: Whether one conversation may be named. A command that is about a whole memory does not offer it, and refuses it
            rather than doing more than was asked.
        json_help: What `--json` does, where it is not one document.
    """

    def register(function: Callable[..., int | None]) -> Callable[..., int | None]:
        def run(
            store: _StoreOption = None,
            user: _UserOption = "",
            tenant: _TenantOption = "",
            agent: _AgentOption = "",
            session: _SessionOption = None,
            as_json: _JsonOption = False,
            **own: Any,
        ) -> None:
            out = Output(as_json=as_json, quiet=bool(own.get("quiet")))
            call = Call(store or default_store(), user, tenant, agent, session, out)

            def action() -> int | None:
                if session is not None and not by_session:
                    typed = " ".join(dict.fromkeys(("tierkeep", str(app.info.name), name)))  # a group's command has the group in front
                    raise InputError(
                        f"{typed} is about a whole memory, never about one session: leave --session out", field="session"
                    )
                return function(call, **own)

            code = guarded(out, action)
            if code:
                raise typer.Exit(code)

        _merge(run, function)
        if not by_session:
            _offer(run, "session", hidden=True)
        if json_help:
            _offer(run, "as_json", help=json_help)
        app.command(name)(run)
        return function

    return register


def guarded(out: Output, action: Callable[[], int | None]) -> int:
    """Run an action and return its exit code; errors that are meant for people are printed, without a traceback."""
    try:
        code = action() or DONE
        sys.stdout.flush()
        return code
    except TierkeepError as error:
        out.error(error)
        return exit_code(error)
    except KeyboardInterrupt:
        out.error("interrupted", kind="Interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough. What is still buffered must not raise again when Python exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE


def _merge(run: Callable[..., None], function: Callable[..., int | None]) -> None:
    """Give `run` the signature and help of `function`, with the shared options after its own."""
    hints = get_type_hints(function, include_extras=True)
    shared_hints = get_type_hints(run, include_extras=True)
    own = list(inspect.signature(function).parameters.values())[1:]
    shared = [p for p in inspect.signature(run).parameters.values() if p.kind is not p.VAR_KEYWORD]
    merged = [_resolved(p, hints) for p in own] + [_resolved(p, shared_hints) for p in shared]
    keyword_only = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in merged]
    run.__signature__ = inspect.Signature(keyword_only)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in keyword_only}
    run.__doc__ = function.__doc__
    run.__name__ = function.__name__


def _offer(run: Callable[..., None], parameter: str, **changes: Any) -> None:
    """Change how one shared option of a command is offered."""
    kind, option = get_args(run.__annotations__[parameter])
    option = copy(option)
    for attribute, value in changes.items():
        setattr(option, attribute, value)
    run.__annotations__[parameter] = Annotated[kind, option]
    signature = inspect.signature(run)
    changed = [p.replace(annotation=run.__annotations__[p.name]) for p in signature.parameters.values()]
    run.__signature__ = signature.replace(parameters=changed)  # type: ignore[attr-defined]


def _resolved(parameter: inspect.Parameter, hints: dict[str, Any]) -> inspect.Parameter:
    """Return the parameter with its annotation resolved."""
    return parameter.replace(annotation=hints[parameter.name])


def exists(store: str) -> bool:
    """Return whether there may be a store."""
    if store == ":memory:" or "://" in store:
        return True
    try:
        path = Path(store).expanduser()
        return path.is_file() or any(path.glob("*.db"))
    except (OSError, ValueError, RuntimeError):
        return True  # let the store say what is wrong with its path
