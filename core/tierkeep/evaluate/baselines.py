"""The methods that everybody compares with, on the same events, budgets, rendering and token counter (benchmarks spec, 2).

None is tuned. Hits are packed in rank order until the next one does not fit; what was packed is shown in reading order. BM25 is that of the
library bm25s (Lucene's variant, k1 1.5, b 0.75). The unit is the plain message, "speaker: text".
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tierkeep import rendering
from tierkeep.errors import InputError, MissingExtraError
from tierkeep.evaluate.caching import CachedEmbedder
from tierkeep.evaluate.measures import Found, Pack
from tierkeep.protocols import TokenCounter
from tierkeep.records import Event, EvidenceItem
from tierkeep.terms import analyze

_WORD = re.compile(r"\w+")
#: Letters of scripts without spaces: cut into characters and pairs of them, as `terms.analyze` does.
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]")
#: The constant of reciprocal rank fusion (Cormack et al., SIGIR 2009).
_RRF = 60
Ranking = NDArray[np.intp]
Tokenize = Callable[[str], Sequence[str]]


def unit(event: Event) -> str:
    """Return the text that every baseline indexes."""
    return f"{event.speaker}: {event.text}" if event.speaker else event.text


@lru_cache(maxsize=65_536)
def plain_words(text: str) -> tuple[str, ...]:
    """Return the folded words of a text as they stand, stop words included."""
    found: list[str] = []
    for word in _WORD.findall(unicodedata.normalize("NFKC", text).casefold()):
        found += analyze(word) if _UNSPACED.search(word) else [word]
    return tuple(found)


@lru_cache(maxsize=65_536)
def stems(text: str) -> tuple[str, ...]:
    """Return the index terms of a text: the analysis that tierkeep's own index uses, so that only the ranking differs."""
    return tuple(analyze(text))


class Ranker(Protocol):
    """Ranks events for a question."""

    def fit(self, events: Sequence[Event]) -> None:
        """Index the events, and forget those of before."""
        ...

    def rank(self, question: str) -> Ranking:
        """Return places of events, best first; ties in the order of the events. What matches nothing may be left out."""
        ...


class Recency:
    """The newest first, whatever is asked."""

    def fit(self, events: Sequence[Event]) -> None:
        """Count them."""
        self._count = len(events)

    def rank(self, question: str) -> Ranking:
        """Return all of them, last one first."""
        return np.arange(self._count - 1, -1, -1)


class Lexical:
    """BM25 over messages.

    Args:
        tokenize: What a text is cut into.

    Raises:
        MissingExtraError: bm25s is not installed.
    """

    def __init__(self, tokenize: Tokenize) -> None:
        """Look for the library."""
        self._tokenize = tokenize
        self._library = _bm25s()

    def fit(self, events: Sequence[Event]) -> None:
        """Index the events."""
        self.fit_tokens([self._tokenize(unit(event)) for event in events])

    def fit_tokens(self, documents: Sequence[Sequence[str]]) -> None:
        """Index documents that are cut already."""
        self._index = None
        self._known: set[str] = {token for document in documents for token in document}
        if self._known:
            self._index = self._library.BM25(k1=1.5, b=0.75, method="lucene")
            self._index.index([list(document) for document in documents], show_progress=False)

    def rank(self, question: str) -> Ranking:
        """Return what shares a token with the question."""
        asked = [token for token in self._tokenize(question) if token in self._known]
        if self._index is None or not asked:
            return np.zeros(0, np.intp)
        return best_first(self._index.get_scores(asked), above=0.0)


class Dense:
    """Cosine of vectors: exact search.

    Args:
        embedder: What embeds.
    """

    def __init__(self, embedder: CachedEmbedder) -> None:
        """Keep the embedder."""
        self._embedder = embedder

    def fit(self, events: Sequence[Event]) -> None:
        """Embed the events; those that were embedded before cost nothing."""
        self._vectors = self._embedder.embed([unit(event) for event in events])

    def rank(self, question: str) -> Ranking:
        """Return all of them."""
        return best_first(self._vectors @ self._embedder.embed_queries([question])[0])


