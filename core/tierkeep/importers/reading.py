"""From a file to messages: choose the reader, then clean, date and name what it finds."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from tierkeep.dates.timestamps import parse_at
from tierkeep.errors import ImportFormatError, InputError, LimitError
from tierkeep.importers.chatgpt import ChatGPTExport
from tierkeep.importers.claude import ClaudeExport
from tierkeep.importers.markdown_memory import MarkdownMemory
from tierkeep.importers.openai_messages import OpenAIMessages
from tierkeep.importers.reader import Found, ImportedMessage, Place, Reader, ReadOptions, Tally
from tierkeep.importers.source import ImportFile
from tierkeep.importers.transcript import Transcript
from tierkeep.records import Message, Origin, Source

#: The formats that everybody may have, most particular first: the first that recognises a file reads it.
READERS: tuple[Reader, ...] = (ChatGPTExport(), ClaudeExport(), OpenAIMessages(), MarkdownMemory(), Transcript())

_ID_CHARS = 26
#: An export's own id is used as it is only when it is long enough to be unique over all files, as UUIDs are.
_GLOBAL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{15,79}")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_CONTROLS = re.compile("[\x00-\x1f\x7f]+")
_NAME_CHARS = 256


def by_name(name: str, readers: Sequence[Reader] = READERS) -> Reader:
    """Return the reader with that name.

    Raises:
        InputError: There is none; the message lists those there are.
    """
    for reader in readers:
        if reader.name == name:
            return reader
    known = ", ".join(reader.name for reader in readers)
    raise InputError(f"there is no import format {name!r}; the formats are: {known}", field="format")


def detect(source: ImportFile, readers: Sequence[Reader] = READERS, *, shown: Sequence[Reader] = ()) -> Reader:
    """Return the first reader that recognises the file.

    Args:
        source: The file.
        readers: In the order in which they are asked.
        shown: The same readers as people should see them listed, when that is another order.

    Raises:
        ImportFormatError: None does, or the file holds nothing but blank space.
    """
    head = source.head()
    if not head.strip():
        source.broken("the file is empty")
    for reader in readers:
        if reader.sniff(head, source.path):
            return reader
    known = "\n".join(f"  {reader.name}: {reader.about}" for reader in shown or readers)
    raise ImportFormatError(
        f"{source.path}: this is none of the formats that can be recognised.\nKnown formats:\n{known}\n"
        "If it is one of them, name it (on the command line: --format NAME).",
        path=str(source.path),
    )


def read(
    source: ImportFile, reader: Reader, options: ReadOptions, tally: Tally | None = None
) -> Iterator[ImportedMessage]:
    """Yield the messages of a file. Streams where the format does; the same file always yields the same ids.

    Args:
        source: The file.
        reader: Its format.
        options: What the file does not say.
        tally: Filled while the iterator runs.

    Raises:
        ImportFormatError: The file breaks the format, a date cannot be read, `options.me` never speaks, or there is no
            message at all.
        LimitError: A message is longer than `options.max_text`.
    """
    tally = Tally() if tally is None else tally
    finish = _Finisher(source, options, tally)
    for found in reader.find(source, options, tally):
        message = finish(found)
        if message is not None:
            yield message
    if not tally.messages and not options.may_be_empty:
        why = ", ".join(f"{n} {reason}" for reason, n in sorted(tally.skipped.items()))
        source.broken(f"no message in it that could be remembered ({reader.name} format{'; ' + why if why else ''})")
    if options.me is not None and tally.people and not tally.mine:
        names = ", ".join(name for name, _ in tally.people.most_common(12))
        source.broken(f"nobody in it is called {options.me!r}; the speakers are: {names}")


class _Finisher:
    """Turns what readers find into messages; remembers what later messages of the same file depend on."""

    def __init__(self, source: ImportFile, options: ReadOptions, tally: Tally) -> None:
        self._source = source
        self._options = options
        self._tally = tally
        self._undated = _default_date(options)
        self._last_at: dict[str, datetime | date] = {}
        self._own_ids: dict[str, bytes] = {}
        self._positions: Counter[str] = Counter()

    def __call__(self, found: Found) -> ImportedMessage | None:
        text = self._clean(found.text).strip()
        calls = tuple(self._clean_value(call) for call in found.tool_calls)
        if not text and not calls:
            self._tally.skipped["messages without text"] += 1
            return None
        longest = max([len(text), *(len(str(call)) for call in calls)])
        if self._options.max_text is not None and longest > self._options.max_text:
            self._refuse_long(longest, found.place)
            return None
        session = self._name(found.session) or self._name(self._source.stem) or "import"
        at = self._when(found, session)
        if found.by_day and at is not None:
            session = f"{session} {at.isoformat()[:10]}"
        session = session[-_NAME_CHARS:].strip()  # the end tells days and numbers apart
        speaker = self._name(found.speaker)[:_NAME_CHARS]
        message = Message(
            text=text,
            role=found.role,
            speaker=speaker,
            at=at,
            id=self._identify(found, session, text),
            origin=self._origin(found, speaker),
            tool_calls=calls,
            meta=self._clean_value(dict(found.meta)),
        )
        self._tally.messages += 1
        self._tally.sessions[session] += 1
        return ImportedMessage(session, message)

    def _refuse_long(self, length: int, place: Place) -> None:
        limit = self._options.max_text or 0
        if self._options.skip_long:
            self._tally.skipped[f"messages longer than {limit} characters"] += 1
            return
        raise LimitError(
            f"{self._source.path}, {_words(place)}: a message of {length} characters; at most {limit} can be stored. "
            "To import the rest, leave such messages out (on the command line: --skip-long).",
            limit=limit,
            actual=length,
        )

    def _when(self, found: Found, session: str) -> datetime | date | None:
        if found.at is None or found.at == "":
            known = self._last_at.get(session, self._undated)
            self._tally.undated += known is None
            return known
        day_first = self._options.day_first if self._options.day_first is not None else found.day_first
        try:
            parsed = parse_at(found.at, default_tz=self._options.tz, day_first=day_first)
        except ValueError as error:
            what = f"{found.place.item}: {error}" if found.place.item else str(error)
            self._source.broken(what, line=found.place.line, cause=error)
        if not isinstance(found.at, int | float):  # that a number counts seconds since 1970 is no news
            for note in parsed.notes:
                self._tally.note(note)
        at = parsed.value if parsed.precise else parsed.day
        self._last_at[session] = at
        return at

    def _identify(self, found: Found, session: str, text: str) -> str:
        position = self._positions[session]
        self._positions[session] += 1
        if found.keeps_id or _GLOBAL_ID.fullmatch(found.own_id):
            content = hashlib.sha256(f"{found.role}\0{text}".encode()).digest()[:8]
            if self._own_ids.setdefault(found.own_id, content) == content:
                return found.own_id
        index = found.own_id or position
        key = json.dumps([session, index, found.role, text, list(found.tool_calls)], sort_keys=True, default=str)
        return hashlib.sha256(key.encode()).hexdigest()[:_ID_CHARS]

    def _origin(self, found: Found, speaker: str) -> Origin:
        if found.origin is not None:
            return found.origin
        file = self._source.name
        if self._options.untrusted or not self._is_own(found, speaker) or found.doubtful:
            return Origin(
                source=Source.IMPORTED, principal=speaker, channel="import", uri=file, trust_domain=f"import:{file}"
            )
        if found.role == "user":
            return Origin(source=Source.USER_DIRECT, principal=speaker, channel="import", uri=file)
        if found.role == "assistant":
            return Origin(source=Source.AGENT_INFERRED, principal=speaker, channel="import", uri=file)
        if found.role == "tool":
            return Origin.tool(speaker).model_copy(update={"channel": "import", "uri": file})
        return Origin(source=Source.UNKNOWN, channel="import", uri=file)

    def _is_own(self, found: Found, speaker: str) -> bool:
        """Return whether the message belongs to the user's own conversation, rather than to another person."""
        me = self._options.me
        if found.role != "user" or not (found.person or (me is not None and speaker)):
            return True
        self._tally.people[speaker] += 1
        own = me is not None and speaker.casefold() == me.strip().casefold()
        self._tally.mine += own
        return own

    def _name(self, text: str) -> str:
        """Return a name on one line, as sessions and speakers must be."""
        return _CONTROLS.sub(" ", self._clean(text)).strip()

    def _clean(self, text: str) -> str:
        cleaned, count = _UNSTORABLE.subn("\ufffd", text)
        self._tally.replaced += count
        return cleaned

    def _clean_value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._clean(value)
        if isinstance(value, Mapping):
            return {self._clean(str(k)): self._clean_value(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [self._clean_value(v) for v in value]
        return value


def _default_date(options: ReadOptions) -> datetime | date | None:
    if options.at is None:
        return None
    try:
        parsed = parse_at(options.at, default_tz=options.tz, day_first=options.day_first)
    except ValueError as error:
        raise InputError(f"the date for messages without one: {error}", field="at") from error
    return parsed.value if parsed.precise else parsed.day


def _words(place: Place) -> str:
    return f"line {place.line}" if place.line else place.item
