"""From what applications have to what the ledger keeps: text, messages, OpenAI-style dicts, tool calls.

Everything a caller can get wrong is found here, before anything is written, with a message that says what to do.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from functools import partial
from itertools import islice
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from tierkeep import bounds
from tierkeep.dates.timestamps import parse_at
from tierkeep.errors import InputError, LimitError, ScopeError
from tierkeep.protocols import Clock
from tierkeep.records import (
    FROM_OUTSIDE,
    PARENTS,
    Authority,
    EventDraft,
    EventKind,
    Message,
    Origin,
    Role,
    Scope,
    Skipped,
    Source,
)
from tierkeep.settings import GuardSettings, Limits, Settings

When: TypeAlias = datetime | date | str | int | float
Addable: TypeAlias = str | Message | Mapping[str, Any]

#: Keys of a message dict, each with the name `Message` has for it.
_KEYS = {
    "role": "role", "content": "text", "text": "text", "name": "speaker", "speaker": "speaker", "at": "at", "timestamp": "at",
    "created_at": "at", "id": "id", "origin": "origin", "tool_calls": "tool_calls", "meta": "meta", "metadata": "meta",
    "tool_call_id": "tool_call_id", "refusal": "refusal", "derived_from": "derived_from",
}  # fmt: skip
_ROLES: dict[str, Role] = {
    "user": "user", "human": "user", "assistant": "assistant", "ai": "assistant", "model": "assistant", "tool": "tool",
    "function": "tool", "system": "system", "developer": "system",
}  # fmt: skip
_RESERVED = "tierkeep."
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_NO_NAME = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
#: Key of `meta` under which a piece of a long text from outside has its number and how many there are.
PART = "tierkeep.part"
#: Deepest arguments of a tool call that are written out (ours); Python's own JSON writer gives up at some thousand.
_ARGUMENTS_DEPTH = 100


@dataclass(frozen=True, slots=True)
class Intake:
    """What a call hands to the ledger.

    Attributes:
        drafts: Events, in input order; a message with tool calls makes several.
        places: For each draft, the 0-based place of its message in what was handed over.
        skipped: Inputs without content.
        notes: Things that were assumed.
    """

    drafts: tuple[EventDraft, ...]
    places: tuple[int, ...]
    skipped: tuple[Skipped, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Defaults:
    """What the caller said once for all messages of a call; a message's own value wins."""

    role: str | None = None
    speaker: str | None = None
    at: When | None = None
    session: str | None = None
    origin: Origin | None = None
    id: str | None = None
    meta: Mapping[str, Any] | None = None
    derived_from: Sequence[str] = ()


