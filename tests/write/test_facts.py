"""D-Mem's write path: telling sentences, pairs, facts, and what a new fact means for the known ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierkeep import Memory, Origin, Settings
from tierkeep.allowance import Allowance
from tierkeep.models.doubles import Line, ScriptedChat
from tierkeep.protocols import ChatRequest, Span
from tierkeep.records import Authority, Event, Record, Scope
from tierkeep.retrieve.records import RecordSearch
from tierkeep.scoped import ScopedMemory
from tierkeep.settings import DMemSettings, ProfileSettings
from tierkeep.testing.clock import FixedClock
from tierkeep.write.extractors import ProfileRules
from tierkeep.write.facts import FactExtractor
from tierkeep.write.pairs import PairSegmenter
from tierkeep.write.sentences import key_sentences

VIEW: Any = None  # the parts under test read nothing of it
OPENED: list[Memory] = []


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Close what a test has opened."""
    yield
    while OPENED:
        OPENED.pop().close()


def event(text: str, place: int = 0, *, origin: Origin | None = None, speaker: str = "Ana", kind: Any = "message") -> Event:
    return Event(
        id=f"e{place}", seq=place + 1, scope=Scope(user="ana", session="s"), position=place, kind=kind, role="user", speaker=speaker,
        text=text, at="2026-05-20", ts=float(place), origin=origin or Origin.user("Ana"), authority=Authority.ADVISE,
    )  # fmt: skip


# --------------------------------------------------------------------------------------------------------- sentences


@pytest.mark.parametrize(
    "text",
    [
        "I moved to Lisbon.", "The train leaves at 9 sharp.", "We met Henrike there.", "She quit her job yesterday.",
        "[photo of a red tent by a lake]", "\u6211\u559c\u6b22\u559d\u8336\u3002", "He saw Dr. Ko on Monday.",
    ],
)  # fmt: skip
def test_a_telling_sentence_is_kept(text: str) -> None:
    assert key_sentences(event(text)) == [text]


@pytest.mark.parametrize(
    "text",
    ["", "Did you see Anselmo in Lisbon?", "Hi Ana!", "Thanks so much, Rui!", "Sounds great!", "I agree.", "ok 7", "that rain is back"],
)
def test_an_empty_one_is_not(text: str) -> None:
    assert key_sentences(event(text)) == []


@given(st.text(max_size=400))
def test_key_sentences_are_quotations_each_once(text: str) -> None:
    kept = key_sentences(event(text))
    assert len(set(kept)) == len(kept) and all(sentence in text for sentence in kept)


# -------------------------------------------------------------------------------------------------------------- pairs


def pairs(events: Sequence[Event], final: bool) -> list[list[str]]:
    return [[one.id for one in span.events] for span in PairSegmenter().segment(events, VIEW, final=final)]


def test_an_odd_message_waits_until_the_end() -> None:
    events = [event("I ran.", place) for place in range(3)]
    assert pairs(events, False) == [["e0", "e1"]]
    assert pairs(events, True) == [["e0", "e1"], ["e2"]]
    assert pairs([], True) == []


def test_what_is_no_message_goes_along() -> None:
    events = [event("I ran.", 0), event("run()", 1, kind="tool_call"), event("{}", 2, origin=Origin.tool("x")), event("Ok, 5 km.", 3)]
    assert pairs(events, False) == [["e0", "e1", "e2", "e3"]]


@given(st.lists(st.sampled_from(["message", "tool_call"]), max_size=120), st.data())
def test_cuts_depend_on_the_events_alone(kinds: list[str], data: st.DataObject) -> None:
    events = [event("I ran.", place, kind=kind) for place, kind in enumerate(kinds)]
    cut = data.draw(st.integers(0, len(events)))
    first = pairs(events[:cut], False)
    read = sum(map(len, first))
    assert [*first, *pairs(events[read:], True)] == pairs(events, True)
    assert [id for span in pairs(events, True) for id in span] == [one.id for one in events]


# -------------------------------------------------------------------------------------------------------------- facts


def test_rule_facts_rest_on_their_own_message_and_know_their_slot() -> None:
    settings = Settings()
    known = RecordSearch(1 << 20, settings.retrieval)
    extractor = FactExtractor(known, DMemSettings(), None, ProfileRules(ProfileSettings()))
    page = event("The page says I live in Rome.", 1, origin=Origin.web("x"))
    span = Span((event("I live in Faro. Hi!", 0), page, event("I ran 5 km.", 2)))
    facts = extractor.extract(span, VIEW, Allowance(FixedClock(), calls=0))
    assert [(fact.text, fact.sources, fact.attrs.get("value")) for fact in facts] == [
        ("I live in Faro.", ("e0",), "Faro"), ("I ran 5 km.", ("e2",), None),
    ]  # fmt: skip
    assert all(fact.attrs["by"] == "rules" and fact.kind == "fact" for fact in facts)


# ----------------------------------------------------------------------------------------------------------- updating


def facts_of(scope: ScopedMemory, status: str | None = "active") -> list[str]:
    return [record.text for record in scope.records("fact", status=status)]


