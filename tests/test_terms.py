"""Text to index terms."""

from __future__ import annotations

import threading
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierkeep.terms import MAX_TERMS, MAX_WORD, analyze, term_id, term_ids


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("went", "goes"),
        ("bought", "buying"),
        ("taught", "teaches"),
        ("children", "child"),
        ("Café", "cafe"),
        ("Mara's", "mara"),
        ("colour", "color"),
        ("mum", "mothers"),
        ("seven", "7"),
        ("15th", "15"),
        ("12,500", "12500"),
        ("ＦＵＬＬ", "full"),
        ("O’Neil", "o'neil"),
    ],
)
def test_forms_of_one_word_share_a_term(one: str, other: str) -> None:
    assert analyze(one) == analyze(other) != []


@pytest.mark.parametrize("text", ["", "  \n", "What did you do?", "I'm, you'll, they've, don't", "…!?", "🙂"])
def test_function_words_and_signs_leave_nothing(text: str) -> None:
    assert analyze(text) == []


def test_order_and_repetition_are_kept() -> None:
    assert analyze("tea then coffee, then tea") == ["tea", "coffe", "tea"]


def test_a_month_is_not_an_auxiliary() -> None:
    assert analyze("in May") == ["may"]


def test_unspaced_scripts_give_characters_and_bigrams() -> None:
    assert analyze("綠茶好") == ["綠", "茶", "綠茶", "好", "茶好"]
    assert set(analyze("茶")) < set(analyze("綠茶"))
    assert set(analyze("日本で")) & set(analyze("日本"))


def test_mixed_scripts_are_separated() -> None:
    assert analyze("tea綠") == ["tea", "綠"]


def test_another_language_is_stemmed_by_its_own_rules() -> None:
    assert analyze("casas", "spanish") == analyze("casa", "spanish")
    assert analyze("the", "spanish") == ["the"]


def test_ids_are_stable_and_follow_the_terms() -> None:
    text = "Lisbon trams, Lisbon hills"
    assert term_ids(text).tolist() == [zlib.crc32(term.encode()) for term in analyze(text)]
    assert term_ids(text).dtype == np.uint32
    assert term_ids("").shape == (0,)


def test_lone_surrogates_are_tolerated() -> None:
    assert term_ids("a\ud800b \udfff tea")[-1] == term_id("tea")


@pytest.mark.parametrize("unit", ["a", "a'", "茶", "the ", "1,", "a b\n", "ﷺ", "e\u0301", "'", "a1"])
def test_megabytes_of_hostile_text_stay_within_the_cap(unit: str) -> None:
    terms = analyze(unit * (2_000_000 // len(unit)))
    assert len(terms) <= MAX_TERMS
    assert all(len(term) <= 2 * MAX_WORD for term in terms)


def test_terms_past_the_cap_are_not_indexed() -> None:
    ids = term_ids("tea " * MAX_TERMS + "coffee")
    assert len(ids) == MAX_TERMS
    assert term_id("coffe") not in ids


@given(st.text())
def test_any_text_gives_the_same_terms_twice(text: str) -> None:
    terms = analyze(text)
    assert terms == analyze(text)
    assert all(terms)
    assert len(term_ids(text)) == len(terms)


@given(st.lists(st.sampled_from(["river", "42", "茶", "walked", "the"]), max_size=8))
def test_terms_of_a_text_are_those_of_its_lines(lines: list[str]) -> None:
    assert analyze("\n".join(lines)) == [term for line in lines for term in analyze(line)]


def test_threads_do_not_disturb_one_another() -> None:
    words = [f"{root}{ending}" for root in ("walk", "paint", "garden", "climb") for ending in ("", "s", "ed", "ing", "er")]
    texts = [" ".join(f"{word}{number}x {word}" for word in words) for number in range(40)]
    expected = [analyze(text) for text in texts]
    found: dict[int, list[list[str]]] = {}

    def work(number: int) -> None:
        # A language of its own per thread pair, so that no answer comes from the cache of the expected ones.
        found[number] = [analyze(text, "porter") for text in texts] if number % 2 else [analyze(text) for text in texts]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(found[number] == expected for number in (0, 2, 4))
    assert found[1] == found[3] == found[5]
