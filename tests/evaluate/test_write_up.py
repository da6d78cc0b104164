from __future__ import annotations

import json
from pathlib import Path

import pytest

from tierkeep.errors import StoreUnavailable
from tierkeep.evaluate.recall import run
from tierkeep.evaluate.write_up import ends, markdown, percent, write

for package in ("matplotlib", "scipy", "bm25s"):
    pytest.importorskip(package)


def test_a_report_folder_has_everything_and_is_repeatable(chat_file: Path, tmp_path: Path) -> None:
    report = run(chat_file, budget=[300, 60], baselines=["all"])
    first, second = tmp_path / "first", tmp_path / "deep" / "second"
    path = write(report, first, "tierkeep bench recall --data boats.json")
    write(report, second, "tierkeep bench recall --data boats.json")
    names = sorted(file.name for file in first.iterdir())
    assert names == [
        "recall_by_budget.png", "recall_by_budget.svg", "recall_by_category.png", "recall_by_category.svg", "report.json", "report.md",
    ]  # fmt: skip
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in names)
    assert (first / "recall_by_budget.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (first / "recall_by_category.svg").read_text()
    assert json.loads((first / "report.json").read_text()) == report
    text = path.read_text()
    for expected in ("| bm25+stem |", "## Within other budgets", "$ tierkeep bench recall --data boats.json", report["data_sha256"],
                     report["settings_sha256"], "![recall by budget](recall_by_budget.png)", "| multi | 1 |"):  # fmt: skip
        assert expected in text
    assert str(tmp_path) not in text


def test_one_budget_is_no_line(chat_file: Path, tmp_path: Path) -> None:
    write(run(chat_file, budget=300), tmp_path / "report", "tierkeep bench recall")
    assert not (tmp_path / "report" / "recall_by_budget.png").exists()
    assert (tmp_path / "report" / "recall_by_category.png").exists()


def test_cells_cannot_break_the_table(chat_file: Path) -> None:
    report = run(chat_file, budget=300)
    report["by_category"] = {"a | b": {"n": 1, "evidence_recall": 0.5}}
    assert "| a / b | 1 | 50.0 | – |" in markdown(report, "x")


def test_an_earlier_run_has_its_section(chat_file: Path) -> None:
    earlier = run(chat_file, budget=60, per_question=True)
    assert "On the 5 questions that both have" in markdown(run(chat_file, budget=300, earlier=earlier), "x")


def test_a_folder_that_cannot_be_made(chat_file: Path) -> None:
    with pytest.raises(StoreUnavailable, match="cannot be written"):
        write(run(chat_file, budget=300), chat_file / "below", "x")


def test_figures() -> None:
    assert (percent(0.12345), percent(None), ends([0.1, 0.25]), ends(None)) == ("12.3", "–", "[10.0, 25.0]", "–")
