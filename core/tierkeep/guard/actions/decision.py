"""Whether the values of a tool call may cause it (guard spec, section 6.4): the user's request, or memories that all have authority."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tierkeep.guard.actions.mentions import asserts, forbids, normal, own_words
from tierkeep.guard.actions.values import Value
from tierkeep.records import ArgumentFinding, Authority, Event, Source

__all__ = ["Rules", "effective", "weigh"]

_OWN_WORD = frozenset({Source.USER_DIRECT, Source.USER_CONFIRMED})
_OPERATED = frozenset({Source.OPERATOR, Source.SYSTEM_POLICY})
#: Origins that can count towards corroboration (6.3a): trusted, each in a domain of its own.
_TRUSTED = _OWN_WORD | _OPERATED | {Source.TOOL_TRUSTED}
#: An agent's words repeat what was in its window. They are a source of their own only where nothing came before.
_REPEATS = Source.AGENT_INFERRED


class Rules(NamedTuple):
    """The numbers of the gate.

    Attributes:
        corroborate: Independent trusted principals that a value needs.
        own_words_act: Whether the user's own stored words may stand behind an action without being confirmed.
    """

    corroborate: int = 2
    own_words_act: bool = False


def effective(event: Event, rules: Rules) -> Authority:
    """Return what an event may cause, with what the rules add to the user's own words."""
    if rules.own_words_act and event.origin.source in _OWN_WORD and event.authority >= Authority.ADVISE:
        return Authority.ACT
    return event.authority


def weigh(value: Value, request: str, holders: Sequence[Event] | None, context: Sequence[Event] | None, rules: Rules) -> ArgumentFinding:
    """Return where a value comes from, and whether that may stand behind an action.

    Args:
        value: One value of the call.
        request: What the user asks for right now.
        holders: The owner's events that hold the value, in ledger order; None when not all could be looked at.
        context: What of the memory was in the model's window; None when nobody knows.
        rules: The numbers.
    """
    own = own_words(request)
    finding = _weighed(value, own, holders, context, rules)
    if finding.allowed and forbids(value.text, own):  # the user's no of this moment is above all that is stored
        return finding.model_copy(update={"allowed": False, "reason": "forbidden"})
    return finding


def _weighed(value: Value, request: str, holders: Sequence[Event] | None, context: Sequence[Event] | None, rules: Rules) -> ArgumentFinding:
    wanted = normal(value.text)

    def found(allowed: bool, reason: str, support: Sequence[Event] = ()) -> ArgumentFinding:
        return ArgumentFinding(argument=value.path, allowed=allowed, reason=reason, support=tuple(event.id for event in support))

    if wanted and asserts(value.text, request):
        return found(True, "in_request")
    if holders is None:
        return found(False, "too_many_holders")
    held_back = [event for event in holders if event.authority == Authority.QUARANTINED]
    sources = _sources([event for event in holders if event.authority > Authority.QUARANTINED])
    if wanted and len(_vouching(value.text, holders, rules.corroborate)) >= rules.corroborate:
        return found(True, "corroborated", sources)
    if doubtful := [event for event in sources or held_back if effective(event, rules) < Authority.ACT]:
        return found(False, "untrusted_support", doubtful)
    if sources:  # "never pay ACCT-7" stands behind no payment, and neither does what only looks like it
        unclear = [event for event in sources if not asserts(value.text, event.text)]
        return found(False, "unclear_support", unclear) if unclear else found(True, "vouched", sources)
    if context is None:
        return found(False, "no_source")
    doubtful = [event for event in context if effective(event, rules) < Authority.ACT]
    return found(False, "context_untrusted", doubtful) if doubtful else found(True, "context_trusted", context)


def _sources(holders: Sequence[Event]) -> list[Event]:
    """Return the events that a value can come from: of those, an agent's repetition of what came before is none."""
    first = next((event.seq for event in holders if event.origin.source != _REPEATS), None)
    return [event for event in holders if event.origin.source != _REPEATS or first is None or event.seq < first]


def _vouching(value: str, holders: Sequence[Event], most: int) -> set[str]:
    """Return the trust domains that independently assert the value (6.3a), or none where there are fewer than `most`.

    Repetition by others never counts.

    A trusted tool that says what somebody untrusted says too may only echo it, whoever was stored first (6.2), so it does not count.
    What the user or an operator has forbidden is vouched for by nobody.
    """
    may = {_domain(event) for event in holders if event.origin.source in _TRUSTED and event.authority >= Authority.ADVISE}
    if len(may) < most:  # no text has to be read
        return set()
    if any(event.origin.source in _OWN_WORD | _OPERATED and forbids(value, event.text) for event in holders):
        return set()
    trusted = [event for event in holders if event.origin.source in _TRUSTED and event.authority > Authority.QUARANTINED]
    first = trusted[0].seq if trusted else 0
    # What an agent says after them is their echo.
    tainted = any(
        event.origin.source not in _TRUSTED and (event.origin.source != _REPEATS or event.seq < first)
        for event in holders
    ) or any(event.authority == Authority.QUARANTINED for event in holders)  # fmt: skip
    return {
        _domain(event)
        for event in trusted
        if event.authority >= Authority.ADVISE
        and not event.parents
        and not (tainted and event.origin.source == Source.TOOL_TRUSTED)
        and asserts(value, event.text)
    }


def _domain(event: Event) -> str:
    """Return what the event can be compromised together with; all that one user says is one."""
    if event.origin.source in _OWN_WORD:
        return "user"
    if event.origin.source in _OPERATED:
        return normal(event.origin.trust_domain) or "operator"
    return normal(event.origin.trust_domain or f"tool:{event.origin.principal}")
