"""The commands that look after a memory: `forget`, `export`, `import`, `undo`, `verify`, `doctor`, `demo`."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from tierkeep.cli import doctor as checks
from tierkeep.cli.call import DONE, NOTHING, Call, command, guarded
from tierkeep.cli.model import BaseUrl, EmbedderName, embedder
from tierkeep.cli.output import Output, counted, facts, literal, rows, to_json, write_lines
from tierkeep.errors import ImportFormatError, InputError, NotFoundError, StoreUnavailable
from tierkeep.exporting import markdown
from tierkeep.importers import ImportFile
from tierkeep.records import ForgetReport

if TYPE_CHECKING:
    from tierkeep.scoped import ScopedMemory

_ForgetIds = Annotated[list[str] | None, typer.Option("--id", help="An event to forget; may be given several times.")]
_All = Annotated[bool, typer.Option("--all", help="Everything of this owner.")]
_EXPORT_JSON = "With --output: print one JSON document about the export. The export is JSON lines (JSONL) or Markdown, with or without."
_Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def attach(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(app, "forget")(forget)
    command(app, "export", by_session=False, json_help=_EXPORT_JSON)(export)
    command(app, "import", by_session=False)(import_)
    command(app, "undo", by_session=False)(undo)
    command(app, "verify", by_session=False)(verify)
    command(app, "doctor", by_session=False)(doctor)
    app.command("demo")(demo)


def forget(call: Call, id: _ForgetIds = None, everything: _All = False, yes: _Yes = False) -> int:
    """Forget for good: the events, everything derived from them, and their traces in the files. Cannot be undone.

    Exit code 1 when there was nothing to forget, or a trace was left.

    Example: tierkeep forget --session trip --user ana
    """
    if sum((bool(id), call.session is not None, everything)) != 1:
        raise InputError("say what to forget with exactly one of --session NAME, --id ID or --all")
    with call.mine(bound=False) as mine:
        if not yes and not _sure(call, _what(call, id, dict(mine.sessions()))):
            return NOTHING
        if id:
            report = mine.forget(ids=id)
        elif call.session is not None:
            report = mine.forget(session=call.session)
        else:
            report = mine.forget(everything=True)
    call.out.result(report.model_dump(mode="json"), *_forgotten(report))
    return DONE if report.complete and (report.events or report.records) else NOTHING


def _what(call: Call, ids: list[str] | None, sessions: Mapping[str, int]) -> str:
    if ids:
        return counted(len(ids), "event")
    if call.session is None:
        return f"all {counted(sum(sessions.values()), 'event')}"
    if call.session not in sessions:
        raise NotFoundError(f"there is no session {call.session!r}; nothing was forgotten", ids=(call.session,))
    return f"the session {call.session!r} ({counted(sessions[call.session], 'event')})"


def _sure(call: Call, what: str) -> bool:
    return call.confirmed(f"Forget {what}? This cannot be undone.", "forgotten")


def _forgotten(report: ForgetReport) -> list[Text]:
    derived = counted(report.records, "record")
    lines = [Text(f"Forgot {counted(report.events, 'event')} and {derived} derived from nothing else.")]
    if report.rederived:
        lines.append(Text(f"{counted(report.rederived, 'record')} made again from the sources that remain."))
    if report.waiting:
        lines.append(Text(f"{counted(report.waiting, 'record')} blank until derived again: tierkeep maintain.", "bold"))
    if not report.complete:
        lines.append(literal(f"Not complete: {report.note} {' '.join(report.residue)}".strip(), "bold red"))
    elif report.events:
        looked = f" (looked for {counted(report.canaries, 'rare word')})" if report.canaries else ""
        lines.append(Text(f"No trace is left in any table or file{looked}."))
    return lines


# ---------------------------------------------------------------------------------------------------- in and out

_Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="File to write; else standard output.")
]
_Format = Annotated[str, typer.Option("--format", help="jsonl, for programs, or markdown, for people.")]
_AllAgents = Annotated[bool, typer.Option("--all-agents", help="Of this user under every agent, into a folder.")]
_Force = Annotated[bool, typer.Option("--force", help="Replace the file when it exists.")]
_Input = Annotated[str, typer.Argument(metavar="FILE", help="File written by export; - reads standard input.")]
_Untrusted = Annotated[bool, typer.Option("--untrusted", help="Somebody else made the file: quote it, never trust it.")]


def export(
    call: Call, output: _Output = None, force: _Force = False, format: _Format = "jsonl", all_agents: _AllAgents = False
) -> int:
    """Write everything of one owner as JSON lines, of which `tierkeep import` loses nothing, or as Markdown to read and edit.

    With --all-agents, everything of a user under every agent, as an access request asks for: a folder with a file for each memory.

    Example: tierkeep export --user ana -o ana.jsonl

    Example: tierkeep export --user ana --format markdown -o ana.md
    """
    if format not in _EXPORTS:
        raise InputError(f"there is no export format {format!r}; the formats are: {', '.join(_EXPORTS)}", field="format")
    if all_agents:
        return _export_all(call, output, format)
    with call.mine(bound=False) as mine:
        lines = _EXPORTS[format](mine)
        if output is None:
            for line in lines:
                call.out.line(line)
            return DONE
        count = write_lines(output, lines, force=force)
    what = "row" if format == "jsonl" else "line"
    call.out.result({"file": str(output), "rows": count}, literal(f"{output}: {counted(count, what)} written."))
    return DONE


def _export_all(call: Call, folder: Path | None, format: str) -> int:
    """Write a file for each memory of a user into a new folder, numbered, because an agent's name may be no name of a file."""
    if not call.user or call.agent or folder is None:
        raise InputError("--all-agents takes --user NAME, no --agent, and --output FOLDER (a new one)", field="all_agents")
    if os.path.lexists(folder):
        raise InputError(f"{folder} exists already: name a new folder", field="output")
    with call.memory(derive="on_request") as memory:
        found = memory.owners(tenant=call.tenant, user=call.user)
        if not found:
            raise NotFoundError("the store has nothing of this user")
        try:
            folder.mkdir(mode=0o700, parents=True)
        except OSError as error:
            raise StoreUnavailable(f"{folder} cannot be made: {error.strerror or error}", path=str(folder)) from error
        written = []
        for number, (scope, size) in enumerate(found, start=1):
            file = f"{number:03d}.{'md' if format == 'markdown' else format}"
            mine = memory.scope(tenant=scope.tenant, user=scope.user, agent=scope.agent)
            write_lines(folder / file, _EXPORTS[format](mine), force=False)
            written.append({"file": file, "tenant": scope.tenant, "user": scope.user, "agent": scope.agent, "events": size.events})
        document = {"folder": str(folder), "memories": written}
        write_lines(folder / "owners.json", iter([to_json(document)]), force=False)
    call.out.result(document, literal(f"{folder}: {counted(len(written), 'memory', 'memories')} written; owners.json says whose each is."))
    return DONE


