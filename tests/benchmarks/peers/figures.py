"""From the workers' results to rows, ratios, tables and a chart. Pure functions, but for the chart's file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any

#: (what, the figure compared, how many times it must be, names of those it is held against, names of our rows that are held to it)
FLOORS: tuple[tuple[str, str, float, str, tuple[str, ...]], ...] = (
    ("single add", "add_p50_ms", 20, "mem0", ("tierkeep", "tierkeep, with_write", "tierkeep, full", "tierkeep, full, with_write")),
    ("single add", "add_p50_ms", 20, "chromadb", ("tierkeep", "tierkeep, with_write", "tierkeep, full", "tierkeep, full, with_write")),
    ("recall of one owner", "p50_ms", 10, "mem0", ("nearest", "items", "recall 2048", "recall 256")),
    ("recall of one owner", "p50_ms", 2, "chromadb", ("nearest", "items", "recall 2048", "recall 256")),
)
_SHOWN = {
    "nearest": "tierkeep: the nearest 10",
    "recall 2048": "tierkeep: `recall`, 2,048 tokens",
    "recall 256": "tierkeep: `recall`, 256 tokens",
    "items": "tierkeep: items, `search` with `limit=10`",
}
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#000000")
_MARKS = ("o-", "s--", "^:", "D-.", "v-")
Row = dict[str, Any]


def writing(name: str, size: int, result: Mapping[str, Any]) -> Row:
    """Return the figures of a fill: milliseconds of one add as called, adds a second until they can be found, batches likewise."""
    times = sorted(result["single_ms"])
    return {
        "system": name,
        "size": size,
        "stored": result["count"],
        "batched": result["batched"],
        "of": result["of"],
        "batch_s": round(result["batch_s"], 2),
        "batch_per_s": round(result["batched"] / result["batch_s"], 1) if result["batch_s"] else None,
        "singles": len(times),
        "add_p10_ms": _at(times, 0.1),
        "add_p50_ms": _at(times, 0.5),
        "add_p95_ms": _at(times, 0.95),
        "add_cpu_ms": round(result["single_cpu_ms"], 3),
        "add_per_s": round(1000 / fmean(times), 1) if times else None,
        "found_per_s": round(len(times) / result["single_s"], 1) if times else None,
        "fill_rss_mb": round(result["rss_mb"]),
        "disk_mb": round(result["disk_mb"], 1),
    }


def reading(name: str, size: int, mode: str, result: Mapping[str, Any], recall: float | None, stored: int) -> Row:
    """Return the figures of one way of asking; `stored` is what was there to find."""
    own = result[mode]
    times = sorted(own["ms"])
    return {
        "system": name,
        "size": size,
        "mode": mode,
        "stored": stored,
        "questions": len(times),
        "p10_ms": _at(times, 0.1),
        "p50_ms": _at(times, 0.5),
        "p95_ms": _at(times, 0.95),
        "p99_ms": _at(times, 0.99),
        "cpu_ms": round(own["cpu_ms"], 3),
        "touch_p50_ms": round(median(own["touch_ms"]), 3),
        "recall_at_10": None if recall is None else round(recall, 4),
        "found": round(fmean([len(ids) for ids in own["found"]]), 1),
        "open_ms": round(result["open_ms"], 1),
        "first_ms": round(result["first_ms"], 1),
        "started_ms": round(result["started_ms"]),
        "rss_mb": None if own["rss_mb"] is None else round(own["rss_mb"]),
    }


def shown(system: str, mode: str) -> str:
    """Return what the tables call a way of asking."""
    return _SHOWN.get(mode, system)


def ratios(report: Mapping[str, Any]) -> list[Row]:
    """Return how many times faster our rows are than those they are held against, at each size, and whether that meets the floor."""
    found = []
    for what, key, floor, against, ours in FLOORS:
        rows = report["writing" if key == "add_p50_ms" else "reading"]
        for own in rows:
            label = own["system"] if key == "add_p50_ms" else own["mode"]
            if not own["system"].startswith("tierkeep") or label not in ours:
                continue
            for other in rows:
                if not other["system"].startswith(against) or other["size"] != own["size"] or not own[key] or not other[key]:
                    continue
                ratio = other[key] / own[key]
                busy = "add_cpu_ms" if key == "add_p50_ms" else "cpu_ms"
                found.append(
                    {
                        "what": what,
                        "ours": label if key == "add_p50_ms" else shown("tierkeep", label),
                        "against": other["system"],
                        "size": own["size"],
                        "floor": floor,
                        "ratio": round(ratio, 2),
                        "met": ratio >= floor,
                        "cpu_ratio": round(other[busy] / own[busy], 2) if own[busy] else None,
                    }
                )
    return found


def tables(report: Mapping[str, Any]) -> dict[str, str]:
    """Return the Markdown tables by name: about, writing, reading, cold, floors, and evidence where it was measured."""
    sizes = report["sizes"]
    made = {
        "about": _about(report),
        "writing": _writing(report, sizes),
        "reading": _reading(report, sizes),
        "cold": _cold(report, sizes),
        "floors": _floors(report, sizes),
    }
    if report.get("evidence"):
        made["evidence"] = _evidence(report["evidence"])
    return made


def _about(report: Mapping[str, Any]) -> str:
    lines = []
    for name, versions in report["versions"].items():
        loads = [row["load"] for key in ("writing", "reading") for row in report[key] if row["system"] == name and "load" in row]
        between = f"{min(loads):.1f} to {max(loads):.1f}" if loads else "–"
        told = ", ".join(f"{package} {version}" for package, version in versions.items() if version and package not in ("python", "numpy"))
        lines.append([name, report["about"][name], told, between])
    machine = (
        f"{report['machine']}. A fill ended after {report['limit']:g} s. Load is the machine's own, of all that ran, when a process began."
    )
    return _table(["system", "what it is", "versions", "load"], lines) + f"\n\n{machine}"


def _writing(report: Mapping[str, Any], sizes: Sequence[int]) -> str:
    columns = [
        "system",
        "fsyncs of an add",
        *(f"one, p50 / p95 ms, {size:,}" for size in sizes),
        *(f"batch, per s, {size:,}" for size in sizes),
    ]
    by = {(row["system"], row["size"]): row for row in report["writing"]}
    lines = []
    for name in dict.fromkeys(row["system"] for row in report["writing"]):
        rows = [by.get((name, size)) for size in sizes]
        waits = report["fsyncs"].get(name)
        lines.append(
            [
                name,
                "–" if waits is None else f"{waits:.1f}",
                *(_pair(row, "add_p50_ms", "add_p95_ms") for row in rows),
                *map(_batches, rows),
            ]
        )
    return "\n\n".join(filter(None, (_table(columns, lines), notes(report))))


def notes(report: Mapping[str, Any]) -> str:
    """Return what did not end or was not there, a line each; "" for nothing."""
    lines = [
        f"\\* {row['system']} at {row['size']:,}: {row['batched']:,} of {row['of']:,} were stored when {report['limit']:g} s were over; "
        "all its figures at that size are with those."
        for row in report["writing"]
        if row["batched"] < row["of"]
    ]
    lines += [f"{row['system']} at {row['size']:,}: {row['why']}." for row in report["missing"]]
    return "\n".join(f"- {line}" for line in lines)


def _reading(report: Mapping[str, Any], sizes: Sequence[int]) -> str:
    columns = [
        "system",
        *(f"p50 / p95 / p99 ms, {size:,}" for size in sizes),
        "of the ten nearest found, " + " / ".join(f"{size:,}" for size in sizes),
    ]
    lines = []
    for (name, mode), rows in _asked(report, sizes).items():
        exact = " / ".join("–" if row is None or row["recall_at_10"] is None else f"{100 * row['recall_at_10']:.1f} %" for row in rows)
        lines.append([shown(name, mode), *(_triple(row) for row in rows), exact])
    return _table(columns, lines)


def _cold(report: Mapping[str, Any], sizes: Sequence[int]) -> str:
    each = " / ".join(f"{size:,}" for size in sizes)
    columns = [
        "system",
        "import, s",
        f"open, ms, {each}",
        f"process start to first answer, s, {each}",
        f"first question of an owner, p50 ms, {each}",
        f"memory, MB, {each}",
        f"on disk, MB, {each}",
    ]
    disk = {(row["system"], row["size"]): row["disk_mb"] for row in report["writing"]}
    lines = []
    for (name, mode), rows in _asked(report, sizes).items():

        def cell(key: str, scale: float = 1, rows: Sequence[Row | None] = rows) -> str:
            return " / ".join("–" if row is None or row[key] is None else _number(row[key] * scale) for row in rows)

        on_disk = " / ".join("–" if (name, size) not in disk else _number(disk[name, size]) for size in sizes)
        once = mode == report["main"].get(name, mode)
        imported = report["import_s"].get(name)
        lines.append(
            [
                shown(name, mode),
                f"{imported:.2f}" if once and imported is not None else "",
                cell("open_ms") if once else "",
                cell("started_ms", 0.001) if once else "",
                cell("touch_p50_ms"),
                cell("rss_mb"),
                on_disk if once else "",
            ]
        )
    return _table(columns, lines)


def _floors(report: Mapping[str, Any], sizes: Sequence[int]) -> str:
    groups: dict[tuple[str, str, str, float], dict[int, Row]] = {}
    for row in report["ratios"]:
        groups.setdefault((row["what"], row["ours"], row["against"], row["floor"]), {})[row["size"]] = row
    columns = ["what", "ours", "against", "floor", *(f"{size:,}" for size in sizes)]
    lines = []
    for (what, own, against, floor), by in groups.items():
        cells = (by.get(size) for size in sizes)
        lines.append([what, own, against, f"{floor:g} ×", *map(_told, cells)])
    return _table(columns, lines)


def _told(one: Row | None) -> str:
    if one is None:
        return "–"
    busy = f" ({_number(one['cpu_ratio'])} ×)" if one["cpu_ratio"] is not None else ""
    return f"{_number(one['ratio'])} ×{busy}, {'met' if one['met'] else '**not met**'}"


def _evidence(found: Mapping[str, Any]) -> str:
    lines = []
    for name, one in found["rows"].items():
        difference = one.get("difference")
        ends = difference and (difference["by_conversation"] or difference["by_question"])
        over = f"{100 * difference['value']:+.1f} ({100 * ends[0]:.1f} to {100 * ends[1]:.1f})" if difference and ends else "–"
        lines.append(
            [
                name,
                f"{100 * one['evidence_recall']:.1f} %",
                f"{100 * one['all_evidence']:.1f} %",
                f"{one['mrr']:.2f}",
                _number(one["mean_tokens"]),
                over,
            ]
        )
    return _table(["system", "evidence recall", "all", "MRR", "tokens, mean", "tierkeep minus it"], lines)


def _asked(report: Mapping[str, Any], sizes: Sequence[int]) -> dict[tuple[str, str], list[Row | None]]:
    by = {(row["system"], row["mode"], row["size"]): row for row in report["reading"]}
    keys = dict.fromkeys((row["system"], row["mode"]) for row in report["reading"])
    return {key: [by.get((*key, size)) for size in sizes] for key in keys}


def draw(report: Mapping[str, Any], path: Path) -> None:
    """Draw single adds and recalls against the number of memories, both axes logarithmic."""
    import matplotlib
    from matplotlib.figure import Figure

    style = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.3}
    with matplotlib.rc_context(style):  # type: ignore[arg-type]  # its keys are literals there
        figure = Figure(figsize=(10, 4.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        peers = [name for name in dict.fromkeys(row["system"] for row in report["writing"]) if not name.startswith("tierkeep")]
        colour = {name: _COLOURS[1 + place % (len(_COLOURS) - 1)] for place, name in enumerate(peers)}
        for axes, rows, key, title in (
            (left, report["writing"], "add_p50_ms", "one add, p50"),
            (right, report["reading"], "p50_ms", "one recall within an owner, p50"),
        ):
            lines: dict[str, list[Row]] = {}
            for row in rows:
                lines.setdefault(shown(row["system"], row["mode"]) if "mode" in row else row["system"], []).append(row)
            own = 0
            for name, held in lines.items():
                mine = name.startswith("tierkeep")
                marks = _MARKS[own % len(_MARKS)] if mine else "o-" if peers.index(name) < len(_COLOURS) - 1 else "x:"
                axes.plot(
                    [row["stored"] for row in held],
                    [row[key] for row in held],
                    marks,
                    label=name.replace("`", ""),
                    color=colour.get(name, _COLOURS[0]),
                    lw=2.2 if mine else 1.2,
                    ms=4,
                )
                own += mine
            axes.set(xscale="log", yscale="log", xlabel="memories stored", ylabel="milliseconds", title=title)
            if lines:
                axes.legend(frameon=False, fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
        figure.savefig(path, dpi=120, metadata={"Software": None})


def into(text: str, made: Mapping[str, str], name: str = "peers") -> str:
    """Return a page with its tables between their marks replaced: `<!-- peers-writing -->` to `<!-- /peers-writing -->`.

    Raises:
        ValueError: The page lacks a mark.
    """
    for part, table in made.items():
        opening, closing = f"<!-- {name}-{part} -->\n", f"\n<!-- /{name}-{part} -->"
        before, there, rest = text.partition(opening)
        _, ended, after = rest.partition(closing)
        if not there or not ended:
            raise ValueError(f"the page has no marks for {name}-{part}")
        text = f"{before}{opening}{table}{closing}{after}"
    return text


def _batches(row: Row | None) -> str:
    if row is None or row["batch_per_s"] is None:
        return "–"
    return _number(row["batch_per_s"]) + ("" if row["batched"] == row["of"] else "*")


def _pair(row: Row | None, low: str, high: str) -> str:
    return "–" if row is None or row[low] is None else f"{_number(row[low])} / {_number(row[high])}"


def _triple(row: Row | None) -> str:
    return "–" if row is None or row["p50_ms"] is None else " / ".join(_number(row[key]) for key in ("p50_ms", "p95_ms", "p99_ms"))


def _number(value: float) -> str:
    """Return a figure with three digits that count."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _at(ordered: Sequence[float], share: float) -> float | None:
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))], 3) if ordered else None


def _table(columns: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in (columns, ["---"] * len(columns), *lines))
