"""HyMem's reflection and its loop, without a model."""

from __future__ import annotations

from tierkeep.allowance import Allowance
from tierkeep.records import Authority, Draft, Evidence, EvidenceItem, Plan, Query, Scope, Source, Step, Verdict
from tierkeep.settings import GateSettings, HyMemSettings
from tierkeep.testing.clock import FixedClock
from tierkeep.validate.checks import LexicalValidator
from tierkeep.validate.policies import Reflection
from tierkeep.validate.reflection import ReflectionValidator

QUERY = Query(text="Where does the friend of Ana's cousin live?", scope=Scope(user="ana"), now="2026-06-01")
LIGHT = Plan(tier="light", intent="targeted", search_text=QUERY.text, k=15, budget=1024)
DEEP = LIGHT.model_copy(update={"tier": "segments"})
ITEM = EvidenceItem(
    id="e1", sources=("e1",), text="The cousin of Ana has a friend named Henrike.", at="2026-05-20", speaker="Ana",
    origin=Source.USER_DIRECT, authority=Authority.ADVISE,
)  # fmt: skip


def validate(draft: Draft, plan: Plan = LIGHT, confidence: float = 1.0, items: int = 1) -> Verdict:
    shown = tuple(ITEM.model_copy(update={"id": f"e{n + 1}"}) for n in range(items))
    evidence = Evidence(question=QUERY.text, items=shown, text="x", confidence=confidence)
    rules = ReflectionValidator(None, LexicalValidator(GateSettings()), GateSettings())
    return rules.validate(QUERY, plan, evidence, draft, Allowance(FixedClock(), calls=0))


QUOTED = Draft(text="The cousin of Ana has a friend named Henrike.", used=("e1",))


def test_declined_is_not_accepted() -> None:
    verdict = validate(Draft(text="", abstained=True, source="model"))
    assert (verdict.accept, verdict.rewrite, verdict.reasons) == (False, "", ("declined",))


def test_thin_evidence_of_a_full_tier_is_not_accepted_and_the_rewrite_asks_for_what_is_open() -> None:
    assert validate(QUOTED).accept
    verdict = validate(QUOTED, confidence=0.01, items=15)
    assert not verdict.accept and verdict.completeness == "fail"
    assert verdict.rewrite == "live Henrike"


def step(plan: Plan, verdict: Verdict | None) -> Step:
    return Step(plan=plan, evidence=Evidence(question=QUERY.text), verdict=verdict)


def following(*steps: Step, iterations: int = 2, budget: int | None = None) -> Plan | None:
    return Reflection(HyMemSettings(iterations=iterations)).next(QUERY.model_copy(update={"budget": budget}), steps)


REFUSED = Verdict(accept=False, source="rules", rewrite="live Henrike")
ASKED = Verdict(accept=False, source="model", rewrite="Where does Henrike live?")


def test_declined_goes_deeper_with_the_same_words() -> None:
    plan = following(step(LIGHT, Verdict(accept=False)))
    assert plan is not None and (plan.tier, plan.search_text, plan.attempt) == ("segments", QUERY.text, 1)
    assert plan.budget == HyMemSettings().deep_budget


def test_the_callers_budget_holds_in_every_tier() -> None:
    plan = following(step(LIGHT, None), budget=300)
    assert plan is not None and (plan.tier, plan.budget) == ("segments", 300)


def test_a_models_question_is_looked_up_in_the_light_tier() -> None:
    for before in ((step(LIGHT, ASKED),), (step(LIGHT, REFUSED), step(DEEP, ASKED)), (step(LIGHT, REFUSED), step(DEEP, REFUSED))):
        plan = following(*before)
        assert plan is not None and plan.tier == "light" and plan.budget == 1024
        assert plan.search_text == (before[-1].verdict or REFUSED).rewrite


def test_what_rules_refuse_goes_deeper_first() -> None:
    plan = following(step(LIGHT, REFUSED))
    assert plan is not None and plan.tier == "segments"


def test_it_ends_after_its_rounds() -> None:
    assert following(step(LIGHT, ASKED), iterations=1) is None
    again = LIGHT.model_copy(update={"search_text": "x"})
    assert following(step(LIGHT, ASKED), step(again, ASKED)) is None
    assert following(step(LIGHT, REFUSED), step(DEEP, Verdict(accept=False))) is None
