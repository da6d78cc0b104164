"""How a value reaches the ledger as an item's event: its address, its one form as text, and what the guard leaves of it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from tierkeep import bounds
from tierkeep.admitting import admitted, codes
from tierkeep.errors import InputError, LimitError, WriteRejected
from tierkeep.protocols import Guard, Ledger
from tierkeep.records import Authority, EventDraft, GuardEntry, Origin, Scope
from tierkeep.settings import Settings

__all__ = ["SESSIONS", "ItemIntake", "canonical", "lines_of", "searchable", "start"]

#: Beginning of the names of the sessions that items' events are in; the namespace follows, its parts between slashes.
SESSIONS = "items:"
#: Keys of an event's meta: the record's key; and, while the guard looks at it, the value.
_KEY, _VALUE = "tierkeep.item", "tierkeep.value"
_ESCAPED = re.compile("[%/:\x00-\x1f\x7f\U0010ffff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class ItemIntake:
    """Makes events of one owner's values.

    Args:
        scope: Whose.
        ledger: Where the guard's refusals are logged.
        guard: What may be stored.
        settings: Limits.
        origin: Who writes the values.
    """

    def __init__(self, scope: Scope, ledger: Ledger, guard: Guard, settings: Settings, origin: Origin) -> None:
        self._scope = scope
        self._ledger = ledger
        self._guard = guard
        self._settings = settings
        self._origin = origin

    def path(self, namespace: Sequence[str], key: str) -> str:
        """Return the key of an item's record: its namespace, each part ended by a slash, then a colon and its key."""
        most = self._settings.limits.name_chars
        if isinstance(namespace, (str, bytes)) or not namespace:
            raise InputError("a namespace is a tuple of at least one text, such as ('memories', 'ann')", field="namespace")
        for part in (*namespace, key):
            if not isinstance(part, str) or _UNSTORABLE.search(part) or not 0 < len(part) <= most:
                raise InputError(f"parts of a namespace and keys are texts of 1 to {most} characters, without NUL", field="namespace")
        return start(namespace) + ":" + key

    def draft(self, path: str, value: Mapping[str, Any], now: datetime) -> EventDraft:
        """Return what is stored of a value, as the guard lets it in.

        The guard sees it as text and, within the bounds of meta, in its parts: escaped in JSON a secret may look like none, and a name
        says of a text that it is one.

        Raises:
            InputError: It is no mapping of JSON values, or too long.
            WriteRejected: The guard refuses it, or would hold it back.
        """
        limits, guard = self._settings.limits, self._settings.guard
        text = canonical(value)
        if len(text) > limits.text_chars:
            raise LimitError(f"the value under {path[-40:]!r} has {len(text):,} characters as JSON, the limit is {limits.text_chars:,}",
                             field="value", limit=limits.text_chars, actual=len(text))  # fmt: skip
        whole = bounds.excess(value, keys=guard.meta_keys, depth=guard.meta_depth - 1, chars=limits.meta_chars) is None
        draft = EventDraft(
            session=SESSIONS + path.partition(":")[0].rstrip("/"), kind="item", role="assistant", speaker="assistant", text=text,
            at=now.isoformat(), ts=now.timestamp(), origin=self._origin, authority=Authority.ACT,
            meta={_KEY: path, **({_VALUE: value} if whole else {})},
        )  # fmt: skip
        let = self._admit(draft, path)
        stored = canonical(let.meta.get(_VALUE, value))
        if let.text != text:
            # In the text as in the value: a secret may reach over two of its members.
            again = _parsed(let.text) if stored == text else _parsed(self._admit(draft.model_copy(update={"text": stored}), path).text)
            if again is None:
                raise self._refused("the guard takes something out of the value, and the rest is no JSON", path, ("redaction",))
            stored = canonical(again)
        if not whole:  # escaped characters may hide a secret in the JSON
            plain = "\n".join(lines_of(json.loads(stored)))
            if self._admit(draft.model_copy(update={"text": plain}), path).text != plain:
                raise self._refused("there is a secret in a value too large to be taken apart: keep it smaller", path, ("redaction",))
        meta = {key: inner for key, inner in let.meta.items() if key != _VALUE}
        return let.model_copy(update={"text": stored, "meta": meta})

    def _admit(self, draft: EventDraft, path: str) -> EventDraft:
        let = admitted([draft], self._scope, self._ledger, self._guard)[0]
        if let.meta.get(_KEY) != path:
            raise self._refused("there is a secret in the namespace or key", path, ("redaction",))
        if let.authority == Authority.QUARANTINED:
            reasons = let.meta.get("tierkeep.signals") or let.meta.get("tierkeep.redacted") or ()
            raise self._refused("the guard would hold the value back, so that it could never be read", path, reasons)
        return let

    def _refused(self, why: str, path: str, reasons: Sequence[object]) -> WriteRejected:
        subject = hashlib.sha256(path.encode()).hexdigest()
        with self._ledger.transaction(self._scope) as transaction:
            transaction.log([GuardEntry(verb="reject", subject=subject, reasons=codes(reasons), by="guard")])
        return WriteRejected(f"{why}; nothing was stored", reasons=codes(reasons))


def start(namespace: Sequence[str]) -> str:
    """Return what the keys of the records of a namespace and of those below it begin with."""
    return "".join(_ESCAPED.sub(lambda found: f"%{ord(found.group()):02X}", part) + "/" for part in namespace)


def canonical(value: object) -> str:
    """Return a value's one form as text: compact JSON in the order of its own members.

    Raises:
        InputError: It is no mapping of JSON values.
    """
    if not isinstance(value, Mapping):
        raise InputError(f"a value is a mapping, such as {{'text': '…'}}, and not a {type(value).__name__}", field="value")
    try:
        text = json.dumps(_plain(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        # No cause: its message would carry the value.
        raise InputError("a value must be made of texts, finite numbers, booleans, None, lists, and mappings with texts as keys",
                         field="value") from None  # fmt: skip
    return _SURROGATE.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def _plain(value: Any) -> Any:
    """Return a value with dicts and lists for its mappings and sequences."""
    if isinstance(value, Mapping):
        if not all(isinstance(name, str) for name in value):
            raise TypeError
        return {name: _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def searchable(texts: Iterable[str]) -> str:
    """Return the texts by which a query finds a value, as a record keeps them."""
    return _UNSTORABLE.sub("\ufffd", "\n".join(texts))


def lines_of(value: Any, name: str = "") -> Iterator[str]:
    """Yield the plain members of a JSON value as lines, each with its name: how a query reads it."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from lines_of(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from lines_of(inner, name)
    elif value is not None:
        yield f"{name}: {value}" if name else str(value)
