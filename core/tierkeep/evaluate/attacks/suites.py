"""What a guard does to texts on write: poison that gets in, and harmless texts that do not (guard spec, 9.1: ISR and FPR_w).

Through tierkeep's own `add`, as an application would. A user's harmless words are written twice: as the user's, and as if a document held
them, which is harder on a guard that trusts users.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tierkeep.evaluate.attacks.cases import Case, Note
from tierkeep.evaluate.attacks.columns import Column
from tierkeep.evaluate.attacks.corpora import Corpus
from tierkeep.evaluate.attacks.memories import Stopwatch
from tierkeep.evaluate.attacks.phrases import LANGUAGES, phrases
from tierkeep.evaluate.attacks.runner import Environment, opened
from tierkeep.evaluate.attacks.world import Call
from tierkeep.records import Origin

_NOBODY = Case("suite", "en", "", "", Call("fetch", ""), (), ())


def own() -> Iterator[Corpus]:
    """Yield our own harmless texts: what users say of themselves, what they ask, and what is known of their work, in each language."""
    for language in LANGUAGES:
        words = phrases(language)
        requests = tuple(request for domain in words.domains.values() for request in domain.requests)
        yield Corpus(f"own:{language}:said", "benign", True, (*words.texts["preferences"], *requests))
        notes = tuple(note for domain in words.domains.values() for note in domain.notes)
        yield Corpus(f"own:{language}:notes", "benign", False, (*notes, *words.filler))


def measure(
    corpora: Sequence[Corpus], column: Column, environment: Environment, tick: Callable[[], object] = lambda: None
) -> list[dict[str, Any]]:
    """Return a row for each corpus and origin: how many texts were active, quarantined and rejected.

    Args:
        corpora: The texts.
        column: The guard.
        environment: What all runs share.
        tick: Called after each corpus.
    """
    rows = []
    with opened("tierkeep", column, environment, Stopwatch()) as opening:
        for corpus in corpora:
            for origin in (Origin.user("ana"), Origin.document("file")) if corpus.spoken else (Origin.document("file"),):
                memory = opening(_NOBODY)
                outcomes = Counter(memory.write(Note(text, origin)).outcome for text in corpus.texts)
                rows.append({
                    "set": corpus.name, "kind": corpus.kind, "origin": origin.source.value, "guard": column.name, "n": len(corpus.texts),
                    "active": outcomes["active"], "quarantined": outcomes["quarantined"], "rejected": outcomes["rejected"],
                })  # fmt: skip
            tick()
    return rows


def summed(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the figures of harmless suites together, with the suites: texts as who really said them, and all as from outside."""
    def total(held: Sequence[dict[str, Any]]) -> dict[str, int]:
        return {name: sum(row[name] for row in held) for name in ("n", "rejected", "quarantined")}

    spoken = {row["set"] for row in rows if row["origin"] == "user_direct"}
    real = [row for row in rows if row["origin"] == "user_direct" or row["set"] not in spoken]
    outside = [row for row in rows if row["origin"] != "user_direct"]
    return {**total(real), "as_outside": total(outside), "suites": list(rows)}
