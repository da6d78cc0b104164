"""When vectors are made of events: on a thread of their own, with the write, or only when `maintain` is called.

An encoder takes milliseconds for a message and an import brings thousands, so by default no write waits for it. What has no vector yet is
found by its words. The ledger keeps, for each embedder, how far it came; another embedder begins anew, beside the vectors of the one
before, and never reads them.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tierkeep.allowance import Clock, Listener, Progress
from tierkeep.background import Background, WhileOpen
from tierkeep.deriving import Derive
from tierkeep.errors import ModelError
from tierkeep.protocols import Embedder, Ledger, VectorIndex
from tierkeep.records import Authority, Event, MaintainReport, Scope
from tierkeep.sentences import PLAIN, sentences
from tierkeep.settings import EmbeddingSettings

__all__ = ["Indexing", "parts_of"]

_LOG = logging.getLogger(__name__)

class Indexing:
    """Makes the vectors of one memory, one scope at a time.

    Args:
        ledger: Where events are, and vectors go.
        embedder: Makes them, and never anything that is no vector (`tierkeep.models.checked`).
        settings: How texts are cut, and how many go at once.
        clock: For deadlines.
        when: "with_write", "background" or "on_request".
        vectors: An index that is brought level afterwards, so that no question waits for it; None for one that needs no such thing.

    Attributes:
        refused: Of how many events the embedder would make no vector although it made those of others: they are found by their words.
    """

    def __init__(
        self, ledger: Ledger, embedder: Embedder, settings: EmbeddingSettings, clock: Clock, when: Derive,
        vectors: VectorIndex | None = None,
    ) -> None:  # fmt: skip
        self._vectors = vectors
        self._ledger = ledger
        self._embedder = embedder
        self._settings = settings
        self._clock = clock
        self._when = when
        self._identity: str | None = None
        self.refused = 0
        self._background = Background("tierkeep-index", self.run, gather_s=settings.gather_s)

    @property
    def failed(self) -> int:
        """How often the background, or a write, could not make its vectors."""
        return self._background.failed

    def notice(self, scope: Scope) -> None:
        """Take note that a scope has new events. Vectors that cannot be made are not the write's failure."""
        if self._when == "background":
            self._background.enqueue(scope)
        elif self._when == "with_write":
            self._background.at_once(lambda: self.run(scope))

    def catch_up(self, scope: Scope) -> None:
        """Have what is missing made in the background: a store may have been written without this embedder."""
        if self._when == "background":
            view = self._ledger.view(scope)
            # Who asks a question does not wait for a server that has to say first which vectors it makes.
            if self._identity is None or view.embedded(self._identity) < view.last_seq:
                self._background.enqueue(scope)

    def run(self, scope: Scope, *, seconds: float | None = None, listener: Listener | None = None, tidy: bool = False) -> MaintainReport:
        """Make now the vectors that are missing in a scope; return of how many events they were made, and how many still wait.

        Args:
            scope: Whose memory.
            seconds: Time after which the rest is left for later.
            listener: Is told how far it is.
            tidy: Drop the vectors of other embedders once none of this one's is missing.

        Raises:
            ModelError: The embedder failed; what was made before stays.
            StorageError: The ledger cannot be read or written.
        """
        scope = scope.model_copy(update={"session": None})
        allowance = WhileOpen(self._clock, self._background.closed, seconds, listener)
        with self._background.turn(seconds) as mine:
            self._identity = self._embedder.identity
            total = self.missing(scope) if listener is not None else 0
            done = 0
            while mine and not allowance.expired() and (read := self._batch(scope)):
                done += read
                allowance.tell(Progress("index", done=done, total=max(total, done)))
            if mine and self._vectors is not None and not allowance.expired():
                self._vectors.level(self._ledger.view(scope), self._embedder.identity, allowance)
        missing = self.missing(scope)
        if tidy and not missing:
            with self._ledger.transaction(scope) as transaction:
                transaction.drop_vectors(self._embedder.identity)
        return MaintainReport(vectors=done, vectors_missing=missing)

    def missing(self, scope: Scope) -> int:
        """Return the number of events that this embedder has not come to."""
        view = self._ledger.view(scope)
        after = view.embedded(self._embedder.identity)
        return sum(len(page.seq) for page in view.term_pages(after)) if view.last_seq > after else 0

    def _batch(self, scope: Scope) -> int:
        """Read the next events and store their vectors; return how many were read. The embedder works outside of any transaction."""
        view = self._ledger.view(scope)
        events = list(view.scan(after_seq=view.embedded(self._embedder.identity), limit=self._settings.batch))
        if not events:
            return 0
        rows = self._made([event for event in events if event.authority != Authority.QUARANTINED and event.text.strip()])
        with self._ledger.transaction(scope) as transaction:
            transaction.put_vectors(self._embedder.identity, self._embedder.dimension, rows, events[-1].seq)
        return len(events)

    def _made(self, events: Sequence[Event]) -> list[tuple[int, NDArray[np.float32]]]:
        parts = [parts_of(event, self._settings) for event in events]
        if not parts:
            return []
        made = self._embedded(parts)
        refused = sum(own is None for own in made)
        if refused == len(made) > 1:
            raise ModelError(f"the embedder makes a vector of a plain sentence, and of none of {refused} texts")
        if refused:
            level = logging.DEBUG if self.refused else logging.WARNING
            _LOG.log(level, "the embedder refuses texts and makes vectors of others; those are found by their words only")
            self.refused += refused
        # Zeros are like nothing. Without a vector an event still is found by its words, and those behind it are not held up.
        telling = [(event.seq, own[own.any(axis=1)]) for event, own in zip(events, made, strict=True) if own is not None]
        return [(seq, own) for seq, own in telling if len(own)]

    def _embedded(self, parts: Sequence[Sequence[str]], *, again: bool = False) -> list[NDArray[np.float32] | None]:
        """Return the vectors of each event's parts; None for an event that the embedder refuses while it makes those of others.

        A filter of a provider, or a defect, may refuse one text for ever, and with it every batch that the text is in.

        Args:
            parts: Of each event.
            again: Whether this is one event that was tried alone before.

        Raises:
            ModelError: It makes no vector of a plain sentence either.
        """
        try:
            made = self._embedder.embed([part for own in parts for part in own])
        except ModelError:
            self._embedder.embed([PLAIN])
            if again:
                return [None]
            half = len(parts) // 2
            return self._embedded(parts[:half]) + self._embedded(parts[half:]) if half else self._embedded(parts, again=True)
        ends = np.cumsum([len(own) for own in parts])
        return [made[end - len(own) : end] for own, end in zip(parts, ends.tolist(), strict=True)]

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the background has nothing more to do; return whether it came to that, in time and before `close`."""
        return self._background.wait(timeout_s)

    def close(self) -> None:
        """Stop the background after the batch it is at; the ledger knows how far it came."""
        self._background.close()


def parts_of(event: Event, settings: EmbeddingSettings) -> list[str]:
    """Return what is embedded of an event: the speaker and the text, a long text in several parts that end where sentences do.

    Encoders cut what is longer than their window without a word, so what stands at the end of a long message would never be found.
    """
    said = f"{event.speaker}: " if event.speaker else ""
    if _weight(event.text) <= settings.part_bytes:
        return [said + event.text]
    parts: list[str] = []
    current = ""
    for sentence in sentences(event.text) or [event.text]:  # a run of nothing but exclamation marks has no sentence
        for piece in _pieces(sentence, settings.part_bytes):
            if current and _weight(current) + _weight(piece) > settings.part_bytes:
                parts.append(current)
                current = ""
                if len(parts) == settings.most_parts:
                    return [said + part for part in parts]
            current = f"{current} {piece}" if current else piece
    return [said + part for part in [*parts, current] if part]


def _weight(text: str) -> int:
    """Return the bytes of a text: Latin letters are one and Han characters three, near what each costs an encoder's window."""
    return len(text.encode("utf-8", "replace"))


def _pieces(sentence: str, most: int) -> list[str]:
    """Return a sentence, cut into runs of characters when it is longer than a part."""
    if _weight(sentence) <= most:
        return [sentence]
    step = max(1, most // 4) if not sentence.isascii() else most
    return [sentence[at : at + step] for at in range(0, len(sentence), step)]
