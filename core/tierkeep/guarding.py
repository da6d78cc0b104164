"""The guard's side of the front door: quarantine, confirmations, the log, and the gate on tool calls."""

from __future__ import annotations

import builtins
import functools
import hashlib
import inspect
import secrets
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from tierkeep.admitting import codes
from tierkeep.allowance import Allowance
from tierkeep.errors import ActionDenied, ConfirmationError, InputError, NotFoundError
from tierkeep.guard.actions.decision import Rules, weigh
from tierkeep.guard.actions.mentions import mentions, normal, spellings
from tierkeep.guard.actions.values import Value, canonical, subject_of, values_of
from tierkeep.guard.lessons import LESSON, Lessons
from tierkeep.records import (
    ActionDecision,
    Authority,
    Confirmation,
    Event,
    Evidence,
    ForgetReport,
    GuardEntry,
    GuardVerb,
    Record,
)
from tierkeep.rendering import plain
from tierkeep.twins import twin

if TYPE_CHECKING:
    from tierkeep.scoped import ScopedMemory

__all__ = ["ActionGate", "Context", "ScopedGuard", "ToolPolicy"]

#: What was in a model's window.
Context = Evidence | Iterable[Event | str]
_F = TypeVar("_F", bound=Callable[..., Any])
_NOTHING = Value("", "")


class ToolPolicy(NamedTuple):
    """What the application says of one of its tools. A tool that nobody speaks for counts as one with side effects.

    Attributes:
        side_effects: False for tools that only read: they pass.
        free: Arguments whose wording may be the model's own, such as a subject line; addresses, links, hosts, paths and accounts inside
            are looked at all the same.
    """

    side_effects: bool = True
    free: tuple[str, ...] = ()


