"""The key of a sealed store: where it comes from, and the codes that are made with it (guard spec, T10).

The hash chain has no key: whoever can write the file can write a new chain. A code (HMAC-SHA256) cannot be made without the key, so the
key must lie where the file's writer does not reach: in the environment, in a secret store, in a file elsewhere.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tierkeep.errors import SettingsError

__all__ = ["KEY_BYTES", "Seal", "StoreKey"]

KEY_BYTES = 32
"""Least length of a key: that of the hash (RFC 2104, section 3)."""

_MAX_FILE = 4096
_HEX = re.compile(r"(?:[0-9a-fA-F]{2})+")
_NAME = "TIERKEEP_SEAL_KEY"
_HELP = "It is at least 32 random bytes, in hex or base64, such as `openssl rand -hex 32` prints."


class Seal:
    """Seals a store with a key. Give it to `Memory.open(..., seal=…)` or to a ledger.

    Args:
        key: At least 32 bytes. Keep it apart from the store, and do not lose it: without it the store cannot be opened.
        anchor: A file outside the store's folder in which the newest state is noted after each commit, so that an older copy of the
            store put in its place is noticed. Best on another disk, or where the store's writer may not delete.
        adopt: Take what is there as the truth, once: seal a store that holds something and bears no seal, after `verify` has passed;
            begin an anchor that is missing. Otherwise either is refused, because a stripped seal looks the same.

    Raises:
        SettingsError: The key is no bytes, or too short.
    """

    def __init__(self, key: bytes, *, anchor: str | Path | None = None, adopt: bool = False) -> None:
        if not isinstance(key, bytes) or len(key) < KEY_BYTES:
            raise SettingsError(f"A seal's key is at least {KEY_BYTES} bytes; make one with `secrets.token_bytes({KEY_BYTES})`.")
        self._key = key
        self.anchor = None if anchor is None else Path(anchor).expanduser().absolute()
        self.adopt = adopt
        self._file: Path | None = None

    def __repr__(self) -> str:
        return "Seal(key=…)"

    @classmethod
    def from_env(cls, name: str = _NAME, *, anchor: str | Path | None = None, adopt: bool = False) -> Seal:
        """Read the key, in hex or base64, from an environment variable.

        Raises:
            SettingsError: The variable is not set, or holds no key.
        """
        text = os.environ.get(name, "")
        if not text.strip():
            raise SettingsError(f"The environment variable {name} holds no key. {_HELP}")
        return cls(_decoded(text, f"The environment variable {name}"), anchor=anchor, adopt=adopt)

    @classmethod
    def from_file(cls, path: str | Path, *, anchor: str | Path | None = None, adopt: bool = False) -> Seal:
        """Read the key, in hex or base64, from a file that only its owner can read.

        Raises:
            SettingsError: It cannot be read, is a symbolic link, others may read it, or it holds no key.
        """
        where = Path(path).expanduser().absolute()
        try:
            descriptor = os.open(where, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        except (OSError, ValueError):
            message = f"The key file {where} cannot be read. It must be a file of your own, not a symbolic link."
            raise SettingsError(message) from None
        try:
            found = os.fstat(descriptor)
            if where.is_symlink() or not stat.S_ISREG(found.st_mode):
                raise SettingsError(f"The key file {where} is not a regular file.")
            if os.name == "posix" and found.st_mode & 0o077:
                raise SettingsError(f"Others may read or write the key file {where}. Close it with: chmod 600 {where}")
            text = os.read(descriptor, _MAX_FILE).decode("ascii", "replace")
        finally:
            os.close(descriptor)
        made = cls(_decoded(text, f"The key file {where}"), anchor=anchor, adopt=adopt)
        made._file = where
        return made

    def check_place(self, folder: Path) -> None:
        """Refuse a key file or an anchor that lies with the store: who can write one could then write the other.

        Raises:
            SettingsError: One does, or the anchor's folder is missing.
        """
        if self.anchor is not None and not self.anchor.parent.is_dir():
            raise SettingsError(f"The folder of the anchor {self.anchor} is missing. Make it, where the store's writer does not reach.")
        home = folder.resolve()
        for what, path in (("key file", self._file), ("anchor", self.anchor)):
            if path is not None and path.resolve().is_relative_to(home):
                raise SettingsError(f"The {what} {path} lies in the store's own folder. Move it where the store's writer does not reach.")

    def of_store(self, store: str) -> StoreKey:
        """Return the key of one store: codes of another store under the same key do not hold here."""
        return StoreKey(hmac.digest(self._key, f"tierkeep/seal/1:{store}".encode(), "sha256"))


class StoreKey:
    """A key bound to one store: makes and checks codes."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def mac(self, kind: str, values: Sequence[Any], blob: bytes = b"") -> bytes:
        """Return the code of a row: 32 bytes over its kind, its values and a run of bytes."""
        # No JSON holds a raw NUL, so the border between the two cannot be moved.
        text = json.dumps([kind, *values], ensure_ascii=True, separators=(",", ":"), default=_bytes)
        return hmac.digest(self._key, text.encode() + b"\x00" + blob, "sha256")

    def holds(self, mac: object, kind: str, values: Sequence[Any], blob: object = b"") -> bool:
        """Return whether a code is the row's. Never raises for what an attacker may have put into a column."""
        if not isinstance(mac, bytes) or not isinstance(blob, bytes):
            return False
        return hmac.compare_digest(mac, self.mac(kind, values, blob))


def _bytes(value: object) -> object:
    """Bytes where a text should be are not the text that they would spell."""
    return {"bytes": value.hex()} if isinstance(value, bytes) else {"type": type(value).__name__}


def _decoded(text: str, where: str) -> bytes:
    text = text.strip()
    try:
        if _HEX.fullmatch(text):  # a short key in hex is not a longer one in base64
            key = bytes.fromhex(text)
        else:
            key = base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) < KEY_BYTES:
        raise SettingsError(f"{where} holds no key. {_HELP}")
    return key
