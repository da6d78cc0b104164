"""D-Mem's update: a new fact is added, replaces a known one, ends known ones, or only says one again (tiers spec, 3.2, step 2).

Ours, for safety: nothing close to a fact means ADD without a call; UPDATE keeps the old version in the history; DELETE is a tombstone; a
fact ends none that has more authority; and what a reply leaves open is added, so that no reply can lose a fact.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from tierkeep.allowance import Allowance
from tierkeep.prompts import dmem
from tierkeep.protocols import Extractor, View
from tierkeep.records import Op, Record
from tierkeep.rendering import plain
from tierkeep.settings import DMemSettings
from tierkeep.skills import Skills
from tierkeep.terms import analyze
from tierkeep.write.facts import Similar, identity, normalised
from tierkeep.write.rederive import rederived
from tierkeep.write.sentences import borrowed

__all__ = ["UpdateReconciler"]

_BY = "UpdateReconciler"
_MAX_TOKENS = 1_024
_LONGEST = 1_000
#: Known facts looked at for each that is compared: the nearest ones may be another speaker's.
_WIDER = 4
#: Sources kept of a fact that is said again and again; more prove nothing more (ours).
_SOURCES = 16
#: Share of two sentences' words from which they say the same (tiers 3.8).
_SAME = 0.9
#: Similarity from which the rules look for another value of the same slot: "I live in Faro" and "I live in Braga" share little (ours).
_SLOT_AT_LEAST = 0.05


class UpdateReconciler:
    """Decides what new facts mean for the known ones: one model call for all that are close to some, the rules without one.

    Args:
        extractor: Reads again what a forget has touched.
        known: Where known facts are looked up.
        settings: How many are compared, and how alike they must be.
        skills: The model; None for the rules alone.
    """

    def __init__(self, extractor: Extractor, known: Similar, settings: DMemSettings, skills: Skills | None) -> None:
        self._extractor = extractor
        self._known = known
        self._settings = settings
        self._skills = skills

    def reconcile(self, drafts: Sequence[Record], view: View, allowance: Allowance) -> list[Op]:
        """Return the ops for draft facts, in their order."""
        return self._ops(drafts, view, allowance, frozenset())

    def rebuild(self, view: View, allowance: Allowance) -> list[Op]:
        """Return ops that remove what lost a source and add what its remaining messages say."""
        deletions, drafts = rederived(("fact",), self._extractor, view, allowance)
        return [*deletions, *self._ops(drafts, view, allowance, frozenset(op.target for op in deletions if op.target))]

    def _ops(self, drafts: Sequence[Record], view: View, allowance: Allowance, gone: frozenset[str]) -> list[Op]:
        # What stands already, or stood and was ended, is not added a second time.
        there = {record.id for record in view.get([draft.id for draft in drafts])} - gone
        fresh = _distinct([draft for draft in drafts if draft.id not in there])
        near = {draft.id: self._near(draft, view, self._settings.neighbours, self._settings.at_least_lexical) for draft in fresh}
        compared = [draft for draft in fresh if near[draft.id]]
        known = list({record.id: record for draft in compared for record in near[draft.id]}.values())
        reply = None
        if compared and self._skills is not None:
            prompt = dmem.consolidate(compared, known)
            reply = self._skills.use("consolidate", prompt, dmem.ConsolidateReply, allowance, max_tokens=_MAX_TOKENS)
        batch = _Batch()
        if reply is None:
            for draft in fresh:
                self._by_rules(draft, near[draft.id], view, batch)
            return batch.ops
        decided = {op.new: op for op in reversed(reply.ops)}
        numbers = {draft.id: place for place, draft in enumerate(compared)}
        for draft in fresh:
            batch.decide(draft, decided.get(numbers.get(draft.id, -1)), known, compared)
        return batch.ops

    def _near(self, draft: Record, view: View, k: int, at_least: float) -> list[Record]:
        """Return the known facts of the same speaker that are most like a draft."""
        found = self._known.similar(draft.text, view, kind="fact", k=k * _WIDER, at_least=at_least)
        return [one.record for one in found if _speaker(one.record) == _speaker(draft)][:k]

    def _by_rules(self, draft: Record, near: Sequence[Record], view: View, batch: _Batch) -> None:
        """Decide by words alone: the same sentence, another value of one slot, else something new (tiers 3.8)."""
        same = next((record for record in near if _alike(record, draft) >= _SAME and not _other_value(record, draft)), None)
        if same is not None:
            batch.say_again(draft, same)
            return
        slot = draft.attrs.get("slot")
        wider = [*self._near(draft, view, self._settings.similar, _SLOT_AT_LEAST), *batch.added(draft)] if slot else []
        held = [record for record in wider if record.attrs.get("slot") == slot and not batch.ended(record)]
        # One value held and another said later: that is a change. More than one held: nobody knows which.
        values = {_value(record) for record in held}
        if len(values) == 1 and _value(draft) not in values and all(_moment(record) <= _moment(draft) for record in held):
            batch.replace(draft, *held)
        else:
            batch.add(draft)


class _Batch:
    """The ops of one reconciliation; no record is ended twice."""

    def __init__(self) -> None:
        self.ops: list[Op] = []
        self._ended: set[str] = set()

    def decide(self, draft: Record, op: dmem.UpdateOp | None, known: Sequence[Record], compared: Sequence[Record]) -> None:
        """Do what a reply says, as far as its targets exist and may be touched; else add the fact."""
        named = [known[n] for n in dict.fromkeys(op.targets) if 0 <= n < len(known)] if op is not None else []
        targets = [record for record in named if record.id not in self._ended and _speaker(record) == _speaker(draft)]
        may_end = [record for record in targets if draft.authority >= record.authority]
        if op is not None and op.action == "NOOP" and targets:
            self.say_again(draft, targets[0])
        elif op is not None and op.action == "UPDATE" and may_end:
            text = plain(op.text)[:_LONGEST].strip()
            # A text that takes words from further facts would outlive the messages behind them: then the fact's own words stand.
            own = {*draft.sources, *may_end[0].sources}
            others = (record.text for record in (*known, *compared) if not own.issuperset(record.sources))
            mixed = borrowed(text, (draft.text, may_end[0].text), others)
            self.replace(draft, may_end[0], text="" if mixed else text)
        elif op is not None and op.action == "DELETE" and may_end:
            for record in may_end:
                self._end(draft, record)
        else:
            self.add(draft)

    def ended(self, record: Record) -> bool:
        """Return whether this batch ends a record."""
        return record.id in self._ended

    def added(self, draft: Record) -> list[Record]:
        """Return what this batch has added of a draft's speaker."""
        return [op.record for op in self.ops if op.record is not None and _speaker(op.record) == _speaker(draft)]

    def add(self, draft: Record) -> None:
        """Add the fact."""
        self.ops.append(Op(op="add", record=draft, relation="independent", why="new", by=_BY))

    def say_again(self, draft: Record, held: Record) -> None:
        """Let a known fact rest on the new messages too, unless they would take authority from it."""
        if draft.authority < held.authority:
            return  # it stands on better ground; with these messages it could be ended by anybody who said it again
        sources = tuple(source for source in draft.sources if source not in held.sources)
        if sources and held.id not in self._ended and len(held.sources) < _SOURCES:
            patch = {"sources": sources, "observed_at": max(held, draft, key=_moment).observed_at}
            self.ops.append(Op(op="update", target=held.id, patch=patch, relation="duplicate", why="said again", by=_BY))

    def replace(self, draft: Record, held: Record, *more: Record, text: str = "") -> None:
        """Put the fact, in the reply's words when it has some, in the place of a known one; it rests on the messages of both.

        Further ones that say the same as the known one end with it.
        """
        if any(draft.authority < record.authority for record in (held, *more)):
            self.add(draft)
            return
        said = text or draft.text
        sources = tuple(dict.fromkeys((*held.sources, *draft.sources)))
        if normalised(said) == held.key:
            self.say_again(draft, held)  # an update that changes nothing
            return
        self._ended.add(held.id)
        new = draft.model_copy(update={
            "id": identity(_speaker(draft), said, sources), "text": said, "key": normalised(said), "sources": sources,
            "observed_at": max(held, draft, key=_moment).observed_at, **_least(held, draft),
        })  # fmt: skip
        self.ops.append(Op(op="supersede", target=held.id, record=new, relation="contradicts", why="updated", by=_BY))
        for record in more:
            self._end(draft, record)

    def _end(self, draft: Record, held: Record) -> None:
        self._ended.add(held.id)
        # That it no longer holds rests on these messages: when they are forgotten, it is derived again without them.
        sources = tuple(source for source in draft.sources if source not in held.sources)
        if sources:
            self.ops.append(Op(op="update", target=held.id, patch={"sources": sources}, relation="contradicts", why="its end", by=_BY))
        self.ops.append(Op(op="retract", target=held.id, patch={"valid_to": draft.observed_at or None}, why="taken back", by=_BY))


