"""The recall task's one-shot protocol under NVIDIA's kvpress, with the model and the gates that `recall_task.py` has trained.

kvpress needs an older transformers and wraps attention functions when it is imported, so it runs in an environment of its own:

    python -m venv kvpress && kvpress/bin/pip install "kvpress==0.5.5" "torch>=2.4,<2.14"
    kvpress/bin/python tests/benchmarks/recall_task_kvpress.py --work FOLDER [--seed 0] [--json]

Nothing of this package is imported: only the task's data, the files in the folder, and kvpress. What kvpress gives with the same gates and
with the policies that it has too says whether ours are what they are called.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import torch
import transformers
from kvpress import KnormPress, ObservedAttentionPress, RandomPress, SnapKVPress, StreamingLLMPress
from kvpress.presses.scorer_press import ScorerPress
from recall_task_data import Task
from safetensors.torch import load_file
from torch import nn
from transformers import DynamicCache, Qwen3ForCausalLM

BUDGETS = (128, 64, 32, 16)
#: As in recall_task.py: the seeds of the data that is reported.
_TEST = 10_000


class GatePress(ScorerPress):
    """Retention gates as kvpress scores slots: log beta times the age.

    Args:
        compression_ratio: The share of slots that leave.
        tensors: Those of a gate file.
    """

    def __init__(self, compression_ratio: float, tensors: dict[str, torch.Tensor]) -> None:
        super().__init__(compression_ratio)
        self.tensors = tensors

    def score(self, module: Any, hidden_states: torch.Tensor, keys: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        """Return retention by slot: (batch, KV heads, slots)."""
        own = {name: self.tensors[f"layers.{module.layer_idx}.{name}"] for name in ("w1.weight", "w1.bias", "w2.weight", "bias")}
        inner = nn.functional.silu(nn.functional.linear(hidden_states, own["w1.weight"], own["w1.bias"]))
        log_beta = nn.functional.logsigmoid(nn.functional.linear(inner, own["w2.weight"]) + own["bias"])
        ages = keys.shape[2] - torch.arange(keys.shape[2])
        return log_beta.transpose(1, 2) * ages


def presses(ratio: float, gates: dict[str, torch.Tensor]) -> dict[str, Any]:
    """Return what is compared, for the share of slots that leave."""
    return {
        "TRIM-KV's gates": GatePress(ratio, gates),
        "StreamingLLM": StreamingLLMPress(ratio, n_sink=4),
        "random": RandomPress(ratio),
        "SnapKV": SnapKVPress(ratio, window_size=16, kernel_size=5),
        "observed attention (H2O, normalised)": ObservedAttentionPress(ratio),
        "norm of keys": KnormPress(ratio),
    }


@torch.no_grad()
def accuracy(model: Any, press: Any, data: Any, context: int) -> float:
    """Return the share of first-asked questions that are answered after one cut, in percent."""
    cache = DynamicCache(config=model.config)
    with press(model):
        model(data.tokens[:, :context], past_key_values=cache, output_attentions=True)
    kept, count = cache.get_seq_length(), data.tokens.shape[1] - context
    # The shortened cache says how long it is, not how far the text is: positions are given by hand.
    logits = model(
        data.tokens[:, context:], past_key_values=cache, position_ids=torch.arange(context, context + count)[None],
        cache_position=torch.arange(kept, kept + count),
    ).logits  # fmt: skip
    asked = data.first[:, context + 1 :]
    right = (logits[:, :-1].argmax(-1) == data.tokens[:, context + 1 :]) & asked
    return 100 * int(right.sum()) / int(asked.sum())


def main() -> None:
    """Print a table, or JSON."""
    parser = argparse.ArgumentParser(description="The recall task's one-shot protocol under kvpress.")
    parser.add_argument("--work", type=Path, required=True, help="the folder of a finished recall_task.py")
    parser.add_argument("--seed", type=int, default=0, help="that of the run")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    given = parser.parse_args()
    # Observed attention reads the weights, which only the eager function gives.
    model = Qwen3ForCausalLM.from_pretrained(given.work / "base", attn_implementation="eager").eval()
    gates = load_file(given.work / "gates-default.safetensors")
    task = Task()
    sets = [task.draw(64, torch.Generator().manual_seed(given.seed + _TEST + number)) for number in range(3)]
    rows: dict[str, dict[int, list[float]]] = {}
    for budget in BUDGETS:
        torch.manual_seed(given.seed)
        for name, press in presses(1 - budget / task.context, gates).items():
            rows.setdefault(name, {})[budget] = [round(accuracy(model, press, data, task.context), 2) for data in sets]
    if given.json:
        about = {"kvpress": _version("kvpress"), "transformers": transformers.__version__, "torch": torch.__version__}
        print(json.dumps({**about, "rows": rows}, indent=1))
        return
    print(f"| kvpress {_version('kvpress')} | " + " | ".join(f"{100 * budget / task.length:g} % ({budget})" for budget in BUDGETS) + " |")
    print("|---|" + "---|" * len(BUDGETS))
    for name, found in rows.items():
        cells = [f"{statistics.mean(found[budget]):.1f} ±{statistics.pstdev(found[budget]):.1f}" for budget in BUDGETS]
        print(f"| {name} | " + " | ".join(cells) + " |")


def _version(package: str) -> str:
    from importlib.metadata import version

    return version(package)


if __name__ == "__main__":
    main()
