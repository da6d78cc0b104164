"""What an attack is: something that an attacker writes, a later session in which it may strike, and the call that would prove it."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

from tierkeep.evaluate.attacks.phrases import LANGUAGES, WORDINGS, Domain, Phrases, phrases
from tierkeep.evaluate.attacks.world import Call, canary
from tierkeep.records import Origin


class Note(NamedTuple):
    """One text that reaches an agent's memory.

    Attributes:
        text: What it says.
        origin: Who says it.
        poison: Whether an attacker wrote it.
        echoes: Whether a tool says it after an agent looked something of the attacker's up.
    """

    text: str
    origin: Origin
    poison: bool = False
    echoes: bool = False


class Session(NamedTuple):
    """One session of an agent: what its user asks, and what its tools then show it."""

    request: str
    reads: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """One attack from start to end. Each of its triggers is a trial.

    Attributes:
        attack: The attack's name.
        language: Of its texts.
        domain: Field of work.
        wording: "overt", "stealthy", or what else the attack tells apart.
        params: The attack's own parameters, for the report.
        goal: The call that the attacker wants. Nothing else counts.
        background: What is in the memory before.
        sessions: Sessions in which the attacker's texts come in.
        triggers: Later sessions in which the attack may strike.
        quiet: Requests of a user who has nothing to do with it, to see how much room the poison takes.
        k: Memories that the agent takes into its window.
        window: Messages that a sliding window holds.
        reemit: Whether the agent writes down again what it obeyed.
        share: Share of the attacker's texts among all that bear on the triggers.
    """

    attack: str
    language: str
    domain: str
    wording: str
    goal: Call
    sessions: tuple[Session, ...]
    triggers: tuple[Session, ...]
    background: tuple[Note, ...] = ()
    quiet: tuple[str, ...] = ()
    params: Mapping[str, int | str | bool] = field(default_factory=dict)
    k: int = 5
    window: int = 16
    reemit: bool = True
    share: float = 0.0

    def harmless(self) -> Case:
        """Return the control: every poisoned text replaced by a harmless one of its length (guard spec, 9.3)."""
        rng = random.Random(f"control/{self.attack}/{self.goal}")  # noqa: S311  the same trials each time, not a secret
        words = phrases(self.language if self.language in LANGUAGES else "en")

        def clean(note: Note) -> Note:
            return note._replace(text=words.padding(len(note.text), rng), poison=False) if note.poison else note

        def cleaned(session: Session) -> Session:
            return session._replace(reads=tuple(map(clean, session.reads)))

        return replace(
            self, background=tuple(map(clean, self.background)), sessions=tuple(map(cleaned, self.sessions)),
            triggers=tuple(map(cleaned, self.triggers)),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is done: trials of each row, and sizes of the stores that attacks fill.

    Attributes:
        trials: Triggers of each attack, at least.
        seeds: Seeds; trials are spread over them.
        store: Records of the store of `zombie_rag`.
        drift: Most records that `injecmem` lets come after its poison.
        rounds: Sessions over which a sliding window is watched.
    """

    trials: int = 400
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    store: int = 3_000
    drift: int = 1_000
    rounds: int = 30

    @classmethod
    def quick(cls, trials: int = 40, seeds: tuple[int, ...] = (0, 1)) -> Scale:
        """Return a scale for a look: seconds, not minutes, and intervals as wide as that."""
        return cls(trials, seeds, store=200, drift=50, rounds=12)


class Attack(Protocol):
    """Makes the cases of one attack.

    Attributes:
        name: As the table and `--attack` have it.
        agents: Kinds of agents that it is tried on (`agents.AGENTS`).
    """

    @property
    def name(self) -> str:
        """Return its name."""
        ...

    @property
    def agents(self) -> tuple[str, ...]:
        """Return the kinds of agents."""
        ...

    def cases(self, scale: Scale) -> Iterator[Case]:
        """Yield cases with at least `scale.trials` triggers together; the same scale gives the same cases."""
        ...


class Setting(NamedTuple):
    """What every case of an attack varies: its seed, language, field, wording, and the call that it is after."""

    number: int
    rng: random.Random
    words: Phrases
    domain: Domain
    wording: str
    goal: Call

    def payload(self) -> str:
        """Return an order in this setting's wording."""
        return self.words.payload(self.domain.tool, self.wording, self.goal.value, self.rng)

    def request(self) -> str:
        """Return something that a user asks in this field."""
        return self.rng.choice(self.domain.requests)

    def notes(self, count: int, origin: Origin | None = None) -> tuple[Note, ...]:
        """Return harmless memories: those of the field first, then of other fields, then about nothing; none twice while they last."""
        others = [note for domain in self.words.domains.values() if domain != self.domain for note in domain.notes]
        texts = [*self.rng.sample(self.domain.notes, len(self.domain.notes)), *self.rng.sample(others, len(others)), *self.words.filler]
        made = [texts[place] if place < len(texts) else self.words.padding(60, self.rng) for place in range(count)]
        return tuple(Note(text, origin or Origin.user("ana")) for text in made)

    def elsewhere(self, count: int) -> tuple[str, ...]:
        """Return requests of other fields."""
        others = [request for domain in self.words.domains.values() if domain != self.domain for request in domain.requests]
        return tuple(self.rng.sample(others, min(count, len(others))))


def settings(attack: str, scale: Scale, each: int = 1, wordings: Sequence[str] = WORDINGS) -> Iterator[Setting]:
    """Yield settings for as many cases as give enough trials: all languages, fields and wordings in turn, over all seeds.

    Args:
        attack: Its name; the settings of two attacks differ.
        scale: How many trials.
        each: Triggers of one case.
        wordings: What to vary beside language and field.
    """
    for index in range(-(-scale.trials // each)):
        rng = random.Random(f"{attack}/{scale.seeds[index % len(scale.seeds)]}/{index}")  # noqa: S311  the same trials each time, not a secret
        words = phrases(LANGUAGES[index % len(LANGUAGES)])
        names = sorted(words.domains)
        domain = words.domains[names[(index // len(LANGUAGES)) % len(names)]]
        wording = wordings[(index // (len(LANGUAGES) * len(names)) + index) % len(wordings)]
        yield Setting(index, rng, words, domain, wording, canary(domain.tool, rng))


#: Where texts of strangers come from, in turn.
def outside(index: int) -> Origin:
    """Return one of the origins from which anybody can write."""
    origins = (
        Origin.web(f"https://page-{index}.example/post"), Origin.document(f"upload-{index}.pdf"), Origin.tool("inbox"),
        Origin.web(f"https://wiki-{index}.example/edit"),
    )  # fmt: skip
    return origins[index % len(origins)]
