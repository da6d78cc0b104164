"""The in-memory index of one scope."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tierkeep.records import TermPage, TermRow
from tierkeep.retrieve.index import ScopeIndex
from tierkeep.retrieve.postings import PostingLists
from tierkeep.terms import term_id, term_ids

from .scopes import WORDS, histories, row, rows


def state(index: ScopeIndex) -> list[object]:
    """Everything an index can be asked, as plain values."""
    columns = (index.seq, index.session, index.speaker, index.ts, index.length, index.size, index.asks)
    links = (index.previous, index.following)
    terms = [index.find(term_ids(word)) for word in (*WORDS, "tea coffee garden", "")]
    return [[column.tolist() for column in columns + links], [(r.tolist(), c.tolist()) for r, c in terms], index.speakers()]


@given(histories(), st.lists(st.integers(0, 30), max_size=6))
def test_extending_in_any_portions_equals_one_build(history: list[TermRow], cuts: list[int]) -> None:
    grown = ScopeIndex()
    bounds = [0, *sorted(min(cut, len(history)) for cut in cuts), len(history)]
    for start, end in pairwise(bounds):
        grown.extend(history[start:end])
    assert state(grown) == state(ScopeIndex(history))


@given(histories())
def test_postings_are_those_of_a_count(history: list[TermRow]) -> None:
    index = ScopeIndex()
    for one in history:
        index.extend([one])
    for word in WORDS:
        found, held = index.find(term_ids(word))
        counts = [int(np.isin(one.terms, term_ids(word)).sum()) for one in history]
        assert found.tolist() == [at for at, count in enumerate(counts) if count]
        assert held.tolist() == [count for count in counts if count]


@given(histories())
def test_neighbours_are_the_nearest_of_the_session(history: list[TermRow]) -> None:
    index = ScopeIndex(history)
    for at, one in enumerate(history):
        earlier = [other for other in range(at) if history[other].session == one.session]
        later = [other for other in range(at + 1, len(history)) if history[other].session == one.session]
        assert index.previous[at] == max(earlier, default=-1)
        assert index.following[at] == min(later, default=-1)


def test_counts_of_several_terms_add_up() -> None:
    index = ScopeIndex(rows("tea", "tea coffee tea", "bicycle"))
    found, counts = index.find(term_ids("tea coffee"))
    assert (found.tolist(), counts.tolist()) == ([0, 1], [1, 3])


@pytest.mark.parametrize("seqs", [(1, 1), (2, 1)])
def test_seq_must_ascend_and_nothing_is_added_when_it_does_not(seqs: tuple[int, int]) -> None:
    index = ScopeIndex()
    with pytest.raises(ValueError, match="ascend"):
        index.extend([row(seq, "tea") for seq in seqs])
    assert len(index) == 0
    index.extend([row(seqs[0], "tea")])
    with pytest.raises(ValueError, match="ascend"):
        index.extend([row(seqs[1], "tea")])
    assert index.seq.tolist() == [seqs[0]]


def test_an_empty_index_answers() -> None:
    index = ScopeIndex()
    assert (len(index), index.last_seq, index.sessions) == (0, -1, 0)
    assert index.find(term_ids("tea")).rows.tolist() == []
    assert index.session_code("s1") == -1


def test_speakers_are_named_by_their_whole_name_or_a_first_name_of_their_own() -> None:
    names = ["Mara Vint", "Ilya", "?!", "Jo Reed", "Jo Lund"]
    index = ScopeIndex([row(seq, "tea", speaker=name) for seq, name in enumerate(names)])

    def named(question: str) -> list[str]:
        return [names[code] for code in index.named_speakers(frozenset(term_ids(question).tolist()))]

    assert named("did Mara Vint and Ilya") == ["Mara Vint", "Ilya"]
    assert named("did Mara") == ["Mara Vint"]
    assert named("the Vint house") == []
    assert named("did Jo") == []
    assert named("did Jo Lund") == ["Jo Lund"]


def test_single_adds_keep_few_segments_and_report_their_memory() -> None:
    lists = PostingLists()
    for at in range(500):
        terms = term_ids(f"tea word{at}")
        lists.extend(terms, np.array([len(terms)], np.int32), at)
    assert len(lists.find(term_ids("tea")).rows) == 500
    assert len(lists._segments) <= 10  # the promise of the logarithmic method is not visible from outside
    index = ScopeIndex(rows(*["tea coffee"] * 500))
    assert 500 * 2 * 6 <= index.nbytes <= 500 * 200


@settings(max_examples=40)
@given(histories(), st.integers(1, 12), st.lists(st.integers(0, 2), max_size=3))
def test_rows_that_wait_unsorted_answer_as_sorted_ones_do(history: list[TermRow], portion: int, portions: list[int]) -> None:
    """Rows that came at once, and were sorted in portions between questions and additions, against a count of each text."""
    lists, held = PostingLists(at_once=4), 0
    queries = [term_ids(text) for text in ("tea", "mara", "tea coffee garden", "zzz", "")]
    for step in [2, *portions, 1]:
        page = history[held : held + 5 * step + 1]
        sizes = np.array([len(one.terms) for one in page], np.int32)
        lists.extend(np.concatenate([np.zeros(0, np.uint32), *(one.terms for one in page)]), sizes, held)
        held += len(page)
        for query, (found, counts) in zip(queries, lists.find_each(queries), strict=True):
            expected = [int(np.isin(one.terms, query).sum()) for one in history[:held]]
            assert found.tolist() == [at for at, count in enumerate(expected) if count]
            assert counts.tolist() == [count for count in expected if count]
            assert found.dtype == np.int32 and counts.dtype == np.uint16
        lists.settle(portion)


def test_a_large_page_answers_at_once_and_is_sorted_by_the_questions_after_it() -> None:
    texts = [f"tea word{number % 700} word{number % 31}" for number in range(20_000)]
    at_once, grown = ScopeIndex(rows(*texts)), ScopeIndex()
    for start in range(0, len(texts), 1_000):
        grown.extend([row(seq, texts[seq - 1]) for seq in range(start + 1, start + 1_001)])
    asked = [term_ids(text) for text in ("tea", "word3", "word3 word650", "coffee")]
    for _ in range(4):
        for (found, counts), (expected, held) in zip(at_once.find_each(asked), grown.find_each(asked), strict=True):
            assert (found.tolist(), counts.tolist()) == (expected.tolist(), held.tolist())
        at_once.settle()
    assert not len(at_once._postings._unsorted)  # what is left of it is not visible from outside


@given(histories())
def test_a_page_of_rows_gives_the_rows_back(history: list[TermRow]) -> None:
    plain = [(*one[:4], one.terms.tolist(), *one[5:]) for one in history]
    assert [(*one[:4], one.terms.tolist(), *one[5:]) for one in TermPage.of(history).rows()] == plain


def test_a_repetition_past_sixteen_bits_is_held_at_the_most() -> None:
    many = np.full(70_000, term_id("tea"), np.uint32)
    index = ScopeIndex([row(1, "")._replace(terms=many)])
    assert index.find(term_ids("tea")).counts.tolist() == [65_535]
    unsorted = PostingLists(at_once=0)
    unsorted.extend(many, np.array([len(many)], np.int32), 0)
    assert unsorted.find(term_ids("tea")).counts.tolist() == [65_535]


@given(histories(), st.data())
def test_relinking_makes_neighbours_of_what_is_left_in_any_order(history: list[TermRow], data: st.DataObject) -> None:
    index = ScopeIndex(history)
    order = data.draw(st.permutations(range(len(history))).map(lambda rows: rows[: len(rows) // 2 + 1]))
    index.relink(np.asarray(order, np.intp))
    following, previous = [-1] * len(history), [-1] * len(history)
    for session in {one.session for one in history}:
        for before, after in pairwise([at for at in order if history[at].session == session]):
            following[before], previous[after] = after, before
    assert (index.following.tolist(), index.previous.tolist()) == (following, previous)
    index.extend([row(1_000, "tea", "s1")])
    left = [at for at in order if history[at].session == "s1"]
    assert index.previous[-1] == (left[-1] if left else -1)
    assert not left or index.following[left[-1]] == len(history)
