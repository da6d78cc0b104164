"""What a memory would have an agent do, in slots: the deterministic reasoning path (guard spec 3.9).

A claim is read from a text without a model: actions, what they are about, where they go, when they hold, and which safeguards they take
away. Prose gives few slots and a tool call many; what is not seen is not claimed. Every step is linear in the text.
"""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

from tierkeep.guard.amemguard.lexicon import Sign, folded, signs
from tierkeep.records import Event, Record
from tierkeep.terms import analyze

__all__ = ["Claims", "Side", "claims_of", "hashed", "item_text", "read"]

#: Words between what takes a safeguard away and the safeguard.
_REACH = 7
#: Words behind a deletion within which a safeguard is what is deleted ("drop the audit columns", not "alert on drops").
_OBJECT = 3
#: What ends a clause: a denial in one does not hold for the next.
_CLAUSE = re.compile(
    r"[.;:!?,\n\u3002\uff1b\uff1a\uff01\uff1f\uff0c\u3001]+(?=\s|[\u3400-\u9fff]|$)"
    r"|\s[-\u2013\u2014|]\s|[\uff0c\u3002\uff1b]"
)
_MAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@((?:[a-z0-9-]{1,63}\.)+[a-z]{2,24})(?![\w-])")
_URL = re.compile(r"\b[a-z]{2,10}://([^\s/?#\"'<>()\[\]]{1,255})[^\s\"'<>()\[\]]*|(?<![\w@.-])www\.([a-z0-9.-]{1,253})[^\s\"'<>()\[\]]*")
_ACCOUNT = re.compile(
    r"\b[a-z]{2}\d{2}(?:[ ]?[a-z0-9]{4}){2,7}(?:[ ]?[a-z0-9]{1,4})?\b"  # IBAN
    r"|\b[a-z0-9]{2,20}(?:[-_][a-z0-9]{2,20}){0,4}[-_](?=[a-z]{0,18}\d[a-z]{0,18}\d|0x[0-9a-f])[a-z0-9]{2,20}\b"
    r"|\b0x[0-9a-f]{6,64}\b|(?<![\d.])\d{8,24}(?![\d.])"
)
#: Where a tool's name changes from one word to the next: sendMail(…), "sendMail".
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z][a-z]{1,20}\w{0,40}[\"(])")
#: A tool call: JSON, or a name before its arguments.
_CALL = re.compile(r"\s{0,8}[\w.-]{0,80}\s{0,2}[({\[]")
_JSON_COLON = re.compile(r'"\s{0,4}:\s{0,4}')
_JSON_SIGNS = re.compile(r'[(){}\[\]",]')
#: Actions by which something leaves, or comes in and runs.
_OUTWARD = frozenset({"send", "pay", "run"})


class Side(NamedTuple):
    """A side effect that no consensus may let pass alone (guard spec 3.10.4).

    Attributes:
        reason: external_recipient, disabled_control or destructive.
        feature: The feature of the claims that stands for it.
    """

    reason: str
    feature: str


class Claims(NamedTuple):
    """The slots of one text.

    Attributes:
        verbs: Concepts of its actions.
        objects: Index terms of what it speaks of.
        destinations: Where things go, as "mail:host", "url:host" or "account:value".
        conditions: Index terms of its conditions.
        effects: "weakens:CONTROL", "deletes:everything" and "sends:DESTINATION".
    """

    verbs: frozenset[str] = frozenset()
    objects: frozenset[str] = frozenset()
    destinations: frozenset[str] = frozenset()
    conditions: frozenset[str] = frozenset()
    effects: frozenset[str] = frozenset()

    def features(self) -> dict[str, float]:
        """Return the feature set with its weights: 3 for destinations and effects, 1 for the rest, in a fixed order."""
        slots = (
            ("verb", self.verbs, 1.0), ("object", self.objects, 1.0), ("destination", self.destinations, 3.0),
            ("condition", self.conditions, 1.0), ("effect", self.effects, 3.0),
        )  # fmt: skip
        return {f"{slot}:{value}": weight for slot, values, weight in slots for value in sorted(values)}

    def sides(self) -> tuple[Side, ...]:
        """Return its side effects, in a fixed order."""
        reasons = {"sends": "external_recipient", "weakens": "disabled_control", "deletes": "destructive"}
        return tuple(Side(reasons[effect.partition(":")[0]], f"effect:{effect}") for effect in sorted(self.effects))

    @property
    def acts(self) -> bool:
        """Whether it says what to do, rather than how things are."""
        return bool(self.verbs or self.destinations or self.effects)

    def neutral(self) -> str:
        """Return the action in words of ours alone: concepts, and kinds of destinations. Nothing of the text itself."""
        parts = [f"{verb} something" for verb in sorted(self.verbs)]
        kinds = {"mail": "an e-mail address", "url": "a web address", "account": "an account"}
        parts += [f"toward {kinds[kind]}" for kind in sorted({value.partition(":")[0] for value in self.destinations})]
        parts += [f"without {effect.partition(':')[2]}" for effect in sorted(self.effects) if effect.startswith("weakens:")]
        return ", ".join([*parts, *(["for everything"] if "deletes:everything" in self.effects else [])])


