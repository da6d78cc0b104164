"""What a consensus holds back of poison and of what is benign, by poison share and number of hits (guard spec 9.4, S2.9).

Sets are drawn at random from one corpus and not retrieved, so they are more diverse than real retrieval; each memory has an origin of its
own, which is the worst case for votes by origin. The lexicon of `guard.amemguard` was written with these corpora at hand: what it finds in
them is in-sample.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tierkeep.allowance import Allowance
from tierkeep.clock import SystemClock
from tierkeep.errors import InputError
from tierkeep.evaluate.resampling import wilson
from tierkeep.ledger.sqlite import SqliteLedger
from tierkeep.protocols import Consensus, View
from tierkeep.records import Authority, Event, Hit, Origin, Query, Scope

__all__ = ["Corpus", "Row", "corpora", "table"]

_SCOPE = Scope(user="measured")
_AT = "2026-01-01T00:00:00+00:00"


class Corpus(NamedTuple):
    """Memories about one field.

    Attributes:
        name: Of the corpus and, where it has some, of the wording of its poison.
        benign: Texts that nobody attacks with.
        poison: Texts that somebody does; none for a corpus that shows false alarms only.
    """

    name: str
    benign: tuple[str, ...]
    poison: tuple[str, ...] = ()


class Row(NamedTuple):
    """One line of the table.

    Attributes:
        corpus: Name of the corpus.
        k: Memories in a set.
        poisoned: How many of them are poison.
        draws: Sets that were drawn.
        abstained: Sets in which it abstained.
        poison: Poisonous memories shown to it.
        caught: Those that it held back.
        caught_interval: Wilson 95 % interval of the share.
        benign: Benign memories shown to it.
        lost: Those that it held back.
        lost_interval: Wilson 95 % interval of the share.
    """

    corpus: str
    k: int
    poisoned: int
    draws: int
    abstained: int
    poison: int
    caught: int
    caught_interval: tuple[float, float]
    benign: int
    lost: int
    lost_interval: tuple[float, float]


def corpora(folder: str | Path) -> list[Corpus]:
    """Return the corpora of a folder of guard data: stress domains in two wordings, experiences, facts; those that are there.

    Raises:
        InputError: The folder has none of them, or one that is not as its authors publish it.
    """
    found = [corpus for pattern, read in _READERS for path in sorted(Path(folder).glob(pattern)) for corpus in _read(path, read)]
    if not found:
        raise InputError(f"{folder} has none of {', '.join(pattern for pattern, _ in _READERS)}", field="data")
    return found


def _read(path: Path, read: Callable[[Any], Iterator[Corpus]]) -> list[Corpus]:
    try:
        return list(read(json.loads(path.read_text("utf-8"))))
    except (KeyError, TypeError, AttributeError, ValueError):
        raise InputError(f"{path.name} is not as its authors publish it", field="data") from None


def _stress(data: Any) -> Iterator[Corpus]:
    for domain, parts in data.items():
        benign = tuple(f"{one['key']}\n{one['content']}" for one in parts["benign"])
        for wording in ("overt", "stealthy"):
            yield Corpus(f"{domain} {wording}", benign, tuple(f"{one['key']}\n{one[wording]}" for one in parts["poison"]))


def _experiences(data: Any) -> Iterator[Corpus]:
    texts = {kind: tuple(f"{one['req']}\n{one['resp']}" for one in data[f"{kind}_experiences"]) for kind in ("benign", "poisoned")}
    yield Corpus("experiences", texts["benign"], texts["poisoned"])


def _facts(data: Any) -> Iterator[Corpus]:
    yield Corpus("facts", tuple(fact for question in data for fact in question["facts"]))


_READERS: tuple[tuple[str, Callable[[Any], Iterator[Corpus]]], ...] = (
    ("stress_domains*.json", _stress), ("memorygraft*.json", _experiences), ("strategyqa*.json", _facts),
)  # fmt: skip


def table(
    consensus: Consensus, corpora: Sequence[Corpus], *, ks: Sequence[int] = (2, 3, 4, 5, 8, 10),
    shares: Sequence[float] = (0.0, 0.25, 0.5, 0.75, 1.0), draws: int = 60, seed: int = 0, ask: str = "What should be done here?",
) -> list[Row]:  # fmt: skip
    """Return what a consensus does with random sets, one row for each corpus, size and number of poisonous memories that exists.

    Args:
        consensus: To be measured.
        corpora: Where the sets are drawn from.
        ks: Sizes of the sets.
        shares: Of poison; rounded to whole memories, each number once.
        draws: Sets for each row.
        seed: Of the draws.
        ask: The question that the sets are retrieved for.
    """
    ledger = SqliteLedger(":memory:", clock=SystemClock())
    try:
        view = ledger.view(_SCOPE)
        return list(_rows(consensus, corpora, ks, shares, draws, seed, Query(text=ask, scope=_SCOPE, now=_AT), view))
    finally:
        ledger.close()


def _rows(
    consensus: Consensus, corpora: Sequence[Corpus], ks: Sequence[int], shares: Sequence[float], draws: int, seed: int, query: Query,
    view: View,
) -> Iterator[Row]:  # fmt: skip
    for corpus in corpora:
        for k in ks:
            for poisoned in dict.fromkeys(round(share * k) for share in shares):
                if poisoned <= len(corpus.poison) and k - poisoned <= len(corpus.benign):
                    chance = random.Random(f"{seed}|{corpus.name}|{k}|{poisoned}")  # noqa: S311 - draws, not secrets
                    yield _row(consensus, corpus, k, poisoned, draws, chance, query, view)


def _row(
    consensus: Consensus, corpus: Corpus, k: int, poisoned: int, draws: int, chance: random.Random, query: Query, view: View
) -> Row:
    abstained = caught = lost = 0
    for _ in range(draws):
        texts = [(text, True) for text in chance.sample(corpus.poison, poisoned)]
        texts += [(text, False) for text in chance.sample(corpus.benign, k - poisoned)]
        chance.shuffle(texts)
        hits = [_hit(text, place) for place, (text, _) in enumerate(texts)]
        agreement = consensus.agree(hits, query, view, Allowance(SystemClock()))
        bad = {hit.item.id for hit, (_, poison) in zip(hits, texts, strict=True) if poison}
        held = {hit.item.id for hit, _, _ in agreement.dropped}
        abstained, caught, lost = abstained + agreement.abstained, caught + len(held & bad), lost + len(held - bad)
    poison, benign = draws * poisoned, draws * (k - poisoned)
    intervals = [wilson(some, of) for some, of in ((caught, poison), (lost, benign))]
    return Row(corpus.name, k, poisoned, draws, abstained, poison, caught, intervals[0], benign, lost, intervals[1])


def _hit(text: str, place: int) -> Hit:
    event = Event(
        id=f"e{place}", seq=place + 1, scope=_SCOPE.model_copy(update={"session": "measured"}), position=place, kind="message", role="tool",
        speaker="", text=text, at=_AT, ts=0.0, origin=Origin.web(f"https://site{place}.example/page"), authority=Authority.DATA,
    )  # fmt: skip
    return Hit(event, 1.0 / (place + 1))
