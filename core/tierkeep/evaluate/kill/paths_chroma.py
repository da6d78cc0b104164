"""The path that keeps a copy of the vectors in an embedded chromadb: whatever becomes of the copy, what is found must be right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tierkeep.allowance import Allowance
from tierkeep.clock import SystemClock
from tierkeep.evaluate.kill.paths import Place, Step, WritePath, step
from tierkeep.evaluate.kill.paths_adding import added, forgotten, message
from tierkeep.evaluate.kill.states import State
from tierkeep.evaluate.kill.watching import ledger_at
from tierkeep.models.doubles import HashEmbedder
from tierkeep.records import Scope

__all__ = ["Chroma"]


class Chroma(WritePath):
    """Messages with vectors in chromadb, and forgetting, which empties its files."""

    name, about, postgres = "chroma", "add and forget with vectors in an embedded chromadb", False

    def options(self, place: Place) -> Mapping[str, Any]:
        """Return an embedder, and chromadb in a folder beside the store."""
        from tierkeep.ledger.chroma import ChromaVectors

        return {"embedder": HashEmbedder(32), "vectors": ChromaVectors(place.folder / "chroma")}

    def steps(self) -> Sequence[Step]:
        """Return messages, and two forgets among them."""
        add = [step(f"add {n}", added, message(2 * n), message(2 * n + 1), whole=False) for n in range(10)]
        return [*add[:5], step("forget", forgotten, 3, 4, whole=False), *add[5:], step("forget again", forgotten, 12, whole=False)]

    def state(self, place: Place, *, verify: bool = True) -> State:
        """Return what the store holds, and what the copy finds when it is asked, compared with the ledger's own vectors."""
        found = super().state(place, verify=verify)
        return {**found, "problems": [*found["problems"], *self._unlike(place)]} if verify else found

    def _unlike(self, place: Place) -> list[str]:
        """Return nothing when chromadb finds the events that the ledger has vectors of, as near as they are; else what differs."""
        embedder = HashEmbedder(32)
        question = embedder.embed(["the boat in the harbour of Lisbon"])[0]
        ledger = ledger_at(place.store)
        index = self.options(place)["vectors"]
        try:
            view = ledger.view(Scope(user="ana"))
            near = index.near(view, embedder.identity, question, Allowance(SystemClock()))
            wanted = {
                seq: round(float(row @ question), 4)
                for page in view.vectors(embedder.identity) for seq, row in zip(page.seqs.tolist(), page.matrix, strict=True)
            }  # fmt: skip
        finally:
            index.close()
            ledger.close()
        there = {int(seq): round(float(similarity), 4) for seq, similarity in zip(near.seqs, near.similarities, strict=True)}
        alike = there.keys() == wanted.keys() and np.allclose([there[seq] for seq in wanted], list(wanted.values()), atol=1e-3)
        return [] if alike else [f"chromadb finds {len(there)} events, and the ledger has vectors of {len(wanted)}"]
