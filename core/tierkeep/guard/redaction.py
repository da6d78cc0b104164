"""What must not be stored or handed on: keys, passwords, and numbers of persons (guard spec T5).

Secrets are replaced before anything is stored. What identifies a person is kept by default, because a memory of one's own must be able to
know a phone number; but an embedder, which may be somebody else's server, never gets it, and no log of tierkeep holds any content at all.
Nobody's text is refused for what is in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tierkeep.guard import personal_data as personal
from tierkeep.guard.encoded import hidden
from tierkeep.guard.secret_formats import names_secret, passwords, secrets
from tierkeep.protocols import Embedder, QueryEmbedder
from tierkeep.records import PARENTS, Authority, EventDraft, Scope
from tierkeep.settings import Handling, RedactionSettings

#: Key of `meta` under which an event keeps the names of what was found in it; never what it was.
REDACTED = "tierkeep.redacted"
#: Deepest meta that is walked; what comes through the intake is far below.
_DEEPEST = 64

_Detector = Callable[[str], Iterator[tuple[int, int, str]]]


class Finding(NamedTuple):
    """Something in a text that is not to be handed on.

    Attributes:
        start: First character.
        end: Behind the last.
        name: What it is: "aws key", "password", "phone", …
        group: The field of `RedactionSettings` that says what happens to it.
    """

    start: int
    end: int
    name: str
    group: str

    @property
    def mark(self) -> str:
        """What stands in its place."""
        return f"[secret: {self.name}]" if self.group in ("secrets", "passwords") else f"[{self.name}]"


#: Which of two findings in one place holds: a connection string's password is no e-mail address.
_GROUPS = ("secrets", "passwords", "ibans", "cards", "national_ids", "emails", "phones")
_GROUP_OF = {
    personal.CARD: "cards", personal.IBAN: "ibans", personal.NATIONAL_ID: "national_ids", personal.PHONE: "phones",
    personal.EMAIL: "emails",
}  # fmt: skip


class Redactor:
    """Finds and replaces, as the settings say. Threads may share it.

    Args:
        settings: What happens to each class.
    """

    def __init__(self, settings: RedactionSettings | None = None) -> None:
        self._settings = RedactionSettings() if settings is None else settings
        self._personal: tuple[_Detector, ...] = (personal.personal_data,)
        if self._settings.libraries:
            from tierkeep.guard.personal_libraries import with_libraries

            self._personal += (with_libraries(self._settings.region),)

    def find(self, text: str) -> list[Finding]:
        """Return what is found, in text order and not overlapping. Linear in the text."""
        found = [Finding(*one, "secrets") for one in secrets(text)]
        found += [Finding(*one, "passwords") for one in passwords(text)]
        found += [Finding(*one, _GROUP_OF[one[2]]) for detector in self._personal for one in detector(text)]
        for run in hidden(text):
            if inner := next(secrets(run.text), None):
                found.append(Finding(run.start, run.end, inner[2], "secrets"))
        return _apart(found)

    def handling(self, finding: Finding) -> Handling:
        """Return what the settings say of a finding."""
        handling: Handling = getattr(self._settings, finding.group)
        return handling

    def redact(self, text: str) -> tuple[str, tuple[Finding, ...]]:
        """Return the text as it may be stored, and all that was found in it."""
        found = self.find(text)
        return _replaced(text, (one for one in found if self.handling(one) == "redact")), tuple(found)

    def mask(self, text: str) -> str:
        """Return the text with a mark for everything that was found, whatever the store keeps."""
        return _replaced(text, self.find(text))


def _apart(found: Iterable[Finding]) -> list[Finding]:
    """Return findings that do not overlap: the stronger class first, then the longer; what is left of the weaker is dropped."""
    kept: list[Finding] = []
    taken: list[tuple[int, int]] = []
    for group in _GROUPS:
        own = sorted((one for one in found if one.group == group), key=lambda one: (one.start, -one.end))
        free, at, floor = [], 0, -1
        for one in own:
            while at < len(taken) and taken[at][1] <= one.start:
                at += 1
            if one.start >= floor and not (at < len(taken) and taken[at][0] < one.end):
                free.append(one)
                floor = one.end
        kept += free
        taken = sorted([*taken, *((one.start, one.end) for one in free)])
    return sorted(kept)


def _replaced(text: str, found: Iterable[Finding]) -> str:
    pieces: list[str] = []
    at = 0
    for one in found:
        pieces += (text[at : one.start], one.mark)
        at = one.end
    return "".join([*pieces, text[at:]]) if pieces else text


class RedactionCheck:
    """Takes secrets out of texts, meta values and addresses of origin, for every origin.

    Args:
        redactor: What is found, and what happens to it.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor

    def admit(self, draft: EventDraft, scope: Scope) -> EventDraft:
        """Return the draft without what is to be redacted; quarantined when a class of it says so. Never refuses."""
        found: dict[Finding, None] = {}
        text = self._clean(draft.text, found)
        # Ids of events are compared letter by letter, stand for what was looked at before, and may be dozens.
        ours = {PARENTS: draft.meta[PARENTS]} if PARENTS in draft.meta else {}
        meta = {**self._value({key: value for key, value in draft.meta.items() if key not in ours}, found, 0), **ours}
        uri = self._clean(draft.origin.uri, found) if draft.origin.uri else ""
        changed: dict[str, Any] = {}
        if text != draft.text:
            changed["text"] = text
        if uri != draft.origin.uri:
            changed["origin"] = draft.origin.model_copy(update={"uri": uri})
        handled = [(one, self._redactor.handling(one)) for one in found]
        names = dict.fromkeys(one.name for one, handling in handled if handling != "keep")
        if names:
            changed["meta"] = {**meta, REDACTED: list(dict.fromkeys([*draft.meta.get(REDACTED, ()), *names]))}
        if any(handling == "quarantine" for _, handling in handled):
            changed["authority"] = Authority.QUARANTINED
        return draft.model_copy(update=changed) if changed else draft

    def _clean(self, text: str, found: dict[Finding, None]) -> str:
        cleaned, here = self._redactor.redact(text)
        found.update(dict.fromkeys(here))
        return cleaned

    def _value(self, value: Any, found: dict[Finding, None], depth: int, name: str = "") -> Any:
        """Return a JSON value without secrets; a text whose key says that it is one is replaced as a whole."""
        if isinstance(value, str):
            said = Finding(0, len(value), "password", "passwords")
            if value and names_secret(name) and self._redactor.handling(said) != "keep":
                found[said] = None
                return said.mark if self._redactor.handling(said) == "redact" else value
            return self._clean(value, found)
        if depth < _DEEPEST and isinstance(value, Mapping):
            own = {PARENTS} if depth == 0 else ()  # ids of events that are there: a mark in their place would name none
            return {key: inner if key in own else self._value(inner, found, depth + 1, str(key)) for key, inner in value.items()}
        if depth < _DEEPEST and isinstance(value, (list, tuple)):
            return [self._value(inner, found, depth + 1, name) for inner in value]
        return value


