"""Between rows and records: what a column holds, and the one JSON form that digests, images and exports share."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import sqlite3
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, get_args

from pydantic import ValidationError

from tierkeep.errors import InputError, StoreCorrupt
from tierkeep.records import Authority, Event, EventDraft, EventKind, Origin, Record, Role, Scope

__all__ = [
    "EVENT_COLUMNS",
    "RECORD_COLUMNS",
    "derived_id",
    "dumps",
    "event_from_draft",
    "event_from_row",
    "event_to_json",
    "event_to_row",
    "loads",
    "origin_text",
    "record_from_json",
    "record_from_row",
    "record_to_json",
    "record_to_row",
    "refuse_nul",
]

EVENT_COLUMNS = (
    "e.seq, s.name, e.position, e.id, e.kind, e.role, e.speaker, e.text, e.at, e.ts, e.origin, e.authority, e.meta"
)
"""Columns of `event_from_row`, from `events AS e JOIN sessions AS s ON s.id = e.session`."""

RECORD_COLUMNS = (
    "id, session, kind, key, text, attrs, sources, roots, links, status, observed_at, valid_from, valid_to, "
    "origin, authority, version, stats"
)
"""Columns of `record_from_row`, in the order of `record_to_row`."""

_ID_LENGTH = 26  # base32 characters: 130 bits
_KINDS = frozenset(get_args(EventKind))
_ROLES = frozenset(get_args(Role))
_AUTHORITIES = {int(authority): authority for authority in Authority}


def _plain(value: object) -> object:
    """JSON of the mappings that are not dicts; anything else is an error of the caller."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain).encode


def dumps(value: object, field: str = "") -> str:
    """Return compact JSON, in the order of the mapping's own keys.

    Raises:
        InputError: It holds something that JSON has no form for, or is nested too deeply.
    """
    try:
        return _encode(value)
    except (TypeError, ValueError, RecursionError):
        # No cause: its message would carry the value.
        raise InputError(f"{field or 'A value'} is not JSON: use finite numbers, strings, lists and objects.") from None


def loads(text: str) -> Any:
    """Return the value of stored JSON.

    Raises:
        StoreCorrupt: It is not JSON any more.
    """
    try:
        return json.loads(text)
    except (ValueError, TypeError, RecursionError):
        raise StoreCorrupt("A row of the store holds damaged JSON; `tierkeep verify` names it.") from None


def refuse_nul(*texts: str) -> None:
    """Raise when a text holds a NUL, at which SQLite's own functions would cut it.

    Raises:
        InputError: It does.
    """
    for text in texts:
        if "\0" in text:
            raise InputError("A text holds a NUL character. Remove it first.")


@lru_cache(maxsize=4096)
def origin_text(origin: Origin) -> str:
    """Return the origin as stored JSON."""
    return dumps(origin.model_dump(mode="json"), "origin")


@lru_cache(maxsize=4096)
def _origin(text: str) -> Origin:
    return Origin.model_validate(loads(text))


@lru_cache(maxsize=1024)
def _owner(tenant: str, user: str, agent: str, session: str | None) -> Scope:
    return Scope(tenant=tenant, user=user, agent=agent, session=session)


def derived_id(scope: Scope, draft: EventDraft, position: int) -> str:
    """Return the id of an event whose application gave none: a hash of owner, place and content, 26 characters."""
    content = [*scope.partition, draft.session, position, draft.at, draft.role, draft.speaker, draft.text]
    digest = hashlib.sha256(_encode(content).encode()).digest()
    return base64.b32encode(digest).decode("ascii")[:_ID_LENGTH].lower()


def event_from_row(partition: tuple[str, str, str], row: Iterable[Any]) -> Event:
    """Return the event of a row of `EVENT_COLUMNS`.

    Args:
        partition: Whose it is.
        row: The columns. When they are of the types that they were written with, they are not checked again.

    Raises:
        StoreCorrupt: The row does not make an event.
    """
    seq, session, position, id_, kind, role, speaker, text, at, ts, origin, authority, meta = row
    known = _AUTHORITIES.get(authority)
    try:
        fields: dict[str, Any] = {
            "id": id_,
            "seq": seq,
            "scope": _owner(*partition, session),
            "position": position,
            "kind": kind,
            "role": role,
            "speaker": speaker,
            "text": text,
            "at": at,
            "ts": ts,
            "origin": _origin(origin),
            "authority": authority if known is None else known,
            "meta": loads(meta) if meta != "{}" else {},
        }
        sound = (
            type(text) is type(id_) is type(speaker) is type(at) is str
            and type(seq) is type(position) is int
            and type(ts) is float
            and type(fields["meta"]) is dict
            and known is not None
            and kind in _KINDS
            and role in _ROLES
        )
        return Event.of_sound(fields) if sound else Event(**fields)
    except ValidationError:
        raise StoreCorrupt(f"The stored event {seq} is damaged; `tierkeep verify` says how far it goes.") from None


