"""Which part fills which slot.

A preset is a function from settings and a token counter to the stages. `auto` takes the best that is installed; without a model
and without an embedder that is MemFlow's router over three tiers, with the deterministic half of every stage.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tierkeep.answer.extractive import ExtractiveAnswerer
from tierkeep.compose.composer import EvidenceComposer
from tierkeep.errors import SettingsError
from tierkeep.guard.chain import DefaultGuard
from tierkeep.pipelines import ReadStages, WriteStages
from tierkeep.protocols import Guard, Tier, TokenCounter
from tierkeep.retrieve.indexes import ScopeIndexes
from tierkeep.retrieve.search import Search
from tierkeep.route.rules import RuleRouter
from tierkeep.settings import Settings
from tierkeep.tiers.deep import DeepTier
from tierkeep.tiers.profile import ProfileTier
from tierkeep.tiers.targeted import TargetedTier
from tierkeep.validate.checks import LexicalValidator
from tierkeep.validate.policies import HeavierTier
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


Builder = Callable[[Settings, TokenCounter, Guard], Preset]


def auto(settings: Settings, counter: TokenCounter, guard: Guard) -> Preset:
    """Return the default preset."""
    search = Search(ScopeIndexes(settings.index_bytes), settings.retrieval)
    parts: tuple[Tier, ...] = (ProfileTier(), TargetedTier(search), DeepTier(search))
    tiers = {tier.name: tier for tier in parts}
    return Preset(
        name="auto",
        write=WriteStages(
            guard=guard, segmenter=TurnSegmenter(), extractors=(ProfileRules(settings.profile),), reconciler=SlotReconciler()
        ),
        read=ReadStages(
            router=RuleRouter(settings.budgets),
            tiers=tiers,
            guard=guard,
            composer=EvidenceComposer(counter, settings.retrieval.value),
            answerer=ExtractiveAnswerer(settings.answer_items),
            validator=LexicalValidator(settings.gate),
            policy=HeavierTier(tiers, settings.budgets),
            ceilings=settings.ceilings,
        ),
    )


PRESETS: dict[str, Builder] = {"auto": auto}


def build(preset: str | Builder, settings: Settings, counter: TokenCounter, guard: Guard | None = None) -> Preset:
    """Return the preset by name, or built by the caller's own function.

    Raises:
        SettingsError: No preset has that name.
    """
    if callable(preset):
        return preset(settings, counter, guard or DefaultGuard())
    if preset not in PRESETS:
        raise SettingsError(f"no preset is called {preset!r}: choose one of {', '.join(sorted(PRESETS))}")
    return PRESETS[preset](settings, counter, guard or DefaultGuard())
