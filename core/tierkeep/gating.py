"""The gate on tool calls, bound to an owner: what a call's values are, where each comes from, whether that may act, and the log of it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from tierkeep.allowance import Allowance
from tierkeep.errors import ActionDenied, InputError
from tierkeep.guard.actions.decision import Rules, weigh
from tierkeep.guard.actions.mentions import mentions, normal, spellings
from tierkeep.guard.actions.values import Value, canonical, digest_of, subject_of, values_of
from tierkeep.guard.lessons import Lessons
from tierkeep.questions import check_deadline
from tierkeep.records import ActionDecision, Confirmation, Event, Evidence, GuardEntry
from tierkeep.twins import twin

if TYPE_CHECKING:
    from tierkeep.guarding import ScopedGuard

__all__ = ["ActionGate", "Context", "ToolPolicy", "refusal"]

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
            InputError: The arguments are not plain JSON values, the request is no text, or the context or deadline is none.
            LimitError: They are too many, or nested too deeply.
            StorageError: The store cannot be read or written. Then the call must not be made.
        """
        subject = subject_of(canonical(tool, arguments))
        if not isinstance(request, str):
            raise InputError(f"request must be the user's words, not a {type(request).__name__}", field="request")
        check_deadline(deadline_s)
        if context is not None and not isinstance(context, (Evidence, Iterable)):
            raise InputError(f"context must be evidence, events or their ids, not a {type(context).__name__}", field="context")
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
            redeemed = transaction.redeem(digest_of(token), subject, memory._clock.now().timestamp())
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
            how_on = "Let the user confirm this call (gate.ask), or say the values themselves"
            raise ActionDenied(f"{refusal(decision)}. {how_on}", reasons=decision.reasons, subject=decision.subject)
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


def refusal(decision: ActionDecision) -> str:
    """Return why a call may not be made, as a sentence without its full stop."""
    bad = next((finding for finding in decision.findings if not finding.allowed), None)
    if bad is not None:
        why = f"nobody who may stands behind its argument {bad.argument!r} ({bad.reason})"
    elif "unavailable" in decision.reasons or "unusable" in decision.reasons:
        why = f"its arguments could not be checked ({decision.reasons[0]})"
    else:
        why = "a lesson speaks of an action like it"
    return f"{decision.tool} was not called: {why}"


def _holds(wanted: str, text: str) -> bool:
    return mentions(wanted, normal(text))
