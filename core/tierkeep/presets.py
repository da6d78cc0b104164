"""Which part fills which slot.

A preset is a function from `Parts` to the stages. With a chat model, routing, answering and checking use it; without one, the
deterministic half of every stage does the work. `auto` is the default.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from tierkeep.answer.extractive import ExtractiveAnswerer
from tierkeep.answer.model import ModelAnswerer
from tierkeep.answer.voting import VotingAnswerer
from tierkeep.compose.composer import EvidenceComposer
from tierkeep.errors import SettingsError
from tierkeep.pipelines import Deriver, ReadStages, WriteStages
from tierkeep.prompts import dmem as dmem_prompts
from tierkeep.prompts import hymem as hymem_prompts
from tierkeep.protocols import Answerer, Consensus, Embedder, Guard, Reranker, Tier, TokenCounter, Validator, VectorIndex
from tierkeep.retrieve.dense import Dense
from tierkeep.retrieve.derived import DerivedSearch
from tierkeep.retrieve.indexes import ScopeIndexes
from tierkeep.retrieve.records import RecordSearch
from tierkeep.retrieve.rerank import Reranking
from tierkeep.retrieve.search import Search
from tierkeep.retrieve.shelf import Room
from tierkeep.retrieve.vectors import ExactVectors
from tierkeep.route.cascade import CascadeRouter
from tierkeep.route.constant import ConstantRouter
from tierkeep.route.rules import RuleRouter
from tierkeep.settings import Ceilings, Settings
from tierkeep.skills import Skills
from tierkeep.strategies.memsifter import SessionSifter, SiftedTier
from tierkeep.tiers.deep import DeepTier
from tierkeep.tiers.deliberation import DeliberationTier
from tierkeep.tiers.facts import FactsTier
from tierkeep.tiers.light import LightTier, Undistilled
from tierkeep.tiers.opened import OpenedTier
from tierkeep.tiers.profile import ProfileTier
from tierkeep.tiers.reranked import RerankedTier
from tierkeep.tiers.segments import SegmentTier
from tierkeep.tiers.targeted import TargetedTier
from tierkeep.validate.checks import LexicalValidator
from tierkeep.validate.policies import Deliberate, HeavierTier, OtherOperation, Reflection
from tierkeep.validate.quality_gate import QualityGate, VoteGate
from tierkeep.validate.reflection import ReflectionValidator
from tierkeep.validate.support import SupportValidator
from tierkeep.write.extractors import ProfileRules
from tierkeep.write.facts import FactExtractor
from tierkeep.write.key_information import KEY_INFORMATION, SEGMENT, KeyInformation
from tierkeep.write.merging import MergingReconciler
from tierkeep.write.pairs import PairSegmenter
from tierkeep.write.reconcilers import SlotReconciler
from tierkeep.write.segmenters import TurnSegmenter
from tierkeep.write.segments import SegmentSegmenter
from tierkeep.write.sentences import may_be_distilled
from tierkeep.write.updating import UpdateReconciler


@dataclass(frozen=True, slots=True)
class Preset:
    """A filled set of slots.

    Attributes:
        name: What the trace and the doctor call it.
        write: The stages of `observe`.
        read: The stages of `recall` and `ask`.
    """

    name: str
    write: WriteStages
    read: ReadStages


@dataclass(frozen=True, slots=True)
class Parts:
    """What a preset is built from.

    Attributes:
        settings: All numbers.
        counter: How tokens are counted.
        guard: What may be stored and recalled.
        skills: The chat model's skills; None without a model.
        embedder: Makes vectors; None without one.
        vectors: Searches them; exactly and in memory when None.
        reranker: Reads the best hits again (`auto`, `memflow`); None without one.
        indexes: The lexical indexes of recently used scopes; new ones when None.
        room: Memory that indexes of words share; `Settings.index_bytes` for each when None.
        sifter: The skills of a small model that ranks conversations before anything of them is read (`auto`, `memflow`: MemSifter); None
            without one.
        consensus: Compares what was retrieved before it is shown; None for no comparison.
    """

    settings: Settings
    counter: TokenCounter
    guard: Guard
    skills: Skills | None = None
    embedder: Embedder | None = None
    vectors: VectorIndex | None = None
    reranker: Reranker | None = None
    sifter: Skills | None = None
    indexes: ScopeIndexes | None = None
    room: Room | None = None
    consensus: Consensus | None = None


#: Tokens set aside for one call of a re-ranker or a sifter: a hundred lines of chat or twenty glimpses, and the reply (ours).
_ASIDE_TOKENS = 8_192

Builder = Callable[[Parts], Preset]


def auto(parts: Parts) -> Preset:
    """Return the default preset: MemFlow's router and tiers; what fails is tried by another operation (tiers spec, 4.6).

    With a model, the heavier operations are selection over a wide list and, under the ceiling only, full deliberation. Without one, they
    are MemFlow's tiers.
    """
    search = _search(parts)
    if parts.skills is None:
        calls, tokens = _asides(parts, attempts=3)
        ceilings = parts.settings.ceilings.within(attempts=3, calls=calls, tokens=tokens)
        return Preset("auto", _write(parts), _memflow_stages(parts, search, ceilings))
    settings, skills, release = parts.settings, parts.skills, parts.guard.release
    calls, tokens = _asides(parts, attempts=4)
    stages = _memflow_stages(parts, search, settings.ceilings.within(attempts=4, calls=8 + calls, tokens=32_000 + tokens))
    deep = stages.tiers["deep"]
    more: tuple[Tier, ...] = (
        OpenedTier(search, skills, release, deep, settings.opening),
        DeliberationTier(settings.dmem, release, parts.counter, deep, skills, most_tokens=settings.dmem.deliberate_max_tokens),
    )
    tiers = {**stages.tiers, **{tier.name: tier for tier in more}}
    checks = LexicalValidator(settings.gate)
    judge = SupportValidator(skills, checks, judged_attempts=3, judge=QualityGate(skills, checks, final=""))
    read = replace(stages, tiers=tiers, validator=judge, policy=OtherOperation(tiers, settings.budgets))
    return Preset(name="auto", write=_write(parts), read=read)


def memflow(parts: Parts) -> Preset:
    """Return MemFlow: intent router, three tiers, one retry on a heavier tier, at most four model calls (tiers spec, section 1)."""
    ceilings = parts.settings.ceilings.within(attempts=2, calls=4, tokens=32_000, hard=True)
    return Preset(name="memflow", write=_write(parts), read=_memflow_stages(parts, _search(parts), ceilings))


def hymem(parts: Parts) -> Preset:
    """Return HyMem: key sentences first, whole segments when they do not suffice, and reflection on the answer (tiers spec, section 2)."""
    settings, skills, own = parts.settings, parts.skills, parts.settings.hymem
    records = RecordSearch(parts.room or settings.index_bytes, settings.retrieval)
    search = _search(parts)
    derived = DerivedSearch(records, search, settings.retrieval.source)
    undistilled = Undistilled(search, "hymem")
    tiers: tuple[Tier, ...] = (
        LightTier(derived, undistilled), SegmentTier(derived, search, undistilled, parts.guard.release, skills, parts.counter, own)
    )
    extractor = KeyInformation(skills, parts.counter)
    deriver = Deriver(
        "hymem", frozenset({SEGMENT, KEY_INFORMATION}), SegmentSegmenter(parts.counter, own), (extractor,),
        MergingReconciler(extractor, records, skills, own), deferred=True,
    )
    extractive = ExtractiveAnswerer(settings.answer_items)
    asked = {"light": hymem_prompts.light, "segments": hymem_prompts.deep}
    read = ReadStages(
        router=ConstantRouter("light", own.light_k, own.light_budget),
        tiers={tier.name: tier for tier in tiers},
        guard=parts.guard,
        composer=EvidenceComposer(parts.counter, settings.retrieval.value),
        answerer=extractive if skills is None else ModelAnswerer(skills, extractive, asked),
        validator=ReflectionValidator(skills, LexicalValidator(settings.gate), settings.gate),
        policy=Reflection(own),
        ceilings=settings.ceilings.within(attempts=2 * own.iterations, calls=8, tokens=32_000),
    )
    return Preset(name="hymem", write=_write(parts, deriver), read=read)


def dmem(parts: Parts) -> Preset:
    """Return D-Mem: the facts of each speaker first, all that was said when a gate refuses that answer (tiers spec, section 3)."""
    settings, skills, own = parts.settings, parts.skills, parts.settings.dmem
    records, search = RecordSearch(parts.room or settings.index_bytes, settings.retrieval), _search(parts)
    extractor = FactExtractor(records, own, skills, ProfileRules(settings.profile))
    updating = UpdateReconciler(extractor, records, own, skills)
    deriver = Deriver("facts", frozenset({"fact"}), PairSegmenter(), (extractor,), updating, deferred=True)
    derived = DerivedSearch(records, search, settings.retrieval.source)
    undistilled = Undistilled(search, "facts", lambda event: may_be_distilled(event) and len(event.text) <= own.message_chars)
    release = parts.guard.release
    tiers: tuple[Tier, ...] = (
        FactsTier(derived, undistilled, release, skills if own.filter else None),
        DeliberationTier(own, release, parts.counter, TargetedTier(search), skills),
    )
    answerer, validator = _gated(parts)
    read = ReadStages(
        router=ConstantRouter("facts", own.k, own.fact_budget),
        tiers={tier.name: tier for tier in tiers},
        guard=parts.guard,
        composer=EvidenceComposer(parts.counter, settings.retrieval.value),
        answerer=answerer,
        validator=validator,
        policy=Deliberate(own.deliberate_budget),
        ceilings=settings.ceilings.within(attempts=2, calls=64, tokens=250_000),
    )
    return Preset(name="dmem", write=_write(parts, deriver), read=read)


def _gated(parts: Parts) -> tuple[Answerer, Validator]:
    """Return D-Mem's answerer with its gate: the judge on three axes, or a vote."""
    settings, skills = parts.settings, parts.skills
    extractive, checks = ExtractiveAnswerer(settings.answer_items), LexicalValidator(settings.gate)
    if skills is None:
        return extractive, checks
    once = ModelAnswerer(skills, extractive, dict.fromkeys(("facts", "deliberation"), dmem_prompts.answer))
    if settings.dmem.gate == "quality":
        return once, QualityGate(skills, checks)
    unanimous = settings.dmem.gate == "consensus"
    return VotingAnswerer(skills, once, dmem_prompts.answer, settings.dmem, unanimous=unanimous), VoteGate(checks)


