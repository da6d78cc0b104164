"""Decode speed and memory of a local model: the cache of transformers against bounded ones, in one run.

Run it: OMP_NUM_THREADS=2 python tests/benchmarks/local_model.py [--json] [--drawn] [--device cuda --dtype bfloat16]

The model is a random Qwen3 of 4 layers (hidden 256, 8 heads, 4 KV heads of 32), batch 4, 8,192 tokens of context. What it says means
nothing; what a step costs does not depend on that. Caches take turns, a few steps each, so that a busy machine is as busy for all of them.
`--clock cpu` counts the time of this thread (with OMP_NUM_THREADS=1), which says more than the wall on a machine that is shared. `--drawn`
fills the caches with random keys through append and eviction instead of reading a prompt, and tells no prefill times. `--lengths` adds
the time of a step by length, `--generate 16384` the bytes of a bounded cache while so many tokens are generated.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
import transformers
from transformers import AutoModelForCausalLM, DynamicCache, Qwen3Config

from tierkeep_transformers import Bounded, BoundedCache, FullCache, GateSet, Need, Policy, SnapKV, StreamingLLM, TrimKV, attach
from tierkeep_transformers.families import layout_of

_CHUNK = 512
_VOCABULARY = 1024


@dataclass
class Row:
    """One cache in the table."""

    name: str
    policy: Policy | None
    cache: Any = None
    steps: list[float] = field(default_factory=list)
    prefill: float | None = None
    peak: int = 0


def build(args: argparse.Namespace, layers: int = 4) -> Any:
    """Return the model."""
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=_VOCABULARY, hidden_size=256, intermediate_size=768, num_hidden_layers=layers, num_attention_heads=8,
        num_key_value_heads=4, head_dim=32, max_position_embeddings=65536, tie_word_embeddings=True,
    )  # fmt: skip
    return AutoModelForCausalLM.from_config(config).eval().to(args.device, getattr(torch, args.dtype))


def policies(model: Any, drawn: bool) -> list[Row]:
    """Return the table's rows. SnapKV looks at queries, which drawn keys have none of."""
    gates = GateSet.fresh(layout_of(model)).to(model.device)
    rows = [Row("stock", None), Row("full", FullCache())]
    rows += [Row(f"TRIM-KV {budget}", TrimKV(budget=budget, gates=gates)) for budget in (4096, 2048, 1024)]
    rows.append(Row("StreamingLLM 2048", StreamingLLM(budget=2048)))
    return rows if drawn else [*rows, Row("SnapKV 2048", SnapKV(budget=2048))]


class Bench:
    """Feeds caches of one model."""

    def __init__(self, model: Any, args: argparse.Namespace) -> None:
        self.model = model
        self.args = args
        self.argument = layout_of(model).cache_argument
        self.now: Callable[[], float] = time.thread_time if args.clock == "cpu" else time.perf_counter
        self.ids = torch.randint(_VOCABULARY, (args.batch, 65536), device=model.device)

    def cache(self, policy: Policy | None) -> Any:
        return DynamicCache(config=self.model.config) if policy is None else BoundedCache(layout_of(self.model), policy)

    def timed(self, ids: torch.Tensor, cache: Any) -> float:
        """Return the seconds of one call of the model."""
        self._wait()
        started = self.now()
        self.model(input_ids=ids, use_cache=True, logits_to_keep=1, **{self.argument: cache})
        self._wait()
        return self.now() - started

    def read(self, cache: Any, length: int) -> float:
        """Return the seconds that a prompt takes, in chunks."""
        return sum(self.timed(self.ids[:, start : min(start + _CHUNK, length)], cache) for start in range(0, length, _CHUNK))

    def draw(self, cache: Any, length: int) -> None:
        """Fill a cache with random keys and values, by the way that a prompt's would take."""
        layout = layout_of(self.model)
        for start in range(0, length, _CHUNK):
            shape = (self.args.batch, layout.kv_heads, min(_CHUNK, length - start), layout.head_dim)
            for index in layout.attention:
                key, value = (torch.randn(shape, device=self.model.device, dtype=self.model.dtype) for _ in range(2))
                if isinstance(cache, BoundedCache):
                    cache.bounded[index].open()
                    cache.bounded[index].tell(Need.GATE, -torch.rand(shape[:3], device=self.model.device))
                cache.update(key, value, index)
                if isinstance(cache, BoundedCache):
                    cache.settle(index)

    def fill(self, row: Row, length: int) -> None:
        """Make a row's cache, with a context in it."""
        row.cache = self.cache(row.policy)
        if self.args.drawn:
            self.draw(row.cache, length)
        else:
            with self.attached(row.policy):
                row.prefill = self.read(row.cache, length)
        if isinstance(row.cache, BoundedCache):
            stats = row.cache.stats()
            of_slot = stats.bytes // max(layer.slots.room for layer in row.cache.bounded.values())
            row.peak = max(stats.peak * of_slot, stats.bytes)
        else:
            row.peak = _bytes(row.cache)

    def attached(self, policy: Policy | None) -> ExitStack:
        stack = ExitStack()
        if policy is not None:
            stack.enter_context(attach(self.model, policy))
        return stack

    def step(self, row: Row, steps: int) -> None:
        """Decode some tokens."""
        with self.attached(row.policy):
            for number in range(steps):
                row.steps.append(self.timed(self.ids[:, number : number + 1], row.cache))

    def _wait(self) -> None:
        if self.model.device.type == "cuda":
            torch.cuda.synchronize()


