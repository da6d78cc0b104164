from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import numpy as np
import pytest

from tierkeep.errors import ModelError, SettingsError
from tierkeep.models.doubles import HashEmbedder
from tierkeep.models.openai import OpenAIEmbedder
from tierkeep.protocols import Embedder
from tierkeep.testing.embedder import EmbedderContract
from tierkeep.testing.openai_server import Fault, OpenAIServer

QUESTION = "where is the purple pelican buried"


@pytest.fixture
def open_() -> Iterator[Callable[[AbstractContextManager[Any]], Any]]:
    with ExitStack() as stack:
        yield stack.enter_context


@pytest.fixture
def made(open_: Callable[[AbstractContextManager[Any]], Any]) -> Callable[..., tuple[OpenAIEmbedder, OpenAIServer]]:
    """An embedder and its server, from a script."""

    def make(script: Any = (), **options: Any) -> tuple[OpenAIEmbedder, OpenAIServer]:
        double = open_(OpenAIServer(script))
        return open_(OpenAIEmbedder("e", base_url=double.base_url, **options)), double

    return make


@pytest.fixture(scope="class", params=[None, 32], ids=["probed", "asked for"])
def contract_server(request: pytest.FixtureRequest) -> Iterator[None]:
    with OpenAIServer() as server:
        request.cls.url, request.cls.length = server.base_url, request.param
        yield


@pytest.mark.usefixtures("contract_server")
class TestContract(EmbedderContract):
    url: str
    length: int | None

    def make_embedder(self) -> Embedder:
        return OpenAIEmbedder("e", base_url=self.url, dimension=self.length)


def vectors(*rows: Any, **more: Any) -> Fault:
    return Fault(body={"data": [{"index": index, "embedding": row, **more} for index, row in enumerate(rows)]})


def test_rows_are_those_of_the_server_in_order(made: Any) -> None:
    embedder, _ = made(dimension=32)
    texts = ["yellow tractors", "the kettle boils", "yellow tractors"]
    assert np.allclose(embedder.embed(texts), HashEmbedder(32).embed(texts), atol=1e-6)


def test_the_identity_names_no_address(made: Any) -> None:
    first, second = made()[0], made()[0]
    assert first.identity == second.identity == "openai/e/64/unit"


def test_a_given_dimension_needs_no_question(made: Any) -> None:
    embedder, server = made(dimension=16)
    assert (embedder.identity, embedder.dimension, embedder.embed([]).shape) == ("openai/e/16/unit", 16, (0, 16))
    assert server.requests == []


def test_the_dimension_is_asked_once(made: Any) -> None:
    embedder, server = made()
    assert [embedder.dimension, embedder.dimension] == [64, 64]
    assert len(server.requests) == 1


def test_batches(made: Any) -> None:
    embedder, server = made(dimension=16, batch=2)
    assert embedder.embed(["a", "b", "c", "d", "e"]).shape == (5, 16)
    assert [request.body["input"] for request in server.requests] == [["a", "b"], ["c", "d"], ["e"]]
    assert {request.body["dimensions"] for request in server.requests} == {16}


def test_texts_that_servers_refuse_are_replaced(made: Any) -> None:
    embedder, server = made(dimension=16, max_chars=3)
    embedder.embed(["", " \n", "abcdef", "a\ud83db"])
    assert server.requests[0].body["input"] == ["(no text)", "(no text)", "abc", "a?b"]


def test_a_server_that_cannot_shorten_is_asked_without(made: Any) -> None:
    refusal = Fault(400, {"error": {"message": "this model does not support specifying dimensions"}})
    embedder, server = made([refusal, vectors([3.0, 4.0]), vectors([1.0, 0.0])], dimension=2)
    assert embedder.embed(["a"]).tolist() == [[pytest.approx(0.6), pytest.approx(0.8)]]
    embedder.embed(["b"])
    assert ["dimensions" in request.body for request in server.requests] == [True, False, False]


def test_another_dimension_than_the_one_that_was_asked_for(made: Any) -> None:
    embedder, _ = made([vectors([1.0, 0.0, 0.0])], dimension=2)
    with pytest.raises(ModelError, match="length 3, not 2"):
        embedder.embed(["a"])


def test_a_dimension_that_changes_is_an_error(made: Any) -> None:
    embedder, _ = made([vectors([1.0, 0.0, 0.0]), vectors([1.0, 0.0])])
    with pytest.raises(ModelError, match="length 2, not 3"):
        embedder.embed(["a"])


def test_order_without_an_index(made: Any) -> None:
    embedder, _ = made([Fault(body={"data": [{"embedding": [1.0, 0.0]}, {"embedding": [0.0, 1.0]}]})], dimension=2)
    assert embedder.embed(["a", "b"]).tolist() == [[1.0, 0.0], [0.0, 1.0]]


@pytest.mark.parametrize(
    "fault",
    [
        vectors([1.0, float("nan")]),
        vectors([float("inf"), 1.0]),
        vectors([0.0, 0.0]),
        vectors([1e200, 1e200]),
        vectors([1.0, 0.0], [1.0, 0.0]),
        vectors(),
        vectors([]),
        vectors(["a", "b"]),
        vectors([1.0, None]),
        vectors([10**400, 1]),
        vectors("AAAA"),
        Fault(body={"data": [[1.0, 0.0]]}),
        Fault(body={"data": "none"}),
        Fault(body={}),
        Fault(garbage=True),
        Fault(401, {"error": {"message": QUESTION}}),
        Fault(404),
        Fault(400, QUESTION),
        Fault(500, QUESTION, retry_after=0),
        Fault(close=True),
        Fault(drip=True),
        Fault(drip="headers"),
        Fault(delay_s=600.0),
    ],
    ids=lambda fault: str(fault)[:80],
)
def test_what_is_not_vectors_is_a_model_error(made: Any, fault: Fault) -> None:
    embedder, _ = made([fault] * 2, dimension=2, timeout_s=2.0 if not (fault.drip or fault.delay_s) else 0.3, retries=0)
    with pytest.raises(ModelError) as caught:
        embedder.embed([QUESTION])
    assert "pelican" not in "".join(traceback.format_exception(caught.value))


def test_what_passes_is_tried_again(made: Any) -> None:
    embedder, server = made([Fault(429, retry_after=0.01), Fault(500, retry_after=0)], dimension=8)
    assert embedder.embed(["a"]).shape == (1, 8)
    assert len(server.requests) == 3


def test_a_failed_probe_is_tried_again_at_the_next_use(made: Any) -> None:
    embedder, _ = made([Fault(401)])
    with pytest.raises(ModelError, match="401"):
        _ = embedder.dimension
    assert embedder.dimension == 64


@pytest.mark.parametrize(
    "options", [{"dimension": 0}, {"batch": 0}, {"max_chars": 0}, {"timeout_s": -1.0}, {"base_url": "nowhere"}], ids=str
)
def test_arguments_that_cannot_hold(options: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        OpenAIEmbedder("e", **{"base_url": "http://127.0.0.1:1/v1", **options})


def test_a_missing_key_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SettingsError, match="OPENAI_API_KEY"):
        OpenAIEmbedder("e")
