"""The switch in the root conftest works: no test can reach another machine, and every test can reach its own."""

from __future__ import annotations

import socket

import pytest

from tierkeep import Memory

#: Reserved for documentation (RFC 5737): nothing answers there, should the switch ever fail.
ELSEWHERE = ("192.0.2.1", 80)


def test_connecting_elsewhere_is_an_error() -> None:
    with socket.socket() as connection, pytest.raises(RuntimeError, match=r"offline.*192\.0\.2\.1"):
        connection.connect(ELSEWHERE)


def test_a_datagram_elsewhere_is_an_error() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sender, pytest.raises(RuntimeError, match="offline"):
        sender.sendto(b"", ELSEWHERE)


@pytest.mark.parametrize("host", ["example.org", b"example.org"])
def test_looking_up_a_name_is_an_error(host: str | bytes) -> None:
    with pytest.raises(RuntimeError, match="offline"):
        socket.getaddrinfo(host, 80)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_loopback_server_is_reached(host: str) -> None:
    with socket.create_server((host, 0)) as server, socket.create_connection(server.getsockname()) as client:
        assert client.getpeername() == server.getsockname()


def test_the_memory_fixture_is_a_store_on_disk(memory: Memory) -> None:
    ana = memory.scope(user="ana")
    ana.add("I moved to Lisbon.")
    (event,) = ana.events()
    assert event.at.startswith("2026-01-01T12:00:00")
