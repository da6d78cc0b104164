"""How a resolved time is said, and how a question's own window is read."""

from __future__ import annotations

from datetime import date

import pytest

from tierkeep.dates import describe, find_times, parse_when

THURSDAY = date(2024, 3, 14)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("yesterday", "13 March 2024"),
        ("last week", "the week before 14 March 2024"),
        ("next week", "the week after 14 March 2024"),
        ("this week", "the week of 14 March 2024"),
        ("the week before last", "the week before 7 March 2024"),
        ("two weeks ago", "around two weeks before 14 March 2024"),
        ("a week ago", "around one week before 14 March 2024"),
        ("a few weeks ago", "a few weeks before 14 March 2024"),
        ("several days ago", "several days before 14 March 2024"),
        ("last weekend", "the weekend before 14 March 2024"),
        ("two weekends ago", "two weekends before 14 March 2024"),
        ("the weekend of 8 July 2023", "the weekend of 8 July 2023"),
        ("next month", "April 2024"),
        ("three months ago", "around December 2023"),
        ("early August 2023", "early August 2023"),
        ("last summer", "the summer of 2023"),
        ("last winter", "the winter of 2023-24"),
        ("last year", "2023"),
        ("10 years ago", "around 2014"),
        ("a few years ago", "a few years before 14 March 2024"),
        ("since 2016", "since 2016"),
        ("around 5 June 2020", "around 5 June 2020"),
        ("the 90s", "the 1990s"),
        ("two decades ago", "around the 2000s"),
        ("from 5 to 7 June 2023", "5 June 2023 to 7 June 2023"),
        ("the year 0987", "the year 0987"),
    ],
)
def test_a_time_is_said_no_more_precisely_than_it_was_meant(text: str, said: str) -> None:
    (span,) = find_times(text, THURSDAY)
    assert describe(span) == said


def test_a_question_without_a_time_has_no_window() -> None:
    assert parse_when("Where does Ana keep her bike?", THURSDAY) is None


def test_a_question_has_the_window_it_names() -> None:
    span = parse_when("What did we plant in June 2023?", THURSDAY)
    assert span is not None
    assert (span.start, span.end) == (date(2023, 6, 1), date(2023, 6, 30))


def test_the_window_of_last_week_takes_in_the_calendar_week_too() -> None:
    span = parse_when("What broke last week?", THURSDAY)
    assert span is not None
    assert (span.start, span.end) == (date(2024, 3, 4), date(2024, 3, 13))
    assert describe(span) == "the week before 14 March 2024"


def test_the_window_of_next_week_does_so_ahead() -> None:
    span = parse_when("What is planned for next week?", THURSDAY)
    assert span is not None
    assert (span.start, span.end) == (date(2024, 3, 15), date(2024, 3, 24))
