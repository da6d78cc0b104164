"""A local model in bounded memory: eviction policies for the KV cache of Hugging Face decoders, learned retention gates, a chat model.

Example:
    from tierkeep_transformers import StreamingLLM, attach

    with attach(model, StreamingLLM(budget=512)) as bounded:
        bounded.generate(**inputs, max_new_tokens=200)
"""

from __future__ import annotations

from tierkeep_transformers.attach import Bounded, attach
from tierkeep_transformers.cache import BoundedCache
from tierkeep_transformers.codecs import Codec, Plain
from tierkeep_transformers.gates import GateSet, RetentionGate
from tierkeep_transformers.policies import FullCache, Need, Policy, RandomEviction, StreamingLLM, TrimKV
from tierkeep_transformers.training import StepReport, TrainSettings, train_gates

__all__ = [
    "Bounded", "BoundedCache", "Codec", "FullCache", "GateSet", "Need", "Plain", "Policy", "RandomEviction", "RetentionGate",
    "StepReport", "StreamingLLM", "TrainSettings", "TrimKV", "attach", "train_gates",
]  # fmt: skip
