"""Deferred derivation: when it runs, that it loses and repeats nothing, and that a write never fails because of it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from tierkeep import Memory, Settings
from tierkeep.allowance import Progress
from tierkeep.backlog import Backlog
from tierkeep.errors import ModelError, ScopeError, SettingsError
from tierkeep.ledger.sqlite import SqliteLedger
from tierkeep.models.doubles import ScriptedChat
from tierkeep.protocols import ChatReply, ChatRequest
from tierkeep.records import Event, Op, Scope
from tierkeep.settings import Deriving
from tierkeep.testing.clock import FixedClock
from tierkeep.write.pairs import PairSegmenter

DAYS = 6


def tell(memory: Memory, days: int = DAYS, user: str = "ana") -> None:
    for day in range(days):
        at = (date(2026, 3, 1) + timedelta(days=day)).isoformat()
        mine = memory.scope(user=user, session=f"day {day}")
        mine.add([f"On day {day} I met Berta in street {day}.", f"We painted {day + 2} chairs in the shed."], at=at, speaker="Ana")


def sentences(memory: Memory, user: str = "ana") -> list[str]:
    return sorted(record.text for record in memory.scope(user=user).records("key_information"))


class Slow:
    """A model that answers an extraction only when it is let."""

    name = "slow"

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.go = threading.Event()
        self.calls = 0

    def complete(self, request: ChatRequest) -> ChatReply:
        self.calls += 1
        self.asked.set()
        if not self.go.wait(30):
            raise ModelError("nobody let it go on")
        return ChatReply("", {"items": [f"Ana met Berta in a street on {request.user.count('street')} of those days."], "ops": []}, 10, 5)


def test_with_the_write_every_finished_conversation_is_derived_and_maintain_reads_the_last(tmp_path: Path) -> None:
    with Memory.open(tmp_path, preset="hymem", derive="with_write") as memory:
        tell(memory)
        before = sentences(memory)
        report = memory.scope(user="ana").maintain()
        assert 0 < len(before) < len(sentences(memory))
        assert report.spans == 1 and report.pending == 0 and report.records
        assert memory.scope(user="ana").maintain().spans == 0


def test_it_does_not_matter_when_it_is_derived(tmp_path: Path) -> None:
    texts = []
    for when in ("with_write", "on_request", "background"):
        with Memory.open(tmp_path / when, preset="hymem", derive=when, clock=FixedClock()) as memory:
            tell(memory)
            assert memory.settle(30)
            memory.scope(user="ana").maintain()
            texts.append(sentences(memory))
    assert texts[0] == texts[1] == texts[2] != []


def test_a_write_does_not_wait_for_a_model_and_nothing_is_invisible_meanwhile(tmp_path: Path) -> None:
    chat = Slow()
    with Memory.open(tmp_path, preset="hymem", chat=chat) as memory:
        tell(memory)
        assert sentences(memory) == []
        evidence = memory.scope(user="ana").recall("Whom did I meet in street 3?")
        assert "Berta" in evidence.text
        chat.go.set()
        assert memory.settle(30)
        assert sentences(memory)


def test_what_the_background_did_not_come_to_is_derived_after_the_next_opening(tmp_path: Path) -> None:
    with Memory.open(tmp_path, preset="hymem", derive="on_request") as memory:
        tell(memory)
    with Memory.open(tmp_path, preset="hymem", derive="background") as memory:
        memory.scope(user="ana").add("Good evening, I bought a lamp.", at="2026-04-01")
        assert memory.settle(30)
        assert len({record.attrs["session"] for record in memory.scope(user="ana").records("segment")}) == DAYS


def test_a_deadline_leaves_the_rest_for_later_and_says_how_much(tmp_path: Path) -> None:
    with Memory.open(tmp_path, preset="hymem", derive="on_request") as memory:
        tell(memory)
        report = memory.scope(user="ana").maintain(deadline_s=0)
        assert (report.spans, report.pending) == (0, 2 * DAYS)
        seen: list[tuple[int, int]] = []
        memory.scope(user="ana").maintain(progress=lambda progress: seen.append((progress.done, progress.total)))
        assert seen[-1] == (DAYS, DAYS) and len(seen) == DAYS


def test_a_model_that_fails_does_not_fail_the_write_and_the_rules_take_over(tmp_path: Path) -> None:
    with Memory.open(tmp_path, preset="hymem", derive="with_write", chat=ScriptedChat(lambda request: ModelError("down"))) as memory:
        tell(memory)
        assert {record.attrs["by"] for record in memory.scope(user="ana").records("key_information")} == {"rules"}


def test_writing_and_reading_are_accounted_apart(tmp_path: Path) -> None:
    def script(request: ChatRequest) -> dict[str, object]:
        if request.skill == "extract":
            return {"items": ["Ana met Berta in street 0 on 1 March 2026."]}
        if request.skill == "answer":
            return {"answer": "Berta", "needs_more": False, "used": [0]}
        return {"finished": True, "new_question": ""}

    with Memory.open(tmp_path, preset="hymem", derive="with_write", chat=ScriptedChat(script)) as memory:
        tell(memory, 1)
        report = memory.scope(user="ana").maintain()
        memory.scope(user="ana").ask("Whom did I meet?")
        spent = memory.spent()
    assert set(spent.write.calls) == {"extract"} and spent.write == report.usage.model_copy(update={"ms": spent.write.ms})
    assert "answer" in spent.read.calls and "extract" not in spent.read.calls
    assert spent.read.skills["answer"].tokens_in > 0
    assert spent.read.cost(tokens_in=1_000_000, tokens_out=0) == pytest.approx(spent.read.tokens_in)


def test_records_belong_to_all_of_an_owner(tmp_path: Path) -> None:
    with Memory.open(tmp_path, preset="hymem") as memory, pytest.raises(ScopeError):
        memory.scope(user="ana", session="day 1").maintain()


def test_an_unknown_time_to_derive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="on_request"):
        Memory.open(tmp_path, derive="later")  # type: ignore[arg-type]


def test_other_presets_have_nothing_to_maintain(tmp_path: Path) -> None:
    with Memory.open(tmp_path) as memory:
        tell(memory, 1)
        assert memory.scope(user="ana").maintain().spans == 0


def test_closing_waits_for_the_span_at_hand_and_no_longer_and_nobody_waits_for_the_rest(tmp_path: Path) -> None:
    chat = Slow()
    memory = Memory.open(tmp_path, preset="hymem", chat=chat)
    tell(memory)
    assert chat.asked.wait(30)
    caught_up: list[bool] = []
    waiting = threading.Thread(target=lambda: caught_up.append(memory.settle()), daemon=True)
    closing = threading.Thread(target=memory.close, daemon=True)
    waiting.start()
    closing.start()
    waiting.join(30)
    assert caught_up == [False]
    chat.go.set()
    closing.join(30)
    assert not closing.is_alive() and chat.calls <= 2  # one span: its extraction, and what it means for the known ones


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_model_that_raises_what_nobody_expects_stops_neither_the_background_nor_who_waits_for_it(tmp_path: Path) -> None:
    class Broken(Slow):
        def complete(self, request: ChatRequest) -> ChatReply:
            if self.calls == 0:
                self.calls += 1
                raise RuntimeError("a bug")
            return super().complete(request)

    chat = Broken()
    chat.go.set()
    with Memory.open(tmp_path, preset="hymem", chat=chat) as memory:
        tell(memory)
        assert memory.settle(30)
        tell(memory, user="bo")
        assert memory.settle(30)
        assert sentences(memory, "bo")


def test_a_deadline_holds_while_the_background_derives(tmp_path: Path) -> None:
    chat = Slow()
    with Memory.open(tmp_path, preset="hymem", chat=chat) as memory:
        tell(memory)
        assert chat.asked.wait(30)
        report = memory.scope(user="ana").maintain(deadline_s=0.01)
        assert (report.spans, report.pending) == (0, 2 * DAYS)
        chat.go.set()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_fork_waits_for_no_thread_of_its_parent(tmp_path: Path) -> None:
    chat = Slow()
    with Memory.open(tmp_path, preset="hymem", chat=chat) as memory:
        tell(memory)
        assert chat.asked.wait(30)
        child = os.fork()
        if child == 0:
            chat.go.set()
            done: list[int] = []
            work = threading.Thread(target=lambda: done.append(memory.scope(user="ana").maintain().pending), daemon=True)
            work.start()
            work.join(20)
            os._exit(0 if memory.settle(1) and done == [0] else 1)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        chat.go.set()


# ------------------------------------------------------------------------------------------------------ the backlog

ANA = Scope(user="ana")


def backlog(ledger: SqliteLedger, *, final: bool = True, limits: Deriving | None = None) -> Backlog:
    return Backlog("test", ANA, ledger, limits or Deriving(), final)


def stored(folder: Path, days: int = DAYS) -> SqliteLedger:
    with Memory.open(folder) as memory:
        tell(memory, days)
    return SqliteLedger(folder, clock=FixedClock())


def nothing(events: tuple[Event, ...], view: object) -> list[Op]:
    return []


def test_every_event_is_read_once_whoever_reads(tmp_path: Path) -> None:
    ledger = stored(tmp_path)
    seen: list[str] = []

    def note(events: tuple[Event, ...], view: object) -> list[Op]:
        seen.extend(event.id for event in events)
        return []

    first, second = backlog(ledger), backlog(ledger)
    for own, spans in ((first, first.next(PairSegmenter())), (second, second.next(PairSegmenter()))):
        for span in spans:
            own.settle(span, note)
    assert len(seen) == len(set(seen)) == 2 * DAYS
    assert first.pending() == 0


def test_killed_between_two_spans_it_goes_on_where_it_was(tmp_path: Path) -> None:
    ledger = stored(tmp_path)
    half = backlog(ledger)
    for span in half.next(PairSegmenter())[: DAYS // 2]:
        half.settle(span, nothing)
    again = backlog(ledger)  # the low-water mark was never moved
    assert again.pending() == DAYS
    assert len(again.next(PairSegmenter())) == DAYS // 2


def test_broken_off_behind_the_last_span_the_mark_moves_the_next_time(tmp_path: Path) -> None:
    """Else every look for what is left reads the whole scope again."""

    def stop(progress: Progress) -> None:
        if progress.done == progress.total:
            raise KeyboardInterrupt

    with Memory.open(tmp_path, preset="hymem", derive="on_request") as memory:
        tell(memory)
        view = memory._ledger.view(ANA)
        with pytest.raises(KeyboardInterrupt):
            memory.scope(user="ana").maintain(progress=stop)
        assert view.cursor("hymem") == 0
        assert memory.scope(user="ana").maintain().spans == 0
        assert view.cursor("hymem") == view.last_seq


def test_the_unfinished_conversation_waits_and_holds_up_nobody(tmp_path: Path) -> None:
    with Memory.open(tmp_path) as memory:
        for number in range(3):
            memory.scope(user="ana", session="long").add(f"Remark {number}.", at="2026-03-01")
            memory.scope(user="ana", session=f"short {number}").add(["One.", "Two."], at="2026-03-01")
    ledger = SqliteLedger(tmp_path, clock=FixedClock())
    open_ended = backlog(ledger, final=False)
    spans = open_ended.next(PairSegmenter())
    for span in spans:
        open_ended.settle(span, nothing)
    open_ended.advance()
    assert len(spans) == 4  # three short ones, and the first two remarks of the long one
    assert [event.text for event in _left(ledger)] == ["Remark 2."]
    assert backlog(ledger).pending() == 1


def _left(ledger: SqliteLedger) -> list[Event]:
    own = backlog(ledger)
    return [event for span in own.next(PairSegmenter()) for event in span.events]


def test_a_conversation_is_over_when_others_have_gone_on_for_long_enough(tmp_path: Path) -> None:
    ledger = stored(tmp_path)
    by_time = backlog(ledger, final=False).next(PairSegmenter())
    assert len(by_time) == DAYS  # pairs are whole, whether the conversation is over or not
    with Memory.open(tmp_path) as memory:
        memory.scope(user="ana", session="odd").add("Alone.", at="2026-03-06")
        memory.scope(user="ana", session="last").add(["One.", "Two.", "Three."], at="2026-03-06")
    soon = backlog(ledger, final=False, limits=Deriving(over_after_events=3)).next(PairSegmenter())
    assert ["Alone."] in [[event.text for event in span.events] for span in soon]
    later = backlog(ledger, final=False, limits=Deriving(over_after_events=4)).next(PairSegmenter())
    assert ["Alone."] not in [[event.text for event in span.events] for span in later]


def test_ops_that_are_refused_again_and_again_are_left_out_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ledger = stored(tmp_path, 2)
    own = backlog(ledger)
    spans = own.next(PairSegmenter())
    assert own.settle(spans[0], lambda events, view: [Op(op="retract", target="nobody")]) is None
    assert own.settle(spans[1], nothing) == ()
    assert own.pending() == 0
    assert "refused" in caplog.text and "Berta" not in caplog.text


def test_what_is_forgotten_meanwhile_is_not_derived_from(tmp_path: Path) -> None:
    ledger = stored(tmp_path, 1)
    own = backlog(ledger)
    span = own.next(PairSegmenter())[0]
    seen: list[int] = []

    def slow(events: tuple[Event, ...], view: object) -> list[Op]:
        seen.append(len(events))
        return []

    ledger.forget(ANA, [span.events[0].id])
    own.settle(span, slow)
    assert seen == [1]


class Reading:
    """A view in which something is added whenever somebody has looked."""

    def __init__(self, view: Any, add: Callable[[], object]) -> None:
        self._view = view
        self._add = add

    def scan(self, **how: Any) -> Iterator[Event]:
        events = list(self._view.scan(**how))
        self._add()
        return iter(events)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._view, name)


class Talkative:
    """A ledger with such views."""

    def __init__(self, ledger: SqliteLedger, add: Callable[[], object]) -> None:
        self._ledger = ledger
        self._add = add

    def view(self, scope: Scope) -> Any:
        return Reading(self._ledger.view(scope), self._add)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)


def test_what_is_added_while_the_mark_moves_is_not_counted_as_read(tmp_path: Path) -> None:
    ledger = stored(tmp_path, 1)
    own = backlog(ledger)
    for span in own.next(PairSegmenter()):
        own.settle(span, nothing)
    added: list[object] = []
    with Memory.open(tmp_path) as memory:
        late = Talkative(ledger, lambda: added.append(memory.scope(user="ana", session="late").add(f"Late {len(added)}.")))
        Backlog("test", ANA, late, Deriving(), True).advance()
    assert len(added) > 0
    assert [event.text for event in _left(ledger)] == [f"Late {number}." for number in range(len(added))]


def test_a_conversation_that_goes_on_slowly_does_not_hold_up_what_lies_beyond_the_page(tmp_path: Path) -> None:
    with Memory.open(tmp_path) as memory:
        memory.scope(user="ana", session="slow").add("One.", at="2026-03-01")
        memory.scope(user="ana", session="busy").add([f"Remark {number}." for number in range(9)], at="2026-03-01")
    ledger = SqliteLedger(tmp_path, clock=FixedClock())
    own = Backlog("test", ANA, ledger, Deriving(), False, page=4)
    assert own.pending() == 10
    while spans := own.next(PairSegmenter()):
        for span in spans:
            own.settle(span, nothing)
        own.advance()
    assert own.pending() == 1


def test_settings_are_in_the_fingerprint() -> None:
    assert Settings(deriving=Deriving(calls=1)).sha256() != Settings().sha256()


class Broken:
    """A model with a defect: it raises what no model should."""

    name = "broken"

    def complete(self, request: ChatRequest) -> ChatReply:
        raise RuntimeError("a defect")


def test_a_defect_of_the_model_does_not_fail_a_write(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Memory.open(tmp_path, preset="dmem", chat=Broken(), derive="with_write") as memory:
        assert len(memory.scope(user="ana").add(["One thing I said.", "Another thing I said."], at="2026-03-01").ids) == 2
    assert "RuntimeError" in caplog.text and "a defect" not in caplog.text


def test_units_that_the_rules_read_for_the_model_are_counted(tmp_path: Path) -> None:
    with Memory.open(tmp_path, preset="hymem", derive="on_request", chat=ScriptedChat(lambda request: ModelError("down"))) as memory:
        tell(memory)
        assert memory.scope(user="ana").maintain().by_rules == DAYS


def test_a_forget_says_what_waits_to_be_derived_again(tmp_path: Path) -> None:
    def script(request: ChatRequest) -> dict[str, object]:
        return {"items": [f"Ana and Berta painted chairs, {len(request.user)} of them."], "ops": []}

    with Memory.open(tmp_path, preset="hymem", derive="on_request", chat=ScriptedChat(script)) as memory:
        tell(memory, 1)
        ana = memory.scope(user="ana")
        ana.maintain()
        report = ana.forget(ids=[next(ana.events()).id])
        assert report.waiting > 0 and report.complete
        ana.maintain()
        assert ana.records("key_information") and not ana.records(status="quarantined")
