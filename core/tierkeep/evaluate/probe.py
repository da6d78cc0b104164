"""`tierkeep bench probe`: does a memory still have what was said? A quality meter that needs no questions and no labels.

MemTrain's masked recovery (arXiv 2606.03197; strategies spec, 6.12): take a message that holds a rare entity, blank the entity out, ask the
memory with what is left, and see whether the entity comes back within the top 10. Only entities that occur in one or two messages
count; with frequent ones the probe no longer follows evidence recall (strategies spec, 8.12).

What counts as coming back depends on where the entity is. The masked message itself is left out of the hits: it matches its own words and
would always be there.

- In exactly two messages: the other message, or a record derived from either that holds the entity. This is what a store of raw messages is
  measured by.
- In exactly one: only a derived record that holds the entity. It says what share of rare things survives into records, and is a figure of
  its own: a store that keeps raw messages loses nothing by not deriving a record from each.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import tierkeep
from tierkeep import Memory
from tierkeep.errors import InputError
from tierkeep.evaluate.caching import CachedEmbedder
from tierkeep.evaluate.datasets import ingest, load
from tierkeep.evaluate.resampling import wilson
from tierkeep.protocols import Embedder
from tierkeep.records import Authority, Event, EvidenceItem
from tierkeep.scoped import ScopedMemory
from tierkeep.terms import analyze

Kind = Literal["name", "number", "word"]
Progress = Callable[[int, int], None]
TOP = 10
#: Tokens of the recall whose best ten count: room for twice as many messages of middling length, within these bounds.
_FEWEST_TOKENS, _MOST_TOKENS = 2_048, 16_384
#: Characters of a message around its entity that are asked with: a question has a limit, and a long message many subjects.
_CONTEXT = 600
#: A message with fewer other words says too little to be found by.
_FEWEST_WORDS = 3
_MASK = "…"
_TOKEN = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]{2}"
    r"|\d+(?:[.,:]\d+)*|[^\W\d_][\w'\u2019-]*"
)
_SENTENCE_START = re.compile(r"(?:^|[.!?\u3002\uff01\uff1f:\n\"(])\s*$")
#: Letters of a word that may be an entity although it is written small.
_LONG = 6
#: Endings of English words that are seldom nouns.
_NO_NOUN = ("ing", "ed", "ly", "ful", "ous", "ive", "able", "ible", "ize", "ise")
_KINDS: tuple[Kind, ...] = ("name", "number", "word")


class Probe(NamedTuple):
    """One masked message.

    Attributes:
        turn: Id of the message that is asked with.
        other: Id of the only other message that holds the entity, "" when there is none.
        entity: What was blanked out, as it is written there.
        kind: name, number or word.
        question: The message around the blank.
    """

    turn: str
    other: str
    entity: str
    kind: Kind
    question: str


class Outcome(NamedTuple):
    """A probe and whether the entity came back, from the other message or a record."""

    probe: Probe
    recovered: bool


class _Mention(NamedTuple):
    entity: str
    kind: Kind
    start: int


def choose(events: Sequence[Event], *, most: int = 200, seed: int = 1, pairs: bool = True) -> list[Probe]:
    """Return probes of these messages: a seeded sample, one a message, in the order of the messages.

    Args:
        events: What was said. Quarantined messages are never recalled and are left out.
        most: How many probes at most.
        seed: Of the sample.
        pairs: Entities of exactly two messages; otherwise those of exactly one. Names are taken before numbers, and those before words.
    """
    told = [event for event in events if event.authority != Authority.QUARANTINED and event.kind == "message"]
    terms = [frozenset(analyze(event.text)) for event in told]
    holders: dict[str, list[int]] = {}
    for place, own in enumerate(terms):
        for term in own:
            holders.setdefault(term, []).append(place)
    wanted = 2 if pairs else 1
    draw = random.Random(seed)  # noqa: S311  a sample, not a secret
    found: list[Probe] = []
    for place, event in enumerate(told):
        mentions = [(one, term) for one, term in _mentions(event.text) if len(holders.get(term, ())) == wanted]
        if not mentions:
            continue
        best = min(_KINDS.index(one.kind) for one, _ in mentions)
        mention, term = draw.choice([(one, term) for one, term in mentions if _KINDS.index(one.kind) == best])
        other = next((told[holder].id for holder in holders[term] if holder != place), "")
        if question := _masked(event.text, mention, term):
            found.append(Probe(event.id, other, mention.entity, mention.kind, question))
    kept = sorted(draw.sample(range(len(found)), min(most, len(found))))
    return [found[place] for place in kept]


def ask(memory: ScopedMemory, probes: Sequence[Probe], progress: Callable[[], object] = lambda: None) -> list[Outcome]:
    """Return what becomes of each probe. Only `recall` is used: nothing is written."""
    outcomes: list[Outcome] = []
    lengths = [len(event.text) for event in memory.events()] if probes else []
    budget = min(max(2 * TOP * (sum(lengths) // max(len(lengths), 1) // 4 + 20), _FEWEST_TOKENS), _MOST_TOKENS)
    for probe in probes:
        evidence = memory.recall(probe.question, budget=budget)
        ranked = sorted((item for item in evidence.items if item.id != probe.turn), key=lambda item: -item.score)[:TOP]
        outcomes.append(Outcome(probe, any(_gives_back(item, probe) for item in ranked)))
        progress()
    return outcomes


def measure(
    memory: ScopedMemory, *, most: int = 200, seed: int = 1, misses: bool = False, progress: Progress | None = None
) -> dict[str, Any]:
    """Return the figures of one owner's memory, ready for JSON.

    Args:
        memory: Whose memory; it is only read.
        most: Probes of each sort at most.
        seed: Of the sample.
        misses: Add the probes whose entity did not come back, with their texts.
        progress: Called with (probes asked, probes in all).

    Raises:
        InputError: No entity occurs in exactly two messages.
    """
    events = list(memory.events())
    twice = choose(events, most=most, seed=seed)
    if not twice:
        raise InputError(f"nothing to probe: this memory ({memory.scope}) has no name, number or rare word in exactly two messages")
    once = choose(events, most=most, seed=seed, pairs=False) if _derives(memory) else []
    asked = 0

    def tick() -> None:
        nonlocal asked
        asked += 1
        if progress:
            progress(asked, len(twice) + len(once))

    raw = ask(memory, twice, tick)
    derived = ask(memory, once, tick)
    report: dict[str, Any] = {
        "messages": len(events), "probes": len(raw), **_figures(raw),
        "by_kind": {kind: _figures([one for one in raw if one.probe.kind == kind])
                    for kind in sorted({one.probe.kind for one in raw})},
        "derived": {"probes": len(derived), **_figures(derived)} if derived else None,
    }  # fmt: skip
    if misses:
        report["misses"] = [one.probe._asdict() for one in raw if not one.recovered]
    return report


def of_store(memory: Memory, scope: ScopedMemory, **options: Any) -> dict[str, Any]:
    """Return the report on one owner of an open store; options are those of `measure`."""
    return measure(scope, **options) | {"by_scope": None, **_about(memory), "seed": options.get("seed", 1)}


def of_data(
    path: Path, *, embedder: Embedder | None = None, format: str | None = None, most: int = 200, seed: int = 1, misses: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Return the report on a data set, each conversation of which becomes a memory; those with nothing to probe are passed over.

    Args:
        path: A data set in one of the formats of `sets`; its questions are not used.
        embedder: Embedder of the memories.
        format: The data set's format; found out otherwise.
        most: Probes a conversation at most.
        seed: Of the samples.
        misses: Add the probes whose entity did not come back.
        progress: Called with (conversations done, conversations in all).

    Raises:
        ImportFormatError: The file cannot be used.
        InputError: No conversation has anything to probe.
    """
    data = load(path, format)
    cached = None if embedder is None else CachedEmbedder(embedder)
    options: dict[str, Any] = {} if cached is None else {"embedder": cached}
    scopes: dict[str, dict[str, Any]] = {}
    about: dict[str, str] = {}
    for done, conversation in enumerate(data.conversations, start=1):
        with Memory.open(":memory:", **options) as memory:
            scope = memory.scope(user="bench")
            ingest(scope, conversation.events)
            memory.settle()
            about = _about(memory)
            if choose(list(scope.events()), most=1, seed=seed):
                scopes[conversation.id] = measure(scope, most=most, seed=seed, misses=misses)
        if progress:
            progress(done, len(data.conversations))
    if not scopes:
        raise InputError(f"nothing to probe: {path} has no conversation with a name, number or rare word in exactly two messages")
    asked = sum(one["probes"] for one in scopes.values())
    back = sum(one["recovered"] for one in scopes.values())
    return {
        "name": data.name, "messages": sum(one["messages"] for one in scopes.values()), "probes": asked, **_rate(back, asked),
        "by_scope": scopes, "data_sha256": data.sha256, **about, "seed": seed,
    }


