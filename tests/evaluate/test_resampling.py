from __future__ import annotations

import numpy as np
import pytest

from tierkeep.evaluate.resampling import Interval, interval

pytest.importorskip("scipy")


def test_intervals_hold_the_mean_and_are_repeatable() -> None:
    draw = np.random.default_rng(3)
    values = list(draw.random(120))
    clusters = [f"c{place % 6}" for place in range(120)]
    first = interval(values, clusters)
    assert first == interval(values, clusters)
    assert first.by_question is not None and first.by_conversation is not None
    for low, high in (first.by_question, first.by_conversation):
        assert low < first.value < high
    standard_error = float(np.std(values)) / 120**0.5
    assert first.by_question[1] - first.by_question[0] == pytest.approx(2 * 1.96 * standard_error, rel=0.15)


def test_questions_that_agree_within_their_conversation_are_worth_less() -> None:
    clusters = [name for name in "abcdefgh" for _ in range(20)]
    values = [float(name in "abcd") for name in clusters]
    found = interval(values, clusters)
    assert found.by_question is not None and found.by_conversation is not None
    narrow, wide = (ends[1] - ends[0] for ends in (found.by_question, found.by_conversation))
    assert wide > 3 * narrow


def test_pairs_that_always_differ_by_as_much_have_no_spread() -> None:
    assert interval([0.25] * 10, ["a", "b"] * 5) == Interval(0.25, (0.25, 0.25), (0.25, 0.25))


def test_one_conversation_or_one_question_has_no_interval() -> None:
    assert interval([0.0, 1.0], ["a", "a"]).by_conversation is None
    assert interval([1.0], ["a"]) == Interval(1.0, None, None)
    assert interval([], []) == Interval(0.0)


def test_a_report_has_rounded_lists() -> None:
    assert Interval(0.123456, (0.1, 0.2), None).as_json() == {"value": 0.1235, "by_question": [0.1, 0.2], "by_conversation": None}