def _jsonl(mine: ScopedMemory) -> Iterator[str]:
    return (to_json(row, indent=None) for row in mine.export())


def _markdown(mine: ScopedMemory) -> Iterator[str]:
    held = {event.id for event in mine.guard.list()}
    return markdown(mine.scope, (event for event in mine.events() if event.id not in held), mine.records(kind="profile"))


_EXPORTS: dict[str, Callable[[ScopedMemory], Iterator[str]]] = {"jsonl": _jsonl, "markdown": _markdown}


def import_(call: Call, file: _Input, untrusted: _Untrusted = False) -> int:
    """Read a file that `tierkeep export` wrote, all or nothing. Chats of other programs: `tierkeep add --file`.

    Example: tierkeep import ana.jsonl --user ana
    """
    try:
        source = ImportFile(Path("stdin"), data=sys.stdin.buffer.read()) if file == "-" else ImportFile(Path(file))
        with call.mine(create=True, bound=False) as mine:
            events, records = mine.restore(_rows(source), trusted=not untrusted)
    except ImportFormatError as error:
        other = f"for a chat or a memory file: tierkeep add --file {shlex.quote(file)}"
        hint = f"{error} (this command reads what `tierkeep export` wrote; {other})"
        raise ImportFormatError(hint, path=file, line=error.line) from error
    call.out.result(
        {"events": events, "records": records},
        literal(f"{file}: {counted(events, 'event')} and {counted(records, 'record')} were new."),
    )
    return DONE


