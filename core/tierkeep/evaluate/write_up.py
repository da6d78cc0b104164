"""A recall report as a folder that can be read, passed on and compared: report.md, report.json and charts."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tierkeep.errors import StoreUnavailable
from tierkeep.evaluate.measures import KS
from tierkeep.evaluate.plots import OURS, draw

_METHOD = """\
Every conversation is replayed through the public verbs into a memory of its own, in its order, and each question is asked when exactly the
events that it may see are stored and indexed.

- **Evidence recall**: the share of a question's evidence messages that stand whole in the rendered text, within the token budget; mean over
  questions. A message that was cut does not count. **All**: every one of them stands in it. Questions without named evidence and
  adversarial ones are left out; the latter are a category of their own.
- **Sessions**: the share of the evidence's sessions of which at least one message stands whole in the text.
- **Contained**: of the questions whose answer has at most six words (articles dropped), those whose every word occurs in the text. A floor:
  dates are mostly computed.
- **@k**: the share of the evidence among the first k hits. {ranking}
- **MRR**: one over the rank of the first evidence message within the headline budget.
- **Tokens** are counted over the rendered text, fence and headings included.
- **Baselines** see the same messages ("speaker: text"), are packed in rank order until the next message does not fit, and are rendered and
  counted in the same way. None is tuned.
