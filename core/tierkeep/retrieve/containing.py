"""Which of a scope's events hold a value: the look-up behind the gate on tool calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from tierkeep.allowance import Allowance
from tierkeep.protocols import View
from tierkeep.records import Event
from tierkeep.retrieve.index import ScopeIndex
from tierkeep.retrieve.indexes import ScopeIndexes
from tierkeep.terms import MAX_TERMS, term_ids

__all__ = ["MOST_HOLDERS", "MOST_WITH_PART", "Containing"]

#: Events that are read for one value at most. A value that more of them may hold says nothing about where it comes from (ours).
MOST_HOLDERS = 2_048
#: Events that are read because they have one word of a value (ours).
MOST_WITH_PART = 256


class Containing:
    """Finds events by a value's rarest words in the lexical index, and reads those.

    A text so long that only its beginning is indexed is read whatever the value is, and so is what is quarantined: it has no words there.

    Args:
        indexes: The indexes that searches use.
    """

    def __init__(self, indexes: ScopeIndexes) -> None:
        self._indexes = indexes

    def __call__(
        self, spellings: Sequence[str], parts: Sequence[str], holds: Callable[[str], bool], view: View, allowance: Allowance
    ) -> list[Event] | None:
        """Return the events that hold a value, in ledger order; None when not all of the scope could be looked at.

        Args:
            spellings: What is looked for, in all the ways in which it may be written.
            parts: Words of it, looked up one by one where no more than `MOST_WITH_PART` have them.
            holds: Whether a text really holds it: words alone may be spread over it.
            view: The scope.
            allowance: For its deadline.
        """
        with self._indexes.use(view, allowance) as (index, complete):
            if not complete:
                return None
            found = [_rows(index, spelling) for spelling in spellings]
            found += [rows for rows in (_rows(index, part) for part in parts) if len(rows) <= MOST_WITH_PART]
            rows = np.unique(np.concatenate([np.flatnonzero(index.size >= MAX_TERMS), *found]))
            if len(rows) > MOST_HOLDERS:
                return None
            seqs = index.seq[rows].tolist()
        looked_at = {event.seq: event for event in [*view.events_at(seqs), *view.quarantined()]}
        return [looked_at[seq] for seq in sorted(looked_at) if holds(looked_at[seq].text)]


def _rows(index: ScopeIndex, spelling: str) -> NDArray[np.intp]:
    """Return the rows of the events that have all words of a spelling; none for a spelling without words."""
    terms = np.unique(term_ids(spelling))
    found = sorted((index.find(terms[at : at + 1]).rows for at in range(len(terms))), key=len)
    rows: NDArray[np.intp] = np.asarray(found[0] if found else [], np.intp)
    for other in found[1:]:
        if not len(rows):
            break
        rows = np.intersect1d(rows, other, assume_unique=True)
    return rows
