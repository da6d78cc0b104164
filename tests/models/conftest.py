"""A tiny BERT on disk, for the embedders that load one."""

from __future__ import annotations

from pathlib import Path

import pytest

from . import bert_folder


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sentence-transformers folder with a tiny BERT of random weights."""
    return bert_folder.write(tmp_path_factory.mktemp("models") / "tiny-bert")
