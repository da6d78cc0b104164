"""LazyEviction: a slot that was looked at again after a long time may be so once more (arXiv 2506.15969)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from tierkeep.errors import SettingsError
from tierkeep_transformers.policies.policy import Need, Policy, check_share, check_whole

if TYPE_CHECKING:
    from tierkeep_transformers.slots import Slots

__all__ = ["LazyEviction"]


@dataclass(frozen=True, kw_only=True)
class LazyEviction(Policy):
    """Lagged eviction: every `window` tokens, by how long ago a slot was last active, measured by its longest recurrence so far.

    A slot is active when a query pays it at least `alpha` of its attention. TS is the step when it last was, MRI the longest time between
    two such steps. With age = now - TS the score is `2 sigmoid(-age / MRI) + 2 sigmoid(1 - MRI)`, the second term for MRI > 0 only.

    Differences: TS and MRI are kept by KV head, from the mean of its query heads (the released code keeps them by query head, with keys
    repeated). A slot of the prompt begins with its own step (there: 0). The prompt is cut as well, after each chunk of it. Released code
    has `1 + age / MRI` within the first sigmoid: `form="code"`.

    Args:
        alpha: From which share of attention a slot counts as active. It depends on the model and on the length: the authors use 1e-4 and
            5e-4; calibrate it so that MRI is neither 0 nor 1 for most slots.
        window: W: tokens between two evictions, and the newest tokens that always stay. The authors take the 80th percentile of MRI on a
            sample of the task. The default gives way to a small budget.
        form: "paper" or "code".

    Raises:
        SettingsError: A number is out of range.
    """

    alpha: float = 1e-4
    window: int = 64
    form: Literal["paper", "code"] = "paper"
    buffer: int = field(default=0, init=False)  #: the window: between two evictions a head holds up to a window more than its budget

    def __post_init__(self) -> None:
        """Check the numbers."""
        super().__post_init__()
        self._fit_default("window")
        check_share("alpha", self.alpha, ends=False)
        check_whole("window", self.window, 1, min(self.budgets))
        if self.form not in ("paper", "code"):
            raise SettingsError(f"form= is 'paper' or 'code'; it is {self.form!r}")
        object.__setattr__(self, "buffer", self.window)

    @property
    def needs(self) -> frozenset[Need]:
        """Every query's attention."""
        return frozenset({Need.ATTENTION})

    def columns(self, slots: Slots, told: dict[Need, Tensor], key: Tensor) -> dict[str, Tensor]:
        """Begin with the slot's own step, and no recurrence."""
        batch, heads, count, _ = key.shape
        steps = torch.arange(slots.seen, slots.seen + count, dtype=torch.int32, device=key.device)
        own = steps.expand(batch, heads, count)
        return {"active": own, "recurrence": torch.zeros_like(own)}

    def observe(self, slots: Slots, weights: Tensor, rows: Tensor, real: Tensor | None) -> None:
        """Note when slots were active, for all queries of a block at once."""
        seen_active = weights >= self.alpha
        if real is not None:
            seen_active &= real[:, None, :, None]
        last, recurrence = slots["active"], slots["recurrence"]
        # Step by query and slot, -1 for "not active". The running maximum of what came before is TS as the query found it.
        steps = torch.where(seen_active, rows.to(torch.int32)[:, None], -1)
        before = torch.cat([last[:, :, None], steps[:, :, :-1]], dim=2).cummax(dim=2).values
        gaps = (steps - before).masked_fill_(~seen_active, 0)
        torch.maximum(recurrence, gaps.amax(2), out=recurrence)
        torch.maximum(last, steps.amax(2), out=last)

    def protected(self, slots: Slots) -> Tensor:
        """Return True for the newest window."""
        return slots.position >= slots.seen - max(self.window, self.recent)

    def score(self, slots: Slots) -> Tensor:
        """Return H1 + H2."""
        # In fp64 until the end: the last bit of a vectorised sigmoid depends on where a slot stands, and ties are frequent here.
        recurrence = slots["recurrence"].double()
        age = (slots.seen - 1 - slots["active"]).double()
        lag = age / (recurrence + 1e-5)  # as in the released code: what never came back has all but left
        if self.form == "code":
            lag = lag + 1
        often = torch.where(recurrence > 0, 2 * torch.sigmoid(1 - recurrence), 0.0)
        return (2 * torch.sigmoid(-lag) + often).float()

    def limits(self, slots: Slots) -> int | Tensor | None:
        """Return the budget when a multiple of the window was passed, which each row counts from its first real token."""
        budget, most = self.budget_of(slots.layer), self.most(slots.layer)
        start = slots.state.get("start")
        if slots.length <= budget:
            return None
        if start is None:
            return budget if slots.seen // self.window > (slots.seen - slots.fresh) // self.window else None
        tokens = (slots.seen - start).clamp(min=0)
        due = tokens // self.window > (tokens - slots.fresh).clamp(min=0) // self.window
        # Padding may make a layer longer than any of its heads: it leaves at the latest when the layer is as long as a head may be.
        if slots.length <= most and not bool(due.any()):
            return None
        held = slots.held()
        return torch.where(due[:, None] & (held > budget), budget, held)
