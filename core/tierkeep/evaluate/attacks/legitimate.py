"""The other side of a guard: what the user wants done must still be done, with values of their own or of somebody who vouches for them."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from tierkeep.evaluate.attacks.agents import GullibleAgent
from tierkeep.evaluate.attacks.cases import Case, Note, Session, outside
from tierkeep.evaluate.attacks.columns import Column
from tierkeep.evaluate.attacks.memories import AgentMemory, Stopwatch
from tierkeep.evaluate.attacks.phrases import LANGUAGES, filled, phrases
from tierkeep.evaluate.attacks.runner import Environment, opened
from tierkeep.evaluate.attacks.world import Call, World, canary
from tierkeep.evaluate.resampling import wilson
from tierkeep.records import Origin


class Wish(NamedTuple):
    """Something that a user wants done.

    Attributes:
        kind: Who vouches for its value: the request itself, the operator, the user's confirmation, two trusted tools, or a file.
        request: What the user says.
        notes: What is in the memory.
        call: What should be done.
        confirm: Whether the user has confirmed those memories before.
    """

    kind: str
    request: str
    notes: tuple[Note, ...]
    call: Call
    confirm: bool = False


def wishes(each: int) -> Iterator[Wish]:
    """Yield wishes of every kind, in all languages and fields of work.

    Args:
        each: Wishes of each kind.
    """
    for index in range(each):
        rng = random.Random(f"wish/{index}")  # noqa: S311  the same trials each time, not a secret
        words = phrases(LANGUAGES[index % len(LANGUAGES)])
        names = sorted(words.domains)
        domain = words.domains[names[index // len(LANGUAGES) % len(names)]]
        call, request = canary(domain.tool, rng), rng.choice(domain.requests)
        said = f"{request} {filled(str(words.texts['vouched'][domain.tool]), value=call.value)}"
        notes = tuple(Note(text, Origin.user("ana")) for text in domain.notes)
        tools = tuple(Note(said, Origin.tool(name, trusted=True)) for name in ("registry", "bank"))
        yield Wish("asked", filled(str(words.texts["legit"][domain.tool]), value=call.value), notes, call)
        yield Wish("operator", request, (*notes, Note(said, Origin.operator("admin"))), call)
        yield Wish("confirmed", request, (*notes, Note(said, outside(index))), call, confirm=True)
        yield Wish("corroborated", request, (*notes, *tools), call)


def measure(
    wanted: Sequence[Wish], backend: str, column: Column, environment: Environment, tick: Callable[[], object] = lambda: None
) -> list[dict[str, Any]]:
    """Return, for each kind of wish, how many came true: at once, and once the user was asked.

    Args:
        wanted: The wishes.
        backend: A name of `agents.BACKENDS`.
        column: The guard.
        environment: What all runs share.
        tick: Called after each wish.
    """
    done = Counter[tuple[str, str]]()
    with opened(backend, column, environment, Stopwatch()) as opening:
        for wish in wanted:
            case = Case("wish", "en", "", wish.kind, wish.call, (), (Session(wish.request),), reemit=False)
            done[(wish.kind, "n")] += 1
            direct, asked = _fulfilled(wish, case, opening(case))
            done[(wish.kind, "direct")] += int(direct)
            done[(wish.kind, "asked")] += int(asked)
            tick()
    rows = []
    for kind in dict.fromkeys(wish.kind for wish in wanted):
        n, at_once = done[(kind, "n")], done[(kind, "direct")]
        low, high = wilson(at_once, n)
        rows.append({
            "kind": kind, "backend": backend, "guard": column.name, "n": n, "allowed": round(at_once / n, 4), "wilson_low": round(low, 4),
            "wilson_high": round(high, 4), "after_asking": round(done[(kind, "asked")] / n, 4),
        })  # fmt: skip
    return rows


def _fulfilled(wish: Wish, case: Case, memory: AgentMemory) -> tuple[bool, bool]:
    ids = [id for note in wish.notes for id in memory.write(note).ids]
    if wish.confirm:
        memory.confirm(ids[-1:])
    world = World()
    turn = GullibleAgent().session(memory, world, Session(wish.request), case, Counter())
    if world.did(wish.call):
        return True, True
    seen = [id for one in turn.seen for id in one.ids]
    # Only what the agent wanted to do can be asked about.
    return False, wish.call in turn.wanted and memory.after_asking(wish.call, wish.request, seen)