class ScopedGuard:
    """What the guard has done to one owner's memory, and what can be done about it. Verbs have async twins with an `a` in front.

    It works on all of an owner's memory, also where the scope is bound to one conversation.
    """

    def __init__(self, scoped: ScopedMemory) -> None:
        """Bind an owner. Callers use `ScopedMemory.guard`."""
        self._scoped = scoped
        self._memory = scoped._memory
        self._scope = scoped.scope.model_copy(update={"session": None})

    # -------------------------------------------------------------------------------------------------- quarantine

    def list(self) -> builtins.list[Event]:
        """Return what is held back, oldest first.

        That is what is quarantined, with the signals that it gave in `meta["tierkeep.signals"]`, and what this process has found to be
        among the best hits of everything (hubness).
        """
        view = self._memory._ledger.view(self._scope)
        hubs = view.events(self._hubs())
        return sorted([*view.quarantined(), *hubs], key=lambda event: event.seq)

    def _hubs(self) -> builtins.list[str]:
        hubness = getattr(self._memory._guard, "hubness", None)
        return builtins.list(hubness.held(self._scope)) if hubness is not None else []

    def show(self, id: str) -> Event:
        """Return one event that is held back.

        Raises:
            NotFoundError: Nothing that is held back has that id here.
        """
        hubs = self._hubs()
        found = self._memory._ledger.view(self._scope).events([id])
        if not found or not (found[0].authority == Authority.QUARANTINED or found[0].id in hubs):
            raise NotFoundError(f"nothing that is held back here ({self._scope}) has the id {id!r}", ids=(id,))
        return found[0]

    def release(self, id: str, *, by: str = "operator") -> Event:
        """Let an event out: from now on it is data, and found. Return it.

        Args:
            id: Of an event that is held back.
            by: Who decided, for the log.

        Raises:
            NotFoundError: Nothing that is held back has that id here.
        """
        event = self.show(id)
        hubness = getattr(self._memory._guard, "hubness", None)
        with self._memory._ledger.transaction(self._scope) as transaction:
            if event.authority == Authority.QUARANTINED:
                event = transaction.release(id)
            transaction.log([GuardEntry(verb="release", subject=id, by=by)])
        if hubness is not None:
            hubness.reviewed(self._scope, id)
        if self._memory._indexing is not None:
            self._memory._indexing.notice(self._scope)
        return event

    def reject(self, id: str, *, by: str = "operator") -> ForgetReport:
        """Remove an event that is held back for good; the log keeps its id and why it was held.

        Args:
            id: Of an event that is held back.
            by: Who decided, for the log.

        Raises:
            NotFoundError: Nothing that is held back has that id here.
        """
        reasons = codes(self.show(id).meta.get("tierkeep.signals", ()))
        self.note("reject", id, reasons, by)
        return type(self._scoped)(self._memory, self._scope).forget(ids=[id])

    def log(self, after: int = 0) -> builtins.list[GuardEntry]:
        """Return the guard's entries about this owner whose number is greater than `after`, oldest first. They hold no content."""
        return list(self._memory._ledger.view(self._scope).guard_log(after))

    def note(self, verb: GuardVerb, subject: str, reasons: tuple[str, ...] = (), by: str = "") -> None:
        """Write one entry into the log, such as what an application's own check has decided. Ids, hashes and reason codes only."""
        with self._memory._ledger.transaction(self._scope) as transaction:
            transaction.log([GuardEntry(verb=verb, subject=subject, reasons=reasons, by=by)])

    # ------------------------------------------------------------------------------------------------------- lessons

    def lessons(self) -> builtins.list[Record]:
        """Return what was learnt from memories that a consensus held back; `attrs["state"]` is candidate, active or retired."""
        return self._memory._ledger.view(self._scope).records(kind=LESSON)

    def review(self, id: str, *, accept: bool) -> Record:
        """Make a lesson count at once, or retire it. Return it.

        Raises:
            NotFoundError: There is no such lesson here.
        """
        ops = self._memory._lessons.review(id, self._memory._ledger.view(self._scope), accept=accept)
        if not ops:
            raise NotFoundError(f"this scope ({self._scope}) has no lesson {id!r}", ids=(str(id),))
        with self._memory._ledger.transaction(self._scope) as transaction:
            transaction.apply(ops)
            return transaction.view.get([id])[0]

    # ------------------------------------------------------------------------------------------------ confirmations

    def propose(self, id: str) -> Confirmation:
        """Return a question for the user whether a memory is true and may be acted on.

        Raises:
            NotFoundError: There is no such event, or it is quarantined: release it first.
        """
        event = self._standing(id)
        return self._issue(_memory_subject(event), plain(f"{event.speaker}, {event.at[:10]}: {event.text}"))

    def confirm(self, token: str, *, id: str) -> Event:
        """Take the user's yes: the memory has authority to act from now on. Return it.

        Args:
            token: Of the confirmation that `propose` returned for this memory.
            id: The memory.

        Raises:
            ConfirmationError: The token is unknown, used, expired, or of something else.
            NotFoundError: The memory is gone.
        """
        subject = _memory_subject(self._standing(id))
        now = self._memory._clock.now().timestamp()
        with self._memory._ledger.transaction(self._scope) as transaction:
            if not transaction.redeem(_digest(token), subject, now):
                raise ConfirmationError("this confirmation is unknown, used, expired, or of something else: ask the user again")
            event = transaction.elevate(id)
            transaction.log([GuardEntry(verb="elevate", subject=id, reasons=("confirmed",), by="user")])
        return event

    def _standing(self, id: str) -> Event:
        found = self._memory._ledger.view(self._scope).events([id]) if isinstance(id, str) else []
        if not found or found[0].authority == Authority.QUARANTINED:
            raise NotFoundError(f"this scope ({self._scope}) has no event {id!r} that could be confirmed", ids=(str(id),))
        return found[0]

    def _issue(self, subject: str, text: str) -> Confirmation:
        token = secrets.token_urlsafe(32)
        expires = self._memory._clock.now() + timedelta(seconds=self._memory._settings.guard.confirm_s)
        with self._memory._ledger.transaction(self._scope) as transaction:
            transaction.issue(_digest(token), subject, expires.timestamp())
        return Confirmation(token=token, subject=subject, text=text, expires_at=expires.isoformat())

    # --------------------------------------------------------------------------------------------------- the gate

    def gate(self, tools: Mapping[str, ToolPolicy] | None = None) -> ActionGate:
        """Return the gate on tool calls.

        Args:
            tools: What the application says of its tools, by name.
        """
        return ActionGate(self, dict(tools or {}))

    alist = twin(list)
    ashow = twin(show)
    arelease = twin(release)
    areject = twin(reject)
    alog = twin(log)
    alessons = twin(lessons)
    areview = twin(review)
    apropose = twin(propose)
    aconfirm = twin(confirm)


