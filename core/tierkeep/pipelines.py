"""READ FIRST: the order of the stages, and nothing else.

```
observe   Event ─▶ guard.admit ─▶ ledger.append ─▶ segment ─▶ extract ─▶ reconcile ─▶ ledger.apply      one transaction
derive    backlog ─▶ segment ─▶ extract ─▶ reconcile ─▶ ledger.apply                                     one transaction a span
recall    Query ─▶ route ─▶ tier.gather ─▶ guard.release ─▶ (consensus) ─▶ compose ─▶ Evidence                         empty: next plan
ask       … recall … ─▶ answer ─▶ validate ─▶ Answer                                                     not supported: next plan
forget    ledger.forget (closure, sweep) ─▶ extract ─▶ reconcile ─▶ ledger.apply                          what lost a source
```

Two kinds of derivers: an immediate one (rules) works inside the transaction that stores the events; a deferred one may ask a model, so it
works afterwards, outside of any transaction, and a cursor remembers how far it came.

The stages are handed in; this module imports none of them. The only loop is the escalation in `ask` and `recall`. It is bounded
twice: by `Ceilings.attempts`, and because a (tier, search text) pair is never tried again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tierkeep.admitting import admitted, bounded, quarantines
from tierkeep.allowance import NOT_ALL_IN_TIME, NOT_FOUND_IN_TIME, Allowance, Progress
from tierkeep.backlog import Backlog
from tierkeep.errors import OpRefused
from tierkeep.outdated import outdated
from tierkeep.protocols import (
    Answerer,
    Composer,
    Consensus,
    Extractor,
    Guard,
    Ledger,
    Policy,
    Reconciler,
    Router,
    Segmenter,
    Span,
    Tier,
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
    Hit,
    MaintainReport,
    Op,
    Plan,
    Query,
    Record,
    Scope,
    Step,
    Usage,
    Verdict,
)
from tierkeep.settings import Ceilings, Deriving

#: How often a rebuild is tried when somebody changes what it rests on.
_REBUILDS = 3
#: Gives an allowance for one unit of work.
Grant = Callable[[], Allowance]

@dataclass(frozen=True, slots=True)
class Deriver:
    """One way to derive records from events.

    Attributes:
        name: Under which the ledger remembers how far it has read.
        kinds: Kinds of the records it makes.
        segmenter: Cuts events into spans.
        extractors: Each makes drafts of every span.
        reconciler: Turns drafts into ops.
        deferred: True when it may ask a model, and so works after the events are stored.
    """

    name: str
    kinds: frozenset[str]
    segmenter: Segmenter
    extractors: tuple[Extractor, ...]
    reconciler: Reconciler
    deferred: bool = False

    def ops(self, spans: Sequence[Span], view: View, allowance: Allowance) -> list[Op]:
        """Return the ops that these spans come to."""
        drafts = [draft for span in spans for extractor in self.extractors for draft in extractor.extract(span, view, allowance)]
        return self.reconciler.reconcile(drafts, view, allowance) if drafts else []

    def blanked(self, view: View) -> int:
        """Return the number of records of its kinds that a forget has left without their text."""
        return sum(not record.text and record.kind in self.kinds for record in view.records(status="quarantined"))


@dataclass(frozen=True, slots=True)
class WriteStages:
    """What an observed event passes through.

    Attributes:
        guard: Decides what may be stored.
        derivers: The ways to derive records, in order.
        limits: How much a deferred derivation may cost, and when a conversation counts as over.
        quota: Raises when the owner has more than is allowed, or None.
    """

    guard: Guard
    derivers: tuple[Deriver, ...]
    limits: Deriving
    quota: Callable[[View], None] | None = None

    @property
    def immediate(self) -> tuple[Deriver, ...]:
        """The derivers that work inside the transaction of a write."""
        return tuple(deriver for deriver in self.derivers if not deriver.deferred)

    @property
    def deferred(self) -> tuple[Deriver, ...]:
        """The derivers that work afterwards."""
        return tuple(deriver for deriver in self.derivers if deriver.deferred)


@dataclass(frozen=True, slots=True)
class ReadStages:
    """What a question passes through. Without a consensus, what the guard releases is composed as it is. What has `expired` is past."""

    router: Router
    tiers: Mapping[str, Tier]
    guard: Guard
    composer: Composer
    answerer: Answerer
    validator: Validator
    policy: Policy
    ceilings: Ceilings
    consensus: Consensus | None = None
    expired: Callable[[Event], bool] | None = None


@dataclass(frozen=True, slots=True)
class Observed:
    """What `observe` did: the events in input order with whether each was known before, and the ids of changed records."""

    events: tuple[tuple[Event, bool], ...]
    records: tuple[str, ...]


def observe(drafts: Sequence[EventDraft], scope: Scope, ledger: Ledger, stages: WriteStages, allowance: Allowance) -> Observed:
    """Store events and what the immediate derivers make of them, all or nothing.

    Deriving starts where it last stopped, so that events whose derivation was missed (a store restored from events alone, a deriver
    added later) are caught up on with the next write.

    Raises:
        WriteRejected: The guard refuses one of the drafts, or the owner has no room for them; nothing is stored.
        StorageError: The ledger cannot write; nothing is stored.
    """
    allowed = admitted(drafts, scope, ledger, stages.guard)
    records: list[str] = []
    with ledger.transaction(scope) as transaction:
        before = transaction.view.last_seq
        appended = transaction.append([bounded(draft, transaction.view) for draft in allowed])
        new = [event for event, duplicate in appended if not duplicate]
        if new and stages.quota is not None:
            stages.quota(transaction.view)
        transaction.log(quarantines(new))
        for deriver in stages.immediate if new else ():
            behind = transaction.cursor(deriver.name) < before
            unread = list(transaction.view.scan(after_seq=transaction.cursor(deriver.name))) if behind else new
            spans = deriver.segmenter.segment(unread, transaction.view, final=True)
            records += transaction.apply(deriver.ops(spans, transaction.view, allowance))
            transaction.advance(deriver.name, unread[-1].seq)
    return Observed(tuple((event, duplicate) for event, duplicate in appended), tuple(records))


def derive(scope: Scope, ledger: Ledger, stages: WriteStages, allowance: Allowance, grant: Grant, *, final: bool) -> MaintainReport:
    """Let the deferred derivers read what they have not read yet, one span and one transaction after the other.

    Killed at any point it loses nothing and does nothing twice: the cursor of a conversation moves in the transaction that stores what was
    derived from the span before it.

    Args:
        scope: Whose memory.
        ledger: Where it is.
        stages: The derivers.
        allowance: For the deadline of the whole and for its listener.
        grant: Gives each span its own allowance.
        final: True to read conversations to their end, although more may be said in them.

    Raises:
        StorageError: The ledger cannot write; what was derived before stays.
    """
    report = MaintainReport()
    for deriver in stages.deferred:
        if not allowance.expired() and deriver.blanked(ledger.view(scope)):
            report = _added(report, rebuild(deriver, scope, ledger, grant()))
        report = _added(report, _derive(deriver, Backlog(deriver.name, scope, ledger, stages.limits, final), allowance, grant))
    return report


def _derive(deriver: Deriver, backlog: Backlog, allowance: Allowance, grant: Grant) -> MaintainReport:
    done = failed = by_rules = 0
    records: dict[str, None] = {}
    usage = Usage()
    while not allowance.expired() and (spans := backlog.next(deriver.segmenter)):
        for span in spans:
            if allowance.expired():
                break
            own = grant()

            def ops(events: tuple[Event, ...], view: View, span: Span = span, own: Allowance = own) -> list[Op]:
                return deriver.ops([span._replace(events=events)], view, own)

            changed = backlog.settle(span, ops)
            done, failed, usage = done + 1, failed + (changed is None), usage + Usage.of(own.made(), own.ms())
            by_rules += any(call.answered_by == "fallback" for call in own.made())
            records.update(dict.fromkeys(changed or ()))
            allowance.tell(Progress("derive", done=done, total=done + backlog.left()))
        backlog.advance()
    if not done and not allowance.expired():
        backlog.advance()  # a process that was killed behind its last span has left the mark where it was
    return MaintainReport(spans=done, records=tuple(records), pending=backlog.pending(), failed=failed, by_rules=by_rules, usage=usage)


def rebuild(deriver: Deriver, scope: Scope, ledger: Ledger, allowance: Allowance) -> MaintainReport:
    """Derive again what a forget has left without its text."""
    changed: list[str] = []
    for _ in range(_REBUILDS):
        ops = deriver.reconciler.rebuild(ledger.view(scope), allowance)
        try:
            with ledger.transaction(scope) as transaction:
                changed = transaction.apply(ops)
            break
        except OpRefused:
            continue  # what it rested on was changed meanwhile
    return MaintainReport(records=tuple(changed), usage=Usage.of(allowance.made(), allowance.ms()))


def _added(one: MaintainReport, other: MaintainReport) -> MaintainReport:
    return MaintainReport(
        spans=one.spans + other.spans, records=tuple(dict.fromkeys((*one.records, *other.records))),
        pending=one.pending + other.pending, failed=one.failed + other.failed,
        by_rules=one.by_rules + other.by_rules, usage=one.usage + other.usage,
    )


def forget(event_ids: Sequence[str], scope: Scope, ledger: Ledger, stages: WriteStages, allowance: Allowance) -> ForgetReport:
    """Remove events and everything derived from them; rebuild from their other sources the records that lose only some.

    What a deferred deriver made stays blank until `derive` runs.

    Raises:
        StorageError: The ledger cannot write; nothing is removed.
    """
    forgotten = ledger.forget(scope, event_ids)
    return forgotten.report.model_copy(update={"rederived": mend(scope, ledger, stages, allowance)})


def mend(scope: Scope, ledger: Ledger, stages: WriteStages, allowance: Allowance) -> int:
    """Rebuild what immediate derivers made and a forget has blanked, also one that was killed in the middle; return how many records."""
    if not any(deriver.blanked(ledger.view(scope)) for deriver in stages.immediate):
        return 0
    rebuilt = 0
    with ledger.transaction(scope) as transaction:
        for deriver in stages.immediate:
            if deriver.blanked(transaction.view):
                changed = transaction.apply(deriver.reconciler.rebuild(transaction.view, allowance))
                rebuilt += len(transaction.view.get(changed))
    return rebuilt


def waiting(view: View, stages: WriteStages) -> int:
    """Return the number of records that stay blank until `derive` runs."""
    return sum(deriver.blanked(view) for deriver in stages.deferred)


def recall(query: Query, view: View, stages: ReadStages, allowance: Allowance) -> Evidence:
    """Return the first evidence that is not empty, from the cheapest tier on."""
    evidence = _run(query, view, stages, allowance, _gather_only)[-1].evidence
    return evidence.model_copy(update={"usage": Usage.of(allowance.made(), allowance.ms())})


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
    most = stages.ceilings.attempts or 1
    while plan is not None and len(steps) < most and (plan.tier, plan.search_text) not in tried:
        if steps and allowance.expired():
            steps[-1] = _cut_short(steps[-1])
            break
        if steps:
            allowance.tell(Progress("discard"))
        tried.add((plan.tier, plan.search_text))
        carry = next((step.draft.text for step in reversed(steps) if step.draft and _carries(step)), "")
        step, good = attempt(query, plan, view, stages, allowance, carry)
        made, now = allowance.made(mark), allowance.ms()
        steps.append(step.model_copy(update={"skills": made, "usage": Usage.of(made, now - began)}))
        mark, began = mark + len(made), now
        if good:
            break
        plan = stages.policy.next(query, steps)
    return steps


def _carries(step: Step) -> bool:
    """Return whether the next attempt may build on this answer: not when it is off the question, or only outsiders say so."""
    refused = step.verdict is not None and step.verdict.relevance == "fail"
    return step.draft is not None and not step.draft.abstained and not refused


def _cut_short(step: Step) -> Step:
    """Return the step as the last one for which there was time: whatever it found, more might have been there."""
    evidence = step.evidence
    note = evidence.note
    if not note or not (evidence.partial or evidence.dropped):
        note = NOT_ALL_IN_TIME if evidence else NOT_FOUND_IN_TIME
    return step.model_copy(update={"evidence": evidence.model_copy(update={"partial": True, "note": note})})


def _evidence(query: Query, plan: Plan, view: View, stages: ReadStages, allowance: Allowance) -> Evidence:
    tier = stages.tiers[plan.tier]
    gathered = tier.gather(query, plan, view, allowance)
    if past := outdated(gathered.hits, view, stages.expired):
        # An item that changes often crowds itself out: its earlier values are the nearest to its current one.
        query = query.model_copy(update={"seen": query.seen | past})
        gathered = tier.gather(query, plan, view, allowance)
        query = query.model_copy(update={"seen": query.seen | outdated(gathered.hits, view, stages.expired)})
    hits = [hit for hit in gathered.hits if not _seen(hit, query)] if query.seen else gathered.hits
    released = gathered._replace(hits=stages.guard.release(hits, query))
    if stages.consensus is not None and released.hits:
        agreement = stages.consensus.agree(released.hits, query, view, allowance)
        note = "; ".join(filter(None, (released.note, agreement.note)))
        released = released._replace(hits=agreement.kept, note=note)
    return stages.composer.compose(query, plan, released, view)


def _seen(hit: Hit, query: Query) -> bool:
    """Return whether the prompt holds it already: the event itself, or all that a record rests on."""
    sources = hit.item.sources if isinstance(hit.item, Record) else (hit.item.id,)
    return query.seen.issuperset(sources)


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
