"""Records found by what speaks for the messages they rest on."""

from __future__ import annotations

from pathlib import Path

from tierkeep import Memory
from tierkeep.allowance import Allowance
from tierkeep.ledger.sqlite import SqliteLedger
from tierkeep.records import Query, Record, Scope
from tierkeep.retrieve.derived import DerivedSearch
from tierkeep.retrieve.indexes import ScopeIndexes
from tierkeep.retrieve.records import RecordSearch
from tierkeep.retrieve.search import Found, Search
from tierkeep.settings import RetrievalSettings
from tierkeep.testing.clock import FixedClock

TALK = [
    "I signed up for a pottery class.", "It feels like therapy to me.", "My car broke down near Porto.", "The mechanic wanted 300 euros.",
]


def told(folder: Path) -> None:
    with Memory.open(folder, preset="dmem", clock=FixedClock()) as memory:
        for number, text in enumerate(TALK):
            mine = memory.scope(user="ana", session=f"s{number // 2}")
            mine.add(text, at=f"2026-05-0{1 + number // 2}", speaker="Ana" if number % 2 else "Bo")
        memory.scope(user="ana").maintain()


def found(folder: Path, question: str, k: int, *, weight: float = 1.0, session: str | None = None, per_speaker: bool = False) -> Found:
    ledger = SqliteLedger(folder, clock=FixedClock())
    scope = Scope(user="ana", session=session)
    settings = RetrievalSettings()
    search = DerivedSearch(RecordSearch(1 << 24, settings), Search(ScopeIndexes(1 << 24), settings), weight)
    query = Query(text=question, scope=scope, now="2026-06-01")
    return search(query, ledger.view(scope), Allowance(FixedClock()), kind="fact", text=question, k=k, per_speaker=per_speaker)


def texts(result: Found) -> list[str]:
    return [hit.item.text for hit in result.hits if isinstance(hit.item, Record)]


def test_a_fact_is_found_through_the_message_beside_its_own(tmp_path: Path) -> None:
    told(tmp_path)
    assert texts(found(tmp_path, "pottery", 2)) == TALK[:2]
    assert texts(found(tmp_path, "pottery", 2, weight=0.0))[0] == TALK[0]


def test_a_scope_bound_to_a_session_finds_only_what_was_said_in_it(tmp_path: Path) -> None:
    told(tmp_path)
    assert texts(found(tmp_path, "pottery mechanic", 9, session="s1")) == [TALK[3], TALK[2]]


def test_so_many_of_each_speaker(tmp_path: Path) -> None:
    told(tmp_path)
    hits = found(tmp_path, "pottery therapy car mechanic", 1, per_speaker=True).hits
    assert sorted(str(hit.item.attrs["speaker"]) for hit in hits if isinstance(hit.item, Record)) == ["Ana", "Bo"]


def test_nothing_matches_nothing_is_found(tmp_path: Path) -> None:
    told(tmp_path)
    assert found(tmp_path, "xylophone", 5).hits == []