class Fused:
    """Reciprocal rank fusion of two rankers.

    Args:
        rankers: What is fused; they are fitted here.
    """

    def __init__(self, *rankers: Ranker) -> None:
        """Keep the rankers."""
        self._rankers = rankers

    def fit(self, events: Sequence[Event]) -> None:
        """Fit them."""
        self._count = len(events)
        for ranker in self._rankers:
            ranker.fit(events)

    def rank(self, question: str) -> Ranking:
        """Return what any of them found."""
        scores = np.zeros(self._count)
        for ranker in self._rankers:
            places = ranker.rank(question)
            scores[places] += 1 / (_RRF + 1 + np.arange(len(places)))
        return best_first(scores, above=0.0)


class Sessions:
    """BM25 over whole sessions; a session's messages are given out in their order."""

    def __init__(self) -> None:
        """Look for the library."""
        self._lexical = Lexical(stems)

    def fit(self, events: Sequence[Event]) -> None:
        """Join the messages of each session."""
        places: dict[str, list[int]] = {}
        for place, event in enumerate(events):
            places.setdefault(event.session, []).append(place)
        self._places = [np.array(own, np.intp) for own in places.values()]
        self._lexical.fit_tokens([[stem for place in own for stem in stems(unit(events[place]))] for own in self._places])

    def rank(self, question: str) -> Ranking:
        """Return the messages of the best session, then those of the next."""
        ranked = [self._places[place] for place in self._lexical.rank(question)]
        return np.concatenate(ranked) if ranked else np.zeros(0, np.intp)


def best_first(scores: NDArray[Any], above: float | None = None) -> Ranking:
    """Return the places of scores, best first, ties in order; only those above a score when one is given."""
    order: Ranking = np.argsort(-scores, kind="stable")
    return order if above is None else order[scores[order] > above]


#: Name -> (what it is, whether it needs an embedder).
NAMES: Mapping[str, tuple[str, bool]] = {
    "recency": ("the newest messages", False),
    "bm25": ("BM25 of plain words", False),
    "bm25+stem": ("BM25 of stems", False),
    "dense": ("cosine of the embedder's vectors", True),
    "rrf": ("reciprocal rank fusion of bm25+stem and dense", True),
    "session-bm25": ("BM25 of whole sessions, stems", False),
}


def chosen(names: Sequence[str], embedder: CachedEmbedder | None) -> list[str]:
    """Return the baselines that were asked for, in the order of `NAMES`.

    Args:
        names: Names; "all" stands for those that can be had, "none" for none.
        embedder: What the dense ones would use.

    Raises:
        InputError: There is no such baseline, or it needs an embedder and there is none.
    """
    wanted = {name for name in names if name != "none"}
    if unknown := sorted(wanted - set(NAMES) - {"all"}):
        raise InputError(f"there is no baseline {unknown[0]!r}; there are: {', '.join(NAMES)}, all and none", field="baselines")
    for name in sorted(wanted - {"all"}):
        if NAMES[name][1] and embedder is None:
            raise InputError(f"the baseline {name!r} needs an embedder: name one with --embedder", field="baselines")
    everything = "all" in wanted
    return [name for name, (_, dense) in NAMES.items() if name in wanted or (everything and not (dense and embedder is None))]


def ranker(name: str, embedder: CachedEmbedder | None) -> Ranker:
    """Return a baseline's ranker.

    Raises:
        InputError: It needs an embedder and there is none.
        MissingExtraError: bm25s is not installed.
    """
    if name == "recency":
        return Recency()
    if name == "session-bm25":
        return Sessions()
    if name in ("bm25", "bm25+stem"):
        return Lexical(plain_words if name == "bm25" else stems)
    if embedder is None:
        raise InputError(f"the baseline {name!r} needs an embedder: name one with --embedder", field="baselines")
    return Dense(embedder) if name == "dense" else Fused(Lexical(stems), Dense(embedder))


