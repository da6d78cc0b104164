from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tierkeep import Memory, rendering
from tierkeep.errors import InputError
from tierkeep.evaluate.baselines import NAMES, Dense, Fused, Lexical, Recency, Sessions, Shelf, best_first, chosen, plain_words, stems
from tierkeep.evaluate.caching import CachedEmbedder
from tierkeep.evaluate.datasets import ingest, load
from tierkeep.records import Event, EvidenceItem
from tierkeep.tokens import EstimateCounter

pytest.importorskip("bm25s")


@pytest.fixture
def events(chat_file: Path, memory: Memory) -> list[Event]:
    scope = memory.scope(user="bench")
    ingest(scope, load(chat_file).conversations[0].events)
    return list(scope.events())


def _ids(events: list[Event], places: Any) -> list[str]:
    return [events[int(place)].id for place in places]


def test_ties_keep_the_order_and_nothing_is_no_hit() -> None:
    assert best_first(np.array([1.0, 3.0, 3.0, 0.0])).tolist() == [1, 2, 0, 3]
    assert best_first(np.array([1.0, 3.0, 3.0, 0.0]), above=0.0).tolist() == [1, 2, 0]


def test_recency_knows_no_question(events: list[Event]) -> None:
    ranker = Recency()
    ranker.fit(events)
    assert _ids(events, ranker.rank("anything")) == ["5", "4", "3", "2", "1"]


def test_plain_words_and_stems_differ_by_their_forms(events: list[Event]) -> None:
    plain, stemmed = Lexical(plain_words), Lexical(stems)
    plain.fit(events)
    stemmed.fit(events)
    assert _ids(events, plain.rank("leaking pumps")) == []
    assert set(_ids(events, stemmed.rank("leaking pumps"))) == {"1", "2", "3"}
    assert _ids(events, plain.rank("Ilse")) == ["4"]


def test_scripts_without_spaces_are_cut() -> None:
    assert plain_words("王买船 today") == ("王", "买", "王买", "船", "买船", "today")


def test_a_question_without_a_known_word_finds_nothing(events: list[Event]) -> None:
    for ranker in (Lexical(stems), Sessions()):
        ranker.fit(events)
        assert ranker.rank("zeppelin").tolist() == []
        assert ranker.rank("?").tolist() == []


def test_events_without_a_word_are_no_error(events: list[Event]) -> None:
    silent = [event.model_copy(update={"text": "!!", "speaker": ""}) for event in events[:2]]
    ranker = Lexical(stems)
    ranker.fit(silent)
    assert ranker.rank("anything").tolist() == []


def test_sessions_come_whole_and_in_order(events: list[Event]) -> None:
    ranker = Sessions()
    ranker.fit(events)
    assert _ids(events, ranker.rank("Does Ilse have a catamaran?")) == ["3", "4"]


def test_dense_is_exact_and_fusion_keeps_what_either_found(events: list[Event], embedder: Any) -> None:
    cached = CachedEmbedder(embedder)
    dense = Dense(cached)
    dense.fit(events)
    assert _ids(events, dense.rank("Bo: My sister Ilse sails a catamaran."))[0] == "4"
    assert len(dense.rank("lighthouse")) == 5
    fused = Fused(Lexical(stems), dense)
    fused.fit(events)
    assert _ids(events, fused.rank("lighthouse"))[0] == "5"
    assert sorted(_ids(events, fused.rank("lighthouse"))) == ["1", "2", "3", "4", "5"]
    assert len(embedder.asked) == len(set(embedder.asked)), "no text is embedded twice"


def test_a_pack_is_the_longest_beginning_that_fits(events: list[Event]) -> None:
    counter = EstimateCounter()
    for budget in (30, 45, 60, 75, 90, 500):
        shelf = Shelf(["recency"], [budget], counter, None)
        shelf.put(events)
        (pack,) = shelf.ask("?")["recency"].packs
        assert pack.tokens == counter.count(pack.text) <= budget
        assert list(pack.ranked) == ["5", "4", "3", "2", "1"][: len(pack.ranked)]
        if len(pack.ranked) < 5:
            more = sorted((event for event in events if event.id in {*pack.ranked, str(5 - len(pack.ranked))}), key=lambda e: e.seq)
            assert counter.count(rendering.block([_item(event) for event in more])) > budget, "one more would have fitted"


def test_a_baseline_is_rendered_as_evidence_is(events: list[Event]) -> None:
    shelf = Shelf(["recency"], [500], EstimateCounter(), None)
    shelf.put(events)
    assert shelf.ask("?")["recency"].packs[0].text == rendering.block([_item(event) for event in events])


def _item(event: Event) -> EvidenceItem:
    return EvidenceItem(
        id=event.id, sources=(event.id,), text=event.text, at=event.at, speaker=event.speaker, origin=event.origin.source,
        authority=event.authority,
    )  # fmt: skip


def test_names(embedder: Any) -> None:
    assert chosen(["none"], None) == []
    assert chosen(["all"], None) == ["recency", "bm25", "bm25+stem", "session-bm25"]
    assert chosen(["all"], CachedEmbedder(embedder)) == list(NAMES)
    assert chosen(["bm25", "recency"], None) == ["recency", "bm25"]
    with pytest.raises(InputError, match="no baseline 'magic'; there are: recency"):
        chosen(["magic"], None)
    with pytest.raises(InputError, match="'rrf' needs an embedder"):
        chosen(["rrf"], None)


def test_the_cache_counts_and_tells_questions_apart(embedder: Any) -> None:
    cached = CachedEmbedder(embedder)
    first = cached.embed(["a boat", "a kite", "a boat"])
    assert (first.shape, cached.texts) == ((3, 64), 2)
    assert np.array_equal(cached.embed(["a boat"])[0], first[0])
    assert cached.embed([]).shape == (0, 64)
    assert np.array_equal(cached.embed_queries(["a kite"])[0], first[1]), "this embedder makes no difference"
    assert cached.texts == 2 and cached.query_seconds > 0


def test_an_embedder_of_questions_is_asked_as_one() -> None:
    class Prefixed:
        identity, dimension = "prefixed", 1

        def embed(self, texts: Any) -> np.ndarray:
            return np.ones((len(texts), 1), np.float32)

        def embed_queries(self, texts: Any) -> np.ndarray:
            return -np.ones((len(texts), 1), np.float32)

    cached = CachedEmbedder(Prefixed())
    assert cached.embed(["x"]).tolist() == [[1.0]]
    assert cached.embed_queries(["x"]).tolist() == [[-1.0]]
