"""Models and embedders that are down, hang, break off or return nonsense: writes are kept, words answer in time, vectors come later."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tierkeep import Answer, Memory
from tierkeep.errors import ModelError
from tierkeep.models.doubles import HashEmbedder
from tierkeep.models.openai import OpenAIChat, OpenAIEmbedder
from tierkeep.scoped import ScopedMemory
from tierkeep.testing.clock import FixedClock
from tierkeep.testing.openai_server import Fault, OpenAIServer

SAID = ("The boat lies in the old harbour.", "Our dog is called Rex.", "The violin needs new strings.", "I moved to Lisbon in May.")
QUESTION = "Where does the boat lie?"
WORDS_ONLY = "searched by words only"


def tell(memory: Memory) -> ScopedMemory:
    ana = memory.scope(user="ana")
    for number, text in enumerate(SAID):
        ana.add(text, id=f"m{number}", at="2026-05-02")
    return ana


def vectors(memory: Memory) -> dict[int, list[float]]:
    view = memory._ledger.view(memory.scope(user="ana").scope)
    pages = list(view.vectors(memory.describe()["embedder"]))
    return {seq: row.round(4).tolist() for page in pages for seq, row in zip(page.seqs.tolist(), page.matrix, strict=True)}


def found(ana: ScopedMemory) -> list[tuple[str, float]]:
    return [(item.id, round(item.score, 3)) for item in ana.recall(QUESTION, now="2026-05-03").items]


# ---------------------------------------------------------------------------------------------------------- embedders


class Nonsense(HashEmbedder):
    """An embedder that is itself, or returns what no embedder should."""

    def __init__(self) -> None:
        super().__init__(24)
        self.harm: Callable[[NDArray[np.float32]], Any] = lambda rows: rows

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self.harm(super().embed(texts))  # type: ignore[no-any-return]


NONSENSE: dict[str, Callable[[NDArray[np.float32]], Any]] = {
    "not a number": lambda rows: rows * np.float32("nan"),
    "infinite": lambda rows: np.full_like(rows, np.inf),
    "zeros": lambda rows: rows * 0,
    "a row of zeros": lambda rows: np.vstack([rows[:-1], rows[-1:] * 0]),
    "one too few": lambda rows: rows[:-1],
    "one too many": lambda rows: np.vstack([rows, rows]),
    "another length": lambda rows: rows[:, :-1],
    "flat": lambda rows: rows.ravel(),
    "none": lambda rows: None,
    "a text": lambda rows: "no vectors today",
    "a defect": lambda rows: 1 // 0,
}


@pytest.mark.parametrize("harm", NONSENSE.values(), ids=NONSENSE)
def test_nonsense_of_an_embedder_is_neither_kept_nor_passed_on(harm: Callable[[NDArray[np.float32]], Any]) -> None:
    with Memory.open(":memory:", embedder=HashEmbedder(24), clock=FixedClock(), derive="with_write") as oracle:
        expected = found(tell(oracle))
        embedder = Nonsense()
        embedder.harm = harm
        with Memory.open(":memory:", embedder=embedder, clock=FixedClock(), derive="with_write") as memory:
            ana = tell(memory)
            for _ in range(2):
                evidence = ana.recall(QUESTION, now="2026-05-03")
                assert "harbour" in evidence.text and WORDS_ONLY in evidence.note
                assert "harbour" in ana.ask(QUESTION).text
            with pytest.raises(ModelError):
                ana.index()
            failures = memory.stats()["failures"]
            assert vectors(memory) == {} and failures["embedder"] > 0 and failures["index"] == len(SAID)
            assert failures["embedder_last"] in ("ModelError", "ZeroDivisionError", "ValueError", "TypeError")
            embedder.harm = lambda rows: rows
            assert ana.index().vectors_missing == 0 and vectors(memory) == vectors(oracle)
            assert found(ana) == expected and ana.recall(QUESTION).note == ""


class OfWords(HashEmbedder):
    """An embedder of words alone: what has none gets zeros, as from many tables of word vectors."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        known = np.array([[any(letter.isalpha() for letter in text)] for text in texts], np.float32).reshape(-1, 1)
        return super().embed(texts) * known


def test_a_text_that_says_nothing_to_an_embedder_holds_up_no_other() -> None:
    """Usual cause: zeros are taken for a failure, and the batch with that text fails for ever."""
    with Memory.open(":memory:", embedder=OfWords(24), clock=FixedClock(), derive="with_write") as memory:
        ana = memory.scope(user="ana")
        ana.add("12 34 56", speaker="1")
        ana.add(SAID[0])
        assert ana.index().vectors_missing == 0 and len(vectors(memory)) == 1
        assert memory.stats()["failures"]["index"] == 0
        assert "harbour" in ana.recall(QUESTION).text
        assert "12 34" in ana.recall("12 34").text and ana.recall("12 34").note == ""


