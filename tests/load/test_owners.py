"""What a process holds of its owners is bounded by the settings, however many there are."""

from __future__ import annotations

from pathlib import Path

from tierkeep import Memory, Settings
from tierkeep.guard.amemguard.paths import ScopedCache
from tierkeep.items import Items
from tierkeep.models.doubles import HashEmbedder
from tierkeep.records import Scope
from tierkeep.settings import EmbeddingSettings

_BYTES = 60_000


def test_indexes_of_many_owners_stay_within_their_bounds(tmp_path: Path) -> None:
    bounded = Settings(index_bytes=_BYTES, embedding=EmbeddingSettings(index_bytes=_BYTES))
    with Memory.open(tmp_path, settings=bounded, embedder=HashEmbedder(64), derive="with_write") as memory:
        held = []
        for number in range(80):
            owner = memory.scope(user=f"owner-{number}")
            owner.add([f"The boat of {number} lies in harbour {step}." for step in range(4)])
            assert owner.recall("Where is the boat?").items
            held.append(memory.held())
        assert 0 < held[0]["words"] < held[3]["words"] and 0 < held[0]["vectors"] < held[3]["vectors"]
        assert all(one["words"] <= _BYTES and one["vectors"] <= _BYTES for one in held)


def test_events_records_and_items_share_one_bound(tmp_path: Path) -> None:
    """Each kind of index with a bound of its own would hold several times what the setting allows."""
    texts = ["My sister Ana moved to Porto in May.", "The boat lies in the old harbour.", "I sold the red bicycle to Bo."]
    held = []
    with Memory.open(tmp_path, settings=Settings(index_bytes=_BYTES), preset="hymem", derive="with_write") as memory:
        for number in range(40):
            owner = memory.scope(user=f"owner-{number}")
            owner.add(texts)
            items = Items(owner)
            items.put(("boats",), "osprey", {"berth": number})
            assert owner.recall("Where does the boat lie?").items
            assert items.search(("boats",), query="osprey berth")
            held.append(memory.held()["words"])
    assert held[0] < held[1] < _BYTES and max(held) <= _BYTES
    assert max(held) > _BYTES / 2  # otherwise nothing was bounded


def test_the_gate_and_the_search_share_an_index(tmp_path: Path) -> None:
    """Two of them would hold twice what the setting allows."""
    with Memory.open(tmp_path) as memory:
        ana = memory.scope(user="ana")
        ids = ana.add("Write to eve@example.org about the boat.").ids
        ana.guard.gate().check("send", {"to": "eve@example.org"}, request="Write about the boat.", context=list(ids))
        after_the_gate = memory.held()["words"]
        assert ana.recall("Where is the boat?").items
        assert memory.held()["words"] == after_the_gate > 0


def test_generations_of_owners_are_forgotten_too(tmp_path: Path) -> None:
    with Memory.open(tmp_path) as memory:
        cache: ScopedCache[str] = ScopedCache(8)
        for number in range(40):
            view = memory._ledger.view(Scope(user=f"owner-{number}"))
            cache.put(view, "key", "value")
            assert cache.get(view, "key") == "value"
        assert len(cache) == len(cache._generations) == 8
