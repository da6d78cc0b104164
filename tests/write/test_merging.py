"""Sentences that are said again, and what a forget leaves of them; without a model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tierkeep import Memory, Settings
from tierkeep.models.doubles import Line, ScriptedChat
from tierkeep.protocols import ChatRequest
from tierkeep.scoped import ScopedMemory
from tierkeep.settings import HyMemSettings
from tierkeep.testing.clock import FixedClock


@pytest.fixture
def ana(tmp_path: Path) -> Iterator[ScopedMemory]:
    with Memory.open(tmp_path, preset="hymem", clock=FixedClock(), derive="with_write") as memory:
        yield memory.scope(user="ana")


def told(ana: ScopedMemory, *conversations: tuple[str, str]) -> None:
    for number, (day, text) in enumerate(conversations):
        ana.add(text, at=day, session=f"s{number}", speaker="Ana")
    ana.maintain()


def test_what_is_said_again_gains_a_source_and_a_link(ana: ScopedMemory) -> None:
    told(ana, ("2026-05-01", "I like green tea."), ("2026-05-09", "I like  green tea!"))
    (held,) = ana.records("key_information")
    assert len(held.sources) == 2 and len(held.links) == 2 and held.observed_at == "2026-05-09"


def test_what_only_looks_alike_stays_two(ana: ScopedMemory) -> None:
    told(ana, ("2026-05-01", "I like green tea."), ("2026-05-09", "I do not like green tea."))
    assert len(ana.records("key_information")) == 2


def test_forgetting_one_of_two_sources_keeps_the_sentence(ana: ScopedMemory) -> None:
    told(ana, ("2026-05-01", "I like green tea."), ("2026-05-09", "I like green tea."))
    assert ana.forget(session="s1").complete
    (held,) = ana.records("key_information", status=None)
    assert (held.text, held.status, held.observed_at) == ("I like green tea.", "active", "2026-05-01")
    assert [link[1] for link in held.links] == [segment.id for segment in ana.records("segment")]


def test_forgetting_the_first_message_of_a_segment_keeps_the_links_of_the_rest(ana: ScopedMemory) -> None:
    receipt = ana.add(["I like green tea.", "I play the violin.", "I live in Porto."], at="2026-05-01", session="s", speaker="Ana")
    ana.maintain()
    assert ana.forget(ids=receipt.ids[:1]).complete
    (segment,) = ana.records("segment", status=None)
    sentences = ana.records("key_information", status=None)
    assert [sentence.text for sentence in sentences] == ["I play the violin.", "I live in Porto."]
    assert [sentence.links for sentence in sentences] == [(("segment", segment.id, 1.0),)] * 2
    assert segment.sources == receipt.ids[1:]


def test_the_same_conversation_gives_the_same_records(tmp_path: Path) -> None:
    kept = []
    for name in ("a", "b"):
        with Memory.open(tmp_path / name, preset="hymem", clock=FixedClock(), derive="with_write") as memory:
            mine = memory.scope(user="ana")
            for number in range(12):
                mine.add(f"I saw {number} storks in Beja.", at="2026-05-01", session="s", speaker="Ana", id=f"m{number}")
                if name == "b":
                    mine.recall("storks")
            mine.maintain()
            kept.append([record.model_dump_json() for record in mine.records()])
    assert kept[0] == kept[1]


@pytest.mark.parametrize(("text", "merged"), [("Ana likes strong green tea.", True), ("Ana likes strong green tea with mint.", False)])
def test_a_merge_in_words_of_a_third_sentence_is_left_undone(text: str, merged: bool) -> None:
    def script(request: ChatRequest) -> Line:
        if request.skill == "extract":
            teas = ("mint tea, always green", "strong tea", "green tea")
            return {"items": [next(f"Ana likes {tea}." for tea in teas if tea[:4] in request.user)]}
        old = next((line for line in request.user.splitlines() if "likes green" in line), "")
        target = int(old.split("|")[0].split()[-1]) if "old" in old else 99
        return {"ops": [{"new": 0, "action": "merge", "targets": [target], "text": text}] if "new 0| [2026-05-03]" in request.user else []}

    settings = Settings(hymem=HyMemSettings(merge_at_least_lexical=0.05))
    chat = ScriptedChat(script)
    with Memory.open(":memory:", preset="hymem", chat=chat, derive="on_request", settings=settings, clock=FixedClock()) as memory:
        told(memory.scope(user="ana"), ("2026-05-01", "green"), ("2026-05-02", "mint"), ("2026-05-03", "stro"))
        texts = [record.text for record in memory.scope(user="ana").records("key_information")]
    assert "consolidate" in [request.skill for request in chat.requests]
    assert (text in texts) == merged and len(texts) == 3 - merged and "Ana likes mint tea, always green." in texts
