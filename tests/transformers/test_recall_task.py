"""The recall task of tests/benchmarks: its sequences say what is claimed of them, and its oracle keeps what it says."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from tierkeep_transformers import FullCache, StreamingLLM, attach

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import recall_task_data as sequences
import recall_task_evaluate as evaluation
import recall_task_model as small_model
from recall_task_data import Task

LENGTHS = [Task(length=64, facts=4, decoys=4, queries=8), Task()]


def drawn(task: Task, batch: int = 64, seed: int = 5) -> sequences.Sequences:
    return task.draw(batch, torch.Generator().manual_seed(seed))


def facts_of(row: torch.Tensor, context: int, marker: int = sequences.STORE) -> dict[int, int]:
    """Keys and values that a row stores, read as a reader would."""
    tokens = row[:context].tolist()
    return {tokens[at + 1]: tokens[at + 2] for at, token in enumerate(tokens) if token == marker}


@pytest.mark.parametrize("task", LENGTHS, ids=["64", "256"])
def test_every_question_is_answered_by_a_fact_of_its_own_sequence(task: Task) -> None:
    data = drawn(task)
    for row, answers in zip(data.tokens, data.answers, strict=True):
        facts = facts_of(row, task.context)
        decoys = facts_of(row, task.context, sequences.DECOY)
        assert len(facts) == task.facts and len(decoys) == task.decoys and not set(facts) & set(decoys)
        asked = answers.nonzero().flatten().tolist()
        assert len(asked) == task.queries and min(asked) > task.context
        for at in asked:
            marker, key, value = row[at - 2 : at + 1].tolist()
            assert marker == sequences.QUERY and facts[key] == value


@pytest.mark.parametrize("task", LENGTHS, ids=["64", "256"])
def test_first_asked_answers_stand_nowhere_in_the_tail_before(task: Task) -> None:
    data = drawn(task)
    repeats = 0
    for row, answers, first in zip(data.tokens, data.answers, data.first, strict=True):
        seen: set[int] = set()
        for at in answers.nonzero().flatten().tolist():
            key = int(row[at - 1])
            assert bool(first[at]) == (key not in seen)
            repeats += key in seen
            seen.add(key)
    assert repeats > 0  # drawn with replacement: nobody can tell by elimination which fact is left


def test_no_shortcut_tells_an_answer() -> None:
    """Guesses from frequency, recency or what was not asked yet stay near one in the number of facts, far below what recall gives."""
    task, right, asked = Task(), dict.fromkeys(("most frequent", "newest", "not used yet"), 0), 0
    data = drawn(task, batch=256)
    for row, first in zip(data.tokens, data.first, strict=True):
        stored = list(facts_of(row, task.context).values())
        used: list[int] = []
        for at in first.nonzero().flatten().tolist():
            left = [value for value in stored if value not in used] or stored
            guesses = {"most frequent": max(stored, key=stored.count), "newest": stored[-1], "not used yet": left[0]}
            for name, guess in guesses.items():
                right[name] += guess == int(row[at])
            used.append(int(row[at]))
            asked += 1
    assert asked > 1500
    assert {name: count / asked < 0.2 for name, count in right.items()} == dict.fromkeys(right, True)


def test_labels_are_answers_only_and_fact_values_are_values() -> None:
    data = drawn(Task(), batch=8)
    assert (data.labels != -100).sum() == 8 * 12
    assert set(data.tokens[data.fact_values].tolist()) <= set(sequences.VALUES)
    assert (data.fact_values.sum(-1) == 12).all()


def test_a_task_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        drawn(Task(length=64))


def test_warm_up_marks_only_what_stood_there_before() -> None:
    tokens, known = sequences.pairs(24, 5, 16, torch.Generator().manual_seed(2))
    assert known.any() and not known.all()
    for row, told in zip(tokens.tolist(), known.tolist(), strict=True):
        values: dict[int, int] = {}
        for at in range(1, 24, 2):
            assert told[at] == (row[at - 1] in values) and not told[at - 1]
            assert values.setdefault(row[at - 1], row[at]) == row[at]


# ---------------------------------------------------------------------------------------------------------------- the oracle


def test_the_oracle_keeps_the_values_of_facts_and_the_newest() -> None:
    task, data, budget = Task(), drawn(Task(), batch=3), 16
    model = small_model.make(0)
    with torch.no_grad(), attach(model, evaluation.Oracle(budget=budget, buffer=0, fact_values=data.fact_values)) as bounded:
        cache = bounded.new_cache()
        for start in range(0, task.context, 20):
            model(data.tokens[:, start : start + 20], use_cache=True, **bounded.past(cache))
    for layer in cache.bounded.values():
        assert layer.slots.length == budget
        for row, facts in zip(layer.slots.position, data.fact_values, strict=True):
            wanted = set(facts.nonzero().flatten().tolist()) | set(range(task.context - budget + 12, task.context))
            for head in row.tolist():
                assert len(head) == budget and set(facts.nonzero().flatten().tolist()) <= set(head)
                assert max(head) == task.context - 1 and len(set(head) & wanted) >= budget - 2  # a fact may be among the newest


def test_both_protocols_measure_what_they_say() -> None:
    """Nothing evicted, both protocols answer what the model answers by itself; a budget holds between chunks, and bytes follow."""
    task, data = Task(), drawn(Task(), batch=2)
    model = small_model.make(0)
    alone = round(small_model.accuracy(model, data) * int(data.first.sum()))
    streamed = evaluation.streaming(model, FullCache(), data)
    at_once = evaluation.one_shot(model, FullCache(), data, task)
    assert streamed.right == at_once.right == alone and streamed.asked == int(data.first.sum())
    assert streamed.peak_slots == task.length and streamed.peak_bytes == task.length * 2 * 2 * 2 * 32 * 4  # layers, heads, K and V, fp32
    small = evaluation.streaming(model, StreamingLLM(budget=32, buffer=0), data)
    assert (small.kept_slots, small.peak_slots, small.peak_bytes) == (32, 40, 40 * 1024)
