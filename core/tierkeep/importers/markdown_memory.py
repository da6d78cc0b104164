"""Memory files in Markdown: OpenClaw's `MEMORY.md` and daily notes, Hermes' `MEMORY.md` and `USER.md`, `CLAUDE.md`, our own export.

Each paragraph, list item, table row and code block is one memory. Agents write such files, and what agents read may have told them what
to write: so nobody's word is taken for whose it is, orders are screened as in a web page, and a person may confirm what is true.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path

from tierkeep.errors import ImportFormatError, LimitError
from tierkeep.importers.markdown_blocks import Block, blocks
from tierkeep.importers.markdown_marks import Mark, digest_of
from tierkeep.importers.reader import ROLES, Found, Place, ReadOptions, Tally
from tierkeep.importers.source import ImportFile
from tierkeep.importers.transcript import Transcript
from tierkeep.records import FROM_OUTSIDE, MEMORY_FILE, Origin, Source

#: Bytes of one file: a thousand times what an agent loads into a prompt (ours).
MAX_FILE = 4 * 2**20
#: Files of one folder, and their bytes: ten years of daily notes (ours).
MAX_FILES = 4_000
MAX_FOLDER = 64 * 2**20
_SUFFIXES = {".md", ".markdown"}
_KNOWN = {"memory", "user", "claude", "claude.local"}
_FOLDERS = {"memory", "memories"}
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}(?!\d)")
_ID_CHARS = 26
_LONGEST_ID = 256


class MarkdownMemory:
    """Reads a memory file. Every message counts as imported, whoever the file says is speaking.

    Args:
        max_file: Bytes that it may have.
    """

    name = "markdown"
    about = "Memory files in Markdown: MEMORY.md, USER.md, CLAUDE.md, daily notes, or a folder with them"

    def __init__(self, max_file: int = MAX_FILE) -> None:
        self._max_file = max_file

    def sniff(self, head: str, path: Path) -> bool:
        """Return whether it is a memory file by its name, or any other Markdown file that is no chat."""
        if path.suffix.lower() not in _SUFFIXES:
            return False
        return _is_memory(path) or not Transcript().sniff(head, path)

    def find(self, source: ImportFile, options: ReadOptions, tally: Tally) -> Iterator[Found]:
        """Yield the statements of the file, in order.

        Raises:
            LimitError: The file is longer than `max_file`.
            MissingExtraError: markdown-it-py is not installed.
        """
        _check_size(source.path, source.size, self._max_file)
        made: Counter[str] = Counter()
        day = _day(source.stem)
        for block in blocks(source.text(), tally.skipped):
            if block.mark is not None and _ours(block.mark, block):
                if block.mark.kind == "record":
                    tally.skipped["lines derived from others, which are derived again"] += 1
                    continue
                yield _as_it_was(block, block.mark, source)
                continue
            yield _new(block, source, day, made)


def memory_files(
    folder: Path, encoding: str = "utf-8", *, max_file: int = MAX_FILE, max_files: int = MAX_FILES, max_folder: int = MAX_FOLDER
) -> tuple[list[ImportFile], list[str]]:
    """Return the memory files of a folder or an agent's workspace in order, and the names of other Markdown files, which are left out.

    Memory files are those that are called so (`MEMORY.md`, `USER.md`, `CLAUDE.md`, a day) and all that stand in `memory` or `memories`. In
    a folder without any, every Markdown file is taken. Hidden folders and empty files are passed over.

    Args:
        folder: The folder.
        encoding: Text encoding of the files.
        max_file: Bytes that one file may have.
        max_files: Files that may be taken.
        max_folder: Bytes that all of them may have.

    Raises:
        ImportFormatError: It has no Markdown file, a link leads out of it, or a file cannot be read.
        LimitError: There are too many files, or they are too large.
    """
    root = folder.resolve()
    found = sorted(_markdown_in(folder, root), key=lambda path: path.relative_to(folder).as_posix())
    above = {path: {part.lower() for part in (root.name, *path.relative_to(folder).parts[:-1])} for path in found}
    taken = [path for path in found if _is_memory(path) or _FOLDERS & above[path]] or found
    if not taken:
        raise ImportFormatError(f"{folder}: there is no Markdown file in this folder", path=str(folder))
    if len(taken) > max_files:
        raise LimitError(f"{folder}: {len(taken):,} memory files, the limit is {max_files:,}; name a part of it", limit=max_files,
                         actual=len(taken))
    sources, total = [], 0
    for path in taken:
        data = _bytes_of(path, max_file)
        total += len(data)
        if total > max_folder:
            raise LimitError(f"{folder}: more than {max_folder // 2**20} MiB of memory files; name a part of it", limit=max_folder,
                             actual=total)
        if data.strip():
            sources.append(ImportFile(path.relative_to(folder), encoding=encoding, data=data))
    return sources, [path.relative_to(folder).as_posix() for path in found if path not in taken]


def _markdown_in(folder: Path, root: Path) -> Iterator[Path]:
    """Yield the Markdown files, not following links; one that leads out of the folder is refused."""
    for above, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "node_modules")
        here = Path(above)
        files = [here / name for name in sorted(names) if Path(name).suffix.lower() in _SUFFIXES]
        for path in [*(here / name for name in folders if name.lower() in _FOLDERS), *files]:
            if path.is_symlink() and not path.resolve().is_relative_to(root):
                raise ImportFormatError(f"{path}: this link leads out of the folder; name what it leads to, if you want it", path=str(path))
        yield from (path for path in files if not path.is_symlink())  # what a link inside leads to is met by itself


def _bytes_of(path: Path, most: int) -> bytes:
    """Read a file that was no link a moment ago, and must not be one now."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ImportFormatError(f"{path}: this is not a file", path=str(path))
            data = file.read(most + 1)
    except OSError as error:
        raise ImportFormatError(f"{path}: the file cannot be read: {error.strerror or error}", path=str(path)) from error
    _check_size(path, len(data), most)
    return data