def _rows(source: ImportFile) -> Iterator[Mapping[str, Any]]:
    for number, line in source.lines():
        if line.strip():
            row = source.parse_json(line, number)
            if not isinstance(row, Mapping):
                source.broken("every line of an export is a JSON object", line=number)
            yield row


# ------------------------------------------------------------------------------------------------------------ checks


def undo(call: Call) -> int:
    """Take back the last change to derived records. Exit code 1 when there is none. Events are never undone.

    Example: tierkeep undo --user ana
    """
    with call.mine(bound=False) as mine:
        touched = mine.undo()
    call.out.result({"records": touched}, literal(f"Taken back: {', '.join(touched)}"))
    return DONE


def verify(call: Call) -> int:
    """Check the store: its hash chain, every digest, every source. Exit code 1 when something is wrong.

    Example: tierkeep verify --store ./memory
    """
    with call.memory() as memory:
        report = memory.verify()
    lines = [
        Text("The store is sound." if report.ok else "The store is damaged.", style="bold" if report.ok else "bold red")
    ]
    lines.append(Text(f"{report.entries} ledger entries, {report.events} events, {report.records} records checked."))
    lines += [literal(problem, "red") for problem in report.problems]
    call.out.result(report.model_dump(mode="json"), *lines)
    return DONE if report.ok else NOTHING


_Quick = Annotated[bool, typer.Option("--quick", help="Leave out the frameworks, which take seconds to import.")]


def doctor(call: Call, embedder_name: EmbedderName = "none", base_url: BaseUrl = "", quick: _Quick = False) -> int:
    """Prove one write, one recall and one forget on your own store, in a scope that is thrown away; say what is active.

    Each installed framework is proved too: an agent of it is told something, and recalls it in another conversation.

    Exit code 1 when a check fails.

    Example: tierkeep doctor --store ./memory
    """
    with call.memory(create=True, embedder=embedder(embedder_name, base_url)) as memory:
        found = checks.examine(memory) + ([] if quick else checks.integrations(memory))
        active = dict(memory.describe()) | {name: str(value) for name, value in memory.stats().items()}
    versions, extras = checks.versions(), checks.extras()
    where = active["path"] if "://" in call.store else call.store  # an address may hold a password, which the store leaves out
    ok = all(check.ok for check in found)
    document = {
        "ok": ok,
        "store": where,
        "checks": [check._asdict() for check in found],
        "active": active,
        "versions": versions,
        "extras": extras,
    }
    marks = (
        (Text("ok", "green") if c.ok else Text("FAILED", "bold red"), literal(c.name), literal(c.detail)) for c in found
    )
    call.out.result(
        document,
        rows(("", "check", ""), marks),
        Text("\nActive", style="bold"),
        facts(active | {"path": where}),
        Text("\nVersions", style="bold"),
        facts(versions),
        Text("\nExtras", style="bold"),
        facts(_extras_shown(extras)),
        Text("\nEverything works." if ok else "\nSomething is wrong; see above.", style="bold"),
    )
    return DONE if ok else NOTHING


def _extras_shown(extras: Mapping[str, bool]) -> dict[str, str]:
    if not extras:
        return {"unknown": "tierkeep runs from its source, not from an installation"}
    return {name: "installed" if there else f'pip install "tierkeep[{name}]"' for name, there in extras.items()}


def demo(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    fast: Annotated[bool, typer.Option("--fast", help="No progress bar.")] = False,
    keep: Annotated[
        Path | None, typer.Option("--keep", metavar="FOLDER", help="Keep its memory in a new folder.")
    ] = None,
) -> None:
    """Watch a ten-month memory at work: questions, a changed fact, an attack, a forget. Needs no store and no key.

    Exit code 1 when it breaks one of its promises.

    Example: tierkeep demo
    """
    from tierkeep.cli.demo import run

    code = guarded(Output(as_json=as_json), lambda: run(as_json=as_json, fast=fast, store=keep))
    if code:
        raise typer.Exit(code)
