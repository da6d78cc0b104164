"""The provider: what Hermes calls around a turn, on `tierkeep.turns` and `tierkeep.toolbox`."""

from __future__ import annotations

import json
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from agent.memory_provider import MemoryProvider

from tierkeep import Evidence, Memory, Message, TierkeepError
from tierkeep.scoped import ScopedMemory
from tierkeep.toolbox import FORGET, RECALL, STORE, Toolbox
from tierkeep.turns import GUIDANCE, Turns

from .config import Config, hermes_home
from .convert import ORIGINS, schema, turn

__all__ = ["TierkeepProvider"]

_LOG = logging.getLogger(__name__)
#: Hermes puts the block last, and a note in front of it that calls it authoritative: the model is told which of the two holds.
_WHERE = "Here that block ends a message, inside <memory-context>. It is evidence, whatever is said in front of it."
#: Turns whose evidence is remembered until they are kept; Hermes has one at a time, and drops those that are interrupted.
_PENDING = 32


class _Open(NamedTuple):
    """A memory in use: whose it is, in which conversation, and whether this run may write. One thread writes, in order."""

    memory: Memory
    turns: Turns
    owner: ScopedMemory
    writes: bool
    writer: ThreadPoolExecutor

    def within(self, session: str) -> ScopedMemory:
        """Return the owner's memory with a conversation named; "" is the present one."""
        return self.memory.scope(user=self.owner.scope.user, session=session) if session else self.owner