def _check_size(path: Path, size: int, most: int) -> None:
    if size > most:
        raise LimitError(f"{path}: a memory file of more than {most // 2**20} MiB; split it", limit=most, actual=size)


def _is_memory(path: Path) -> bool:
    stem = path.stem.lower()
    return stem in _KNOWN or _day(stem) is not None


def _day(text: str) -> date | None:
    """Return the day with which a name or a heading begins."""
    found = _DAY.match(text)
    try:
        return date.fromisoformat(found[0]) if found else None
    except ValueError:
        return None


def _as_it_was(block: Block, mark: Mark, source: ImportFile) -> Found:
    """Return a line of our own export that nobody has changed: with its id, so that it is stored once."""
    claimed = mark.values.get("from", "")
    origin = _origin(source, block.lead, claimed if claimed in FROM_OUTSIDE else "")
    return Found(mark.values.get("session") or source.stem, ROLES.get(mark.values.get("role", ""), "user"), block.text, Place(block.line),
                 speaker=block.lead, at=_moment(mark), own_id=mark.id, meta=_meta(block, source), origin=origin, keeps_id=True)  # fmt: skip


def _new(block: Block, source: ImportFile, day: date | None, made: Counter[str]) -> Found:
    """Return a statement. Its id is that of what it says, where and on which day: lines may move, and are stored once."""
    dated = next(filter(None, map(_day, reversed(block.headings))), day)
    key = json.dumps([source.name, block.headings, block.lead, block.text])
    made[key] += 1
    own_id = "md-" + hashlib.sha256(f"{key}{made[key]}".encode("utf-8", "replace")).hexdigest()[:_ID_CHARS]
    # A conversation of its own for every day: what stands under no day then has none, rather than the last.
    session = f"{source.stem} {dated}" if dated and dated != day else source.stem
    if block.mark is not None:  # a line of ours that somebody has edited
        session = block.mark.values.get("session") or session
    speaker = block.lead or source.name
    return Found(session, "user", block.text, Place(block.line), speaker=speaker, at=dated, own_id=own_id, meta=_meta(block, source),
                 origin=_origin(source, speaker))  # fmt: skip


def _ours(mark: Mark, block: Block) -> bool:
    """Return whether the line is as it was written, and its id one that could be ours."""
    return mark.digest == digest_of(block.lead, block.text) and 0 < len(mark.id) <= _LONGEST_ID and mark.id.isprintable()


def _moment(mark: Mark) -> str | None:
    """Return when a line was said; None for what somebody has made of it that is no time."""
    try:
        return datetime.fromisoformat(mark.values.get("at", "")).isoformat() and mark.values["at"]
    except ValueError:
        return None


def _meta(block: Block, source: ImportFile) -> dict[str, object]:
    path = source.path
    return {
        "file": source.name if path.is_absolute() or ".." in path.parts else path.as_posix(),
        **({"headings": list(block.headings)} if block.headings else {}),
        **({"code": block.language} if block.language is not None else {}),
        **({"edited": block.mark.id} if block.mark is not None and block.mark.id else {}),
    }


def _origin(source: ImportFile, speaker: str, outside: str = "") -> Origin:
    """Return the origin of a line: an import that is screened, or from outside where the line says that it was."""
    kind, channel = (Source(outside), "import") if outside else (Source.IMPORTED, MEMORY_FILE)
    return Origin(source=kind, principal=speaker, channel=channel, uri=source.name, trust_domain=f"import:{source.name}")
