"""Trains retention gates for your own model on your own text.

    python -m tierkeep_transformers.train --model PATH --text FOLDER --budget 512 --length 4096 --out gates

It runs offline unless it is told otherwise, shows how far it is, writes checkpoints, and goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from tierkeep.errors import InputError, SettingsError, TierkeepError
from tierkeep_transformers.loading import check_source, check_tokenizer
from tierkeep_transformers.training.card import card
from tierkeep_transformers.training.checkpoints import latest, load_checkpoint, save_checkpoint
from tierkeep_transformers.training.distil import GateTraining, endless, run
from tierkeep_transformers.training.settings import StepReport, TrainSettings
from tierkeep_transformers.training.text import TextWindows, read_text

__all__ = ["main"]

#: Exit status when a signal stopped it; what a shell gives for one.
STOPPED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        The exit status: 0 when the gates are trained, 2 when something has to be put right first, 130 when it was stopped.
    """
    given = _parser().parse_args(arguments)
    console = Console(stderr=True, quiet=given.quiet)
    try:
        return _train(given, console)
    except TierkeepError as error:
        Console(stderr=True).print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        return 2


def _train(given: argparse.Namespace, console: Console) -> int:
    settings = _settings(given)
    if given.budget >= given.length:
        raise SettingsError(f"--budget is below --length, or nothing is ever evicted; they are {given.budget} and {given.length}")
    start = _start(given.out, given.resume)
    model, tokenizer = _loaded(given)
    windows = read_text(given.text, tokenizer, given.length)
    held_out = max(0, min(given.validation, len(windows) - 1))
    training = GateTraining(model, settings, length=given.length)
    same = {"batch": given.batch, "held_out": held_out, "text": windows.sha256}
    if start is not None:
        load_checkpoint(start, training, same)
        if training.step == settings.steps and (given.out / "gates.safetensors").exists():
            console.print(f"all {settings.steps} steps are done already", highlight=False)
            return 0
        console.print(f"going on from step {training.step}", highlight=False)
    feed = endless(windows.batches(given.batch, settings.seed, held_out), skip=training.step * settings.accumulation)
    checkpoints = given.out / "checkpoints"

    with _interrupted(console) as stop, _shown(console, training) as show:

        def on_step(report: StepReport) -> None:
            show(report)
            if given.json:
                sys.stdout.write(json.dumps(report.line()) + "\n")
                sys.stdout.flush()
            if report.step % given.save_every == 0:
                save_checkpoint(checkpoints, training, same)

        done = run(
            training, feed, validation=windows.validation(given.batch, held_out), validate_every=given.validate_every, on_step=on_step,
            stop=lambda: bool(stop),
        )  # fmt: skip
    if not done:
        save_checkpoint(checkpoints, training, same)
        console.print(f"stopped after step {training.step}, which is saved; go on with the same command and --resume", highlight=False)
        return STOPPED
    _finish(given.out, training, windows, held_out)
    console.print(f"{given.out / 'gates.safetensors'} is written, with a README.md beside it", highlight=False, soft_wrap=True)
    return 0


def _finish(out: Path, training: GateTraining, windows: TextWindows, held_out: int) -> None:
    """Write the gates and their card."""
    gates = training.finished()
    text = {"documents": windows.documents, "tokens": (len(windows) - held_out) * windows.length, "sha256": windows.sha256}
    gates.about["data"] = f"{text['documents']} documents, {text['tokens']} tokens, sha256 {text['sha256']}"
    gates.save(out / "gates.safetensors")
    line = training.report.line() if training.report is not None else None
    (out / "README.md").write_text(card(gates.about, text, line, training.warnings()), encoding="utf-8")


def _start(out: Path, resume: bool) -> Path | None:
    """Return the checkpoint to go on from, or None to begin. Makes the folder.

    Raises:
        InputError: There is a training already, or none to go on with, or no folder can be made.
    """
    found = latest(out / "checkpoints")
    if resume and found is None:
        raise InputError(f"{out} has no checkpoint to go on from: leave --resume out", field="out")
    if not resume and (found is not None or (out / "gates.safetensors").exists()):
        raise InputError(f"{out} holds a training already: go on with --resume, or choose another folder", field="out")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"the folder {out} cannot be made: {error}", field="out") from error
    return found


def _loaded(given: argparse.Namespace) -> tuple[PreTrainedModel, Any]:
    """Return model and tokeniser, from this machine only unless downloads are allowed."""
    known: dict[str, Any] = {"local_files_only": not given.allow_download}
    if given.revision is not None:
        known["revision"] = given.revision
    dtype = given.dtype if given.dtype == "auto" else getattr(torch, given.dtype)
    device = given.device or ("cuda" if torch.cuda.is_available() else "cpu")
    check_source(given.model)
    try:
        tokenizer = AutoTokenizer.from_pretrained(given.model, **known)
        model = AutoModelForCausalLM.from_pretrained(given.model, dtype=dtype, **known)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        hint = "" if given.allow_download else "; --model is a folder with config.json, weights and tokeniser, or add --allow-download"
        raise InputError(f"no model could be loaded from {given.model}: {reason}{hint}", field="model") from error
    check_tokenizer(tokenizer, given.model)
    try:
        return model.to(device), tokenizer
    except (RuntimeError, AssertionError) as error:
        raise SettingsError(f"--device {device} cannot hold the model: {str(error).splitlines()[0]}") from error


# ---------------------------------------------------------------------------------------------------------------- terminal


