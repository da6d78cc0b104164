from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pooch")


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A mirror on this machine: its address, and the folder that it serves."""
    root = tmp_path / "served"
    root.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(root))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", root
        server.shutdown()
        thread.join()


def _put(root: Path, folder: str, name: str, text: str) -> None:
    (root / folder).mkdir(parents=True)
    (root / folder / name).write_text(text, encoding="utf-8")


MEMDAILY = "raw.githubusercontent.com/nuster1128/MemSim/db9d5d552d6cb1d859f692eb7e6c0fd6d61d3815/data_generation/final_dataset"


def test_all_that_can_be_fetched_are_listed_with_their_licences(shell: Any) -> None:
    listed = {one["name"]: one["licence"] for one in shell.json("bench", "fetch")["sets"]}
    assert listed["locomo"] == "CC BY-NC 4.0" and {"realtalk", "longmemeval-s", "memdaily", "beam-100k", "realmem"} <= set(listed)
    assert "Apache-2.0" in shell("bench", "fetch").stdout


def test_a_set_is_fetched_from_a_mirror_and_says_how_to_go_on(shell: Any, mirror: tuple[str, Path], tmp_path: Path) -> None:
    url, root = mirror
    _put(root, MEMDAILY, "memdaily.json", "{}")
    to = str(tmp_path / "data")
    done = shell.json("bench", "fetch", "memdaily", "--to", to, "--mirror", url, "--accept-licence")
    assert list(done["files"]) == ["memdaily.json"] and Path(done["data"]).read_text() == "{}"
    shown = shell("bench", "fetch", "memdaily", "--to", to, "--mirror", url, "--yes")
    assert "not stated" in shown.stderr and f"tierkeep bench recall --data {done['data']}" in shown.stdout.replace("\n", "")


def test_nothing_is_fetched_before_the_licence_is_accepted(shell: Any, mirror: tuple[str, Path], tmp_path: Path) -> None:
    url, _ = mirror
    error = shell.error("bench", "fetch", "locomo", "--to", str(tmp_path / "data"), "--mirror", url, code=2)
    assert "CC BY-NC 4.0" in error["message"] and "--accept-licence" in error["message"]
    assert shell("bench", "fetch", "locomo", "--to", str(tmp_path / "data"), "--mirror", url).exit_code == 2
    assert not (tmp_path / "data").exists()


def test_other_content_than_the_authors(shell: Any, mirror: tuple[str, Path], tmp_path: Path) -> None:
    url, root = mirror
    _put(root, "raw.githubusercontent.com/snap-research/locomo/3eb6f2c585f5e1699204e3c3bdf7adc5c28cb376/data", "locomo10.json", "[]")
    error = shell.error("bench", "fetch", "locomo", "--to", str(tmp_path / "data"), "--mirror", url, "--yes", code=3)
    assert error["type"] == "DownloadFailed" and "other content" in error["message"]


def test_no_such_set_and_no_folder(shell: Any) -> None:
    assert "there are: locomo" in shell.error("bench", "fetch", "magic", "--to", "x", "--yes", code=2)["message"]
    assert "--to FOLDER" in shell.error("bench", "fetch", "locomo", "--yes", code=2)["message"]
