"""What a store holds, as values that two stores can be compared by: texts, records, history, vectors, cursors, counts.

Two stores that were told the same hold the same here, whatever numbers their engines gave to rows: places of events are written as ranks
among the owner's events, because a server's sequences go on after a transaction that was killed.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from tierkeep.protocols import Ledger
from tierkeep.records import ITEM, Scope

__all__ = ["State", "content_of", "digest", "missing", "state_of"]

State: TypeAlias = dict[str, Any]
"""`owners`: by name, each with its rows; `counts`: of the whole store; `files`: what lies beside it; `left`: half-made files, which may lie
about after a kill and have to be gone when the path has come to its end. JSON values."""

_COUNTS = ("scopes", "sessions", "events", "records", "batches", "chain")


def state_of(ledger: Ledger) -> State:
    """Return everything that a store holds.

    Raises:
        StorageError: It cannot be read.
    """
    stats = ledger.stats()
    identities = [one["identity"] for one in stats["embedders"]]
    return {
        "owners": {str(owner.scope): _owner(ledger, owner.scope, identities) for owner in ledger.owners()},
        "counts": {name: stats[name] for name in _COUNTS} | {"pending": stats["pending"], "embedders": stats["embedders"]},
    }


def _owner(ledger: Ledger, scope: Scope, identities: Sequence[str]) -> State:
    view = ledger.view(scope)
    seqs = [event.seq for event in view.scan()]
    header, *rows = ledger.export(scope)
    vectors = {}
    for identity in identities:
        made = [
            [bisect_right(seqs, seq), int(parts), hashlib.sha256(matrix.tobytes()).hexdigest()[:16]]
            for page in view.vectors(identity)
            for seq, parts, matrix in zip(page.seqs.tolist(), page.parts.tolist(), _split(page.matrix, page.parts), strict=True)
        ]
        vectors[identity] = {"made": made, "upto": bisect_right(seqs, view.embedded(identity))}
    return {
        "header": header,
        "rows": [_ranked(row, seqs) for row in rows],
        "indexed": [bisect_right(seqs, seq) for page in view.term_pages() for seq in page.seq.tolist()],
        "quarantined": [event.id for event in view.quarantined()],
        "size": list(view.size()),
        "vectors": vectors,
    }


def _split(matrix: Any, parts: Any) -> list[Any]:
    ends = parts.cumsum().tolist()
    return [matrix[end - count : end] for end, count in zip(ends, parts.tolist(), strict=True)]


def _ranked(row: Mapping[str, Any], seqs: Sequence[int]) -> dict[str, Any]:
    """Return a row of an export with ranks in place of the places that an item's record keeps."""
    kind, content = next(iter(row.items()))
    if kind == "record":
        return {kind: _image(content, seqs)}
    if kind == "revision":
        return {kind: {**content, **{side: _image(content[side], seqs) for side in ("before", "after")}}}
    if kind == "guard":
        return {kind: {name: value for name, value in content.items() if name != "n"}}
    return dict(row)


def _image(content: Mapping[str, Any] | None, seqs: Sequence[int]) -> Mapping[str, Any] | None:
    if content is None or content.get("kind") != ITEM or "group" not in content.get("attrs", {}):
        return content
    ts, seq = content["attrs"]["group"]
    return {**content, "attrs": {**content["attrs"], "group": [ts, bisect_right(seqs, seq)]}}


def digest(state: State) -> str:
    """Return the SHA-256 of a state, without what is left lying about: equal digests are equal states."""
    kept = {name: value for name, value in state.items() if name != "left"}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def content_of(state: State) -> State:
    """Return what a memory means: a state without its history and without counts of it.

    Work that is begun again after a kill ends in the same memory by another way: a repair is one more line of its history.
    """
    owners = {}
    for name, owner in state["owners"].items():
        rows = [_timeless(row) for row in owner["rows"] if "revision" not in row and "guard" not in row]
        header = {"cursors": owner["header"]["cursors"]}
        owners[name] = {**owner, "header": header, "rows": rows}
    counts = {name: value for name, value in state["counts"].items() if name not in ("batches", "chain")}
    return {**state, "owners": owners, "counts": counts}


def _timeless(row: Mapping[str, Any]) -> Mapping[str, Any]:
    if "record" not in row:
        return row
    return {"record": {name: value for name, value in row["record"].items() if name not in ("version", "stats")}}


def missing(found: State, *wanted: State) -> list[str]:
    """Return what stands alike in all of the wanted states and not in the one that was found, as short texts."""
    rows = [_rows(state) for state in wanted]
    sure = set.intersection(*map(set, rows)) if rows else set()
    there = set(_rows(found))
    return [text[:200] for text in rows[0] if text in sure and text not in there] if rows else []


def _rows(state: State) -> list[str]:
    said = []
    for name, owner in state["owners"].items():
        said += [f"{name}: {json.dumps(row, sort_keys=True)}" for row in owner["rows"]]
        said += [f"{name}: vector {identity} {one}" for identity, of in owner["vectors"].items() for one in of["made"]]
    return said + [f"file {name}: {value}" for name, value in state.get("files", {}).items()]
