"""Worked-out lines: true of exactly the items shown, few, and only where the intent calls for them."""

from __future__ import annotations

import re
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierkeep import Memory, rendering
from tierkeep.compose.composer import EvidenceComposer
from tierkeep.compose.times import distance
from tierkeep.compose.transforms import Line, distinct, worked_out
from tierkeep.dates import find_times
from tierkeep.protocols import Gathered
from tierkeep.records import Authority, Event, EvidenceItem, Hit, Intent, Origin, Plan, Query, Record, Scope, SlotValue, Source
from tierkeep.tokens import EstimateCounter

ANA = Scope(user="ana")
INTENTS: tuple[Intent, ...] = ("profile", "targeted", "summary", "state", "temporal", "conflict", "constraint")
HOW_MANY = "How many concerts did I go to?"


def item(text: str, id: str = "e1", at: str = "2026-05-20", **more: Any) -> EvidenceItem:
    given = {"speaker": "Ana", "origin": Source.USER_DIRECT, "authority": Authority.ADVISE, "score": 1.0, "kind": "message", **more}
    return EvidenceItem(id=id, sources=(id,), text=text, at=at, **given)


def value(slot: str, said: str, flag: str = "CURRENT", **more: Any) -> EvidenceItem:
    parts: dict[str, Any] = {"kind": "identity", "single": True, "subject": "Ana"}
    parts |= {name: more.pop(name) for name in ("since", "until", "single", "kind") if name in more}
    held = SlotValue(slot=slot, value=said, **parts)
    return item(f"{slot} {said}", **{"id": said, "flag": flag, "speaker": "", "kind": "profile", "held": held, **more})


def lines(question: str, intent: Intent, *items: EvidenceItem) -> list[str]:
    return [line.text for line in full(question, intent, *items)]


def full(question: str, intent: Intent, *items: EvidenceItem) -> list[Line]:
    query = Query(text=question, scope=ANA, now="2026-06-01T10:00:00+00:00")
    return worked_out(query, Plan(tier="deep", intent=intent, search_text=question, k=10, budget=1000), items)


# ---- counts


def test_messages_and_days_are_counted_never_the_things() -> None:
    told = [
        item("A concert!", "a", "2026-01-02"), item("The concert was loud.", "b", "2026-01-02"),
        item("Two concerts more.", "c", "2026-03-04"), item("Bread.", "d"),
    ]
    (line,) = full(HOW_MANY, "state", *told)
    assert line.text == "Among the memories shown, 3 messages on 2 days mention 'concerts': 2026-01-02, 2026-03-04"
    assert line.items == ("a", "b", "c")


def test_the_most_telling_word_of_the_phrase_is_counted() -> None:
    told = [item("Pottery class.", "a"), item("Pottery class two.", "b"), item("Cooking class.", "c")]
    assert "2 messages on 1 day mention 'pottery'" in lines("How many pottery classes did I take?", "state", *told)[0]


def test_for_times_the_thing_done_is_counted() -> None:
    told = [item("I went to the dentist.", "a"), item("The dentist again.", "b"), item("I went home.", "c")]
    assert "mention 'dentist'" in lines("How many times did I go to the dentist?", "state", *told)[0]


@pytest.mark.parametrize(
    "question",
    ["Which concert was best?", "How many days did the concert last?", "How many cats did I see?", "How many concert tickets do I have?"],
)
def test_no_count_where_none_is_asked_or_nothing_is_there(question: str) -> None:
    assert lines(question, "targeted", item("A concert.", "a"), item("A concert.", "b")) == []


@pytest.mark.parametrize("more", [{"excerpt": True}, {"origin": Source.WEB}, {"flag": "ENDED"}, {"kind": "segment"}, {"at": ""}])
def test_what_cannot_be_relied_on_is_not_counted(more: dict[str, Any]) -> None:
    assert lines(HOW_MANY, "state", item("A concert.", "a"), item("A concert.", **{"id": "b", **more})) == []


def test_many_days_are_told_as_a_span() -> None:
    told = [item("A concert.", f"e{n}", f"2026-01-{n + 10}") for n in range(12)]
    assert lines(HOW_MANY, "state", *told)[0].endswith("12 days mention 'concerts': 2026-01-10 to 2026-01-21")


# ---- changes


def test_the_values_of_a_slot_stand_in_order_of_time() -> None:
    now, was = value("home", "Lisbon", since="2026-05"), value("home", "Porto", "EARLIER", until="2026-04", at="2025-01-01")
    (line,) = lines("Do I still live in Porto?", "conflict", now, was)
    assert line == "home: Porto (until 2026-04) \u2192 Lisbon (since 2026-05, current)"