class Reader:
    """Reads a call's input into event drafts.

    Args:
        settings: Limits and the time zone in which bare times are read.
        clock: What "now" is for messages without a time.
        origin_of: Which origin a role has by default.
    """

    def __init__(self, settings: Settings, clock: Clock, origin_of: Any) -> None:
        self._limits: Limits = settings.limits
        self._guard: GuardSettings = settings.guard
        self._zone: tzinfo = ZoneInfo(settings.timezone)
        self._clock = clock
        self._origin_of = origin_of

    def read(self, what: Addable | Sequence[Addable], scope: Scope, defaults: Defaults) -> Intake:
        """Return the drafts of one call.

        Raises:
            InputError: Something in it cannot be used; `field` or the message's index says what.
            LimitError: Something in it is too large.
        """
        single = isinstance(what, (str, Message, Mapping))
        entries: Sequence[Any] = [what] if single else self._entries(what)
        if defaults.id is not None and len(entries) != 1:
            raise InputError("id= names one message, and this call has several: give each message its own id", field="id")
        _check_defaults(defaults)
        drafts: list[EventDraft] = []
        places: list[int] = []
        skipped: list[Skipped] = []
        notes: dict[str, None] = {}
        outside = 0
        for index, entry in enumerate(entries):
            where = "" if single else f"message {index}: "
            message, tool_call_id = self._message(entry, defaults, where)
            made = self._drafts(message, tool_call_id, scope, defaults, where, notes)
            if not made and single:
                raise InputError("there is nothing to remember: the text is empty", field="text")
            if not made:
                skipped.append(Skipped(index=index, reason="empty"))
            drafts.extend(made)
            places.extend([index] * len(made))
            outside += sum(draft.origin.source in FROM_OUTSIDE for draft in made)
            if outside > self._guard.outside_records:
                raise LimitError(
                    f"{where}more than {self._guard.outside_records} events from outside in one call (a text of more than "
                    f"{self._guard.outside_bytes:,} bytes makes several): add them in portions, or raise Settings.guard.outside_records",
                    field="what", limit=self._guard.outside_records, actual=outside,
                )
        return Intake(tuple(drafts), tuple(places), tuple(skipped), tuple(notes))

    def _entries(self, what: object) -> Sequence[Any]:
        if isinstance(what, (bytes, bytearray)) or not isinstance(what, Iterable):
            raise InputError(
                f"cannot remember a {type(what).__name__}: hand over a str, a Message, a dict like "
                '{"role": "user", "content": "…"}, or a list of those', field="what",
            )
        entries = list(islice(what, self._limits.messages + 1))
        if not entries:
            raise InputError("there is nothing to remember: the list of messages is empty", field="what")
        if len(entries) > self._limits.messages:
            raise LimitError(
                f"more than {self._limits.messages} messages in one call: add them in portions",
                field="what", limit=self._limits.messages, actual=len(what) if isinstance(what, Sized) else len(entries),
            )
        return entries

    # ------------------------------------------------------------------------------------------------- one message

    def _message(self, entry: object, defaults: Defaults, where: str) -> tuple[Message, str]:
        if isinstance(entry, Message):
            return entry, ""
        if isinstance(entry, str):
            entry = {"text": entry}
        if not isinstance(entry, Mapping):
            raise InputError(f"{where}cannot remember a {type(entry).__name__}: hand over a str, a Message or a dict", field="what")
        unknown = next((key for key in entry if key not in _KEYS), None)
        if unknown is not None:
            raise InputError(
                f"{where}unknown key {str(unknown)[:40]!r}: a message has {', '.join(sorted(_KEYS))}; your own values go into 'meta'",
                field=str(unknown)[:40],
            )
        values: dict[str, Any] = {_KEYS[key]: value for key, value in entry.items() if value is not None}
        call_id = str(values.pop("tool_call_id", ""))
        refusal = values.pop("refusal", "")
        values["text"] = _text_of(values.get("text") or refusal or "", where, self._limits.text_chars)
        if said := values.pop("role", None) or defaults.role:
            values["role"] = _role_of(said, where)
        calls = values.get("tool_calls", ())
        if isinstance(calls, (str, bytes, Mapping)) or not isinstance(calls, Iterable):
            raise InputError(f"{where}tool_calls must be a list of calls, not a {type(calls).__name__}", field="tool_calls")
        values["tool_calls"] = tuple(calls)
        if isinstance(values.get("at"), (str, int, float)):
            values["at"] = self._parsed(values["at"], where).value_or_day
        try:
            return Message(**values), call_id
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"]))
            # No cause: a validation error carries what was handed over, and would put it into every log of the traceback.
            raise InputError(f"{where}{field}: {first['msg']}", field=field) from None

    def _drafts(
        self, message: Message, call_id: str, scope: Scope, defaults: Defaults, where: str, notes: dict[str, None]
    ) -> list[EventDraft]:
        self._check_size(message.text, where)
        if not message.text.strip() and not message.tool_calls:
            return []
        when = message.at if message.at is not None else defaults.at
        time = self._parsed(when if when is not None else self._clock.now(), where)
        notes.update(dict.fromkeys(time.notes))
        if self._guard.require_origin and not (message.origin or defaults.origin or defaults.role or "role" in message.model_fields_set):
            raise InputError(f"{where}say who it comes from: give a role, or origin=Origin.…()", field="origin")
        role = message.role if message.role != "user" or defaults.role is None else _role_of(defaults.role, where)
        speaker = message.speaker or defaults.speaker or role
        origin = message.origin or defaults.origin or self._origin_of(role, message.speaker or defaults.speaker or "")
        session = self._session(scope, defaults, time.iso[:10])
        meta = {**(defaults.meta or {}), **message.meta}
        if reserved := next((key for key in meta if str(key).startswith(_RESERVED)), None):
            raise InputError(f"{where}meta keys that begin with {_RESERVED!r} are tierkeep's own: rename {reserved!r}", field="meta")
        if parents := (*message.derived_from, *defaults.derived_from):
            meta[PARENTS] = list(dict.fromkeys(parents))
        if call_id:
            meta["tool_call_id"] = call_id
        self._check(message.text, speaker, session, message.id or defaults.id, meta, where)
        draft = partial(EventDraft, session=session, role=role, at=time.iso, ts=time.ts, authority=Authority.ACT)
        drafts = []
        if message.text.strip():
            kind: EventKind = "tool_result" if role == "tool" else "message"
            whole = draft(id=message.id or defaults.id, kind=kind, speaker=speaker, text=message.text, origin=origin, meta=meta)
            drafts += self._in_parts(whole, where, notes)
        for number, call in enumerate(message.tool_calls):
            name, text, own = _call_of(call, where, self._limits.text_chars)
            self._check(text, name, session, None, {}, where)
            drafts.append(draft(
                id=f"{message.id}#call{number}" if message.id else None, kind="tool_call", speaker=speaker, text=text,
                origin=Origin(source=Source.AGENT_INFERRED, principal=speaker, channel="tool"),
                meta={**meta, "tool": name, **({"tool_call_id": own} if own else {})},
            ))  # fmt: skip
        return drafts

    def _in_parts(self, whole: EventDraft, where: str, notes: dict[str, None]) -> list[EventDraft]:
        """Return a text from outside as events of at most `outside_bytes` each, in order; what people type is left whole."""
        most = self._guard.outside_bytes
        if whole.origin.source not in FROM_OUTSIDE or bounds.weight(whole.text) <= most:
            return [whole]
        pieces = [piece for piece in bounds.portions(whole.text, most) if piece.strip()]
        notes[f"{where}the text from outside has more than {most:,} bytes: kept as {len(pieces)} events, one after the other"] = None
        return [
            whole.model_copy(update={
                "id": f"{whole.id}#part{number}" if whole.id and number > 1 else whole.id, "text": piece,
                "meta": {**whole.meta, PART: [number, len(pieces)]},
            })
            for number, piece in enumerate(pieces, start=1)
        ]  # fmt: skip

    def _parsed(self, value: When, where: str, field: str = "at") -> _Time:
        try:
            parsed = parse_at(value, default_tz=self._zone)
        except (ValueError, TypeError, OverflowError) as error:
            raise InputError(f"{where}{field}: {error}", field=field) from error
        return _Time(parsed.iso, parsed.value.timestamp(), parsed.value if parsed.precise else parsed.day, parsed.notes)

    def when(self, value: When) -> str:
        """Return a time the caller gave (such as `now=`) as ISO 8601."""
        return self._parsed(value, "", "now").iso

    @staticmethod
    def _session(scope: Scope, defaults: Defaults, day: str) -> str:
        if scope.session is not None and defaults.session is not None and scope.session != defaults.session:
            raise ScopeError(
                f"this scope is bound to session {scope.session!r} and cannot write to {defaults.session!r}: use a scope without a session",
                field="session",
            )
        return scope.session or defaults.session or day

    def _check(self, text: str, speaker: str, session: str, id: str | None, meta: Mapping[str, Any], where: str) -> None:
        self._check_size(text, where)
        bad = _UNSTORABLE.search(text)
        if bad:
            what = "NUL" if bad.group() == "\x00" else "a lone surrogate"
            raise InputError(
                f"{where}the text has {what} at character {bad.start()}, which no store keeps faithfully: replace it, for example with "
                r"re.sub('[\x00\ud800-\udfff]', '\ufffd', text)", field="text",
            )
        for name, value in (("speaker", speaker), ("session", session), ("id", id or "-")):
            check_name(value, name, self._limits.name_chars, where)
        self._check_meta(meta, where)

    def _check_size(self, text: str, where: str) -> None:
        if len(text) > self._limits.text_chars:
            raise LimitError(
                f"{where}the text has {len(text):,} characters, the limit is {self._limits.text_chars:,}: split it, or raise "
                "Settings.limits.text_chars", field="text", limit=self._limits.text_chars, actual=len(text),
            )

    def _check_meta(self, meta: Mapping[str, Any], where: str) -> None:
        most = self._limits.meta_chars
        found = bounds.excess(meta, keys=self._guard.meta_keys, depth=self._guard.meta_depth, chars=most)
        if found and found.what != "characters":
            unit = "keys" if found.what == "keys" else "levels"
            raise LimitError(
                f"{where}meta has more than {found.limit} {unit}: keep what is larger with the application and its id here, or raise "
                f"Settings.guard.meta_{found.what}", field="meta", limit=found.limit, actual=found.actual,
            )
        try:
            size = found.actual if found else len(json.dumps(meta, allow_nan=False))
        except (TypeError, ValueError, RecursionError) as error:
            raise InputError(f"{where}meta must be plain JSON values: {error}", field="meta") from error
        if size > most:
            raise LimitError(f"{where}meta has {size:,} characters or more as JSON, the limit is {most:,}", field="meta",
                             limit=most, actual=size)


