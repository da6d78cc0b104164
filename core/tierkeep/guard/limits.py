"""Bounds that hold for whatever reaches the guard, also past the intake (guard spec T6).

The intake refuses what is too large with an error that says what to do, and cuts long texts from outside into parts. A file of unknown
hands comes another way: what is beyond the bounds there is refused here.
"""

from __future__ import annotations

from tierkeep import bounds
from tierkeep.errors import WriteRejected
from tierkeep.records import EventDraft, Scope
from tierkeep.settings import Settings

#: What tierkeep itself may have added to meta: the tool, its call, the part, the parents, what an earlier guard found.
_OWN_KEYS = 8
_OWN_CHARS = 4_096


class LimitsCheck:
    """Refuses a text that is too long, and meta with too many keys, levels or characters, whoever it is from.

    Args:
        settings: The bounds.
    """

    def __init__(self, settings: Settings) -> None:
        self._limits = settings.limits
        self._guard = settings.guard

    def admit(self, draft: EventDraft, scope: Scope) -> EventDraft:
        """Return the draft as it is.

        Raises:
            WriteRejected: It is beyond a bound; the reason is "text_too_long" or "meta_too_large".
        """
        if len(draft.text) > self._limits.text_chars:
            raise WriteRejected(
                f"the guard refuses a text of {len(draft.text):,} characters (the limit is {self._limits.text_chars:,}): split it",
                reasons=("text_too_long",),
            )
        own = self._guard
        found = bounds.excess(
            draft.meta, keys=own.meta_keys + _OWN_KEYS, depth=own.meta_depth, chars=self._limits.meta_chars + _OWN_CHARS
        )
        if found:
            unit = "levels" if found.what == "depth" else found.what
            raise WriteRejected(
                f"the guard refuses meta with more than {found.limit:,} {unit}: keep it elsewhere",
                reasons=("meta_too_large",),
            )
        return draft
