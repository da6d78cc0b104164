"""A memory from outside that is near every question is held back; one that answers much about one thing is not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "retrieve"))
from concept_embedder import ConceptEmbedder

from tierkeep import Memory
from tierkeep.guard.chain import DefaultGuard
from tierkeep.guard.hubness import HubnessCheck
from tierkeep.ledger.sqlite import SqliteLedger
from tierkeep.records import Authority, Event, GuardEntry, Hit, Origin, Query, Scope
from tierkeep.settings import GuardSettings
from tierkeep.testing.clock import FixedClock

SCOPE = Scope(user="ana")
TOPICS = (
    "spaniel leash", "garage engine", "soup dinner", "storm umbrella", "cello concert", "passport renewal", "tomato garden", "tax letter",
    "dentist appointment", "library fine", "marathon training", "piano lesson", "ferry ticket", "window repair", "birthday cake",
    "chess club", "bicycle brake", "mortgage rate", "coffee grinder", "painting class", "swimming pool", "museum visit", "laptop battery",
    "wedding speech", "hiking boots", "kitchen tiles", "guitar strings", "train delay", "vaccine record", "insurance claim",
)  # fmt: skip


def event(id: str, text: str, origin: Origin, seq: int = 1) -> Event:
    return Event(
        id=id, seq=seq, scope=SCOPE, position=seq, kind="message", role="tool", speaker="t", text=text, at="2026-05-20", ts=0.0,
        origin=origin, authority=Authority.DATA,
    )  # fmt: skip


OWN = [event(f"own{n}", f"note about {topic}", Origin.user("ana"), n) for n, topic in enumerate(TOPICS)]
CARRIER = event("carrier", " ".join(TOPICS), Origin.web("https://x.example.org"), 99)


def query(text: str) -> Query:
    return Query(text=text, scope=SCOPE, now="2026-05-20")


def run(check: HubnessCheck, questions: list[str], item: Event) -> int:
    """Return after how many questions the item is held back, 0 for never."""
    for number, question in enumerate(questions, start=1):
        rest = [Hit(own, 1.0) for own in (*OWN[number % 30 :], *OWN[: number % 30])]
        if item.id not in [hit.item.id for hit in check.release([Hit(item, 2.0), *rest], query(question))]:
            return number
    return 0


def test_a_carrier_near_everything_is_held_back_soon_and_told_once() -> None:
    told: list[tuple[Scope, GuardEntry]] = []
    check = HubnessCheck(GuardSettings(), lambda scope, entry: told.append((scope, entry)))
    questions = [f"What about the {topic}?" for topic in TOPICS]
    assert 5 <= run(check, questions, CARRIER) <= 50
    run(check, questions, CARRIER)
    assert [(scope, entry.verb, entry.subject, entry.reasons) for scope, entry in told] == [(SCOPE, "flag", "carrier", ("hub",))]
    assert check.held(SCOPE) == ("carrier",) and check.held(Scope(user="bo")) == ()


def test_a_note_that_answers_much_about_one_thing_is_not() -> None:
    manual = event("manual", "router manual", Origin.document("file:///router.pdf"))
    about = ["reset", "password", "firmware", "antenna", "colour", "price", "warranty", "noise", "range", "button", "cable", "light"]
    assert run(HubnessCheck(GuardSettings()), [f"How do I {what} the router?" for what in about] * 10, manual) == 0


def test_the_same_question_again_counts_once() -> None:
    assert run(HubnessCheck(GuardSettings()), ["What about the ferry?", "And the cello?"] * 100, CARRIER) == 0


def test_the_users_own_words_are_never_held_back() -> None:
    mine = event("mine", " ".join(TOPICS), Origin.user("ana"), 99)
    assert run(HubnessCheck(GuardSettings()), [f"What about the {topic}?" for topic in TOPICS], mine) == 0


def test_where_there_is_little_everything_is_among_the_best() -> None:
    check = HubnessCheck(GuardSettings())
    pages = [event(f"p{n}", "page", Origin.web("https://a.example.org"), n) for n in range(6)]
    for topic in TOPICS:
        hits = [Hit(page, 1.0) for page in pages]
        assert check.release(hits, query(f"What about the {topic}?")) == hits


def test_what_was_reviewed_comes_back_for_good() -> None:
    check = HubnessCheck(GuardSettings())
    questions = [f"What about the {topic}?" for topic in TOPICS]
    assert run(check, questions, CARRIER)
    check.reviewed(SCOPE, "carrier")
    assert run(check, questions, CARRIER) == 0 and check.held(SCOPE) == ()


def test_it_remembers_a_bounded_number_of_owners() -> None:
    check = HubnessCheck(GuardSettings())
    for number in range(1_000):
        check.release([Hit(CARRIER, 1.0)], Query(text="soup", scope=Scope(user=str(number)), now="2026-05-20"))
    assert len(check._windows) <= 256


@pytest.mark.parametrize("embedder", [None, ConceptEmbedder()])
def test_an_aliasing_page_in_a_real_memory_is_held_back_within_fifty_questions(embedder: ConceptEmbedder | None) -> None:
    clock = FixedClock()
    told: list[GuardEntry] = []
    guard = DefaultGuard(clock=clock, flagged=lambda scope, entry: told.append(entry))
    ledger = SqliteLedger(":memory:", clock=clock, durability="normal")
    with Memory.open(ledger, clock=clock, guard=guard, embedder=embedder, derive="with_write") as memory:
        mine = memory.scope(user="ana")
        # What the user wrote has one word of each question, the carrier both: it is the best hit everywhere.
        mine.add([f"Week {n}: thought about a {topic.split()[n % 2]} with Leo, nothing new." for n, topic in enumerate(TOPICS * 2)])
        mine.add("A quiet page on ferries.", role="tool", origin=Origin.web("https://b.example.org"))
        pages = [" ".join(TOPICS[:10]), " ".join(TOPICS[10:20]), " ".join(TOPICS[20:])]
        held = mine.add(pages, role="tool", origin=Origin.web("https://x.example.org")).ids
        shown = []
        for topic in (TOPICS * 2)[:50]:
            sources = {source for item in mine.recall(f"What is with the {topic}?").items for source in item.sources}
            shown.append(len(sources & set(held)))
        assert shown[0] == 3 and shown[-1] == 0
        assert sorted(entry.subject for entry in told) == sorted(held)


def test_what_is_held_back_is_listed_logged_and_can_be_let_out() -> None:
    with Memory.open(":memory:", clock=FixedClock()) as memory:
        mine = memory.scope(user="ana")
        mine.add([f"Week {n}: thought about a {topic.split()[n % 2]} with Leo, nothing new." for n, topic in enumerate(TOPICS * 2)])
        pages = [" ".join(TOPICS[:10]), " ".join(TOPICS[10:20]), " ".join(TOPICS[20:])]
        held = mine.add(pages, role="tool", origin=Origin.web("https://x.example.org")).ids
        for topic in (TOPICS * 2)[:50]:
            mine.recall(f"What is with the {topic}?")
        assert [event.id for event in mine.guard.list()] == list(held)
        assert {(entry.verb, entry.subject, entry.reasons) for entry in mine.guard.log()} == {("flag", id_, ("hub",)) for id_ in held}
        assert memory.scope(user="bo").guard.list() == []
        assert mine.guard.release(held[0]).id == held[0]
        assert held[0] in {item.id for item in mine.recall(f"What is with the {TOPICS[0]}?").items}
        assert mine.guard.reject(held[1]).events == 1 and memory.verify().ok


def test_the_words_of_memories_are_worked_out_only_where_they_can_decide() -> None:
    check = HubnessCheck(GuardSettings())
    for number in range(300):
        page = event(f"p{number}", f"page {number} about {TOPICS[number % 30]}", Origin.web("https://a.example.org"), number + 1)
        check.release([Hit(page, 1.0)], query(f"What about the {TOPICS[number % 30]} in week {number}?"))
    window = check._windows[SCOPE.partition]
    assert not window._terms and len(window.asked) == 200
    assert window.questions("p299") == 1 and window.questions("p0") == 0  # counted down as questions leave the window
