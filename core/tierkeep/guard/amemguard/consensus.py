"""A-MemGuard's consensus over retrieved memories (guard spec, section 3), with the repairs of 3.10.

It holds back and never vouches: what agrees stays the data that it is. When it cannot tell, it abstains and everything stays, because
what a memory may cause is decided elsewhere, by its origin.
"""

from __future__ import annotations

from collections.abc import Sequence

from tierkeep.allowance import Allowance
from tierkeep.guard.amemguard.backends import Backend, Case, Judged
from tierkeep.guard.amemguard.claims import Claims, read
from tierkeep.guard.amemguard.divergence import vote_weights
from tierkeep.guard.amemguard.origins import own_word, trusted, voices
from tierkeep.guard.amemguard.paths import ClaimReader
from tierkeep.guard.lessons import LEARNT_FROM, Lessons
from tierkeep.protocols import Agreement, View
from tierkeep.records import Hit, Op, Query
from tierkeep.settings import AMemGuardSettings

__all__ = ["AMemGuard"]


class AMemGuard:
    """Compares what retrieved memories would make an agent do, and holds back what disagrees. Several threads may use one.

    Args:
        backend: How it tells.
        settings: Numbers.
        lessons: Keeps what was held back; nothing is learnt without.

    Attributes:
        calls: Model calls of one `agree` at most.
    """

    def __init__(self, backend: Backend, settings: AMemGuardSettings, lessons: Lessons | None = None) -> None:
        self._backend = backend
        self._settings = settings
        self._lessons = lessons
        self._read = ClaimReader(settings)
        self.name = backend.name
        self.calls = backend.calls

    def agree(self, hits: Sequence[Hit], query: Query, view: View, allowance: Allowance) -> Agreement:
        """Return what may be shown. Nothing is compared, and no model asked, when every hit is of trusted origin."""
        guarded = self._settings.mode == "guarded"
        if not hits or (guarded and all(trusted(hit.item) for hit in hits)):
            return Agreement(list(hits))
        if allowance.expired():
            return self._abstained(hits, "no time was left")
        speaking = voices(hits, view)
        most = self._settings.compared
        heard = len(set(speaking[:most]))
        if guarded and heard < self._settings.quorum:
            return self._abstained(hits, f"{heard} of {self._settings.quorum} independent origins")
        claims = self._read(hits, view)
        case = Case(hits[:most], claims[:most], speaking[:most], vote_weights(speaking[:most]), query, view, allowance)
        judged = self._backend.judge(case)
        if not guarded:
            return self._settled(hits, judged.outliers, judged)
        found = {**judged.outliers, **_alone(claims, speaking, hits, query)}
        if self._settings.spare_user:
            found = {place: why for place, why in found.items() if not own_word(hits[place].item)}
        return self._settled(hits, found, judged)

    def lessons(self, agreement: Agreement, query: Query, view: View) -> list[Op]:
        """Return ops that keep what was held back as lessons. Nothing is learnt where it abstained or held everything back."""
        return [] if self._lessons is None else self._lessons.learn(agreement, query, view)

    def _settled(self, hits: Sequence[Hit], found: dict[int, tuple[float, str]], judged: Judged) -> Agreement:
        dropped = tuple((hits[place], *found[place]) for place in sorted(found))
        kept = [hit for place, hit in enumerate(hits) if place not in found]
        notes = []
        if dropped:
            reasons = ", ".join(sorted({reason for _, _, reason in dropped}))
            notes.append(f"consensus ({self.name}) held back {len(dropped)} of {len(hits)}: {reasons}")
        if judged.failed:
            notes.append(f"consensus ({self.name}) could not compare: {judged.failed}")
        # A judge that can be made to fail must not switch off what is read without it.
        return Agreement(kept, dropped, bool(judged.failed) and not dropped, "; ".join(notes))

    def _abstained(self, hits: Sequence[Hit], why: str) -> Agreement:
        return Agreement(list(hits), abstained=True, note=f"consensus ({self.name}) abstained: {why}")


def _alone(claims: Sequence[Claims], speaking: Sequence[int], hits: Sequence[Hit], query: Query) -> dict[int, tuple[float, str]]:
    """Return the hits with a side effect that stands alone (guard spec 3.10.4), however well the rest of them agrees.

    A side effect stands when the user asks for it or has said so, or when at least half of the other voices have it too.
    """
    asked = {side.feature for side in read(query.text).sides()}
    said = {side.feature for hit, one in zip(hits, claims, strict=True) if own_word(hit.item) for side in one.sides()}
    behind: dict[str, set[int]] = {}
    for one, voice in zip(claims, speaking, strict=True):
        for side in one.sides():
            behind.setdefault(side.feature, set()).add(voice)
    others = len(set(speaking)) - 1
    found: dict[int, tuple[float, str]] = {}
    for place, (one, voice) in enumerate(zip(claims, speaking, strict=True)):
        for side in one.sides():
            support = len(behind[side.feature] - {voice})
            if side.feature not in asked | said and support * 2 < others and side.reason in LEARNT_FROM:
                found.setdefault(place, (1.0 - support / others, side.reason))
    return found
