"""One owner's memory: the object that has the verbs."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tierkeep import keeping, learning, pipelines
from tierkeep.allowance import Allowance, Listener, Progress
from tierkeep.errors import InputError, NotFoundError, ScopeError
from tierkeep.questions import check_question, doomed, ids_of
from tierkeep.records import (
    Answer,
    Authority,
    Event,
    Evidence,
    ForgetReport,
    MaintainReport,
    Origin,
    Query,
    Receipt,
    Record,
    Revision,
    Scope,
    Skipped,
)
from tierkeep.retrieve.sessions import in_session
from tierkeep.streaming import Narrated, Narration
from tierkeep.telemetry import observed
from tierkeep.twins import twin

if TYPE_CHECKING:
    from tierkeep.guarding import ScopedGuard
    from tierkeep.intake import Addable, When
    from tierkeep.memory import Memory

#: A budget above it means everything: no model has such a window.
_MOST_TOKENS = 10_000_000
#: Seconds from which on a deadline is none: thirty years.
_NO_DEADLINE = 1e9


class ScopedMemory:
    """One owner's memory: add, recall, ask, forget. Every verb has an async twin with an `a` in front.

    A twin works in a thread. Cancelling it stops the waiting and not the work: what a cancelled `aadd` was given is stored all the same.

    Attributes:
        scope: Whose memory it is. A scope with a session reads that conversation only, and writes to it.
    """

    def __init__(self, memory: Memory, scope: Scope) -> None:
        """Bind an owner. Callers use `Memory.scope`."""
        self._memory = memory
        self.scope = scope

    @property
    def guard(self) -> ScopedGuard:
        """Quarantine, confirmations, the guard's log and the gate on tool calls."""
        from tierkeep.guarding import ScopedGuard  # a fifth of the time of `import tierkeep`, which not everybody needs

        return ScopedGuard(self)

    # ------------------------------------------------------------------------------------------------------- write

    @observed
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
        derived_from: Sequence[str] = (),
    ) -> Receipt:
        """Remember. When the receipt is returned, everything it names is on disk.

        Args:
            what: A text, a `Message`, a dict such as `{"role": "user", "content": "…"}`, or a list of those: all or nothing.
            role: user, assistant, system or tool, for inputs that do not say; user otherwise.
            speaker: Display name, for inputs that do not say; the role otherwise.
            at: When it was said, for inputs that do not say: a datetime, a date, ISO 8601 or seconds since 1970; now otherwise.
            session: The conversation; the scope's own, or the day each message was said, otherwise.
            origin: Who it comes from; by role otherwise (a tool's result is untrusted).
            id: The application's id of a single message; the same id again is not stored twice.
            meta: JSON values to keep with every message of the call.
            derived_from: Ids of the events that these messages summarise or were computed from: they get no more authority than those.

        Raises:
            InputError: Something cannot be used; nothing is stored.
            WriteRejected: The guard refuses it, or the owner's quota is used up (`QuotaExceeded`); nothing is stored.
            StorageError: The store cannot write; nothing is stored.
        """
        if origin is not None and not isinstance(origin, Origin):
            raise InputError("origin must be an Origin, for example Origin.web('https://…') or Origin.user()", field="origin")
        from tierkeep.intake import Defaults

        memory = self._memory
        intake = memory._reader.read(what, self.scope, Defaults(role, speaker, at, session, origin, id, meta, derived_from))
        if not intake.drafts:
            return Receipt(session=session or self.scope.session or "", skipped=intake.skipped, notes=intake.notes)
        memory._keeping.make_room(intake.drafts, self)
        observed = pipelines.observe(intake.drafts, self.scope, memory._ledger, memory._preset.write, memory._deriving.grant())
        derived = memory._deriving.notice(self.scope) or MaintainReport()
        if memory._indexing is not None:
            memory._indexing.notice(self.scope)
        skipped, notes = list(intake.skipped), list(intake.notes)
        for index, (event, duplicate) in zip(intake.places, observed.events, strict=True):
            if duplicate:
                skipped.append(Skipped(index=index, reason="duplicate", id=event.id))
                continue
            if taken := event.meta.get("tierkeep.redacted"):
                notes.append(f"not stored of {event.id}: {', '.join(map(str, taken))}")
            if event.authority == Authority.QUARANTINED:
                notes.append(f"quarantined, because it reads like an order from outside: {event.id}")
        sessions = tuple(dict.fromkeys(event.session for event, _ in observed.events))
        return Receipt(
            ids=tuple(event.id for event, duplicate in observed.events if not duplicate), session=sessions[0], sessions=sessions,
            records=(*observed.records, *derived.records), usage=derived.usage,
            skipped=tuple(sorted(skipped, key=lambda one: one.index)), notes=tuple(notes),
        )  # fmt: skip

    @observed
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
        if sum((ids is not None, session is not None, bool(everything))) != 1:
            raise InputError("say what to forget with exactly one of ids=, session= or everything=True")
        try:
            return self._forget(doomed(self._memory._ledger.view(self.scope), self.scope, ids, session))
        except NotFoundError:
            self._mend()  # the call before was killed after the removal, perhaps
            raise

    def _forget(self, going: Sequence[str]) -> ForgetReport:
        """Remove those of these events that there are."""
        memory = self._memory
        report = pipelines.forget(going, self.scope, memory._ledger, memory._preset.write, memory._deriving.grant())
        if memory._vectors is not None and report.events:
            report = keeping.let_go(report, memory._vectors, self.scope)
        derived = memory._deriving.notice(self.scope) or MaintainReport()
        waiting = pipelines.waiting(memory._ledger.view(self.scope), memory._preset.write)
        return report.model_copy(update={"rederived": report.rederived + len(derived.records), "waiting": waiting})

    def _mend(self) -> None:
        """Rebuild what a forget has blanked that was killed before it could."""
        memory = self._memory
        pipelines.mend(self.scope, memory._ledger, memory._preset.write, memory._deriving.grant())

    @observed
    def maintain(self, *, deadline_s: float | None = None, progress: Listener | None = None) -> MaintainReport:
        """Make now the vectors that are missing, and derive what presets with their own records (hymem, dmem) have not come to.

        Unfinished conversations are read to their end, the vectors of an embedder that was used before are dropped, and what stood under
        deleted items, or has expired, is physically removed.

        Args:
            deadline_s: Seconds after which the rest is left for later; `pending` and `vectors_missing` then say how much.
            progress: Is told how far it is: "index", then "derive".

        Raises:
            ScopeError: This scope is bound to a session; records belong to all of an owner.
            ModelError: The embedder failed; what was made before stays.
            StorageError: The store cannot be read or written; what was derived before stays.
        """
        self._refuse_session("maintain")
        memory, began = self._memory, self._memory._clock.monotonic()
        from tierkeep.items import Items

        # What goes first leaves nothing blank behind: the derivation after it reads again what has lost a source.
        erased = {"expired": keeping.expire(self), "erased": Items(self).purge().events}
        self._mend()
        made = self.index(deadline_s=deadline_s, tidy=True, progress=progress)
        left = None if deadline_s is None else max(0.0, deadline_s - (memory._clock.monotonic() - began))
        derived = memory._deriving.run(self.scope, final=True, seconds=left, listener=progress)
        return derived.model_copy(update={"vectors": made.vectors, "vectors_missing": made.vectors_missing, **erased})

    @observed
    def index(self, *, deadline_s: float | None = None, tidy: bool = False, progress: Listener | None = None) -> MaintainReport:
        """Make now the vectors that are missing, of all of the owner's events; nothing without an embedder.

        Args:
            deadline_s: Seconds after which the rest is left for later; `vectors_missing` then says how much.
            tidy: Drop the vectors that other embedders made, once none is missing.
            progress: Is told how far it is.

        Raises:
            ModelError: The embedder failed; what was made before stays.
            StorageError: The store cannot be read or written; what was made before stays.
        """
        indexing = self._memory._indexing
        return MaintainReport() if indexing is None else indexing.run(self.scope, seconds=deadline_s, listener=progress, tidy=tidy)

    def undo(self) -> list[str]:
        """Take back the last change to derived records (not to events); return the ids of the records it touched.

        That change may be a derivation of the background, and what it made is not derived again.

        Raises:
            NotFoundError: There is nothing to undo.
            ScopeError: This scope is bound to a session, and the last change may be another's.
        """
        self._refuse_session("undo")
        return self._memory._ledger.undo(self.scope)

    @observed
    def restore(self, rows: Iterable[Mapping[str, Any]], *, trusted: bool) -> tuple[int, int]:
        """Write rows that `export` made into this scope, all or nothing; return (events, records) that were new.

        Call `maintain` first where a preset derives records and events are unread: else the restored ones are derived once more.

        Args:
            rows: Decoded JSON objects, the header first.
            trusted: True for your own export: origins and authority are kept. False for a file of unknown hands: whoever it says is
                speaking counts as an import, what it says is from outside stays so, and the guard looks at every event as if it
                were added now.

        Raises:
            ImportFormatError: A row is not what `export` writes; nothing is stored.
            WriteRejected: The guard refuses an event of an untrusted file, or the owner's quota is used up; nothing is stored.
            ScopeError: This scope is bound to a session; an export has many.
        """
        self._refuse_session("restore")
        if not trusted:
            from tierkeep.guard.untrusted import UntrustedExport

            rows = UntrustedExport(self._memory._preset.write.guard, self.scope).rows(rows)
        memory = self._memory
        restored = memory._ledger.restore(self.scope, memory._keeping.within(rows, memory._ledger.view(self.scope)))
        if memory._indexing is not None:
            memory._indexing.notice(self.scope)
        return restored

    # -------------------------------------------------------------------------------------------------------- read

    @observed
    def recall(
        self, question: str, *, budget: int | None = None, deadline_s: float | None = None, now: When | None = None,
        seen: Iterable[str] = (),
    ) -> Evidence:
        """Return evidence for a prompt: packed, cited, never above the budget. Empty evidence says why in its `note`.

        Args:
            question: What the agent needs to know.
            budget: Tokens that the evidence may take; by tier otherwise.
            deadline_s: Seconds after which the best evidence so far comes back, marked as partial; none when it is infinite.
            now: What "today" means; the clock's time otherwise.
            seen: Ids of events that the prompt holds already, such as the conversation so far: they are not shown once more.

        Raises:
            InputError: The question, budget, deadline, time or ids cannot be used.
            StorageError: The store cannot be read.
        """
        query, allowance = self._query(question, budget, deadline_s, now)
        query = query.model_copy(update={"seen": frozenset(ids_of(seen))})
        memory = self._memory
        evidence = learning.recall(query, memory._ledger, memory._preset.read, allowance)
        memory._accounts.read(evidence.usage)
        return evidence

    def ask(self, question: str, *, budget: int | None = None, deadline_s: float | None = None, now: When | None = None) -> Answer:
        """Return an answer with its evidence, the validator's verdict, the tiers tried and the cost.

        Args and errors are those of `recall`, without `seen`.
        """
        return self._ask(*self._query(question, budget, deadline_s, now))

    def stream(
        self, question: str, *, budget: int | None = None, deadline_s: float | None = None, now: When | None = None
    ) -> Narrated[Answer]:
        """Return an iterator over what is told while the question is worked on, with the `Answer` of `ask` as its last item.

        The texts of what="answer" since the last what="discard", joined, are the answer's text, whether a model writes it piece by piece
        or a rule at once. The work begins with the first item, in a thread of its own. Closing the iterator ends it at the next thing it
        would tell; a model that gives its replies whole is waited for.

        Args and errors are those of `recall`, without `seen`; what cannot be read is raised by the iterator.
        """
        narration: Narration[Answer] = Narration()
        query, allowance = self._query(question, budget, deadline_s, now, narration.tell)
        return Narrated(narration, lambda: self._ask(query, allowance))

    async def astream(
        self, question: str, *, budget: int | None = None, deadline_s: float | None = None, now: When | None = None
    ) -> AsyncGenerator[Progress | Answer, None]:
        """Do the same as `stream`, without blocking the event loop. Cancelling it, or `aclose()`, ends the work too."""
        import asyncio

        told = self.stream(question, budget=budget, deadline_s=deadline_s, now=now)
        try:
            while (item := await asyncio.to_thread(next, told, None)) is not None:
                yield item
        finally:
            told.leave()
            await asyncio.to_thread(told.close)

    @observed
    def _ask(self, query: Query, allowance: Allowance) -> Answer:
        memory = self._memory
        answer = learning.ask(query, memory._ledger, memory._preset.read, allowance)
        memory._accounts.read(answer.usage)
        return answer

    def _query(
        self, question: str, budget: int | None, deadline_s: float | None, now: When | None, listener: Listener | None = None
    ) -> tuple[Query, Allowance]:
        check_question(question, budget, deadline_s, self._memory._settings.limits)
        moment = self._memory._reader.when(now if now is not None else self._memory._clock.now())
        query = Query(text=question, scope=self.scope, now=moment, budget=budget if budget is None else min(budget, _MOST_TOKENS))
        seconds = deadline_s if deadline_s is None or deadline_s < _NO_DEADLINE else None
        if self._memory._indexing is not None:
            self._memory._indexing.catch_up(self.scope)
        return query, self._memory._preset.read.ceilings.allowance(seconds, self._memory._clock, listener)

    def events(self, session: str | None = None) -> Iterator[Event]:
        """Yield the events in order: of one conversation, or of all that this scope sees.

        Raises:
            ScopeError: This scope is bound to another session.
        """
        own = self.scope.session
        if own is not None and session not in (None, own):
            raise ScopeError(f"this scope is bound to session {own!r} and cannot read {session!r}: use a scope without a session",
                             field="session")
        return self._memory._ledger.view(self.scope).scan(session=own if session is None else session)

    def sessions(self) -> list[tuple[str, int]]:
        """Return (session, number of events), in order of first event."""
        found = self._memory._ledger.view(self.scope).sessions()
        return found if self.scope.session is None else [entry for entry in found if entry[0] == self.scope.session]

    def records(self, kind: str | None = None, *, status: str | None = "active") -> list[Record]:
        """Return derived records in order of creation; `status=None` returns superseded and retracted ones too.

        A scope with a session has those that rest on something said in it.
        """
        view = self._memory._ledger.view(self.scope)
        return in_session(view.records(kind=kind, status=status), self.scope.session, view)

    def history(self, record_id: str) -> list[Revision]:
        """Return what happened to a record, oldest first.

        Raises:
            NotFoundError: This scope never had that record, or it rests on nothing said in the scope's session.
        """
        view = self._memory._ledger.view(self.scope)
        if self.scope.session is not None and not in_session(view.get([record_id]), self.scope.session, view):
            raise NotFoundError(f"this scope ({self.scope}) has no record {record_id!r}", ids=(record_id,))
        return self._memory._ledger.history(self.scope, record_id)

    def export(self) -> Iterator[dict[str, Any]]:
        """Yield everything of this owner as JSON objects, one a line in a file. `restore` loses nothing of it.

        Raises:
            ScopeError: This scope is bound to a session; an export holds all of an owner.
        """
        self._refuse_session("export")
        return self._memory._ledger.export(self.scope)

    def _refuse_session(self, verb: str) -> None:
        if self.scope.session is not None:
            raise ScopeError(f"{verb} works on the whole of an owner's memory, and this scope is bound to session "
                             f"{self.scope.session!r}: use a scope without a session", field="session")

    aadd = twin(add)
    aforget = twin(forget)
    amaintain = twin(maintain)
    aindex = twin(index)
    aundo = twin(undo)
    arestore = twin(restore)
    arecall = twin(recall)
    aask = twin(ask)
    arecords = twin(records)
    ahistory = twin(history)
    asessions = twin(sessions)
