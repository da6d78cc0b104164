"""Lexical scoring: who gets points, what a mask hides, how ties fall."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierkeep.records import TermRow
from tierkeep.retrieve.fusion import confidence, rank, score
from tierkeep.retrieve.index import ScopeIndex
from tierkeep.retrieve.question import read_question
from tierkeep.settings import RetrievalSettings
from tierkeep.terms import MAX_TERMS

from .scopes import histories, questions, row, rows


def best(history: list[TermRow], question: str, limit: int = 10) -> list[int]:
    index = ScopeIndex(history)
    return [int(index.seq[at]) for at in rank(index, score(index, read_question(question)).total, limit)]


def apart(*texts: str) -> list[TermRow]:
    """Events in sessions of their own, so that none is another's neighbour."""
    return [row(seq, text, session=f"s{seq}") for seq, text in enumerate(texts, start=1)]


def test_the_rarer_term_weighs_more() -> None:
    assert best(apart("tea", "violin", "tea", "tea"), "tea or violin", 1) == [2]


def test_an_answer_that_repeats_no_word_is_found_beside_its_question() -> None:
    history = [*apart("train", "garden", "bicycle"), row(4, "Which dentist?", "s9"), row(5, "Orlova, upstairs", "s9", "Ilya")]
    assert best(history, "dentist") == [4, 5]


def test_neighbours_fade_with_distance_and_end_with_the_session() -> None:
    texts = ["violin", *["nothing"] * 6]
    index = ScopeIndex([*rows(*texts), row(8, "nothing", session="s2")])
    gained = score(index, read_question("violin")).parts["neighbour"].tolist()
    assert gained[1] > gained[2] > gained[3] > gained[4] > 0
    assert gained[5:] == [0, 0, 0]


def test_the_session_that_holds_the_subject_comes_first() -> None:
    history = [row(1, "tea garden", "s1"), row(2, "violin", "s1"), row(3, "tea bicycle", "s2"), row(4, "train", "s2")]
    assert best(history, "tea violin garden")[0] in (1, 2)
    assert best(history, "tea violin garden")[-1] == 4


def test_the_named_speaker_comes_first() -> None:
    history = [row(1, "tea", "s1", "Mara"), row(2, "tea", "s2", "Ilya")]
    assert best(history, "What does Mara drink, tea?")[0] == 1
    assert best(history, "What does Ilya drink, tea?")[0] == 2
    assert "speaker" not in score(ScopeIndex(history), read_question("Do Mara and Ilya drink tea?")).parts


def test_a_question_in_the_first_person_is_about_the_user() -> None:
    history = [row(1, "tea", "s1", "user"), row(2, "tea", "s2", "assistant")]
    assert best(history, "Do I like tea?")[0] == 1
    assert "speaker" not in score(ScopeIndex(history), read_question("Who likes tea?")).parts


@pytest.mark.parametrize("when", ["in March", "on March 9, 2031", "on 2031-03-10", "in mid-March", "the 11th of march"])
def test_a_named_date_comes_first(when: str) -> None:
    history = [row(1, "tea", "s1", day="2031-02-10"), row(2, "tea", "s2", day="2031-03-10"), row(3, "tea", "s3", day="2031-05-10")]
    assert best(history, f"Where was tea {when}?")[0] == 2


def test_a_class_finds_its_members() -> None:
    assert best(apart("a violin lesson", "the train", "a tram"), "Which instrument?") == [1]


def test_nothing_in_common_is_no_hit() -> None:
    assert best(rows("tea", "coffee"), "dentist") == []
    assert best([], "tea") == []
    assert best(rows("tea"), "") == []


def test_ties_go_to_the_newest_then_to_the_lowest_seq() -> None:
    history = [row(1, "tea", "a", day="2031-01-01"), row(2, "tea", "b", day="2031-01-02"), row(3, "tea", "c", day="2031-01-02")]
    assert best(history, "tea") == [2, 3, 1]
    assert best(history, "tea", 2) == [2, 3]
    assert best(history, "tea", 1) == [2]
    assert best(history, "tea", 0) == []