def _distinct(drafts: Sequence[Record]) -> list[Record]:
    """Return the drafts with those of one speaker and authority that say the same word for word made one, resting on all their messages."""
    found: dict[tuple[str, str, int], Record] = {}
    for draft in drafts:
        place = (_speaker(draft), draft.key, int(draft.authority))
        same = found.setdefault(place, draft)
        if same is not draft:
            sources = tuple(dict.fromkeys((*same.sources, *draft.sources)))
            newest = max(same, draft, key=_moment).observed_at
            found[place] = same.model_copy(update={"sources": sources, "observed_at": newest, **_least(same, draft)})
    return list(found.values())


def _least(one: Record, other: Record) -> dict[str, object]:
    least = min(one, other, key=lambda record: record.authority)
    return {"authority": least.authority, "origin": least.origin}


def _speaker(record: Record) -> str:
    return str(record.attrs.get("speaker", ""))


def _alike(one: Record, other: Record) -> float:
    first, second = set(analyze(one.text)), set(analyze(other.text))
    return len(first & second) / len(first | second) if first | second else float(one.key == other.key)


def _other_value(one: Record, other: Record) -> bool:
    """Return whether both give one slot, and not the same value."""
    slot = other.attrs.get("slot")
    return slot is not None and slot == one.attrs.get("slot") and _value(one) != _value(other)


def _value(record: Record) -> str:
    return normalised(str(record.attrs.get("value")))


def _moment(record: Record) -> datetime:
    if not record.observed_at:
        return datetime.min.replace(tzinfo=UTC)
    moment = datetime.fromisoformat(record.observed_at)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
