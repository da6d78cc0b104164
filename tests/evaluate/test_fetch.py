"""Downloads from a real server on this machine, which can break off, forget ranges and serve the wrong file."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tierkeep.evaluate.fetch import DownloadFailed, address, fetch
from tierkeep.evaluate.published import PUBLISHED, Published, RemoteFile

pytest.importorskip("pooch")

BODY = bytes(range(256)) * 4096


class Server(ThreadingHTTPServer):
    """Serves files by path; may break off after some bytes, once."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.break_after = 0
        self.ranges = True
        self.seen: list[tuple[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range", "")
        self.server.seen.append((self.path, wanted))
        body = self.server.files.get(self.path)
        if body is None:
            self.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.server.ranges else 0
        if start > len(body):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        stop, self.server.break_after = self.server.break_after, 0
        self.wfile.write(body[start : start + stop] if stop else body[start:])
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def _set(server: Server, *, sha256: str = "", optional: bool = False, name: str = "a.bin") -> Published:
    file = RemoteFile(f"deep/{name}", f"{server.url}/{name}", sha256, optional)
    return Published("made-up", "A set.", "CC0", "None.", server.url, (file,), f"deep/{name}")


def test_files_come_whole_and_checked(server: Server, tmp_path: Path) -> None:
    server.files["/a.bin"] = BODY
    digest = hashlib.sha256(BODY).hexdigest()
    told: list[tuple[float, int, str]] = []
    done = fetch(_set(server, sha256=digest), tmp_path, progress=lambda *how: told.append(how))
    assert done["files"] == {"deep/a.bin": digest} and done["data"] == str(tmp_path / "deep/a.bin")
    assert (tmp_path / "deep/a.bin").read_bytes() == BODY
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a.bin"], "no part and no temporary file stays"
    assert told[0] == (0.0, 1, "deep/a.bin") and told[-1] == (1.0, 1, "") and told == sorted(told, key=lambda how: how[0])


@pytest.mark.parametrize("known", [True, False])
def test_what_is_there_is_not_fetched_again(server: Server, tmp_path: Path, known: bool) -> None:
    server.files["/a.bin"] = BODY
    wanted = _set(server, sha256=hashlib.sha256(BODY).hexdigest() if known else "")
    fetch(wanted, tmp_path)
    fetch(wanted, tmp_path)
    assert len(server.seen) == 1


@pytest.mark.parametrize("ranges", [True, False])
def test_an_interrupted_download_goes_on(server: Server, tmp_path: Path, ranges: bool) -> None:
    server.files["/a.bin"] = BODY
    server.break_after, server.ranges = 600_000, ranges
    wanted = _set(server, sha256=hashlib.sha256(BODY).hexdigest())
    with pytest.raises(DownloadFailed, match="the same command goes on from it"):
        fetch(wanted, tmp_path)
    part = tmp_path / "deep/a.bin.part"
    have = part.stat().st_size
    assert 0 < have <= 600_000 and not (tmp_path / "deep/a.bin").exists()
    fetch(wanted, tmp_path)
    assert (tmp_path / "deep/a.bin").read_bytes() == BODY and not part.exists()
    assert server.seen[1] == ("/a.bin", f"bytes={have}-")


def test_a_part_that_is_longer_than_the_file_is_thrown_away(server: Server, tmp_path: Path) -> None:
    server.files["/a.bin"] = BODY
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/a.bin.part").write_bytes(BODY + b"more")
    fetch(_set(server), tmp_path)
    assert (tmp_path / "deep/a.bin").read_bytes() == BODY


def test_other_content_than_expected_is_not_kept(server: Server, tmp_path: Path) -> None:
    server.files["/a.bin"] = b"something else"
    with pytest.raises(DownloadFailed, match="other content than expected"):
        fetch(_set(server, sha256="0" * 64), tmp_path)
    assert list((tmp_path / "deep").iterdir()) == []


def test_a_missing_file_is_an_error_unless_it_may_be_missing(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DownloadFailed, match="404"):
        fetch(_set(server), tmp_path)
    assert fetch(_set(server, optional=True), tmp_path)["files"] == {}


def test_a_server_that_is_down(tmp_path: Path) -> None:
    with Server() as gone:
        wanted = _set(gone)
    with pytest.raises(DownloadFailed, match="is this machine online") as raised:
        fetch(wanted, tmp_path)
    assert raised.value.url == wanted.files[0].url


def test_a_mirror_has_hosts_and_paths_below_it(server: Server, tmp_path: Path) -> None:
    file = RemoteFile("a.bin", "https://example.org/x/a.bin")
    assert address(file) == "https://example.org/x/a.bin"
    server.files["/copy/example.org/x/a.bin"] = BODY
    wanted = Published("made-up", "A set.", "CC0", "None.", "https://example.org", (file,), "a.bin")
    assert list(fetch(wanted, tmp_path, mirror=f"{server.url}/copy/")["files"]) == ["a.bin"]


def test_every_published_set_is_pinned_and_has_its_terms() -> None:
    for name, one in PUBLISHED.items():
        assert (name, bool(one.licence), bool(one.terms)) == (one.name, True, True)
        assert len({file.path for file in one.files}) == len(one.files) > 0
        for file in one.files:
            assert file.url.startswith("https://") and "/main/" not in file.url and "/master/" not in file.url
            assert file.path.startswith(one.data) or one.data.startswith("questions_")
            assert len(file.sha256) in (0, 64)