class ActionGate:
    """Decides whether a tool call may be made (guard spec, section 6).

    Every value of a call must come from what the user asks for right now, from memories that all have authority to act, or from several
    trusted ones that are independent of one another; or the user has confirmed exactly this call. A value from anywhere else is refused,
    whatever the model says. Each decision goes into the owner's log.
    """

    def __init__(self, guard: ScopedGuard, tools: Mapping[str, ToolPolicy]) -> None:
        """Bind an owner and tools. Callers use `ScopedGuard.gate`."""
        wrong = [name for name, policy in tools.items() if not isinstance(policy, ToolPolicy)]
        if wrong:
            raise InputError(f"tools must map names to ToolPolicy(…): see {wrong[0]!r}", field="tools")
        self._guard = guard
        self._tools = tools

    def check(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        *,
        request: str,
        context: Context | None = None,
        confirmation: str | None = None,
        deadline_s: float | None = None,
    ) -> ActionDecision:
        """Return whether the call may be made, and why.

        Args:
            tool: The tool's name.
            arguments: As the model gave them.
            request: What the user asks for right now, in their own words; "" when nobody asks.
            context: All that the model has seen beside the request and your own prompt: evidence, events, ids of events; empty when there
                was nothing else, None when nobody knows. It decides about values that stand in no memory and in no request.
            confirmation: The token of `ask`, after the user has said yes. It is used up by a call that it lets pass.
            deadline_s: Seconds after which what could not be looked up counts as doubtful.

        Raises:
            InputError: The arguments are not plain JSON values, or the request is not a text.
            LimitError: They are too many, or nested too deeply.
            StorageError: The store cannot be read or written. Then the call must not be made.
        """
        subject = subject_of(canonical(tool, arguments))
        if not isinstance(request, str):
            raise InputError(f"request must be the user's words, not a {type(request).__name__}", field="request")
        decision = self._decide(tool, arguments, request, context, subject, deadline_s)
        if not decision.allowed and confirmation is not None and self._redeemed(confirmation, subject):
            return decision.model_copy(update={"allowed": True, "reasons": ("confirmed",)})
        if "read_only" not in decision.reasons:
            self._guard.note("allow" if decision.allowed else "deny", subject, decision.reasons, "gate")
        return decision

    def _decide(
        self, tool: str, arguments: Mapping[str, Any], request: str, context: Context | None, subject: str, deadline_s: float | None
    ) -> ActionDecision:
        policy = self._tools.get(tool, ToolPolicy())
        if not policy.side_effects:
            return ActionDecision(allowed=True, tool=tool, subject=subject, reasons=("read_only",))
        memory, scope = self._guard._memory, self._guard._scope
        settings = memory._settings.guard
        rules = Rules(settings.corroborate, settings.act_from == "user")
        view = memory._ledger.view(scope)
        allowance = Allowance(memory._clock, seconds=deadline_s)
        seen = None if context is None else self._events(context)
        findings = []
        for value in values_of(arguments, policy.free):
            wanted = normal(value.text)
            holds = functools.partial(_holds, wanted)
            holders = memory._containing(*spellings(value.text), holds, view, allowance) if wanted else []
            findings.append(weigh(value, request, holders, seen, rules))
        if not findings:  # a call that names nothing: whoever had a say in it must be trusted
            findings.append(weigh(_NOTHING, request, [], seen, rules))
        refused = tuple(dict.fromkeys(finding.reason for finding in findings if not finding.allowed))
        # By slots and not by meaning: "send something to an address" is near every e-mail.
        lessons = Lessons(memory._settings.amemguard).consult(canonical(tool, arguments), view, memory._clock.now().isoformat())
        if lessons and any(finding.reason != "in_request" for finding in findings):
            refused = (*refused, "lesson")  # what memories stand behind is doubted; what the user asks for now is not
        return ActionDecision(
            allowed=not refused, tool=tool, subject=subject,
            reasons=refused or tuple(dict.fromkeys(finding.reason for finding in findings)),
            findings=tuple(findings), lessons=tuple(lesson.id for lesson in lessons),
        )  # fmt: skip

    def _events(self, context: Context) -> list[Event] | None:
        """Return the events of what was in the window; None when some are not there any more, because then nobody knows."""
        if isinstance(context, Evidence):
            if not all(item.sources for item in context.items):
                return None
            named: Iterable[str] = (source for item in context.items for source in item.sources)
        else:
            named = (one.id if isinstance(one, Event) else str(one) for one in ([context] if isinstance(context, str) else context))
        ids = list(dict.fromkeys(named))
        found = self._guard._memory._ledger.view(self._guard._scope).events(ids)
        return found if len(found) == len(ids) else None

    def _redeemed(self, token: str, subject: str) -> bool:
        memory, scope = self._guard._memory, self._guard._scope
        with memory._ledger.transaction(scope) as transaction:
            redeemed = transaction.redeem(_digest(token), subject, memory._clock.now().timestamp())
            if redeemed:
                transaction.log([GuardEntry(verb="confirm", subject=subject, reasons=("confirmed",), by="user")])
        return redeemed

    def enforce(self, tool: str, arguments: Mapping[str, Any], **how: Any) -> ActionDecision:
        """Do the same as `check`, and raise when the call may not be made.

        Raises:
            ActionDenied: It may not; the message says which argument, and `ask` gets the user's word on it.
        """
        decision = self.check(tool, arguments, **how)
        if not decision:
            bad = next((finding for finding in decision.findings if not finding.allowed), None)
            why = "a lesson speaks of an action like it"
            if bad is not None:
                why = f"nobody who may stands behind its argument {bad.argument!r} ({bad.reason})"
            raise ActionDenied(
                f"{tool} was not called: {why}. Let the user confirm this call (gate.ask), or say the values themselves",
                reasons=decision.reasons, subject=decision.subject,
            )  # fmt: skip
        return decision

    def ask(self, tool: str, arguments: Mapping[str, Any]) -> Confirmation:
        """Return a question for the user about exactly this call; its token, handed to `check`, lets it pass once.

        Raises:
            InputError: The arguments are not plain JSON values.
            StorageError: The store cannot be written.
        """
        call = canonical(tool, arguments)
        shown = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
        return self._guard._issue(subject_of(call), f"{tool}({shown})")  # whole: nobody can say yes to what is not shown

    def guarded(self, function: _F, *, request: Callable[[], str], context: Callable[[], Context | None] | None = None) -> _F:
        """Return a tool that asks the gate before it does anything.

        Args:
            function: The tool, sync or async.
            request: Gives what the user asks for right now.
            context: Gives what of the memory is in the model's window.

        Raises:
            ActionDenied: When the tool is called and the gate refuses.
        """
        signature = inspect.signature(function)

        def allow(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
            bound = signature.bind(*args, **kwargs).arguments
            self.enforce(function.__name__, dict(bound), request=request(), context=None if context is None else context())

        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def later(*args: Any, **kwargs: Any) -> Any:
                import asyncio

                await asyncio.to_thread(allow, args, kwargs)
                return await function(*args, **kwargs)

            return later  # type: ignore[return-value]

        @functools.wraps(function)
        def now(*args: Any, **kwargs: Any) -> Any:
            allow(args, kwargs)
            return function(*args, **kwargs)

        return now  # type: ignore[return-value]

    acheck = twin(check)
    aask = twin(ask)


def _holds(wanted: str, text: str) -> bool:
    return mentions(wanted, normal(text))


def _digest(token: str) -> bytes:
    return hashlib.sha256(str(token).encode("utf-8", "surrogatepass")).digest()


def _memory_subject(event: Event) -> str:
    return subject_of(f"{event.id}\n{event.text}")
