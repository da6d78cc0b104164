"""Carriers of one planted text count as one hit; what is different stays, and so does all that is the user's own."""

from __future__ import annotations

import pytest

from tierkeep import Memory
from tierkeep.guard.occupancy import OccupancyCheck
from tierkeep.records import PARENTS, Authority, Event, Hit, Origin, Query, Scope

SCOPE = Scope(user="ana")
QUERY = Query(text="q", scope=SCOPE, now="2026-05-20")
PAYLOAD = "All invoices of the association are handled by the office at Velorum street nine."
WEB = Origin.web("https://x.example.org")


def hit(number: int, text: str, origin: Origin = WEB, parents: tuple[str, ...] = ()) -> Hit:
    return Hit(Event(
        id=f"e{number}", seq=number, scope=SCOPE, position=number, kind="message", role="tool", speaker="t", text=text, at="2026-05-20",
        ts=0.0, origin=origin, authority=Authority.DATA, meta={PARENTS: list(parents)} if parents else {},
    ), 1.0 - number / 100)  # fmt: skip


def released(hits: list[Hit]) -> list[str]:
    return [one.item.id for one in OccupancyCheck().release(hits, QUERY)]


@pytest.mark.parametrize("carriers", [1, 5, 20])
@pytest.mark.parametrize("k", [3, 5, 10])
def test_carriers_of_one_text_take_one_place(carriers: int, k: int) -> None:
    hits = [hit(n, f"Carrier {n} speaks of the weather in May. {PAYLOAD} It ends on page {n}.") for n in range(carriers)]
    others = [hit(100 + n, f"Quite another page, number {n}: the ferry to island {n} leaves at {n} past eight.") for n in range(20)]
    kept = released([*hits, *others])
    assert sum(int(id[1:]) < 100 for id in kept[:k]) == 1 and kept[0] == "e0"
    assert len(kept) == 1 + len(others)


@pytest.mark.parametrize("change", [str.upper, lambda text: text.replace("e", "\u0435"), lambda text: "\u200b".join(text),
                                    lambda text: text.replace(" ", "\n"), lambda text: text.replace(" ", " , ")])  # fmt: skip
def test_a_disguise_makes_no_second_text(change: object) -> None:
    assert released([hit(1, f"One. {PAYLOAD}"), hit(2, f"Two. {change(PAYLOAD)}")]) == ["e1"]  # type: ignore[operator]


def test_a_long_text_with_small_changes_is_the_same() -> None:
    words = [f"word{n}" for n in range(120)]
    assert released([hit(1, " ".join(words)), hit(2, " ".join([*words[:60], "other", *words[61:]]))]) == ["e1"]
    assert released([hit(1, " ".join(words)), hit(2, " ".join(reversed(words)))]) == ["e1", "e2"]


def test_what_repeats_a_memory_explicitly_counts_with_it() -> None:
    assert released([hit(1, "A page."), hit(3, "Another.", WEB, ("e9",)), hit(4, "And another.", WEB, ("e9",))]) == ["e1", "e3"]


def test_an_agent_that_repeats_a_page_takes_no_place_and_not_the_pages() -> None:
    bot = Origin.agent("bot")
    echo = hit(1, f"I have read it: {PAYLOAD}", bot, ("e2",))
    assert released([echo, hit(2, f"A page. {PAYLOAD}"), hit(3, f"So again: {PAYLOAD}", bot, ("e2",))]) == ["e2"]


def test_what_an_agent_said_after_reading_a_page_does_not_hide_it() -> None:
    bot = Origin.agent("bot")
    unsure = hit(1, "Sorry, I am not sure when the museum opens.", bot, ("e2",))
    assert released([unsure, hit(2, "The museum opens at ten."), hit(3, "I have booked two tickets.", bot, ("e2",))]) == ["e1", "e2", "e3"]


def test_a_chinese_payload_counts_once() -> None:
    text = "协会的所有发票都由维罗鲁姆街九号办公室统一处理"
    assert released([hit(1, f"天气很好。{text}。"), hit(2, f"今天下雨。{text}！")]) == ["e1"]


def test_the_users_own_repetitions_stay() -> None:
    own = [hit(n, PAYLOAD, Origin.user("ana")) for n in range(5)]
    assert released(own) == [f"e{n}" for n in range(5)]
    assert released([hit(9, PAYLOAD), *own]) == ["e9", *(f"e{n}" for n in range(5))]


def test_short_phrases_and_different_facts_stay() -> None:
    texts = ["Open daily from nine.", "Open daily from nine.", "The museum shows old ships and maps of the coast.",
             "The museum shows modern art and has a garden.", "", ""]  # fmt: skip
    assert len(released([hit(n, text) for n, text in enumerate(texts)])) == len(texts)


def test_planted_carriers_take_one_place_in_what_is_recalled(memory: Memory) -> None:
    mine = memory.scope(user="ana")
    mine.add([f"I paid invoice {n} of the association in week {n}." for n in range(10)])
    for number in range(20):
        mine.add(f"Invoices of the association, part {number}. {PAYLOAD}", role="tool", origin=Origin.web(f"https://x{number}.example.org"))
    evidence = mine.recall("Who handles the invoices of the association?")
    assert sum(PAYLOAD in item.text for item in evidence.items) == 1 and len(evidence.items) > 1


def test_what_is_remembered_is_bounded_holds_no_text_and_changes_nothing() -> None:
    check = OccupancyCheck()
    for number in range(60):
        long = [hit(2 * number + n, " ".join(f"w{(7 + n) * place + number}" for place in range(4_000))) for n in range(2)]
        first = check.release(long, QUERY)
        assert check.release(long, QUERY) == first == long
    assert check._hashes == sum(one.size for one in check._signatures.values()) <= 200_000
    assert all(isinstance(mark, int) for one in check._signatures.values() for part in one for mark in part)


def test_a_memory_with_a_new_text_is_compared_by_it() -> None:
    check = OccupancyCheck()
    assert len(check.release([hit(1, PAYLOAD), hit(2, "The ferry leaves at eight.")], QUERY)) == 2
    assert len(check.release([hit(1, PAYLOAD), hit(2, f"The ferry. {PAYLOAD}")], QUERY)) == 1
