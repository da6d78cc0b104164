from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tierkeep import Memory
from tierkeep.errors import InputError
from tierkeep.evaluate.probe import TOP, Probe, ask, choose, measure, of_data, of_store
from tierkeep.evaluate.resampling import wilson
from tierkeep.records import Event

NAMES = "Ilse Kadir Oona Tomasz Freya Anselmo Bruna Casimir Delphine Elwood Fabrizio Griet Hedda Iskander Jolanta Kasper".split()
PLACES = "harbour orchard museum library bakery station theatre pharmacy quarry vineyard chapel stadium gallery brewery nursery pit".split()
THINGS = "violin lantern compass telescope saddle anchor kettle harness ladder barrel trumpet mirror basket hammer carpet candle".split()


def _fill(memory: Memory, *, filler: int = 40) -> list[Event]:
    """Store a pair of messages for each name, which share a place and a thing beside it, and messages between them."""
    scope = memory.scope(user="ana")
    for number, (name, place, thing) in enumerate(zip(NAMES, PLACES, THINGS, strict=True)):
        scope.add(f"Yesterday at the {place} I met {name}, who carried a {thing}.", session=f"a{number}", at=f"2026-01-{number + 1:02}")
    for number in range(filler):
        scope.add(f"It rained all day on the way number {number % 7}.", session=f"f{number}", at="2026-02-01")
    for number, (name, place, thing) in enumerate(zip(NAMES, PLACES, THINGS, strict=True)):
        scope.add(f"That {thing} from the {place} still belongs to {name}.", session=f"b{number}", at=f"2026-03-{number + 1:02}")
    return list(scope.events())


def test_a_probe_blanks_a_name_of_two_messages_and_asks_with_the_rest(memory: Memory) -> None:
    events = _fill(memory)
    probes = choose(events, most=500)
    assert len(probes) == 32
    by_id = {event.id: event for event in events}
    for probe in probes:
        assert probe.kind == "name" and probe.entity in NAMES
        assert probe.entity in by_id[probe.turn].text and probe.entity in by_id[probe.other].text and probe.turn != probe.other
        assert probe.entity not in probe.question and "…" in probe.question
    assert [probe.turn for probe in probes] == [event.id for event in events if event.id in {probe.turn for probe in probes}]


def test_the_sample_is_seeded(memory: Memory) -> None:
    events = _fill(memory)
    assert choose(events, most=5, seed=3) == choose(events, most=5, seed=3) != choose(events, most=5, seed=4)
    assert len(choose(events, most=5, seed=3)) == 5


def test_the_other_message_must_come_back_and_the_masked_one_does_not_count(memory: Memory) -> None:
    events = _fill(memory)
    scope = memory.scope(user="ana")
    probes = choose(events, most=500)
    assert all(outcome.recovered for outcome in ask(scope, probes))
    scope.forget(ids=[probe.other for probe in probes[:8]])
    outcomes = ask(scope, [probe for probe in probes if probe.turn not in {one.other for one in probes[:8]}])
    assert [outcome.recovered for outcome in outcomes[:8]] == [False] * 8


def test_numbers_and_long_words_serve_where_there_is_no_name(memory: Memory) -> None:
    scope = memory.scope(user="ana")
    scope.add("the locker at the swimming hall has the number 4711 now", session="a")
    scope.add("write down 4711 for the locker of the swimming hall", session="b")
    scope.add("my cousin mends accordions in a small village", session="c")
    scope.add("an accordion is heavy, says my cousin from the village", session="d")
    kinds = {probe.entity: probe.kind for probe in choose(list(scope.events()))}
    assert kinds["4711"] == "number"
    assert set(kinds.values()) == {"number", "word"}


def test_words_without_spaces(memory: Memory) -> None:
    scope = memory.scope(user="ana")
    scope.add("我把蓝色的自行车放在车库里。", session="a")
    scope.add("车库的门坏了，明天修。", session="b")
    (first, *_) = choose(list(scope.events()))
    assert first.entity == "车库" and "车库" not in first.question