def by_rules(*texts: str, speaker: str = "Ana") -> ScopedMemory:
    OPENED.append(Memory.open(":memory:", preset="dmem", clock=FixedClock()))
    scope = OPENED[-1].scope(user="ana")
    for place, text in enumerate(texts):
        scope.add(text, at=f"2026-05-{1 + place:02d}", speaker=speaker, session="s")
    scope.maintain()
    return scope


def test_the_same_again_only_adds_a_source() -> None:
    scope = by_rules("I keep two grey donkeys.", "It rained.", "I keep two grey donkeys!")
    (fact,) = [record for record in scope.records("fact") if "donkeys" in record.text]
    assert len(fact.sources) == 2 and fact.observed_at == "2026-05-03"


@pytest.mark.parametrize("apart", [True, False])
def test_another_value_of_a_slot_supersedes_and_the_history_stays(apart: bool) -> None:
    between = ["It rained on 3 May.", "The bus was late at 9."] if apart else []
    scope = by_rules("I live in Faro.", *between, "I live in Braga.")
    assert "I live in Braga." in facts_of(scope) and "I live in Faro." not in facts_of(scope)
    (old,) = scope.records("fact", status="superseded")
    assert (old.text, old.valid_to is not None) == ("I live in Faro.", True)
    (new,) = [record for record in scope.records("fact") if "Braga" in record.text]
    assert set(old.sources) < set(new.sources)


def test_more_than_one_held_value_is_left_alone() -> None:
    scope = by_rules("I ran 5 km.", "I live in Faro.", "I sat 2 hours.", "I live in Faro, mostly.")
    before = facts_of(scope)
    assert [text for text in before if "Faro" in text] == ["I live in Faro.", "I live in Faro, mostly."]


def test_forgetting_an_update_brings_back_what_it_replaced() -> None:
    scope = by_rules("I live in Faro.", "It rained on 3 May.", "I live in Braga.", "The bus was late at 9.")
    scope.forget(ids=[event.id for event in scope.events() if "Braga" in event.text])
    scope.maintain()
    assert "I live in Faro." in facts_of(scope) and "Braga" not in str(facts_of(scope, None))


def opened(chat: ScriptedChat, at_least: float = 0.1) -> ScopedMemory:
    # In a store of one fact, idf makes little of what two facts share.
    settings = Settings(dmem=DMemSettings(at_least_lexical=at_least))
    OPENED.append(Memory.open(":memory:", preset="dmem", chat=chat, derive="with_write", settings=settings, clock=FixedClock()))
    return OPENED[-1].scope(user="ana")


def with_model(*ops: dict[str, Any] | Line, second: str = "Ana keeps three grey donkeys.") -> tuple[ScopedMemory, ScriptedChat]:
    """Two pairs: the first gives a fact, the second one that is close to it; then the reply decides."""
    rest = list(ops)

    def script(request: ChatRequest) -> Line:
        if request.skill == "consolidate":
            line = rest.pop(0) if rest else "garbage"
            return {"ops": [line]} if isinstance(line, dict) else line
        newest = request.user.split("The newest messages:")[1]
        return {"items": [{"speaker": "Ana", "fact": "Ana keeps two grey donkeys." if "two" in newest else second}]}

    chat = ScriptedChat(script)
    scope = opened(chat)
    for place, text in enumerate(["I keep two donkeys.", "They are grey.", "I bought one more donkey.", "So you have three now."]):
        scope.add(text, at=f"2026-05-{1 + place:02d}", speaker="Ana", session="s")
    return scope, chat


def op(action: str, *targets: int, text: str = "", new: int = 0) -> dict[str, Any]:
    return {"new": new, "action": action, "targets": list(targets), "text": text}


def test_nothing_close_is_added_without_a_call() -> None:
    scope, chat = with_model(second="Rui paints boats in Porto.")
    assert [request.skill for request in chat.requests] == ["extract", "extract"] and len(facts_of(scope)) == 2


def test_an_update_supersedes_and_rests_on_both() -> None:
    scope, chat = with_model(op("UPDATE", -1, 99, 0, text="Ana keeps three grey donkeys since May."))
    assert [request.skill for request in chat.requests] == ["extract", "extract", "consolidate"]
    assert facts_of(scope) == ["Ana keeps three grey donkeys since May."]
    (old,) = scope.records("fact", status="superseded")
    (new,) = scope.records("fact")
    assert old.text == "Ana keeps two grey donkeys." and len(new.sources) == 4 and ("supersedes", old.id, 1.0) in new.links


def test_a_delete_is_a_tombstone_that_rests_on_its_messages() -> None:
    scope, _ = with_model(op("DELETE", 0))
    assert facts_of(scope) == []
    (old,) = scope.records("fact", status="retracted")
    assert old.valid_to == "2026-05-04" and len(old.sources) == 4


def test_an_update_that_changes_nothing_is_the_same_again() -> None:
    scope, _ = with_model(op("UPDATE", 0, text="Ana keeps two  grey donkeys."))
    (fact,) = scope.records("fact", status=None)
    assert fact.text == "Ana keeps two grey donkeys." and len(fact.sources) == 4