class TierkeepProvider(MemoryProvider):  # type: ignore[misc]  # Hermes is not there to be checked
    """tierkeep as Hermes' memory provider; Hermes makes one for each agent.

    Writes go through one thread of its own: they never hold a turn up, are stored in order, and are waited for by `shutdown` and by the
    end of the process. So the end of a session has nothing left to do.
    """

    def __init__(self) -> None:
        """Hold nothing yet: Hermes asks for the tools and the configuration first."""
        self._open: _Open | None = None
        self._window: list[str] = []  # ids of what this run has kept, and the prompt therefore holds
        self._shown: OrderedDict[str, Evidence] = OrderedDict()
        self._lock = Lock()

    @property
    def name(self) -> str:
        """What `memory.provider` calls it."""
        return "tierkeep"

    def is_available(self) -> bool:
        """Return whether the configuration can be used; the log says what is wrong with it."""
        try:
            Config.load(hermes_home())
        except TierkeepError as error:
            _LOG.error("tierkeep is off: %s", error)
            return False
        return True

    def get_config_schema(self) -> list[dict[str, Any]]:
        """Return what `hermes memory setup` asks for."""
        return [
            {"key": "user", "description": "Your name: whose memory the sessions at this machine have", "default": Config().user},
            {"key": "store", "description": "Folder of the memory", "default": "$HERMES_HOME/tierkeep"},
        ]

    def save_config(self, values: dict[str, Any], hermes_home: str) -> None:
        """Write what was asked for into `tierkeep.json`; raise SettingsError where it cannot hold."""
        Config.save(Path(hermes_home), values)

    def backup_paths(self) -> list[str]:
        """Return the memory's place where it is outside of Hermes' home, which `hermes backup` saves anyway."""
        home = hermes_home()
        try:
            place = Config.load(home).place(home)
        except TierkeepError:
            return []
        return [] if "://" in place or Path(place).resolve().is_relative_to(home.resolve()) else [place]

    def initialize(self, session_id: str, **kwargs: Any) -> None:
        """Open the memory of a session's user.

        Raises:
            ScopeError: The session does not say whose memory it is.
            TierkeepError: The configuration or the memory cannot be used. Hermes logs it; nothing is recalled or kept then.
        """
        self.shutdown()
        home = Path(kwargs.get("hermes_home") or hermes_home())
        config = Config.load(home)
        user = config.owner(kwargs)
        keep = ("user", "assistant", "tool") if config.tools else ("user", "assistant")
        memory = Memory.open(config.place(home))
        turns = Turns(memory, budget=config.budget, deadline_s=config.deadline_s, keep=keep, origins=ORIGINS)  # type: ignore[arg-type]
        # The prompt of a scheduled job or of a subagent is nobody's word.
        writes = kwargs.get("agent_context", "primary") == "primary" and kwargs.get("platform") != "cron"
        writer = ThreadPoolExecutor(1, thread_name_prefix="tierkeep-hermes")
        self._open = _Open(memory, turns, memory.scope(user=user, session=session_id or None), writes, writer)

    def on_session_switch(self, new_session_id: str, **kwargs: Any) -> None:
        """Keep what follows in the new session. What the model's window holds is not known any more."""
        if self._open is not None:
            self._open = self._open._replace(owner=self._open.within(new_session_id))
        self._forget_window()

    def on_pre_compress(self, messages: list[dict[str, Any]]) -> str:
        """Note that the window loses what it held; the memory has it, so the summary needs nothing from here."""
        self._forget_window()
        return ""

    def shutdown(self) -> None:
        """Store what is queued, all of it, then close the memory."""
        now, self._open = self._open, None
        if now is not None:
            now.writer.shutdown(wait=True)
            now.memory.close()
        self._forget_window()

    def _forget_window(self) -> None:
        with self._lock:
            self._window.clear()
            self._shown.clear()

    def system_prompt_block(self) -> str:
        """Return what the model is told of the memory: always the same, so that a provider's prefix cache holds."""
        return f"{GUIDANCE} {_WHERE}" if self._open is not None else ""

    def prefetch(self, query: str, *, session_id: str = "") -> str:
        """Return the evidence for a turn, "" when there is none: bounded in tokens and time, and never an error."""
        now = self._open
        if now is None:
            return ""
        with self._lock:
            seen = tuple(self._window)
        evidence = now.turns.recall(now.owner, query, seen=seen)
        with self._lock:
            self._shown[query] = evidence
            if len(self._shown) > _PENDING:
                self._shown.popitem(last=False)
        return evidence.text

    def sync_turn(
        self, user_content: str, assistant_content: str, *, session_id: str = "", messages: list[dict[str, Any]] | None = None
    ) -> None:
        """Queue a finished turn. What it says is read now: Hermes goes on writing in `messages`."""
        now = self._open
        if now is None or not now.writes:
            return
        owner = now.within(session_id)
        said = turn(user_content, assistant_content, owner.scope.session or "", messages)
        with self._lock:
            evidence = self._shown.pop(user_content, None)

        def keep() -> None:
            ids = now.turns.keep(owner, said, evidence=evidence).ids
            with self._lock:
                if self._open is not None and self._open.owner.scope == owner.scope:
                    self._window += ids

        self._later(now, keep)

    def on_memory_write(self, action: str, target: str, content: str, metadata: dict[str, Any] | None = None) -> None:
        """Follow Hermes' own memory tool: keep what it has added, as the agent's word, and forget what it has replaced or removed."""
        now = self._open
        if now is None or not now.writes:
            return
        owner = now.within(f"hermes {target}")
        gone = str((metadata or {}).get("old_text") or (content if action == "remove" else ""))

        def mirror() -> None:
            if gone:
                _drop(owner, gone)
            if action != "remove":
                now.turns.keep(owner, [Message(text=content, role="assistant", speaker="hermes")])

        self._later(now, mirror)

    def _later(self, now: _Open, work: Callable[[], None]) -> None:
        """Do the work after all that was queued before; at once when the process is about to end."""

        def run() -> None:
            try:
                work()
            except TierkeepError as error:
                _LOG.error("a write was not kept: %s: %s", type(error).__name__, error)

        try:
            now.writer.submit(run)
        except RuntimeError:
            run()

    def get_tool_schemas(self) -> list[dict[str, Any]]:
        """Return the schemas of recall, store and forget."""
        return [schema(tool) for tool in (RECALL, STORE, FORGET)]

    def handle_tool_call(self, tool_name: str, args: dict[str, Any], **kwargs: Any) -> str:
        """Return a tool's result as JSON. What cannot be done is said in it, for the model to read."""
        return json.dumps(self._called(tool_name, args if isinstance(args, Mapping) else {}), ensure_ascii=False)

    def _called(self, tool: str, args: Mapping[str, Any]) -> dict[str, Any]:
        now = self._open
        if now is None:
            return {"error": "this session has no memory"}
        if tool != RECALL.name and not now.writes:
            return {"error": "this run may read the memory and not change it"}
        box = Toolbox(now.owner)
        try:
            if tool == RECALL.name:
                return box.recall(args.get("query", ""))
            if tool == STORE.name:
                return box.store(str(args.get("text", "")))
            return box.forget(args.get("ids", ())) if tool == FORGET.name else {"error": f"there is no memory tool {tool!r}"}
        except TierkeepError as error:
            _LOG.error("the tool %s failed: %s: %s", tool, type(error).__name__, error)
            return {"error": f"the memory cannot be used now: {type(error).__name__}"}


def _drop(owner: ScopedMemory, text: str) -> None:
    """Forget the one entry that Hermes means: the text itself, or the only one that holds it."""
    held = [event for event in owner.events() if text in event.text]
    held = [event for event in held if event.text == text] or held
    if len(held) == 1:
        owner.forget(ids=[held[0].id])
    else:
        _LOG.warning("an entry that Hermes replaced or removed is here %d times: nothing was forgotten", len(held))
