"""HyMem's segments: what is one, where a longer conversation is cut, and that it does not matter how it was handed over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from tierkeep.protocols import Span, View
from tierkeep.records import Authority, Event, Origin, Scope
from tierkeep.settings import HyMemSettings
from tierkeep.write.segments import SegmentSegmenter

BEGAN = datetime(2031, 5, 1, 9, tzinfo=UTC)
SIZES = HyMemSettings(session_tokens=40, window_tokens=80, target_tokens=16)


class Words:
    """Counts words."""

    name = "words"

    def count(self, text: str) -> int:
        return len(text.split())


def event(seq: int, text: str, minutes: float) -> Event:
    at = BEGAN + timedelta(minutes=minutes)
    return Event(
        id=f"e{seq}", seq=seq, scope=Scope(user="ana", session="s"), position=seq - 1, kind="message", role="user", speaker="Ana",
        text=text, at=at.isoformat(), ts=at.timestamp(), origin=Origin.user("Ana"), authority=Authority.ADVISE,
    )


def events(*texts: str, pauses: dict[int, float] | None = None) -> list[Event]:
    made, minutes = [], 0.0
    for seq, text in enumerate(texts, 1):
        minutes += (pauses or {}).get(seq, 1.0)
        made.append(event(seq, text, minutes))
    return made


def cut(told: list[Event], final: bool = True) -> list[Span]:
    return SegmentSegmenter(Words(), SIZES).segment(told, cast(View, None), final=final)  # it reads the events alone


def sizes(spans: list[Span]) -> list[int]:
    return [len(span.events) for span in spans]


def test_a_short_conversation_is_one_segment_once_it_is_over() -> None:
    told = events("one two three", "four five six")
    assert cut(told, final=False) == []
    assert sizes(cut(told)) == [2]


def test_a_long_one_is_cut_at_its_longest_pause() -> None:
    told = events(*["we talk of tea"] * 20, pauses={4: 90.0})
    spans = cut(told)
    assert spans[0].reason == "pause" and len(spans[0].events) == 3


def test_and_where_its_words_change_when_no_pause_stands_out() -> None:
    told = events(*["my garden has roses"] * 3, *["the train left Vienna"] * 17)
    spans = cut(told)
    assert spans[0].reason == "change of subject" and len(spans[0].events) == 3


def test_an_unfinished_end_waits_for_a_whole_window() -> None:
    told = events(*["we talk of tea"] * 15)  # 75 of 80
    assert cut(told, final=False) == []
    more = events(*["we talk of tea"] * 17)
    assert 0 < sum(sizes(cut(more, final=False))) < 17


def test_a_single_long_message_is_a_segment_of_its_own() -> None:
    told = events("short words here", "long " * 300, "short words again", "and more")
    assert [span.events[0].id for span in cut(told)][:2] == ["e1", "e2"]


words = st.sampled_from(("tea", "garden", "train", "violin", "boiler", "lisbon"))
texts = st.lists(st.lists(words, max_size=30).map(" ".join), min_size=1, max_size=60)
pauses = st.dictionaries(st.integers(1, 60), st.sampled_from((0.0, 5.0, 500.0)), max_size=20)


@given(texts=texts, pauses=pauses)
def test_every_event_is_in_exactly_one_span_in_order(texts: list[str], pauses: dict[int, float]) -> None:
    told = events(*texts, pauses=pauses)
    spans = cut(told)
    assert [one.id for span in spans for one in span.events] == [one.id for one in told]
    for span in spans:
        assert sum(len(f"Ana: {one.text}".split()) for one in span.events) <= SIZES.window_tokens or len(span.events) == 1


@given(texts=texts, pauses=pauses, steps=st.lists(st.integers(1, 12), max_size=20))
def test_it_does_not_matter_how_a_conversation_is_handed_over(texts: list[str], pauses: dict[int, float], steps: list[int]) -> None:
    told = events(*texts, pauses=pauses)
    found: list[Span] = []
    read, seen = 0, 0
    for step in steps:
        seen = min(len(told), seen + step)
        found += cut(told[read:seen], final=False)
        read = sum(sizes(found))
    found += cut(told[read:], final=True)
    assert [[one.id for one in span.events] for span in found] == [[one.id for one in span.events] for span in cut(told)]
