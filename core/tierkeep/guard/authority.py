"""Authority bound to origin at write, and checked again at read (guard spec, sections 5.2 and 6)."""

from __future__ import annotations

from collections.abc import Sequence

from tierkeep.records import Authority, EventDraft, Hit, Origin, Query, Role, Scope, Source

#: The most that a memory of this origin may ever cause (guard spec 5.2). What is not named here is data.
CEILINGS = {
    Source.SYSTEM_POLICY: Authority.ACT,
    Source.OPERATOR: Authority.ACT,
    Source.USER_CONFIRMED: Authority.ADVISE,
    Source.USER_DIRECT: Authority.ADVISE,
    Source.TOOL_TRUSTED: Authority.ADVISE,
    Source.AGENT_INFERRED: Authority.DATA,
}


def ceiling(origin: Origin) -> Authority:
    """Return the authority that this origin can have at most.

    An agent's own words count as data here: they may repeat anything that was in its window, and the spec's "minimum over
    parents" has no parents to look at for a plain message. A user's yes gives authority only where the front door has taken it
    (`ScopedGuard.confirm`); an application that says so on its own is believed as much as the user's word.
    """
    return CEILINGS.get(origin.source, Authority.DATA)


def origin_of(role: Role, speaker: str) -> Origin:
    """Return the origin that a message has by its role alone.

    A system message is a prompt: nobody vouches for it as a memory, so it is UNKNOWN, which is data.
    """
    if role == "user":
        return Origin.user(speaker)
    if role == "assistant":
        return Origin.agent(speaker)
    if role == "tool":
        return Origin.tool(speaker)
    return Origin(source=Source.UNKNOWN)


class AuthorityGuard:
    """Binds authority to origin on write; never lets a quarantined memory out on read."""

    def admit(self, draft: EventDraft, scope: Scope) -> EventDraft:
        """Return the draft with its authority capped at its origin's ceiling."""
        allowed = min(draft.authority, ceiling(draft.origin))
        return draft if allowed == draft.authority else draft.model_copy(update={"authority": allowed})

    def release(self, hits: Sequence[Hit], query: Query) -> list[Hit]:
        """Return the hits that are of the query's own partition and not quarantined.

        The partition is checked although the store already isolates it: a tier that mixes scopes up must not leak.
        """
        own, least = query.scope.partition, int(Authority.QUARANTINED)
        return [hit for hit in hits if (item := hit.item).authority > least and item.scope.partition == own]
