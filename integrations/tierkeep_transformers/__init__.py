"""A local model in bounded memory: eviction policies for the KV cache of Hugging Face decoders, learned retention gates, a chat model.

Example:
    from tierkeep_transformers import StreamingLLM, attach

    with attach(model, StreamingLLM(budget=512)) as bounded:
        bounded.generate(**inputs, max_new_tokens=200)
"""

from __future__ import annotations

from importlib.util import find_spec

from tierkeep.errors import MissingExtraError

if any(find_spec(name) is None for name in ("torch", "transformers", "safetensors")):
    raise MissingExtraError("A local model", extra="transformers")

from tierkeep_transformers.attach import Bounded, attach
from tierkeep_transformers.cache import BoundedCache
from tierkeep_transformers.chat import TransformersChat
from tierkeep_transformers.codecs import Codec, Int4, Int8, Plain, ResidualInt4, RotatedInt4
from tierkeep_transformers.gates import GateSet, RetentionGate
from tierkeep_transformers.head_profile import HeadProfile, profile_heads
from tierkeep_transformers.policies import (
    H2O,
    SPKV,
    DBTrimKV,
    FullCache,
    HeadMix,
    LazyEviction,
    Need,
    Policy,
    RandomEviction,
    SnapKV,
    StreamingLLM,
    TrimKV,
)  # fmt: skip
from tierkeep_transformers.stats import CacheStats, LayerStats
from tierkeep_transformers.training import StepReport, TrainSettings, train_gates

__all__ = [
    "H2O", "SPKV", "Bounded", "BoundedCache", "CacheStats", "Codec", "DBTrimKV", "FullCache", "GateSet", "HeadMix", "HeadProfile", "Int4",
    "Int8", "LayerStats", "LazyEviction", "Need", "Plain", "Policy", "RandomEviction", "ResidualInt4", "RetentionGate", "RotatedInt4",
    "SnapKV", "StepReport", "StreamingLLM", "TrainSettings", "TransformersChat", "TrimKV", "attach", "profile_heads", "train_gates",
]  # fmt: skip
