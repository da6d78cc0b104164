"""The lexical indexes of recently used scopes, kept in bounded memory and always level with the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from tierkeep.allowance import Allowance
from tierkeep.protocols import View
from tierkeep.retrieve.index import ScopeIndex
from tierkeep.retrieve.shelf import Room, Shelf, Slot

__all__ = ["Lent", "ScopeIndexes"]


_MANY = 1_024  # events that were added just now: whoever waited for them need not wait for what only later questions gain


class Lent(NamedTuple):
    """A scope's index, and whether it holds all of the scope: it does not when time ran out while it was made."""

    of_scope: ScopeIndex
    complete: bool


class ScopeIndexes:
    """Builds a scope's index when it is first asked for, and extends it by what the ledger got since.

    An index is derived: when the ledger says that something it holds may have gone (its generation changed), it is built anew.

    Args:
        room: Memory that all indexes together may hold, a number of bytes or shared with others. The one in use is never dropped, however
            large.
    """

    def __init__(self, room: Room | int) -> None:
        self._shelf: Shelf[tuple[str, str, str], ScopeIndex] = Shelf(room, ScopeIndex)

    @contextmanager
    def use(self, view: View, allowance: Allowance) -> Iterator[Lent]:
        """Give the scope's index, level with the ledger, to one reader at a time.

        When time runs out while another reader has it, or while it is being made, it is given incomplete; the next use goes on
        from there.

        Args:
            view: The scope.
            allowance: For its deadline.
        """
        with self._shelf.take(view.scope.partition, allowance) as slot:
            yield Lent(ScopeIndex(), False) if slot is None else self._lend(slot, view, allowance)

    def nbytes(self) -> int:
        """Return the bytes held by all indexes, as of when each was last used."""
        return self._shelf.nbytes()

    def __len__(self) -> int:
        """The number of scopes whose index is held."""
        return len(self._shelf)

    @staticmethod
    def _lend(slot: Slot[ScopeIndex], view: View, allowance: Allowance) -> Lent:
        generation, newest = view.generation, view.last_seq
        if generation != slot.generation:
            slot.held = ScopeIndex()
        # Until it is done: an extension that is broken off leaves columns of different lengths, so the next use starts anew.
        slot.generation = None
        pages = view.term_pages(max(slot.held.last_seq, 0)) if newest > slot.held.last_seq else iter(())
        complete, added = True, 0
        for page in pages:
            slot.held.add(page)
            added += len(page.seq)
            complete = slot.held.last_seq >= newest or not allowance.expired()
            if not complete:
                break
        if added < _MANY and not allowance.expired():
            slot.held.settle()
        slot.generation = generation
        return Lent(slot.held, complete)