def event_from_draft(scope: Scope, draft: EventDraft, id_: str, seq: int, position: int) -> Event:
    """Return the event that a draft becomes, as reading it back will give it.

    Raises:
        InputError: A text or a value cannot be stored.
    """
    refuse_nul(draft.text, draft.speaker, draft.at)
    if not math.isfinite(draft.ts):
        raise InputError("An event's time is not a finite number.", field="ts")
    row: list[Any] = [seq, draft.session, position, id_, draft.kind, draft.role, draft.speaker, draft.text, draft.at]
    # A negative zero would come back from SQLite as zero.
    row += [draft.ts + 0.0, origin_text(draft.origin), int(draft.authority), dumps(draft.meta, "meta")]
    return event_from_row(scope.partition, row)


def event_to_row(event: Event) -> tuple[Any, ...]:
    """Return (seq, position, id, kind, role, speaker, text, at, ts, origin, authority, meta) as columns hold them."""
    return (
        event.seq,
        event.position,
        event.id,
        event.kind,
        event.role,
        event.speaker,
        event.text,
        event.at,
        event.ts,
        origin_text(event.origin),
        int(event.authority),
        dumps(event.meta),
    )


def event_to_json(event: Event) -> dict[str, Any]:
    """Return the event as exported JSON: without its owner and its place in this store."""
    return {
        "id": event.id,
        "session": event.session,
        "position": event.position,
        "kind": event.kind,
        "role": event.role,
        "speaker": event.speaker,
        "text": event.text,
        "at": event.at,
        "ts": event.ts,
        "origin": loads(origin_text(event.origin)),
        "authority": int(event.authority),
        "meta": dict(event.meta),
    }


def record_to_json(record: Record) -> dict[str, Any]:
    """Return the record as JSON without its owner: the form of images and exports."""
    return {
        "id": record.id,
        "session": record.scope.session,
        "kind": record.kind,
        "key": record.key,
        "text": record.text,
        "attrs": dict(record.attrs),
        "sources": list(record.sources),
        "roots": list(record.roots),
        "links": [list(link) for link in record.links],
        "status": record.status,
        "observed_at": record.observed_at,
        "valid_from": record.valid_from,
        "valid_to": record.valid_to,
        "origin": loads(origin_text(record.origin)),
        "authority": int(record.authority),
        "version": record.version,
        "stats": dict(record.stats),
    }


def record_from_json(scope: Scope, image: Mapping[str, Any]) -> Record:
    """Return the record of `record_to_json`, owned by `scope`.

    Raises:
        pydantic.ValidationError: It is not such a record.
        KeyError: It lacks the session.
    """
    fields = dict(image)
    owner = _owner(*scope.partition, fields.pop("session"))
    return Record.model_validate({**fields, "scope": owner})


def record_to_row(record: Record) -> tuple[Any, ...]:
    """Return the values of `RECORD_COLUMNS`.

    Raises:
        InputError: A text or a value cannot be stored.
    """
    refuse_nul(record.id, record.kind, record.key, record.text, *record.sources)
    for moment in (record.observed_at, record.valid_from, record.valid_to, record.scope.session):
        refuse_nul(moment or "")
    if not all(math.isfinite(weight) for _, _, weight in record.links):
        raise InputError("A link's weight is not a finite number.", field="links")
    image = record_to_json(record)
    return tuple(
        dumps(value, name) if isinstance(value, dict | list) else value for name, value in image.items()
    )


def record_from_row(scope: Scope, row: sqlite3.Row | tuple[Any, ...]) -> Record:
    """Return the record of a row of `RECORD_COLUMNS`.

    Raises:
        StoreCorrupt: The row does not make a record.
    """
    (id_, session, kind, key, text, attrs, sources, roots, links, status, observed, start, end, origin, *rest) = row
    authority, version, stats = rest
    try:
        return Record(
            id=id_,
            scope=_owner(*scope.partition, session),
            kind=kind,
            key=key,
            text=text,
            attrs=loads(attrs),
            sources=loads(sources),
            roots=loads(roots),
            links=loads(links),
            status=status,
            observed_at=observed,
            valid_from=start,
            valid_to=end,
            origin=_origin(origin),
            authority=authority,
            version=version,
            stats=loads(stats),
        )
    except ValidationError:
        raise StoreCorrupt("A stored record is damaged; `tierkeep verify` names it.") from None
