"""An export from unknown hands, lowered row by row to what an import may claim, before a ledger sees it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, NoReturn

from pydantic import BaseModel, ValidationError

from tierkeep.errors import ImportFormatError
from tierkeep.guard.lessons import LESSON
from tierkeep.protocols import Guard
from tierkeep.records import FROM_OUTSIDE, Authority, EventDraft, Origin, Scope


class _Claim(BaseModel):
    """What a row says of where it comes from; what else it holds is the ledger's to check."""

    origin: Origin
    authority: Authority


class _Bound(NamedTuple):
    """What an event or record may cause in the end, and the origin that stands behind it."""

    authority: Authority
    origin: Origin


class UntrustedExport:
    """Reads the rows of an export whose author nobody vouches for.

    Who the file says is speaking is a claim of the file, so the user, an operator, a policy, a trusted tool and an agent become
    imports. An origin from outside (web, tool, document, other agent, unknown) is kept: it is less than an import, and shows as
    unverified. Every event passes the guard as if it were added now; a record and the images of its history get no more
    authority than their sources, and an origin from outside when a source has one.

    Args:
        guard: What may be stored.
        scope: Whose memory it goes to.
    """

    def __init__(self, guard: Guard, scope: Scope) -> None:
        self._guard = guard
        self._scope = scope
        self._events: dict[str, _Bound] = {}
        self._records: dict[str, _Bound] = {}
        self._derived = False  # a row that is not an event was read
        self._line = 0

    def rows(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        """Yield the rows as they may be restored, in order.

        Raises:
            ImportFormatError: A row cannot be read, or an event comes after what was derived from events.
            WriteRejected: The guard refuses an event.
        """
        for self._line, row in enumerate(rows, start=1):
            if not isinstance(row, Mapping):
                self._broken("it is not an object")
            try:
                yield {name: self._lowered(str(name), inner) for name, inner in row.items()}
            except ImportFormatError:
                raise
            except (ValidationError, KeyError, TypeError, ValueError):
                # No cause: a validation error carries the row.
                self._broken("a field is missing, unknown or of a wrong form")

    def _lowered(self, kind: str, inner: Any) -> Any:
        if kind not in ("event", "record", "revision"):
            return inner
        if not isinstance(inner, Mapping):
            raise TypeError
        if kind == "event":
            return self._event(inner)
        self._derived = True
        if kind == "record":
            return self._record(inner)
        return {**inner, **{name: self._image(inner[name]) for name in ("before", "after")}}

    def _event(self, inner: Mapping[str, Any]) -> dict[str, Any]:
        if self._derived:
            self._broken("an event comes after a record or its history, which no export does")
        draft = EventDraft.model_validate({name: value for name, value in inner.items() if name != "position"})
        origin, authority = _capped(draft.origin, draft.authority)
        meta = {key: value for key, value in draft.meta.items() if not key.startswith("tierkeep.")}  # ours to say, not the file's
        # The channel of this call: whoever restores a file has chosen to, and no rate of the file's authors is meant.
        as_import = origin.model_copy(update={"channel": "import"})
        claimed = draft.model_copy(update={"origin": as_import, "authority": authority, "meta": meta})
        admitted = self._guard.admit(claimed, self._scope)
        admitted = admitted.model_copy(update={"origin": admitted.origin.model_copy(update={"channel": origin.channel})})
        # The ledger keeps the first of two events with one id.
        self._events.setdefault(str(admitted.id), _Bound(admitted.authority, admitted.origin))
        kept = {**dict(admitted), "origin": admitted.origin.model_dump(mode="json"), "authority": int(admitted.authority)}
        return {**kept, "meta": dict(admitted.meta), "position": inner["position"]}

    def _record(self, inner: Mapping[str, Any]) -> dict[str, Any]:
        lowered, bound = self._bound(inner)
        self._records.setdefault(str(inner["id"]), bound)
        return lowered

    def _image(self, image: Mapping[str, Any] | None) -> dict[str, Any] | None:
        return None if image is None else self._bound(image)[0]

    def _bound(self, inner: Mapping[str, Any]) -> tuple[dict[str, Any], _Bound]:
        claim = _Claim.model_validate({"origin": inner["origin"], "authority": inner["authority"]})
        origin, authority = _capped(claim.origin, claim.authority)
        behind = [*inner["sources"], *inner.get("roots", ())]
        known = [found for id_ in behind if (found := self._events.get(id_) or self._records.get(id_))]
        outside = next((found.origin for found in known if found.origin.source in FROM_OUTSIDE), None)
        if outside is not None and origin.source not in FROM_OUTSIDE:
            origin = outside
        admitted = self._guard.admit(_as_draft(inner, origin, min([authority, *(found.authority for found in known)])), self._scope)
        bound = _Bound(admitted.authority, origin)
        # The key says whose slot it is: nobody else's file may write in the user's own.
        key = f"restored/{inner['key']}" if str(inner.get("key", "")).startswith("own|") else inner.get("key", "")
        if inner.get("kind") == LESSON:
            # What a file says was seen in many sessions was not seen here.
            inner = {**inner, "attrs": {**inner["attrs"], "state": "candidate", "sessions": []}}
        return {**inner, "key": key, "origin": origin.model_dump(mode="json"), "authority": int(bound.authority)}, bound

    def _broken(self, what: str) -> NoReturn:
        raise ImportFormatError(f"Row {self._line} of the export cannot be read: {what}", line=self._line) from None


def _capped(origin: Origin, authority: Authority) -> tuple[Origin, Authority]:
    if origin.source not in FROM_OUTSIDE:
        origin = Origin.imported(origin.uri).model_copy(update={"principal": origin.principal})
    return origin, min(authority, Authority.DATA)


def _as_draft(record: Mapping[str, Any], origin: Origin, authority: Authority) -> EventDraft:
    """Return the record's text in the form that a guard reads: what it may cause is decided as for a message."""
    return EventDraft(
        session="", role="tool", speaker="", text=f"{record.get('key', '')}\n{record['text']}", at="", ts=0.0, origin=origin,
        authority=authority,
    )  # fmt: skip
