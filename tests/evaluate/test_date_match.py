"""The date scorer: what counts as the same answer, and what must not."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierkeep.dates import Precision, describe, find_times
from tierkeep.evaluate.date_match import gold_span, matches


@pytest.mark.parametrize(
    ("answer", "start", "end", "precision"),
    [
        ("The Tuesday before 10 March 2021", date(2021, 3, 9), date(2021, 3, 9), Precision.DAY),
        ("the week before 4April, 2021.", date(2021, 3, 28), date(2021, 4, 3), Precision.WEEK),
        ("The weekend of 5 April 2021", date(2021, 4, 3), date(2021, 4, 4), Precision.WEEKEND),
        ("two weekends before 5 April 2021", date(2021, 3, 27), date(2021, 3, 28), Precision.WEEKEND),
        ("Septembar 2021", date(2021, 9, 1), date(2021, 9, 30), Precision.MONTH),
        ("May.2021", date(2021, 5, 1), date(2021, 5, 31), Precision.MONTH),
        ("9` July 2021", date(2021, 7, 9), date(2021, 7, 9), Precision.DAY),
        ("In 2011", date(2011, 1, 1), date(2011, 12, 31), Precision.YEAR),
        ("Since 2011", date(2011, 1, 1), date(2011, 12, 31), Precision.YEAR),
        ("spring 2021", date(2021, 3, 1), date(2021, 5, 31), Precision.SEASON),
    ],
)
def test_gold_dates(answer: str, start: date, end: date, precision: Precision) -> None:
    gold = gold_span(answer)
    assert gold is not None
    assert (gold.start, gold.end, gold.precision) == (start, end, precision)


@pytest.mark.parametrize("answer", ["four years", "10 years ago", "Lisbon", "", "last week", "She moved out in May 2021 with Bo"])
def test_what_is_no_date_has_no_span(answer: str) -> None:
    assert gold_span(answer) is None


@pytest.mark.parametrize(
    ("predicted", "gold"),
    [
        ("9 March 2021", "The Tuesday before 10 March 2021"),
        ("9 March 2021 (last Tuesday)", "March 9, 2021"),
        ("the week before 4 April 2021", "The week before 4April, 2021."),
        ("the weekend before 7 April 2021", "The weekend of 5 April 2021"),
        ("around 2011 (10 years ago)", "10 years ago"),
        ("around 2011 (ten years ago)", "10 years ago"),
        ("since 2011", "2011"),
        ("10 March 2021", "10 March"),
        ("four years", "4 years"),
        ("They married on 10 March 2021.", "10 March 2021"),
    ],
)
def test_the_same_time_in_other_words_matches(predicted: str, gold: str) -> None:
    assert matches(predicted, gold)


@pytest.mark.parametrize(
    ("predicted", "gold"),
    [
        ("9 March 2021", "10 March 2021"),
        ("9 March 2021", "March 2021"),
        ("March 2021", "9 March 2021"),
        ("the week before 4 April 2021", "the week before 5 April 2021"),
        ("1 April 2021", "the week before 4 April 2021"),
        ("the weekend before 7 April 2021", "the week before 7 April 2021"),
        ("2021", "2020"),
        ("10 March 2021", "11 March"),
        ("last week", "The week before 4 April 2021"),
        ("8 March 2021, or maybe 9 March 2021", "9 March 2021"),
        ("around 2011 (9 years ago)", "10 years ago"),
        ("four weeks", "4 years"),
        ("", "2021"),
        ("I do not know.", "2021"),
        ("2021", "Lisbon"),
    ],
)
def test_another_time_or_coarseness_does_not(predicted: str, gold: str) -> None:
    assert not matches(predicted, gold)


_WORDS = st.sampled_from(
    [
        "yesterday",
        "last week",
        "last Friday",
        "two weekends ago",
        "next month",
        "three years ago",
        "last summer",
        "in 2009",
    ]
)


@given(_WORDS, st.dates(min_value=date(1950, 1, 1), max_value=date(2090, 1, 1)))
def test_what_was_described_matches_itself_as_gold(words: str, anchor: date) -> None:
    (span,) = find_times(words, anchor)
    said = describe(span)
    gold = gold_span(said)
    assert gold is not None
    assert (gold.start, gold.end, gold.precision) == (span.start, span.end, span.precision)
    assert matches(said, said)


@given(st.text(max_size=80), st.text(max_size=80))
def test_any_two_texts_can_be_compared(predicted: str, gold: str) -> None:
    assert matches(predicted, gold) in (True, False)
