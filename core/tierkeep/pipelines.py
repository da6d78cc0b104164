"""READ FIRST: the order of the stages, and nothing else.

```
observe   Event ─▶ guard.admit ─▶ ledger.append ─▶ segment ─▶ extract ─▶ reconcile ─▶ ledger.apply      one transaction
recall    Query ─▶ route ─▶ tier.gather ─▶ guard.release ─▶ compose ─▶ Evidence                         empty: next plan
ask       … recall … ─▶ answer ─▶ validate ─▶ Answer                                                     not supported: next plan
forget    ledger.forget (closure, sweep) ─▶ extract ─▶ reconcile ─▶ ledger.apply                          what lost a source
```

The stages are handed in; this module imports none of them. The only loop is the escalation in `ask` and `recall`. It is bounded
twice: by `Ceilings.attempts`, and because a (tier, search text) pair is never tried again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tierkeep.allowance import NOT_ALL_IN_TIME, NOT_FOUND_IN_TIME, Allowance
from tierkeep.protocols import (
    Answerer,
    Composer,
    Extractor,
    Gathered,
    Guard,
    Ledger,
    Policy,
    Reconciler,
    Router,
    Segmenter,
    Tier,
    Transaction,
    Validator,
    View,
)
from tierkeep.records import (
    Answer,
    Draft,
    Event,
    EventDraft,
    Evidence,
    ForgetReport,
    Plan,
    Query,
    Scope,
    Step,
    Usage,
    Verdict,
)
from tierkeep.settings import Ceilings

#: Name under which the ledger remembers how far the write side has read a scope's events.
_DERIVED = "derived"


@dataclass(frozen=True, slots=True)
class WriteStages:
    """What an observed event passes through."""

    guard: Guard
    segmenter: Segmenter
    extractors: tuple[Extractor, ...]
    reconciler: Reconciler


@dataclass(frozen=True, slots=True)
class ReadStages:
    """What a question passes through."""

    router: Router
    tiers: Mapping[str, Tier]
    guard: Guard
    composer: Composer
    answerer: Answerer
    validator: Validator
    policy: Policy
    ceilings: Ceilings


@dataclass(frozen=True, slots=True)
class Observed:
    """What `observe` did: the events in input order with whether each was known before, and the ids of changed records."""

    events: tuple[tuple[Event, bool], ...]
    records: tuple[str, ...]


def observe(drafts: Sequence[EventDraft], scope: Scope, ledger: Ledger, stages: WriteStages) -> Observed:
    """Store events and what is derived from them, all or nothing.

    Deriving starts where it last stopped, so that events whose derivation was missed (a store restored from events alone, a deriver
    added later) are caught up on with the next write.

    Raises:
        WriteRejected: The guard refuses one of the drafts; nothing is stored.
        StorageError: The ledger cannot write; nothing is stored.
    """
    admitted = [stages.guard.admit(draft) for draft in drafts]
    with ledger.transaction(scope) as transaction:
        before = transaction.view.last_seq
        appended = transaction.append(admitted)
        pending = [event for event, duplicate in appended if not duplicate]
        if pending and transaction.cursor(_DERIVED) < before:
            pending = list(transaction.view.scan(after_seq=transaction.cursor(_DERIVED)))
        records = _derive(pending, transaction, stages)
        if pending:
            transaction.advance(_DERIVED, pending[-1].seq)
    return Observed(tuple((event, duplicate) for event, duplicate in appended), tuple(records))


def _derive(events: Sequence[Event], transaction: Transaction, stages: WriteStages) -> list[str]:
    if not events:
        return []
    view = transaction.view
    spans = stages.segmenter.segment(events, view)
    drafts = [draft for span in spans for extractor in stages.extractors for draft in extractor.extract(span, view)]
    ops = stages.reconciler.reconcile(drafts, view) if drafts else []
    return transaction.apply(ops) if ops else []


def forget(event_ids: Sequence[str], scope: Scope, ledger: Ledger, stages: WriteStages) -> ForgetReport:
    """Remove events and everything derived from them; rebuild from their other sources the records that lose only some.

    Raises:
        StorageError: The ledger cannot write; nothing is removed.
    """
    forgotten = ledger.forget(scope, event_ids)
    with ledger.transaction(scope) as transaction:
        # Not only this call's: a process that died between the two steps has left some behind.
        blanked = [record for record in transaction.view.records(status="quarantined") if not record.text]
        if not blanked:
            return forgotten.report
        changed = transaction.apply(stages.reconciler.rebuild(transaction.view))
        rebuilt = transaction.view.get(changed)
    return forgotten.report.model_copy(update={"rederived": len(rebuilt)})


def recall(query: Query, view: View, stages: ReadStages, allowance: Allowance) -> Evidence:
    """Return the first evidence that is not empty, from the cheapest tier on."""
    return _run(query, view, stages, allowance, _gather_only)[-1].evidence


def ask(query: Query, view: View, stages: ReadStages, allowance: Allowance) -> Answer:
    """Return the first answer that its evidence supports, else the best one tried."""
    steps = _run(query, view, stages, allowance, _gather_and_answer)
    best = _best(steps)
    draft = best.draft or Draft(text="", abstained=True)
    partial = any(step.evidence.partial for step in steps)
    # An attempt that had its time may have found nothing; that is not the answer when the next one had none.
    unknown = partial and draft.abstained and not best.evidence and not best.evidence.dropped
    return Answer(
        text=f"No answer: {NOT_FOUND_IN_TIME}." if unknown else draft.text,
        short=draft.short,
        abstained=draft.abstained,
        evidence=best.evidence,
        verdict=best.verdict or Verdict(accept=False, source="none"),
        tiers=tuple(step.plan.tier for step in steps),
        usage=Usage.of(allowance.made(), allowance.ms()),
        trace=tuple(steps),
        partial=partial,
    )


_Attempt = Callable[[Query, Plan, View, ReadStages, Allowance, str], tuple[Step, bool]]


def _run(query: Query, view: View, stages: ReadStages, allowance: Allowance, attempt: _Attempt) -> list[Step]:
    """Try plans until one is good enough, the policy has no other, the ceiling is reached or time is up."""
    steps: list[Step] = []
    tried: set[tuple[str, str]] = set()
    mark, began = 0, allowance.ms()
    plan: Plan | None = stages.router.route(query, view, allowance)
    while plan is not None and len(steps) < stages.ceilings.attempts and (plan.tier, plan.search_text) not in tried:
        if steps and allowance.expired():
            steps[-1] = _cut_short(steps[-1])
            break
        tried.add((plan.tier, plan.search_text))
        carry = steps[-1].draft.text if steps and steps[-1].draft and not steps[-1].draft.abstained else ""
        step, good = attempt(query, plan, view, stages, allowance, carry)
        made, now = allowance.made(mark), allowance.ms()
        steps.append(step.model_copy(update={"skills": made, "usage": Usage.of(made, now - began)}))
        mark, began = mark + len(made), now
        if good:
            break
        plan = stages.policy.next(query, steps)
    return steps


def _cut_short(step: Step) -> Step:
    """Return the step as the last one for which there was time: whatever it found, more might have been there."""
    evidence = step.evidence
    note = evidence.note
    if not note or not (evidence.partial or evidence.dropped):
        note = NOT_ALL_IN_TIME if evidence else NOT_FOUND_IN_TIME
    return step.model_copy(update={"evidence": evidence.model_copy(update={"partial": True, "note": note})})


def _evidence(query: Query, plan: Plan, view: View, stages: ReadStages, allowance: Allowance) -> Evidence:
    gathered = stages.tiers[plan.tier].gather(query, plan, view, allowance)
    released = stages.guard.release(gathered.hits, query)
    return stages.composer.compose(query, plan, Gathered(released, gathered.confidence, gathered.partial), view)


def _gather_only(
    query: Query, plan: Plan, view: View, stages: ReadStages, allowance: Allowance, carry: str
) -> tuple[Step, bool]:
    evidence = _evidence(query, plan, view, stages, allowance)
    return Step(plan=plan, evidence=evidence), any(item.flag != "ENDED" for item in evidence.items)


def _gather_and_answer(
    query: Query, plan: Plan, view: View, stages: ReadStages, allowance: Allowance, carry: str
) -> tuple[Step, bool]:
    evidence = _evidence(query, plan, view, stages, allowance)
    draft = stages.answerer.answer(query, plan, evidence, allowance, carry)
    verdict = stages.validator.validate(query, plan, evidence, draft, allowance)
    return Step(plan=plan, evidence=evidence, draft=draft, verdict=verdict), verdict.accept


def _best(steps: Sequence[Step]) -> Step:
    """Return the accepted step, else the one with most support; of equals the earlier, which is the cheaper."""

    def rank(step: Step) -> tuple[bool, bool, int, float]:
        verdict = step.verdict or Verdict(accept=False, source="none")
        passed = (verdict.relevance, verdict.faithfulness, verdict.completeness).count("pass")
        answered = step.draft is not None and not step.draft.abstained
        return (verdict.accept, answered, passed, verdict.support)

    return max(steps, key=rank)
