"""A file to import: bytes to text, line by line or whole, with errors that name the place."""

from __future__ import annotations

import codecs
import io
import json
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, cast

from tierkeep.errors import ImportFormatError, LimitError

#: A document that is not line by line is held in memory while it is read, at several times its size.
MAX_DOCUMENT = 256 * 2**20
#: The same for what a zip unpacks to: whoever made the zip paid for a small part of it only.
MAX_UNPACKED = 64 * 2**20
#: Values of one JSON text, told by its commas and brackets. A value takes some hundred bytes of memory however short it is written, so a
#: text of nothing but `[],` takes 26 times its size; 256 MiB of chats have some 7 million.
MAX_VALUES = 10_000_000
#: A zip that unpacks to more than this many times its size, beyond a first MiB, is no chat: text shrinks to a tenth, not further.
_MAX_RATIO = 200
_RATIO_FROM = 2**20
#: Bytes of one line: above any honest message, below what hurts.
MAX_LINE = 64 * 2**20
#: Bytes that `sniff` gets to see.
HEAD = 65_536
_ZIP_MEMBER = "conversations.json"
_ZIP_MAGIC = b"PK\x03\x04"
#: What zipfile raises for a damaged file, a method it does not know and one that needs a password.
_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


class ImportFile:
    """One file to import; a .zip stands for the `conversations.json` inside it.

    Args:
        path: Where it is. Only its name is kept with the imported messages.
        encoding: Text encoding; UTF-8 (with or without a byte order mark) unless told otherwise.
        data: Its bytes, when it is not on disk (standard input); `path` is then only its name.
        max_document: Bytes of a document that must be read as a whole.
        max_line: Bytes of one line.
        max_unpacked: Bytes of a document inside a zip.
        max_values: Values of one JSON text.

    Raises:
        LimitError: It is a zip that unpacks to 200 times its size.
        ImportFormatError: The path is missing, not a file, not readable or empty; the encoding does not exist; the
            zip is damaged or holds no `conversations.json`.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        encoding: str = "utf-8",
        data: bytes | None = None,
        max_document: int = MAX_DOCUMENT,
        max_line: int = MAX_LINE,
        max_unpacked: int = MAX_UNPACKED,
        max_values: int = MAX_VALUES,
    ) -> None:
        """Look at the file, without reading it."""
        self.path = Path(path)
        self.name = self.path.name
        self.stem = self.path.stem or self.name
        self._data = data
        self._max_document = max_document
        self._max_line = max_line
        self._max_unpacked = max_unpacked
        self._max_values = max_values
        try:
            self._encoding = codecs.lookup(encoding).name
        except LookupError as error:
            self.broken(f"there is no text encoding {encoding!r}; use one such as utf-8, utf-16 or cp1252", cause=error)
        if self._encoding == "utf-8-sig":
            self._encoding = "utf-8"
        self.size = self._measure()

    def broken(self, what: str, *, line: int | None = None, cause: BaseException | None = None) -> NoReturn:
        """Raise the error that says what is wrong with this file, and where."""
        where = f"{self.path}, line {line}" if line else str(self.path)
        raise ImportFormatError(f"{where}: {what}", path=str(self.path), line=line) from cause

    def head(self) -> str:
        """Return the first characters, decoded leniently: for sniffing only."""
        with self._open() as file:
            raw = file.read(HEAD)
        if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return raw.decode("utf-16", "replace").removeprefix("\ufeff")
        return raw.decode(self._encoding, "replace").removeprefix("\ufeff").replace("\r\n", "\n")

    def lines(self) -> Iterator[tuple[int, str]]:
        """Yield (1-based number, line without its end). Streams.

        Raises:
            ImportFormatError: A line is not in the encoding.
            LimitError: A line is longer than `max_line` bytes.
        """
        if self._encoding != "utf-8":
            yield from self._decoded_lines()
            return
        with self._open() as file:
            number = 0
            while raw := file.readline(self._max_line + 1):
                number += 1
                if len(raw) > self._max_line:
                    self._too_long(f"line {number} is", self._max_line, len(raw))
                yield number, self._decode(raw, number)

    def text(self) -> str:
        """Return the whole text.

        Raises:
            ImportFormatError: It is not in the encoding.
            LimitError: It is longer than `max_document` bytes, or than `max_unpacked` inside a zip.
        """
        what, limit, advice = "the file is", self._max_document, "split the file"
        if self._is_zip():
            what, limit, advice = f"the {_ZIP_MEMBER} inside is", min(limit, self._max_unpacked), "unpack it and name that file"
        if self.size > limit:
            self._too_long(what, limit, self.size, advice)
        with self._open() as file:
            raw = file.read(limit + 1)
        if len(raw) > limit:  # a zip that lies about the size of its member, or a file that grew
            self._too_long(what, limit, len(raw), advice)
        try:
            return raw.decode(self._encoding).removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            self._wrong_encoding(raw[:4], raw.count(b"\n", 0, error.start) + 1, error)

    def json(self) -> Any:
        """Return the whole text as JSON.

        Raises:
            ImportFormatError: It is not JSON; names the line.
            LimitError: It is longer than `text` allows, or has more than `max_values` values.
        """
        return self.parse_json(self.text())

    def parse_json(self, text: str, line: int | None = None) -> Any:
        """Return `text` as JSON; `line` is where it stands, None when it is the whole file.

        Raises:
            ImportFormatError: It is not JSON; names the line.
            LimitError: It has more than `max_values` values.
        """
        values = sum(map(text.count, ",[{"))
        if values > self._max_values:
            raise LimitError(
                f"{self.path}: JSON of some {values:,} values, the limit is {self._max_values:,}; split the file",
                limit=self._max_values, actual=values,
            )  # fmt: skip
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            column = f" (column {error.colno})"
            self.broken(f"not valid JSON: {error.msg}{column}", line=line or error.lineno, cause=error)
        except (ValueError, RecursionError) as error:  # a number of thousands of digits; thousands of nested brackets
            self.broken("JSON that no reader can take: nested too deep, or a number too long", line=line, cause=error)

    def _measure(self) -> int:
        if self._data is None and self.path.is_dir():
            self.broken("this is a folder; name the file inside it")
        try:
            if self._data is None and self.path.exists() and not self.path.is_file():
                self._data = self.path.read_bytes()  # a pipe gives its bytes only once
            with self._open() as file:
                if not file.read(1):
                    self.broken("the file is empty")
            if self._is_zip():
                with self._zip() as archive:
                    return self._unpacked(archive.getinfo(self._member(archive)))
            return len(self._data) if self._data is not None else self.path.stat().st_size
        except FileNotFoundError as error:
            self.broken("there is no such file", cause=error)
        except OSError as error:
            self.broken(f"the file cannot be read: {error.strerror or error}", cause=error)

    def _unpacked(self, member: zipfile.ZipInfo) -> int:
        limit = max(_RATIO_FROM, _MAX_RATIO * member.compress_size)
        if member.file_size > limit:
            raise LimitError(
                f"{self.path}: its {_ZIP_MEMBER} unpacks to more than {_MAX_RATIO} times its size, which no chat does; unpack it and look "
                "at it first", limit=limit, actual=member.file_size,
            )  # fmt: skip
        return member.file_size

    @contextmanager
    def _open(self) -> Iterator[BinaryIO]:
        if not self._is_zip():
            with self._raw() as file:
                yield file
            return
        try:
            with self._zip() as archive, archive.open(self._member(archive)) as member:
                yield cast(BinaryIO, member)
        except _ZIP_ERRORS as error:
            self.broken(f"the zip file cannot be read: {error}", cause=error)

    def _raw(self) -> BinaryIO:
        return io.BytesIO(self._data) if self._data is not None else self.path.open("rb")

    def _is_zip(self) -> bool:
        with self._raw() as file:
            return file.read(4) == _ZIP_MAGIC

    @contextmanager
    def _zip(self) -> Iterator[zipfile.ZipFile]:
        try:
            with self._raw() as file, zipfile.ZipFile(file) as archive:
                yield archive
        except zipfile.BadZipFile as error:
            self.broken(f"the zip file cannot be read: {error}", cause=error)

    def _member(self, archive: zipfile.ZipFile) -> str:
        found = sorted(n for n in archive.namelist() if n.rsplit("/", 1)[-1] == _ZIP_MEMBER)
        if not found:
            self.broken(f"the zip file holds no {_ZIP_MEMBER}; unpack it and name the file to import")
        return found[0]

    def _decode(self, raw: bytes, number: int) -> str:
        try:
            line = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            self._wrong_encoding(raw[:4] if number == 1 else b"", number, error)
        if number == 1:
            line = line.removeprefix("\ufeff")
        return line.removesuffix("\n").removesuffix("\r")

    def _decoded_lines(self) -> Iterator[tuple[int, str]]:
        number = 0
        with self._open() as file, io.TextIOWrapper(file, encoding=self._encoding) as text:
            try:
                while line := text.readline(self._max_line + 1):
                    number += 1
                    if len(line) > self._max_line:
                        self._too_long(f"line {number} is", self._max_line, len(line))
                    yield number, line.removeprefix("\ufeff").removesuffix("\n")
            except UnicodeError as error:
                self._wrong_encoding(b"", number + 1, error)

    def _wrong_encoding(self, start: bytes, line: int, cause: UnicodeError) -> NoReturn:
        is_utf16 = start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        looks = "; it looks like utf-16" if is_utf16 else ""
        name = "utf-16" if is_utf16 else "cp1252"
        advice = f"If you know its encoding, pass encoding={name!r} (on the command line: --encoding {name})"
        self.broken(f"the text is not {self._encoding}{looks}. {advice}", line=line, cause=cause)

    def _too_long(self, what: str, limit: int, actual: int, advice: str = "split the file") -> NoReturn:
        raise LimitError(f"{self.path}: {what} longer than {limit // 2**20} MiB; {advice}", limit=limit, actual=actual)
