"""MemFlow's validator with another judge: what that judge is shown, and a skill whose reply cannot be read."""

from __future__ import annotations

from tierkeep.allowance import Allowance
from tierkeep.models.doubles import ScriptedChat
from tierkeep.prompts import answering
from tierkeep.protocols import ChatReply, ChatRequest
from tierkeep.records import Authority, Draft, Evidence, EvidenceItem, Plan, Query, Scope, Source, Verdict
from tierkeep.settings import GateSettings
from tierkeep.skills import Prompt, Skills
from tierkeep.testing.clock import FixedClock
from tierkeep.tokens import EstimateCounter
from tierkeep.validate.checks import LexicalValidator
from tierkeep.validate.support import SupportValidator

QUERY = Query(text="How many concerts did I hear?", scope=Scope(user="ana"), now="2026-06-01")
PLAN = Plan(tier="targeted", intent="state", search_text=QUERY.text, k=30, budget=2048)


def item(number: int) -> EvidenceItem:
    return EvidenceItem(
        id=f"e{number}", sources=(f"e{number}",), text=f"I heard a concert in hall number {number}.", at="2026-05-01", speaker="Ana",
        origin=Source.USER_DIRECT, authority=Authority.ADVISE,
    )  # fmt: skip


EVIDENCE = Evidence(
    question=QUERY.text, items=(item(1), item(2), item(3)), text="x", confidence=1.0,
    computed=("2 messages mention 'concerts' in May", "3 messages mention 'hall'"), computed_from=(("e1", "e2"), ("e1", "e2", "e3")),
)  # fmt: skip


class Seen:
    """A judge that keeps what it was shown and accepts it."""

    def __init__(self) -> None:
        self.evidence: list[Evidence] = []

    def validate(self, query: Query, plan: Plan, evidence: Evidence, draft: Draft, allowance: Allowance) -> Verdict:
        self.evidence.append(evidence)
        return Verdict(accept=True)


def shown(*used: str) -> Evidence:
    seen = Seen()
    skills = Skills(ScriptedChat([]), EstimateCounter(), FixedClock())
    validator = SupportValidator(skills, LexicalValidator(GateSettings()), judge=seen)
    draft = Draft(text="You heard a concert in the hall and then another concert", used=used, source="model")
    assert validator.validate(QUERY, PLAN, EVIDENCE, draft, Allowance(FixedClock())).accept
    return seen.evidence[0]


def test_the_judge_sees_the_cited_memories_and_the_lines_that_rest_on_nothing_else() -> None:
    seen = shown("e1", "e2")
    assert [one.id for one in seen.items] == ["e1", "e2"]
    assert (seen.computed, seen.computed_from) == (EVIDENCE.computed[:1], EVIDENCE.computed_from[:1])
    assert shown("e3").computed == ()


def test_an_answer_that_cites_everything_is_judged_on_the_evidence_itself() -> None:
    assert shown("e1", "e2", "e3") is EVIDENCE


class Nesting:
    """A model that replies with brackets nested beyond reason, and leaves reading them to the caller."""

    name = "nesting"

    def complete(self, request: ChatRequest) -> ChatReply:
        return ChatReply("[" * 100_000, None, 1, 1)


def test_a_reply_nested_beyond_reason_leaves_it_to_the_fallback() -> None:
    allowance = Allowance(FixedClock())
    reply = Skills(Nesting(), EstimateCounter(), FixedClock()).use("judge", Prompt("s", "u"), answering.SupportReply, allowance)
    assert reply is None
    assert [(call.answered_by, call.tries) for call in allowance.made()] == [("fallback", 2)]
