"""Whose turn it is to write to a file: the line of one process's threads, and the wait for the writers of other processes.

A writer that waits gives up only when one and the same other writer has been at work for the whole of the busy timeout. While turns go
from hand to hand it waits on, however long the line is: a busy store is slow, and not an error.

SQLite's own wait asks less and less often, at last ten times a second. So whoever has just come is served before who has waited long: with
eight processes that write without a pause single writes took seconds. Here it is the other way round, and who waits longer asks more often.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable

__all__ = ["Line", "begin"]

_FIRST_PAUSE_S = 0.004
_LAST_PAUSE_S = 0.0005
_AGEING_S = 0.02  # after it a writer asks as often as any
_LOOKS = 8  # times that a writer looks within its patience whether others have had their turn


class Line:
    """The writers among one process's threads, one at a time.

    Args:
        patience_s: Seconds after which somebody who is at work all that time is waited for no more.

    Attributes:
        writing: The thread whose turn it is; None when it is nobody's.
    """

    def __init__(self, patience_s: float) -> None:
        self.writing: int | None = None
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._turns = 0

    def join(self) -> bool:
        """Wait for this thread's turn; False when one other thread has been at work for too long."""
        seen = self._turns
        while not self._lock.acquire(timeout=self._patience_s):
            if self._turns == seen:
                return False
            seen = self._turns
        self._turns += 1
        self.writing = threading.get_ident()
        return True

    def pause(self, seconds: float) -> bool:
        """Keep everybody from writing, for a fork; False when somebody is at work for longer than this."""
        return self._lock.acquire(timeout=seconds)

    def go_on(self) -> None:
        """Say, in one's turn, that one waits for writers of other processes whose turns go on: who stands behind waits on, too."""
        self._turns += 1

    def leave(self) -> None:
        """Let the next one have its turn."""
        self.writing = None
        self._lock.release()


def begin(connection: sqlite3.Connection, patience_s: float, going_on: Callable[[], None] = lambda: None) -> None:
    """Begin a write transaction, after the writers of other processes.

    Args:
        connection: With no transaction begun.
        patience_s: Seconds after which somebody who is at work all that time is waited for no more.
        going_on: Is told, several times within `patience_s`, when others have had their turn.

    Raises:
        sqlite3.OperationalError: Another process has been at work for too long, or the file cannot be written.
    """
    began: float | None = None
    looked = moved = 0.0
    seen: int | None = None
    (own,) = connection.execute("PRAGMA busy_timeout").fetchone()
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if not _is_busy(error):
                    raise
                now = time.monotonic()
                if began is None:
                    began = looked = moved = now
                    seen = _changes(connection)
                elif now > looked + patience_s / _LOOKS:
                    looked = now
                    changes = _changes(connection)
                    if changes not in (None, seen):
                        moved, seen = now, changes
                        going_on()
                    elif now > moved + patience_s:
                        raise
            time.sleep(max(_LAST_PAUSE_S, _FIRST_PAUSE_S * (1 - (now - began) / _AGEING_S)))
    finally:
        connection.execute(f"PRAGMA busy_timeout = {own:d}")


def _changes(connection: sqlite3.Connection) -> int | None:
    """Return a number that is another one once somebody else has written; None while nobody may even read."""
    try:
        return int(connection.execute("PRAGMA data_version").fetchone()[0])
    except sqlite3.OperationalError as error:
        if _is_busy(error):  # somebody plays a log in that a dead process left, or has the whole file
            return None
        raise


def _is_busy(error: sqlite3.OperationalError) -> bool:
    return error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
