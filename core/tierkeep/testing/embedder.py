"""The embedder contract: subclass it, build your embedder in `make_embedder`, and let pytest collect it.

An embedder that has `embed_queries` is held to the same for questions; for one that has not, those tests say nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tierkeep.protocols import Embedder, QueryEmbedder

_TEXTS = ["The tea kettle whistles.", "", "  ", "Ein Satz auf Deutsch.", "数字と漢字", "word " * 5_000, "line\nbreak\ttab", "🙂"]


class EmbedderContract:
    """What every `Embedder` must hold. Each test's docstring says where a failure usually comes from."""

    def make_embedder(self) -> Embedder:
        """Return the embedder under test."""
        raise NotImplementedError("override make_embedder() and return your embedder")

    def test_is_an_embedder(self) -> None:
        """Usual cause: `identity` or `dimension` is missing."""
        embedder = self.make_embedder()
        assert isinstance(embedder, Embedder)
        assert embedder.identity and embedder.dimension > 0

    def test_shape_and_type(self) -> None:
        """Usual cause: float64 rows, or one text returned as a flat vector."""
        embedder = self.make_embedder()
        vectors = embedder.embed(_TEXTS)
        assert vectors.shape == (len(_TEXTS), embedder.dimension)
        assert vectors.dtype == np.float32

    def test_no_text_gives_no_rows(self) -> None:
        """Usual cause: the model is called with an empty batch."""
        embedder = self.make_embedder()
        assert embedder.embed([]).shape == (0, embedder.dimension)

    def test_rows_are_finite_unit_vectors(self) -> None:
        """Usual cause: no normalisation, or a zero vector for an empty text divided by its length."""
        lengths = np.linalg.norm(self.make_embedder().embed(_TEXTS), axis=1)
        assert np.allclose(lengths, 1.0, atol=1e-3)

    def test_same_text_same_row(self) -> None:
        """Usual cause: dropout left on, or a row that depends on the batch around it (padding)."""
        embedder = self.make_embedder()
        together = embedder.embed(_TEXTS)
        alone = np.concatenate([embedder.embed([text]) for text in _TEXTS])
        assert np.allclose(together, alone, atol=1e-3)

    def test_order_is_kept(self) -> None:
        """Usual cause: sorting by length for speed, and not sorting back."""
        embedder = self.make_embedder()
        assert np.allclose(embedder.embed(_TEXTS[::-1]), embedder.embed(_TEXTS)[::-1], atol=1e-3)

    def test_identity_is_stable(self) -> None:
        """Usual cause: an address or a time inside the identity. It must be the same in the next process."""
        assert self.make_embedder().identity == self.make_embedder().identity

    def test_different_texts_differ(self) -> None:
        """Usual cause: a constant vector, as a stand-in would return."""
        first, second = self.make_embedder().embed(["The tea kettle whistles.", "Nobody bought the yellow tractor."])
        assert float(first @ second) < 0.99

    def test_questions_have_the_shape_of_texts(self) -> None:
        """Usual cause: a question embedded alone comes back as a flat vector, or not normalised."""
        for embedder in self._with_queries():
            vectors = embedder.embed_queries(_TEXTS)
            assert vectors.shape == (len(_TEXTS), embedder.dimension)
            assert vectors.dtype == np.float32
            assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-3)
            assert embedder.embed_queries([]).shape == (0, embedder.dimension)

    def test_same_question_same_row(self) -> None:
        """Usual cause: a row that depends on the batch around it, or an order that is not restored."""
        for embedder in self._with_queries():
            together = embedder.embed_queries(_TEXTS)
            alone = np.concatenate([embedder.embed_queries([text]) for text in _TEXTS])
            assert np.allclose(together, alone, atol=1e-3)

    def test_different_questions_differ(self) -> None:
        """Usual cause: the prompt alone is embedded."""
        for embedder in self._with_queries():
            first, second = embedder.embed_queries(["Who whistles?", "When did nobody buy the yellow tractor?"])
            assert float(first @ second) < 0.9999

    def _with_queries(self) -> Iterator[QueryEmbedder]:
        embedder = self.make_embedder()
        if isinstance(embedder, QueryEmbedder):
            yield embedder
