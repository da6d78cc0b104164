"""The deterministic validator and the escalation policy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierkeep.allowance import Allowance
from tierkeep.protocols import Gathered, View
from tierkeep.records import Authority, Draft, Evidence, EvidenceItem, Plan, Query, Scope, Source, Step, Verdict
from tierkeep.settings import Budgets, GateSettings
from tierkeep.testing.clock import FixedClock
from tierkeep.validate.checks import LexicalValidator
from tierkeep.validate.policies import HeavierTier

PLAN = Plan(tier="targeted", intent="targeted", search_text="", k=10, budget=1000)


def item(text: str, *, id: str = "e1", flag: str = "", speaker: str = "Ana", dates: tuple[str, ...] = ()) -> EvidenceItem:
    return EvidenceItem(
        id=id, sources=(id,), text=text, at="2026-05-20", speaker=speaker, origin=Source.USER_DIRECT, authority=Authority.ADVISE,
        flag=flag, dates=dates,
    )  # fmt: skip


def check(question: str, draft: Draft, *items: EvidenceItem, confidence: float = 1.0, dropped: tuple[str, ...] = ("e9",)) -> Verdict:
    evidence = Evidence(question=question, items=items, text="x", confidence=confidence, dropped=dropped)
    query = Query(text=question, scope=Scope(user="ana"), now="2026-06-01")
    return LexicalValidator(GateSettings()).validate(query, PLAN, evidence, draft, Allowance(FixedClock(), calls=0))


def model(text: str, *used: str) -> Draft:
    return Draft(text=text, used=used or ("e1",), source="model")


KEY = item("The spare key hangs behind the blue door, since 2019.")


def test_a_supported_answer_is_accepted() -> None:
    verdict = check("Where is the spare key?", model("The key hangs behind the blue door."), KEY)
    assert (verdict.accept, verdict.relevance, verdict.faithfulness, verdict.completeness) == (True, "pass", "pass", "pass")
    assert verdict.support == 1.0


def test_an_abstention_is_never_accepted() -> None:
    assert not check("Where is the key?", Draft(text="Not in memory.", abstained=True)).accept


def test_a_number_that_the_evidence_lacks_is_refused() -> None:
    verdict = check("Since when is the key there?", model("The spare key hangs there since 2018."), KEY)
    assert verdict.faithfulness == "fail" and any("2018" in reason for reason in verdict.reasons)


def test_a_number_from_a_resolved_date_is_fine() -> None:
    told = item("I painted the shed last Tuesday.", dates=("last Tuesday = 12 May 2026",))
    assert check("When did I paint the shed?", model("You painted the shed on 12 May 2026."), told).faithfulness == "pass"


def test_words_of_its_own_are_refused() -> None:
    verdict = check("Where is the spare key?", model("Your cousin keeps it inside an orange lighthouse near Kiel."), KEY)
    assert verdict.faithfulness == "fail" and verdict.support < 0.7


def test_an_echo_of_the_question_is_no_answer() -> None:
    assert check("Where is the spare key?", model("The spare key is where?"), KEY).relevance == "fail"


def test_a_citation_that_shares_no_word_with_the_question_is_refused() -> None:
    verdict = check("Where is the spare key?", model("It rained."), item("It rained."))
    assert not verdict.accept and verdict.relevance == "unknown"  # a judge may see a connection; the rules alone do not accept it


def test_a_profile_item_answers_without_sharing_a_word() -> None:
    home = item("Ana lives in Faro", id="p", flag="PROFILE")
    assert check("Where am I at home?", Draft(text="Ana lives in Faro.", used=("p",)), home).accept


def test_a_time_that_was_asked_for_must_be_given() -> None:
    assert check("When was the key copied?", model("The spare key hangs behind the door."), KEY).relevance == "fail"


def test_thin_evidence_fails_completeness() -> None:
    verdict = check("Which paint did the carpenter recommend for the shed?", model("The shed."), item("The shed."), confidence=0.0)
    assert verdict.completeness == "fail"


def test_evidence_that_holds_all_that_matches_is_not_thin() -> None:
    verdict = check("Which paint did the carpenter use?", model("The shed."), item("The shed."), confidence=0.0, dropped=())
    assert verdict.completeness == "pass"


def test_a_quote_that_rests_on_nothing_is_refused() -> None:
    assert check("Where is the spare key?", Draft(text="\u201cThe spare key.\u201d"), KEY).faithfulness == "fail"


@given(st.text(max_size=120), st.text(max_size=120), st.text(max_size=120), st.floats(0, 1))
def test_support_is_a_share_and_a_refusal_has_a_reason(question: str, said: str, ground: str, confidence: float) -> None:
    verdict = check(question, model(said), item(ground), confidence=confidence)
    assert 0.0 <= verdict.support <= 1.0
    assert verdict.accept == (verdict.relevance == "pass" and "fail" not in (verdict.faithfulness, verdict.completeness))
    assert verdict.accept or verdict.reasons


# --------------------------------------------------------------------------------------------------------- policy


class Named:
    """A tier that is only its name and weight."""

    def __init__(self, name: str, weight: int) -> None:
        self.name, self.weight = name, weight

    def gather(self, query: Query, plan: Plan, view: View, allowance: Allowance) -> Gathered:
        """Return nothing."""
        return Gathered([])


QUERY = Query(text="Where is the key?", scope=Scope(user="ana"), now="2026-06-01")
TIERS: dict[str, Any] = {name: Named(name, weight) for name, weight in (("deep", 3), ("profile", 1), ("targeted", 2))}


def climb(policy: HeavierTier, plan: Plan) -> Iterator[Plan]:
    steps: list[Step] = []
    current: Plan | None = plan
    while current is not None:
        yield current
        steps.append(Step(plan=current, evidence=Evidence(question=""), verdict=Verdict(accept=False, reasons=("thin",))))
        current = policy.next(QUERY, steps)


@pytest.mark.parametrize(
    ("start", "path"),
    [("profile", ["profile", "targeted", "deep"]), ("targeted", ["targeted", "deep"]), ("deep", ["deep"])],
)
def test_it_climbs_to_the_top_and_stops(start: str, path: list[str]) -> None:
    plans = list(climb(HeavierTier(TIERS, Budgets()), PLAN.model_copy(update={"tier": start})))
    assert [plan.tier for plan in plans] == path
    assert [plan.attempt for plan in plans] == list(range(len(path)))
    assert all("thin" in plan.reason and plan.source == "policy" for plan in plans[1:])


def test_a_retry_may_cost_a_third_more_but_never_more_than_the_caller_gave() -> None:
    def second(budget: int | None) -> int:
        steps = [Step(plan=PLAN, evidence=Evidence(question=""), verdict=Verdict(accept=False))]
        plan = HeavierTier(TIERS, Budgets(deep=300, retry_factor=1.5)).next(QUERY.model_copy(update={"budget": budget}), steps)
        assert plan is not None
        return plan.budget

    assert second(None) == 450
    assert second(100) == 100


WEB = item("The plumber is called Mallory.", id="w1").model_copy(update={"origin": Source.WEB, "authority": Authority.DATA})
CAME = item("The plumber came on Monday.", id="e1")


@pytest.mark.parametrize("used", [("e1",), ("w1",), ("e1", "w1")])
def test_words_that_only_an_outsider_says_are_not_accepted_whatever_memories_the_model_names(used: tuple[str, ...]) -> None:
    verdict = check("What is the plumber called?", model("Mallory", *used), CAME, WEB)
    assert not verdict.accept and verdict.reasons == ("only an unverified source says so",)


def test_what_the_user_says_is_accepted_although_an_outsider_says_more() -> None:
    told = item("My plumber is called Anselmo.", id="e2")
    assert check("What is the plumber called?", model("Anselmo", "e2", "w1"), told, WEB).accept
    assert check("When did the plumber come?", model("Monday, 2026-05-20", "e1"), CAME, WEB).accept
