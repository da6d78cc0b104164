"""`tierkeep demo`: ten months of somebody's chats, asked, corrected, attacked and forgotten before your eyes."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.rule import Rule
from rich.text import Text

from tierkeep.cli.output import Output, facts, literal, one_line, rows
from tierkeep.errors import InputError
from tierkeep.evaluate.demonstration import Demonstration

__all__ = ["run"]

Section = Mapping[str, Any]
_TITLES = {
    "store": (
        "Ten months of chat go in",
        "An agent's memory must take a real history, in its order, and fast enough not to be noticed.",
    ),
    "questions": (
        "Questions, each answered from the cheapest tier that suffices",
        "profile: what the user said of themselves, no search. targeted: one search. deep: what changed, two hops, several places.",
    ),
    "changed_fact": (
        "A fact that changed",
        "Old values are superseded, never overwritten: the answer is today's, the history stays.",
    ),
    "poison": (
        "Poisoned pages",
        "What a tool read on the web is data. What reads like an order to the agent is kept, and never recalled.",
    ),
    "tokens": (
        "What it costs",
        "A model reads the evidence, not the history. This is the part of the bill that memory decides.",
    ),
    "forget": (
        "Forget, and prove it",
        "Deleting means: the text, everything derived from it, the index, and the bytes in the files.",
    ),
    "verify": (
        "The ledger checks itself",
        "Every event and every forget is a link in a hash chain; a changed byte shows.",
    ),
}
_NEXT = (
    ("tierkeep add --file YOUR-CHAT-EXPORT --user me", "WhatsApp, ChatGPT, Claude, OpenAI messages, plain transcripts"),
    (
        'tierkeep ask "What did I say about …?" --user me --explain',
        "the answer, its evidence, and every attempt with its cost",
    ),
    ("tierkeep doctor", "one write, one recall and one forget on your own store, in a scope that is thrown away"),
)


def run(*, as_json: bool = False, fast: bool = False, store: str | Path | None = None) -> int:
    """Run the demo and return the exit code: 0 when it kept every promise, 1 when one failed.

    Args:
        as_json: Print one JSON document with everything, instead of the guided tour.
        fast: No progress bar.
        store: New or empty folder in which to keep the demo's memory; a temporary one otherwise.

    Raises:
        InputError: The folder has something in it. The demo never writes into a memory that exists.
        StorageError: The store cannot be made, written or read.
    """
    out = Output(as_json=as_json)
    with _folder(store) as folder, _ticking(out, fast) as tick:
        demonstration = Demonstration(folder, tick)
        document: dict[str, Any] = {}
        for number, (name, section) in enumerate(demonstration.sections(), start=1):
            document[name] = section
            if not as_json:
                title, why = _TITLES[name]
                head = Rule(Text(f" {number}. {title} ", style="bold cyan"), align="left", style="cyan")
                out.result(None, Text(), head, Text(why, style="dim"), Text(), _SHOWN[name](section))
    document |= {"ok": not demonstration.failures, "failures": demonstration.failures}
    out.result(document, *_closing(demonstration.failures, store))
    return 0 if not demonstration.failures else 1


@contextmanager
def _folder(store: str | Path | None) -> Iterator[Path]:
    if store is None:
        with tempfile.TemporaryDirectory(prefix="tierkeep-demo-") as made:
            yield Path(made) / "memory"
        return
    folder = Path(store).expanduser()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            f"{folder} is not empty: name a new folder, the demo never writes into a memory that exists", field="store"
        )
    yield folder


@contextmanager
def _ticking(out: Output, fast: bool) -> Iterator[Callable[[int, int], None]]:
    if out.as_json or fast or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    columns = (TextColumn("storing"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=out.err, transient=True) as bar:
        task = bar.add_task("storing", total=None)

        def tick(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, visible=done < total)

        yield tick


# --------------------------------------------------------------------------------------------------- what is shown


def _store(section: Section) -> RenderableType:
    active = section["active"]
    table = facts({
        "stored": f"{section['messages']} messages in {section['sessions']} sessions, {section['from']} to {section['to']}",
        "time": f"{section['seconds']:.2f} s, {section['messages_per_s']:,} messages/s, each session on disk before the next",
        "size": f"{section['bytes'] / 1024:,.0f} KiB, one folder of yours",
        "active": f"embedder {active['embedder']}, chat model {active['chat']}, tokens by {active['tokenizer']}: no key, no download",
    })  # fmt: skip
    known = rows(
        ("since", "what the rules noticed about the user"),
        ((r["since"], literal(r["text"])) for r in section["profile"]),
    )
    return Group(table, Text(), known)


def _questions(section: Section) -> RenderableType:
    return Group(*(part for entry in section["questions"] for part in (_question(entry), Text())))


def _question(entry: Section) -> RenderableType:
    tried = " → ".join(entry["tiers"])
    mark = Text("✓ ", "bold green") if entry["ok"] else Text("✗ ", "bold red")
    cost = Text(f"{tried}   {entry['tokens']:,} tokens of evidence   {entry['ms']:.0f} ms", style="magenta")
    parts: list[RenderableType] = [
        Text.assemble(mark, literal(entry["question"], "bold")),
        Padding(cost, (0, 0, 0, 2)),
        Padding(literal(entry["answer"]), (0, 0, 0, 2)),
    ]
    parts += [Padding(_cited(line), (0, 0, 0, 4)) for line in entry["evidence"]]
    if len(entry["in_answer"]) < len(entry["needed"]):
        # Without a model the answer is a quote; the evidence is what an agent's model would answer from.
        said = f"Without a model tierkeep quotes; it does not count or conclude. From this evidence a model would say: {entry['expected']}"
        parts.append(Padding(literal(said, "dim"), (0, 0, 0, 2)))
    escalated = zip(entry["tiers"], entry["escalated"], strict=False)  # the last tier tried escalated to none
    notes = [f"{tier} was not enough ({reason.partition(': ')[2]})" for tier, reason in escalated]
    if entry["answered_by"] == entry["meant_for"]:
        notes.append(entry["shows"])
    parts += [Padding(literal(note, "dim italic"), (0, 0, 0, 2)) for note in notes]
    return Group(*parts)


def _cited(line: Section) -> Text:
    source = line["source"]
    shown = Text.assemble(
        (f"{source['at'][:10]} ", "cyan"), (f"{source['speaker']}: ", "cyan"), one_line(source["text"], 240)
    )
    shown.highlight_words(line["has"], "bold green", case_sensitive=False)
    return shown


def _changed_fact(section: Section) -> RenderableType:
    held = [("before", section["before"]), ("now", section["now"])]
    entries = (
        (
            when,
            literal(record["since"]),
            literal(record["until"] or "today"),
            literal(record["text"]),
            one_line(record["source"]["text"], 110),
        )
        for when, record in held
        if record
    )
    steps = (
        (literal(step["op"]), Text.assemble(literal(step["text"]), (f"   {step['why']} · {step['by']}", "dim")))
        for step in section["history"]
    )
    return Group(
        literal(section["question"], "bold"), Padding(literal(section["answer"]), (0, 0, 0, 2)), Text(),
        rows(("", "from", "until", "what", "because it was said"), entries), Text(), rows(("history", ""), steps),
    )  # fmt: skip


def _poison(section: Section) -> RenderableType:
    parts: list[RenderableType] = []
    for attack in section["attacks"]:
        stored = attack["stored"]
        page = literal(stored["text"], "red")
        page.highlight_words(attack["forbidden"], "bold red reverse", case_sensitive=False)
        title = f"ATTACK, as stored {stored['at'][:10]} by {stored['speaker']} ({attack['origin']}): data, not obeyed"
        verdict = literal(f"{attack['authority']}: {', '.join(attack['signals']) or 'no signal'}")
        got = ", ".join(attack["leaked"]) or "nothing"
        parts += [
            Panel(page, title=literal(title, "red"), title_align="left", border_style="red"),
            facts({"guard": verdict.plain, "reached answer, evidence or profile": f"{got} (asked for by its own words as well)"}),
            Text.assemble("\n", literal(attack["question"], "bold")), Padding(literal(attack["answer"]), (0, 0, 1, 2)),
        ]  # fmt: skip
    return Group(*parts)


def _tokens(section: Section) -> RenderableType:
    return facts({
        "evidence for the questions": f"{section['evidence_tokens']:,} tokens, all attempts of {section['questions']} questions",
        "reading the whole chat each time": f"{section['reading_everything_tokens']:,} tokens, "
        f"{section['questions']} times {section['conversation_tokens']:,}",
        "ratio": f"{section['ratio']} times less, counted with {section['tokenizer']}; the chat grows, the budget does not",
    })  # fmt: skip


def _forget(section: Section) -> RenderableType:
    report, before, after = section["report"], section["files_before"], section["files_after"]
    terms = ", ".join(section["rare_terms"])
    left = f"\nof {terms}: {', '.join(section['after_has']) or 'nothing'}"
    return Group(
        literal(section["question"], "bold"),
        Padding(literal(section["before"]), (0, 0, 1, 2)),
        facts({
            "forget": f"session {section['session']}: {report['events']} events, {report['records']} records made of them, "
            f"{report['rederived']} records made again from other sources",
            "sweep": f"{report['canaries']} rare terms of the forgotten text looked for in every table and file: "
            + (", ".join(report["residue"]) or "no residue"),
            "grep of the files": f"{terms}: {sum(before.values())} hits before, {sum(after.values())} after ({', '.join(after)})",
        }),
        Text(),
        literal(section["question"], "bold"),
        Padding(Text.assemble(literal(section["after"]), literal(left, "dim")), (0, 0, 0, 2)),
    )  # fmt: skip


def _verify(section: Section) -> RenderableType:
    said = f"{section['entries']} chain entries, {section['events']} events, {section['records']} records checked"
    if section["ok"]:
        return Text.assemble(("sound: ", "bold green"), said)
    return Group(
        Text.assemble(("damaged: ", "bold red"), said), *(literal(problem, "red") for problem in section["problems"])
    )


_SHOWN: dict[str, Callable[[Section], RenderableType]] = {
    "store": _store,
    "questions": _questions,
    "changed_fact": _changed_fact,
    "poison": _poison,
    "tokens": _tokens,
    "forget": _forget,
    "verify": _verify,
}


def _closing(failures: list[str], store: str | Path | None) -> list[RenderableType]:
    shown: list[RenderableType] = [Text()]
    if failures:
        shown += [
            Text("Promises that were not kept:", style="bold red"),
            *(literal(f"  {failure}", "red") for failure in failures),
        ]
    else:
        shown.append(Text("Every promise was checked as it was made, and kept.", style="bold green"))
    if store is not None:
        shown.append(literal(f'The demo\'s memory is in {store}: tierkeep ask "…" --user ines --store {store}'))
    return [*shown, Text("\nNow with your own data", style="bold"), facts(dict(_NEXT))]
