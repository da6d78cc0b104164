"""Static and dynamic heads: heads that look at sinks and recent tokens only keep only those, and the others follow another policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from tierkeep.errors import SettingsError
from tierkeep_transformers.policies.policy import Need, Policy, check_whole

if TYPE_CHECKING:
    from tierkeep_transformers.slots import Slots

__all__ = ["HeadMix"]


@dataclass(frozen=True, kw_only=True)
class HeadMix(Policy):
    """Splits KV heads into static and dynamic ones, the idea of Forcing-KV: `profile_heads` says of a sample of text which are static.

    Differences: Forcing-KV is for video; there the dynamic heads are compressed by frame similarity, here by any policy of this package.
    Storage is a rectangle: a layer takes the room of its longest head, so bytes are saved by layers whose heads are all static,
    and the rest is saved in attention's choice only.

    Args:
        dynamic: The policy of the dynamic heads; its budget, buffer and recent tokens are this policy's too.
        static: For each layer with static heads, one flag for each KV head.
        sinks: First tokens that static heads keep.
        static_recent: Newest tokens that static heads keep.

    Raises:
        SettingsError: A number is out of range, or the dynamic policy shares one budget among the layers.
    """

    dynamic: Policy
    static: Mapping[int, Sequence[bool]]
    sinks: int = 4
    static_recent: int = 60
    budget: int | Sequence[int] = field(default=1, init=False)
    buffer: int = field(default=0, init=False)
    recent: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        """Check the numbers, and take over what is the dynamic policy's."""
        if not isinstance(self.dynamic, Policy) or self.dynamic.joint:
            raise SettingsError("dynamic= is a policy that decides for each layer alone; DBTrimKV shares one budget among all")
        for name in ("budget", "buffer", "recent"):
            object.__setattr__(self, name, getattr(self.dynamic, name))
        super().__post_init__()
        check_whole("sinks", self.sinks, 0)
        check_whole("static_recent", self.static_recent, 1)

    @property
    def needs(self) -> frozenset[Need]:
        """What the dynamic policy needs."""
        return self.dynamic.needs

    @property
    def window(self) -> int:
        """The dynamic policy's."""
        return self.dynamic.window

    @property
    def gates(self) -> Any:
        """The dynamic policy's gates, or None."""
        return getattr(self.dynamic, "gates", None)

    @property
    def static_budget(self) -> int:
        """Slots that a static head keeps."""
        return self.sinks + self.static_recent

    def most(self, layer: int) -> int:
        """Return the most slots that a KV head of a layer holds between two calls of the model."""
        flags = self.static.get(layer, ())
        static = self.static_budget + max(self.buffer - 1, 0)
        dynamic = self.dynamic.most(layer)
        return static if flags and all(flags) else max(static, dynamic) if any(flags) else dynamic

    def columns(self, slots: Slots, told: dict[Need, Tensor], key: Tensor) -> dict[str, Tensor]:
        """Keep what the dynamic policy keeps."""
        return self.dynamic.columns(slots, told, key)

    def observe(self, slots: Slots, weights: Tensor, rows: Tensor, real: Tensor | None) -> None:
        """Pass on to the dynamic policy."""
        self.dynamic.observe(slots, weights, rows, real)

    def score(self, slots: Slots) -> Tensor:
        """Return positions for static heads, and the dynamic policy's score for the others."""
        score = self.dynamic.score(slots)
        flags = self._flags(slots)
        return score if flags is None else torch.where(flags[:, None], slots.position.to(score.dtype), score)

    def protected(self, slots: Slots) -> Tensor | None:
        """Return True for the sinks of static heads and for what the dynamic policy protects in the others."""
        dynamic = self.dynamic.protected(slots)
        flags = self._flags(slots)
        if flags is None:
            return dynamic
        others = torch.zeros_like(slots.position, dtype=torch.bool) if dynamic is None else dynamic
        return torch.where(flags[:, None], slots.place() < self.sinks, others)

    def limits(self, slots: Slots) -> int | Tensor | None:
        """Return the static budget for static heads, and the dynamic policy's word for the others."""
        dynamic = self.dynamic.limits(slots)
        flags = self._flags(slots)
        if flags is None:
            return dynamic
        held = slots.held()
        static = torch.where(held >= self.static_budget + max(self.buffer, 1), self.static_budget, held)
        if dynamic is None:
            dynamic = held
        limits = torch.where(flags, static, dynamic)
        return None if slots.length <= self.most(slots.layer) and bool((limits >= held).all()) else limits

    def _flags(self, slots: Slots) -> Tensor | None:
        """Return True for static heads, (KV heads,); None when the layer has none."""
        flags = self.static.get(slots.layer)
        if flags is None or not any(flags):
            return None
        if len(flags) != slots.heads:
            raise SettingsError(f"static= has {len(flags)} flags for layer {slots.layer}; the layer has {slots.heads} KV heads")
        return torch.tensor(list(flags), dtype=torch.bool, device=slots.position.device)