@dataclass(frozen=True, slots=True)
class _Time:
    iso: str
    ts: float
    value_or_day: datetime | date
    notes: tuple[str, ...]


def _check_defaults(defaults: Defaults) -> None:
    """Check the types of what was said once for a whole call, before it meets a message."""
    parents = defaults.derived_from
    if isinstance(parents, (str, bytes)) or not all(isinstance(id_, str) for id_ in parents):
        raise InputError("derived_from must be a list of ids, as receipts have them", field="derived_from")
    for field in ("speaker", "session", "id"):
        value = getattr(defaults, field)
        if value is not None and not isinstance(value, str):
            raise InputError(f"{field} must be a text, not a {type(value).__name__}", field=field)
    if defaults.session is not None and not defaults.session.strip():
        raise InputError("session must be a text that is not empty; leave it out to keep each day as a session", field="session")
    meta = defaults.meta
    if meta is not None and not (isinstance(meta, Mapping) and all(isinstance(key, str) for key in meta)):
        raise InputError("meta must be a mapping whose keys are texts", field="meta")


def check_name(value: str, field: str, limit: int, where: str = "") -> None:
    """Check an owner, session, speaker or id.

    Raises:
        InputError: It is empty, too long, or has control characters.
    """
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{where}{field} must be a text that is not empty", field=field)
    if len(value) > limit:
        raise LimitError(f"{where}{field} has {len(value)} characters, the limit is {limit}", field=field, limit=limit, actual=len(value))
    if _NO_NAME.search(value):
        raise InputError(f"{where}{field} has control characters or a lone surrogate", field=field)


