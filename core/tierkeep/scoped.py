"""One owner's memory: the object that has the verbs."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from pydantic import ValidationError

from tierkeep import pipelines
from tierkeep.allowance import Allowance
from tierkeep.errors import InputError, LimitError, NotFoundError
from tierkeep.records import (
    Answer,
    Authority,
    Event,
    Evidence,
    ForgetReport,
    Origin,
    Query,
    Receipt,
    Record,
    Revision,
    Scope,
    Skipped,
)

if TYPE_CHECKING:
    from tierkeep.intake import Addable, When
    from tierkeep.memory import Memory

_P = ParamSpec("_P")
_R = TypeVar("_R")
_S = TypeVar("_S")


def twin(method: Callable[Concatenate[_S, _P], _R]) -> Callable[Concatenate[_S, _P], Coroutine[Any, Any, _R]]:
    """Return the async twin of a verb: the same call in a worker thread, so that the event loop never waits for a disk."""

    async def same(self: _S, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        import asyncio  # only those who await pay for it

        return await asyncio.to_thread(method, self, *args, **kwargs)

    functools.update_wrapper(same, method)
    same.__name__ = f"a{method.__name__}"
    same.__doc__ = f"Do the same as `{method.__name__}`, without blocking the event loop."
    return same


class ScopedMemory:
    """One owner's memory: add, recall, ask, forget. Every verb has an async twin with an `a` in front.

    Attributes:
        scope: Whose memory it is. A scope with a session reads that conversation only, and writes to it.
    """

    def __init__(self, memory: Memory, scope: Scope) -> None:
        """Bind an owner. Callers use `Memory.scope`."""
        self._memory = memory
        self.scope = scope

    # ------------------------------------------------------------------------------------------------------- write

    def add(
        self,
        what: Addable | Sequence[Addable],
        *,
        role: str | None = None,
        speaker: str | None = None,
        at: When | None = None,
        session: str | None = None,
        origin: Origin | None = None,
        id: str | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> Receipt:
        """Remember. When the receipt is returned, everything it names is on disk.

        Args:
            what: A text, a `Message`, a dict such as `{"role": "user", "content": "…"}`, or a list of those: all or nothing.
            role: user, assistant, system or tool, for inputs that do not say; user otherwise.
            speaker: Display name, for inputs that do not say; the role otherwise.
            at: When it was said, for inputs that do not say: a datetime, a date, ISO 8601 or seconds since 1970; now otherwise.
            session: The conversation; the scope's own, or the day it was said, otherwise.
            origin: Who it comes from; by role otherwise (a tool's result is untrusted).
            id: The application's id of a single message; the same id again is not stored twice.
            meta: JSON values to keep with every message of the call.

        Raises:
            InputError: Something cannot be used; nothing is stored.
            WriteRejected: The guard refuses it; nothing is stored.
            StorageError: The store cannot write; nothing is stored.
        """
        if origin is not None and not isinstance(origin, Origin):
            raise InputError("origin must be an Origin, for example Origin.web('https://…') or Origin.user()", field="origin")
        from tierkeep.intake import Defaults

        memory = self._memory
        intake = memory._reader.read(what, self.scope, Defaults(role, speaker, at, session, origin, id, meta))
        if not intake.drafts:
            return Receipt(session=session or self.scope.session or "", skipped=intake.skipped, notes=intake.notes)
        observed = pipelines.observe(intake.drafts, self.scope, memory._ledger, memory._preset.write)
        skipped = list(intake.skipped)
        notes = list(intake.notes)
        for index, (event, duplicate) in enumerate(observed.events):
            if duplicate:
                skipped.append(Skipped(index=index, reason="duplicate", id=event.id))
            elif event.authority == Authority.QUARANTINED:
                notes.append(f"quarantined, because it reads like an order from outside: {event.id}")
        return Receipt(
            ids=tuple(event.id for event, duplicate in observed.events if not duplicate), session=observed.events[0][0].session,
            records=observed.records, skipped=tuple(skipped), notes=tuple(notes),
        )

    def forget(self, *, ids: Sequence[str] | None = None, session: str | None = None, everything: bool = False) -> ForgetReport:
        """Remove events and everything derived from them, then look for traces in every table and file.

        Args:
            ids: Ids of events, from receipts or evidence.
            session: A whole conversation.
            everything: True for all of this scope (of its session, when it has one).

        Raises:
            InputError: Not exactly one of the three is given.
            NotFoundError: An id or session that this scope does not have; nothing is removed.
        """
        if sum((ids is not None, session is not None, everything)) != 1:
            raise InputError("say what to forget with exactly one of ids=, session= or everything=True")
        return pipelines.forget(self._doomed(ids, session), self.scope, self._memory._ledger, self._memory._preset.write)

    def _doomed(self, ids: Sequence[str] | None, session: str | None) -> list[str]:
        view = self._memory._ledger.view(self.scope)
        if ids is not None:
            wanted = [ids] if isinstance(ids, str) else list(dict.fromkeys(ids))
            found = {event.id for event in view.events(wanted) if self.scope.session in (None, event.session)}
            missing = tuple(id for id in wanted if id not in found)
            if missing:
                raise NotFoundError(f"this scope ({self.scope}) has no event {missing[0]!r}: nothing was forgotten", ids=missing)
            return wanted
        target = session if session is not None else self.scope.session
        if session is not None and self.scope.session not in (None, session):
            raise NotFoundError(f"this scope is bound to session {self.scope.session!r}: nothing was forgotten", ids=(session,))
        doomed = [event.id for event in view.scan(session=target)]
        if session is not None and not doomed:
            near = difflib.get_close_matches(session, [name for name, _ in view.sessions()], n=3, cutoff=0.5)
            hint = f" (near it: {', '.join(map(repr, near))})" if near else ""
            raise NotFoundError(f"this scope ({self.scope}) has no session {session!r}{hint}: nothing was forgotten", ids=(session,))
        return doomed

    def undo(self) -> list[str]:
        """Take back the last change to derived records (not to events); return the ids of the records it touched.

        Raises:
            NotFoundError: There is nothing to undo.
        """
        return self._memory._ledger.undo(self.scope)

    def restore(self, rows: Iterable[Mapping[str, Any]], *, trusted: bool) -> tuple[int, int]:
        """Write rows that `export` made into this scope, all or nothing; return (events, records) that were new.

        Args:
            rows: Decoded JSON objects, the header first.
            trusted: True for your own export: origins and authority are kept. False for a file of unknown hands: its
                authority is capped at what an import may have.

        Raises:
            ImportFormatError: A row is not what `export` writes; nothing is stored.
        """
        return self._memory._ledger.restore(self.scope, rows if trusted else map(_untrusted, rows))

    # -------------------------------------------------------------------------------------------------------- read

    def recall(self, question: str, *, budget: int | None = None, deadline_s: float | None = None, now: When | None = None) -> Evidence:
        """Return evidence for a prompt: packed, cited, never above the budget. Empty evidence says why in its `note`.

        Args:
            question: What the agent needs to know.
            budget: Tokens that the evidence may take; by tier otherwise.
            deadline_s: Seconds after which the best evidence so far comes back, marked as partial.
            now: What "today" means; the clock's time otherwise.

        Raises:
            InputError: The question, budget, deadline or time cannot be used.
            StorageError: The store cannot be read.
        """
        query, allowance = self._query(question, budget, deadline_s, now)
        return pipelines.recall(query, self._memory._ledger.view(self.scope), self._memory._preset.read, allowance)

    def ask(self, question: str, *, budget: int | None = None, deadline_s: float | None = None, now: When | None = None) -> Answer:
        """Return an answer with its evidence, the validator's verdict, the tiers tried and the cost.

        Args and errors are those of `recall`.
        """
        query, allowance = self._query(question, budget, deadline_s, now)
        memory = self._memory
        return pipelines.ask(query, memory._ledger.view(self.scope), memory._preset.read, allowance)

    def _query(self, question: str, budget: int | None, deadline_s: float | None, now: When | None) -> tuple[Query, Allowance]:
        limit = self._memory._settings.limits.question_chars
        if not isinstance(question, str) or not question.strip():
            raise InputError("ask a question: the text is empty", field="question")
        if len(question) > limit:
            raise LimitError(f"the question has {len(question):,} characters, the limit is {limit:,}: shorten it, or raise "
                             "Settings.limits.question_chars", field="question", limit=limit, actual=len(question))
        if budget is not None and (isinstance(budget, bool) or not isinstance(budget, int) or budget < 1):
            raise InputError(f"budget must be a whole number of tokens from 1 on, not {budget!r}", field="budget")
        if deadline_s is not None and (isinstance(deadline_s, bool) or not isinstance(deadline_s, (int, float)) or not deadline_s >= 0):
            raise InputError(f"deadline_s must be seconds from 0 on, not {deadline_s!r}", field="deadline_s")
        moment = self._memory._reader.when(now if now is not None else self._memory._clock.now())
        query = Query(text=question, scope=self.scope, now=moment, budget=budget)
        return query, self._memory._preset.read.ceilings.allowance(deadline_s, self._memory._clock)

    def events(self, session: str | None = None) -> Iterator[Event]:
        """Yield the events in order: of one conversation, or of all that this scope sees."""
        return self._memory._ledger.view(self.scope).scan(session=session if session is not None else self.scope.session)

    def sessions(self) -> list[tuple[str, int]]:
        """Return (session, number of events), in order of first event."""
        found = self._memory._ledger.view(self.scope).sessions()
        return found if self.scope.session is None else [entry for entry in found if entry[0] == self.scope.session]

    def records(self, kind: str | None = None, *, status: str | None = "active") -> list[Record]:
        """Return derived records in order of creation; `status=None` returns superseded and retracted ones too."""
        return self._memory._ledger.view(self.scope).records(kind=kind, status=status)

    def history(self, record_id: str) -> list[Revision]:
        """Return what happened to a record, oldest first.

        Raises:
            NotFoundError: This scope never had that record.
        """
        return self._memory._ledger.history(self.scope, record_id)

    def export(self) -> Iterator[dict[str, Any]]:
        """Yield everything of this owner as JSON objects, one a line in a file. `restore` loses nothing of it."""
        return self._memory._ledger.export(self.scope)

    aadd = twin(add)
    aforget = twin(forget)
    aundo = twin(undo)
    arestore = twin(restore)
    arecall = twin(recall)
    aask = twin(ask)
    arecords = twin(records)
    ahistory = twin(history)
    asessions = twin(sessions)


def _untrusted(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an exported row with the origin and authority of an import; the ledger checks its shape."""
    lowered = dict(row)
    for key in ("event", "record"):
        inner = row.get(key)
        if isinstance(inner, Mapping):
            authority = inner.get("authority")
            capped = min(authority, Authority.DATA) if isinstance(authority, int) else authority
            try:
                before = Origin.model_validate(inner.get("origin"))
            except ValidationError:
                return row  # not a row of ours; the ledger refuses it with its own message
            origin = Origin.imported(before.uri).model_copy(update={"principal": before.principal})
            lowered[key] = {**inner, "authority": capped, "origin": origin.model_dump(mode="json")}
    return lowered