def test_what_ended_without_a_successor_is_not_called_current() -> None:
    first, last = value("employer", "Acme", "EARLIER", until="2024"), value("employer", "Bolt", "ENDED", since="2024", until="2026-03")
    (line,) = lines("Where do I work now?", "state", first, last)
    assert line == "employer: Acme (until 2024) \u2192 Bolt (since 2024, until 2026-03, nothing known after it)"


def test_two_values_of_one_day_are_both_named() -> None:
    one, two = value("home", "Porto", "EARLIER", until="2026-05-20"), value("home", "Faro")
    assert lines("Where do I live?", "state", two, one) == ["home: Porto and Faro (BOTH told on 2026-05-20, Faro last)"]


def test_one_value_and_values_side_by_side_need_no_line() -> None:
    assert lines("Do I still live there?", "conflict", value("home", "Porto")) == []
    side = [value("likes", "tea", single=False, kind="preference"), value("likes", "rowing", single=False, kind="preference")]
    assert lines("Do I still like tea?", "conflict", *side) == []
    gone = value("likes", "coffee", "EARLIER", until="2026-02", single=False, kind="preference")
    assert lines("Do I still like coffee?", "conflict", *side, gone) == ["likes: coffee (until 2026-02); rowing (current); tea (current)"]


def test_slots_of_different_people_are_kept_apart() -> None:
    own = [value("home", "Porto", "EARLIER", until="2026-04"), value("home", "Lisbon", since="2026-05")]
    theirs = value("home", "Oslo", origin=Source.IMPORTED)
    assert all("Oslo" not in line for line in lines("Where do I live now?", "state", *own, theirs))


# ---- rules


def test_rules_stand_by_strength_and_revoked_ones_are_left_out() -> None:
    rules = [
        value("likes", "tea", single=False, kind="preference"),
        value("instruction", "always answer in French", single=False, kind="instruction"),
        value("instruction", "never write on Sundays", single=False, kind="instruction"),
        value("allergy", "nuts", single=False, kind="constraint"),
        value("allergy", "kiwi", "EARLIER", until="2026-01", single=False, kind="constraint"),
        value("diet", "vegan", until="2026-05-31", kind="constraint"),
        value("home", "Porto"),
    ]
    assert lines("Can I eat this?", "constraint", *rules) == [
        "Rules that hold, strongest first: instruction: never write on Sundays; allergy: nuts; "
        "instruction: always answer in French; likes: tea"
    ]
    assert lines("Can I eat this?", "constraint", rules[0]) == []


def test_no_rules_where_nothing_binds_or_somebody_else_speaks() -> None:
    liked = [value("likes", said, single=False, kind="preference") for said in ("tea", "rowing")]
    assert lines("What can you recommend?", "constraint", *liked) == []
    nuts = value("allergy", "nuts", single=False, kind="constraint", origin=Source.IMPORTED)
    assert lines("What can you recommend?", "constraint", nuts, *liked) == []


# ---- times

LISBON = item("I moved to Lisbon in April.", "m", "2026-04-20", order=1)
DENTIST = item("Went to the dentist yesterday. It hurt.", "d", "2026-05-03", order=2)


@pytest.mark.parametrize(
    "question",
    [
        "Which happened first, the dentist visit or the move to Lisbon?",
        "How many days passed between the move to Lisbon and the dentist?",
        "How long after moving to Lisbon did I go to the dentist?",
        "How long did I live in Lisbon before the dentist visit?",
        "Was it before or after the move to Lisbon that I went to the dentist?",
    ],
)
def test_two_things_are_set_in_order_with_their_distance(question: str) -> None:
    (line,) = full(question, "temporal", DENTIST, LISBON)
    assert line.text == (
        "\u201cI moved to Lisbon in April\u201d (April 2026) is before \u201cWent to the dentist yesterday\u201d (2 May 2026): 2 to 31 days"
    )
    assert line.items == ("m", "d")


def test_a_message_without_a_time_is_only_known_to_be_told_on_its_day() -> None:
    (line,) = lines("How many days passed between the plumber and the dentist?", "temporal", item("The plumber came.", "p"), DENTIST)
    assert "(told on 20 May 2026)" in line and line.endswith(": 18 days (2 weeks 4 days)")


