"""The rule profile: stable first-person statements, found without a model (tiers spec, 5.3.2).

It reads the user's side of a conversation only. Tools, web pages, documents and the assistant never write a profile: a page that says "the
user's bank is …" stays a page.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from datetime import date
from typing import NamedTuple
from urllib.parse import quote

from tierkeep.allowance import Allowance
from tierkeep.dates import TimeSpan, find_times
from tierkeep.protocols import Span, View
from tierkeep.records import FROM_USER, Authority, Event, Record, Source
from tierkeep.settings import ProfileSettings
from tierkeep.terms import analyze
from tierkeep.write.slots import ATTRIBUTES, BY_NAME, RELATIONS, SINGLE_RELATIONS, SLOTS, ProfileKind, Slot

#: Origins whose first-person statements are about themselves. An imported human transcript counts; its authority stays low.
_SPEAKS_FOR_ITSELF = FROM_USER | {Source.IMPORTED}
#: A stop inside a word, a number or after a title ends no sentence.
_SENTENCE = re.compile(
    r"(?:[^.!?\n;]|[.!?](?=[\w@/])|(?<=\b[DM]r)\.|(?<=\bM[rs]s)\.|(?<=\bMs)\.|(?<=\bDra)\.|(?<=\bSt)\.|(?<=\bProf)\.)+"
    r"[.!?;]?"
)
# Both look-behinds keep a pattern linear: a long run of blanks is tried once, from its beginning.
_CLAUSE_END = re.compile(
    r"(?<!\s)\s*(?:[,:()\"]|\s[-\u2013\u2014]\s|\u2014|\b(?:because|but|since|so|when|while|if|which|who|though|although|unless|until|after|before|"
    r"anymore|any more|any longer|these days|right now|at the moment|for now|and (?:i|we|he|she|they|it|my|then|now)|as well|too|again)\b)",
    re.IGNORECASE,
)
_HEDGED = re.compile(r"\b(?:if|would|wouldn't|might|maybe|perhaps|could|wish|imagine|thinking (?:of|about)|used to)\b", re.IGNORECASE)
_FIRST_PERSON = re.compile(
    r"\b(?:i|i'm|i've|my|we|we've|we're)\b|^(?:please|always|never|from now on|call me)\b"
    r"|\brule\b|^(?:[^:]{0,60}: ?)?allergic\b",
    re.IGNORECASE,
)
_LEAD = re.compile(r"^(?:an?|the|my|our|now|to be|in|at)\s+", re.IGNORECASE)
#: What trails a value and adds nothing to it: "coffee altogether".
_TAIL = re.compile(
    r"(?<!\s)\s+(?:altogether|entirely|completely|totally|forever|for good|at all|anymore|today|now"
    r"|(?:so|very|too) much|a lot|for \w+ years)$",
    re.IGNORECASE,
)
#: Words that stand for something said elsewhere; as a value they say nothing.
_POINTS_ELSEWHERE = re.compile(
    r"(?:it|this|that|these|those|him|her|them|you|us|me|one|ones|every(?:one|body|thing)|any(?:one|body|thing)|some(?:one|body|thing)|no(?:body|thing)|"
    r"how|what|when|where|who|why|whether|to (?:know|see|have|think|say|admit|ask|hear|look|be))\b",
    re.IGNORECASE,
)
#: What is left before a time: "Lisbon in" of "Lisbon in May". Possessive, to stay linear in blanks.
_PREPOSITION = re.compile(r"(?<!\s)\s++(?:in|on|at|since|from|last|this|next)?+\s*+$")
#: What may follow the end of a value in the same sentence, and a verb there that still has its subject to the left. The look-behind
#: keeps a long run of blanks linear.
_AFTER = re.compile(r",\s*(?:and |but )?|;\s*|(?<!\s)\s+(?:because|since|and|but|when|as)\s+", re.IGNORECASE)
_SUBJECT = re.compile(r"^((?:now |then )?(?:work|live|moved|started|joined|began|got|took)\b)", re.IGNORECASE)
#: Where a further statement of the same sentence begins.
_CLAUSES = re.compile(r";|,? (?:and|but|so|then) (?=(?:i|we|my|in|on|last|next|this)\b)", re.IGNORECASE)
#: Somebody else's words, told by the speaker; and mark-up, which is a document's and not a person's.
_REPORTED = re.compile(
    r"\b(?:said|says|told|asks?|asked|wrote|claims?|claimed|shouted|yelled|quoted?)\b[^.]{0,40}[:\"\u201c\u2018]|</?\w", re.IGNORECASE
)
#: Between the items of a list; a pronoun after it begins another statement.
_LIST = re.compile(r",? (?:and|or|nor) (?!(?:i|we|it|my|he|she|they)\b)|, (?!(?:so|but|which|because|and (?:i|we|it|my))\b)", re.IGNORECASE)
#: Items of a list that are read: longer ones are somebody's catalogue.
_MOST_VALUES = 12
_EDGE = " \t'\u2019\"*_."


class ProfileRules:
    """Finds profile items in what a person says about themselves.

    Args:
        settings: Limits on what counts as a profile value.
    """

    def __init__(self, settings: ProfileSettings) -> None:
        self._settings = settings

    def extract(self, span: Span, view: View, allowance: Allowance) -> list[Record]:
        """Return draft records of kind "profile", in reading order.

        `attrs` holds `slot`, `value`, `subject`, `profile_kind`, `single`, and `ends=True` when the sentence ends a value
        ("I no longer drink coffee") instead of stating one.
        """
        return [draft for event in span.events if _about_itself(event) for draft in self._read(event)]

    def _read(self, event: Event) -> Iterator[Record]:
        text = event.text[: self._settings.scan_chars].replace("\u2019", "'")
        ordinal = 0
        for match in _SENTENCE.finditer(text):
            sentence = match.group().strip()
            if sentence.endswith("?") or not _FIRST_PERSON.search(sentence) or _HEDGED.search(sentence) or _REPORTED.search(sentence):
                continue
            for slot, raw, ends in _statements(sentence.rstrip(".!; ")):
                for value in self._values(slot, raw, event.day):
                    yield _draft(event, _Statement(slot, value, ends, _clause(sentence, raw)), ordinal)
                    ordinal += 1

    def _values(self, slot: Slot, raw: str, day: date) -> list[str]:
        """Return the values of a statement: allergies come in lists, and each can be taken back alone."""
        parts = _LIST.split(raw) if slot.name == "allergy" else [raw]
        values = [self._value(slot, part, day) for part in parts[:_MOST_VALUES]]
        # A list ends where something that is no value begins: "nuts and kiwi, so no cake".
        return values[: values.index("")] if "" in values else values

    def _value(self, slot: Slot, raw: str, day: date) -> str:
        if slot.kind == "instruction":
            return self._order(raw)
        cut = _CLAUSE_END.search(raw)
        value = raw[: cut.start()] if cut else raw
        times = find_times(value, day)
        if times and times[0].position[0] == 0 and slot.kind in ("identity", "relation") and slot.name != "birthday":
            return ""  # "my doctor Tuesday" names no doctor
        # "Lisbon in May": the time says since when, it is not part of the place.
        if times and times[0].position[0] > 0:
            value = _PREPOSITION.sub("", value[: times[0].position[0]])
        value = _TAIL.sub("", _LEAD.sub("", value.strip(_EDGE)).strip(_EDGE))
        words = value.split()
        if _POINTS_ELSEWHERE.match(value) or not 0 < len(words) <= self._settings.value_words:
            return ""
        return value if analyze(value) else ""

    def _order(self, raw: str) -> str:
        """Return an instruction as it was given; a long one loses its last clauses first."""
        clauses = raw.strip(_EDGE).split(",")
        while clauses and len(" ".join(clauses).split()) > self._settings.value_words:
            clauses.pop()
        return ",".join(clauses).strip(_EDGE)


class _Statement(NamedTuple):
    """What a sentence says: a slot's value, whether it ends it, and the clause in which it stands."""

    slot: Slot
    value: str
    ends: bool
    clause: str


