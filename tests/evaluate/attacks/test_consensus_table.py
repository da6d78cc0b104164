"""The table counts what a consensus does; the sets it draws are the same each time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from tierkeep.allowance import Allowance
from tierkeep.errors import InputError
from tierkeep.evaluate.attacks.consensus_table import Corpus, corpora, table
from tierkeep.protocols import Agreement, View
from tierkeep.records import Hit, Op, Query

TEA = Corpus("tea", tuple(f"Pour tea {n}." for n in range(8)), tuple(f"bad {n}" for n in range(4)))


class Knowing:
    """Holds back what says that it is bad, and the third cup of tea; abstains on pairs."""

    calls = 0

    def __init__(self) -> None:
        self.seen: list[list[str]] = []

    def agree(self, hits: Sequence[Hit], query: Query, view: View, allowance: Allowance) -> Agreement:
        self.seen.append([hit.item.text for hit in hits])
        if len(hits) < 3:
            return Agreement(list(hits), abstained=True)
        dropped = tuple((hit, 1.0, "bad") for hit in hits if hit.item.text.startswith("bad") or hit.item.text == "Pour tea 2.")
        return Agreement([hit for hit in hits if hit not in [one for one, _, _ in dropped]], dropped)

    def lessons(self, agreement: Agreement, query: Query, view: View) -> list[Op]:
        return []


def test_what_is_counted() -> None:
    rows = {(row.k, row.poisoned): row for row in table(Knowing(), [TEA], ks=(2, 8), shares=(0.0, 0.5, 1.0), draws=10)}
    assert set(rows) == {(2, 0), (2, 1), (2, 2), (8, 0), (8, 4)}  # eight bad ones there are not
    assert (rows[2, 1].abstained, rows[2, 1].caught, rows[2, 1].poison, rows[2, 1].benign) == (10, 0, 10, 10)
    full = rows[8, 0]
    assert (full.lost, full.benign, full.poison) == (10, 80, 0)
    assert full.lost_interval[0] < 10 / 80 < full.lost_interval[1] and full.caught_interval == (0.0, 1.0)
    assert rows[8, 4].caught == rows[8, 4].poison == 40


def test_the_same_sets_each_time() -> None:
    one, other, third = Knowing(), Knowing(), Knowing()
    assert table(one, [TEA], draws=3) == table(other, [TEA], draws=3) and one.seen == other.seen
    table(third, [TEA], draws=3, seed=1)
    assert third.seen != one.seen


def test_corpora_are_read_from_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="stress_domains"):
        corpora(tmp_path)
    files = {
        "stress_domains_dev.json": {
            "tea": {"benign": [{"key": "k", "content": "c"}], "poison": [{"key": "p", "overt": "o", "stealthy": "s"}]},
        },
        "memorygraft_experience_seeds.json": {
            "benign_experiences": [{"req": "q", "resp": "r"}], "poisoned_experiences": [{"req": "x", "resp": "y"}],
        },
        "strategyqa_dev.json": [{"facts": ["f", "g"]}],
    }  # fmt: skip
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    assert corpora(tmp_path) == [
        Corpus("tea overt", ("k\nc",), ("p\no",)), Corpus("tea stealthy", ("k\nc",), ("p\ns",)),
        Corpus("experiences", ("q\nr",), ("x\ny",)), Corpus("facts", ("f", "g")),
    ]  # fmt: skip


def test_other_files_of_the_same_form_are_read_and_broken_ones_named(tmp_path: Path) -> None:
    (tmp_path / "strategyqa_test.json").write_text(json.dumps([{"facts": ["Tea grows on hills."]}]), "utf-8")
    assert corpora(tmp_path) == [Corpus("facts", ("Tea grows on hills.",))]
    (tmp_path / "stress_domains_test.json").write_text("[1]", "utf-8")
    with pytest.raises(InputError, match="stress_domains_test"):
        corpora(tmp_path)