def _write(parts: Parts, *more: Deriver) -> WriteStages:
    """Return the write side: raw turns and the compiled profile, which spend no model call, and a preset's own derivers."""
    rules = ProfileRules(parts.settings.profile)
    profile = Deriver("profile", frozenset({"profile"}), TurnSegmenter(), (rules,), SlotReconciler(rules))
    return WriteStages(guard=parts.guard, derivers=(profile, *more), limits=parts.settings.deriving)


def _search(parts: Parts) -> Search:
    settings = parts.settings
    dense = None
    if parts.embedder is not None:
        vectors = ExactVectors(settings.embedding.index_bytes) if parts.vectors is None else parts.vectors
        dense = Dense(parts.embedder, vectors)
    indexes = ScopeIndexes(settings.index_bytes) if parts.indexes is None else parts.indexes  # an empty one is false
    return Search(indexes, settings.retrieval, dense)


def _targeted(parts: Parts, search: Search) -> Tier:
    if parts.sifter is None:
        return TargetedTier(search)
    own = parts.settings.memsifter
    return SiftedTier(search, SessionSifter(own, parts.counter, parts.sifter), parts.guard.release, own, name="targeted", weight=2)


def _read_again(tier: Tier, parts: Parts) -> Tier:
    if parts.reranker is None:
        return tier
    return RerankedTier(tier, Reranking(parts.reranker, parts.settings.rerank), parts.guard.release)