class Filtered(HashEmbedder):
    """An embedder behind a filter that refuses every batch with a certain word; with `down`, everything."""

    down = False
    word = "forbidden"

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if self.down or any(self.word in text for text in texts):
            raise ModelError("refused")
        return super().embed(texts)


@pytest.mark.parametrize("derive", ["with_write", "on_request"])
def test_a_text_that_an_embedder_always_refuses_holds_up_no_other(derive: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Usual cause: what failed is tried again with all that came since, and fails again, for ever."""
    texts = [f"{'A forbidden word' if number in (3, 11, 12, 40) else 'Message'} number {number}." for number in range(50)]
    with Memory.open(":memory:", embedder=Filtered(24), clock=FixedClock(), derive=derive) as memory:
        ana = memory.scope(user="ana")
        for number in range(0, 50, 10):
            ana.add([{"content": text, "id": f"m{number + place}"} for place, text in enumerate(texts[number : number + 10])])
        assert ana.index().vectors_missing == 0
        assert len(vectors(memory)) == 46 and memory.stats()["failures"]["index_refused"] == 4
        assert memory.stats()["failures"]["index"] == 0
        assert any(item.id == "m12" for item in ana.recall("forbidden word number 12").items)
        assert len([record for record in caplog.records if "refuses" in record.message]) == 1
        assert not any("forbidden" in record.message for record in caplog.records)


def test_an_embedder_that_refuses_everything_does_not_work() -> None:
    """Usual cause: a setting that fits no text of the owner's. Once it is mended nothing may be missing."""
    embedder = Filtered(24)
    with Memory.open(":memory:", embedder=embedder, clock=FixedClock(), derive="on_request") as memory:
        ana = memory.scope(user="ana")
        ana.add([f"A forbidden word number {number}." for number in range(5)])
        with pytest.raises(ModelError, match="none of 5 texts"):
            ana.index()
        embedder.word = "nothing of the kind"
        assert ana.index().vectors_missing == 0 and len(vectors(memory)) == 5
        assert memory.stats()["failures"]["index_refused"] == 0


def test_an_embedder_that_is_down_refuses_nothing() -> None:
    embedder = Filtered(24)
    with Memory.open(":memory:", embedder=embedder, clock=FixedClock(), derive="with_write") as memory:
        embedder.down = True
        ana = tell(memory)
        with pytest.raises(ModelError):
            ana.index()
        assert memory.stats()["failures"]["index_refused"] == 0 and vectors(memory) == {}
        embedder.down = False
        assert ana.index().vectors_missing == 0 and len(vectors(memory)) == len(SAID)


@pytest.mark.parametrize("name", [None, 7])
def test_an_identity_that_is_no_text_names_no_vectors(name: Any) -> None:
    class Nameless(HashEmbedder):
        @property
        def identity(self) -> Any:
            return name

        @identity.setter
        def identity(self, _: str) -> None: ...

    with Memory.open(":memory:", embedder=Nameless(24), clock=FixedClock(), derive="with_write") as memory:
        ana = tell(memory)
        evidence = ana.recall(QUESTION)
        assert "harbour" in evidence.text and WORDS_ONLY in evidence.note
        with pytest.raises(ModelError):
            ana.index()
        assert memory.stats()["embedders"] == []


FAULTS = {
    "500": Fault(status=500),
    "429": Fault(status=429),
    "half a body": Fault(close=True),
    "garbage": Fault(garbage=True),
    "no vectors": Fault(body={"data": []}),
    "silence": Fault(delay_s=30),
    "drip": Fault(drip=True),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_an_embedders_server_that_fails_and_comes_back(fault: Fault) -> None:
    """Opened while it is down, without a dimension that would say what its vectors are."""
    with (
        OpenAIServer() as well,
        OpenAIEmbedder("m", base_url=well.base_url) as embedder,
        Memory.open(":memory:", embedder=embedder, clock=FixedClock()) as oracle,
    ):
        tell(oracle)
        assert oracle.settle(30)
        expected, rows = found(oracle.scope(user="ana")), vectors(oracle)
    line: list[Fault | None] = [fault]
    with OpenAIServer(lambda request: line[0]) as server:  # type: ignore[arg-type,return-value]
        embedder = OpenAIEmbedder("m", base_url=server.base_url, retries=0, timeout_s=0.15)
        with embedder, Memory.open(":memory:", embedder=embedder, clock=FixedClock()) as memory:
            ana = tell(memory)
            assert len(list(ana.events())) == len(SAID)
            evidence = ana.recall(QUESTION)
            assert "harbour" in evidence.text and WORDS_ONLY in evidence.note
            assert "failed (ModelError)" in memory.describe()["embedder"]
            memory.settle(30)
            assert memory.stats()["failures"]["index"] > 0 and memory.stats()["failures"]["embedder_last"] == "ModelError"
            line[0] = None
            ana.recall("anything at all")  # notices that vectors are missing
            assert memory.settle(30) and vectors(memory) == rows and found(ana) == expected


def test_an_embedder_that_nobody_serves() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    nobody = OpenAIEmbedder("m", base_url=f"http://127.0.0.1:{port}/v1", retries=0)
    with nobody, Memory.open(":memory:", embedder=nobody) as memory:
        ana = tell(memory)
        assert "harbour" in ana.recall(QUESTION).text and "harbour" in ana.ask(QUESTION).text


def test_a_deadline_holds_while_the_embedder_hangs() -> None:
    """Every question comes back while the embedder still hangs, more of them than there are threads for it; then they find by vectors."""
    free, hanging = threading.Event(), threading.Event()

    class Hanging(HashEmbedder):
        def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
            hanging.set()
            assert free.wait(60)
            return super().embed(texts)

    with Memory.open(":memory:", embedder=Hanging(24), derive="on_request") as memory:
        ana = tell(memory)
        for number in range(6):
            evidence = ana.recall(f"{QUESTION} {number}", deadline_s=0.1)
            assert "harbour" in evidence.text and evidence.partial and "did not answer in time" in evidence.note
        assert "harbour" in ana.ask(QUESTION, deadline_s=0.2).text
        assert hanging.is_set() and not free.is_set()
        free.set()
        ana.index()
        evidence = ana.recall(QUESTION, deadline_s=30)
        assert "harbour" in evidence.text and not evidence.partial and evidence.note == ""


# -------------------------------------------------------------------------------------------------------------- chat

REPLIES: dict[str, Any] = {
    **{name: fault for name, fault in FAULTS.items() if name != "no vectors"},
    "nothing": "",
    "no JSON": "I would rather not say.",
    "half of it": '{"answer": "in the',
    "another shape": '{"colour": "blue"}',
    "far too long": "word " * 100_000,
    "no choices": Fault(body={"choices": []}),
}


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
def test_whatever_a_chat_model_does_the_rules_answer(reply: Any) -> None:
    """Asked, and streamed; the trace says of each call why it was of no use."""
    with OpenAIServer(lambda request: reply) as server:
        chat = OpenAIChat("m", base_url=server.base_url, retries=0, timeout_s=0.15)
        with chat, Memory.open(":memory:", chat=chat, derive="on_request") as memory:
            ana = tell(memory)
            answer = ana.ask(QUESTION)
            assert "harbour" in answer.evidence.text and answer.text
            assert server.requests and any(call.answered_by == "fallback" and call.note for step in answer.trace for call in step.skills)
            *_, last = ana.stream(QUESTION)
            assert isinstance(last, Answer) and "harbour" in last.evidence.text


def test_a_chat_model_that_hangs_keeps_the_deadline() -> None:
    line: list[Fault | None] = [None]
    with OpenAIServer(lambda request: line[0]) as server:  # type: ignore[arg-type,return-value]
        chat = OpenAIChat("m", base_url=server.base_url)
        with chat, Memory.open(":memory:", chat=chat, derive="on_request") as memory:
            ana = tell(memory)
            ana.ask(QUESTION)  # what is imported and made for a first call takes seconds on a busy machine
            line[0] = Fault(delay_s=60)
            answer = ana.ask(QUESTION, deadline_s=2.5)
            assert "harbour" in answer.text and "harbour" in answer.evidence.text


@pytest.mark.parametrize("preset", ["hymem", "dmem"])
def test_what_a_model_did_not_derive_the_rules_do_and_every_message_stays(preset: str) -> None:
    line: list[Any] = [Fault(status=500)]
    with OpenAIServer(lambda request: line[0]) as server:
        chat = OpenAIChat("m", base_url=server.base_url, retries=0, timeout_s=1)
        with chat, Memory.open(":memory:", chat=chat, preset=preset) as memory:
            ana = tell(memory)
            report = ana.maintain()
            assert [event.text for event in ana.events()] == list(SAID)
            assert report.pending == 0 and memory.settle(30) and server.requests
            assert "harbour" in ana.recall(QUESTION).text and memory.verify().ok