@contextmanager
def _interrupted(console: Console) -> Iterator[list[int]]:
    """Yield a list that has something in it once Ctrl-C was pressed or the process was told to end. A second time ends it at once."""
    asked: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        console.print("finishing this step and saving; once more ends at once", highlight=False)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _shown(console: Console, training: GateTraining) -> Iterator[Any]:
    """Show a bar for as long as the block lasts; yields what it is told of each step with."""
    columns = (
        TextColumn("gates"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[said]}"),
    )  # fmt: skip
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("gates", total=training.settings.steps, completed=training.step, said="")

        def show(report: StepReport) -> None:
            size = max(report.soft_size.values())
            said = f"KL {report.kl:.4f}  next {report.ntp:.3f}  cap {report.cap:.4f}  soft size {size:.0f}"
            progress.update(task, completed=report.step, said=said)
            for budget, score in report.hard.items():
                found = f"{score.accuracy:.1%} of next tokens right, {score.ntp:.3f} nats"
                progress.console.print(f"step {report.step}: with {budget} slots {found}", highlight=False)

        yield show


# ----------------------------------------------------------------------------------------------------------------- options


def _settings(given: argparse.Namespace) -> TrainSettings:
    """Return the settings that the options say.

    Raises:
        SettingsError: One of them is out of range.
    """
    names = (
        "budget", "steps", "method", "lr", "weight_decay", "warmup", "accumulation", "clip", "kl", "ntp", "lambda_cap", "cap_norm",
        "hidden", "bias", "query_block", "gradient_checkpointing", "seed", "window", "sparsity",
    )  # fmt: skip
    for name in ("length", "batch", "validate_every", "save_every"):
        if getattr(given, name) < 1:
            raise SettingsError(f"--{name.replace('_', '-')} is at least 1; it is {getattr(given, name)}")
    return TrainSettings(**{name: getattr(given, name) for name in names})


def _number_or_auto(text: str) -> float | str:
    return text if text == "auto" else float(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tierkeep_transformers.train",
        description="Train retention gates for a model on text. The model is not changed. Ctrl-C finishes the step and saves; "
        "--resume goes on.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    defaults: Mapping[str, Any] = {name: field.default for name, field in TrainSettings.__dataclass_fields__.items()}

    def option(group: Any, name: str, help_: str, **more: Any) -> None:
        known = defaults.get(name.replace("-", "_"))
        more.setdefault("type", type(known) if isinstance(known, (int, float, str)) else str)
        more.setdefault("default", known)
        group.add_argument(f"--{name}", help=help_, **more)

    what = parser.add_argument_group("what to train on, and where to")
    what.add_argument("--model", required=True, help="folder of a causal language model of transformers, with its tokeniser")
    what.add_argument("--text", required=True, nargs="+", type=Path, help="UTF-8 text files, or folders with .txt, .md and .rst in them")
    what.add_argument("--out", required=True, type=Path, help="folder for gates, model card and checkpoints")
    what.add_argument("--length", required=True, type=int, help="tokens of a sequence; best as long as what the gates will meet")
    what.add_argument("--resume", action="store_true", help="go on from the newest checkpoint in --out")
    what.add_argument("--allow-download", action="store_true", help="let --model be fetched from the hub; offline otherwise")
    what.add_argument("--revision", help="revision of the model on the hub")
    how = parser.add_argument_group("how")
    how.add_argument("--budget", required=True, type=int, help="slots per layer and KV head: the smallest budget that you will use")
    how.add_argument("--steps", type=int, default=1000, help="steps of the optimiser")
    how.add_argument("--batch", type=int, default=1, help="sequences of a batch")
    option(how, "accumulation", "batches of a step", default=4)
    option(how, "method", "trimkv, dbtrimkv, or spkv (in its way, with a frozen model)", choices=("trimkv", "dbtrimkv", "spkv"))
    option(how, "lr", "learning rate after the warm-up, or auto: from the width of the model", type=_number_or_auto)
    option(how, "weight-decay", "weight decay of the gates' matrices")
    option(how, "warmup", "share of the steps in which the learning rate rises")
    option(how, "clip", "largest norm of a gradient")
    option(how, "kl", "weight of the likeness to the model without gates")
    option(how, "ntp", "weight of the next token's loss")
    option(how, "lambda-cap", "weight of the capacity loss; raise it when the soft size stays above twice the budget")
    option(how, "cap-norm", "how the capacity loss is averaged", choices=("paper", "active"))
    option(how, "hidden", "width of a gate")
    option(how, "bias", "where a gate's bias begins, or auto: from the length", type=_number_or_auto)
    option(how, "window", "spkv: newest tokens that always stay")
    option(how, "sparsity", "spkv: weight of the mean of u")
    option(how, "seed", "of the gates' beginning and the order of the text")
    machine = parser.add_argument_group("machine and output")
    option(machine, "query-block", "queries worked on at once: memory grows with length x this")
    machine.add_argument("--gradient-checkpointing", action="store_true", help="far less memory, and a third slower")
    machine.add_argument("--device", help="such as cpu or cuda; the GPU if there is one")
    machine.add_argument("--dtype", default="auto", choices=("auto", "float32", "bfloat16"), help="of the model's weights")
    machine.add_argument("--validation", type=int, default=4, help="sequences held out, on which real eviction is measured")
    machine.add_argument("--validate-every", type=int, default=100, help="steps between two measurements")
    machine.add_argument("--save-every", type=int, default=100, help="steps between two checkpoints")
    machine.add_argument("--json", action="store_true", help="write a line of JSON for each step to standard output")
    machine.add_argument("--quiet", action="store_true", help="show no progress")
    return parser


if __name__ == "__main__":
    sys.exit(main())
