"""The person's own rules, strongest first (MemFlow's constraint transform; tiers spec, 1.4)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tierkeep.compose.lines import Line
from tierkeep.records import FROM_USER, EvidenceItem, Query, SlotValue

#: Preferences named after what binds (ours): many are liked, and a line stays short.
_PREFERENCES = 3

_FORBIDS = re.compile(r"^(?:please )?(?:never|don't|don\u2019t|do not|no |stop |avoid )", re.IGNORECASE)
_PREFERS = 2


def rule_lines(query: Query, items: Sequence[EvidenceItem]) -> list[Line]:
    """Return one line with the prohibitions, obligations and preferences that hold, in that order.

    What was revoked, or is over on the day of the question, is left out, and so is what anybody but the user said of themselves. No line
    when nothing binds, or when there is one rule only: its item says it already.

    Args:
        query: For its day.
        items: The items shown that may be relied on.
    """
    rules: list[tuple[int, int, str, str]] = []
    for place, item in enumerate(items):
        held = item.held
        if held is None or item.flag not in ("CURRENT", "PROFILE") or item.origin not in FROM_USER:
            continue
        strength = _strength(held)
        if strength is not None and (not held.until or held.until > query.now[: len(held.until)]):
            rules.append((strength, place, f"{held.slot}: {held.value}", item.id))
    rules.sort()
    binding = sum(strength < _PREFERS for strength, *_ in rules)
    rules = rules[: binding + _PREFERENCES]
    if not binding or len(rules) < 2:
        return []
    return [Line("Rules that hold, strongest first: " + "; ".join(rule[2] for rule in rules), tuple(rule[3] for rule in rules))]


def _strength(held: SlotValue) -> int | None:
    """Return 0 for a prohibition, 1 for an obligation, 2 for a preference, None for what binds nothing."""
    if held.kind == "constraint" or held.slot == "avoids":
        return 0
    if held.kind == "instruction":
        return 0 if _FORBIDS.search(held.value) else 1
    return _PREFERS if held.kind == "preference" else None
