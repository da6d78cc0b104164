"""Over-refusal: the sets are read as published, and counted right."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tierkeep.allowance import Allowance
from tierkeep.errors import InputError
from tierkeep.evaluate.attacks.over_refusal import run, suites
from tierkeep.records import Risk


class ByWord:
    """Blocks what says "bad", lets through what says "good", and is unsure of the rest."""

    def assess(self, text: str, allowance: Allowance | None = None) -> Risk:
        branch = "block" if "bad" in text else "fast" if "good" in text else "judge"
        return Risk.model_validate({"s_harm": 1.0 if "bad" in text else 0.05, "s_benign": 0.0, "branch": branch})


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "agentharm_benign.json").write_text(json.dumps({"behaviors": [{"prompt": "good"}, {"prompt": "bad luck"}]}))
    (tmp_path / "agentharm_harmful.json").write_text(json.dumps([{"prompt": "bad"}]))
    (tmp_path / "xstest.csv").write_text('id,prompt,label\n1,"good, really",safe\n2,bad,unsafe\n3,other,unsafe\n')
    (tmp_path / "notinject_one.json").write_text(json.dumps([{"prompt": "other"}]))
    return tmp_path


def test_rows_count_each_branch(data: Path) -> None:
    told: list[tuple[int, int]] = []
    rows = run(data, ByWord(), lambda done, total: told.append((done, total)))
    assert [(row.suite, row.harmful, row.n, row.blocked, row.judged, row.fast) for row in rows] == [
        ("agentharm-benign", False, 2, 1, 0, 1),
        ("agentharm-harmful", True, 1, 1, 0, 0),
        ("xstest-safe", False, 1, 0, 0, 1),
        ("xstest-unsafe", True, 2, 1, 1, 0),
        ("notinject", False, 1, 0, 1, 0),
    ]
    assert told[-1] == (7, 7)
    assert rows[0].low < 0.5 < rows[0].high
    assert (rows[0].s_harm[0], rows[0].s_harm[-1], sum(rows[0].s_harm)) == (1, 1, 2)


def test_a_folder_without_sets_or_with_broken_ones_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none of"):
        suites(tmp_path)
    (tmp_path / "notinject_one.json").write_text("[{}]")
    with pytest.raises(InputError, match="notinject_one"):
        suites(tmp_path)