def _text_of(content: object, where: str, most: int) -> str:
    """Return the text of an OpenAI-style content: a string, or a list of parts of which only the text can be remembered.

    Raises:
        LimitError: The parts together have more than `most` characters; they are not joined then.
    """
    if isinstance(content, str):
        return content
    if isinstance(content, Sequence) and not isinstance(content, (bytes, bytearray)):
        texts: list[str] = []
        size = 0
        for part in content:
            size += 1 + len(texts[-1]) if texts else 0
            if size > most:
                raise LimitError(f"{where}the parts of the text have more than {most:,} characters, which is the limit: split it, or raise "
                                 "Settings.limits.text_chars", field="text", limit=most, actual=size)
            if isinstance(part, str):
                texts.append(part)
            elif isinstance(part, Mapping) and isinstance(part.get("text"), str):
                texts.append(part["text"])
            elif isinstance(part, Mapping) and "type" in part:
                texts.append(f"[{part['type']}]")
            else:
                raise InputError(f"{where}content parts must be text or objects with a 'type'", field="content")
        return "\n".join(texts)
    raise InputError(f"{where}content must be text or a list of parts, not {type(content).__name__}", field="content")


def _role_of(role: object, where: str) -> Role:
    found = _ROLES.get(role.lower()) if isinstance(role, str) else None
    if found is None:
        given = repr(role[:20]) if isinstance(role, str) else f"of type {type(role).__name__}"
        raise InputError(f"{where}unknown role {given}: use one of {', '.join(_ROLES)}", field="role")
    return found


def _call_of(call: Mapping[str, Any], where: str, most: int) -> tuple[str, str, str]:
    """Return (tool name, text, call id) of a tool call in OpenAI's form or as a plain name with arguments."""
    inner = call.get("function", call) if isinstance(call, Mapping) else None
    if not isinstance(inner, Mapping) or not isinstance(inner.get("name"), str):
        raise InputError(f"{where}a tool call needs a 'name' and 'arguments'", field="tool_calls")
    arguments = inner.get("arguments", inner.get("args", ""))
    if not isinstance(arguments, str):
        found = bounds.excess(arguments, keys=most, depth=_ARGUMENTS_DEPTH, chars=most)
        if found:
            raise LimitError(
                f"{where}the arguments of a tool call have more than {found.limit:,} {found.what}: keep them elsewhere",
                field="tool_calls", limit=found.limit, actual=found.actual,
            )
        try:
            arguments = json.dumps(arguments, ensure_ascii=False, sort_keys=True, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise InputError(
                f"{where}the arguments of tool call {inner['name'][:40]!r} are not plain JSON values: {error}", field="tool_calls"
            ) from error
    return inner["name"], f"{inner['name']}({arguments})", str(call.get("id") or "")