class RedactingEmbedder:
    """An embedder that is never given a secret, or a number or address of a person: it sees marks in their place.

    Its identity says so, because other texts are embedded: vectors that were made of the plain texts are made again, and the old ones are
    dropped by `maintain`.

    Args:
        embedder: Makes the vectors.
        redactor: What is masked.
    """

    def __init__(self, embedder: Embedder, redactor: Redactor) -> None:
        self._embedder = embedder
        self._redactor = redactor

    @property
    def identity(self) -> str:
        """The embedder's own, marked."""
        return self._embedder.identity + "+redacted"  # not formatted: what is no text must not become a name

    @property
    def dimension(self) -> int:
        """The embedder's own."""
        return self._embedder.dimension

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the vectors of the masked texts; shape and errors are the embedder's own."""
        return self._embedder.embed([self._redactor.mask(text) for text in texts])


class RedactingQueryEmbedder(RedactingEmbedder):
    """The same for an embedder that treats questions apart."""

    def __init__(self, embedder: QueryEmbedder, redactor: Redactor) -> None:
        super().__init__(embedder, redactor)
        self._questions = embedder

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the vectors of the masked questions."""
        return self._questions.embed_queries([self._redactor.mask(text) for text in texts])


def redacting(embedder: Embedder, settings: RedactionSettings) -> Embedder:
    """Return the embedder behind a mask, or itself where the settings say so."""
    if not settings.mask_embedder:
        return embedder
    redactor = Redactor(settings)
    # `isinstance` would ask for the identity, and with it perhaps a server that is down just now.
    if callable(getattr(embedder, "embed_queries", None)):
        return RedactingQueryEmbedder(embedder, redactor)  # type: ignore[arg-type]
    return RedactingEmbedder(embedder, redactor)