def _clause(sentence: str, raw: str) -> str:
    """Return the clause of the sentence that holds the value: a time in another clause is not since when."""
    return next((part for part in _CLAUSES.split(sentence) if raw[:24] in part), raw)


def _about_itself(event: Event) -> bool:
    return (
        event.kind == "message"
        and event.role == "user"
        and event.origin.source in _SPEAKS_FOR_ITSELF
        and event.authority > Authority.QUARANTINED
    )


def _statements(sentence: str) -> Iterator[tuple[Slot, str, bool]]:
    """Yield (slot, raw value, whether it ends the value) for one sentence."""
    for slot in SLOTS:
        ended = _first(slot.ends, sentence)
        if ended:
            yield slot, ended, True
            # "I no longer live in Ghent, I moved to Oslo": what came after it stands in a later clause.
            after = _AFTER.split(ended, maxsplit=1)
            said = _first(slot.says, _SUBJECT.sub(r"I \1", after[1])) if len(after) == 2 else ""
            if said:
                yield slot, said, False
            continue
        said = _first(slot.says, sentence)
        if said:
            yield slot, said, False
    for pattern in RELATIONS:
        found = pattern.search(sentence)
        if found:
            relation = found["slot"].lower()
            single = relation.rsplit(" ", 1)[-1] in SINGLE_RELATIONS
            yield Slot(relation, "relation", single, "{who}'s " + relation + " is {value}", f"who name {relation}", ()), found["v"], False
            break
    for pattern in ATTRIBUTES:
        found = pattern.search(sentence)
        if found:
            name = found["slot"].lower().replace("favorite", "favourite")
            kind: ProfileKind = "preference" if name.startswith("favourite") else "identity"
            yield Slot(name, kind, True, "{who}'s " + name + " is {value}", name, ()), found["v"], False


