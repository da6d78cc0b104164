"""The packer keeps its budget whatever the counter says, prefers what is worth most, and repeats itself exactly."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierkeep import rendering
from tierkeep.compose.packer import pack
from tierkeep.records import Authority, EvidenceItem, Source
from tierkeep.tokens import EstimateCounter


class Words:
    """One token a word."""

    name = "words"

    def count(self, text: str) -> int:
        return len(text.split())


class Bytes:
    """One token a byte: the dearest there is."""

    name = "bytes"

    def count(self, text: str) -> int:
        return len(text.encode())


class Superadditive:
    """The whole costs more than its parts: a tenth more for each thousand characters."""

    name = "superadditive"

    def count(self, text: str) -> int:
        return int(len(text) * (1 + len(text) / 10_000) / 4) + 1


class Capricious:
    """A cost that has nothing to do with the length, though the same text always costs the same."""

    name = "capricious"

    def count(self, text: str) -> int:
        return sum(text.encode()) % 97 if text else 0


COUNTERS: list[Any] = [Words(), Bytes(), Superadditive(), Capricious(), EstimateCounter()]


def item(text: str, id: str, score: float = 1.0, **more: Any) -> EvidenceItem:
    return EvidenceItem(
        **{"id": id, "sources": (id,), "text": text, "at": "2026-05-20", "speaker": "Ana", "origin": Source.USER_DIRECT,
           "authority": Authority.ADVISE, "score": score, **more}
    )  # fmt: skip


PARTS = st.lists(
    st.tuples(
        st.one_of(st.text(max_size=60), st.integers(1, 300).map(lambda n: "some words here. " * n)),
        st.floats(0, 100),
        st.sampled_from(["", "PROFILE", "CURRENT", "EARLIER"]),
        st.sampled_from(["2026-05-20", "2026-05-21", "2025-01-01"]),
    ),
    max_size=12,
)


def per_length(score: float, length: float) -> float:
    return score / max(length, 1.0)


def items(parts: list[tuple[str, float, str, str]]) -> list[EvidenceItem]:
    return [item(text, f"e{n}", score, flag=flag, at=at, order=n) for n, (text, score, flag, at) in enumerate(parts)]


@pytest.mark.parametrize("counter", COUNTERS, ids=lambda counter: counter.name)
@given(parts=PARTS, budget=st.integers(1, 3000), density=st.floats(0, 1), computed=st.lists(st.text(max_size=40), max_size=6))
def test_the_budget_is_never_passed(counter: Any, parts: list[Any], budget: int, density: float, computed: list[str]) -> None:
    packed = pack(items(parts), budget, counter, value=lambda score, length: score / max(length, 1.0) ** density, computed=computed)
    assert packed.tokens == counter.count(packed.text) <= budget or packed.text == ""
    assert packed.tokens <= budget
    assert bool(packed.text) == bool(packed.items)
    assert packed.text == rendering.block(packed.items, packed.computed)
    if packed.computed:
        lines = "\n".join(["[worked out]", *map(rendering.plain, packed.computed)])
        assert counter.count(lines) <= min(0.15 * budget, 200)
        assert not any(entry.excerpt for entry in packed.items)


@given(parts=PARTS, budget=st.integers(1, 3000))
def test_what_is_shown_is_what_is_cited(parts: list[Any], budget: int) -> None:
    packed = pack(items(parts), budget, EstimateCounter())
    assert packed.text == rendering.block(packed.items)
    kept = {entry.id for entry in packed.items}
    assert kept | set(packed.dropped) == {f"e{n}" for n in range(len(parts))}
    assert not kept & set(packed.dropped)


@given(parts=PARTS, budget=st.integers(1, 3000))
def test_the_same_candidates_give_the_same_block(parts: list[Any], budget: int) -> None:
    one, two = (pack(items(parts), budget, EstimateCounter(), value=per_length) for _ in range(2))
    assert (one.items, one.text, one.dropped) == (two.items, two.text, two.dropped)


@given(parts=PARTS, budget=st.integers(1, 3000))
def test_an_excerpt_is_taken_only_when_nothing_fits_whole(parts: list[Any], budget: int) -> None:
    packed = pack(items(parts), budget, EstimateCounter())
    if any(entry.excerpt for entry in packed.items):
        assert len(packed.items) == 1
        assert packed.items[0].text.endswith(" …")


def test_an_excerpt_ends_at_a_sentence_and_says_so() -> None:
    packed = pack([item("This is a sentence of seven words. " * 100, "long")], 120, EstimateCounter())
    (cut,) = packed.items
    assert cut.excerpt and cut.text.endswith("words. …")
    assert packed.tokens > 60


def test_no_excerpt_when_too_little_room_is_left() -> None:
    assert pack([item("word " * 500, "long")], 40, EstimateCounter()).text == ""


def test_everything_is_taken_when_everything_fits() -> None:
    given_items = [item(f"text {n}", f"e{n}", order=n) for n in range(5)]
    assert [entry.id for entry in pack(given_items, 1000, Words()).items] == ["e0", "e1", "e2", "e3", "e4"]


def test_the_best_is_taken_first_and_read_in_order_of_time() -> None:
    worth = [
        item("alpha " * 30, "old", 1.0, at="2026-01-01"),
        item("beta " * 30, "best", 3.0, at="2026-03-01"),
        item("gamma " * 30, "new", 2.0, at="2026-02-01"),
    ]
    packed = pack(worth, 100, Words())
    assert [entry.id for entry in packed.items] == ["new", "best"]
    assert packed.dropped == ("old",)


def test_what_does_not_fit_is_passed_over_for_what_does() -> None:
    packed = pack([item("best", "best", 9.5), item("long " * 500, "long", 9.0), item("short", "short", 1.0)], 80, Words())
    assert {entry.id for entry in packed.items} == {"best", "short"}


def test_the_beginning_of_the_best_is_worth_more_than_the_whole_of_the_least() -> None:
    packed = pack([item("long " * 500, "long", 9.0), item("short", "short", 1.0)], 80, Words())
    assert [(entry.id, entry.excerpt) for entry in packed.items] == [("long", True)]


def test_profile_items_come_before_any_score() -> None:
    worth = [item("word " * 30, "event", 1000.0), item("Ana lives in Faro " + "word " * 26, "home", 0.1, flag="PROFILE", speaker="")]
    assert [entry.id for entry in pack(worth, 60, Words()).items] == ["home"]


def test_a_value_per_length_prefers_two_short_ones_to_a_long_one() -> None:
    best = item("best", "best", 2.0)
    worth = [best, item("long " * 60, "long", 1.5), item("short " * 20, "a", 1.0, order=1), item("short " * 20, "b", 1.0, order=2)]
    assert {entry.id for entry in pack(worth, 95, Words(), value=per_length).items} == {"best", "a", "b"}
    assert {entry.id for entry in pack(worth, 95, Words()).items} == {"best", "long"}


def test_ties_keep_the_given_order() -> None:
    worth = [item("same words here " * 10, f"e{n}", 1.0, order=n) for n in range(6)]
    assert [entry.id for entry in pack(worth, 100, Words()).items] == ["e0", "e1"]


def test_worked_out_lines_are_counted_and_kept() -> None:
    packed = pack([item("I moved.", "e0")], 100, Words(), computed=["moved 1 time"])
    assert "moved 1 time" in packed.text
    assert pack([item("I moved.", "e0")], 14, Words(), computed=["moved 1 time " * 20]).text == ""


@given(parts=PARTS, budget=st.integers(1, 3000), computed=st.lists(st.text(max_size=40), max_size=3))
def test_worked_out_lines_never_cost_the_best_item(parts: list[Any], budget: int, computed: list[str]) -> None:
    with_lines, without = (pack(items(parts), budget, EstimateCounter(), computed=lines) for lines in (computed, ()))
    assert bool(with_lines.items) == bool(without.items)
    best = max(items(parts), key=lambda entry: (bool(entry.flag), entry.score, -entry.order), default=None)
    if best is not None and best.id in {entry.id for entry in without.items}:
        assert best.id in {entry.id for entry in with_lines.items}


def test_a_line_that_would_turn_the_best_item_into_an_excerpt_is_left_out() -> None:
    best = item("word " * 80, "long")
    packed = pack([best], 100, Words(), computed=["a line of eight words or so here"])
    assert (packed.computed, packed.items) == ((), (best,))


def test_lines_beyond_their_share_are_left_out_and_shorter_ones_may_follow() -> None:
    packed = pack([item("I moved.", "e0")], 100, Words(), computed=["one two three", "word " * 20, "four"])
    assert packed.computed == ("one two three", "four")


def test_one_conversation_gets_its_share_when_there_are_several() -> None:
    worth = [item("word " * 9, f"a{n}", 9.0, session="a", order=n) for n in range(20)]
    worth += [item("word " * 9, f"b{n}", 1.0, session="b", order=100 + n) for n in range(20)]
    packed = pack(worth, 140, Words(), session_share=0.6)
    sessions = [entry.session for entry in packed.items]
    assert sessions.count("a") * 10 <= 84 and sessions.count("b") >= 3
    assert {entry.session for entry in pack(worth, 140, Words()).items} == {"a"}


def test_a_single_conversation_may_fill_the_budget() -> None:
    worth = [item("word " * 9, f"a{n}", 9.0, session="a", order=n) for n in range(20)]
    assert len(pack(worth, 140, Words(), session_share=0.6).items) == len(pack(worth, 140, Words()).items)