def _bytes(cache: Any) -> int:
    if isinstance(cache, BoundedCache):
        return cache.bytes()
    return sum(tensor.numel() * tensor.element_size() for layer in cache.layers for tensor in (layer.keys, layer.values))


def compare(bench: Bench, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the table: each cache with the same context, a few steps at a time in turns."""
    rows = policies(bench.model, bench.args.drawn)
    for row in rows:
        bench.fill(row, args.context)
    for _ in range(args.rounds):
        for row in rows:
            bench.step(row, args.steps)
    base = statistics.median(rows[0].steps)
    return [
        {
            "cache": row.name,
            "tokens_per_second_p50": args.batch / statistics.median(row.steps),
            "tokens_per_second_mean": args.batch / statistics.mean(row.steps),
            "ms_per_step_p50": 1e3 * statistics.median(row.steps),
            "times_stock": base / statistics.median(row.steps),
            "prefill_s": row.prefill,
            "bytes": _bytes(row.cache),
            "peak_bytes": row.peak,
        }
        for row in rows
    ]


def by_length(bench: Bench, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the time of a step by the length of the context."""
    gates = GateSet.fresh(layout_of(bench.model)).to(bench.model.device)
    table = []
    for length in args.lengths:
        rows = [Row("stock", None), Row("TRIM-KV 1024", TrimKV(budget=1024, gates=gates))]
        for row in rows:
            row.cache = bench.cache(row.policy)
            bench.draw(row.cache, length)
        for _ in range(args.rounds):
            for row in rows:
                bench.step(row, args.steps)
        table.append({"length": length, **{row.name: 1e3 * statistics.median(row.steps) for row in rows}})
    return table


def long_run(args: argparse.Namespace) -> dict[str, Any]:
    """Return the bytes of a bounded cache of a small model while it generates."""
    model = build(args, layers=2)
    with torch.no_grad(), attach(model, TrimKV(budget=512, gates=GateSet.fresh(layout_of(model)).to(model.device))) as bounded:
        return _generated(bounded, model, args.generate)


def _generated(bounded: Bounded, model: Any, count: int) -> dict[str, Any]:
    cache = bounded.new_cache()
    token = torch.zeros(1, 1, dtype=torch.long, device=model.device)
    sizes, times = [], []
    for _ in range(count):
        started = time.thread_time()
        token = model(input_ids=token, **bounded.past(cache)).logits[:, -1:].argmax(-1)
        times.append(time.thread_time() - started)
        sizes.append(cache.bytes())
    stats, tenth = cache.stats(), count // 10
    return {
        "tokens": count, "bytes_most": max(sizes), "bytes_last": sizes[-1], "formula_bytes": stats.formula_bytes,
        "full_bytes": stats.full_bytes, "ms_p50_second_tenth": 1e3 * statistics.median(times[tenth : 2 * tenth]),
        "ms_p50_last_tenth": 1e3 * statistics.median(times[-tenth:]),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"])
    parser.add_argument("--context", type=int, default=8192)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--steps", type=int, default=8, help="of each cache in each round")
    parser.add_argument("--clock", default="wall", choices=["wall", "cpu"])
    parser.add_argument("--drawn", action="store_true", help="fill the caches without reading a prompt")
    parser.add_argument("--lengths", type=int, nargs="*", default=[], help="such as 1024 2048 4096 8192 16384")
    parser.add_argument("--generate", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with torch.no_grad():
        bench = Bench(build(args), args)
        result: dict[str, Any] = {
            "machine": platform.machine(), "threads": torch.get_num_threads(), "torch": torch.__version__, "device": args.device,
            "dtype": args.dtype, "transformers": transformers.__version__, "clock": args.clock, "decode": compare(bench, args),
            "by_length": by_length(bench, args),
        }  # fmt: skip
    if args.device == "cuda":
        result["peak_device_bytes"] = torch.cuda.max_memory_allocated()
    if args.generate:
        result["generated"] = long_run(args)
    if args.json:
        print(json.dumps(result, indent=1))
        return
    print(" ".join(f"{name}={result[name]}" for name in ("torch", "transformers", "device", "dtype", "threads", "clock")))
    for line in result["decode"]:
        prefill = "" if line["prefill_s"] is None else f" prefill {line['prefill_s']:6.1f} s"
        print(
            f"{line['cache']:18} {line['tokens_per_second_p50']:7.1f} tok/s p50 {line['tokens_per_second_mean']:7.1f} mean "
            f"x{line['times_stock']:.2f}{prefill} {line['bytes'] / 2**20:7.1f} MiB peak {line['peak_bytes'] / 2**20:7.1f}"
        )
    for line in result["by_length"]:
        print(f"{line['length']:6} tokens: stock {line['stock']:6.1f} ms a step, TRIM-KV 1024 {line['TRIM-KV 1024']:6.1f}")
    if args.generate:
        print(result["generated"])


if __name__ == "__main__":
    main()
