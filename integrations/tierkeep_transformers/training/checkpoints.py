"""Checkpoints of a training: gates, the optimiser's state and how far it got. Safetensors and JSON, so that nothing in them can run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from tierkeep.errors import InputError, SettingsError
from tierkeep_transformers.gate_files import check_identity
from tierkeep_transformers.gates import GateSet
from tierkeep_transformers.training.distil import GateTraining

__all__ = ["latest", "load_checkpoint", "save_checkpoint"]

#: How many are kept.
KEPT = 2


def save_checkpoint(folder: Path, training: GateTraining, more: Mapping[str, Any]) -> Path:
    """Write where a training stands, and drop all but the newest checkpoints. One appears whole or not at all.

    Args:
        folder: Where checkpoints lie, each in a folder of its own.
        training: The training.
        more: What else has to be the same when it goes on, such as a hash of the text; plain JSON.

    Returns:
        The checkpoint's folder.

    Raises:
        InputError: It cannot be written.
    """
    path = folder / f"step-{training.step:07d}"
    beside = folder / f".{path.name}.part"
    try:
        if beside.exists():
            shutil.rmtree(beside)
        beside.mkdir(parents=True)
        training.finished().save(beside / "gates.safetensors")
        save_file(_optimiser(training), beside / "optimizer.safetensors")
        known = {"step": training.step, "length": training.length, "settings": asdict(training.settings), "more": dict(more)}
        (beside / "progress.json").write_text(json.dumps(known, indent=1), encoding="utf-8")
        if path.exists():
            shutil.rmtree(path)
        beside.rename(path)
        for old in _all(folder)[:-KEPT]:
            shutil.rmtree(old)
    except OSError as error:
        raise InputError(f"a checkpoint cannot be written to {folder}: {error}", field="out") from error
    return path


def latest(folder: Path) -> Path | None:
    """Return the newest checkpoint in a folder, if there is one."""
    return next(reversed(_all(folder)), None)


def load_checkpoint(path: Path, training: GateTraining, more: Mapping[str, Any]) -> None:
    """Let a fresh training go on where a checkpoint stands.

    Args:
        path: The checkpoint's folder.
        training: A training of the same model with the same settings.
        more: As `save_checkpoint` was given it.

    Raises:
        SettingsError: Model, settings or text are not those of the checkpoint.
        InputError: The checkpoint is damaged.
    """
    try:
        known = json.loads((path / "progress.json").read_text(encoding="utf-8"))
        state = load_file(path / "optimizer.safetensors")
        before = {**known["settings"], "length": known["length"], **known["more"]}
        step = int(known["step"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError, SafetensorError) as error:
        raise InputError(f"the checkpoint {path} is damaged ({error}): delete it to go on from the one before", field="out") from error
    now = json.loads(json.dumps({**asdict(training.settings), "length": training.length, **more}))
    changed = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    if changed:
        said = "; ".join(f"{name} was {before.get(name)!r} and is {now.get(name)!r}" for name in changed)
        raise SettingsError(f"a training goes on only as it began: {said}")
    gates = GateSet.load(path / "gates.safetensors")
    check_identity(gates.about, training.layout)
    gates.check(training.layout)
    training.gates.load_state_dict(gates.state_dict())
    if step:  # before the first one an optimiser has no state
        _restore(training, state, path)
    training.step = step


def _all(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("step-*") if path.is_dir())


def _optimiser(training: GateTraining) -> dict[str, Tensor]:
    """Return the optimiser's state by the names of the gates' parameters."""
    state = training.optimiser.state
    return {
        f"{name}/{part}": torch.as_tensor(value).detach().cpu().contiguous()
        for name, parameter in training.gates.named_parameters()
        for part, value in state.get(parameter, {}).items()
    }


def _restore(training: GateTraining, state: Mapping[str, Tensor], path: Path) -> None:
    parameters = dict(training.gates.named_parameters())
    shapes = {f"{name}/{part}": one.shape for name, one in parameters.items() for part in ("exp_avg", "exp_avg_sq")}
    shapes |= {f"{name}/step": torch.Size() for name in parameters}
    odd = [key for key in sorted(shapes.keys() | state.keys()) if key not in state or state[key].shape != shapes.get(key)]
    if odd:
        raise InputError(f"the checkpoint {path} is damaged: its optimiser does not fit the gates ({odd[0]})", field="out")
    for key, value in state.items():
        name, _, part = key.rpartition("/")
        # The count of steps stays where AdamW keeps it, in main memory.
        training.optimiser.state[parameters[name]][part] = value if part == "step" else value.to(parameters[name].device)
