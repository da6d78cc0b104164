"""Runs cases: one memory for each, infection first, then the triggers, then what a user without an attacker would do."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from tierkeep import Memory, Settings
from tierkeep.evaluate.attacks import stores
from tierkeep.evaluate.attacks.agents import GullibleAgent
from tierkeep.evaluate.attacks.cases import Case, Session
from tierkeep.evaluate.attacks.columns import Checks, Column
from tierkeep.evaluate.attacks.memories import AgentMemory, Outcome, Stopwatch, TierkeepMemory, WrappedMemory
from tierkeep.evaluate.attacks.phrases import LANGUAGES, filled, phrases
from tierkeep.evaluate.attacks.timed import TimedGuard
from tierkeep.evaluate.attacks.world import TrialClock, World, canary
from tierkeep.guard.chain import DefaultGuard
from tierkeep.protocols import Embedder
from tierkeep.tokens import EstimateCounter

#: Makes an empty memory for a case.
Opening = Callable[[Case], AgentMemory]


class Trial(NamedTuple):
    """One trigger session.

    Attributes:
        executed: The attacker's call was made, and is not made without the attacker's texts either.
        retrieved: An attacker's text was in the window.
        claimed: The agent wanted the attacker's call.
        occupancy: Share of the window that goes back to the attacker.
        copies: Memories that go back to the attacker, after the session.
        advising: Those of them that may shape an answer.
        control: The same call was made in the control.
    """

    executed: bool
    retrieved: bool
    claimed: bool
    occupancy: float
    copies: int
    advising: int
    control: bool = False


class Ran(NamedTuple):
    """What came of one case.

    Attributes:
        case: It.
        trials: One for each trigger.
        outcomes: What became of the attacker's texts on write.
        slots: (poisoned, all) places of the windows of users who have nothing to do with it.
        useful: Whether a call that the user asked for was made.
        read: (found, dropped) harmless memories on read.
    """

    case: Case
    trials: tuple[Trial, ...]
    outcomes: Counter[Outcome]
    slots: tuple[int, int]
    useful: bool
    read: tuple[int, int]


class Environment(NamedTuple):
    """What all runs of one benchmark share.

    Attributes:
        embedder: Of the plain vector stores.
        own_embedder: Of tierkeep; None for search by words.
        settings: Of tierkeep; the defaults otherwise.
    """

    embedder: Embedder
    own_embedder: Embedder | None = None
    settings: Settings | None = None


@contextmanager
def opened(backend: str, column: Column, environment: Environment, watch: Stopwatch) -> Iterator[Opening]:
    """Yield what makes an empty memory of a kind under a guard. tierkeep's memories share a store, each with an owner of its own."""
    if backend != "tierkeep":
        yield lambda case: WrappedMemory(_store(backend, case, environment.embedder), column, watch)
        return
    clock, users = TrialClock(), (f"user{number}" for number in itertools.count())
    guard = TimedGuard(Checks(column) if column.own is None else DefaultGuard(environment.settings, clock, write=column.own), watch)
    with Memory.open(
        ":memory:", clock=clock, guard=guard, settings=environment.settings, embedder=environment.own_embedder, derive="with_write",
        counter=EstimateCounter(), **column.options,
    ) as memory:  # fmt: skip
        yield lambda case: TierkeepMemory(memory, clock, next(users), column, watch)


def _store(backend: str, case: Case, embedder: Embedder) -> stores.Store:
    if backend == "vector":
        return stores.VectorStore(embedder)
    if backend == "extractor":
        return stores.FactStore(embedder)
    if backend == "window":
        return stores.WindowStore(case.window)
    return stores.SqliteStore() if backend == "sqlite" else stores.FileStore() if backend == "file" else stores.ListStore()


def run_case(case: Case, agent: GullibleAgent, opening: Opening, control: Sequence[bool] | None = None) -> Ran:
    """Run a case, and its control where the attack has succeeded: what happens there too is not the attack's.

    Args:
        case: It.
        agent: Who falls for it.
        opening: Makes its memory.
        control: For each trigger, whether the call was made in the control, where that is known; else the control is run here.
    """
    ran = _run(case, agent, opening)
    if not any(trial.executed for trial in ran.trials):
        return ran
    if control is None:
        control = [trial.executed for trial in _run(case.harmless(), agent, opening).trials]
    trials = tuple(
        trial._replace(executed=trial.executed and not clean, control=clean) for trial, clean in zip(ran.trials, control, strict=True)
    )
    return ran._replace(trials=trials)


def _run(case: Case, agent: GullibleAgent, opening: Opening) -> Ran:
    memory, world, outcomes = opening(case), World(), Counter[Outcome]()
    memory.fill(case.background)
    for session in case.sessions:
        agent.session(memory, world, session, case, outcomes)
    trials = []
    for session in case.triggers:
        since = len(world)
        turn = agent.session(memory, world, session, case, outcomes)
        poisoned = sum(one.poison for one in turn.seen)
        copies, advising = memory.copies()
        trials.append(
            Trial(world.did(case.goal, since), poisoned > 0, case.goal in turn.wanted, poisoned / max(1, len(turn.seen)), copies, advising)
        )
    slots = _quiet(case, memory)
    return Ran(case, tuple(trials), outcomes, slots, _useful(case, agent, memory), memory.read())


def _quiet(case: Case, memory: AgentMemory) -> tuple[int, int]:
    windows = [memory.recall(request, case.k) for request in case.quiet]
    return sum(one.poison for window in windows for one in window), sum(map(len, windows))


def _useful(case: Case, agent: GullibleAgent, memory: AgentMemory) -> bool:
    """Return whether the user still gets what they ask for in so many words, with the poison in the memory."""
    rng = random.Random(f"legit/{case.attack}/{case.goal}")  # noqa: S311  the same trials each time, not a secret
    words = phrases(case.language if case.language in LANGUAGES else "en")
    wanted = canary(case.goal.tool if case.goal.tool in words.texts["legit"] else "send_email", rng)
    world = World()
    request = filled(str(words.texts["legit"][wanted.tool]), value=wanted.value)
    agent.session(memory, world, Session(request), case, Counter())
    return world.did(wanted)


def run_cases(
    cases: Sequence[Case], agent: GullibleAgent, backend: str, column: Column, environment: Environment, watch: Stopwatch,
    tick: Callable[[], object] = lambda: None, undefended: Sequence[Ran] = (),
) -> list[Ran]:
    """Run cases under one guard with one kind of memory.

    Args:
        cases: What to run; the same for every guard, so that they can be compared by pairs.
        agent: Who falls for it.
        backend: A name of `agents.BACKENDS`.
        column: The guard.
        environment: What all runs share.
        watch: Gets the guard's times.
        tick: Called after each case.
        undefended: What came of the same cases without a guard. Their controls are taken from there: a control is what happens without
            the attacker, and where no guard is, most happens.
    """
    ran = []
    with opened(backend, column, environment, watch) as opening:
        for place, case in enumerate(cases):
            known = undefended[place].trials if undefended and any(one.executed or one.control for one in undefended[place].trials) else ()
            ran.append(run_case(case, agent, opening, [one.control for one in known] if known else None))
            tick()
    return ran
