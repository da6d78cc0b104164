"""How much of a model's memory is left at a small budget: a model trained here answers questions about facts that it read before.

Run it: python tests/benchmarks/recall_task.py --work FOLDER [--stage base|gates|evaluate|all] [--seed 0] [--ablations] [--quick] [--json]

A Qwen3 of a million parameters learns the task (`recall_task_data`), the package's trainer makes its gates, and every policy answers the
same sequences through `attach`. Each stage leaves its files in the folder and is passed over when they are there: model and gates as
safetensors, figures as JSON, `table.md`, `recall-task.json` and `recall-task.png`.

Two protocols. **Streaming**: eight tokens at a time, and every head is cut back to its budget after each. **One-shot**: the whole context
at once, cut once, and then all questions. Accuracy counts questions that are asked for the first time, in three data sets of their own
seeds; settings were chosen on others.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import recall_task_evaluate as evaluation
import recall_task_gates as gating
import recall_task_model as small_model
import torch
import transformers
from recall_task_data import Sequences, Task, words
from recall_task_report import plot, table
from transformers import PreTrainedModel

from tierkeep_transformers import Codec, GateSet, Int4, Int8, RotatedInt4, TrimKV, attach
from tierkeep_transformers.retention import retention_of
from tierkeep_transformers.retention_picture import draw
from tierkeep_transformers.training import TrainSettings

#: Added to --seed: no data is met twice.
_GATE_DATA, _ABLATION_DATA, _SAMPLE, _TEST = 1_000, 2_000, 3_000, 10_000
_CODECS: tuple[Codec, ...] = (Int8(), Int4(), RotatedInt4())


class Run:
    """One run in one folder.

    Args:
        work: Where files are.
        seed: Of model, gates and data.
        quick: A look at the plumbing: few steps, few sequences. Its figures mean nothing.
        note: Told how it goes.
    """

    def __init__(self, work: Path, seed: int, quick: bool, note: Callable[[str], None]) -> None:
        self.work = work
        self.seed = seed
        self.quick = quick
        self.note = note
        self.task = Task()
        self.budgets = (64, 32) if quick else gating.BUDGETS
        work.mkdir(parents=True, exist_ok=True)

    # ------------------------------------------------------------------------------------------------------------- stages

    def base(self) -> PreTrainedModel:
        """Return the model, trained now or before."""
        about = self.work / "base.json"
        if not about.exists():
            model = small_model.make(self.seed)
            cost = small_model.train(model, self.seed, self.note, most=3 if self.quick else None)
            small_model.save(model, self.work / "base")
            told = small_model.accuracy(model, self._data(_SAMPLE, 32 if self.quick else 192))
            _write(about, {"parameters": sum(one.numel() for one in model.parameters()), "accuracy": round(100 * told, 2), **cost})
            self.note(f"base: {100 * told:.1f} % with all in view")
        return small_model.load(self.work / "base")

    def gates(self, model: PreTrainedModel) -> dict[str, GateSet]:
        """Return the gates, trained now or before."""
        return {name: self._gates(model, "gates", name, settings, _GATE_DATA) for name, settings in gating.GATES.items()}

    def evaluate(self, model: PreTrainedModel, gates: dict[str, GateSet]) -> list[dict[str, Any]]:
        """Return accuracies of every policy, protocol and budget, and of the codecs under TRIM-KV."""
        sets = [self._data(_TEST, 2)] if self.quick else [self._data(_TEST + number, 64) for number in range(3)]
        rows = []
        for name, make in gating.policies(model, gates, self._data(_SAMPLE, 8).tokens).items():
            for budget in (None,) if name == "full cache" else self.budgets:
                for protocol in ("streaming", "one-shot"):
                    measured = [self._one(model, make(budget or 1, data), data, protocol, None) for data in sets]
                    rows.append(self._row(protocol, name, "none", budget, measured))
        for codec in _CODECS:
            for budget in self.budgets:
                policy = TrimKV(budget=budget, buffer=0, gates=gates["default"])
                measured = [self._one(model, policy, data, "streaming", codec) for data in sets]
                rows.append(self._row("streaming", "TRIM-KV", codec.name, budget, measured))
        return rows

    def ablations(self, model: PreTrainedModel) -> list[dict[str, Any]]:
        """Return what is left of TRIM-KV when its training is changed in one thing, by the streaming protocol and on data of its own."""
        data = self._data(_ABLATION_DATA + 500, 4 if self.quick else 128)
        rows = []
        for name, settings in gating.ABLATIONS.items():
            gates = self._gates(model, "ablation", name, settings, _ABLATION_DATA)
            for budget in (64, 32):
                policy = TrimKV(budget=budget, buffer=0, gates=gates)
                row = self._row("streaming", name, "none", budget, [self._one(model, policy, data, "streaming", None)])
                rows.append({**row, **self._read(self._about("ablation", name))})
        return rows

    def picture(self, model: PreTrainedModel, gates: GateSet, path: Path) -> None:
        """Draw what each head holds of a context before the questions, with the budget that the gates were trained for."""
        ids = self._data(_TEST, 1).tokens[:, : self.task.context]
        with torch.no_grad(), attach(model, TrimKV(budget=gating.M, buffer=0, gates=gates)) as bounded:
            cache = bounded.new_cache()
            for start in range(0, ids.shape[1], evaluation.CHUNK):
                model(ids[:, start : start + evaluation.CHUNK], use_cache=True, **bounded.past(cache))
        title = f"TRIM-KV, {gating.M} slots: what each head holds of {ids.shape[1]} tokens when the questions begin"
        draw(retention_of(cache, words(ids[0])), path, title=title)

    # -------------------------------------------------------------------------------------------------------------- parts

    def _data(self, seed: int, count: int) -> Sequences:
        return self.task.draw(count, torch.Generator().manual_seed(self.seed + seed))

    def _about(self, kind: str, name: str) -> Path:
        return self.work / f"{kind}-{name.replace(' ', '-').replace(chr(39), '')}.json"

    def _gates(self, model: PreTrainedModel, kind: str, name: str, settings: TrainSettings, data: int) -> GateSet:
        about = self._about(kind, name)
        file = about.with_suffix(".safetensors")
        if not about.exists():
            self.note(f"{kind} {name}")
            steps = 3 if self.quick else settings.steps
            gates, cost = gating.train(model, settings, steps, self.seed + data, self.note)
            gates.save(file)
            _write(about, cost)
        return GateSet.load(file, model)

    def _one(
        self, model: PreTrainedModel, policy: evaluation.Policy, data: Sequences, protocol: str, codec: Codec | None
    ) -> evaluation.Measured:
        if protocol == "streaming":
            return evaluation.streaming(model, policy, data, codec)
        return evaluation.one_shot(model, policy, data, self.task, codec)

    def _row(self, protocol: str, name: str, codec: str, budget: int | None, measured: list[evaluation.Measured]) -> dict[str, Any]:
        row = {
            "protocol": protocol, "policy": name, "codec": codec, "budget": budget,
            "accuracies": [round(one.accuracy, 2) for one in measured], "asked": [one.asked for one in measured],
            "kept_slots": max(one.kept_slots for one in measured), "peak_slots": max(one.peak_slots for one in measured),
            "peak_bytes": max(one.peak_bytes for one in measured),
        }  # fmt: skip
        self.note(f"{protocol}, {name}, {codec}, {budget or 'all'}: {row['accuracies']}")
        return row

    def _read(self, file: Path) -> dict[str, Any]:
        read: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return read


def _write(file: Path, what: Any) -> None:
    file.write_text(json.dumps(what, indent=1) + "\n", encoding="utf-8")


def _about_run(given: argparse.Namespace) -> dict[str, Any]:
    return {
        "seed": given.seed, "quick": given.quick, "length": Task().length, "chunk": evaluation.CHUNK, "trained_for": gating.M,
        "python": platform.python_version(), "torch": torch.__version__, "transformers": transformers.__version__,
        "machine": platform.machine(), "cores": os.cpu_count(), "threads": torch.get_num_threads(),
    }  # fmt: skip


def _markdown(found: dict[str, Any]) -> Iterator[str]:
    length = found["length"]
    for protocol in ("streaming", "one-shot"):
        yield f"**{protocol}**: first-asked questions answered, %, mean ± sd of {len(found['rows'][0]['accuracies'])} data sets\n"
        yield table([row for row in found["rows"] if row["protocol"] == protocol], length) + "\n"
    yield "**Peak bytes** of keys and values of a sequence, streaming\n"
    sizes: dict[tuple[str, int | None], set[int]] = {}
    for row in found["rows"]:
        if row["protocol"] == "streaming":
            sizes.setdefault((row["codec"], row["budget"]), set()).add(row["peak_bytes"])
    yield "| codec | budget | KiB |\n|---|---|---|"
    for (codec, budget), several in sizes.items():
        said = " to ".join(f"{one / 1024:g}" for one in sorted({min(several), max(several)}))
        yield f"| {codec} | {budget or 'all'} | {said} |"
    if found.get("ablations"):
        yield "\n**Ablations**: TRIM-KV by the streaming protocol, half the steps, other data\n"
        yield table(found["ablations"], length) + "\n"


def main() -> None:
    """Run the stages, and print a table or JSON."""
    parser = argparse.ArgumentParser(description="Recall at a small budget: base model, gates, and every policy.")
    parser.add_argument("--work", type=Path, required=True, help="folder of the run's files; what is there already is not done again")
    parser.add_argument("--stage", choices=("base", "gates", "evaluate", "all"), default="all", help="the last stage to run")
    parser.add_argument("--seed", type=int, default=0, help="of the model, the gates and all data")
    parser.add_argument("--ablations", action="store_true", help="train gates with one thing changed, too")
    parser.add_argument("--quick", action="store_true", help="a look at the plumbing, in seconds; its figures mean nothing")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for name in ("httpx", "matplotlib"):
        logging.getLogger(name).setLevel(logging.WARNING)
    wall, cpu = time.perf_counter(), time.process_time()
    run = Run(given.work, given.seed, given.quick, logging.getLogger("recall").info)
    model = run.base()
    if given.stage == "base":
        return
    gates = run.gates(model)
    if given.stage == "gates":
        return
    found = {**_about_run(given), "rows": run.evaluate(model, gates)}
    if given.ablations:
        found["ablations"] = run.ablations(model)
    trained = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted(given.work.glob("*.json")) if _is_about(file)}
    found |= {"trained": trained, "wall_s": round(time.perf_counter() - wall, 1), "cpu_s": round(time.process_time() - cpu, 1)}
    _write(given.work / "recall-task.json", found)
    text = "\n".join(_markdown(found))
    (given.work / "table.md").write_text(text + "\n", encoding="utf-8")
    plot([row for row in found["rows"] if row["protocol"] == "streaming"], Task().length, given.work / "recall-task.png")
    run.picture(model, gates["default"], given.work / "recall-task-heads.png")
    print(json.dumps(found, indent=1) if given.json else text)


def _is_about(file: Path) -> bool:
    return file.stem == "base" or file.stem.startswith(("gates-", "ablation-"))


if __name__ == "__main__":
    main()
