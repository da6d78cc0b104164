"""The commands that look something up: `ask`, `recall`, `sessions`, `list`, `profile`, `history`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType
from rich.panel import Panel
from rich.text import Text

from tierkeep import Record
from tierkeep.cli.call import DONE, NOTHING, Call, command
from tierkeep.cli.model import BaseUrl, EmbedderName, Model, Preset, chat_model, embedder, indexed
from tierkeep.cli.output import Output, clean, day_and_time, evidence_table, literal, one_line, rows, steps_table, to_json
from tierkeep.errors import NotFoundError
from tierkeep.records import Answer, Event, Revision

if TYPE_CHECKING:
    from tierkeep.scoped import ScopedMemory

_ASK_JSON = "Print one JSON document; with --stream one JSON object a line, the answer last."
_BEST = 8  # memories that `ask` shows beside its answer

_Question = Annotated[str, typer.Argument(metavar="QUESTION", help="What you want to know.")]
_Budget = Annotated[int | None, typer.Option("--budget", min=1, help="Tokens that the evidence may take.")]
_Deadline = Annotated[
    float | None, typer.Option("--deadline", min=0.0, help="Seconds after which to take the best so far.")
]
_Now = Annotated[str | None, typer.Option("--now", help='What "today" means, such as 2026-05-02.')]


def attach(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(app, "ask", json_help=_ASK_JSON)(ask)
    command(app, "recall")(recall)
    command(app, "sessions")(sessions)
    command(app, "list")(list_events)
    command(app, "profile")(profile)
    command(app, "history")(history)


def ask(
    call: Call,
    question: _Question,
    budget: _Budget = None,
    deadline: _Deadline = None,
    now: _Now = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show every attempt: plan, evidence, verdict, cost.")
    ] = False,
    model: Model = "",
    base_url: BaseUrl = "",
    preset: Preset = "auto",
    embedder_name: EmbedderName = "none",
    stream: Annotated[bool, typer.Option("--stream", help="Show the answer while it is written.")] = False,
) -> int:
    """Answer a question from memory, with the evidence. Exit code 1 when the memory does not have it.

    Example: tierkeep ask "Where does Ana live now?" --user ana --explain
    """
    made = embedder(embedder_name, base_url)
    with call.mine(preset=preset, chat=chat_model(model, base_url), embedder=made, derive="on_request") as mine, indexed(mine, call.out):
        verb = _streamed(mine, call.out) if stream else mine.ask
        answer = verb(question, budget=budget, deadline_s=deadline, now=now)
    if stream and call.out.as_json:
        call.out.line(to_json(answer.model_dump(mode="json"), indent=None))
    else:
        shown: list[RenderableType] = [] if stream else [Panel(literal(answer.text), expand=False)]
        call.out.result(answer.model_dump(mode="json"), *shown, *_grounds(answer, explain=explain))
    failed = [made for step in answer.trace for made in step.skills if made.answered_by == "fallback"]
    if failed and not explain:
        call.out.remark(f"the rules stood in for the model ({failed[0].skill}: {failed[0].note}); --explain shows every attempt")
    return NOTHING if answer.abstained else DONE


def _streamed(mine: ScopedMemory, out: Output) -> Callable[..., Answer]:
    """Return `ask`, printing what is told as it comes. Text that does not count any more stands above a line that says so."""

    def ask(question: str, **options: Any) -> Answer:
        with mine.stream(question, **options) as told:
            for item in told:
                if isinstance(item, Answer):
                    sys.stdout.write("" if out.as_json else "\n")
                    return item
                if out.as_json:
                    out.line(to_json({"progress": item._asdict()}, indent=None))
                elif item.what == "answer":
                    sys.stdout.write(clean(item.text))
                elif item.what == "discard":
                    out.line("\n(reconsidering …)")
                sys.stdout.flush()
        raise InterruptedError("the stream ended before the answer")

    return ask


def _grounds(answer: Answer, *, explain: bool) -> list[RenderableType]:
    """Return what an answer rests on, and, to explain it, its attempts and their cost."""
    shown: list[RenderableType] = []
    if answer.evidence:
        shown += evidence_table(answer.evidence, limit=_BEST)
    if explain:
        cost = f"{answer.usage.ms:.1f} ms"
        if answer.usage.calls:
            cost += f", {sum(answer.usage.calls.values())} model calls, {answer.usage.tokens_in} tokens in"
            cost += f", {answer.usage.tokens_out} out"
        shown += [Text(), Text(f"Attempts ({cost})", style="bold"), steps_table(answer)]
    return shown


def recall(
    call: Call,
    question: _Question,
    budget: _Budget = None,
    deadline: _Deadline = None,
    now: _Now = None,
    prompt: Annotated[bool, typer.Option("--prompt", help="Only the block that a prompt would get.")] = False,
    embedder_name: EmbedderName = "none",
    base_url: BaseUrl = "",
) -> int:
    """Show the evidence for a question, with dates and sources. Exit code 1 when there is none.

    Example: tierkeep recall "Where does Ana live?" --user ana --budget 800
    """
    made = embedder(embedder_name, base_url)
    with call.mine(embedder=made, derive="on_request") as mine, indexed(mine, call.out):
        evidence = mine.recall(question, budget=budget, deadline_s=deadline, now=now)
    if prompt and not call.out.as_json:
        call.out.line(clean(evidence.text))
    else:
        call.out.result(evidence.model_dump(mode="json"), *evidence_table(evidence))
    return DONE if evidence else NOTHING


def sessions(call: Call) -> int:
    """List the conversations, oldest first. Exit code 1 when there is none.

    Example: tierkeep sessions --user ana
    """
    with call.mine() as mine:
        found = mine.sessions()
    document = {"sessions": [{"session": name, "events": count} for name, count in found]}
    table = rows(("events", "session"), ((str(count), one_line(name, 256)) for name, count in found))
    call.out.result(document, table if found else Text("No conversations."))
    return DONE if found else NOTHING


def list_events(
    call: Call,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Most events to show.")] = 100,
    last: Annotated[bool, typer.Option("--last", help="The newest events instead of the oldest.")] = False,
) -> int:
    """List what was said, in order; --session narrows it to one conversation. Exit code 1 when there is nothing.

    Example: tierkeep list --user ana --session trip
    """
    with call.mine() as mine:
        found = _newest(mine, limit) if last else list(islice(mine.events(), limit))
    entries = ((day_and_time(e.at), one_line(e.speaker, 40), _event(e)) for e in found)
    document = {"events": [event.model_dump(mode="json") | {"session": event.session} for event in found]}
    call.out.result(document, rows(("when", "who", "what"), entries) if found else Text("Nothing was said."))
    if len(found) == limit:
        call.out.remark(f"showing {limit} at most; --limit shows more")
    return DONE if found else NOTHING


def profile(
    call: Call,
    everything: Annotated[bool, typer.Option("--all", help="Also what was replaced or taken back.")] = False,
) -> int:
    """Show what is known about the user, with the messages it was taken from. Exit code 1 when there is nothing.

    Example: tierkeep profile --user ana
    """
    with call.mine() as mine:
        found = mine.records(kind="profile", status=None if everything else "active")
    document = {"records": [record.model_dump(mode="json") for record in found]}
    table = rows(("since", "status", "what"), ((_since(r), literal(r.status), _record(r)) for r in found))
    call.out.result(document, table if found else Text("Nothing is known yet."))
    return DONE if found else NOTHING


def history(
    call: Call, record: Annotated[str, typer.Argument(metavar="ID", help="Id of a record, as tierkeep profile shows it.")]
) -> int:
    """Show what happened to a record, oldest first. Exit code 1 when there is no such record.

    Example: tierkeep history p-26ef58fb68910dd2dd56a14b5a --user ana
    """
    with call.mine() as mine:
        try:
            found = mine.history(record)
        except NotFoundError as error:
            said = str(error).rstrip(".")
            raise NotFoundError(f"{said}; records and their ids (p-…) are shown by: tierkeep profile --all", ids=error.ids) from error
    entries = ((day_and_time(r.at), literal(r.op), _change(r)) for r in found)
    document = {"revisions": [revision.model_dump(mode="json") for revision in found]}
    call.out.result(document, rows(("when", "what was done", "value"), entries))
    return DONE


def _newest(mine: ScopedMemory, limit: int) -> list[Event]:
    return mine._memory._ledger.view(mine.scope).newest(limit, session=mine.scope.session)[::-1]


def _event(event: Event) -> Text:
    source = f"id {event.id} · session {event.session} · {event.origin.source.value}"
    return Text.assemble(one_line(event.text), "\n", Text(clean(source), style="dim"))


def _record(record: Record) -> Text:
    source = f"id {record.id} · from {', '.join(record.sources[:3])}"
    return Text.assemble(one_line(record.text), "\n", Text(clean(source), style="dim"))


def _since(record: Record) -> Text:
    return day_and_time((record.valid_from or record.observed_at)[:10])


def _change(revision: Revision) -> RenderableType:
    now = revision.after or revision.before
    text = one_line(now.text) if now else Text("(forgotten)", style="dim")
    why = " · ".join(part for part in (revision.by, revision.why) if part)
    return Text.assemble(text, "\n", Text(clean(why), style="dim")) if why else text
