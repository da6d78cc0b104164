"""A question's dates, person and terms."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierkeep.retrieve.question import DateWords, read_question


def dates(text: str) -> tuple[set[int], set[int], set[tuple[int, int]]]:
    found = read_question(text).dates
    return set(found.years), set(found.months), set(found.days)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("on May 8, 2031", ({2031}, set(), {(5, 8)})),
        ("on the 8th of May", (set(), set(), {(5, 8)})),
        ("8 may", (set(), set(), {(5, 8)})),
        ("2031-05-08", ({2031}, set(), {(5, 8)})),
        ("2031-05", ({2031}, {5}, set())),
        ("in July and August 2030", ({2030}, {7, 8}, set())),
        ("3 Dec. 2030", ({2030}, set(), {(12, 3)})),
        ("what may he do on the march", (set(), set(), set())),
        ("2031-13-40", ({2031}, set(), set())),
        ("", (set(), set(), set())),
    ],
)
def test_dates(text: str, expected: tuple[set[int], set[int], set[tuple[int, int]]]) -> None:
    assert dates(text) == expected


@pytest.mark.parametrize(("text", "first", "last"), [("early June", 1, 10), ("mid-June", 11, 20), ("the end of June", 21, 31)])
def test_parts_of_a_month(text: str, first: int, last: int) -> None:
    assert dates(text)[2] == {(6, day) for day in range(first, last + 1)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2031年5月8日我在哪里？", ({2031}, set(), {(5, 8)})),
        ("五月和六月我去了哪里？", (set(), {5, 6}, set())),
        ("昨年の5月に何を買いましたか", (set(), {5}, set())),
        ("Was war am 8. Mai 2031?", ({2031}, set(), {(5, 8)})),
        ("Was habe ich im Oktober gekauft?", (set(), {10}, set())),
        ("¿Qué hice el 8 de mayo de 2031?", ({2031}, set(), {(5, 8)})),
        ("ماذا فعلت في ٨ مايو ٢٠٣١؟", ({2031}, set(), {(5, 8)})),
        ("ماذا اشتريت في مايو؟", (set(), {5}, set())),
        ("Was kostet die Mayonnaise?", (set(), set(), set())),
    ],
)
def test_dates_in_other_languages(text: str, expected: tuple[set[int], set[int], set[tuple[int, int]]]) -> None:
    assert dates(text) == expected


def test_a_part_of_a_month_in_other_languages() -> None:
    assert dates("五月底发生了什么？")[2] == dates("Was war Ende Mai los?")[2] == {(5, day) for day in range(21, 32)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("我的猫叫什么？", True), ("猫叫什么？", False), ("私の猫の名前は？", True), ("猫の名前は？", False),
        ("Wie heißt meine Katze?", True),
        ("Wie heißt die Katze?", False), ("¿Cómo se llama mi gato?", True), ("¿Cómo se llama el gato?", False), ("ما اسم قطتي؟", True),
        ("ما اسم القطة؟", False), ("Mir is a space station that fell", False), ("Do Re Mi is a song", False),
    ],
)  # fmt: skip
def test_the_first_person_in_other_languages(text: str, expected: bool) -> None:
    assert read_question(text).first_person is expected


@pytest.mark.parametrize(("text", "expected"), [("Do I?", True), ("my tram", True), ("Our plan", True), ("i.e. Mara", False)])
def test_first_person(text: str, expected: bool) -> None:
    assert read_question(text).first_person is expected


def test_terms_are_distinct_and_in_order() -> None:
    one, two, three = read_question("tea coffee tea"), read_question("tea"), read_question("coffee")
    assert one.terms.tolist() == [*two.terms.tolist(), *three.terms.tolist()]


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    assert all(1 <= month <= 12 and 1 <= day <= 31 for month, day in read_question(text).dates.days)


@pytest.mark.parametrize("unit", ["May ", "8 ", "2031-", "mid-", "early ", "I ", "8 May 8 "])
def test_hostile_questions(unit: str) -> None:
    assert isinstance(read_question(unit * 500_000).dates, DateWords)
