"""HyMem's merge on write: a new sentence takes in the older ones that it repeats or corrects (tiers spec, 2.2, the later code).

Without a model nothing is merged, because no rule knows whether two alike sentences speak of one thing; a sentence that is there word for
word only gains a source. Ours: a merge ends the older sentences and keeps them, and no sentence ends one that has more authority.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from tierkeep.allowance import Allowance
from tierkeep.prompts import hymem
from tierkeep.protocols import Extractor, View
from tierkeep.records import Op, Record
from tierkeep.rendering import plain
from tierkeep.settings import HyMemSettings
from tierkeep.skills import Skills
from tierkeep.write.key_information import KEY_INFORMATION, SEGMENT
from tierkeep.write.rederive import rederived
from tierkeep.write.sentences import borrowed

_BY = "MergingReconciler"
#: Longest reply (tiers 2.5), and characters of a merged sentence (ours).
_MAX_TOKENS = 2_048
_SENTENCE_CHARS = 600


class Alike(Protocol):
    """A record and how alike it is to a text, in [0, 1]."""

    @property
    def record(self) -> Record:
        """The record."""
        ...


class Similar(Protocol):
    """Finds the active records that are most like a text (see `RecordSearch.similar`)."""

    def similar(
        self, text: str, view: View, *, kind: str, k: int, at_least: float, but: Collection[str] = ()
    ) -> Sequence[Alike]:
        """Return at most `k` records of a kind, most alike first, none of `but`."""
        ...


class _Merge(NamedTuple):
    """What one new sentence becomes: its text, and the older ones it replaces."""

    text: str
    replaced: tuple[Record, ...]


class MergingReconciler:
    """Adds segments and sentences, and merges sentences.

    Args:
        extractor: Reads again what a forget has touched.
        search: Finds the older sentences that are like a new one.
        skills: The model that decides; None to merge nothing.
        settings: How many older ones are compared, and how alike they must be.
    """

    def __init__(self, extractor: Extractor, search: Similar, skills: Skills | None, settings: HyMemSettings) -> None:
        self._extractor = extractor
        self._search = search
        self._skills = skills
        self._settings = settings

    def reconcile(self, drafts: Sequence[Record], view: View, allowance: Allowance) -> list[Op]:
        """Return ops: new segments, then for each sentence an added source, a merge or an addition. One model call at most."""
        return self._ops(drafts, view, allowance, frozenset())

    def rebuild(self, view: View, allowance: Allowance) -> list[Op]:
        """Return ops that remove what lost a source and add what its remaining messages say."""
        deletions, drafts = rederived((SEGMENT, KEY_INFORMATION), self._extractor, view, allowance)
        gone = frozenset(op.target for op in deletions if op.target)
        return [*deletions, *self._ops(drafts, view, allowance, gone)]

    def _ops(self, drafts: Sequence[Record], view: View, allowance: Allowance, gone: frozenset[str]) -> list[Op]:
        known = {record.id for record in view.get([draft.id for draft in drafts])} - gone
        segments = {draft.id: draft for draft in drafts if draft.kind == SEGMENT and draft.id not in known}
        ops = [Op(op="add", record=segment, relation="independent", why="a segment", by=_BY) for segment in segments.values()]
        fresh: dict[str, Record] = {}
        for draft in _distinct([draft for draft in drafts if draft.kind == KEY_INFORMATION]):
            same = [held for held in view.records(kind=KEY_INFORMATION, key=draft.key) if held.authority == draft.authority]
            if same:
                ops += _said_again(same[0], draft, gone)
            elif draft.id not in known:  # else it was merged before, and what took it in still stands
                fresh[draft.id] = draft
        merges = self._merges(list(fresh.values()), view, allowance)
        for draft in fresh.values():
            ops += _merged(draft, merges[draft.id]) if draft.id in merges else [_added(draft)]
        return ops

    def _merges(self, fresh: Sequence[Record], view: View, allowance: Allowance) -> dict[str, _Merge]:
        """Return what the model merges; nothing when it cannot be asked or its reply does not fit."""
        if self._skills is None:
            return {}
        near = [(draft, self._neighbours(draft, fresh, view)) for draft in fresh]
        cases = [(draft, older) for draft, older in near if older]
        if not cases:
            return {}
        numbers = {id_: place for place, id_ in enumerate(dict.fromkeys(old.id for _, older in cases for old in older))}
        prompt = hymem.merging([(draft, [(numbers[old.id], old) for old in older]) for draft, older in cases])
        reply = self._skills.use("consolidate", prompt, hymem.MergeReply, allowance, max_tokens=_MAX_TOKENS)
        merges: dict[str, _Merge] = {}
        taken: set[str] = set()
        for decision in reply.ops if reply is not None else ():
            if decision.action != "merge" or not 0 <= decision.new < len(cases):
                continue
            draft, older = cases[decision.new]
            text = plain(decision.text)[:_SENTENCE_CHARS]
            named = [old for old in older if numbers[old.id] in decision.targets and old.id not in taken]
            # A sentence with words of a further one would outlive the messages behind that: then both stay as they are.
            rests_on = {source for one in (draft, *named) for source in one.sources}
            others = (one.text for case, alike in cases for one in (case, *alike) if not rests_on.issuperset(one.sources))
            mixed = borrowed(text, [one.text for one in (draft, *named)], others)
            if text and named and draft.id not in merges and not mixed:
                merges[draft.id] = _Merge(text, tuple(named))
                taken.update(old.id for old in named)
        return merges

    def _neighbours(self, draft: Record, fresh: Sequence[Record], view: View) -> list[Record]:
        own, batch = self._settings, [record.id for record in fresh]
        found = self._search.similar(
            draft.text, view, kind=KEY_INFORMATION, k=own.merge_neighbours, at_least=own.merge_at_least_lexical, but=batch
        )
        return [alike.record for alike in found if alike.record.authority <= draft.authority]


def _distinct(drafts: Sequence[Record]) -> list[Record]:
    """Return the sentences of one batch, each once: one that is said twice rests on both, unless one has less authority."""
    by_key: dict[tuple[str, int], Record] = {}
    for draft in drafts:
        held = by_key.get((draft.key, draft.authority))
        by_key[draft.key, draft.authority] = draft if held is None else _united(held, (draft,))
    return list(by_key.values())


def _united(record: Record, others: Sequence[Record]) -> Record:
    """Return the record resting on the others too: union of sources and links, the newest time, the least authority."""
    together = (record, *others)
    least, newest = min(together, key=lambda one: one.authority), max(together, key=lambda one: _moment(one.observed_at))
    return record.model_copy(
        update={
            "sources": tuple(dict.fromkeys(source for one in together for source in one.sources)),
            "links": tuple({link[:2]: link for one in together for link in one.links if link[0] == SEGMENT}.values()),
            "observed_at": newest.observed_at, "valid_from": newest.valid_from,
            "origin": least.origin, "authority": least.authority,
        }
    )  # fmt: skip


def _added(draft: Record) -> Op:
    return Op(op="add", record=draft, relation="independent", why="a new sentence", by=_BY)


def _said_again(held: Record, draft: Record, gone: frozenset[str]) -> list[Op]:
    """Return the op that lets a sentence rest on a further segment; none when it does already."""
    links = [*(link for link in held.links if link[1] not in gone)]
    links += [link for link in draft.links if link[:2] not in {own[:2] for own in links}]
    added = [source for source in draft.sources if source not in held.sources]
    if not added and links == list(held.links):
        return []
    newest = max((held, draft), key=lambda one: _moment(one.observed_at))
    patch = {"sources": added, "links": links, "observed_at": newest.observed_at}
    return [Op(op="update", target=held.id, patch=patch, relation="duplicate", why="said again", by=_BY)]


def _merged(draft: Record, merge: _Merge) -> list[Op]:
    """Return the ops that put one sentence in the place of the older ones, which stay readable with the time they ended."""
    first, *others = merge.replaced
    new = _united(draft, merge.replaced)
    speakers = {str(one.attrs.get("speaker", "")) for one in (draft, *merge.replaced)}
    attrs = {**draft.attrs, "speaker": speakers.pop() if len(speakers) == 1 else "", "by": "model"}
    replaces = tuple(("supersedes", old.id, 1.0) for old in merge.replaced)
    identity = repr((new.scope.partition, draft.id, merge.text, [old.id for old in merge.replaced])).encode("utf-8", "replace")
    key = hashlib.sha256(repr(("merged", merge.text)).encode("utf-8", "replace")).hexdigest()[:32]
    new = new.model_copy(
        update={
            "id": hashlib.sha256(identity).hexdigest()[:32], "text": merge.text, "key": key, "attrs": attrs,
            "links": (*new.links, *replaces),
        }
    )  # fmt: skip
    # Only one record can be superseded by a new one; the others end with it, and are linked from it all the same.
    ends = [Op(op="retract", target=old.id, patch={"valid_to": new.observed_at}, why="merged", by=_BY) for old in others]
    return [Op(op="supersede", target=first.id, record=new, relation="extends", why="merged", by=_BY), *ends]


def _moment(at: str) -> datetime:
    if not at:
        return datetime.min.replace(tzinfo=UTC)
    moment = datetime.fromisoformat(at)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
