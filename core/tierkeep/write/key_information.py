"""HyMem's key information: a segment becomes single sentences, by a model or by rules (tiers spec, 2.2 and 5.3.5).

What tools, web pages and documents say is not distilled: a sentence shows no origin of each of its words, so what anybody could have
written stays raw, with its origin beside it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence

from tierkeep.allowance import Allowance
from tierkeep.dates import find_times
from tierkeep.prompts import hymem
from tierkeep.protocols import Span, TokenCounter, View
from tierkeep.records import Event, Record, Scope
from tierkeep.rendering import plain
from tierkeep.skills import Skills
from tierkeep.terms import analyze
from tierkeep.write.sentences import key_sentences, may_be_distilled

__all__ = ["KEY_INFORMATION", "SEGMENT", "KeyInformation"]

SEGMENT = "segment"
KEY_INFORMATION = "key_information"

#: Longest reply (tiers 2.5), sentences taken of it, and characters of a sentence (ours): longer ones are no single sentences.
_MAX_TOKENS = 2_048
_MOST_SENTENCES = 64
_SENTENCE_CHARS = 600
#: Content words that a sentence needs to say anything (tiers 5.3.5).
_LEAST_WORDS = 2
_WORD = re.compile(r"\w+")


class KeyInformation:
    """Distils a segment into a record of the segment and one record of each sentence.

    A model's sentence rests on all messages that the model read; a rule's sentence is a quotation and rests on its message alone. So
    either goes, and is derived again, when one of its messages is forgotten.

    Args:
        skills: The model; None for rules.
        counter: How the size of a segment is counted.
    """

    def __init__(self, skills: Skills | None, counter: TokenCounter) -> None:
        self._skills = skills
        self._counter = counter

    def extract(self, span: Span, view: View, allowance: Allowance) -> list[Record]:
        """Return the segment, unless there is one of these messages already, then its sentences, each once and linked to it.

        A segment has kind "segment", its date and length as text, and `attrs` "session", "start", "end" (ids of its first and last
        event) and "tokens". A sentence has kind "key_information", and `attrs` "session", "speaker" and "by" ("rules" or "model").
        """
        held = view.records(kind=SEGMENT, source=span.events[0].id)
        segment = held[0] if held else _segment(span.events, self._counter)
        sentences = self._by_model(span.events, segment, allowance)
        if sentences is None:
            sentences = list(_by_rules(span.events, segment))
        distinct = {record.id: record for record in reversed(sentences)}
        return [*([] if held else [segment]), *reversed(distinct.values())]

    def _by_model(self, events: Sequence[Event], segment: Record, allowance: Allowance) -> list[Record] | None:
        """Return the model's sentences, none for small talk; None when it cannot be asked."""
        read = [event for event in events if may_be_distilled(event)]
        if self._skills is None or not read:
            return None
        reply = self._skills.use("extract", hymem.key_information(read), hymem.KeyInformationReply, allowance, max_tokens=_MAX_TOKENS)
        if reply is None:
            return None
        texts = [plain(item)[:_SENTENCE_CHARS] for item in reply.items[:_MOST_SENTENCES]]
        return [_sentence(text, read, segment, "", "model") for text in texts if _telling(text)]


def _telling(text: str) -> bool:
    return len(set(analyze(text))) >= _LEAST_WORDS


def _by_rules(events: Sequence[Event], segment: Record) -> Iterator[Record]:
    """Yield the sentences that tell something, as they were said (tiers 5.3.5): an index, not a compression."""
    for event in filter(may_be_distilled, events):
        for text in key_sentences(event):
            yield _sentence(plain(text), (event,), segment, event.speaker or event.role, "rules")


def _segment(events: Sequence[Event], counter: TokenCounter) -> Record:
    first, last, least = events[0], events[-1], min(events, key=lambda event: event.authority)
    days = dict.fromkeys((first.at[:10], last.at[:10]))
    count = f"{len(events)} message{'' if len(events) == 1 else 's'}"
    return Record(
        id=_id(first.scope.partition, SEGMENT, first.session, first.id), scope=_owner(first), kind=SEGMENT,
        text=f"{' to '.join(days)}, {count}",
        attrs={
            "session": first.session, "start": first.id, "end": last.id,
            "tokens": sum(counter.count(f"{event.speaker}: {event.text}\n") for event in events),
        },
        sources=tuple(event.id for event in events), observed_at=_newest(events).at, origin=least.origin, authority=least.authority,
    )  # fmt: skip


def _sentence(text: str, events: Sequence[Event], segment: Record, speaker: str, by: str) -> Record:
    least, newest = min(events, key=lambda event: event.authority), _newest(events)
    # "I ran today", said on two days, is two things; "I like tea" is one.
    said_on = newest.at[:10] if any(time.relative for time in find_times(text, newest.day)) else ""
    key = _id(speaker.casefold(), " ".join(_WORD.findall(text.casefold())), said_on)
    return Record(
        id=_id(newest.scope.partition, KEY_INFORMATION, segment.id, key), scope=_owner(newest), kind=KEY_INFORMATION, text=text, key=key,
        attrs={"session": newest.session, "speaker": speaker, "by": by}, sources=tuple(event.id for event in events),
        links=((SEGMENT, segment.id, 1.0),), observed_at=newest.at, origin=least.origin, authority=least.authority,
    )


def _newest(events: Sequence[Event]) -> Event:
    return max(events, key=lambda event: (event.ts, event.seq))


def _owner(event: Event) -> Scope:
    return event.scope.model_copy(update={"session": None})


def _id(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode("utf-8", "replace")).hexdigest()[:32]
