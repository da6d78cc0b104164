"""What the recall task's measurements look like: a table in Markdown, and a picture."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

__all__ = ["cell", "plot", "table"]

Row = dict[str, Any]


def cell(accuracies: Sequence[float]) -> str:
    """Return the mean of some accuracies, and their standard deviation when there are several."""
    mean = statistics.fmean(accuracies)
    return f"{mean:.1f}" if len(accuracies) < 2 else f"{mean:.1f} ±{statistics.stdev(accuracies):.1f}"


def table(rows: Iterable[Row], length: int) -> str:
    """Return a table of one protocol: a policy to a line, a budget to a column.

    Args:
        rows: `policy`, `codec`, `budget` (None for all), `accuracies` in percent by data seed, and `peak_bytes`.
        length: Tokens of a sequence.
    """
    rows = list(rows)
    budgets = sorted({row["budget"] for row in rows if row["budget"]}, reverse=True)
    lines = [
        "| policy | all | " + " | ".join(f"{100 * budget / length:g} % ({budget})" for budget in budgets) + " |",
        "|---|" + "---|" * (len(budgets) + 1),
    ]
    names = list(dict.fromkeys((row["policy"], row["codec"]) for row in rows))
    for name, codec in names:
        by_budget = {row["budget"]: row for row in rows if (row["policy"], row["codec"]) == (name, codec)}
        said = [cell(by_budget[one]["accuracies"]) if one in by_budget else "" for one in (None, *budgets)]
        lines.append(f"| {name}{'' if codec == 'none' else ', ' + codec} | " + " | ".join(said) + " |")
    return "\n".join(lines)


def plot(rows: Iterable[Row], length: int, file: Path) -> None:
    """Draw accuracy by budget, a line for each policy of one protocol and codec."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    rows = [row for row in rows if row["codec"] == "none"]
    figure, axes = pyplot.subplots(figsize=(7.5, 4.6), layout="constrained")
    names = list(dict.fromkeys(row["policy"] for row in rows if row["budget"]))
    learned = {"TRIM-KV", "TRIM-KV, bias 7.8", "DBTrimKV", "SP-KV style"}
    for place, name in enumerate(names):
        mine = sorted((row for row in rows if row["policy"] == name and row["budget"]), key=lambda row: row["budget"])
        style = "k--" if name == "oracle" else "-" if name in learned else ":"
        colour = {} if name == "oracle" else {"color": pyplot.get_cmap("tab20")(place)}
        shares = [100 * row["budget"] / length for row in mine]
        axes.plot(shares, [statistics.fmean(row["accuracies"]) for row in mine], style, marker="o", ms=3.5, label=name, **colour)
    full = [row for row in rows if not row["budget"]]
    if full:
        axes.axhline(statistics.fmean(full[0]["accuracies"]), color="0.6", lw=0.8, label="full cache")
    ticks = sorted({100 * row["budget"] / length for row in rows if row["budget"]})
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_ylim(0, 103)
    axes.set_xlabel(f"slots that a KV head keeps, % of {length} tokens")
    axes.set_ylabel("questions answered, % (first-asked)")
    axes.legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=130, metadata={"Software": None})
    pyplot.close(figure)
