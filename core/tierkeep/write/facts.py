"""D-Mem's extraction: what two messages add to what is known (tiers spec, 3.2, step 1; without a model 3.8)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import Any, Protocol

from tierkeep import rendering
from tierkeep.allowance import Allowance
from tierkeep.prompts import dmem
from tierkeep.protocols import Extractor, Span, View
from tierkeep.records import Event, Record
from tierkeep.settings import DMemSettings
from tierkeep.skills import Skills
from tierkeep.terms import analyze
from tierkeep.write.sentences import key_sentences, may_be_distilled

__all__ = ["FactExtractor", "Near", "Similar", "fact", "normalised"]

_MAX_TOKENS = 768
#: Facts of one pair at most, and characters of one (ours): a reply that goes beyond is no distillation.
_MOST = 24
_LONGEST = 1_000
#: How far back the ledger is read for the preceding messages, in places; wider only when other conversations lie between.
_REACHES = (64, 1_024, 16_384)


class Near(Protocol):
    """A record and how similar it is to a text, 0 to 1."""

    @property
    def record(self) -> Record:
        """The record."""
        ...


class Similar(Protocol):
    """Looks up the active records most like a text (see `tierkeep.retrieve.records`)."""

    def similar(self, text: str, view: View, *, kind: str, k: int, at_least: float) -> Sequence[Near]:
        """Return records, most similar first."""
        ...


class FactExtractor:
    """Makes records of kind "fact" from a pair of messages.

    The model sees the pair, the known facts most like it (instead of a running summary) and the messages before it. Each fact belongs to
    one speaker and rests on all the messages of the pair that were read, and on those of the earlier ones and behind the known facts whose
    words it takes up: when "there" became "in Lisbon", forgetting where Lisbon was said must reach the fact. Without a model, the pair's
    telling sentences are the facts, and each rests on its own message. What comes from outside (tools, pages, documents) is not distilled.

    `attrs`: `session`, `speaker`, `by` ("model" or "rules"); for a rule's fact that gives a single-valued slot ("I live in …") also
    `slot` and `value`.

    Args:
        known: Where known facts are looked up.
        settings: How many of them, and of the messages before.
        skills: The model; None for the rules alone.
        slots: Finds the slot that a sentence gives a value to (`ProfileRules`).
    """

    def __init__(self, known: Similar, settings: DMemSettings, skills: Skills | None, slots: Extractor) -> None:
        self._known = known
        self._settings = settings
        self._skills = skills
        self._slots = slots

    def extract(self, span: Span, view: View, allowance: Allowance) -> list[Record]:
        """Return draft facts in the order in which they were given."""
        said = [event for event in span.events if may_be_distilled(event)]
        if not said:
            return []
        known, recent = self._context(said, view) if self._skills is not None else ((), ())
        reply = None if self._skills is None else self._ask(self._skills, known, recent, said, allowance)
        if reply is None:
            return [self._quoted(event, text, view, allowance) for event in said for text in key_sentences(event)]
        shown = _stems_of(said, recent, known, self._settings.message_chars)
        speakers = {_speaker(event).casefold(): _speaker(event) for event in reversed(said)}
        facts: list[Record] = []
        for one in reply.items[:_MOST]:
            text = rendering.plain(one.fact)[:_LONGEST].strip()
            if text:
                owner = speakers.get(one.speaker.strip().casefold(), _speaker(said[0]))
                events = [*_taken_up(text, *shown, view), *said]
                facts.append(fact(text, events, {"session": said[0].session, "speaker": owner, "by": "model"}))
        return facts

    def _context(self, said: Sequence[Event], view: View) -> tuple[Sequence[Record], Sequence[Event]]:
        """Return the known facts most like some messages, and the messages before them."""
        own = self._settings
        text = "\n".join(event.text[: own.message_chars] for event in said)
        known = self._known.similar(text, view, kind="fact", k=own.similar, at_least=0.0) if own.similar else ()
        return [one.record for one in known], _before(said[0], view, own.recent)

    def _ask(
        self, skills: Skills, known: Sequence[Record], recent: Sequence[Event], said: Sequence[Event], allowance: Allowance
    ) -> dmem.ExtractReply | None:
        prompt = dmem.extract(known, recent, said, self._settings.message_chars)
        return skills.use("extract", prompt, dmem.ExtractReply, allowance, max_tokens=_MAX_TOKENS)

    def _quoted(self, event: Event, text: str, view: View, allowance: Allowance) -> Record:
        attrs: dict[str, Any] = {"session": event.session, "speaker": _speaker(event), "by": "rules"}
        sentence = Span((event.model_copy(update={"text": text}),))
        given = self._slots.extract(sentence, view, allowance)
        if len(given) == 1 and given[0].attrs.get("single") and not given[0].attrs.get("ends"):
            attrs |= {"slot": given[0].attrs["slot"], "value": given[0].attrs["value"]}
        return fact(text, (event,), attrs)


_Shown = list[tuple[set[str], Event | Record]]


def _stems_of(said: Sequence[Event], recent: Sequence[Event], known: Sequence[Record], chars: int) -> tuple[set[str], _Shown]:
    """Return the stems of a pair, and those of all else that the model was shown: earlier messages, the latest first, then known facts."""
    own = {stem for event in said for stem in analyze(f"{_speaker(event)} {event.text[:chars]}")}
    shown: _Shown = [(set(analyze(event.text[:chars])), event) for event in reversed(recent)]
    return own, shown + [(set(analyze(record.text)), record) for record in known]


def _taken_up(text: str, own: set[str], shown: _Shown, view: View) -> list[Event]:
    """Return the messages, beside the pair, whose words a fact has taken up, or that are behind known facts whose words it has."""
    strange = set(analyze(text)) - own
    taken: dict[str, Event] = {}
    for stems, one in shown:
        if strange & stems:
            strange -= stems
            taken |= {event.id: event for event in ([one] if isinstance(one, Event) else view.events(one.roots))}
    return sorted(taken.values(), key=lambda event: event.seq)


def fact(text: str, events: Sequence[Event], attrs: dict[str, Any]) -> Record:
    """Return a draft fact that rests on some events; its id follows from what it says, of whom, and from what.

    Raises:
        ValueError: There are no events.
    """
    least = min(events, key=lambda event: event.authority)
    newest = max(events, key=lambda event: (event.ts, event.seq))
    sources = tuple(dict.fromkeys(event.id for event in events))
    return Record(
        id=identity(str(attrs.get("speaker", "")), text, sources),
        scope=events[0].scope.model_copy(update={"session": None}),
        kind="fact",
        key=normalised(text),
        text=text,
        attrs=attrs,
        sources=sources,
        observed_at=newest.at,
        origin=least.origin,
        authority=least.authority,
    )


def identity(speaker: str, text: str, sources: Iterable[str]) -> str:
    """Return the id of a fact."""
    digest = hashlib.sha256("\x1f".join((speaker, text, *sources)).encode("utf-8", "replace")).hexdigest()
    return f"f-{digest[:26]}"


def normalised(text: str) -> str:
    """Return the text by which facts are compared word for word."""
    return " ".join(text.casefold().split())


def _speaker(event: Event) -> str:
    return event.speaker or event.role


def _before(first: Event, view: View, count: int) -> list[Event]:
    """Return the last `count` messages before an event in its conversation, oldest first."""
    found: list[Event] = []
    for reach in _REACHES if count else ():
        start = max(0, first.seq - 1 - reach)
        events = takewhile(lambda event: event.seq < first.seq, view.scan(after_seq=start, session=first.session))
        found = [event for event in events if may_be_distilled(event)]
        if len(found) >= min(count, first.position) or not start:
            break
    return found[-count:] if count else []
