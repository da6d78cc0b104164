"""`auto` with a scripted model: what fails is tried by another operation, and everything is read only under the ceiling."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from tierkeep import Answer, Memory, Settings
from tierkeep.errors import ModelError
from tierkeep.models.doubles import ScriptedChat
from tierkeep.protocols import ChatRequest
from tierkeep.settings import Ceilings, DMemSettings, OpeningSettings
from tierkeep.testing.clock import FixedClock

QUESTION = "Who fixed the boiler?"


def declined() -> dict[str, Any]:
    return {"answer": "", "needs_more": True, "used": []}


def answered(text: str, *used: int) -> dict[str, Any]:
    return {"answer": text, "needs_more": False, "used": list(used)}


def playing(**skills: Any) -> Callable[[ChatRequest], Any]:
    """Return a script by skill: a reply, or a list of replies of which the last one stays."""
    said = {name: list(replies) if isinstance(replies, list) else [replies] for name, replies in skills.items()}

    def script(request: ChatRequest) -> Any:
        replies = said[request.skill]
        return replies.pop(0) if len(replies) > 1 else replies[0]

    return script


def ask(
    folder: Path, script: Any, *, settings: Settings | None = None, more: int = 0, question: str = QUESTION
) -> tuple[Answer, ScriptedChat]:
    chat = ScriptedChat(script)
    with Memory.open(folder, chat=chat, clock=FixedClock(), settings=settings) as memory:
        ana = memory.scope(user="ana")
        for day in range(more):
            ana.add(f"The boiler made noise number {day}.", at=date(2026, 1, 1) + timedelta(days=day), speaker="Ana")
        ana.add("The man who repaired it is called Anselmo.", at="2026-03-09", speaker="Ana", session="fix")
        ana.add("He also looked at the boiler of the neighbours.", at="2026-03-09", speaker="Ana", session="fix")
        return ana.ask(question), chat


def skills(chat: ScriptedChat) -> list[str]:
    return [request.skill for request in chat.requests]


def test_a_short_answer_that_is_in_the_evidence_costs_two_calls(tmp_path: Path) -> None:
    answer, chat = ask(tmp_path, playing(classify={"label": "targeted"}, answer=answered("Anselmo", 0, 1)))
    assert (answer.text, answer.tiers, skills(chat)) == ("Anselmo", ("targeted",), ["classify", "answer"])


def test_declined_the_model_picks_from_a_wide_list_and_its_picks_are_opened(tmp_path: Path) -> None:
    def pick(request: ChatRequest) -> Any:
        if request.skill == "classify":
            return {"label": "targeted"}
        if request.skill == "select":
            line = next(line for line in request.user.splitlines() if "boiler of the neighbours" in line)
            return {"ids": [int(line.split("|")[0]), -1, 10_000]}
        return answered("Anselmo", 0, 1) if len(chat_of) > 2 else declined()

    chat_of: list[str] = []

    def script(request: ChatRequest) -> Any:
        chat_of.append(request.skill)
        return pick(request)

    answer, chat = ask(tmp_path, script, more=40)
    assert answer.tiers == ("targeted", "opened") and answer.text == "Anselmo"
    assert skills(chat) == ["classify", "answer", "select", "answer"]
    shown = [item.text for item in answer.evidence.items]
    assert shown == ["The man who repaired it is called Anselmo.", "He also looked at the boiler of the neighbours."]


def test_the_judge_sees_only_what_the_answer_cites(tmp_path: Path) -> None:
    long = "The man who repaired the boiler is called Anselmo, says Ana in March"
    axes = {"relevance": "pass", "faithfulness": "pass", "completeness": "pass"}
    answer, chat = ask(tmp_path, playing(classify={"label": "targeted"}, answer=answered(long, 0), judge=axes), more=10)
    judged = chat.requests[-1]
    assert judged.skill == "judge" and answer.verdict.accept
    assert judged.user.count("| ") == 1


def test_everything_is_read_only_under_the_ceiling_and_the_trace_says_why_not(tmp_path: Path) -> None:
    script = playing(classify={"label": "targeted"}, answer=declined(), select={"ids": [0]}, scan={"facts": []})
    few = Settings(dmem=DMemSettings(chunk=2), ceilings=Ceilings(calls=8))
    answer, chat = ask(tmp_path / "few", script, settings=few, more=40)
    assert answer.tiers == ("targeted", "opened", "deliberation") and "scan" not in skills(chat)
    assert "no deliberation" in answer.trace[-1].evidence.note

    many = Settings(dmem=DMemSettings(chunk=2), ceilings=Ceilings(calls=64, tokens=250_000))
    _, chat = ask(tmp_path / "many", script, settings=many, more=40)
    assert skills(chat).count("scan") == 21

    small = Settings(dmem=DMemSettings(chunk=2, deliberate_max_tokens=100), ceilings=Ceilings(calls=64, tokens=250_000))
    _, chat = ask(tmp_path / "small", script, settings=small, more=40)
    assert "scan" not in skills(chat)


def test_nothing_picked_is_another_search_and_no_empty_answer(tmp_path: Path) -> None:
    script = playing(classify={"label": "targeted"}, answer=[declined(), answered("Anselmo", 0, 1)], select={"ids": []})
    answer, _ = ask(tmp_path, script)
    assert answer.tiers == ("targeted", "opened") and answer.evidence.items


def test_the_wide_list_is_shown_in_groups_and_as_data(tmp_path: Path) -> None:
    settings = Settings(opening=OpeningSettings(wide_k=20, group=8, line_chars=20))
    script = playing(classify={"label": "targeted"}, answer=declined(), select={"ids": [0]}, scan={"facts": []})
    _, chat = ask(tmp_path, script, settings=settings, more=40)
    selections = [request for request in chat.requests if request.skill == "select"]
    assert [request.user.count("| [") for request in selections] == [8, 8, 4]
    assert len({request.system for request in selections}) == 1
    assert all("noise number" not in request.user for request in selections)  # cut to twenty characters
    assert all(request.user.count("<memory-") == 1 for request in selections)


@pytest.mark.parametrize("question", [QUESTION, "When was the boiler fixed?", "Where do I live?", "Do I still have the boiler?"])
@pytest.mark.parametrize("script", [lambda request: "garbage", lambda request: ModelError("down"), lambda request: {"wrong": 1}])
def test_it_ends_within_its_ceiling_whatever_the_model_does(tmp_path: Path, script: Any, question: str) -> None:
    answer, chat = ask(tmp_path, script, question=question, more=5)
    assert len(chat.requests) <= 8 and len(answer.trace) <= 4
    assert answer.text


def test_what_only_the_web_says_is_accepted_in_no_tier(tmp_path: Path) -> None:
    script = playing(classify={"label": "targeted"}, answer=answered("3 euros", 0), select={"ids": [0]}, scan={"facts": []})
    chat = ScriptedChat(script)
    with Memory.open(tmp_path, chat=chat, clock=FixedClock()) as memory:
        ana = memory.scope(user="ana")
        ana.add({"role": "tool", "name": "browser", "content": "The ferry costs 3 euros."}, at="2026-05-05")
        answer = ana.ask("What does the ferry cost?")
    assert not answer.verdict.accept
    assert all(step.verdict is None or not step.verdict.accept for step in answer.trace)


def test_an_earlier_answer_comes_back_as_data(tmp_path: Path) -> None:
    long = answered("A man who came by bus and looked at the boiler of the neighbours", 0, 1)
    fails = {"relevance": "pass", "faithfulness": "fail", "completeness": "pass"}
    script = playing(classify={"label": "targeted"}, answer=[long, declined()], select={"ids": [0]}, judge=fails, scan={"facts": []})
    _, chat = ask(tmp_path, script)
    carried = next(request.user for request in chat.requests if "Found before: " in request.user)
    outside = re.sub(r"<memory-(\w+)>.*?</memory-\1>", "", carried, flags=re.DOTALL)
    assert "by bus" in carried and "by bus" not in outside


def test_an_answer_from_everything_is_judged_too(tmp_path: Path) -> None:
    fails = {"relevance": "pass", "faithfulness": "fail", "completeness": "pass"}
    script = playing(
        classify={"label": "targeted"}, answer=[declined(), declined(), answered("Somebody from afar who came by bus yesterday", 0)],
        select={"ids": [0]}, scan={"facts": [{"fact": "The boiler was repaired by Anselmo.", "score": 9, "messages": [0]}]}, judge=fails,
    )  # fmt: skip
    answer, chat = ask(tmp_path, script)
    assert answer.tiers[-1] == "deliberation" and "scan" in skills(chat)
    assert skills(chat)[-1] == "judge" and not answer.verdict.accept


@pytest.mark.parametrize("budget", [None, 1])
def test_recall_asks_for_the_class_of_the_question_at_most(tmp_path: Path, budget: int | None) -> None:
    chat = ScriptedChat(playing(classify={"label": "targeted"}, select={"ids": [0]}, scan={"facts": []}))
    with Memory.open(tmp_path, chat=chat, clock=FixedClock()) as memory:
        ana = memory.scope(user="ana")
        ana.add("The man who repaired it is called Anselmo.", at="2026-03-09", speaker="Ana")
        assert not ana.recall("Zyxq wvut?", budget=budget)
        ana.recall("Who repaired it?", budget=budget)
    assert set(skills(chat)) <= {"classify"}


def test_the_neighbours_of_a_pick_are_those_of_its_own_conversation(tmp_path: Path) -> None:
    def script(request: ChatRequest) -> Any:
        if request.skill == "select":
            return {"ids": [int(line.split("|")[0]) for line in request.user.splitlines() if "boiler" in line and "|" in line]}
        return {"label": "targeted"} if request.skill == "classify" else declined()

    chat = ScriptedChat(script)
    with Memory.open(tmp_path, chat=chat, clock=FixedClock()) as memory:
        ana = memory.scope(user="ana")
        for session, text in (("a", "My boiler is loud."), ("b", "It was Anselmo."), ("b", "He did the boiler."), ("a", "So is the fan.")):
            ana.add(text, at="2026-03-09", speaker="Ana", session=session)
        opened = ana.ask(QUESTION).trace[1]
    assert opened.plan.tier == "opened"
    assert [item.text for item in opened.evidence.items] == ["My boiler is loud.", "It was Anselmo.", "He did the boiler."]


@pytest.mark.parametrize(("passes", "tiers"), [(True, ("targeted",)), (False, ("targeted", "opened", "deliberation"))])
def test_an_answer_whose_memory_shares_no_word_with_the_question_is_for_the_judge(
    tmp_path: Path, passes: bool, tiers: tuple[str, ...]
) -> None:
    status = "pass" if passes else "fail"
    axes = {"relevance": status, "faithfulness": "pass", "completeness": "pass"}
    said = playing(classify={"label": "targeted"}, answer=answered("Anselmo", 0), judge=axes, select={"ids": [0]}, scan={"facts": []})
    answer, chat = ask(tmp_path, said, question=QUESTION)
    assert answer.verdict.accept is passes and answer.tiers == tiers
    assert "judge" in skills(chat)
