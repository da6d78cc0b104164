"""A file or folder that holds a data set: its bytes read once, hashed as read, with errors that name the place."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, TypeAdapter, ValidationError, model_validator

from tierkeep.errors import ImportFormatError

#: Characters by which a format is told.
_HEAD = 65_536
_T = TypeVar("_T")


class Native(BaseModel):
    """A part of a data set's own format: unknown keys are ignored, null is absent, and numbers stand for texts where texts are meant."""

    model_config = ConfigDict(frozen=True, extra="ignore", coerce_numbers_to_str=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, value: Any) -> Any:
        return {key: held for key, held in value.items() if held is not None} if isinstance(value, dict) else value


#: Several texts; a single one stands for itself.
Texts = Annotated[tuple[str, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)]


class Source:
    """A file or folder.

    Args:
        path: Where it is.

    Raises:
        ImportFormatError: There is nothing.
    """

    def __init__(self, path: Path) -> None:
        """Look whether it is there."""
        self.path = path
        self._read: dict[Path, str] = {}
        if not path.exists():
            raise ImportFormatError(f"{path} cannot be read: there is no such file or folder", path=str(path))

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return self.path.is_dir()

    @property
    def stem(self) -> str:
        """The name without its ending."""
        return self.path.name if self.is_folder else self.path.stem

    def head(self, path: Path | None = None) -> str:
        """Return the beginning of a file, "" for a folder or a file that cannot be read."""
        target = path or self.path
        try:
            with target.open(encoding="utf-8-sig", errors="replace") as file:
                return file.read(_HEAD)
        except OSError:
            return ""

    def files(self, pattern: str) -> list[Path]:
        """Return the files of a folder that fit a glob pattern, sorted; the file itself when it is no folder."""
        return sorted(self.path.glob(pattern)) if self.is_folder else [self.path]

    def text(self, path: Path | None = None) -> str:
        """Return a file's text, and remember its hash.

        Raises:
            ImportFormatError: It cannot be read, or is not UTF-8.
        """
        target = path or self.path
        try:
            raw = target.read_bytes()
        except OSError as error:
            self.broken(f"cannot be read: {error.strerror or error}", target, error)
        self._read[target] = hashlib.sha256(raw).hexdigest()
        try:
            return raw.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            self.broken(f"is not UTF-8: {error.reason} at byte {error.start}", target, error)

    def json(self, path: Path | None = None) -> Any:
        """Return a file's JSON document.

        Raises:
            ImportFormatError: It cannot be read, or is not JSON.
        """
        target = path or self.path
        return self._loads(self.text(target), target)

    def json_lines(self, path: Path) -> list[Any]:
        """Return the JSON documents of a file, one a line; blank lines are passed over.

        Raises:
            ImportFormatError: It cannot be read, or a line is not JSON.
        """
        return [self._loads(line, path) for line in self.text(path).split("\n") if line.strip()]

    def table(self, path: Path) -> list[dict[str, str]]:
        """Return the rows of a CSV file by the names of its first line.

        Raises:
            ImportFormatError: It cannot be read, or is not CSV.
        """
        text = self.text(path)
        csv.field_size_limit(max(len(text), 131_072))
        try:
            return [{key: value or "" for key, value in row.items() if key} for row in csv.DictReader(io.StringIO(text, newline=""))]
        except csv.Error as error:
            self.broken(f"is not CSV: {error}", path, error)

    def fit(self, kind: type[_T], value: Any, where: str = "", path: Path | None = None) -> _T:
        """Return a parsed value as what it should be.

        Raises:
            ImportFormatError: It is something else; the message names the place.
        """
        try:
            return TypeAdapter(kind).validate_python(value)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join([*filter(None, [where]), *map(str, first["loc"])]) or "the document"
            self.broken(f"is not what it should be: {place}: {first['msg']}", path or self.path, error)

    def broken(self, what: str, path: Path | None = None, cause: BaseException | None = None) -> NoReturn:
        """Raise the error that says what is wrong with a file."""
        target = path or self.path
        raise ImportFormatError(f"{target} {what}", path=str(target)) from cause

    def sha256(self) -> str:
        """Return the hash of the only file that was read, or of the names and hashes of all of them."""
        if len(self._read) == 1 and not self.is_folder:
            return next(iter(self._read.values()))
        base = self.path if self.is_folder else self.path.parent
        listed = "".join(f"{digest}  {path.relative_to(base).as_posix()}\n" for path, digest in sorted(self._read.items()))
        return hashlib.sha256(listed.encode()).hexdigest()

    def _loads(self, text: str, path: Path) -> Any:
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            self.broken(f"is not JSON: {error}", path, error)