def test_times_that_overlap_give_no_order() -> None:
    may = item("The plumber came in May.", "p")
    (line,) = lines("Which came first, the plumber or the dentist?", "temporal", may, DENTIST)
    assert "overlap" in line and "before" not in line


def test_the_time_up_to_the_day_of_the_question() -> None:
    (line,) = lines("How long ago did I go to the dentist?", "temporal", DENTIST, LISBON)
    assert line.startswith("From \u201cWent to the dentist yesterday\u201d (2 May 2026) to 1 June 2026, the day of the question: ")
    assert line.endswith(": 30 days (4 weeks 2 days)")
    # A lasting thing did not begin on the day it was told.
    assert lines("How long have I had a dentist?", "temporal", item("I have a dentist.", "p")) == []
    assert lines("How long have I had a dentist?", "temporal", DENTIST) == []
    assert lines("How long have I lived in Lisbon?", "temporal", LISBON)[0].endswith(": 32 to 61 days")


def test_what_is_still_to_come_is_not_ago() -> None:
    assert lines("How long ago was the dentist?", "temporal", item("The dentist is on 9 June 2026.", "p")) == []


@pytest.mark.parametrize(
    "question",
    ["When did I go to the dentist?", "Which came first, the plumber or the roofer?", "Where is the dentist?"],
)
def test_no_line_for_a_plain_time_or_for_what_is_not_shown(question: str) -> None:
    assert lines(question, "temporal", DENTIST, LISBON) == []


def test_an_order_of_many_gives_each_distance() -> None:
    (line,) = lines("In what order did the dentist and Lisbon things take place?", "temporal", DENTIST, LISBON)
    assert line.startswith("In order of time: \u201cI moved to Lisbon") and "2 to 31 days later" in line


def test_one_message_is_not_compared_with_itself() -> None:
    both = item("I moved to Lisbon in April and saw the dentist in May.", "b")
    assert lines("Which came first, Lisbon or the dentist?", "temporal", both) == []


@pytest.mark.parametrize(
    ("first", "second", "apart"),
    [
        ("2 May 2026", "2 May 2026", "on the same day"), ("2 May 2026", "3 May 2026", "1 day"), ("May 2026", "20 May 2026", None),
        ("2 January 2026", "5 April 2026", "93 days (3 months 3 days)"), ("1 March 2023", "1 March 2026", "1096 days (3 years)"),
        ("March 2026", "December 2026", "8 to 11 months"), ("2015", "2020", "4 to 6 years"),
    ],
)  # fmt: skip
def test_a_distance_is_no_more_precise_than_its_ends(first: str, second: str, apart: str | None) -> None:
    one, two = (find_times(text, date(2026, 6, 1))[0] for text in (first, second))
    assert distance(one, two) == apart


@given(st.dates(), st.dates())
def test_a_distance_of_days_is_exact(one: date, two: date) -> None:
    start, end = sorted((one, two))
    spans = [find_times(f"{day.day} {day:%B} {day.year:04}", date(2026, 6, 1)) for day in (start, end)]
    if all(spans) and start != end:
        said = distance(spans[0][0], spans[1][0]) or ""
        assert int(said.split()[0]) == (end - start).days


# ---- summary


def test_what_one_speaker_said_twice_is_shown_once_and_a_not_is_another_statement() -> None:
    told = [
        item("I like tea.", "a", score=1.0), item("I like TEA!", "b", score=2.0), item("I do not like tea.", "c"),
        item("I like tea.", "d", speaker="Ben"),
    ]
    assert [entry.id for entry in distinct(told)] == ["b", "c", "d"]


# ---- the whole


def event(text: str, n: int, day: int, session: str, source: Source) -> Event:
    return Event(
        id=f"e{n}", seq=n, scope=Scope(user="ana", session=session), position=n, kind="message", role="user", speaker="Ana", text=text,
        at=f"2026-05-{day:02}", ts=float(n), origin=Origin(source=source), authority=Authority.ADVISE,
    )  # fmt: skip


def record(said: str, n: int, slot: str) -> Record:
    kind = "constraint" if slot == "allergy" else "identity"
    attrs = {"slot": slot, "value": said, "subject": "Ana", "profile_kind": kind, "single": slot == "home"}
    return Record(
        id=f"p{n}", scope=ANA, kind="profile", text=f"Ana {slot} {said}", attrs=attrs, sources=(f"e{n}",), observed_at="2026-05-02",
        valid_to=None if n % 2 else "2026-05", origin=Origin.user(), authority=Authority.ADVISE,
    )  # fmt: skip


