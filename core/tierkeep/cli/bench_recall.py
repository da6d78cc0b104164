"""`tierkeep bench recall`: the memory and the usual baselines on the same data, budgets and counter."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from tierkeep.cli.bench_run import (
    CacheOption,
    DataOption,
    EmbedderOption,
    FormatOption,
    JsonOption,
    Tick,
    each,
    embedder_of,
    module,
    run,
    runs_of,
)
from tierkeep.cli.output import Output, facts, literal
from tierkeep.errors import ImportFormatError, InputError

_Budgets = Annotated[
    list[int] | None,
    typer.Option(
        "--budget", min=1, show_default="2048",
        help="Tokens of evidence for each question; may be given several times, the first is the headline.",
    ),
]  # fmt: skip
_Baselines = Annotated[
    str | None,
    typer.Option(
        "--baselines", show_default="all with --report, else none",
        help="What to compare with: none, all, or names with commas between: recency, bm25, bm25+stem, dense, rrf, session-bm25.",
    ),
]  # fmt: skip
_Report = Annotated[
    Path | None, typer.Option("--report", metavar="FOLDER", help="Also write report.md, report.json and charts (PNG, SVG) there.")
]
_PerQuestion = Annotated[bool, typer.Option("--per-question", help="Add every question's result, for --compare.")]
_Compare = Annotated[
    Path | None, typer.Option("--compare", metavar="FILE", help="Report of an earlier run with --per-question: the paired difference.")
]
_Only = Annotated[list[str] | None, typer.Option("--only", metavar="ID", help="A conversation to run; may be given several times.")]


def attach(group: typer.Typer) -> None:
    """Add the command."""
    group.command("recall")(recall)


def recall(
    data: DataOption, budget: _Budgets = None, embedder: EmbedderOption = "none", cache: CacheOption = None,
    baselines: _Baselines = None, report: _Report = None,
    per_question: _PerQuestion = False, compare: _Compare = None, only: _Only = None, format: FormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure how much of the evidence that questions need is in what recall returns.

    Baselines, intervals, charts and comparisons need the extra "bench".

    Example: tierkeep bench recall --data my-chat.json --budget 2048 --budget 1024 --baselines all

    Example: tierkeep bench recall --data my-chat.json --report my-report
    """
    budgets = budget or [2048]
    wanted = baselines if baselines is not None else "all" if report is not None else "none"
    names = [name for part in wanted.split(",") if (name := part.strip())]

    def one(path: Path, tick: Tick, earlier: Mapping[str, Any] | None) -> Any:
        made = module("recall").run(
            path, budget=budgets, embedder=embedder_of(embedder, cache), baselines=names, format=format, only=only or (), progress=tick,
            per_question=per_question, earlier=earlier,
        )  # fmt: skip
        if report is not None:
            folder = report if len(data) == 1 else report / _folder_name(path)
            module("write_up").write(made, folder, _command(path, budgets, embedder, wanted, only or (), format))
        return made

    def measure(out: Output) -> Any:
        if len({_folder_name(path) for path in data}) < len(data) and report is not None:
            raise InputError("two of the data sets have one name: give them reports of their own", field="report")
        earlier = None if compare is None else _earlier(compare)
        return each(out, data, lambda path, tick: one(path, tick, earlier))

    run(as_json, measure, show)


def _folder_name(path: Path) -> str:
    return path.stem or path.name


def _command(path: Path, budgets: Sequence[int], embedder: str, baselines: str, only: Sequence[str], format: str | None) -> str:
    """Return the command that makes the same figures, without the paths of this machine."""
    words = ["tierkeep", "bench", "recall", "--data", path.name]
    for budget in budgets:
        words += ["--budget", str(budget)]
    words += ["--embedder", embedder, "--baselines", baselines, *(["--format", format] if format else [])]
    for id in only:
        words += ["--only", id]
    return shlex.join([*words, "--report", "report"])


