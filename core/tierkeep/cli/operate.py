"""The commands of whoever operates a store: `migrate`, `backup`, `restore-backup`, `erase`, `expire`, `stats`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType
from rich.progress import Progress as Bar
from rich.text import Text

from tierkeep import Memory, Settings
from tierkeep.allowance import Listener, Progress
from tierkeep.cli.call import DONE, NOTHING, Call, command, exists, seal
from tierkeep.cli.output import Output, clean, counted, facts, literal, one_line, rows, to_json, write_lines
from tierkeep.errors import InputError, NotFoundError, ScopeError

if TYPE_CHECKING:
    from tierkeep.erasing import EraseReport
    from tierkeep.moving import MoveReport

_SHOWN = 20  # owners that are shown to people
_Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
_SEALED = ("source", "target", "both")


def attach(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(app, "migrate", by_session=False)(migrate)
    command(app, "backup", by_session=False)(backup)
    command(app, "restore-backup", by_session=False)(restore_backup)
    command(app, "erase", by_session=False)(erase)
    command(app, "expire", by_session=False)(expire)
    command(app, "stats", by_session=False)(stats)


# ------------------------------------------------------------------------------------------------------------ migrate


def migrate(
    call: Call,
    to: Annotated[str, typer.Option("--to", metavar="STORE", help="Where to: a folder or file, or postgresql://…")],
    source: Annotated[str | None, typer.Option("--from", metavar="STORE", help="Where from; else the store of --store.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be moved.")] = False,
    sealed: Annotated[str, typer.Option("--sealed", help="Whose key TIERKEEP_SEAL_KEY is: source, target or both.")] = "both",
) -> int:
    """Copy everything of every owner into another store, and check that both hold the same. The source is only read.

    Killed in the middle, it goes on when it is run again. An owner whose memory is another in the target is refused.

    Vectors are made again from the events (tierkeep index); the guard's log stays with the source. Stop the source's writers first.

    Exit code 1 when the two sides are not the same afterwards.

    Example: tierkeep migrate --from ./memory --to postgresql://ana@db.example/mem
    """
    source = call.store if source is None else source
    if sealed not in _SEALED:
        raise InputError(f"--sealed is one of {', '.join(_SEALED)}, not {sealed!r}", field="sealed")
    if not exists(source):
        raise NotFoundError(f"there is no memory at {source}")
    made = dry_run and not exists(to)
    with ExitStack() as stack:
        first = stack.enter_context(_opened(source, sealed != "target"))
        # A dry run must not leave an empty store behind.
        second = stack.enter_context(_opened(":memory:" if made else to, sealed != "source" and not made))
        with _bar(call.out, "moving") as listener:
            report = first.copy_to(second, dry_run=dry_run, progress=listener)
    call.out.result(report.model_dump(mode="json"), *_moved(report))
    return DONE if report.ok else NOTHING


def _opened(store: str, sealed: bool) -> Memory:
    return Memory.open(store, seal=seal() if sealed and "://" not in store else None, derive="on_request")


def _moved(report: MoveReport) -> list[RenderableType]:
    entries = (
        (str(one.events), str(one.records), one.state, literal(_name(one.tenant, one.user, one.agent)))
        for one in report.owners[:_SHOWN]
    )
    shown: list[RenderableType] = [rows(("events", "records", "", "owner"), entries)] if report.owners else []
    if len(report.owners) > _SHOWN:
        shown.append(Text(f"and {counted(len(report.owners) - _SHOWN, 'more owner')}; --json names all", "dim"))
    waiting = sum(one.state == "waiting" for one in report.owners)
    if report.dry_run:
        shown.append(Text(f"Dry run: {counted(waiting, 'owner')} would be moved, {len(report.owners) - waiting} are there already."))
    else:
        shown.append(Text(f"{counted(report.events, 'event')} written; {counted(len(report.owners), 'owner')} compared on both sides."))
    shown += [literal(problem, "bold red") for problem in report.problems]
    if report.ok and not report.dry_run:
        shown.append(Text("Both stores hold the same, and the target is sound.", "bold"))
    return shown


# ------------------------------------------------------------------------------------------------------------- backup


def backup(
    call: Call,
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="File to write.")],
    force: Annotated[bool, typer.Option("--force", help="Replace the file when it exists.")] = False,
) -> int:
    """Copy the store into one file while it is in use, and verify the copy. Put it back with: tierkeep restore-backup.

    Example: tierkeep backup --to memory-2026-05-02.db
    """
    with call.memory(derive="on_request") as memory, _bar(call.out, "copying") as listener:
        size = memory.backup(to, replace=force, progress=listener)
    call.out.result({"file": str(to), "bytes": size}, literal(f"{to}: {size:,} bytes written and verified."))
    return DONE


def restore_backup(
    call: Call,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File written by tierkeep backup.")],
    replace: Annotated[bool, typer.Option("--replace", help="In the place of the store that is there; what it holds is lost.")] = False,
) -> int:
    """Put a backup in the place of the store. It is verified first, and never put over a store that is in use.

    Example: tierkeep restore-backup memory-2026-05-02.db --store ./memory --replace
    """
    events = Memory.put_back(file, call.store, replace=replace, seal=seal())
    call.out.result({"store": call.store, "events": events}, literal(f"{call.store}: {counted(events, 'event')} back from {file}."))
    return DONE


# -------------------------------------------------------------------------------------------------------------- erase


def erase(
    call: Call,
    yes: _Yes = False,
    report: Annotated[Path | None, typer.Option("--report", metavar="FILE", help="Also write the report, as JSON.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the report's file when it exists.")] = False,
) -> int:
    """Erase a person: everything that the store has of this user, under every agent, with a report. Cannot be undone.

    Exit code 1 when there was nothing to erase, or a trace was left. What they may ask for first: tierkeep export --all-agents.

    Example: tierkeep erase --user ana --report ana-erased.json
    """
    if not call.user:
        raise ScopeError("who is to be erased? Pass --user NAME", field="user")
    if call.agent:
        raise InputError("erase reaches a user under every agent; for one of them: tierkeep forget --all --agent NAME", field="agent")
    if report is not None and os.path.lexists(report) and not force:
        raise InputError(f"{report} exists already; pass --force to replace it", field="report")
    with call.memory(derive="on_request") as memory:
        found = memory.owners(tenant=call.tenant, user=call.user)
        if found and not yes:
            said = [f"{_name(*one.scope.partition)}: {counted(one.size.events, 'event')}" for one in found]
            if not call.confirmed(f"Erase {len(said)} memories?\n  " + "\n  ".join(said) + "\nThis cannot be undone.", "erased"):
                return NOTHING
        made = memory.erase(user=call.user, tenant=call.tenant)
    document = made.model_dump(mode="json")
    if report is not None:
        write_lines(report, iter([to_json(document)]), force=force)
    call.out.result(document, *_erased(made))
    return DONE if made.owners and made.complete else NOTHING


def _erased(made: EraseReport) -> list[RenderableType]:
    if not made.owners:
        return [Text("The store has nothing of this user.")]
    shown: list[RenderableType] = [
        Text(f"Erased {counted(made.events, 'event')} and {counted(made.records, 'record')} under {counted(len(made.owners), 'agent')}.")
    ]
    for one in made.owners:
        if not one.forgotten.complete:
            shown.append(literal(f"Not complete: {one.forgotten.note} {' '.join(one.forgotten.residue)}".strip(), "bold red"))
    if made.complete:
        shown.append(Text("No trace of it is left in any table or file of the store.", "bold"))
    if made.named_in:
        shown.append(literal(f"The name itself still stands in: {', '.join(made.named_in)} (others say it)"))
    shown.append(Text("Not reached by this:", "dim"))
    return shown + [literal(f"- {left}", "dim") for left in made.left]


# ------------------------------------------------------------------------------------------------------------- expire

_Days = Annotated[float | None, typer.Option("--days", help="Days after which everything goes.")]
_Untrusted = Annotated[float | None, typer.Option("--days-untrusted", help="Days after which goes what came from outside.")]


def expire(call: Call, days: _Days = None, days_untrusted: _Untrusted = None, yes: _Yes = False) -> int:
    """Remove what was said longer ago than so many days, and what was derived from it: of the owner named, or of everybody.

    What came from outside and was confirmed by its owner counts as the owner's own. Exit code 1 when nothing had expired.

    Example: tierkeep expire --days 365 --days-untrusted 30 --yes
    """
    if days is None and days_untrusted is None:
        raise InputError("say after how many days: --days N, --days-untrusted N, or both", field="days")
    try:
        settings = Settings.model_validate({"retention": {"days": days, "days_untrusted": days_untrusted}})
    except ValueError as error:
        raise InputError("--days and --days-untrusted are numbers above 0, and at most 365000", field="days") from error
    with call.memory(derive="on_request", settings=settings) as memory:
        named = (call.tenant, call.user, call.agent)
        owners = [one.scope for one in memory.owners() if not any(named) or one.scope.partition == named]
        question = f"Remove what has expired of {counted(len(owners), 'owner')}? This cannot be undone."
        if owners and not yes and not call.confirmed(question, "removed"):
            return NOTHING
        gone = [(s, memory.scope(tenant=s.tenant, user=s.user, agent=s.agent).maintain().expired) for s in owners]
    listed = [{**scope.model_dump(include={"tenant", "user", "agent"}), "expired": count} for scope, count in gone if count]
    total = sum(count for _, count in gone)
    said = f"Removed {counted(total, 'event')} of {counted(len(listed), 'owner')}; {counted(len(owners), 'owner')} looked at."
    call.out.result({"expired": total, "owners": listed}, Text(said))
    return DONE if total else NOTHING


# -------------------------------------------------------------------------------------------------------------- stats


def stats(
    call: Call,
    owners: Annotated[int, typer.Option("--owners", min=0, help="Also list so many owners, the largest first.")] = 0,
) -> int:
    """Show how much the store holds: counts, sizes, dates, what waits to be derived. No content.

    Example: tierkeep stats --owners 10
    """
    with call.memory(derive="on_request") as memory:
        found = dict(memory.stats())
        del found["failures"]  # of this process, which has just begun
        largest = sorted(memory.owners(), key=lambda one: (-one.size.events, one.scope.partition))[:owners] if owners else []
    listed = [{**one.scope.model_dump(include={"tenant", "user", "agent"}), **one.size._asdict()} for one in largest]
    table = rows(
        ("events", "characters", "owner"), ((str(o.size.events), str(o.size.chars), literal(_name(*o.scope.partition))) for o in largest)
    )
    more: list[RenderableType] = [Text(), table] if owners else []
    call.out.result(found | ({"owners": listed} if owners else {}), facts(_shown(found)), *more)
    return DONE


def _shown(found: Mapping[str, Any]) -> dict[str, str]:
    """Return the figures in words."""
    shown = {name: f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value) for name, value in found.items()}
    shown["embedders"] = ", ".join(f"{one['identity']} ({counted(one['events'], 'event')})" for one in found["embedders"]) or "none"
    shown["pending"] = ", ".join(f"{name}: {counted(events, 'event')}" for name, events in found["pending"].items()) or "nothing"
    return {name.replace("_", " "): value for name, value in shown.items()}


# ------------------------------------------------------------------------------------------------------------- helpers


def _name(tenant: str, user: str, agent: str) -> str:
    named = [f"{field}={one_line(value, 256)}" for field, value in (("tenant", tenant), ("user", user), ("agent", agent)) if value]
    return clean(", ".join(named))


@contextmanager
def _bar(out: Output, doing: str) -> Iterator[Listener | None]:
    """Show a bar on a terminal that people look at."""
    if out.as_json or not sys.stderr.isatty():
        yield None
        return
    with Bar(console=out.err, transient=True) as bar:
        task = bar.add_task(doing, total=None)

        def told(progress: Progress) -> None:
            bar.update(task, description=f"{doing} ({progress.what})", completed=progress.done, total=progress.total or None)

        yield told