def _first(patterns: tuple[re.Pattern[str], ...], sentence: str) -> str:
    for pattern in patterns:
        match = pattern.search(sentence)
        if match:
            return match["v"]
    return ""


def _draft(event: Event, statement: _Statement, ordinal: int) -> Record:
    slot, value = statement.slot, statement.value
    who = event.speaker or event.role
    # Values of a set-valued slot are slots of their own; their stems make "drinking coffee" and "coffee" the same one.
    inner = "" if slot.single else " ".join(sorted(set(analyze(value))))
    key = f"{_subject(event, who)}|{slot.name}|{inner}"
    digest = hashlib.sha256(f"{key}\x1f{value}\x1f{event.id}\x1f{ordinal}".encode("utf-8", "replace")).hexdigest()[:26]
    return Record(
        id=f"p-{digest}",
        scope=event.scope.model_copy(update={"session": None}),
        kind="profile",
        key=key,
        text=slot.shown.format(who=who, value=value),
        attrs={
            "slot": slot.name, "value": value, "subject": who, "profile_kind": slot.kind, "single": slot.single,
            "ends": statement.ends, "asked_by": BY_NAME[slot.name].words if slot.name in BY_NAME else slot.words,
        },
        sources=(event.id,),
        observed_at=event.at,
        valid_from=_since(statement, event),
        origin=event.origin,
        authority=event.authority,
    )


def _subject(event: Event, who: str) -> str:
    """Return whom a statement is about, as a key.

    All that the user says themselves is about one subject, whatever name it was shown under. Anybody else's words are about that
    speaker of that source, and can never touch the user's own slots.
    """
    if event.origin.source in FROM_USER:
        return "own"
    return "/".join(quote(part, safe="") for part in (event.origin.source.value, event.origin.uri, who.casefold()))


def _since(statement: _Statement, event: Event) -> str | None:
    """Return the time that the statement's own clause gives, when it is one from which it can hold; an end may lie ahead."""
    for span in find_times(statement.clause, event.day):
        if statement.ends or span.start <= event.day:
            return _as_known(span) or None
    return None


def _as_known(span: TimeSpan) -> str:
    """Return the span as an ISO date no more precise than it is: a day, else the month or the year that holds all of it."""
    first, last = span.start.isoformat(), span.end.isoformat()
    for length in (10, 7, 4):
        if first[:length] == last[:length] and not (length == 10 and span.approximate):
            return first[:length]
    return ""
