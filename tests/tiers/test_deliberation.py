"""The deliberation without a model, and what it does when it is broken off."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierkeep import Memory
from tierkeep.allowance import Allowance, Progress
from tierkeep.guard.chain import DefaultGuard
from tierkeep.models.doubles import ScriptedChat
from tierkeep.protocols import Gathered, View
from tierkeep.records import Authority, Origin, Plan, Query, Record, Scope, Source
from tierkeep.scoped import ScopedMemory
from tierkeep.settings import DMemSettings
from tierkeep.skills import Skills
from tierkeep.testing.clock import FixedClock
from tierkeep.tiers.deliberation import DeliberationTier
from tierkeep.tokens import EstimateCounter

QUESTION = "Which heron nested at the quarry?"
OPENED: list[Memory] = []


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Close what a test has opened."""
    yield
    while OPENED:
        OPENED.pop().close()


class Elsewhere:
    """A fallback that finds nothing."""

    name = "elsewhere"
    weight = 1

    def gather(self, query: Query, plan: Plan, view: View, allowance: Allowance) -> Gathered:
        return Gathered([])


def scope_with(*texts: str) -> ScopedMemory:
    OPENED.append(Memory.open(":memory:", preset="dmem", derive="on_request", clock=FixedClock()))
    scope = OPENED[-1].scope(user="ana")
    for place, text in enumerate(texts):
        scope.add(text, at="2026-03-01", speaker="Ana", session=f"s{place % 2}")
    return scope


def gather(
    scope: ScopedMemory, chat: ScriptedChat | None = None, question: str = QUESTION, session: str | None = None, **more: object
) -> Gathered:
    clock = FixedClock()
    skills = None if chat is None else Skills(chat, EstimateCounter(), clock)
    tier = DeliberationTier(DMemSettings(), DefaultGuard().release, EstimateCounter(), Elsewhere(), skills)
    query = Query(text=question, scope=Scope(user="ana", session=session), now="2026-06-01")
    plan = Plan(tier=tier.name, intent="targeted", search_text=question, k=600, budget=3072)
    view = scope._memory._ledger.view(query.scope)
    return tier.gather(query, plan, view, Allowance(clock, **more))  # type: ignore[arg-type]


def test_the_rules_score_a_sentence_by_what_it_holds_of_the_question() -> None:
    found = gather(scope_with("It rained. A grey heron nested at the quarry.", "A heron flew by.", "We met at the quarry. It was wet."))
    best = found.hits[0]
    assert isinstance(best.item, Record)
    assert (best.item.text, best.score) == ("A grey heron nested at the quarry.", 10.0)
    assert all(hit.score >= 6 for hit in found.hits) and found.confidence == 1.0


def test_a_scope_bound_to_a_session_reads_that_session_only() -> None:
    scope = scope_with("A heron nested at the quarry.", "No heron nested at the quarry.")
    assert [hit.item.text for hit in gather(scope, session="s1").hits] == ["No heron nested at the quarry."]


def test_time_that_runs_out_is_said() -> None:
    scope = scope_with("A heron nested at the quarry.")
    assert gather(scope, seconds=0.0) == Gathered([], partial=True)


def test_a_listener_that_raises_ends_it() -> None:
    class Enough(Exception):
        pass

    def listener(step: Progress) -> None:
        raise Enough

    chat = ScriptedChat(lambda request: {"facts": []})
    with pytest.raises(Enough):
        gather(scope_with(*["A heron."] * 3), chat, listener=listener)


def test_nothing_is_spent_when_it_does_not_fit() -> None:
    chat = ScriptedChat([])
    found = gather(scope_with(*(f"Heron {n}." for n in range(61))), chat, calls=3)
    assert chat.requests == [] and found.hits == []
    assert found.note.startswith("no deliberation: 2 scans") and found.note.endswith("searched with elsewhere instead")


@given(st.lists(st.integers(-50, 50), max_size=8), st.lists(st.integers(-5, 9), max_size=6))
def test_whatever_a_scan_says_scores_stay_in_range_and_sources_are_messages(scores: list[int], numbers: list[int]) -> None:
    chat = ScriptedChat(
        lambda request: {"ids": [0]} if request.skill == "select" else
        {"facts": [{"fact": f"Heron {place}.", "score": score, "messages": numbers} for place, score in enumerate(scores)]}
    )
    scope = scope_with("A heron nested at the quarry.", "It left.")
    known = {event.id for event in scope.events()}
    for hit in gather(scope, chat).hits:
        assert isinstance(hit.item, Record) and 5 <= hit.score <= 10
        assert set(hit.item.sources) <= known and hit.item.authority == Authority.ADVISE


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=60))
def test_any_question_is_scanned_for(question: str) -> None:
    scope = scope_with("A heron nested at the quarry.", f"So: {question}")
    assert all(5 <= hit.score <= 10 for hit in gather(scope, question=question).hits)


def sources_of(*named: int) -> str:
    """Return the origin of a fact that a scan takes from a web page and ascribes to these messages."""
    scope = scope_with()
    for role, text in (("user", "The heron came back to the quarry."), ("assistant", "I have noted that.")):
        scope.add(text, role=role, at="2026-03-01", session="s")
    scope.add("The heron is called Mallory.", role="tool", origin=Origin.web("https://birds.example"), at="2026-03-01", session="s")
    script = {"facts": [{"fact": "The heron at the quarry is called Mallory.", "score": 9, "messages": list(named)}]}
    found = gather(scope, ScriptedChat(lambda request: script), question="What is the heron at the quarry called?")
    return found.hits[0].item.origin.source


@pytest.mark.parametrize("named", [(), (2,), (1, 2), (0, 1, 2), (0,), (0, 1)])
def test_a_fact_with_a_pages_words_is_from_outside_whatever_messages_it_names(named: tuple[int, ...]) -> None:
    assert sources_of(*named) == Source.WEB
