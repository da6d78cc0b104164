"""The deterministic validator: D-Mem's three axes and MemFlow's failure checks, without a model (tiers spec, 1.7 and 5.3.7)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tierkeep.allowance import Allowance
from tierkeep.dates.questions import asks_for_time
from tierkeep.records import FROM_OUTSIDE, Axis, Draft, Evidence, EvidenceItem, Plan, Query, Source, Verdict
from tierkeep.settings import GateSettings
from tierkeep.terms import analyze

_NUMBER = re.compile(r"\d+")
#: "Where do I live?", "What is my number?": what another person says of themselves is no answer.
_OWN_AFFAIR = re.compile(
    r"\b(?:do|did|am|was|have|had|can|should) (?:i|we)\b|\b(?:my|mine|our|ours|me|us|the user)\b|\bwho am i\b", re.IGNORECASE
)
#: A name inside a question: capitalised, and not its first word.
_NAMED = re.compile(r"(?<=[\w,] )[A-Z\u00c0-\u00de][\w'\u2019-]+")


def from_outside_only(evidence: Evidence, draft: Draft) -> bool:
    """Return whether all that an answer rests on could have been written by anybody (tools, pages, documents).

    A model may name other memories than it took its words from, or none. So its answer also counts as from outside when it adds words to
    the question that outside memories have and none of the inside ones it names.
    """
    used = [item for item in evidence.items if item.id in draft.used]
    inside = [item for item in used if item.origin not in FROM_OUTSIDE]
    if not inside or draft.source != "model":
        return bool(used) and not inside
    added = set(analyze(draft.text)) - set(analyze(evidence.question))
    outside = (item for item in evidence.items if item.origin in FROM_OUTSIDE)
    return not added & _terms(inside) and bool(added & _terms(outside))


def _terms(items: Iterable[EvidenceItem]) -> set[str]:
    return {term for item in items for term in analyze(f"{item.speaker} {item.text} {item.at} {' '.join(item.dates)}")}


class LexicalValidator:
    """Accepts an answer when it addresses the question, says nothing its evidence does not, and the evidence looks sufficient.

    It cannot tell an unanswerable question from an answerable one; no lexical signal can (tiers 5.3.7, measured).

    Args:
        settings: Thresholds.
    """

    def __init__(self, settings: GateSettings) -> None:
        self._settings = settings

    def validate(self, query: Query, plan: Plan, evidence: Evidence, draft: Draft, allowance: Allowance) -> Verdict:
        """Return the verdict. Costs no tokens."""
        if draft.abstained:
            verdict = Verdict(accept=False, relevance="fail", faithfulness="pass", completeness="fail", reasons=("no evidence",))
            return verdict
        reasons: list[str] = []
        relevance = self._relevance(query, evidence, draft, reasons)
        support, faithfulness = self._faithfulness(evidence, draft, reasons)
        completeness = self._completeness(evidence, reasons)
        accept = relevance == "pass" and "fail" not in (faithfulness, completeness)
        return Verdict(accept=accept, relevance=relevance, faithfulness=faithfulness, completeness=completeness,
                       support=round(support, 4), reasons=tuple(reasons))

    def _relevance(self, query: Query, evidence: Evidence, draft: Draft, reasons: list[str]) -> Axis:
        unclear = False
        asked, said = set(analyze(query.text)), set(analyze(draft.text))
        if asked and said and len(asked & said) / len(asked | said) > self._settings.max_jaccard:
            reasons.append("the answer repeats the question")
            return "fail"
        used = [item for item in evidence.items if item.id in draft.used]
        shared = any(asked & set(analyze(f"{item.speaker} {item.text}")) for item in used)
        if asked and not shared and not any(item.flag for item in used):
            reasons.append("no cited memory shares a word with the question")
            # A model may have put two and two together ("live" and "moved to"), which a judge can see; a quotation is only a guess.
            if draft.source == "extractive":
                return "fail"
            unclear = True
        if from_outside_only(evidence, draft):
            reasons.append("only an unverified source says so")
            return "fail"
        if _OWN_AFFAIR.search(query.text) and used and all(item.origin == Source.IMPORTED for item in used):
            reasons.append("somebody else said it, of themselves or of others")
            return "fail"
        spoken_of = " ".join(f"{item.speaker} {item.text}" for item in used).casefold()
        names = [name.casefold().removesuffix("'s").removesuffix("\u2019s") for name in _NAMED.findall(query.text)]
        if used and names and not any(name in spoken_of for name in names) and draft.source == "extractive":
            reasons.append(f"nothing cited speaks of {names[0].title()}")
            return "fail"
        if asks_for_time(query.text) == "when" and not _NUMBER.search(draft.text):
            reasons.append("a time was asked for and none is given")
            return "fail"
        return "unknown" if unclear else "pass"

    def _faithfulness(self, evidence: Evidence, draft: Draft, reasons: list[str]) -> tuple[float, Axis]:
        """Every number of the answer must be in the evidence or follow from a time in it; most other words too."""
        shown = (f"{item.speaker} {item.text} {item.at} {' '.join(item.dates)}" for item in evidence.items)
        ground = " ".join([*evidence.computed, *shown])
        known = set(analyze(ground))
        said = [term for term in analyze(draft.text) if not _NUMBER.fullmatch(term)]
        support = sum(term in known for term in said) / len(said) if said else 1.0
        if draft.source == "extractive":
            # Its words are quotes and its dates are computed by the resolver from the cited item; nothing to doubt.
            return max(support, 1.0 if draft.used else 0.0), "pass" if draft.used else "fail"
        numbers = set(_NUMBER.findall(draft.text)) - set(_NUMBER.findall(ground))
        if numbers:
            reasons.append(f"not in the evidence: {', '.join(sorted(numbers))}")
            return support, "fail"
        if support < self._settings.support:
            reasons.append(f"{support:.0%} of the answer's words are in the evidence")
            return support, "fail"
        return support, "pass"

    def _completeness(self, evidence: Evidence, reasons: list[str]) -> Axis:
        if evidence.items and all(item.flag == "ENDED" for item in evidence.items):
            reasons.append("what was known has ended")
            return "fail"
        if any(item.flag for item in evidence.items):
            return "pass"  # a profile item is the answer itself; the gate below is fitted to retrieval scores
        if not evidence.dropped and not evidence.partial:
            return "pass"  # everything that matches is in the evidence; looking again cannot add to it
        if evidence.confidence < self._settings.escalate_below:
            reasons.append("the evidence looks thin")
            return "fail"
        return "pass"