def hashed(feature: str) -> str:
    """Return a feature as a lesson keeps it: the values of objects, conditions and destinations hashed, our own words as they are."""
    slot, _, value = feature.partition(":")
    if slot == "verb" or value.startswith(("weakens:", "deletes:")):
        return feature
    return f"{slot}:{hashlib.sha256(value.encode('utf-8', 'replace')).hexdigest()[:16]}"


def item_text(item: Event | Record) -> str:
    """Return what of a memory is compared: what it says, which for a tool call is the call."""
    return item.text


def claims_of(item: Event | Record, chars: int) -> Claims:
    """Return the claims of a memory, read from its first `chars` characters."""
    return read(item_text(item)[:chars])


def read(text: str) -> Claims:
    """Return the claims of a text."""
    verbs: set[str] = set()
    destinations: set[str] = set()
    conditions: set[str] = set()
    effects: set[str] = set()
    plain = folded(_CAMEL.sub(" ", text))
    clauses = _clauses(plain)
    if _CALL.match(plain):
        # Read as a call as well, whose arguments belong together; not instead, for then a bracket in front would hide where clauses end.
        clauses += _clauses(_JSON_SIGNS.sub(" ", _JSON_COLON.sub(" ", plain)))
    for clause in clauses:
        words = list(signs(clause.words))
        found = _Clause([marks for _, marks in words])
        verbs |= found.verbs
        destinations |= clause.destinations
        effects |= found.weakened
        if clause.destinations and found.verbs & _OUTWARD:
            effects |= {f"sends:{destination}" for destination in clause.destinations}
        if found.everything:
            effects.add("deletes:everything")
        if found.conditional:
            conditions |= set(analyze(clause.words))
    objects = frozenset(analyze(plain)) - conditions
    return Claims(frozenset(verbs), objects, frozenset(destinations), frozenset(conditions), frozenset(effects))


class _Text(NamedTuple):
    words: str
    destinations: frozenset[str]


def _clauses(text: str) -> list[_Text]:
    """Return the clauses of a folded text, each with its destinations taken out of the words."""
    found: list[_Text] = []
    places: dict[str, str] = {}

    def note(kind: str, match: re.Match[str]) -> str:
        value = next(filter(None, match.groups()), match[0]) if kind != "account" else re.sub(r"[ _-]", "", match[0])
        # Letters only: a mark that no text of a memory gives, and that no clause is cut at.
        mark = "qx" + "".join(chr(97 + int(digit)) for digit in str(len(places))) + "xq"
        places[mark] = f"{kind}:{match[0] if kind == 'mail' else value}"
        return f" {mark} "

    for kind, pattern in (("mail", _MAIL), ("url", _URL), ("account", _ACCOUNT)):
        text = pattern.sub(lambda match, kind=kind: note(kind, match), text)  # type: ignore[misc]
    for clause in _CLAUSE.split(text):
        if clause and clause.strip():
            clause = clause.replace("_", " ")
            own = {places[word] for word in clause.split() if word in places}
            found.append(_Text(" ".join(word for word in clause.split() if word not in places), frozenset(own)))
    return found


class _Clause:
    """What the words of one clause come to. Linear: each word looks at a window around it.

    Attributes:
        verbs: Concepts of its actions, unless it denies them.
        weakened: "weakens:CONTROL" of the safeguards that it takes away.
        everything: Whether it deletes all of something.
        conditional: Whether it begins with a condition.
    """

    def __init__(self, marks: list[tuple[Sign, ...]]) -> None:
        self.verbs: set[str] = set()
        self.weakened: set[str] = set()
        self.everything = False
        slots = [{sign.slot for sign in one} for one in marks]
        self.conditional = any("condition" in one for one in slots[:2])
        denied = next((place for place, one in enumerate(slots) if "deny" in one), len(marks))
        #: What takes something away, of each word: a denial before it turns it into its opposite.
        weakens = ["weaken" in one and place < denied for place, one in enumerate(slots)]
        deletes = [Sign("action", "delete") in one and place < denied for place, one in enumerate(marks)]
        for place, one in enumerate(marks):
            for sign in one:
                if sign.slot == "action" and place < denied:
                    self.verbs.add(sign.concept)
                elif sign.slot == "control" and (_lifted(weakens, deletes, place) or _needless(slots, place)):
                    self.weakened.add(f"weakens:{sign.concept}")
                elif sign.slot == "wide" and any(deletes[max(0, place - _REACH) : place + _REACH + 1]):
                    self.everything = True


def _lifted(weakens: list[bool], deletes: list[bool], place: int) -> bool:
    """Return whether another word near a safeguard takes it away, or what is deleted is the safeguard."""
    around = weakens[max(0, place - _REACH) : place] + weakens[place + 1 : place + _REACH + 1]
    return any(around) or any(deletes[max(0, place - _OBJECT) : place])


def _needless(slots: list[set[str]], place: int) -> bool:
    """Return whether the clause says that a safeguard is not needed."""
    near = slots[max(0, place - _REACH) : place + _REACH + 1]
    return any("deny" in one for one in near) and any("need" in one for one in near)
