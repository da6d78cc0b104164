"""How a resolved time is said."""

from __future__ import annotations

from datetime import date

import pytest

from tierkeep.dates import describe, find_times

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