@given(histories(), questions(), st.integers(0, 30))
def test_what_came_later_is_neither_found_nor_felt(history: list[TermRow], question: str, cut: int) -> None:
    cut = min(cut, len(history))
    index, asked = ScopeIndex(history), read_question(question)
    masked = score(index, asked, np.arange(len(history)) < cut).total
    # Speakers who had not spoken yet are the one thing the whole index knows more about.
    if {one.speaker for one in history} == {one.speaker for one in history[:cut]}:
        np.testing.assert_allclose(masked[:cut], score(ScopeIndex(history[:cut]), asked).total, rtol=1e-4)
    assert not masked[cut:].any()


@given(histories(), questions(), st.data())
def test_a_hidden_event_never_scores(history: list[TermRow], question: str, data: st.DataObject) -> None:
    mask = np.asarray(data.draw(st.lists(st.booleans(), min_size=len(history), max_size=len(history))), np.bool_)
    scores = score(ScopeIndex(history), read_question(question), mask)
    assert not scores.total[~mask].any()
    assert not scores.parts["event"][~mask].any()


@given(histories(), questions())
def test_the_parts_make_the_whole(history: list[TermRow], question: str) -> None:
    total, parts = (scores := score(ScopeIndex(history), read_question(question))).total, scores.parts
    whole = parts["event"] + parts["session"] + parts["neighbour"]
    for factor in ("speaker", "date"):
        whole = whole * parts.get(factor, np.float32(1))
    np.testing.assert_allclose(total, whole, rtol=1e-6)
    assert total.dtype == np.float32
    assert np.isfinite(total).all()
    assert (total >= 0).all()


@given(histories(), questions(), st.integers(0, 12))
def test_rank_is_the_head_of_the_full_order(history: list[TermRow], question: str, limit: int) -> None:
    index = ScopeIndex(history)
    total = score(index, read_question(question)).total
    expected = sorted(np.flatnonzero(total > 0).tolist(), key=lambda at: (-total[at], -index.ts[at], index.seq[at]))
    assert rank(index, total, limit).tolist() == expected[:limit]


def test_settings_switch_the_views_off() -> None:
    plain = RetrievalSettings(session=0, neighbour=0, speaker=0, date=0, concept=0, synonym=0)
    index = ScopeIndex(rows("violin", "nothing"))
    scores = score(index, read_question("violin in March"), settings=plain)
    assert scores.total.tolist() == scores.parts["event"].tolist()
    assert score(index, read_question("instrument"), settings=plain).total.tolist() == [0, 0]


def test_a_pasted_document_as_question_is_bounded() -> None:
    pasted = " ".join(f"word{number}" for number in range(MAX_TERMS)) + " tea"
    assert len(read_question(pasted).terms) < MAX_TERMS
    assert best(rows("word1", "tea"), pasted, 1) == [1]


def test_confidence_grows_with_the_lead() -> None:
    assert confidence(np.zeros(0, np.float32)) == 0
    assert confidence(np.zeros(20, np.float32)) == 0
    assert confidence(np.full(10, 7, np.float32)) == pytest.approx(0, abs=1e-9)
    leads = [confidence(np.asarray([9, *[9 - lead] * 9], np.float32)) for lead in (1, 2, 4, 9)]
    assert leads == sorted(leads)
    assert 0 < leads[0] < leads[-1] < 1
    assert confidence(np.asarray([99], np.float32)) == pytest.approx(1)


def test_confidence_is_the_normalised_entropy() -> None:
    shares = [math.exp((s - 4) / RetrievalSettings().confidence_temperature) for s in (4, 2, 0, 0, 0, 0, 0, 0, 0, 0)]
    entropy = -sum(s / sum(shares) * math.log(s / sum(shares)) for s in shares)
    assert confidence(np.asarray([2, 0, 4], np.float32)) == pytest.approx(1 - entropy / math.log(10), rel=1e-6)
