"""A scope that is bound to a conversation, under the presets with merged records: nothing of another conversation is shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tierkeep import Memory, Settings
from tierkeep.models.doubles import ScriptedChat
from tierkeep.protocols import ChatRequest
from tierkeep.testing.clock import FixedClock

QUESTION = "Where do I keep the spare key?"
BOTH = "Ana keeps the spare key in the kitchen and in the shed."


def merging(request: ChatRequest) -> Any:
    """Make one record of what two conversations say."""
    shape = json.dumps(request.schema)
    place = "shed" if "shed" in request.user else "kitchen"
    if request.skill == "extract":
        said = f"Ana keeps the spare key in the {place}."
        return {"items": [{"speaker": "Ana", "fact": said}] if "FactDraft" in shape else [said]}
    if request.skill == "consolidate":
        return {"ops": [{"new": 0, "action": "merge" if '"merge"' in shape else "UPDATE", "targets": [0], "text": BOTH}]}
    return {"select": {"ids": [0]}, "scan": {"facts": []}}.get(request.skill, {"answer": "", "needs_more": True, "used": []})


@pytest.mark.parametrize("preset", ["hymem", "dmem"])
def test_a_record_of_two_conversations_is_shown_to_neither_and_what_each_said_still_is(tmp_path: Path, preset: str) -> None:
    chat = ScriptedChat(merging)
    near = Settings.model_validate({"hymem": {"merge_at_least_lexical": 0.1}, "dmem": {"at_least_lexical": 0.1}})
    with Memory.open(tmp_path, preset=preset, chat=chat, derive="on_request", clock=FixedClock(), settings=near) as memory:
        ana = memory.scope(user="ana")
        for session, place in (("a", "kitchen"), ("b", "shed")):
            ana.add(f"I keep the spare key in the {place}.", speaker="Ana", session=session, at="2026-03-01")
            ana.maintain()
        assert BOTH in ana.recall(QUESTION).text
        asked = len(chat.requests)
        bound = memory.scope(user="ana", session="a")
        answer, evidence = bound.ask(QUESTION), bound.recall(QUESTION)
        assert BOTH not in [record.text for record in bound.records(status=None)]
    assert [item.text for item in evidence.items] == ["I keep the spare key in the kitchen."]
    assert all("shed" not in step.evidence.text for step in answer.trace)
    assert chat.requests[asked:] and all("shed" not in request.user for request in chat.requests[asked:])
