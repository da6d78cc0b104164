"""What the date resolver finds in English sentences, and what it leaves alone."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from tierkeep.dates import Precision, TimeSpan, find_times
from tierkeep.dates.resolve import MAX_SCANNED, MAX_TIMES

THURSDAY = date(2024, 3, 14)


def only(text: str, anchor: date = THURSDAY) -> TimeSpan:
    """The one time in a text."""
    (span,) = find_times(text, anchor)
    return span


def read(text: str, anchor: date = THURSDAY) -> tuple[str, str, str]:
    """First day, last day and precision of the one time in a text."""
    span = only(text, anchor)
    return span.start.isoformat(), span.end.isoformat(), span.precision.value


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("The plumber came yesterday.", "2024-03-13"),
        ("We signed the day before yesterday.", "2024-03-12"),
        ("The vet called last night", "2024-03-13"),
        ("This morning I burnt the toast", "2024-03-14"),
        ("See you tomorrow evening!", "2024-03-15"),
        ("I planted the beans 10 days ago", "2024-03-04"),
        ("My parcel arrives in three days, it will be heavy", "2024-03-17"),
        ("The choir sang last Sunday", "2024-03-10"),
        ("We fixed the roof last Thursday", "2024-03-07"),
        ("Friday was dreadful", "2024-03-08"),
        ("I will call the bank on Friday", "2024-03-15"),
        ("It's due by Monday", "2024-03-18"),
        ("This past Saturday we baked", "2024-03-09"),
        ("My exam is next Tuesday", "2024-03-19"),
        ("We meet Wednesday next week", "2024-03-20"),
        ("She moved out three Fridays ago", "2024-02-23"),
        ("The lease began on the 5th.", "2024-03-05"),
        ("I will see the surgeon on the 21st.", "2024-03-21"),
        ("The roof leaked on August 13", "2023-08-13"),
        ("We will marry on 13 August", "2024-08-13"),
        ("Dec. 3rd was our first frost", "2023-12-03"),
        ("born 13th of August, 1987", "1987-08-13"),
        ("born on August 13th, 1987", "1987-08-13"),
        ("filed 8/13/2023", "2023-08-13"),
        ("filed 13/8/2023", "2023-08-13"),
        ("filed 13.8.2023", "2023-08-13"),
        ("filed 2023-08-13", "2023-08-13"),
        ("On Wednesday, March 6, the boiler died", "2024-03-06"),
        ("We got the keys the Friday before 15 July 2022", "2022-07-08"),
        ("The auction is the day after 1 May 2024", "2024-05-02"),
        ("the second Tuesday of May 2023", "2023-05-09"),
        ("the last day of February 2024", "2024-02-29"),
        ("I stopped smoking on New Year's Day", "2024-01-01"),
    ],
)
def test_days(text: str, day: str) -> None:
    assert read(text) == (day, day, "day")


@pytest.mark.parametrize(
    ("text", "start", "end", "precision"),
    [
        ("last week was busy", "2024-03-07", "2024-03-13", "week"),
        ("we leave next week", "2024-03-15", "2024-03-21", "week"),
        ("this week I rest", "2024-03-11", "2024-03-17", "week"),
        ("two weeks ago it snowed", "2024-02-26", "2024-03-03", "week"),
        ("the week of 20 March 2024", "2024-03-18", "2024-03-24", "week"),
        ("the week before 9 June 2023", "2023-06-02", "2023-06-08", "week"),
        ("the first week of August 2023", "2023-08-01", "2023-08-07", "week"),
        ("the last week of September", "2023-09-24", "2023-09-30", "week"),
        ("last weekend we sailed", "2024-03-09", "2024-03-10", "weekend"),
        ("two weekends ago we sailed", "2024-03-02", "2024-03-03", "weekend"),
        ("this weekend I'll paint", "2024-03-16", "2024-03-17", "weekend"),
        ("next weekend I'll paint", "2024-03-23", "2024-03-24", "weekend"),
        ("over the weekend I painted", "2024-03-09", "2024-03-10", "weekend"),
        ("the weekend before last", "2024-03-02", "2024-03-03", "weekend"),
        ("the first weekend of August 2023", "2023-08-05", "2023-08-06", "weekend"),
        ("she graduates next month", "2024-04-01", "2024-04-30", "month"),
        ("we went to Crete in June", "2023-06-01", "2023-06-30", "month"),
        ("we will go to Crete in June", "2024-06-01", "2024-06-30", "month"),
        ("it rained last October", "2023-10-01", "2023-10-31", "month"),
        ("three months ago I quit", "2023-12-01", "2023-12-31", "month"),
        ("early August, 2023", "2023-08-01", "2023-08-10", "month"),
        ("at the end of last month", "2024-02-21", "2024-02-29", "month"),
        ("I saw it in Oct '22", "2022-10-01", "2022-10-31", "month"),
        ("the summer of 2021", "2021-06-01", "2021-08-31", "season"),
        ("last winter was mild", "2023-12-01", "2024-02-29", "season"),
        ("the winter of 2022-23", "2022-12-01", "2023-02-28", "season"),
        ("last year we adopted a cat", "2023-01-01", "2023-12-31", "year"),
        ("3 years ago we adopted a cat", "2021-01-01", "2021-12-31", "year"),
        ("I taught in Graz in 2016.", "2016-01-01", "2016-12-31", "year"),
        ("mid-2019 was rough", "2019-05-01", "2019-08-31", "year"),
        ("punk died in the 90s", "1990-01-01", "1999-12-31", "decade"),
        ("the early 2000s", "2000-01-01", "2003-12-31", "decade"),
        ("a few days ago I fell", "2024-03-09", "2024-03-12", "day"),
        ("from 3 to 9 September 2023", "2023-09-03", "2023-09-09", "day"),
        ("1 May 2024 until 30 April 2025", "2024-05-01", "2025-04-30", "day"),
        ("between May and July 2021", "2021-05-01", "2021-07-31", "month"),
        ("the 2014-2016 drought", "2014-01-01", "2016-12-31", "year"),
    ],
)
def test_spans_keep_the_precision_of_the_words(text: str, start: str, end: str, precision: str) -> None:
    assert read(text) == (start, end, precision)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Recently I have been reading more.",
        "We dance every Friday and rest on Sundays.",
        "twice a week, once a month, each summer",
        "some Tuesday, that Friday, the Monday after they left, the following Thursday",
        "I may march; we might fall in the spring sale",
        "the 21st century, the 2nd time, my 5th birthday",
        "2000 calories, $2019, room 2016, call 555-2020, v1.2.2023",
        "30 February 2023 and 2023-13-45 and 31/31/2023",
        "It took me three weeks; he finished it in four days.",
        "J'ai acheté un vélo hier.",
        "어제 자전거를 샀어요.",
        "Вчера мы ходили в музей.",
        "April called and June is her sister",
        "the next day, two hours later, the day before",
    ],
)
def test_words_that_name_no_one_time_yield_nothing(text: str) -> None:
    assert find_times(text, THURSDAY) == []


def test_the_phrase_and_its_place_are_kept() -> None:
    text = "Honestly? Last week was fine, but in 2019, oh dear."
    spans = find_times(text, THURSDAY)
    assert [span.phrase for span in spans] == ["Last week", "2019"]
    assert [text[slice(*span.position)] for span in spans] == ["Last week", "2019"]


def test_relative_says_whether_the_anchor_was_needed() -> None:
    spans = find_times("yesterday, 5 June, 5 June 2020, in 2020, last year", THURSDAY)
    assert [span.relative for span in spans] == [True, True, False, False, True]


@pytest.mark.parametrize("text", ["around 5 June 2020", "two weeks ago", "several years ago", "late 2019", "about a month ago"])
def test_loose_words_are_marked_approximate(text: str) -> None:
    assert only(text).approximate


@pytest.mark.parametrize("text", ["5 June 2020", "ten days ago", "last week", "in 2019", "two weekends ago"])
def test_plain_words_are_not(text: str) -> None:
    assert not only(text).approximate


def test_about_before_a_day_is_the_subject_of_talk() -> None:
    span = only("That is what we argued about yesterday")
    assert (span.phrase, span.approximate) == ("yesterday", False)


def test_a_weekday_and_its_date_are_one_time() -> None:
    assert [span.phrase for span in find_times("Thursday (March 21): paint the hull", THURSDAY)] == ["Thursday (March 21"]
    assert only("Thursday (March 21): paint the hull").start == date(2024, 3, 21)


def test_since_belongs_to_the_phrase() -> None:
    assert only("I have lived in Lund since 2016").phrase == "since 2016"


def test_the_clause_nearest_to_the_time_decides_its_tense() -> None:
    assert only("She will phone us back, on Friday we met her").start == date(2024, 3, 8)


def test_a_bare_weekday_on_that_weekday_is_today() -> None:
    assert only("Thursday at last").start == THURSDAY


@pytest.mark.parametrize("offset", range(14))
def test_last_weekday_is_always_one_to_seven_days_back(offset: int) -> None:
    anchor = THURSDAY + timedelta(days=offset)
    back = (anchor - only("last Tuesday", anchor).start).days
    assert 1 <= back <= 7


def test_29_february_without_a_year_is_in_a_leap_year() -> None:
    assert only("She was born on February 29", date(2022, 7, 1)).start == date(2020, 2, 29)


@pytest.mark.parametrize(("text", "anchor"), [("yesterday", date.min), ("next week", date.max), ("900 years ago", date(800, 1, 1))])
def test_what_falls_outside_the_calendar_is_left_out(text: str, anchor: date) -> None:
    assert find_times(text, anchor) == []


def test_only_the_beginning_of_a_huge_text_is_read() -> None:
    text = "yesterday " + "x" * MAX_SCANNED + " tomorrow"
    assert [span.phrase for span in find_times(text, THURSDAY)] == ["yesterday"]
    assert len(find_times("friday, " * 1_000_000, THURSDAY)) == MAX_TIMES


def test_precision_is_named_in_plain_words() -> None:
    assert [precision.value for precision in Precision] == [
        "day",
        "weekend",
        "week",
        "month",
        "season",
        "year",
        "decade",
    ]
