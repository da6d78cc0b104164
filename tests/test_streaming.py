"""An answer in pieces: what is shown is what is returned, whatever the model does."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tierkeep import Answer, Memory
from tierkeep.allowance import Progress
from tierkeep.errors import InputError, ModelError
from tierkeep.models.doubles import ScriptedChat
from tierkeep.models.openai import OpenAIChat
from tierkeep.protocols import ChatReply, ChatRequest
from tierkeep.scoped import ScopedMemory
from tierkeep.streaming import GeneratedPieces, GrowingField, Narration, StreamingChatModel, shown
from tierkeep.testing.clock import FixedClock
from tierkeep.testing.openai_server import Fault, OpenAIServer

WHO, LIVE = "Who fixed the boiler?", "Where do I live?"
TOLD = [("2026-03-02", "I moved to Lisbon in January."), ("2026-03-09", "The plumber who fixed the boiler is called Anselmo.")]
TARGETED = {"label": "targeted"}


class Whole:
    """A model that gives its replies whole."""

    name = "whole"

    def __init__(self, script: Any) -> None:
        self._chat = ScriptedChat(script)

    def complete(self, request: ChatRequest) -> ChatReply:
        return self._chat.complete(request)


class Cut:
    """A model that streams a text in pieces of given lengths."""

    name = "cut"

    def __init__(self, reply: str, lengths: list[int]) -> None:
        self._reply = reply
        self._lengths = lengths

    def complete(self, request: ChatRequest) -> ChatReply:
        return ScriptedChat([self._reply]).complete(request)

    def stream(self, request: ChatRequest) -> GeneratedPieces:
        def pieces() -> Generator[str, None, ChatReply]:
            left = self._reply
            for length in self._lengths:
                yield left[:length]
                left = left[length:]
            yield left
            return self.complete(request)

        return GeneratedPieces(pieces())


def reply(answer: str, *used: int, needs_more: bool = False) -> dict[str, Any]:
    return {"answer": answer, "needs_more": needs_more, "used": list(used)}


@pytest.fixture
def ana(tmp_path: Path) -> Iterator[Callable[..., ScopedMemory]]:
    """A memory with a model and two things in it."""
    opened: list[Memory] = []

    def make(chat: Any, told: list[tuple[str, str]] = TOLD, **more: Any) -> ScopedMemory:
        memory = Memory.open(":memory:", chat=chat, clock=more.pop("clock", FixedClock()), **{"preset": "memflow", **more})
        opened.append(memory)
        scope = memory.scope(user="ana")
        for day, text in told:
            scope.add(text, at=day, speaker="Ana")
        return scope

    yield make
    for memory in opened:
        memory.close()


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    for thread in threading.enumerate():
        if thread.name == "tierkeep-stream":
            thread.join(20)
            assert not thread.is_alive()


def settled(items: Iterable[Any]) -> str:
    """The text that counts."""
    text = ""
    for item in items:
        if item.what == "discard":
            assert text, "nothing was said that could be discarded"
            text = ""
        elif item.what == "answer":
            assert item.text
            text += item.text
    return text


def taken(scope: ScopedMemory, question: str = WHO, **more: Any) -> tuple[list[Progress], Answer]:
    *told, answer = scope.stream(question, **more)
    assert isinstance(answer, Answer)
    assert all(isinstance(one, Progress) for one in told)
    assert settled(told) == answer.text
    return told, answer  # type: ignore[return-value]


def texts(told: list[Progress]) -> list[str]:
    return [one.text if one.what == "answer" else one.what for one in told if one.what in ("answer", "discard")]


# ------------------------------------------------------------------------------------------------ what is told


def test_an_answer_comes_in_pieces(ana: Any) -> None:
    said = reply("The plumber who fixed the boiler is called Anselmo", 0)
    told, answer = taken(ana(ScriptedChat([TARGETED, said, {"verdict": "supported", "missing": ""}])))
    assert texts(told) == ["The", " plumber", " who", " fixed", " the", " boiler", " is", " called", " Anselmo"]
    assert answer.verdict.accept
    assert answer.usage.calls == {"classify": 1, "answer": 1, "judge": 1}


def test_the_answer_is_that_of_ask(ana: Any) -> None:
    script = [reply("Lisbon", 0)]
    _, streamed = taken(ana(ScriptedChat(script)), LIVE)
    asked = ana(ScriptedChat(script)).ask(LIVE)
    assert streamed.model_dump(exclude={"usage", "trace", "evidence"}) == asked.model_dump(exclude={"usage", "trace", "evidence"})
    assert streamed.usage.tokens_in == asked.usage.tokens_in


@pytest.mark.parametrize("chat", [None, Whole([reply("Lisbon", 0)])])
def test_without_a_stream_the_text_is_one_piece(ana: Any, chat: Any) -> None:
    assert not isinstance(chat, StreamingChatModel)
    told, answer = taken(ana(chat), LIVE)
    assert texts(told) == [answer.text]
    assert "Lisbon" in answer.text


def test_a_refused_answer_is_discarded_before_the_next_one(ana: Any) -> None:
    wrong = "A man from the town who came on a Tuesday with his son"
    script = [TARGETED, reply(wrong, 0), {"verdict": "unsupported", "missing": "the name"}, reply("Anselmo", 0)]
    told, answer = taken(ana(ScriptedChat(script)))
    assert answer.text == "Anselmo"
    assert "".join(texts(told)) == f"{wrong}discardAnselmo"


def test_an_earlier_answer_that_is_better_is_told_again(ana: Any) -> None:
    first, second = "A plumber called Anselmo came from the far town", "zebras " * 8
    judge = {"verdict": "unsupported", "missing": "the town"}
    told, answer = taken(ana(ScriptedChat([TARGETED, reply(first, 0), judge, reply(second, 0)])))
    assert answer.text == first
    assert "".join(texts(told)) == f"{first}discard{second.strip()}discard{first}"


def test_what_a_model_says_although_it_lacks_something_is_discarded(ana: Any) -> None:
    told, answer = taken(ana(ScriptedChat([TARGETED, reply("I think Bo", needs_more=True), reply("Anselmo", 0)])))
    assert "".join(texts(told)) == "I think BodiscardAnselmo"
    assert answer.text == "Anselmo"


def test_a_reply_that_does_not_fit_is_discarded_and_asked_for_again(ana: Any) -> None:
    told, answer = taken(ana(ScriptedChat(['{"answer": "Porto or so", "used": []}', reply("Lisbon", 0)])), LIVE)
    assert "".join(texts(told)) == "Porto or sodiscardLisbon"
    assert answer.trace[0].skills[0].answered_by == "model, second try"


def test_two_replies_that_do_not_fit_leave_the_rule_in_one_piece(ana: Any) -> None:
    told, answer = taken(ana(ScriptedChat(lambda request: '{"answer": "Porto or so"}')), LIVE)
    assert texts(told)[-2:] == ["discard", answer.text]
    assert "Lisbon" in answer.text


def test_nobody_listens_to_ask(ana: Any) -> None:
    chat = Cut(json.dumps(reply("Lisbon", 0)), [1])
    chat.stream = None  # type: ignore[method-assign, assignment]
    assert ana(chat).ask(LIVE).text == "Lisbon"


def test_no_time_and_no_memory_are_answers_too(ana: Any) -> None:
    told, answer = taken(ana(ScriptedChat([])), deadline_s=0)
    assert answer.partial
    assert texts(told) == [answer.text]
    told, answer = taken(ana(ScriptedChat(lambda _: TARGETED), []))
    assert answer.abstained


def test_a_question_that_cannot_be_used_is_refused_at_once(ana: Any) -> None:
    with pytest.raises(InputError):
        ana(None).stream("  ")


def test_an_error_of_the_work_reaches_the_reader(ana: Any) -> None:
    scope = ana(ScriptedChat(lambda request: (_ for _ in ()).throw(KeyError("a bug in somebody's model"))))
    stream = scope.stream(WHO)
    with pytest.raises(KeyError, match="a bug"):
        list(stream)
    assert list(stream) == []


ODD = st.text(st.sampled_from(list("ab <mem>é\u0301\u200d\u2764\ufe0f\U0001f600\n\r\t\x07\u200b\u2028\"\\{}＜м")), max_size=24)


@given(ODD, st.lists(st.integers(1, 9), max_size=30), st.booleans(), st.booleans())
@example("< \u200bmem and <", [20, 1, 1, 1], False, True)
@example("\ud83d", [18], False, True)
@example(" \U0001f600 ", [14, 1, 1, 1, 1, 1, 1, 1, 1], False, True)
def test_what_is_shown_is_what_is_returned(text: str, lengths: list[int], needs_more: bool, escaped: bool) -> None:
    said = json.dumps(reply(text, 0, needs_more=needs_more), ensure_ascii=escaped)
    with Memory.open(":memory:", preset="memflow", chat=Cut(said, lengths), clock=FixedClock()) as memory:
        scope = memory.scope(user="ana")
        scope.add(TOLD[0][1], at=TOLD[0][0])
        taken(scope, LIVE)


@given(ODD, st.lists(st.integers(1, 9), max_size=40))
@example("a < mem b", [27, 1, 1, 1, 1, 1, 1, 1])  # what could become our fence
@example("\u2764\u200d\u2764", [25 + 12, 6])  # a joiner whose right side is not there yet
@example("a \n b ", [26, 1, 2, 1, 1])
def test_a_growing_field_shows_each_character_once_and_takes_nothing_back(text: str, lengths: list[int]) -> None:
    said, field, got = json.dumps({"used": [1], "answer": text}), GrowingField("answer", 256), []
    for length in lengths:
        got.append(field.feed(said[:length]))
        said = said[length:]
    rest = field.end(text)
    assert rest is not None
    assert "".join(got) + rest == shown(text)


def test_a_growing_field_reads_behind_thoughts_and_stops_at_its_bound() -> None:
    field = GrowingField("answer", 256)
    assert field.feed('<think>{"answer": "no one ') == field.feed('knows"}</think>```json\n') == ""
    assert field.feed('{"answer": "Paris is ') == "Paris is"
    assert field.feed("x" * 5000) == field.feed(" and more") == ""
    assert field.end("Porto") is None
    assert field.end("Paris is it") == " it"


# --------------------------------------------------------------------------------------------------- real HTTP


def over_http(ana: Any, script: Any, **chat: Any) -> Iterator[ScopedMemory]:
    with OpenAIServer(script) as server, OpenAIChat("m", base_url=server.base_url, **{"retries": 0, **chat}) as model:
        assert isinstance(model, StreamingChatModel)
        yield ana(model)


def test_pieces_over_http(ana: Any) -> None:
    for scope in over_http(ana, [reply("in the old town of Lisbon", 0)]):
        told, answer = taken(scope, LIVE)
        assert texts(told)[:5] == ["in", " the", " old", " town", " of"]
        assert answer.trace[0].draft is not None
        assert answer.trace[0].draft.source == "model"


def test_a_broken_object_then_a_broken_line_leave_the_rule(ana: Any) -> None:
    half = Fault(close=True, body='{"answer": "somewhere in')
    for scope in over_http(ana, ['{"answer": "Porto or so"}', half, *[Fault(status=500)] * 9]):
        told, answer = taken(scope, LIVE)
        assert texts(told) == ["Porto", " or", " so", "discard", "somewhere", " in", "discard", answer.text]
        assert "Lisbon" in answer.text
        assert answer.trace[0].skills[0].note.endswith("broke off")


def test_a_slow_stream_ends_with_the_deadline(ana: Any) -> None:
    def slow(request: Any) -> Any:
        return Fault(drip=True) if request.body.get("stream") else TARGETED

    for scope in over_http(lambda chat: ana(chat, clock=None), slow):
        told, answer = taken(scope, LIVE, deadline_s=1.0)
        assert "Lisbon" in answer.text
        assert texts(told) == [answer.text]
        assert "did not reply within" in answer.trace[0].skills[0].note


def test_closing_ends_the_work(ana: Any) -> None:
    for scope in over_http(ana, lambda request: reply("word " * 500, 0)):
        with scope.stream(LIVE) as stream:
            assert isinstance(next(stream), Progress)
        assert list(stream) == []
        stream.close()
        assert scope.recall(LIVE)  # nothing is left in a state that hinders the next


# ------------------------------------------------------------------------------------------ leaving, and threads


class Patient:
    """A streaming model that says a word each time it is let."""

    name = "patient"

    def __init__(self) -> None:
        self.go = threading.Semaphore(0)
        self.closed = threading.Event()

    def complete(self, request: ChatRequest) -> ChatReply:
        raise ModelError("streams only")

    def stream(self, request: ChatRequest) -> GeneratedPieces:
        def pieces() -> Generator[str, None, ChatReply]:
            try:
                yield '{"answer": "'
                for _ in range(1000):
                    self.go.acquire()
                    yield "word "
                raise ModelError("it has said enough")
            finally:
                self.closed.set()

        return GeneratedPieces(pieces())


def test_a_stream_that_is_dropped_ends_at_the_next_word(ana: Any) -> None:
    chat = Patient()
    scope = ana(chat)
    chat.go.release()
    for item in scope.stream(LIVE):  # the loop holds the only reference
        assert item == Progress("answer", "word")
        break
    chat.go.release()
    assert chat.closed.wait(20)


def test_a_stream_that_was_never_begun_starts_nothing(ana: Any) -> None:
    chat = ScriptedChat([])
    stream = ana(chat).stream(WHO)
    stream.close()
    assert list(stream) == []
    assert chat.requests == []


def test_the_async_twin(ana: Any) -> None:
    async def run() -> list[Any]:
        return [item async for item in ana(ScriptedChat([reply("Lisbon it is", 0)])).astream(LIVE)]

    *told, answer = asyncio.run(run())
    assert texts(told) == ["Lisbon", " it", " is"]
    assert answer.text == "Lisbon it is"


@pytest.mark.parametrize("how", ["aclose", "cancel"])
def test_the_async_twin_may_be_left(ana: Any, how: str) -> None:
    chat = Patient()
    scope = ana(chat)

    async def run() -> None:
        stream = scope.astream(LIVE)
        chat.go.release()
        assert await anext(stream) == Progress("answer", "word")
        if how == "cancel":
            waiting = asyncio.ensure_future(anext(stream))
            await asyncio.sleep(0.05)
            waiting.cancel()
            chat.go.release(1000)  # the word at which it notices is the one after it was left
            with pytest.raises(asyncio.CancelledError):
                await waiting
        else:
            chat.go.release(1000)
            await stream.aclose()

    asyncio.run(run())
    assert chat.closed.is_set()


def test_a_slow_reader_delays_nobody_and_loses_no_text() -> None:
    narration: Narration[str] = Narration()
    words = [f" {number}" for number in range(500)]

    def work() -> str:
        for word in words:
            narration.tell(Progress("answer", word))
        for done in range(500):
            narration.tell(Progress("scan", done=done, total=500))
        return "done"

    narration.work(work)  # nobody reads yet
    told: list[Progress] = []
    while isinstance(item := narration.take(), Progress):
        told.append(item)
    assert item is not None
    assert item.result() == "done"
    assert settled(told) == "".join(words)
    assert told[-1] == Progress("scan", done=499, total=500)
    assert len(told) < 70


def test_a_late_discard_reaches_a_slow_reader() -> None:
    narration: Narration[None] = Narration()

    def work() -> None:
        for _ in range(3):
            for number in range(100):
                narration.tell(Progress("answer", f" {number}"))
            narration.tell(Progress("discard"))
        narration.tell(Progress("answer", "at last"))

    narration.tell(Progress("answer", "seen"))
    assert narration.take() == Progress("answer", "seen")
    narration.work(work)
    assert narration.take() == Progress("discard")
    assert narration.take() == Progress("answer", "at last")
    assert not isinstance(narration.take(), Progress)