SAID = st.sampled_from([
    "A concert in May.", "We saw a concert yesterday. " * 20, "The dentist was here on 3 May.", "I moved to Lisbon two weeks ago.", "",
    "word " * 300,
])  # fmt: skip
SOURCES = st.sampled_from([Source.USER_DIRECT, Source.WEB])
EVENTS = st.lists(st.tuples(SAID, st.integers(1, 28), st.sampled_from("ab"), SOURCES), max_size=12)
RECORDS = st.lists(st.tuples(st.sampled_from(["Porto", "Faro", "nuts"]), st.sampled_from(["home", "allergy"])), max_size=4)
QUESTIONS = st.sampled_from([
    HOW_MANY, "Which came first, the concert or the dentist?", "How long ago did I move to Lisbon?", "Where do I live now?",
    "Can I eat nuts?", "x",
])  # fmt: skip


@given(told=EVENTS, known=RECORDS, question=QUESTIONS, intent=st.sampled_from(INTENTS), budget=st.integers(1, 1500))
def test_lines_are_true_of_what_is_shown_and_the_budget_holds(
    told: list[Any], known: list[Any], question: str, intent: Intent, budget: int
) -> None:
    hits = [Hit(record(said, n, slot), 5.0, "CURRENT" if n % 2 else "EARLIER") for n, (said, slot) in enumerate(known)]
    hits += [Hit(event(text, n + 10, day, session, source), 10.0 / (n + 1)) for n, (text, day, session, source) in enumerate(told)]
    query = Query(text=question, scope=ANA, now="2026-06-01")
    plan = Plan(tier="deep", intent=intent, search_text=question, k=10, budget=budget)
    composer = EvidenceComposer(EstimateCounter(), lambda score, length: score / (length + 100.0) ** 0.4)
    view: Any = None  # it reads none
    evidence, again = (composer.compose(query, plan, Gathered(hits), view) for _ in range(2))
    assert evidence == again
    assert evidence.tokens == EstimateCounter().count(evidence.text) <= budget or evidence.text == ""
    assert evidence.text == (rendering.block(evidence.items, evidence.computed) if evidence.items else "")
    assert len(evidence.computed) == len(evidence.computed_from)
    true = worked_out(query, plan, evidence.items)
    assert set(zip(evidence.computed, evidence.computed_from, strict=True)) <= set(true)
    sound = {entry.id for entry in evidence.items if not entry.excerpt and entry.origin != Source.WEB}
    assert all(sound.issuperset(ids) for ids in evidence.computed_from)


@given(st.text(max_size=300), st.lists(st.text(max_size=200), max_size=4))
def test_nothing_that_is_asked_or_told_makes_them_fail(question: str, told: list[str]) -> None:
    for intent in INTENTS:
        for prefix in ("", "How many ", "Which came first, ", "How long ago did "):
            full(prefix + question, intent, *(item(text, f"e{n}") for n, text in enumerate(told)))


@pytest.mark.parametrize("piece", ["between a and b ", "first, a or b ", "how many days ", "before or after x that ", ". ", " ", "or "])
def test_a_huge_question_or_message_costs_no_more_than_its_length(piece: str) -> None:
    for intent in INTENTS:
        full("Which came first, " + piece * 30_000, intent, item(piece * 30_000, "a"), item(piece * 30_000, "b"))


def test_from_what_was_told_to_the_answer() -> None:
    with Memory.open(":memory:") as memory:
        ana = memory.scope(user="ana")
        for at, text in [
            ("2025-01-05", "I live in Porto."),
            ("2026-04-20", "I moved to Lisbon in April."),
            ("2026-05-03", "I went to the dentist yesterday."),
            ("2026-05-20", "The dentist pulled a tooth."),
        ]:
            ana.add(text, at=at, speaker="Ana", session=at)
        home = ana.recall("Do I still live in Porto?")
        assert home.computed == ("home: Porto (until 2026-04) \u2192 Lisbon (since 2026-04, current)",)
        assert "[worked out]\nhome: Porto" in home.text
        count = ana.ask("How many times did I go to the dentist?")
        assert count.text.startswith("Among the memories shown, 2 messages on 2 days mention 'dentist': 2026-05-03, 2026-05-20.")
        apart = ana.ask("How many days passed between the move to Lisbon and the tooth pulled by the dentist?")
        assert re.search(r"20 to 49 days\.$", apart.text)
        assert ana.recall("Who pulled a tooth?").computed == ()
