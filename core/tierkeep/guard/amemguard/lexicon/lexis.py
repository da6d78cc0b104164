"""The tables that one language has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Lexis:
    """Words of one language by what they stand for; blanks between them, `*` for any ending.

    Attributes:
        actions: What an agent does, by concept: send, pay, delete, grant, run, change, buy.
        controls: Safeguards, by concept: verification, approval, review, audit, authentication, protection, consent, rule.
        weaken: What takes a safeguard away or puts it off.
        deny: What turns a sentence into its opposite.
        need: What says that something is needed: with a denial before it, it is not.
        wide: What says that an action is about everything, or about what cannot be had back.
        condition: What begins a condition.
    """

    actions: Mapping[str, str]
    controls: Mapping[str, str]
    weaken: str
    deny: str
    need: str
    wide: str
    condition: str

    def forms(self) -> Iterator[tuple[str, str, str]]:
        """Yield (slot, concept, form) of every word."""
        for slot, groups in (("action", self.actions), ("control", self.controls)):
            for concept, words in groups.items():
                yield from ((slot, concept, form) for form in words.split())
        for slot in ("weaken", "deny", "need", "wide", "condition"):
            yield from ((slot, slot, form) for form in str(getattr(self, slot)).split())
