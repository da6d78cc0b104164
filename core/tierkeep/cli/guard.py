"""`tierkeep guard`: what is quarantined and what became of it, what was confirmed, what the gate says of a tool call."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.text import Text

from tierkeep.cli.call import DONE, NOTHING, Call, command
from tierkeep.cli.output import day_and_time, facts, literal, one_line, rows
from tierkeep.errors import InputError
from tierkeep.records import ActionDecision, Event, Record

_Id = Annotated[str, typer.Argument(metavar="ID", help="Of a quarantined event, as `tierkeep guard list` shows it.")]
_MemoryId = Annotated[str, typer.Argument(metavar="ID", help="Of an event, as `tierkeep recall` shows it.")]
_Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
_By = Annotated[str, typer.Option("--by", help="Who decides, for the log.")]


def attach(app: typer.Typer) -> None:
    """Add the group and its commands."""
    about = "Look at what was quarantined, decide on it, and ask the gate about tool calls."
    group = typer.Typer(name="guard", help=about, no_args_is_help=True)
    command(group, "list", by_session=False)(list_quarantined)
    command(group, "show", by_session=False)(show)
    command(group, "release", by_session=False)(release)
    command(group, "reject", by_session=False)(reject)
    command(group, "confirm", by_session=False)(confirm)
    command(group, "check", by_session=False)(check)
    command(group, "log", by_session=False)(log)
    command(group, "lessons", by_session=False)(lessons)
    command(group, "review", by_session=False)(review)
    app.add_typer(group)


def list_quarantined(call: Call) -> int:
    """Show what came from outside, reads like an order, and is therefore never recalled. Exit code 1 when there is nothing.

    Example: tierkeep guard list --user ana
    """
    with call.mine(bound=False) as mine:
        held = mine.guard.list()
    table = rows(("id", "when", "from", "signals", "what"), (
        (literal(event.id), day_and_time(event.at), literal(_origin(event)), _listed(_signals(event)), one_line(event.text, 160))
        for event in held
    ))  # fmt: skip
    shown: list[RenderableType] = [table] if held else [Text("Nothing is quarantined.", "dim")]
    call.out.result({"quarantined": [_document(event) for event in held]}, *shown)
    return DONE if held else NOTHING


def show(call: Call, id: _Id) -> None:
    """Show one quarantined event whole, with where it came from and why it is held.

    Example: tierkeep guard show ev_1f2e --user ana
    """
    with call.mine(bound=False) as mine:
        event = mine.guard.show(id)
    said = {"id": event.id, "when": event.at, "session": event.session, "speaker": event.speaker, "from": _origin(event),
            "signals": ", ".join(_signals(event)) or "-"}  # fmt: skip
    call.out.result(_document(event), facts(said), Text(), literal(event.text))


def release(call: Call, id: _Id, by: _By = "operator") -> None:
    """Lift a quarantine: the event is quoted as unverified data again. It still may cause nothing.

    Example: tierkeep guard release ev_1f2e --user ana
    """
    with call.mine(bound=False) as mine:
        event = mine.guard.release(id, by=by)
    call.out.result(_document(event), literal(f"Released {event.id}: it can be recalled, as data from {_origin(event)}."))


def reject(call: Call, id: _Id, yes: _Yes = False, by: _By = "operator") -> int:
    """Remove a quarantined event for good. The log keeps its id and why it was held, as long as anything of the owner is left.

    Example: tierkeep guard reject ev_1f2e --user ana
    """
    with call.mine(bound=False) as mine:
        event = mine.guard.show(id)
        if not yes and not _asked(call, f"Remove {id} ({one_line(event.text, 80).plain}) for good?"):
            return NOTHING
        report = mine.guard.reject(id, by=by)
    left = "No trace is left in any table or file." if report.complete else f"Not complete: {report.note} {' '.join(report.residue)}"
    call.out.result(report.model_dump(mode="json"), literal(f"Removed {id}. {left}"))
    return DONE if report.complete else NOTHING


def confirm(call: Call, id: _MemoryId, yes: _Yes = False) -> int:
    """Say that a memory is true and may stand behind actions. Only its owner should.

    Example: tierkeep guard confirm ev_1f2e --user ana
    """
    with call.mine(bound=False) as mine:
        question = mine.guard.propose(id)
        if not yes and not _asked(call, f"{question.text}\nIs this true, and may an agent act on it?"):
            return NOTHING
        event = mine.guard.confirm(question.token, id=id)
    call.out.result(_document(event), literal(f"Confirmed {event.id}: it may stand behind actions."))
    return DONE


def check(
    call: Call,
    tool: Annotated[str, typer.Argument(metavar="TOOL", help="Name of the tool.")],
    arguments: Annotated[str, typer.Argument(metavar="JSON", help='Its arguments, such as \'{"to": "bo@example.org"}\'.')],
    request: Annotated[str, typer.Option("--request", help="What the user asks for right now.")] = "",
) -> int:
    """Ask the gate whether a tool call may be made, and see where each of its values comes from. Exit code 1 when it may not.

    Example: tierkeep guard check send_email '{"to": "bo@example.org"}' --request "Mail bo@example.org" --user ana
    """
    try:
        values = json.loads(arguments)
    except (ValueError, RecursionError):
        raise InputError("the arguments must be a JSON object, such as '{\"to\": \"bo@example.org\"}'", field="arguments") from None
    with call.mine(bound=False) as mine:
        decision = mine.guard.gate().check(tool, values, request=request)
    call.out.result(decision.model_dump(mode="json"), *_decided(decision))
    return DONE if decision else NOTHING


def _decided(decision: ActionDecision) -> list[RenderableType]:
    head = Text.assemble(("Allowed: ", "bold green") if decision else ("Refused: ", "bold red"), _listed(decision.reasons))
    return [head, rows(("argument", "may", "why", "memories"), (
        (literal(one.argument or "(the call)"), "yes" if one.allowed else "no", literal(one.reason), _listed(one.support[:5]))
        for one in decision.findings
    ))]  # fmt: skip


def log(
    call: Call,
    after: Annotated[int, typer.Option("--after", min=0, help="Only entries with a greater number.")] = 0,
) -> int:
    """Show what the guard decided about this owner: hashes, ids and reasons, never content. Exit code 1 when there is nothing.

    Example: tierkeep guard log --user ana --json
    """
    with call.mine(bound=False) as mine:
        entries = mine.guard.log(after)
    table = rows(("n", "when", "what", "by", "why", "about"), (
        (str(one.n), day_and_time(one.at), one.verb, literal(one.by), _listed(one.reasons), literal(one.subject))
        for one in entries
    ))  # fmt: skip
    call.out.result({"log": [one.model_dump(mode="json") for one in entries]}, table if entries else Text("The log is empty.", "dim"))
    return DONE if entries else NOTHING


def lessons(call: Call) -> int:
    """Show what was learnt from memories that a consensus held back. Exit code 1 when there is nothing.

    Example: tierkeep guard lessons --user ana
    """
    with call.mine(bound=False) as mine:
        found = mine.guard.lessons()
    table = rows(("id", "state", "until", "what"), (
        (literal(one.id), literal(str(one.attrs.get("state"))), day_and_time(str(one.attrs.get("expires_at"))), one_line(one.text))
        for one in found
    ))  # fmt: skip
    call.out.result({"lessons": [_lesson(one) for one in found]}, table if found else Text("No lesson was learnt.", "dim"))
    return DONE if found else NOTHING


def review(
    call: Call,
    id: Annotated[str, typer.Argument(metavar="ID", help="Of a lesson, as `tierkeep guard lessons` shows it.")],
    accept: Annotated[bool, typer.Option("--accept/--retire", help="Let it count at once, or never again.")] = True,
) -> None:
    """Decide on a lesson: an active one makes the gate ask the user before an action like it.

    Example: tierkeep guard review lesson-1f2e --retire --user ana
    """
    with call.mine(bound=False) as mine:
        lesson = mine.guard.review(id, accept=accept)
    call.out.result(_lesson(lesson), literal(f"{lesson.id} is {lesson.attrs['state']}."))


def _lesson(lesson: Record) -> dict[str, Any]:
    return lesson.model_dump(mode="json", exclude={"scope"})


def _listed(names: Sequence[str]) -> Text:
    return literal(", ".join(names) or "-")


def _origin(event: Event) -> str:
    return " ".join(filter(None, (event.origin.source.value, event.origin.principal or event.origin.uri)))


def _signals(event: Event) -> list[str]:
    return [str(signal) for signal in event.meta.get("tierkeep.signals", ())]


def _document(event: Event) -> dict[str, Any]:
    return {**event.model_dump(mode="json", exclude={"scope"}), "session": event.session, "signals": _signals(event)}


def _asked(call: Call, question: str) -> bool:
    if call.out.as_json:
        raise InputError("with --json nobody can be asked: pass --yes")
    call.out.err.print(literal(f"{question} [y/N] "), end="")
    if sys.stdin.readline().strip().lower() in {"y", "yes"}:
        return True
    call.out.err.print(literal("\nNothing was changed."))
    return False
