"""Votes: who agrees, and which words are returned."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierkeep.allowance import Allowance
from tierkeep.answer.extractive import ExtractiveAnswerer
from tierkeep.answer.model import ModelAnswerer
from tierkeep.answer.voting import VotingAnswerer
from tierkeep.errors import ModelError
from tierkeep.models.doubles import ScriptedChat
from tierkeep.prompts import dmem
from tierkeep.records import Authority, Draft, Evidence, EvidenceItem, Plan, Query, Scope, Source
from tierkeep.settings import DMemSettings
from tierkeep.skills import Skills
from tierkeep.testing.clock import FixedClock
from tierkeep.tokens import EstimateCounter

ITEM = EvidenceItem(
    id="e1", sources=("e1",), text="We met on 7 May in Faro.", at="2026-05-20", speaker="Ana", origin=Source.USER_DIRECT,
    authority=Authority.ADVISE,
)  # fmt: skip


def vote(*lines: Any, unanimous: bool = False, tier: str = "facts") -> tuple[Draft, ScriptedChat]:
    script = [{"answer": line, "needs_more": not line, "used": [0]} if isinstance(line, str) else line for line in lines]
    chat = ScriptedChat(script)
    skills = Skills(chat, EstimateCounter(), FixedClock())
    once = ModelAnswerer(skills, ExtractiveAnswerer())
    voting = VotingAnswerer(skills, once, dmem.answer, DMemSettings(), unanimous=unanimous)
    query = Query(text="When did we meet?", scope=Scope(user="ana"), now="2026-06-01")
    plan = Plan(tier=tier, intent="targeted", search_text=query.text, k=30, budget=2048)
    evidence = Evidence(question=query.text, items=(ITEM,), text="x")
    return voting.answer(query, plan, evidence, Allowance(FixedClock(), calls=10, tokens=100_000)), chat


def test_the_same_words_need_no_judge() -> None:
    draft, chat = vote("7 May", "7 May.", "May 7")
    assert (draft.text, draft.agreed, len(chat.requests)) == ("7 May", True, 3)


def test_a_majority_is_two_of_three_and_a_consensus_three() -> None:
    lines = ("7 May", "in Faro", "the 7th of May", {"groups": [[0, 2], [1]]})
    assert vote(*lines)[0].agreed is True
    assert vote(*lines, unanimous=True)[0].agreed is False


def test_no_filler_then_the_shortest_verbatim() -> None:
    draft, _ = vote("Well, 7 May", "7 May 2026, a Thursday", "7 May 2026", {"groups": [[0, 1, 2]]}, unanimous=True)
    assert (draft.text, draft.agreed) == ("7 May 2026", True)


def test_abstentions_never_agree_on_an_answer() -> None:
    draft, chat = vote("", "", "7 May")
    assert (draft.abstained, draft.agreed, len(chat.requests)) == (True, False, 3)
    draft, _ = vote("", "7 May", "in Faro", {"groups": [[0], [1]]})
    assert (draft.text, draft.agreed) == ("7 May", False)


def test_without_a_judge_the_words_decide() -> None:
    draft, _ = vote("7 May", "on 7 May", "in Faro", ModelError("down"))
    assert (draft.text, draft.agreed) == ("7 May", True)


def test_without_a_model_one_answer_is_quoted_and_not_voted_on() -> None:
    draft, _ = vote(ModelError("down"), ModelError("down"))
    assert (draft.source, draft.agreed) == ("extractive", None)


def test_other_tiers_are_answered_once() -> None:
    draft, chat = vote("7 May", tier="deliberation")
    assert (draft.agreed, len(chat.requests)) == (None, 1)


@given(st.lists(st.lists(st.integers(-3, 6), max_size=5), max_size=5))
def test_whatever_groups_a_judge_names_one_answer_comes_back_verbatim(groups: list[list[int]]) -> None:
    draft, _ = vote("7 May", "in Faro", "by the sea", {"groups": groups})
    assert draft.text in ("7 May", "in Faro", "by the sea")
    largest = max((len({n for n in group if 0 <= n < 3}) for group in groups), default=0)
    assert not draft.agreed or largest >= 2


@pytest.mark.parametrize("unanimous", [True, False])
def test_too_few_answers_are_no_consensus(unanimous: bool) -> None:
    draft, _ = vote("7 May", "7 May", ModelError("down"), unanimous=unanimous)
    assert draft.agreed is not unanimous
