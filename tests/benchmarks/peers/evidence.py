"""Evidence recall at one token budget on a labelled set: the peers' rankings, packed, rendered and counted as tierkeep's baselines are.

A peer ranks the messages ("speaker: text") of one owner, who is one conversation, by the vectors that it was handed. What is measured is
what `tierkeep bench recall` measures: the share of a question's evidence messages that stand whole in the text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from peers.data import Item, Question
from tierkeep import Memory
from tierkeep.evaluate import recall, resampling, results
from tierkeep.evaluate.baselines import Packer, unit
from tierkeep.evaluate.datasets import Conversation, Dataset, ingest, load
from tierkeep.evaluate.measures import Found, Row, measured
from tierkeep.models.embedding_cache import CachedEmbedder
from tierkeep.models.minilm import MiniLMEmbedder
from tierkeep.protocols import Embedder
from tierkeep.records import Event
from tierkeep.tokens import best_counter

BUDGET = 2_048
#: Messages that a peer is asked for: three times what the budget holds, so that the budget ends a ranking and not this.
K = 200


def embedder(work: Path) -> Embedder:
    """Return all-MiniLM-L6-v2; what it embedded is kept in a file in `work`."""
    work.mkdir(parents=True, exist_ok=True)
    return CachedEmbedder(MiniLMEmbedder(), work / "minilm.db")


def prepare(path: Path, work: Path, model: Embedder) -> Path:
    """Write what the workers need: messages, questions and their vectors; return the folder.

    Raises:
        ValueError: The data has questions that may see a part of their conversation only.
    """
    data = load(path)
    folder = work / f"{data.name}-{data.sha256[:12]}"
    if any(question.before is not None for one in data.conversations for question in one.questions):
        raise ValueError("the peers are asked when all is stored: take data without `before`, such as LoCoMo")
    items, questions = list[Item](), list[Question]()
    for one in data.conversations:
        items += [Item(f"{one.id}/{event.id}", one.id, unit(event)) for event in _events(one)]
        questions += [Question(one.id, question.question) for question in one.questions]
    folder.mkdir(parents=True, exist_ok=True)
    told = json.dumps({"items": items, "questions": questions})
    (folder / "told.json").write_text(told, encoding="utf-8")
    np.save(folder / "vectors.npy", model.embed([one.text for one in (*items, *questions)]))
    return folder


def ours(path: Path, model: Embedder) -> dict[str, Any]:
    """Return the report of tierkeep itself, with and without the embedder."""
    with_vectors = recall.run(path, budget=BUDGET, embedder=model, per_question=True, baselines=("dense", "rrf"))
    return {"with": with_vectors, "without": recall.run(path, budget=BUDGET)}


def of_peer(path: Path, ranked: Sequence[Sequence[str]], report: Mapping[str, Any]) -> dict[str, Any]:
    """Return a peer's figures, and tierkeep's minus its own on the same questions.

    Args:
        path: The data.
        ranked: Ids of messages for each question, best first, in the order of the data's conversations and questions.
        report: `ours(…)["with"]`.
    """
    rows = list(_rows(load(path), ranked))
    held = {(one["conversation"], one["id"]): one["recall"] for one in report["questions_detail"]}
    scored = [row for row in rows if row.scored]
    difference = resampling.interval(
        [float(held[row.conversation, row.question]) - float(row.recall[0] or 0.0) for row in scored], [row.conversation for row in scored]
    )
    return results.figures(rows, (BUDGET,)) | {"difference": difference.as_json()}


def _rows(data: Dataset, ranked: Sequence[Sequence[str]]) -> Sequence[Row]:
    rows, asked, packer = list[Row](), iter(ranked), Packer(best_counter())
    for one in data.conversations:
        events = _events(one)
        packer.put(events)
        places = {f"{one.id}/{event.id}": place for place, event in enumerate(events)}
        sessions = {event.id: event.session for event in one.events}
        for question in one.questions:
            found = [places[id] for id in next(asked)]
            pack = packer.pack(found, BUDGET)
            rows.append(measured(one.id, question, Found((pack,), tuple(events[place].id for place in found)), sessions))
    return rows


def _events(conversation: Conversation) -> list[Event]:
    """Return a conversation's messages as tierkeep stores them, so that all are rendered alike."""
    with Memory.open(":memory:") as memory:
        scope = memory.scope(user="bench")
        ingest(scope, conversation.events)
        return list(scope.events())
