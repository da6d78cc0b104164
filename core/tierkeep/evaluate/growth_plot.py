"""The chart of `tierkeep bench growth`: what each thing costs against the number of events, for both stores."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tierkeep.evaluate.plots import COLOURS, figure_of

__all__ = ["draw"]

_PANELS = (
    ("recall, CPU ms", "log", (("recall_cpu_p50_ms", "p50", "-"), ("first_touch_cpu_p50_ms", "a scope's first, p50", ":"))),
    ("open to the first answer, CPU ms", "log", (("open_to_answer_cpu_ms", "opened and asked once", "-"),)),
    ("adding one message, CPU ms", "linear", (("add_one_cpu_p50_ms", "p50", "-"),)),
    ("memory of the reader, MB", "linear", (("rss_touched_mb", "as it is", "-"), ("rss_bounded_mb", "indexes bound to 4 MB", "--"))),
)  # fmt: skip


def draw(report: Mapping[str, Any], path: Path) -> None:
    """Write the chart of a report into a PNG file.

    Args:
        report: What `growth.run` returns.
        path: The file; its folder exists.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    stores = (("many scopes", report["many_scopes"]), ("one scope", report["one_scope"]))
    with figure_of(10.5, 7.0) as figure:
        for axes, (title, scale, lines) in zip(figure.subplots(2, 2).flat, _PANELS, strict=True):
            for (store, stages), colour in zip(stores, COLOURS, strict=False):
                for name, label, style in lines:
                    at, heights = [stage["events"] for stage in stages], [stage[name] for stage in stages]
                    axes.plot(at, heights, style, marker="o", ms=4, color=colour, label=f"{store}: {label}")
            axes.set_xscale("log")
            axes.set_yscale(scale)
            axes.set_ylim(bottom=0 if scale == "linear" else None)
            axes.set_title(title, fontsize=10)
            axes.set_xlabel("events in the store")
            axes.legend(frameon=False, fontsize=8, handlelength=3)
        figure.savefig(path, metadata={"Software": None})
