"""D-Mem's gates: when a judge is asked, what fails without one, and what is final."""

from __future__ import annotations

from typing import Any

import pytest

from tierkeep.allowance import Allowance
from tierkeep.errors import ModelError
from tierkeep.models.doubles import ScriptedChat
from tierkeep.records import Authority, Draft, Evidence, EvidenceItem, Plan, Query, Scope, Source, Step, Verdict
from tierkeep.settings import GateSettings
from tierkeep.skills import Skills
from tierkeep.testing.clock import FixedClock
from tierkeep.tokens import EstimateCounter
from tierkeep.validate.checks import LexicalValidator
from tierkeep.validate.policies import Deliberate
from tierkeep.validate.quality_gate import QualityGate, VoteGate

QUERY = Query(text="Where is the spare key?", scope=Scope(user="ana"), now="2026-06-01")
PLAN = Plan(tier="facts", intent="targeted", search_text=QUERY.text, k=30, budget=2048)
ANSWER = Draft(text="Behind the blue door", used=("e1",), source="model")
PASS = {"relevance": "pass", "faithfulness": "pass", "completeness": "pass"}


def evidence(origin: Source = Source.USER_DIRECT, kind: str = "scan") -> Evidence:
    item = EvidenceItem(
        id="e1", sources=("e1",), text="The spare key hangs behind the blue door.", at="2026-05-20", speaker="Ana", origin=origin,
        authority=Authority.DATA, kind=kind,
    )  # fmt: skip
    return Evidence(question=QUERY.text, items=(item,), text="x", confidence=1.0)


def judged(
    draft: Draft, *script: Any, tier: str = "facts", origin: Source = Source.USER_DIRECT, calls: int = 9, kind: str = "scan"
) -> tuple[Verdict, int]:
    chat = ScriptedChat(list(script))
    gate = QualityGate(Skills(chat, EstimateCounter(), FixedClock()), LexicalValidator(GateSettings()))
    plan = PLAN.model_copy(update={"tier": tier})
    return gate.validate(QUERY, plan, evidence(origin, kind), draft, Allowance(FixedClock(), calls=calls)), len(chat.requests)


def test_three_passes_accept() -> None:
    verdict, calls = judged(ANSWER, PASS)
    assert (verdict.accept, verdict.source, verdict.support, calls) == (True, "model", 1.0, 1)


@pytest.mark.parametrize("axis", PASS)
def test_any_axis_refuses_and_is_named(axis: str) -> None:
    verdict, _ = judged(ANSWER, {**PASS, axis: "fail"})
    assert not verdict.accept and getattr(verdict, axis) == "fail" and axis in verdict.reasons[0]


@pytest.mark.parametrize("line", ["no json", {"relevance": "pass", "faithfulness": "pass"}, {**PASS, "relevance": "maybe"}])
def test_a_verdict_that_cannot_be_read_is_a_failure(line: Any) -> None:
    verdict, calls = judged(ANSWER, line, line)
    assert not verdict.accept and calls == 2 and verdict.completeness == "fail"


def test_a_judge_that_cannot_be_asked_leaves_it_to_the_rules() -> None:
    assert judged(ANSWER, ModelError("down"))[0].source == "rules"
    assert judged(ANSWER, calls=0) == (judged(ANSWER, ModelError("down"))[0], 0)


@pytest.mark.parametrize("draft", [Draft(text="Not in memory.", abstained=True, source="model"), Draft(text="  ", source="model")])
def test_nothing_said_fails_without_a_call(draft: Draft) -> None:
    verdict, calls = judged(draft)
    assert (verdict.accept, calls) == (False, 0)


@pytest.mark.parametrize("tier", ["facts", "deliberation"])
def test_what_only_outsiders_say_fails_without_a_call(tier: str) -> None:
    verdict, calls = judged(ANSWER, tier=tier, origin=Source.WEB)
    assert (verdict.accept, verdict.relevance, calls) == (False, "fail", 0)


def test_the_deliberations_answer_is_final() -> None:
    verdict, calls = judged(ANSWER, tier="deliberation")
    assert (verdict.accept, calls) == (True, 0)


def test_a_quotation_is_judged_by_the_rules() -> None:
    verdict, calls = judged(Draft(text="The spare key hangs behind the blue door.", used=("e1",)), tier="deliberation")
    assert (verdict.accept, verdict.source, calls) == (True, "rules", 0)


@pytest.mark.parametrize(("agreed", "accept"), [(True, True), (False, False)])
def test_a_vote_is_accepted_when_it_agreed(agreed: bool, accept: bool) -> None:
    gate = VoteGate(LexicalValidator(GateSettings()))
    draft = ANSWER.model_copy(update={"agreed": agreed})
    assert gate.validate(QUERY, PLAN, evidence(), draft, Allowance(FixedClock())).accept is accept
    assert not gate.validate(QUERY, PLAN, evidence(Source.WEB), draft, Allowance(FixedClock())).accept


def test_deliberation_comes_once() -> None:
    policy = Deliberate(3072)
    first = Step(plan=PLAN, evidence=evidence(), verdict=Verdict(accept=False, reasons=("the judge fails its relevance",)))
    plan = policy.next(QUERY, [first])
    assert plan is not None and (plan.tier, plan.attempt, plan.budget, plan.source) == ("deliberation", 1, 3072, "policy")
    assert "relevance" in plan.reason
    assert policy.next(QUERY, [first, Step(plan=plan, evidence=evidence())]) is None
    own = policy.next(QUERY.model_copy(update={"budget": 99}), [first])
    assert own is not None and own.budget == 99


def test_an_answer_of_a_deliberation_that_did_not_take_place_is_judged() -> None:
    verdict, calls = judged(ANSWER, {**PASS, "faithfulness": "fail"}, tier="deliberation", kind="message")
    assert (verdict.accept, verdict.faithfulness, calls) == (False, "fail", 1)
