"""Properties of the date resolver that hold for any text and any anchor."""

from __future__ import annotations

from datetime import date

from hypothesis import given, settings
from hypothesis import strategies as st

from tierkeep.dates import (
    answer_time,
    asks_for_time,
    describe,
    find_durations,
    find_times,
)

_ANCHORS = st.dates() | st.sampled_from(
    [date.min, date(1, 1, 8), date(1, 12, 31), date(9999, 1, 1), date(9999, 12, 20), date.max, date(2024, 2, 29)]
)
_PIECES = st.sampled_from(
    "last next this every the a few couple of several two 3 40 9999 0 half ago before after in on since around early mid "
    "late end beginning day days week weeks weekend weekends month months year years decade decades yesterday tomorrow "
    "tonight night morning Sunday friday sat Tue June may Dec. August 5 12th 31 29 February 30 2023 1987 0001 9999 "
    "2023-02-29 2024-02-29 8/13/2023 13.8.2023 31/12/99 summer winter fall 90s 1850s first third fifth last from now to - "
    "and between will went , . weekend Christmas Eve of from until by 1/2 2014-2016 other past coming time".split()
)
_ELSEWHERE = st.lists(
    st.sampled_from(
        "上 下 这 个 周 星期 六 月 去年 明年 三 两 几 半 十 二 天 前 后 年 5月 2日 2026年 十二月 三十 号 末 底 每 先週 の 土曜日 来 今 "
        "か月 毎 了 要 、 春 夏 "
        "ich_ vor_ drei_ Tagen_ letzte_ Woche_ 2._ Mai_ 2026_ am_ Samstag_ seit_ in_ einem_ halben_ Jahr_ Anfang_ morgen_ "
        "31.6.2026_ war_ werde_ "
        "yo_ hace_ dos_ semanas_ el_ lunes_ pasado_ que_ viene_ de_ mayo_ 2_ en_ principios_ mañana_ año_ medio_ fui_ voy_a_ 31/4/2026_ "
        "قبل_ ثلاثة_ أيام_ أسبوعين_ يوم_ السبت_ الماضي_ القادم_ ٢_ مايو_ ٢٠٢٦_ نهاية_ الأسبوع_ في_ عام_ أمس_ بعد_ غد_ منذ_ كل_".split()
    ),
    max_size=12,
).map(lambda pieces: "".join(pieces).replace("_", " "))
_SPOKEN = st.lists(_PIECES, max_size=14).map(" ".join)
_TEXTS = st.text(max_size=200) | _SPOKEN | _ELSEWHERE


@given(_TEXTS, _ANCHORS)
@settings(max_examples=600, deadline=None)
def test_spans_lie_in_the_text_in_order_and_are_well_formed(text: str, anchor: date) -> None:
    floor = 0
    for span in find_times(text, anchor):
        start, end = span.position
        assert floor <= start < end <= len(text)
        assert text[start:end] == span.phrase
        assert span.start <= span.end
        assert span.anchor == anchor
        floor = end


@given(_SPOKEN | _ELSEWHERE, _ANCHORS, _ANCHORS)
@settings(max_examples=1500, deadline=None)
def test_a_description_reads_back_to_the_same_days(text: str, anchor: date, reader: date) -> None:
    for span in find_times(text, anchor):
        words = describe(span)
        back = find_times(words, reader)
        assert [(t.start, t.end, t.precision, t.approximate) for t in back] == [(span.start, span.end, span.precision, span.approximate)], (
            span,
            words,
        )
        assert describe(back[0]) == describe(find_times(describe(back[0]), reader)[0])


@given(_TEXTS, _ANCHORS)
@settings(max_examples=400, deadline=None)
def test_no_text_makes_the_other_readers_raise(text: str, anchor: date) -> None:
    asks_for_time(text)
    answer_time("When did it happen?", text, anchor)
    for duration in find_durations(text, anchor):
        start, end = duration.position
        assert text[start:end] == duration.phrase
        assert duration.value >= 0


@given(_TEXTS, _ANCHORS)
@settings(max_examples=200, deadline=None)
def test_the_same_text_gives_the_same_times(text: str, anchor: date) -> None:
    assert find_times(text, anchor) == find_times(text, anchor)


@given(st.text(alphabet="".join(map(chr, range(0xAC00, 0xB000))) + "абвгдежзик αβγδε กขคง", max_size=300), _ANCHORS)
@settings(max_examples=100, deadline=None)
def test_text_in_scripts_that_have_no_rules_names_no_times(text: str, anchor: date) -> None:
    assert find_times(text, anchor) == []