- **Intervals**: 95 % percentile bootstrap, 2,000 resamples; over conversations (whole ones are drawn) and over questions. Differences are
  resampled by pairs: ours minus theirs on the same questions."""
_CAVEATS = """\
- Evidence recall says that a reader could know, not that a given model would answer.
- Answer keys have errors, and evidence labels leave out messages that would serve as well.
- With few conversations the interval over conversations is itself uncertain; with one there is none.
- Milliseconds are of this machine. Compare ratios."""


def write(report: Mapping[str, Any], folder: Path, command: str) -> Path:
    """Write a report into a folder, made when it does not exist; return the path of report.md.

    Args:
        report: What `recall.run` returns.
        folder: Where it goes.
        command: The command line that made it.

    Raises:
        StoreUnavailable: The folder cannot be written.
        MissingExtraError: matplotlib is not installed.
    """
    return save(report, folder, lambda: markdown(report, command, draw(report, folder)))


def save(report: Mapping[str, Any], folder: Path, text: Callable[[], str]) -> Path:
    """Write report.json and report.md into a folder, made when it does not exist; return the path of the latter.

    Args:
        report: As JSON has it.
        folder: Where it goes.
        text: Gives the Markdown; called when the folder is there, so that it may draw into it.

    Raises:
        StoreUnavailable: The folder cannot be written.
    """
    path = folder / "report.md"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "report.json").write_text(json.dumps(report, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
        path.write_text(text(), encoding="utf-8")
    except OSError as error:
        raise StoreUnavailable(f"{folder} cannot be written: {error.strerror or error}", path=str(folder)) from error
    return path


def markdown(report: Mapping[str, Any], command: str, charts: Sequence[str] = ()) -> str:
    """Return a report as Markdown.

    Args:
        report: What `recall.run` returns.
        command: The command line that made it.
        charts: Names of the charts beside it.
    """
    ranked = report["ranked"]
    ranking = (
        f"The ranking is that of one recall with {ranked['budget']:,} tokens ({ranked['mean_hits']:g} hits on average), by score; "
        "what did not fit comes after it."
    )
    parts = [
        f"# Evidence recall: {report['name']}",
        f"{report['questions']} questions, {report['scored_questions']} of them with evidence and not adversarial; {report['events']} "
        f"messages; embedder `{report['embedder']}`; headline budget {report['budget']:,} tokens by `{report['tokenizer']}`.",
        "## Methods", table(*_methods(report)),
        *(["## Within other budgets", table(*_budgets(report))] if len(report["budgets"]) > 1 else []),
        "## By category", table(*_categories(report)),
        *(f"![{name.removesuffix('.png').replace('_', ' ')}]({name})" for name in charts),
        *(["## Against an earlier run", _earlier(report["compared"])] if "compared" in report else []),
        "## Speed", table(*_speed(report)),
        "## Method", _METHOD.format(ranking=ranking),
        "## Caveats", _CAVEATS, *([f"- {note}" for note in report["notes"]]),
        "## Provenance", _provenance(report, command),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _methods(report: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    columns = ["method", "recall", "95 %, conversations", "95 %, questions", "all", "sessions", "contained", *(f"@{k}" for k in KS), "MRR",
               "tokens", "ours minus it", "95 %, conversations", "95 %, questions"]  # fmt: skip
    rows = []
    for name, one in {OURS: report, **report["baselines"]}.items():
        spread = one["budgets"][str(report["budget"])]["interval"]
        difference = one.get("difference")
        rows.append([
            name, percent(one["evidence_recall"]), ends(spread["by_conversation"]), ends(spread["by_question"]),
            percent(one["all_evidence"]), percent(one["session_recall"]), percent(one["answer_contained"]),
            *(percent(one["recall_at"][str(k)]) for k in KS), f"{one['mrr']:.3f}", f"{one['mean_tokens']:,.0f}",
            *([f"{100 * difference['value']:+.1f}", ends(difference["by_conversation"]), ends(difference["by_question"])]
              if difference else ["–", "–", "–"]),
        ])  # fmt: skip
    return columns, rows


def _budgets(report: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    budgets = sorted(report["budgets"], key=int)
    columns = ["method", *(f"{int(budget):,}: recall / all / contained" for budget in budgets)]
    rows = [
        [name, *(" / ".join(percent(one["budgets"][budget][key]) for key in ("evidence_recall", "all_evidence", "answer_contained"))
                 for budget in budgets)]
        for name, one in {OURS: report, **report["baselines"]}.items()
    ]  # fmt: skip
    return columns, rows


def _categories(report: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    rows = []
    for name, own in report["by_category"].items():
        spread = report["intervals"]["by_category"].get(name)
        theirs = (one["by_category"].get(name, {}).get("evidence_recall") for one in report["baselines"].values())
        rows.append([name, str(own["n"]), percent(own["evidence_recall"]), ends(spread["by_question"]) if spread else "–",
                     *map(percent, theirs)])  # fmt: skip
    return ["category", "n", OURS, "95 %, questions", *report["baselines"]], rows


def _speed(report: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    rows = [
        ["`recall`, p50 / p95", f"{report['recall_p50_ms']} / {report['recall_p95_ms']} ms"],
        ["the same without embedding the question",
         f"{report['recall_p50_ms_without_embedding']} / {report['recall_p95_ms_without_embedding']} ms"],
        ["messages added", f"{report['ingest_events_per_s']:,.0f}/s"],
        ["messages added and indexed", f"{report['index_events_per_s']:,.0f}/s"],
    ]  # fmt: skip
    if "embedding" in report:
        rows.append(["texts embedded", f"{report['embedding']['texts']:,} at {report['embedding']['texts_per_s']:,.1f}/s"])
    return ["", "figure"], rows


def _earlier(compared: Mapping[str, Any]) -> str:
    then, difference = compared["with"], compared["difference"]
    return (
        f"On the {compared['questions']} questions that both have, version {then.get('version')} with embedder {then.get('embedder')} and "
        f"{then.get('budget')} tokens had {percent(compared['evidence_recall'])} %. This run minus that one: "
        f"{100 * difference['value']:+.1f} points, 95 % {ends(difference['by_conversation'])} over conversations, "
        f"{ends(difference['by_question'])} over questions."
    )


def _provenance(report: Mapping[str, Any], command: str) -> str:
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, SQLite"
    lines = [
        f"```console\n$ {command}\n```",
        table(["", ""], [
            ["tierkeep", report["version"]], ["data", f"`{report['format']}`, SHA-256 `{report['data_sha256']}`"],
            ["settings", f"SHA-256 `{report['settings_sha256']}`"], ["machine", f"{machine} {sqlite3.sqlite_version}"],
        ]),
    ]  # fmt: skip
    return "\n\n".join(lines)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(str(cell).replace('|', '/') for cell in line)} |" for line in lines)


def percent(value: float | None) -> str:
    """Return a share in percent, "–" for none."""
    return "–" if value is None else f"{100 * value:.1f}"


def ends(interval: Sequence[float] | None) -> str:
    """Return an interval of shares in percent, "–" for none."""
    return "–" if interval is None else f"[{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"
