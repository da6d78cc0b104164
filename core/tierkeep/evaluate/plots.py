"""Charts of a recall report: recall against the token budget, and recall by category, with their intervals. PNG and SVG, without a screen.

The same report gives the same files: no dates, no random ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tierkeep.errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OURS = "tierkeep"
#: Colours that people with colour-vision deficiencies tell apart (Okabe and Ito); ours is the first.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#000000")
_STYLE = {"svg.hashsalt": OURS, "font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
          "grid.alpha": 0.3, "figure.dpi": 120}  # fmt: skip


def draw(report: Mapping[str, Any], folder: Path) -> list[str]:
    """Write the charts of a report into a folder; return the names of the PNG files.

    Args:
        report: What `recall.run` returns.
        folder: Where they go; it exists.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    names = []
    for name, chart in (("recall_by_budget", _by_budget), ("recall_by_category", _by_category)):
        with figure_of(7.5, 4.2) as figure:
            if chart(figure, report):
                _save(figure, folder / name)
                names.append(f"{name}.png")
    return names


@contextmanager
def figure_of(width: float, height: float) -> Iterator[Figure]:
    """Give an empty figure in our style, which holds while it is drawn and saved.

    Args:
        width: Inches.
        height: Inches.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        import matplotlib
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        raise MissingExtraError("A report with charts", extra="bench") from error
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):  # type: ignore[arg-type]  # its keys are literals there
        yield Figure(figsize=(width, height), layout="constrained")


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path.with_suffix(".png"), metadata={"Software": None})
    figure.savefig(path.with_suffix(".svg"), metadata={"Date": None, "Creator": None})


def _by_budget(figure: Figure, report: Mapping[str, Any]) -> bool:
    """Draw a line for each method; False when one budget was measured, which is no line."""
    budgets = sorted(map(int, report["budgets"]))
    if len(budgets) < 2:
        return False
    axes = figure.subplots()
    for place, (name, figures) in enumerate({OURS: report, **report["baselines"]}.items()):
        of = [figures["budgets"][str(budget)] for budget in budgets]
        colour = COLOURS[place % len(COLOURS)]
        axes.plot(budgets, [100 * one["evidence_recall"] for one in of], marker="o", label=name, color=colour, lw=2.4 if not place else 1.4)
        ends = [one["interval"]["by_question"] for one in of]
        if not place and all(ends):
            axes.fill_between(budgets, [100 * low for low, _ in ends], [100 * high for _, high in ends], color=colour, alpha=0.15, lw=0)
    axes.set_xscale("log", base=2)
    axes.set_xticks(budgets, [f"{budget:,}" for budget in budgets])
    axes.minorticks_off()
    axes.set_xlabel(f"tokens of evidence ({report['tokenizer']})")
    _percent(axes, report)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return True


def _by_category(figure: Figure, report: Mapping[str, Any]) -> bool:
    """Draw a group of bars for each category; False when there is none."""
    categories = list(report["by_category"])
    if not categories:
        return False
    methods = {OURS: report, **report["baselines"]}
    axes = figure.subplots()
    width = 0.8 / len(methods)
    for place, (name, figures) in enumerate(methods.items()):
        at = [number + (place - (len(methods) - 1) / 2) * width for number in range(len(categories))]
        heights = [100 * figures["by_category"].get(category, {}).get("evidence_recall", 0.0) for category in categories]
        axes.bar(at, heights, width, label=name, color=COLOURS[place % len(COLOURS)])
        if not place:
            _whiskers(axes, at, heights, [report["intervals"]["by_category"].get(category) for category in categories])
    axes.set_xticks(range(len(categories)), [f"{name}\nn = {report['by_category'][name]['n']}" for name in categories])
    axes.tick_params(axis="x", labelrotation=30 if len(categories) > 4 else 0)
    axes.grid(axis="x", visible=False)
    _percent(axes, report)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return True


def _whiskers(axes: Axes, at: Sequence[float], heights: Sequence[float], intervals: Sequence[Mapping[str, Any] | None]) -> None:
    held = [(x, y, ends) for x, y, one in zip(at, heights, intervals, strict=True) if one and (ends := one["by_question"])]
    if held:
        low = [max(0.0, y - 100 * ends[0]) for _, y, ends in held]
        high = [max(0.0, 100 * ends[1] - y) for _, y, ends in held]
        xs, ys = [x for x, _, _ in held], [y for _, y, _ in held]
        axes.errorbar(xs, ys, yerr=[low, high], fmt="none", ecolor="black", elinewidth=1, capsize=2)


def _percent(axes: Axes, report: Mapping[str, Any]) -> None:
    axes.set_ylim(0, 100)
    axes.set_ylabel("evidence recall, %")
    axes.set_title(f"{report['name']}: {report['scored_questions']} questions with evidence, embedder {report['embedder']}")