def test_a_noop_adds_the_sources() -> None:
    scope, _ = with_model(op("NOOP", 0))
    (fact,) = scope.records("fact")
    assert fact.text == "Ana keeps two grey donkeys." and len(fact.sources) == 4


@pytest.mark.parametrize(
    "line", [op("ADD"), op("UPDATE", 7), op("DELETE"), op("NOOP", -1), op("UPDATE", 0, new=5), {"new": 0, "action": "ERASE"}, "garbage"]
)
def test_a_reply_that_decides_nothing_loses_nothing(line: Line | dict[str, Any]) -> None:
    scope, _ = with_model(line, line)
    assert facts_of(scope) == ["Ana keeps two grey donkeys.", "Ana keeps three grey donkeys."]


def test_a_fact_of_less_authority_ends_none_of_more() -> None:
    def script(request: ChatRequest) -> Line:
        if request.skill == "consolidate":
            return {"ops": [op("UPDATE", 0)]}
        fact = "Ana keeps no grey donkeys." if "none" in request.user else "Ana keeps two grey donkeys."
        return {"items": [{"speaker": "Ana", "fact": fact}]}

    chat = ScriptedChat(script)
    scope = opened(chat)
    for text in ("I keep two donkeys.", "They are grey."):
        scope.add(text, speaker="Ana", session="s", at="2026-05-01")
    for text in ("Ana keeps none.", "None at all."):
        scope.add(text, speaker="Ana", session="s", at="2026-05-02", origin=Origin.imported("file"))
    assert [request.skill for request in chat.requests][-1] == "consolidate" and len(facts_of(scope)) == 2


def test_what_says_it_again_with_less_authority_takes_none_from_it() -> None:
    def script(request: ChatRequest) -> Line:
        if request.skill == "consolidate":
            return {"ops": [op("NOOP", 0)]}
        return {"items": [{"speaker": "Ana", "fact": "Ana keeps grey donkeys." if "So" in request.user else "Ana keeps two grey donkeys."}]}

    scope = opened(ScriptedChat(script))
    for text in ("I keep two donkeys.", "They are grey."):
        scope.add(text, speaker="Ana", session="s", at="2026-05-01")
    (before,) = scope.records("fact")
    for text in ("So Ana keeps donkeys.", "Grey ones."):
        scope.add(text, speaker="Ana", session="s", at="2026-05-02", origin=Origin.imported("file"))
    assert scope.records("fact") == [before]


def test_a_fact_rests_on_the_earlier_messages_whose_words_it_takes_up() -> None:
    def script(request: ChatRequest) -> Line:
        if "love" not in request.user:
            return {"items": []}
        return {"items": [{"speaker": "Ana", "fact": f"Ana loves {'Lisbon' if 'Lisbon' in request.user else 'her new town'}."}]}

    scope = opened(ScriptedChat(script))
    for text in ("It rained.", "I moved to Lisbon.", "We had soup.", "Then tea.", "I love it there.", "Really."):
        scope.add(text, speaker="Ana", session="s", at="2026-05-01")
    (fact,) = scope.records("fact")
    events = {event.text: event.id for event in scope.events()}
    assert fact.sources == (events["I moved to Lisbon."], events["I love it there."], events["Really."])
    assert scope.forget(ids=[events["I moved to Lisbon."]]).complete
    scope.maintain()
    assert facts_of(scope, None) == ["Ana loves her new town."]


def test_an_update_in_words_of_a_third_fact_keeps_its_own() -> None:
    known = {
        "two": "Ana keeps two grey donkeys.", "called": "Ana keeps grey donkeys called Anselmo and Bo.",
        "third": "Ana keeps three grey donkeys.",
    }  # fmt: skip

    def script(request: ChatRequest) -> Line:
        if request.skill == "consolidate":
            number = next((int(line.split("|")[0]) for line in request.user.splitlines() if "| Ana: Ana keeps two" in line), 0)
            text = "Ana keeps three grey donkeys, two of them called Anselmo and Bo."
            return {"ops": [op("UPDATE", number, text=text)]} if "three" in request.user else {"ops": []}
        newest = request.user.split("The newest messages:")[1]
        return {"items": [{"speaker": "Ana", "fact": next(fact for word, fact in known.items() if word in newest)}]}

    scope = opened(ScriptedChat(script), 0.01)
    for text in ("I keep two donkeys.", "Grey.", "They are called Anselmo and Bo.", "Both.", "I bought a third donkey.", "A grey one."):
        scope.add(text, speaker="Ana", session="s", at="2026-05-01")
    assert facts_of(scope) == [known["called"], known["third"]]
    assert facts_of(scope, "superseded") == [known["two"]]


def test_ids_do_not_depend_on_the_clock_or_the_run() -> None:
    def made() -> list[Record]:
        return by_rules("I live in Faro.", "It rained on 3 May.", "I live in Braga.").records("fact", status=None)

    assert [(record.id, record.text) for record in made()] == [(record.id, record.text) for record in made()]
