"""The slot rule on a real ledger: one current value, every earlier one kept."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tierkeep import Memory, Origin, Record
from tierkeep.scoped import ScopedMemory


@pytest.fixture
def ana(memory: Memory) -> ScopedMemory:
    return memory.scope(user="ana")


def tell(mine: ScopedMemory, text: str, day: str) -> str:
    (told,) = mine.add(text, at=day, speaker="Ana").ids
    return told


def values(mine: ScopedMemory, slot: str, status: str | None = "active") -> list[str]:
    return [str(record.attrs["value"]) for record in mine.records(kind="profile", status=status) if record.attrs["slot"] == slot]


def only(mine: ScopedMemory, value: str) -> Record:
    (record,) = [record for record in mine.records(status=None) if record.attrs["value"] == value]
    return record


def test_the_same_value_again_adds_a_source(ana: ScopedMemory) -> None:
    first = tell(ana, "I live in Lisbon.", "2026-01-02")
    again = tell(ana, "I live in lisbon, as you know.", "2026-02-03")
    (home,) = ana.records(kind="profile")
    assert home.sources == (first, again)
    assert home.observed_at == "2026-02-03"
    assert home.valid_from is None  # nobody said since when


def test_another_value_supersedes_and_the_old_one_stays(ana: ScopedMemory) -> None:
    tell(ana, "I live in Porto.", "2026-01-02")
    tell(ana, "I moved to Lisbon.", "2026-03-04")
    assert values(ana, "home") == ["Lisbon"]
    porto = only(ana, "Porto")
    assert (porto.status, porto.valid_to) == ("superseded", "2026-03-04")
    assert [step.op for step in ana.history(porto.id)][-1] == "supersede"


def test_set_values_add_up(ana: ScopedMemory) -> None:
    tell(ana, "I'm allergic to bees. I'm allergic to eggs.", "2026-01-02")
    assert values(ana, "allergy") == ["bees", "eggs"]


def test_two_sisters_are_two_and_two_bosses_are_one(ana: ScopedMemory) -> None:
    tell(ana, "My sister Berta rang. My boss is Rui.", "2026-01-02")
    tell(ana, "My sister Clara rang. My boss is Olga.", "2026-01-03")
    assert values(ana, "sister") == ["Berta", "Clara"]
    assert values(ana, "boss") == ["Olga"]


def test_an_older_statement_that_arrives_late_is_history_at_once(ana: ScopedMemory) -> None:
    tell(ana, "I live in Lisbon.", "2026-03-04")
    tell(ana, "I live in Porto.", "2025-01-02")
    assert values(ana, "home") == ["Lisbon"]
    assert (only(ana, "Porto").status, only(ana, "Porto").valid_to) == ("superseded", "2026-03-04")


def test_both_orders_of_arrival_give_the_same_current_value(ana: ScopedMemory, memory: Memory) -> None:
    other = memory.scope(user="bo")
    said = [("I live in Porto.", "2025-01-02"), ("I live in Lisbon.", "2026-03-04"), ("I live in Faro.", "2025-06-07")]
    for text, day in said:
        tell(ana, text, day)
    for text, day in reversed(said):
        tell(other, text, day)
    assert values(ana, "home") == values(other, "home") == ["Lisbon"]


def test_an_end_closes_its_value_with_its_day(ana: ScopedMemory) -> None:
    tell(ana, "I love coffee.", "2026-01-02")
    tell(ana, "I stopped drinking coffee yesterday.", "2026-02-03")
    assert values(ana, "likes") == []
    assert values(ana, "avoids") == ["coffee"]
    (liked,) = [record for record in ana.records(status=None) if record.attrs["slot"] == "likes"]
    assert (liked.status, liked.valid_to) == ("retracted", "2026-02-02")


def test_a_preference_can_flip_there_and_back(ana: ScopedMemory) -> None:
    for day, text in enumerate(("I love olives.", "I don't eat olives.", "I love olives."), start=1):
        tell(ana, text, f"2026-01-0{day}")
    assert values(ana, "likes") == ["olives"]
    assert values(ana, "avoids") == []


def test_the_end_of_another_value_ends_nothing(ana: ScopedMemory) -> None:
    tell(ana, "I work for Bluefin.", "2026-01-02")
    tell(ana, "I finished at Oldcorp in 2019, by the way.", "2026-02-03")
    tell(ana, "I don't live in Porto anymore.", "2026-02-03")
    assert values(ana, "employer") == ["Bluefin"]


def test_an_end_that_was_said_before_the_value_ends_nothing(ana: ScopedMemory) -> None:
    tell(ana, "I love tea.", "2026-02-03")
    tell(ana, "I don't like tea.", "2025-01-01")
    assert values(ana, "likes") == ["tea"]


def test_drafts_of_one_call_see_one_another(ana: ScopedMemory) -> None:
    said = (("I live in Porto.", "2026-01-02"), ("I moved to Lisbon.", "2026-03-04"))
    ana.add([{"role": "user", "content": text, "at": day} for text, day in said])
    assert values(ana, "home") == ["Lisbon"]
    assert values(ana, "home", status="superseded") == ["Porto"]


def test_people_are_kept_apart(ana: ScopedMemory) -> None:
    ana.add("I live in Porto.", speaker="Ana", at="2026-01-02")
    ana.add("I live in Faro.", speaker="Bo", at="2026-01-03", origin=Origin.imported("chat.txt"))
    ana.add("I no longer live in Porto.", speaker="Ana", at="2026-01-04", origin=Origin.imported("chat.txt"))
    assert values(ana, "home") == ["Porto", "Faro"]


def test_the_user_is_one_subject_under_every_name(ana: ScopedMemory) -> None:
    ana.add("I live in Porto.", speaker="Ana", at="2026-01-02")
    ana.add("I moved to Faro.", at="2026-02-03")
    assert values(ana, "home") == ["Faro"]


def test_one_message_may_change_its_mind(ana: ScopedMemory) -> None:
    ana.add("I moved to Rome. I moved to Oslo. I moved back to Rome.", at="2026-01-02")
    assert values(ana, "home") == ["Rome"]
    assert values(ana, "home", None) == ["Rome", "Oslo", "Rome"]
    ana.add("I like tea. I don't like tea. I like tea.", at="2026-01-03")
    assert values(ana, "likes") == ["tea"]


def test_an_end_that_was_stored_first_still_ends_what_was_said_before_it(ana: ScopedMemory) -> None:
    ana.add("I no longer work at Acme.", at="2026-03-01")
    ana.add("I work at Acme.", at="2026-01-01")
    assert values(ana, "employer") == []


def test_a_late_statement_falls_into_its_place(ana: ScopedMemory) -> None:
    for text, day in (("I live in Oslo.", "2026-01-01"), ("I live in Rome.", "2026-03-01"), ("I live in Paris.", "2026-02-01")):
        ana.add(text, at=day)
    homes = {str(r.attrs["value"]): (r.status, r.valid_to) for r in ana.records(kind="profile", status=None)}
    assert homes == {"Oslo": ("superseded", "2026-02-01"), "Paris": ("superseded", "2026-03-01"), "Rome": ("active", None)}


SAYINGS = [
    "I live in Rome.", "I live in Oslo.", "My boss is Rui.", "My boss is Ana.", "I like tea.", "I don't like tea.",
    "I am allergic to bees.", "I work at Acme.", "I no longer work at Acme.", "I moved to Rome. I moved to Oslo.",
    "I live in Rome. My boss is Rui.",
]  # fmt: skip
histories = st.lists(st.tuples(st.sampled_from(SAYINGS), st.integers(1, 5)), min_size=1, max_size=7)


def profile_after(told: list[tuple[str, int]], forgotten: int | None) -> list[tuple[object, ...]]:
    with Memory.open(":memory:") as memory:
        mine = memory.scope(user="ana")
        for number, (text, day) in enumerate(told):
            mine.add(text, at=f"2026-01-0{day}", session=f"s{number}", id=f"e{number}")
        if forgotten is not None:
            assert mine.forget(ids=[f"e{forgotten}"]).complete
        assert memory.verify().ok
        return sorted((r.text, r.status, r.valid_to or "") for r in mine.records(kind="profile", status=None))


@settings(max_examples=150)
@given(histories, st.data())
def test_what_is_forgotten_was_never_said(told: list[tuple[str, int]], data: st.DataObject) -> None:
    gone = data.draw(st.integers(0, len(told) - 1))
    rest = [entry for number, entry in enumerate(told) if number != gone]
    assert profile_after(told, gone) == profile_after(rest, None)


@settings(max_examples=100)
@given(histories, st.randoms(use_true_random=False))
def test_the_order_of_storing_does_not_matter(told: list[tuple[str, int]], random: Random) -> None:
    days = list(range(1, len(told) + 1))  # one statement a day: the order in which things were said is clear
    dated = [(text, day) for (text, _), day in zip(told, days, strict=True)]
    shuffled = dated.copy()
    random.shuffle(shuffled)
    assert profile_after(dated, None) == profile_after(shuffled, None)

def test_forgetting_the_move_leaves_no_trace_of_it(ana: ScopedMemory) -> None:
    tell(ana, "I live in Porto.", "2026-01-02")
    moved = tell(ana, "I moved to Lisbon.", "2026-03-04")
    assert ana.forget(ids=[moved]).complete
    assert all("Lisbon" not in record.model_dump_json() for record in ana.records(status=None))
