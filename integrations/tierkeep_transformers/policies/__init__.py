"""Which slots of a cache are kept: one policy, one file."""

from __future__ import annotations

from tierkeep_transformers.policies.dbtrimkv import DBTrimKV
from tierkeep_transformers.policies.h2o import H2O
from tierkeep_transformers.policies.lazy import LazyEviction
from tierkeep_transformers.policies.mix import HeadMix
from tierkeep_transformers.policies.policy import Need, Policy
from tierkeep_transformers.policies.simple import FullCache, RandomEviction, StreamingLLM
from tierkeep_transformers.policies.snapkv import SnapKV
from tierkeep_transformers.policies.spkv import SPKV
from tierkeep_transformers.policies.trimkv import TrimKV

__all__ = [
    "H2O", "SPKV", "DBTrimKV", "FullCache", "HeadMix", "LazyEviction", "Need", "Policy", "RandomEviction", "SnapKV", "StreamingLLM",
    "TrimKV",
]  # fmt: skip