def _earlier(path: Path) -> Mapping[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ImportFormatError(f"{path} cannot be read: {error.strerror or error}", path=str(path)) from error
    except ValueError as error:
        raise ImportFormatError(f"{path} is not JSON: {error}", path=str(path)) from error
    reports = runs_of(document)
    if len(reports) != 1:
        raise ImportFormatError(f"{path} is not the report of one run on one data set", path=str(path))
    return reports[0]


# ---------------------------------------------------------------------------------------------------------- for people


def show(report: Mapping[str, Any]) -> list[RenderableType]:
    """Return a report as tables: methods, categories, and what else there is to know."""
    shown: list[RenderableType] = [_budgets(report), Text(), _ranks(report)]
    if report["by_category"]:
        shown += [Text(), _categories(report)]
    if "compared" in report:
        shown += [Text(), _compared(report["compared"])]
    told = {
        "evidence_recall": f"{report['evidence_recall']:.4g} within {report['budget']} tokens",
        "questions": f"{report['questions']}, {report['scored_questions']} scored",
        "tokens": f"{report['mean_tokens']:.0f} on average, {report['max_tokens']} at most, by {report['tokenizer']}",
        "recall p50 / p95": f"{report['recall_p50_ms']} / {report['recall_p95_ms']} ms",
        "added / indexed": f"{report['ingest_events_per_s']:.0f} / {report['index_events_per_s']:.0f} messages/s",
        "ranking": f"of one recall with {report['ranked']['budget']} tokens, {report['ranked']['mean_hits']:g} hits on average",
        "95 %": "bootstrap over conversations, over questions where there is one conversation",
        "embedder": report["embedder"], "data_sha256": report["data_sha256"], "settings_sha256": report["settings_sha256"],
        "version": report["version"],
    }  # fmt: skip
    return [*shown, Text(), facts(told), *(literal(note, "dim") for note in report["notes"])]


def _budgets(report: Mapping[str, Any]) -> Table:
    budgets = list(report["budgets"])
    table = Table(title=f"{report['name']}: evidence recall in %, by tokens of evidence", title_justify="left")
    for name in ("method", *budgets, "95 %", "all", "sessions", "contained", "MRR"):
        table.add_column(name, justify="left" if name == "method" else "right", no_wrap=True)
    for name, one in _named(report).items():
        within = [_percent(one["budgets"][budget]["evidence_recall"]) for budget in budgets]
        others = (_percent(one[figure]) for figure in ("all_evidence", "session_recall", "answer_contained"))
        table.add_row(name, *within, _spread(one["budgets"][budgets[0]]["interval"]), *others, f"{one['mrr']:.3f}")
    return table


def _ranks(report: Mapping[str, Any]) -> Table:
    ranks = list(report["recall_at"])
    table = Table(title="by rank, and the paired difference", title_justify="left")
    for name in ("method", *(f"@{k}" for k in ranks), "tokens", "ours minus it"):
        table.add_column(name, justify="left" if name == "method" else "right", no_wrap=True)
    for name, one in _named(report).items():
        difference = one.get("difference")
        shown = f"{100 * difference['value']:+.1f} {_spread(difference)}" if difference else ""
        table.add_row(name, *(_percent(one["recall_at"][k]) for k in ranks), f"{one['mean_tokens']:.0f}", shown)
    return table


def _named(report: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {"tierkeep": report, **report["baselines"]}


def _categories(report: Mapping[str, Any]) -> Table:
    table = Table("category", "n", "tierkeep", "95 %", *report["baselines"])
    for name, own in report["by_category"].items():
        spread = report["intervals"]["by_category"].get(name)
        theirs = (one["by_category"].get(name, {}).get("evidence_recall") for one in report["baselines"].values())
        ours = (_percent(own["evidence_recall"]), _spread(spread) if spread else "")
        table.add_row(literal(name), str(own["n"]), *ours, *map(_percent, theirs))
    return table


def _compared(compared: Mapping[str, Any]) -> Text:
    then, difference = compared["with"], compared["difference"]
    return Text(
        f"Against {then.get('version')}, embedder {then.get('embedder')}, {then.get('budget')} tokens, on {compared['questions']} "
        f"questions: {_percent(compared['evidence_recall'])} then, {100 * difference['value']:+.1f} points now {_spread(difference)}"
    )


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}"


def _spread(interval: Mapping[str, Any]) -> str:
    """Return the wider kind of interval that there is: over conversations, else over questions."""
    ends = interval["by_conversation"] or interval["by_question"]
    return f"[{100 * ends[0]:.1f}, {100 * ends[1]:.1f}]" if ends else ""
