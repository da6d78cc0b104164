"""Which slots of a cache are kept: one policy, one file."""

from __future__ import annotations

from tierkeep_transformers.policies.policy import Need, Policy
from tierkeep_transformers.policies.simple import FullCache, RandomEviction, StreamingLLM
from tierkeep_transformers.policies.trimkv import TrimKV

__all__ = ["FullCache", "Need", "Policy", "RandomEviction", "StreamingLLM", "TrimKV"]
