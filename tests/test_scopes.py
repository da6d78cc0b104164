"""What a scope that is bound to a session may read and change, and the async twins of the verbs."""

from __future__ import annotations

import asyncio
import inspect

import pytest

from tierkeep import Memory
from tierkeep.errors import InputError, NotFoundError, ScopeError
from tierkeep.scoped import ScopedMemory


@pytest.fixture
def whole(memory: Memory) -> ScopedMemory:
    mine = memory.scope(user="ana")
    mine.add("I live in Rome.", session="s1", at="2026-01-01")
    mine.add("I am allergic to peanuts.", session="s2", at="2026-01-02")
    return mine


@pytest.fixture
def bound(memory: Memory, whole: ScopedMemory) -> ScopedMemory:
    return memory.scope(user="ana", session="s2")


def test_events_of_another_session_are_refused_not_returned(bound: ScopedMemory, whole: ScopedMemory) -> None:
    with pytest.raises(ScopeError, match="'s1'"):
        bound.events("s1")
    assert [event.text for event in bound.events()] == [event.text for event in bound.events("s2")] == ["I am allergic to peanuts."]
    assert [event.session for event in whole.events("s1")] == ["s1"]


def test_records_are_those_with_a_source_in_the_session(bound: ScopedMemory, whole: ScopedMemory) -> None:
    assert [record.text for record in bound.records()] == ["user is allergic to peanuts"]
    assert len(whole.records()) == 2
    whole.add("I live in Rome.", session="s2", at="2026-01-03")
    assert len(bound.records()) == 2


def test_the_history_of_another_sessions_record_is_not_found(bound: ScopedMemory, whole: ScopedMemory) -> None:
    theirs = next(record for record in whole.records() if "Rome" in record.text)
    with pytest.raises(NotFoundError) as raised:
        bound.history(theirs.id)
    assert raised.value.ids == (theirs.id,)
    assert [step.op for step in whole.history(theirs.id)] == ["add"]
    assert bound.history(bound.records()[0].id) == whole.history(bound.records()[0].id)


@pytest.mark.parametrize("verb", ["undo", "export", "restore"])
def test_what_works_on_all_of_an_owner_says_which_scope_to_use(bound: ScopedMemory, whole: ScopedMemory, verb: str) -> None:
    rows = list(whole.export())
    with pytest.raises(ScopeError, match=f"{verb} works on the whole.*scope without a session"):
        bound.restore(rows, trusted=True) if verb == "restore" else getattr(bound, verb)()
    assert list(whole.export()) == rows


def test_a_session_sees_only_itself_listed(bound: ScopedMemory) -> None:
    assert bound.sessions() == [("s2", 1)]


# --------------------------------------------------------------------------------------------------------- async twins


def test_every_twin_does_what_its_verb_does(memory: Memory) -> None:
    mine = memory.scope(user="ana")

    async def talk() -> None:
        receipt = await mine.aadd("I live in Rome.", session="s1", at="2026-01-01")
        assert [event.id for event in mine.events()] == list(receipt.ids)
        assert await mine.arecall("Where do I live?") == mine.recall("Where do I live?")
        answer = await mine.aask("Where do I live?", budget=200)
        assert answer.text == mine.ask("Where do I live?", budget=200).text and "Rome" in answer.text
        assert await mine.arecords() == mine.records() != []
        assert await mine.asessions() == mine.sessions() == [("s1", 1)]
        assert await mine.ahistory(mine.records()[0].id) == mine.history(mine.records()[0].id)
        report = await mine.aforget(ids=receipt.ids)
        assert report.events == 1 and list(mine.events()) == []
        assert (await mine.arecall("Where do I live?")).note == mine.recall("Where do I live?").note != ""

    asyncio.run(talk())


def test_a_twin_raises_what_its_verb_raises(memory: Memory) -> None:
    mine = memory.scope(user="ana")

    async def talk() -> None:
        with pytest.raises(InputError):
            await mine.arecall("")
        with pytest.raises(InputError):
            await mine.aforget()
        with pytest.raises(NotFoundError):
            await mine.aforget(ids=["nothing"])

    asyncio.run(talk())


def test_adds_and_recalls_that_overlap_lose_nothing(memory: Memory) -> None:
    mine = memory.scope(user="ana")

    async def talk() -> None:
        adds = [mine.aadd(f"Parcel {number} came by boat.", at="2026-01-01", session=f"s{number % 3}") for number in range(30)]
        recalls = [mine.arecall("What came by boat?") for _ in range(10)]
        done = await asyncio.gather(*adds, *recalls)
        assert len({id for receipt in done[:30] for id in receipt.ids}) == 30  # type: ignore[union-attr]

    asyncio.run(talk())
    texts = {event.text for event in mine.events()}
    assert texts == {f"Parcel {number} came by boat." for number in range(30)}
    assert {item.text for item in mine.recall("What came by boat?").items} == texts


def test_the_event_loop_goes_on_while_a_twin_works(memory: Memory) -> None:
    mine = memory.scope(user="ana")

    async def talk() -> int:
        task = asyncio.ensure_future(mine.aadd([f"Parcel {number} came by boat." for number in range(2_000)], at="2026-01-01"))
        turns = 0
        while not task.done():
            turns += 1
            await asyncio.sleep(0)
        await task
        return turns

    assert asyncio.run(talk()) > 10


def test_every_verb_that_reads_or_writes_the_store_has_its_twin() -> None:
    verbs = {"add", "forget", "undo", "restore", "recall", "ask", "records", "history", "sessions"}
    for verb in sorted(verbs):
        same, twin = getattr(ScopedMemory, verb), getattr(ScopedMemory, f"a{verb}")
        assert inspect.iscoroutinefunction(twin) and twin.__name__ == f"a{verb}"
        assert inspect.signature(twin) == inspect.signature(same)


def test_a_session_that_only_ended_a_value_does_not_see_it(memory: Memory) -> None:
    memory.scope(user="ana").add("I live in Secretville.", session="a", at="2026-01-01")
    memory.scope(user="ana").add("I live in Oslo.", session="b", at="2026-02-01")
    bound = memory.scope(user="ana", session="b")
    assert "Secretville" not in bound.ask("Have I moved?").text
    assert [record.attrs["value"] for record in bound.records(status=None)] == ["Oslo"]
