"""The rule router: which tier a question starts in, and that it never fails."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierkeep.allowance import Allowance
from tierkeep.records import Plan, Query, Scope
from tierkeep.route.rules import RuleRouter
from tierkeep.settings import Budgets
from tierkeep.testing.clock import FixedClock


def route(question: str, budget: int | None = None) -> Plan:
    query = Query(text=question, scope=Scope(user="ana"), now="2026-01-01", budget=budget)
    return RuleRouter(Budgets()).route(query, None, Allowance(FixedClock()))  # type: ignore[arg-type]  # the rules read no view


@pytest.mark.parametrize(
    "question",
    [
        "What is my name?", "Where do I live?", "Which city do I live in?", "Who do I work for? I mean, where do I work now?",
        "Who is my dentist?", "What's my sister's name?", "Do I drink coffee?", "Am I allergic to nuts?",
        "What do I like?",
        "In which unit should you give me distances?", "How should you address me?", "What is my favourite colour?",
    ],
)  # fmt: skip
def test_what_the_user_said_of_themselves_starts_in_the_profile(question: str) -> None:
    assert (route(question).tier, route(question).intent) == ("profile", "profile")


@pytest.mark.parametrize("question", ["Recommend a film for me.", "What should I cook tonight?", "Which restaurant would you suggest?"])
def test_advice_is_bound_by_the_users_rules(question: str) -> None:
    assert (route(question).tier, route(question).intent) == ("deep", "constraint")


@pytest.mark.parametrize(
    "question",
    [
        "兽医说了什么？", "Was hat der Tierarzt gesagt?", "¿Qué dijo el veterinario?", "獣医は何と言いましたか？", "ماذا قال الطبيب؟",
        "What did the vet say?", "Which paint did I buy for the shed?", "What colour is the shed?", "Who repaired the roof?",
        "", "?", "blue",
    ],
)  # fmt: skip
def test_unsure_means_targeted(question: str) -> None:
    assert (route(question).tier, route(question).intent) == ("targeted", "targeted")


@pytest.mark.parametrize(
    ("question", "intent"),
    [
        ("When did I buy the shed?", "temporal"),
        ("How long have I had the dog?", "temporal"),
        ("Since when do I live here?", "temporal"),
        ("How many sheds did I paint?", "state"),
        ("How often did the roof leak?", "state"),
        ("What is the status of the roof now?", "state"),
        ("Did I change my mind about the shed?", "conflict"),
        ("Is the roof still leaking?", "conflict"),
        ("May I paint the shed?", "constraint"),
        ("Is it okay for me to swim?", "constraint"),
        ("Which cake could you suggest for Sunday?", "constraint"),
        ("I'm allergic to bees, where to camp?", "constraint"),
        ("我什么时候买的棚子？", "temporal"),
        ("いつ小屋を買いましたか？", "temporal"),
        ("Wann habe ich die Hütte gekauft?", "temporal"),
        ("¿Cuándo compré la caseta?", "temporal"),
        ("متى اشتريت الكوخ؟", "temporal"),
        ("我刷了多少个棚子？", "state"),
        ("犬は何匹いますか？", "state"),
        ("Wie viele Hütten habe ich gestrichen?", "state"),
        ("¿Cuántas casetas pinté?", "state"),
        ("كم كوخا اشتريت؟", "state"),
        ("我现在在哪里工作？", "state"),
        ("Wo arbeitet meine Schwester jetzt?", "state"),
        ("Wohnt Lena immer noch in Graz?", "conflict"),
        ("¿Todavía tengo el coche?", "conflict"),
    ],
)
def test_what_needs_several_places_starts_deep(question: str, intent: str) -> None:
    assert (route(question).tier, route(question).intent) == ("deep", intent)


def test_an_overview_is_a_wide_targeted_search() -> None:
    assert (route("Give me an overview of the roof.").tier, route("Give me an overview of the roof.").intent) == ("targeted", "summary")


@pytest.mark.parametrize("question", ["Where does my sister work now?", "What does my boss like?", "Has my dentist an address?"])
def test_a_question_about_somebody_else_is_not_for_the_profile(question: str) -> None:
    assert route(question).tier != "profile"


def test_how_many_days_asks_for_a_time_and_not_for_a_count() -> None:
    assert route("How many days did the painting take?").intent == "temporal"


def test_the_callers_budget_is_the_ceiling_and_the_tiers_is_the_default() -> None:
    assert route("Where do I live?", budget=50).budget == 50
    assert [route(q).budget for q in ("Where do I live?", "What about the shed?", "Is it still open?")] == [768, 2048, 3072]


@given(st.text(max_size=300))
def test_it_never_fails_and_always_says_why(question: str) -> None:
    plan = route(question)
    assert plan.tier in {"profile", "targeted", "deep"}
    assert plan.reason and plan.attempt == 0 and plan.search_text == question
    assert route(question) == plan


@pytest.mark.parametrize("piece", ["should ", "recommend ", "my a-", "how many ", "my my ", "what order "])
def test_a_pasted_question_costs_no_more_than_its_length(piece: str) -> None:
    route(piece * 1_200)
