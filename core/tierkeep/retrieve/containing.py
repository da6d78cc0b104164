"""Which of a scope's events hold a value: the look-up behind the gate on tool calls."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tierkeep.allowance import Allowance
from tierkeep.protocols import View
from tierkeep.records import Event
from tierkeep.retrieve.indexes import ScopeIndexes
from tierkeep.terms import term_ids

__all__ = ["MOST_HOLDERS", "Containing"]

#: Events that are read for one value at most. A value that more of them may hold says nothing about where it comes from (ours).
MOST_HOLDERS = 2_048


class Containing:
    """Finds events by a value's rarest words in the lexical index, and reads those.

    A quarantined event has no words there, and neither has what lies beyond the indexed beginning of a very long text: a value that only
    such a text holds has no source, which the gate treats as doubt.

    Args:
        indexes: The indexes that searches use.
    """

    def __init__(self, indexes: ScopeIndexes) -> None:
        self._indexes = indexes

    def __call__(self, value: str, holds: Callable[[str], bool], view: View, allowance: Allowance) -> list[Event] | None:
        """Return the events that hold a value, in ledger order; None when not all of the scope could be looked at.

        Args:
            value: What is looked for.
            holds: Whether a text really holds it: words alone may be spread over it.
            view: The scope.
            allowance: For its deadline.
        """
        terms = np.unique(term_ids(value))
        if not len(terms):
            return []
        with self._indexes.use(view, allowance) as (index, complete):
            if not complete:
                return None
            found = sorted((index.find(terms[at : at + 1]).rows for at in range(len(terms))), key=len)
            rows = found[0]
            for other in found[1:]:
                if not len(rows):
                    break
                rows = np.intersect1d(rows, other, assume_unique=True)
            if len(rows) > MOST_HOLDERS:
                return None
            seqs = index.seq[rows].tolist()
        return [event for event in view.events_at(seqs) if holds(event.text)]
