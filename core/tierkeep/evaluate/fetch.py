"""`tierkeep bench fetch`: download a data set from its authors, when the user asks for it.

pooch checks hashes, skips what is there already, and moves a file to its place only when it is whole. What it does not do, going on with a
half-downloaded file, is done here: the part is kept beside the place where the file goes.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tierkeep.errors import MissingExtraError, TierkeepError
from tierkeep.evaluate.published import Published, RemoteFile

if TYPE_CHECKING:
    import requests

#: Called with (files done, as a fraction while one is under way; files in all; the name of the file).
Progress = Callable[[float, int, str], None]
_TIMEOUT_S = (15.0, 60.0)
_CHUNK = 1 << 18
_PARTIAL, _RANGE_REFUSED, _MISSING = 206, 416, 404


class DownloadFailed(TierkeepError):
    """A file could not be had: no network, no such file, or other content than expected.

    Attributes:
        url: Its address.
    """

    def __init__(self, message: str, *, url: str) -> None:
        super().__init__(message)
        self.url = url


def fetch(published: Published, folder: Path, *, mirror: str = "", progress: Progress | None = None) -> dict[str, Any]:
    """Download what is not there yet; return where it is and the hash of each file.

    Args:
        published: The data set.
        folder: Where it goes; made when it does not exist.
        mirror: Base address that is asked instead of the authors' hosts; below it are their host names and paths.
        progress: Is told how far it is.

    Raises:
        MissingExtraError: pooch is not installed.
        DownloadFailed: A file cannot be had; files that are whole stay, and a later call goes on from there.
    """
    hashes: dict[str, str] = {}
    total = len(published.files)
    for place, file in enumerate(published.files):
        tell = _teller(progress, place, total, file.path)
        tell(0.0)
        if (digest := _one(file, folder, mirror, tell)) is not None:
            hashes[file.path] = digest
    if progress:
        progress(float(total), total, "")
    return {
        "name": published.name, "folder": str(folder), "data": str(folder / published.data), "licence": published.licence,
        "home": published.home, "files": hashes,
    }


def address(file: RemoteFile, mirror: str = "") -> str:
    """Return where a file is asked for."""
    parts = urlsplit(file.url)
    return f"{mirror.rstrip('/')}/{parts.netloc}{parts.path}" if mirror else file.url


def _teller(progress: Progress | None, place: int, total: int, name: str) -> Callable[[float], None]:
    return lambda share: None if progress is None else progress(place + share, total, name)


def _one(file: RemoteFile, folder: Path, mirror: str, tell: Callable[[float], None]) -> str | None:
    """Return the hash of a file that is there now, None for an optional one that its authors do not have."""
    pooch = _pooch()
    import requests

    url = address(file, mirror)
    target = folder / file.path
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    known = f"sha256:{file.sha256}" if file.sha256 else None
    try:
        pooch.retrieve(url, known, fname=target.name, path=target.parent, downloader=_resuming(part, tell))
    except requests.HTTPError as error:
        if file.optional and error.response is not None and error.response.status_code == _MISSING:
            return None
        raise DownloadFailed(f"{url} answers {error}; see {file.path} on the authors' page", url=url) from error
    except requests.RequestException as error:
        raise DownloadFailed(
            f"{url} cannot be reached: is this machine online? What is there stays in {folder}; the same command goes on from it", url=url
        ) from error
    except ValueError as error:  # pooch: the hash is another one
        part.unlink(missing_ok=True)
        raise DownloadFailed(f"{url} has other content than expected (SHA-256 {file.sha256}): nothing of it was kept", url=url) from error
    part.unlink(missing_ok=True)
    with target.open("rb") as whole:
        return hashlib.file_digest(whole, "sha256").hexdigest()


def _resuming(part: Path, tell: Callable[[float], None]) -> Callable[[str, Any, Any], None]:
    """Return a downloader for pooch that goes on with what an earlier attempt left."""

    def download(url: str, output: str | IO[bytes], _: Any) -> None:
        import requests

        have = part.stat().st_size if part.is_file() else 0
        reply = requests.get(url, stream=True, timeout=_TIMEOUT_S, headers={"Range": f"bytes={have}-"} if have else {})
        if have and reply.status_code == _RANGE_REFUSED:
            reply.close()
            have = 0
            reply = requests.get(url, stream=True, timeout=_TIMEOUT_S)
        with reply:
            reply.raise_for_status()
            _write(reply, part, have if reply.status_code == _PARTIAL else 0, tell)
        if isinstance(output, str | Path):
            shutil.copyfile(part, output)
        else:
            with part.open("rb") as whole:
                shutil.copyfileobj(whole, output)

    return download


def _write(reply: requests.Response, part: Path, have: int, tell: Callable[[float], None]) -> None:
    length = reply.headers.get("Content-Length", "")
    whole = have + int(length) if length.isdigit() else 0
    done = have
    with part.open("ab" if have else "wb") as file:
        for chunk in reply.iter_content(_CHUNK):
            file.write(chunk)
            done += len(chunk)
            tell(min(done / whole, 1.0) if whole else 0.0)


def _pooch() -> Any:
    try:
        import pooch  # type: ignore[import-untyped]
    except ModuleNotFoundError as error:
        if error.name != "pooch":
            raise
        raise MissingExtraError("Fetching data sets", extra="bench") from error
    pooch.get_logger().setLevel("ERROR")  # it would print on standard error
    return pooch