def _derives(memory: ScopedMemory) -> bool:
    """Return whether the memory keeps notes or facts. A profile alone does not mean to hold every rare thing."""
    return any(record.kind != "profile" for record in memory.records())


def _about(memory: Memory) -> dict[str, str]:
    known = memory.describe()
    return {"embedder": known["embedder"], "settings_sha256": known["settings_sha256"], "version": tierkeep.__version__}


def _gives_back(item: EvidenceItem, probe: Probe) -> bool:
    if probe.other and item.id == probe.other:
        return True
    is_record = item.sources != (item.id,)
    return is_record and not {probe.turn, probe.other}.isdisjoint(item.sources) and probe.entity.casefold() in item.text.casefold()


def _mentions(text: str) -> Iterable[tuple[_Mention, str]]:
    """Yield the names, numbers and rare-looking words of a text, each with its index term."""
    for match in _TOKEN.finditer(text):
        token = match.group()
        terms = analyze(token)
        if not terms:
            continue
        term = max(terms, key=len)
        if token[0].isdigit():
            if len(token) > 1:
                yield _Mention(token, "number", match.start()), term
        elif token[0].isupper() and not _SENTENCE_START.search(text[max(0, match.start() - 8) : match.start()]):
            yield _Mention(token, "name", match.start()), term
        elif (len(token) >= _LONG or not token[0].isascii()) and not token.endswith(_NO_NOUN):
            yield _Mention(token, "word", match.start()), term


def _masked(text: str, mention: _Mention, term: str) -> str:
    """Return the message around the entity, with every form of the entity blanked; "" when too little is left to ask with."""
    begin = max(0, mention.start - _CONTEXT // 2)
    around = text[begin : begin + _CONTEXT]
    question = _TOKEN.sub(lambda match: _MASK if term in analyze(match.group()) else match.group(), around)
    return question if len(set(analyze(question))) >= _FEWEST_WORDS else ""


def _figures(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    return _rate(Counter(one.recovered for one in outcomes)[True], len(outcomes))


def _rate(recovered: int, asked: int) -> dict[str, Any]:
    low, high = wilson(recovered, asked)
    return {"recovered": recovered, "recovery": round(recovered / asked, 4) if asked else 0.0, "interval": [round(low, 4), round(high, 4)]}