@pytest.mark.parametrize("seed", [1, 2])
def test_the_probe_falls_with_what_is_lost(tmp_path: Path, seed: int) -> None:
    """Drop a growing part of the other messages: the same probes get back less and less."""
    with Memory.open(tmp_path / "full") as memory:
        events = _fill(memory)
        probes = choose(events, most=500)[:16]
        rows = list(memory.scope(user="ana").export())
    others = sorted({event.id for event in events} - {probe.turn for probe in probes})
    random.Random(seed).shuffle(others)
    shares = []
    for lost in (0.0, 0.25, 0.5, 0.75):
        with Memory.open(tmp_path / f"lost-{lost}") as memory:
            scope = memory.scope(user="ana")
            scope.restore(rows, trusted=True)
            if lost:
                scope.forget(ids=others[: int(lost * len(others))])
            outcomes = ask(scope, probes)
        shares.append(sum(outcome.recovered for outcome in outcomes) / len(outcomes))
    assert shares[0] == 1.0
    assert shares == sorted(shares, reverse=True) and len(set(shares)) == 4, shares


def test_a_record_counts_by_its_sources(memory: Memory) -> None:
    """hymem and dmem keep notes; a profile line is a record too. It holds what was blanked out, so it gives it back."""
    scope = memory.scope(user="ana")
    receipt = scope.add("I moved to Lisbon in May.", speaker="Ana", at="2026-05-20", session="a")
    probe = Probe(receipt.ids[0], "", "Lisbon", "name", "Where do I live now, after I moved to … in May?")
    assert [outcome.recovered for outcome in ask(scope, [probe])] == [True]
    assert [outcome.recovered for outcome in ask(scope, [probe._replace(entity="Porto")])] == [False]


def test_entities_of_one_message_count_in_derived_records_only(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "notes", preset="hymem") as memory:
        scope = memory.scope(user="ana")
        _fill(memory)
        scope.add("Only Zenobia collects thimbles of porcelain in that house.", session="z", at="2026-04-01")
        scope.maintain()
        assert {record.kind for record in scope.records()} - {"profile"}
        report = measure(scope, most=50)
    assert report["derived"]["probes"] > 0
    assert 0.0 <= report["derived"]["recovery"] <= 1.0


def test_raw_messages_have_no_derived_figure(memory: Memory) -> None:
    _fill(memory)
    report = measure(memory.scope(user="ana"), most=10, misses=True)
    assert report["derived"] is None and report["misses"] == []
    assert (report["probes"], report["recovered"], report["recovery"]) == (10, 10, 1.0)
    assert report["by_kind"] == {"name": {"recovered": 10, "recovery": 1.0, "interval": report["interval"]}}


def test_nothing_to_probe_says_so(memory: Memory) -> None:
    memory.scope(user="ana").add("Hello there.")
    with pytest.raises(InputError, match="nothing to probe"):
        measure(memory.scope(user="ana"))


def test_nothing_is_written(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "store") as memory:
        _fill(memory)
        before = list(memory.scope(user="ana").export())
    with Memory.open(tmp_path / "store", derive="on_request") as memory:
        of_store(memory, memory.scope(user="ana"), most=10)
        assert list(memory.scope(user="ana").export()) == before and memory.verify().ok


def test_each_conversation_of_a_data_set_is_a_scope(memory: Memory, write: Callable[[str, Any], Path]) -> None:
    events = [
        {"id": event.id, "session": event.session, "at": event.at, "speaker": "Ana", "text": event.text} for event in _fill(memory)
    ]
    bare = [{"id": "1", "session": "a", "at": "2026-01-01", "speaker": "Ana", "text": "Hello."}]
    document = {
        "format": "tierkeep-bench/1", "name": "probed",
        "conversations": [{"id": "full", "events": events, "questions": []}, {"id": "bare", "events": bare, "questions": []}],
    }  # fmt: skip
    path = write("probed.json", document)
    report = of_data(path, most=6)
    assert list(report["by_scope"]) == ["full"] and (report["name"], report["probes"], report["embedder"]) == ("probed", 6, "none")
    assert json.loads(json.dumps(report)) == report
    document["conversations"] = document["conversations"][1:]
    with pytest.raises(InputError, match="nothing to probe"):
        of_data(write("bare.json", document))


def test_wilson() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    low, high = wilson(5, 10)
    assert (round(low, 4), round(high, 4)) == (0.2366, 0.7634)
    assert wilson(10, 10)[1] == 1.0 and wilson(0, 10)[0] == pytest.approx(0.0)
    assert TOP == 10
