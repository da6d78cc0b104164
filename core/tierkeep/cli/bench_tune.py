"""`tierkeep bench tune`: fit weights of retrieval on some conversations, report on the others."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tierkeep.cli.bench_run import CacheOption, DataOption, EmbedderOption, FormatOption, JsonOption, embedder_of, module, run, ticking
from tierkeep.cli.output import Output

_Weights = Annotated[
    str, typer.Option("--weights", help="Names of fields of RetrievalSettings, with commas between; a choice of seven otherwise.")
]
_Count = Annotated[int, typer.Option("--candidates", min=1, help="Settings to try beside the present ones; a power of two.")]
_Every = Annotated[int, typer.Option("--every", min=1, help="Take each n-th question only.")]
_Budget = Annotated[int, typer.Option("--budget", min=1, help="Tokens of evidence.")]


def attach(group: typer.Typer) -> None:
    """Add the command of this module."""
    group.command("tune")(tune)


def tune(
    data: DataOption, weights: _Weights = "", candidates: _Count = 32, every: _Every = 1, budget: _Budget = 2048,
    embedder: EmbedderOption = "none", cache: CacheOption = None, format: FormatOption = None, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Try weights of retrieval around the present ones; what is best on half of the conversations is reported on the other half.

    Example: tierkeep bench tune --data one.json --data other.json --candidates 32 --every 3
    """

    def measure(out: Output) -> Any:
        tuning = module("tune")
        names = [name.strip() for name in weights.split(",") if name.strip()] or list(tuning.FITTED)
        made = embedder_of(embedder, cache)
        with ticking(out, "questions") as tick:
            return tuning.run(
                data, names=names, count=candidates, every=every, budget=budget, embedder=made, format=format, progress=tick
            )

    run(as_json, measure)
