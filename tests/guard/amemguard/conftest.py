"""Memories from different places, and a chat double that follows A-MemGuard's two prompts."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from tierkeep.allowance import Allowance
from tierkeep.guard.amemguard.backends import LlmBackend, RulesBackend
from tierkeep.guard.amemguard.consensus import AMemGuard
from tierkeep.ledger.sqlite import SqliteLedger
from tierkeep.models.doubles import ScriptedChat
from tierkeep.protocols import ChatRequest, View
from tierkeep.records import Authority, Event, Hit, Origin, Query, Scope
from tierkeep.settings import AMemGuardSettings
from tierkeep.skills import Skills
from tierkeep.testing.clock import FixedClock
from tierkeep.tokens import EstimateCounter

SCOPE = Scope(user="ana")
_LINE = re.compile(r"^(\d+)\| (.*)$", re.M)
Double = Callable[[ChatRequest], Mapping[str, Any]]


@pytest.fixture
def scope() -> Scope:
    return SCOPE


@pytest.fixture
def query() -> Query:
    return Query(text="A customer has sent an item back. What do I do?", scope=SCOPE, now="2026-01-01T12:00:00+00:00")


@pytest.fixture
def view(clock: FixedClock) -> Iterator[View]:
    ledger = SqliteLedger(":memory:", clock=clock)
    yield ledger.view(SCOPE)
    ledger.close()


@pytest.fixture
def allow(clock: FixedClock) -> Callable[..., Allowance]:
    return lambda **limits: Allowance(clock, **limits)


@pytest.fixture
def hit() -> Callable[..., Hit]:
    """Make a hit of a text; each has a web site of its own unless an origin is given."""
    numbers = itertools.count(1)

    def make(text: str, origin: Origin | None = None, authority: Authority | None = None, **fields: Any) -> Hit:
        seq = next(numbers)
        origin = origin or Origin.web(f"https://site{seq}.example/")
        own = Authority.ADVISE if origin.source.startswith(("user", "operator", "tool_trusted")) else Authority.DATA
        event = Event(
            id=f"e{seq}", seq=seq, scope=SCOPE.model_copy(update={"session": "s"}), position=seq, kind="message", role="tool", speaker="",
            text=text, at="2026-01-01", ts=0.0, origin=origin, authority=own if authority is None else authority, **fields,
        )  # fmt: skip
        return Hit(event, 1.0 / seq)

    return make


@pytest.fixture
def rules() -> Callable[..., AMemGuard]:
    def make(**changed: Any) -> AMemGuard:
        settings = AMemGuardSettings(**changed)
        return AMemGuard(RulesBackend(settings), settings)

    return make


@pytest.fixture
def lines() -> Callable[[ChatRequest], dict[int, str]]:
    """Return the numbered lines inside the fence of a request."""

    def read(request: ChatRequest) -> dict[int, str]:
        fenced = request.user.partition("</memory-")[0]
        return {int(number): text for number, text in _LINE.findall(fenced)}

    return read


@pytest.fixture
def echo(lines: Callable[[ChatRequest], dict[int, str]]) -> Double:
    """The most gullible path extractor: it puts the memory's own text into every field."""

    def reply(request: ChatRequest) -> dict[str, Any]:
        def path(number: int, text: str) -> dict[str, Any]:
            words = text.split()
            parts = [" ".join(words[at : at + 4]) for at in range(0, len(words), 4)]
            triples = [dict(zip("sro", (*parts[at : at + 3], "", ""), strict=False)) for at in range(0, len(parts), 3)]
            return {"id": number, "answer_hint": text, "entities": [text, *parts], "triples": triples}

        return {"paths": [path(number, text) for number, text in lines(request).items()]}

    return reply


@pytest.fixture
def fair(lines: Callable[[ChatRequest], dict[int, str]]) -> Double:
    """A judge that reads the paths: what goes out, or leaves out a step, alone among the voices is unsafe."""
    telling = re.compile(r"toward [a-z]+(?: address)? \w+|leaves out the \w+ step|removes everything")

    def reply(request: ChatRequest) -> dict[str, Any]:
        shown = {number: text.partition(" | ") for number, text in lines(request).items()}
        found = {number: set(telling.findall(path)) for number, (_, _, path) in shown.items()}
        behind = {one: {shown[number][0] for number, own in found.items() if one in own} for own in found.values() for one in own}
        alone = {number: any(len(behind[one]) == 1 for one in own) for number, own in found.items()}
        return {
            "verdicts": [
                {"id": n, "consistent": not bad, "safe": not bad, "s_div": float(bad), "reason": "control" if bad else "none"}
                for n, bad in alone.items()
            ]
        }

    return reply


@pytest.fixture
def llm(clock: FixedClock, echo: Double) -> Callable[..., tuple[AMemGuard, ScriptedChat]]:
    """Make an A-MemGuard with a model whose paths come from `paths` and whose verdicts come from `judge`."""

    def make(judge: Double, paths: Double | None = None, **changed: Any) -> tuple[AMemGuard, ScriptedChat]:
        chat = ScriptedChat(lambda request: (paths or echo)(request) if request.skill == "extract" else judge(request))
        settings = AMemGuardSettings(**changed)
        return AMemGuard(LlmBackend(Skills(chat, EstimateCounter(), clock), settings), settings), chat

    return make
