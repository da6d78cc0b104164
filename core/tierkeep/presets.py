"""Which part fills which slot.

A preset is a function from `Parts` to the stages. With a chat model, routing, answering and checking use it; without one, the
deterministic half of every stage does the work. `auto` is the default.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tierkeep.answer.extractive import ExtractiveAnswerer
from tierkeep.answer.model import ModelAnswerer
from tierkeep.compose.composer import EvidenceComposer
from tierkeep.errors import SettingsError
from tierkeep.pipelines import ReadStages, WriteStages
from tierkeep.protocols import Guard, Tier, TokenCounter
from tierkeep.retrieve.indexes import ScopeIndexes
from tierkeep.retrieve.search import Search
from tierkeep.route.cascade import CascadeRouter
from tierkeep.route.rules import RuleRouter
from tierkeep.settings import Ceilings, Settings
from tierkeep.skills import Skills
from tierkeep.tiers.deep import DeepTier
from tierkeep.tiers.profile import ProfileTier
from tierkeep.tiers.targeted import TargetedTier
from tierkeep.validate.checks import LexicalValidator
from tierkeep.validate.policies import HeavierTier
from tierkeep.validate.support import SupportValidator
from tierkeep.write.extractors import ProfileRules
from tierkeep.write.reconcilers import SlotReconciler
from tierkeep.write.segmenters import TurnSegmenter


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
    """

    settings: Settings
    counter: TokenCounter
    guard: Guard
    skills: Skills | None = None


Builder = Callable[[Parts], Preset]


def auto(parts: Parts) -> Preset:
    """Return the default preset: the best that is there, escalating through all three tiers."""
    return Preset(name="auto", write=_write(parts), read=_memflow_stages(parts, parts.settings.ceilings))


def memflow(parts: Parts) -> Preset:
    """Return MemFlow: intent router, three tiers, one retry on a heavier tier, at most four model calls (tiers spec, section 1)."""
    own = parts.settings.ceilings
    ceilings = own.model_copy(update={"attempts": min(2, own.attempts), "calls": min(4, own.calls)})
    return Preset(name="memflow", write=_write(parts), read=_memflow_stages(parts, ceilings))


def _write(parts: Parts) -> WriteStages:
    """Raw turns and the compiled profile: MemFlow's write path spends no model call."""
    profile = ProfileRules(parts.settings.profile)
    return WriteStages(
        guard=parts.guard, segmenter=TurnSegmenter(), extractors=(profile,), reconciler=SlotReconciler(profile)
    )


def _memflow_stages(parts: Parts, ceilings: Ceilings) -> ReadStages:
    settings, skills = parts.settings, parts.skills
    search = Search(ScopeIndexes(settings.index_bytes), settings.retrieval)
    chosen: tuple[Tier, ...] = (ProfileTier(), TargetedTier(search), DeepTier(search))
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


PRESETS: dict[str, Builder] = {"auto": auto, "memflow": memflow}


def build(preset: str | Builder, parts: Parts) -> Preset:
    """Return the preset by name, or built by the caller's own function.

    Raises:
        SettingsError: No preset has that name.
    """
    if callable(preset):
        return preset(parts)
    if preset not in PRESETS:
        raise SettingsError(f"no preset is called {preset!r}: choose one of {', '.join(sorted(PRESETS))}")
    return PRESETS[preset](parts)
