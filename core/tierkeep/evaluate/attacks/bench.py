"""`tierkeep bench attack`: every attack on every kind of memory under every guard, and what the guards cost those who attack nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import tierkeep
from tierkeep import Settings
from tierkeep.errors import InputError
from tierkeep.evaluate.attacks import corpora, legitimate, suites
from tierkeep.evaluate.attacks.agents import AGENTS, BACKENDS, GullibleAgent
from tierkeep.evaluate.attacks.cases import Attack, Case, Scale
from tierkeep.evaluate.attacks.catalogue import ATTACKS, NAMES, chosen
from tierkeep.evaluate.attacks.columns import COLUMNS, NONE, Column, columns
from tierkeep.evaluate.attacks.memories import Stopwatch
from tierkeep.evaluate.attacks.rows import missed, row
from tierkeep.evaluate.attacks.runner import Environment, Ran, run_cases
from tierkeep.evaluate.attacks.signals import measure
from tierkeep.evaluate.attacks.stores import RememberingEmbedder
from tierkeep.evaluate.results import percentile
from tierkeep.models.doubles import HashEmbedder
from tierkeep.protocols import Embedder

#: Called with (done, in all).
Progress = Callable[[int, int], None]
#: Legitimate wishes of each kind, for each guard and memory; a tenth in a quick run.
_WISHES = 100


class Choice(NamedTuple):
    """What to run; all that is empty means everything.

    Attributes:
        attacks: Names of attacks; with data, also of its files' ("data:…").
        backends: Names of memories.
        guards: Names of guards. The undefended one is always run.
        agents: Names of agents.
    """

    attacks: Sequence[str] = ()
    backends: Sequence[str] = ()
    guards: Sequence[str] = ()
    agents: Sequence[str] = ()


@dataclass(slots=True)
class _Job:
    """A run in progress."""

    guards: list[Column]
    environment: Environment
    tick: Callable[[], object]
    watches: dict[str, Stopwatch] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)

    def skip(self, what: str, why: str) -> None:
        """Say that something was left out, once."""
        if {"what": what, "why": why} not in self.skipped:
            self.skipped.append({"what": what, "why": why})

    def watch(self, column: Column, backend: str) -> Stopwatch:
        """Return the stopwatch of a guard: that around tierkeep, or that around plain stores."""
        return self.watches.setdefault(f"{column.name}{'' if backend == 'tierkeep' else ' (wrapper)'}", Stopwatch())


def run(
    choice: Choice | None = None, *, data: Path | None = None, scale: Scale | None = None, embedder: Embedder | None = None,
    settings: Settings | None = None, progress: Progress | None = None,
) -> dict[str, Any]:
    """Return the report, ready for JSON. All but its times is the same in each run.

    Args:
        choice: What to run; everything otherwise.
        data: A folder with files of others, in the formats of `corpora`; our own texts are used in any case.
        scale: How much; `Scale()` otherwise.
        embedder: Of vector memories, of tierkeep and of guards that compare meanings; hashed words for plain vectors otherwise.
        settings: Of tierkeep; the defaults otherwise.
        progress: Called with (cases done, cases in all).

    Raises:
        InputError: A name is not known.
        ImportFormatError: The data cannot be used.
    """
    choice, scale = choice or Choice(), scale or Scale()
    loaded = None if data is None else corpora.load(data)
    attacks = _attacks(choice.attacks, loaded)
    agents = [AGENTS[name] for name in chosen("agent", choice.agents, tuple(AGENTS))]
    backends = chosen("backend", choice.backends, BACKENDS)
    environment = _environment(embedder, settings)
    guards, absent = columns(chosen("guard", choice.guards, tuple(COLUMNS)), environment.own_embedder)
    pairs = [(attack, agent, backend) for attack in attacks for agent, backend in _pairs(attack, agents, backends)]
    if not pairs:
        raise InputError("no attack is tried on that kind of agent and memory together: leave one of the filters out", field="attack")
    made = {attack.name: list(attack.cases(scale)) for attack in attacks}
    wishes = _wishes(scale, loaded)
    texts = [*suites.own(), *(loaded.corpora if loaded else ())]
    total = sum(len(made[attack.name]) for attack, _, _ in pairs) * len(guards) + (len(texts) + len(wishes)) * len(guards)
    job = _Job(guards, environment, _ticking(progress, total))
    for name, why in absent.items():
        job.skip(f"guard {name}", why)
    for name, why in (loaded.skipped if loaded else {}).items():
        job.skip(f"file {name}", why)
    for attack, agent, backend in pairs:
        _measure(job, attack.name, made[attack.name], agent, backend)
    written = [one for column in guards for one in suites.measure(texts, column, environment, job.tick)]
    wanted = [one for backend in ("dict", "tierkeep") if backend in backends for one in _legitimate(job, wishes, backend)]
    report = _report(job, scale, written, wanted, loaded)
    if data is not None and data.is_dir():
        signals = measure(data, [column.name for column in guards], environment.own_embedder, settings or Settings())
        report |= {"over_refusal": signals.over_refusal, "consensus": signals.consensus}
        report["skipped"] += [{"what": what, "why": why} for what, why in signals.skipped.items()]
    return report


def _attacks(names: Sequence[str], loaded: corpora.Loaded | None) -> list[Attack]:
    known: dict[str, Attack] = {attack.name: attack for attack in ATTACKS}
    if loaded is not None:
        known |= {name: corpora.FileAttack(name, cases) for name, cases in loaded.cases.items()}
    return [known[name] for name in chosen("attack", names, (*NAMES, *(name for name in known if name not in NAMES)))]


def _pairs(attack: Attack, agents: Sequence[GullibleAgent], backends: Sequence[str]) -> Iterator[tuple[GullibleAgent, str]]:
    for agent in agents:
        if agent.name in attack.agents:
            yield from ((agent, backend) for backend in agent.backends if backend in backends)


def _environment(embedder: Embedder | None, settings: Settings | None) -> Environment:
    own = None if embedder is None else RememberingEmbedder(embedder)
    return Environment(own or RememberingEmbedder(HashEmbedder()), own, settings)


def _wishes(scale: Scale, loaded: corpora.Loaded | None) -> list[legitimate.Wish]:
    each = max(10, min(_WISHES, scale.trials // 4))
    return [*legitimate.wishes(each), *(loaded.wishes if loaded else ())]


def _ticking(progress: Progress | None, total: int) -> Callable[[], object]:
    done = iter(range(1, 1_000_000_000))
    return lambda: progress and progress(next(done), total)


def _measure(job: _Job, attack: str, cases: Sequence[Case], agent: GullibleAgent, backend: str) -> None:
    undefended: list[Ran] = []
    for column in job.guards:
        ran = run_cases(cases, agent, backend, column, job.environment, job.watch(column, backend), job.tick, undefended)
        undefended = undefended or ran
        job.rows.append(row(attack, backend, agent.name, column.name, ran, undefended))


def _legitimate(job: _Job, wishes: Sequence[legitimate.Wish], backend: str) -> Iterator[dict[str, Any]]:
    for column in job.guards:
        yield from legitimate.measure(wishes, backend, column, job.environment, job.tick)


def _report(
    job: _Job, scale: Scale, written: list[dict[str, Any]], wanted: list[dict[str, Any]], loaded: corpora.Loaded | None
) -> dict[str, Any]:
    environment, strongest = job.environment, job.guards[-1].name
    harmless = [one for one in written if one["kind"] == "benign"]
    settings = environment.settings or Settings()
    params = {"trials": scale.trials, "store": scale.store, "drift": scale.drift, "rounds": scale.rounds}
    for one in job.rows:
        one |= {"seed": list(scale.seeds), "params": params}
    timed = {name: _latency(watch) for name, watch in job.watches.items()}
    return {
        "attacks": job.rows,
        "benign": {"guard": strongest, **suites.summed([one for one in harmless if one["guard"] == strongest]),
                   "by_guard": {column.name: _totals(harmless, column.name) for column in job.guards}},
        "legitimate": wanted,
        "corpora": [{**one, "isr": round(one["active"] / one["n"], 4)} for one in written if one["kind"] == "attack"],
        "missed": missed(job.rows),
        "skipped": job.skipped,
        "latency_p95_ms": {what: figures["p95"] for what, figures in _strongest(timed, strongest).items()},
        "latency_ms": timed,
        "embedder": environment.embedder.identity,
        "own_embedder": "none" if environment.own_embedder is None else environment.own_embedder.identity,
        "policy_version": settings.sha256(), "guard_model": "none", "version": tierkeep.__version__, "seeds": list(scale.seeds),
        "data": dict(loaded.files) if loaded else {},
    }  # fmt: skip


def _totals(rows: Sequence[Mapping[str, Any]], guard: str) -> dict[str, int]:
    held = suites.summed([dict(one) for one in rows if one["guard"] == guard])
    return {name: held[name] for name in ("n", "rejected", "quarantined")}


def _latency(watch: Stopwatch) -> dict[str, dict[str, float]]:
    made = {"write": watch.write, "read": watch.read, "gate": watch.gate}
    return {
        name: {"n": len(times), **{f"p{q}": round(percentile(sorted(times), q / 100), 4) for q in (50, 95, 99)}}
        for name, times in made.items() if times
    }  # fmt: skip


def _strongest(timed: Mapping[str, dict[str, dict[str, float]]], guard: str) -> dict[str, dict[str, float]]:
    return timed.get(guard) or timed.get(f"{guard} (wrapper)") or timed.get(NONE, {})
