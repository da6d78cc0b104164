"""Which questions ask for a time, which time answers them, and how long things took."""

from __future__ import annotations

from datetime import date

import pytest

from tierkeep.dates import Precision, Unit, answer_time, asks_for_time, describe, find_durations

THURSDAY = date(2024, 3, 14)


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("When did Omar repaint the boat?", "when"),
        ("when's the dentist?", "when"),
        ("Since when has Lea been vegan?", "when"),
        ("In which month did the shop open?", "when"),
        ("What year was the barn built?", "when"),
        ("On what date is the hearing?", "when"),
        ("Do you remember when we bought the kayak?", "when"),
        ("How long ago did Omar move?", "when"),
        ("How many years ago was the flood?", "when"),
        ("How long has Lea been vegan?", "how_long"),
        ("How many weeks did the repair take?", "how_long"),
        ("In what order did the three storms come?", "order"),
        ("Which happened first, the flood or the fire?", "order"),
        ("Give me a timeline of the renovation", "order"),
        ("When I was in Rome, what did I eat?", None),
        ("What did we do in June 2023?", None),
        ("Who came to dinner on 3 May?", None),
        ("How many days a week does Omar train?", None),
        ("How long is the rope?", None),
        ("What do you recommend?", None),
        ("", None),
    ],
)
def test_the_kind_of_time_a_question_asks_for(question: str, kind: str | None) -> None:
    assert asks_for_time(question) == kind


def answer(question: str, text: str) -> str:
    """The time that answers, described."""
    span = answer_time(question, text, THURSDAY)
    assert span is not None
    return describe(span)


def test_the_time_next_to_the_words_asked_about_answers() -> None:
    text = "We bought the kayak in May 2022, sold the tent in 2023 and fixed the van yesterday."
    assert answer("When did they sell the tent?", text) == "2023"
    assert answer("When was the van fixed?", text) == "13 March 2024"
    assert answer("When did they buy the kayak?", text) == "May 2022"


def test_a_question_about_the_past_is_not_answered_by_a_plan() -> None:
    text = "On Monday I got the permit. Next month the permit fee goes up."
    assert answer("When did Omar get the permit?", text) == "11 March 2024"
    assert answer("When will the permit fee go up?", text) == "April 2024"


def test_a_text_without_a_time_is_dated_by_its_own_day() -> None:
    span = answer_time("When did the boiler break?", "The boiler just broke!", THURSDAY)
    assert span is not None
    assert (span.start, span.end, span.precision, span.relative, span.phrase) == (
        THURSDAY,
        THURSDAY,
        Precision.DAY,
        False,
        "",
    )


def test_a_length_that_still_runs_gives_its_beginning() -> None:
    assert answer("When did Lea start fencing?", "I've been fencing for three years now") == "around 2021"


def test_no_words_no_answer() -> None:
    assert answer_time("When?", " ... ", THURSDAY) is None


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("The repair took four weeks", 4, Unit.WEEK),
        ("We waited for an hour", 1, Unit.HOUR),
        ("It lasted half an hour", 0.5, Unit.HOUR),
        ("two and a half years of work", 2.5, Unit.YEAR),
        ("a 3-month course", 3, Unit.MONTH),
        ("It took about twenty-five minutes", 25, Unit.MINUTE),
        ("I've been here for 1.5 years", 1.5, Unit.YEAR),
    ],
)
def test_lengths(text: str, value: float, unit: Unit) -> None:
    (found,) = find_durations(text)
    assert (found.value, found.unit) == (value, unit)


@pytest.mark.parametrize("text", ["two years ago", "once a week", "a day in the hills", "a 30-year-old oak", "three days later"])
def test_points_rates_and_ages_are_not_lengths(text: str) -> None:
    assert find_durations(text) == []


def test_since_is_a_length_once_there_is_an_anchor() -> None:
    (found,) = find_durations("I have lived in Lund since 2016", THURSDAY)
    assert (found.value, found.unit, found.approximate) == (8, Unit.YEAR, True)
    assert found.since is not None
    assert found.since.start.year == 2016


def test_a_running_length_says_when_it_began() -> None:
    (found,) = find_durations("We have kept bees for six years", THURSDAY)
    assert found.since is not None
    assert describe(found.since) == "around 2018"


def test_a_finished_length_does_not() -> None:
    (found,) = find_durations("They kept bees for six years", THURSDAY)
    assert found.since is None
