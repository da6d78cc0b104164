"""JSON values under a namespace and a key, for frameworks whose long-term memory is a key-value store.

A value is an event, and what stands under a key is a record that rests on it: origin, redaction, export, undo, seal and forgetting are
those of everything else. A new value supersedes the one before. Recall in the same owner quotes a current value like anything that was
said, and never one that was replaced or deleted; no profile, fact or summary is derived from items, whoever wrote them.

Writes are atomic. A deleted item ends at once: nothing returns or quotes it any more. What stood under its key is physically removed by
`purge`, which `ScopedMemory.maintain` calls too, or with each delete (erase="at_once"); that sweeps the whole store for what is left, and
takes seconds in a large one.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Literal, NamedTuple

from tierkeep.admitting import bounded
from tierkeep.conditions import check_conditions, matches
from tierkeep.errors import InputError, ScopeError
from tierkeep.item_intake import SESSIONS, ItemIntake, lines_of, searchable
from tierkeep.protocols import Transaction, View
from tierkeep.records import ITEM, Event, ForgetReport, Op, Origin, Record
from tierkeep.retrieve.items import HeldItem, held_item
from tierkeep.scoped import ScopedMemory
from tierkeep.twins import twin

__all__ = ["Item", "Items", "Write", "in_namespace"]

_LOG = logging.getLogger(__name__)
_BY = "Items"

Found = Callable[[Mapping[str, Any]], Iterable[str]] | Literal[False] | None


class Item(NamedTuple):
    """A value under a key; `score` is how much speaks for it in a search with a query, comparable within that search only."""

    namespace: tuple[str, ...]
    key: str
    value: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    score: float | None = None


class Write(NamedTuple):
    """A change of what stands under a key.

    Attributes:
        namespace: Where; at least one text.
        key: Under which key there.
        value: The new value, a mapping of JSON values; None deletes.
        found: Gives the texts of a value by which a query finds it; None for all of it, False for none.
    """

    namespace: Sequence[str]
    key: str
    value: Mapping[str, Any] | None
    found: Found = None


class Items:
    """The items of one owner. Every verb has an async twin. Threads, tasks and processes may share an owner.

    Args:
        owner: Whose.
        origin: Who writes the values; the agent otherwise. What it writes never has more authority than that.
        erase: When the values of deleted items are physically removed: "later" with `purge` or `maintain`, or "at_once".

    Raises:
        ScopeError: The owner is bound to a session; items belong to all of an owner.
    """

    def __init__(self, owner: ScopedMemory, *, origin: Origin | None = None, erase: Literal["at_once", "later"] = "later") -> None:
        if owner.scope.session is not None:
            raise ScopeError("items belong to all of an owner's memory: hand over a scope without a session", field="session")
        if erase not in ("at_once", "later"):
            raise InputError(f"erase must be 'at_once' or 'later', not {erase!r}", field="erase")
        self._owner = owner
        self._memory = owner._memory
        guard, origin = owner._memory._preset.write.guard, Origin.agent() if origin is None else origin
        self._intake = ItemIntake(owner.scope, owner._memory._ledger, guard, owner._memory._settings, origin)
        self._erase = erase

    # ------------------------------------------------------------------------------------------------------- read

    def get(self, namespace: Sequence[str], key: str) -> Item | None:
        """Return the item, None when there is none. An indexed look-up."""
        view = self._view()
        found = view.records(kind=ITEM, key=self._intake.path(namespace, key))
        events = [one for one in view.events(found[-1].sources) if not self._memory._keeping.expired(one)] if found else []
        return _item(held_item(found[-1], events[0].seq, events[0].text)) if events else None

    def search(
        self, prefix: Sequence[str] = (), *, query: str | None = None, filter: Mapping[str, Any] | None = None, limit: int = 10,
        offset: int = 0,
    ) -> list[Item]:
        """Return the items of a namespace and of those below it.

        Without a query, in order of creation, namespace by namespace. With one, best first: by words, and with an embedder by meaning as
        far as vectors are made; then those that nothing speaks for, with score 0, and those that no query finds, with score None.

        Args:
            prefix: First parts of the namespaces; none for all.
            query: What to look for; of a long one the end is used.
            filter: What a value must have (`tierkeep.conditions`).
            limit: At most this many.
            offset: How many to pass over.

        Raises:
            InputError: A filter with an unknown operator, or a negative limit or offset.
        """
        _check_page(limit, offset)
        check_conditions(filter or {})
        view, first = self._view(), tuple(prefix)
        within = (held for held in self._living(view) if held.namespace[: len(first)] == first)
        if filter:
            within = (held for held in within if matches(json.loads(held.text), filter))
        if not query or not query.strip():
            return [_item(held) for held in islice(within, offset, offset + limit)]
        candidates = list(within)
        scores = self._scores(query, [held for held in candidates if held.indexed], view)
        candidates.sort(key=lambda held: (not held.indexed, -scores.get(held.id, 0.0)))
        shown = candidates[offset : offset + limit]
        return [_item(held, scores.get(held.id, 0.0) if held.indexed else None) for held in shown]

    def _living(self, view: View) -> Sequence[HeldItem]:
        """Return the items whose values have not expired."""
        held, keeping = self._memory._items.ordered(view), self._memory._keeping
        if not keeping.expires:
            return held
        living = keeping.living(((one.seq, one.updated_at) for one in held), view)
        return [one for one in held if one.seq in living]

    def _scores(self, query: str, candidates: Sequence[HeldItem], view: View) -> Mapping[str, float]:
        memory = self._memory
        if memory._indexing is not None:
            memory._indexing.catch_up(self._owner.scope)
        allowance = memory._preset.read.ceilings.allowance(None, memory._clock)
        return memory._items.scores(query[-memory._settings.limits.question_chars :], candidates, view, allowance)

    def namespaces(
        self, accept: Callable[[tuple[str, ...]], bool] | None = None, *, max_depth: int | None = None, limit: int = 100, offset: int = 0
    ) -> list[tuple[str, ...]]:
        """Return the namespaces that have items, sorted; cut to `max_depth` parts when that is given."""
        _check_page(limit, offset)
        there = {held.namespace for held in self._living(self._view())}
        return sorted({one[:max_depth] for one in there if accept is None or accept(one)})[offset : offset + limit]

    # ------------------------------------------------------------------------------------------------------ write

    def put(self, namespace: Sequence[str], key: str, value: Mapping[str, Any], *, found: Found = None) -> None:
        """Put a value under a key; errors are those of `write`."""
        self.write([Write(namespace, key, value, found)])

    def delete(self, namespace: Sequence[str], key: str) -> None:
        """Delete an item; nothing happens when there is none. Errors are those of `write`."""
        self.write([Write(namespace, key, None)])

    def write(self, writes: Iterable[Write]) -> None:
        """Make several changes, all or none; of several under one key the last one holds.

        Raises:
            InputError: A namespace, key or value cannot be stored; nothing was.
            WriteRejected: The guard refuses a value, or would hold it back; nothing was stored.
            StorageError: The store cannot write; nothing was stored.
        """
        latest = {self._intake.path(one.namespace, one.key): one for one in writes}
        if not latest:
            return
        memory, scope = self._memory, self._owner.scope
        now = memory._clock.now()
        drafts = {path: self._intake.draft(path, one.value, now) for path, one in latest.items() if one.value is not None}
        memory._keeping.make_room(list(drafts.values()), self._owner)
        with memory._ledger.transaction(scope) as transaction:
            level = transaction.view.last_seq
            appended = transaction.append([bounded(draft, transaction.view) for draft in drafts.values()])
            if appended:
                memory._keeping.check(transaction.view)
            events = dict(zip(drafts, (one.event for one in appended), strict=True))
            doomed = self._apply(latest, events, now, transaction)
            for deriver in memory._preset.write.immediate if appended else ():
                if transaction.cursor(deriver.name) >= level:  # nobody derives from items: it need not look at them later
                    transaction.advance(deriver.name, appended[-1].event.seq)
        if memory._indexing is not None and appended:
            memory._indexing.notice(scope)
        if doomed and self._erase == "at_once":
            report = self._forget(doomed)
            if not report.complete:
                _LOG.warning("deleted items of %s may still be found in the store's files: %s", scope, report.note)

    @staticmethod
    def _apply(latest: Mapping[str, Write], events: Mapping[str, Event], now: datetime, transaction: Transaction) -> list[str]:
        """Change the records; return the ids of the events behind what was deleted."""
        view, ops, doomed = transaction.view, list[Op](), list[str]()
        groups: dict[str, list[Any]] = {}
        for path, one in latest.items():
            old = next(iter(view.records(kind=ITEM, key=path)), None)
            if path in events:
                ops.append(_put(events[path], path, one, old))
            elif old is not None:
                ops.append(Op(op="retract", target=old.id, patch={"valid_to": now.isoformat()}, why="deleted", by=_BY))
                doomed += [source for version in view.records(kind=ITEM, key=path, status=None) for source in version.sources]
                start = path.partition(":")[0] + ":"
                groups[start] = min(groups.get(start, old.attrs["group"]), old.attrs["group"])
        transaction.apply(ops)
        # A namespace keeps its place among the others as long as it has an item.
        heirs = [(group, heir) for start, group in groups.items() for heir in view.records(kind=ITEM, prefix=start, limit=1)]
        transaction.apply([
            Op(op="update", target=heir.id, patch={"attrs": {**heir.attrs, "group": group}}, why="first item deleted", by=_BY)
            for group, heir in heirs if group < heir.attrs["group"]
        ])  # fmt: skip
        return doomed

    # ------------------------------------------------------------------------------------------------------ erase

    def purge(self) -> ForgetReport:
        """Remove physically what stood under deleted keys, and values whose put was undone; return what a forget returns."""
        view = self._view()
        doomed: dict[str, None] = {}
        ended: set[str] = set()
        known: set[str] = set()
        for record in reversed(view.records(kind=ITEM, status=None)):
            known.update(record.sources)
            if record.status == "retracted" or record.key in ended:  # all that was there before the last deletion
                ended.add(record.key)
                doomed.update(dict.fromkeys(record.sources))
        for session, _ in view.sessions():
            for event in view.scan(session=session) if session.startswith(SESSIONS) else ():
                # Asked once more, because it may have been put since the records were read.
                if event.kind == ITEM and event.id not in known and not view.records(kind=ITEM, source=event.id, status=None):
                    doomed[event.id] = None
        return self._forget(list(doomed))

    def _forget(self, doomed: Sequence[str]) -> ForgetReport:
        there = [event.id for event in self._view().events(doomed)]
        return self._owner._forget(there) if there else ForgetReport()

    def _view(self) -> View:
        return self._memory._ledger.view(self._owner.scope)

    aget = twin(get)
    asearch = twin(search)
    anamespaces = twin(namespaces)
    aput = twin(put)
    adelete = twin(delete)
    awrite = twin(write)
    apurge = twin(purge)


def in_namespace(namespace: tuple[str, ...], part: Sequence[str], *, suffix: bool = False) -> bool:
    """Return whether a namespace begins with some parts, or ends with them; "*" stands for any part."""
    there = namespace[len(namespace) - len(part) :] if suffix else namespace[: len(part)]
    return len(namespace) >= len(part) and all(asked in ("*", one) for asked, one in zip(part, there, strict=True))


def _put(event: Event, path: str, one: Write, old: Record | None) -> Op:
    """Return the op that makes an event's value the current one."""
    value = json.loads(event.text)
    texts = () if one.found is False else lines_of(value) if one.found is None else one.found(value)
    first = {"created_at": event.at, "place": event.position, "group": [event.ts, event.seq]}
    attrs = {"namespace": list(one.namespace), "key": one.key, **(first if old is None else {name: old.attrs[name] for name in first})}
    record = Record(
        id=f"{ITEM}:{event.id}", scope=event.scope.model_copy(update={"session": None}), kind=ITEM, key=path, text=searchable(texts),
        attrs=attrs, sources=(event.id,), observed_at=event.at, origin=event.origin, authority=event.authority,
    )  # fmt: skip
    if old is None:
        return Op(op="add", record=record, why="put", by=_BY)
    return Op(op="supersede", target=old.id, record=record, why="put", by=_BY)


def _item(held: HeldItem, score: float | None = None) -> Item:
    created, updated = datetime.fromisoformat(held.created_at), datetime.fromisoformat(held.updated_at)
    return Item(held.namespace, held.key, json.loads(held.text), created, updated, score)


def _check_page(limit: int, offset: int) -> None:
    if limit < 0 or offset < 0:
        raise InputError("limit and offset must not be negative", field="limit" if limit < 0 else "offset")
