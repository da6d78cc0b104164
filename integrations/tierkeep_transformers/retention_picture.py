"""Retention as a picture: one line for each head, one column for each token, coloured where the token is still held."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedModel

from tierkeep.errors import InputError, MissingExtraError, SettingsError, TierkeepError
from tierkeep_transformers import policies
from tierkeep_transformers.gates import GateSet
from tierkeep_transformers.loading import load
from tierkeep_transformers.policies.policy import Policy
from tierkeep_transformers.retention import Retention, read_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw", "main"]

#: Labels of tokens that fit side by side; of more, every second or third is written.
_LABELS = 120
#: The largest picture, in inches.
_WIDEST, _TALLEST = 22.0, 14.0
#: Policies that need no training, by their names in small letters.
_UNTRAINED = {name.lower(): name for name in ("StreamingLLM", "SnapKV", "H2O", "LazyEviction", "RandomEviction", "FullCache")}
_BLANKS = {" ": "␣", "\n": "⏎", "\t": "⇥", "": "·"}


def draw(retention: Retention, path: str | Path, *, title: str = "") -> None:
    """Write a picture of what each head keeps.

    A token that a head has lost is grey. One that it holds is the darker the longer it will stay: by its rank among the head's own, for
    the scores of different policies and heads cannot be compared.

    Args:
        retention: What is shown.
        path: The file, such as "heads.png".
        title: What stands above it; the policy's name by default.

    Raises:
        MissingExtraError: `matplotlib` is not installed.
        InputError: There is nothing to show.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingExtraError("A picture of what a model keeps", extra="bench")
    import matplotlib as mpl
    from matplotlib.figure import Figure

    layers, heads, count = retention.kept.shape
    if not count:
        raise InputError("there is no token to show")
    with mpl.rc_context({"font.family": "DejaVu Sans", "font.size": 8}):
        size = min(3.0 + 0.14 * count, _WIDEST), min(1.6 + 0.24 * layers * heads, _TALLEST)
        figure = Figure(figsize=size, layout="constrained")
        _panel(figure, retention, title or f"What each head holds of {count} tokens: {retention.policy}")
        figure.savefig(path, dpi=110, metadata={"Software": None})


def _panel(figure: Figure, retention: Retention, title: str) -> None:
    layers, heads, count = retention.kept.shape
    axes = figure.subplots()
    shown = np.ma.masked_invalid(_ranks(retention).reshape(layers * heads, count))
    axes.set_facecolor("#e4e4e4")
    image = axes.imshow(shown, aspect="auto", interpolation="nearest", cmap="viridis_r", vmin=0, vmax=1)
    for edge in range(1, layers):
        axes.axhline(edge * heads - 0.5, color="white", linewidth=2)
    step = -(-count // _LABELS)
    labels = [_label(retention.tokens[place]) for place in range(0, count, step)]
    for text in axes.set_xticks(range(0, count, step), labels, rotation=90):
        text.label1.set_parse_math(False)
    rows = -(-layers * heads // 48)
    names = [f"layer {layer}, head {head}" for layer in retention.layers for head in range(heads)]
    axes.set_yticks(range(0, layers * heads, rows), names[::rows])
    axes.set_title(title, loc="left", parse_math=False)
    bar = figure.colorbar(image, ax=axes, ticks=[0, 1], shrink=0.8)
    bar.ax.set_yticklabels(["leaves first", "stays longest"])


def _ranks(retention: Retention) -> NDArray[np.float32]:
    """Return each held token's rank within its head, 0 to 1, and NaN where it is lost: the shape of `kept`."""
    ranks = np.full(retention.kept.shape, np.nan, dtype=np.float32)
    for place in np.ndindex(retention.kept.shape[:2]):
        held = np.flatnonzero(retention.kept[place])
        order = np.argsort(np.argsort(retention.score[place][held], kind="stable"), kind="stable")
        ranks[place][held] = order / max(len(held) - 1, 1)
    return ranks


def _label(token: str) -> str:
    """Return a token as it can be read in the picture: blanks made visible, long ones cut, what the font does not have as a dot."""
    from matplotlib.font_manager import findfont, get_font

    known = get_font(findfont("DejaVu Sans")).get_charmap()
    text = "".join(_BLANKS.get(char, char if ord(char) in known and char.isprintable() else "·") for char in token[:12])
    return text or "·"


def main(arguments: Sequence[str]) -> int:
    """Draw what a model keeps of a file; return the exit status.

    Args:
        arguments: Those of the command line.
    """
    parser = argparse.ArgumentParser(prog="python -m tierkeep_transformers.retention", description="Draw which tokens each head keeps.")
    parser.add_argument("--model", required=True, help="folder of a model, with its tokenizer")
    parser.add_argument("--gates", help="gate file of that model; the policy is then TrimKV")
    parser.add_argument("--policy", default="StreamingLLM", help=f"without gates: {', '.join(_UNTRAINED.values())}")
    parser.add_argument("--budget", type=int, default=64, help="slots per layer and KV head")
    parser.add_argument("--text", required=True, type=Path, help="what is read, UTF-8")
    parser.add_argument("--out", required=True, type=Path, help="the picture, such as heads.png")
    options = parser.parse_args(arguments)
    try:
        model, tokenizer = load(options.model)
        policy = _policy(options.policy, options.gates, options.budget, model)
        draw(read_text(model, tokenizer, options.text.read_text(encoding="utf-8"), policy), options.out)
    except (TierkeepError, OSError, UnicodeDecodeError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{options.out}\n")
    return 0


def _policy(name: str, gates: str | None, budget: int, model: PreTrainedModel) -> Policy:
    if gates:
        return policies.TrimKV(budget=budget, buffer=0, gates=GateSet.load(gates, model))
    if name.lower() not in _UNTRAINED:
        raise SettingsError(f"no policy without gates is called {name!r}: take one of {', '.join(_UNTRAINED.values())}, or --gates")
    made = getattr(policies, _UNTRAINED[name.lower()])
    policy: Policy = made(budget=budget) if made is policies.LazyEviction else made(budget=budget, buffer=0)
    return policy
