"""What every test gets: no network, a clock that stands still, and a memory on disk."""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tierkeep import Memory
from tierkeep.testing.clock import FixedClock

settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci")


class NetworkForbidden(RuntimeError):
    """Something tried to leave this machine. Not an OSError, so that no fall-back for a network that is down can hide it."""


def leaves_machine(event: str, args: tuple[Any, ...]) -> str:
    """Return where an audited socket call would go when that is another machine, else ""."""
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        target = args[1]
        host = target[0] if isinstance(target, tuple) else None  # a Unix socket is named by a path, a connected one by None
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = args[0]
    else:
        return ""
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
    if name is None or name in ("", "localhost"):
        return ""
    try:
        return "" if ipaddress.ip_address(str(name).partition("%")[0]).is_loopback else str(name)
    except ValueError:
        return str(name)


def forbid_network() -> None:
    """Make every attempt of this process to reach another machine an error. An audit hook cannot be taken back."""

    def refuse(event: str, args: tuple[Any, ...]) -> None:
        if event.startswith("socket.") and (host := leaves_machine(event, args)):
            raise NetworkForbidden(f"tests are offline, and something called {event} for {host!r}: talk to a loopback server instead")

    sys.addaudithook(refuse)


@pytest.fixture(scope="session", autouse=True)
def offline() -> None:
    """Forbid the network for the whole session."""
    forbid_network()


@pytest.fixture
def clock() -> FixedClock:
    """A clock that starts at noon on New Year's Day 2026."""
    return FixedClock()


@pytest.fixture
def memory(tmp_path: Path, clock: FixedClock) -> Iterator[Memory]:
    """An empty memory in a folder of its own."""
    with Memory.open(tmp_path / "memory", clock=clock) as opened:
        yield opened