def _asides(parts: Parts, attempts: int) -> tuple[int, int]:
    """Return the calls and tokens that a re-ranker or a sifter may need beside the preset's own: one each for every attempt."""
    helpers = (parts.reranker is not None) + (parts.sifter is not None)
    return helpers * attempts, helpers * attempts * _ASIDE_TOKENS


def _memflow_stages(parts: Parts, search: Search, ceilings: Ceilings) -> ReadStages:
    settings, skills = parts.settings, parts.skills
    chosen: tuple[Tier, ...] = (ProfileTier(), _read_again(_targeted(parts, search), parts), _read_again(DeepTier(search), parts))
    tiers = {tier.name: tier for tier in chosen}
    rules = RuleRouter(settings.budgets)
    extractive = ExtractiveAnswerer(settings.answer_items)
    checks = LexicalValidator(settings.gate)
    return ReadStages(
        router=rules if skills is None else CascadeRouter(rules, skills, settings.budgets),
        tiers=tiers,
        guard=parts.guard,
        composer=EvidenceComposer(parts.counter, settings.retrieval.value),
        answerer=extractive if skills is None else ModelAnswerer(skills, extractive),
        validator=checks if skills is None else SupportValidator(skills, checks),
        policy=HeavierTier(tiers, settings.budgets),
        ceilings=ceilings,
    )


PRESETS: dict[str, Builder] = {"auto": auto, "memflow": memflow, "hymem": hymem, "dmem": dmem}


def build(preset: str | Builder, parts: Parts) -> Preset:
    """Return the preset by name, or built by the caller's own function.

    Raises:
        SettingsError: No preset has that name.
    """
    if callable(preset):
        return _compared(preset(parts), parts)
    if preset not in PRESETS:
        raise SettingsError(f"no preset is called {preset!r}: choose one of {', '.join(sorted(PRESETS))}")
    return _compared(PRESETS[preset](parts), parts)


def _compared(preset: Preset, parts: Parts) -> Preset:
    """Return the preset with the consensus, and with room for its calls beside the preset's own where nobody set a ceiling."""
    read, own = preset.read, parts.settings.ceilings
    if parts.consensus is None or read.consensus is not None:
        return preset
    more = parts.consensus.calls * (read.ceilings.attempts or 1)
    calls = read.ceilings.calls if read.ceilings.calls is None or own.calls is not None else read.ceilings.calls + more
    tokens = read.ceilings.tokens
    tokens = tokens if tokens is None or own.tokens is not None else tokens + more * _ASIDE_TOKENS
    ceilings = read.ceilings.model_copy(update={"calls": calls, "tokens": tokens})
    return replace(preset, read=replace(read, consensus=parts.consensus, ceilings=ceilings))