class Packer:
    """Renders rankings of events into token budgets: in rank order until the next one does not fit, shown in reading order.

    Args:
        counter: How tokens are counted.
    """

    def __init__(self, counter: TokenCounter) -> None:
        """Begin without events."""
        self._counter = counter
        self._cost = lru_cache(maxsize=65_536)(counter.count)

    def put(self, events: Sequence[Event]) -> None:
        """Make these the events whose places are packed."""
        items = [_item(event, place) for place, event in enumerate(events)]
        self._ids = [event.id for event in events]
        self._lines = [rendering.line(item) for item in items]
        self._heads = [rendering.heading(item) for item in items]

    def pack(self, places: Sequence[int], budget: int) -> Pack:
        """Return the longest beginning of a ranking that fits into the budget when it is rendered.

        Args:
            places: Of the events, best first.
            budget: Tokens.
        """
        count, room, headings = 0, budget, set[str]()
        for place in places:
            head = self._heads[place]
            room -= self._cost(f"{self._lines[place]}\n") + (0 if head in headings else self._cost(f"{head}\n"))
            if room < 0:
                break
            headings.add(head)
            count += 1
        text, tokens = self._rendered(places[:count])
        while tokens > budget and count:  # the frame comes on top, and the parts do not add up to the whole
            count -= 1
            text, tokens = self._rendered(places[:count])
        ids = tuple(self._ids[place] for place in places[:count])
        return Pack(frozenset(ids), ids, text, tokens)

    def _rendered(self, places: Sequence[int]) -> tuple[str, int]:
        """Return what `rendering.block` makes of the events in reading order, from their lines, which are made once."""
        lines: list[str] = []
        head = ""
        for place in sorted(places):
            if self._heads[place] != head:
                head = self._heads[place]
                lines.append(head)
            lines.append(self._lines[place])
        text = rendering.fence(lines) if lines else ""
        return text, self._counter.count(text) if text else 0


class Shelf:
    """The events that a question may see, and the baselines that rank them.

    Args:
        names: Baselines, as `chosen` returns them.
        budgets: Tokens of evidence.
        counter: How tokens are counted.
        embedder: What the dense ones use.
    """

    def __init__(self, names: Sequence[str], budgets: Sequence[int], counter: TokenCounter, embedder: CachedEmbedder | None) -> None:
        """Make the rankers."""
        self._rankers = {name: ranker(name, embedder) for name in names}
        self._budgets = budgets
        self._packer = Packer(counter)

    def put(self, events: Sequence[Event]) -> None:
        """Make these the events that are ranked."""
        self._events = list(events)
        self._packer.put(self._events)
        for one in self._rankers.values():
            one.fit(self._events)

    def ask(self, question: str) -> dict[str, Found]:
        """Return what each baseline finds."""
        found: dict[str, Found] = {}
        for name, one in self._rankers.items():
            places = [int(place) for place in one.rank(question)]
            ids = tuple(self._events[place].id for place in places)
            found[name] = Found(tuple(self._packer.pack(places, budget) for budget in self._budgets), ids)
        return found


def _item(event: Event, place: int) -> EvidenceItem:
    return EvidenceItem(
        id=event.id, sources=(event.id,), session=event.session, text=event.text, at=event.at, speaker=event.speaker,
        origin=event.origin.source, authority=event.authority, order=place, kind=event.kind,
    )  # fmt: skip


def _bm25s() -> Any:
    try:
        import bm25s  # type: ignore[import-untyped]
    except ModuleNotFoundError as error:
        if error.name != "bm25s":
            raise
        raise MissingExtraError("The BM25 baselines", extra="bench") from error
    return bm25s
