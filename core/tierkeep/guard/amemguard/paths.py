"""Reasoning paths: what each memory would lead to for this question, by rules or by a model (guard spec 3.2, 3.5, 3.10.6).

A path is what the judge sees, and it sees nothing else of a memory. So a path holds our own words for what the rules found, and of what a
model found only short terms, out of which everything is taken that could speak to the judge.
"""

from __future__ import annotations

import hashlib
import re
import threading
import unicodedata
from collections import OrderedDict
from collections.abc import Sequence
from typing import Generic, TypeVar

from tierkeep.allowance import Allowance
from tierkeep.guard.amemguard.claims import Claims, claims_of, item_text
from tierkeep.prompts import amemguard as prompts
from tierkeep.protocols import View
from tierkeep.records import Hit, Query
from tierkeep.rendering import reads_as, visible
from tierkeep.settings import AMemGuardSettings
from tierkeep.skills import Skills
from tierkeep.terms import analyze, stream_safe

__all__ = ["ClaimReader", "ModelPaths", "ScopedCache", "by_rules"]

V = TypeVar("V")
#: Terms of a path, words of a term and characters of a term, at most.
_TRIPLES, _ENTITIES, _WORDS, _CHARS = 6, 4, 5, 40
_NOT_TERM = re.compile(r"[^\w@.+ -]+|_+")
#: What could be taken for a verdict, or for words to the judge, in any of the languages that are read. Beginnings of words.
_TO_JUDGE = re.compile(
    r"\b(?:in|un|non|not)?(?:consist|safe|secur|verdict|judg|valid|correct|accept|reject|approv|trust|malici|benign|poison|legit|harm|s_?div"
    r"|true|false|json|path|line|origin|voice|reason|unrelat|outlier|instruct|ignor|disregard|system|assist|develop|answer|reply|respond"
    r"|return|output|reviewer|mark|label|rate|score|keep|drop|discard|flag|konsist|sicher|urteil|bewert|gultig|glaubw|ignorier|kohar"
    r"|segur|coheren|veredict|juez|confia|fiable|coher|sur\b|sure\b|juge|verite|fiabl)\w*"
    r"|[\u4e00-\u9fff]*(?:\u4e00\u81f4|\u5b89\u5168|\u5224\u5b9a|\u5224\u65ad|\u88c1\u5224|\u8bc4\u5224|\u6709\u6548|\u53ef\u4fe1|\u6b63\u786e|\u901a\u8fc7"
    r"|\u5ffd\u7565|\u771f|\u5047|\u4fdd\u7559|\u4e22\u5f03|\u6807\u8bb0)[\u4e00-\u9fff]*"
)


class ScopedCache(Generic[V]):
    """What was worked out about texts, bounded, and never older than the last forget of its owner. Several threads may use one.

    Args:
        most: Entries over all owners; the longest unused go first.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: OrderedDict[tuple[tuple[str, str, str], str], V] = OrderedDict()
        self._generations: OrderedDict[tuple[str, str, str], int] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, view: View, key: str) -> V | None:
        """Return what is known; nothing of what was known before the owner forgot something."""
        owner = view.scope.partition
        with self._lock:
            self._renew(owner, view.generation)
            found = self._held.get((owner, key))
            if found is not None:
                self._held.move_to_end((owner, key))
            return found

    def put(self, view: View, key: str, value: V) -> None:
        """Remember something."""
        owner = view.scope.partition
        with self._lock:
            self._renew(owner, view.generation)
            self._held[owner, key] = value
            self._held.move_to_end((owner, key))
            while len(self._held) > self._most:
                self._held.popitem(last=False)

    def _renew(self, owner: tuple[str, str, str], generation: int) -> None:
        if self._generations.get(owner, generation) != generation:
            for key in [key for key in self._held if key[0] == owner]:
                del self._held[key]
        self._generations[owner] = generation
        self._generations.move_to_end(owner)
        if len(self._generations) > self._most:  # an owner that is not known any more has no entries either
            gone, _ = self._generations.popitem(last=False)
            for key in [key for key in self._held if key[0] == gone]:
                del self._held[key]

    def __len__(self) -> int:
        return len(self._held)


class ClaimReader:
    """Reads the claims of hits, each text once."""

    def __init__(self, settings: AMemGuardSettings) -> None:
        self._chars = settings.read_chars
        self._cache: ScopedCache[Claims] = ScopedCache(settings.cached)

    def __call__(self, hits: Sequence[Hit], view: View) -> list[Claims]:
        """Return the claims of each hit."""
        return [self._one(hit, view) for hit in hits]

    def _one(self, hit: Hit, view: View) -> Claims:
        key = _sha(item_text(hit.item)[: self._chars])
        known = self._cache.get(view, key)
        if known is None:
            known = claims_of(hit.item, self._chars)
            self._cache.put(view, key, known)
        return known


def by_rules(claims: Claims) -> str:
    """Return the path that the rules see: our own words, and destinations as numbers that tell them apart. No word of the memory."""
    parts = sorted(claims.verbs)
    parts += [f"toward {_place(destination)}" for destination in sorted(claims.destinations)]
    parts += [_effect(effect) for effect in sorted(claims.effects) if not effect.startswith("sends:")]
    return ", ".join(parts) or "no action"


def _effect(effect: str) -> str:
    kind, _, what = effect.partition(":")
    return f"leaves out the {what} step" if kind == "weakens" else "removes everything"


def _place(destination: str) -> str:
    kind, _, value = destination.partition(":")
    return f"{kind} address {_sha(value)[:6]}" if kind != "account" else f"account {_sha(value)[:6]}"


class ModelPaths:
    """Asks a model for the paths of several memories in one call, and remembers them by memory and intent of the question.

    Args:
        skills: The model's.
        settings: Numbers.
    """

    def __init__(self, skills: Skills, settings: AMemGuardSettings) -> None:
        self._skills = skills
        self._settings = settings
        self._cache: ScopedCache[str] = ScopedCache(settings.cached)

    def __call__(self, hits: Sequence[Hit], query: Query, view: View, allowance: Allowance) -> list[str] | None:
        """Return the path of each hit, "" where the model's is not about that hit; None when the model did not give them."""
        texts = [item_text(hit.item)[: self._settings.shown_chars] for hit in hits]
        intent = " ".join(sorted(set(analyze(query.text))))
        keys = [_sha(f"{intent}\0{text}") for text in texts]
        paths = [self._cache.get(view, key) for key in keys]
        missing = [place for place, path in enumerate(paths) if path is None]
        if missing:
            made = self._made([texts[place] for place in missing], query, allowance)
            if made is None:
                return None
            for place, path in zip(missing, made, strict=True):
                paths[place] = path
                self._cache.put(view, keys[place], path)
        return [path or "" for path in paths]

    def _made(self, texts: Sequence[str], query: Query, allowance: Allowance) -> list[str] | None:
        prompt = prompts.extraction(query.text, texts)
        most = self._settings.path_tokens * len(texts)
        reply = self._skills.use("extract", prompt, prompts.PathsReply, allowance, max_tokens=most)
        if reply is None or sorted(path.id for path in reply.paths) != list(range(len(texts))):
            return None
        words = [set(analyze(text)) for text in texts]
        ordered = sorted(reply.paths, key=lambda path: path.id)
        return [_worded(path) if _is_about(path, words, place) else "" for place, path in enumerate(ordered)]


def _is_about(path: prompts.PathReply, words: Sequence[set[str]], place: int) -> bool:
    """Return whether a path speaks of its own memory at least as much as of any other.

    The texts of a batch stand in one prompt, so that one may try to write another's path.
    """
    said = " ".join([path.answer_hint, *path.entities, *(f"{one.s} {one.r} {one.o}" for one in path.triples)])
    spoken = set(analyze(said))
    shared = [len(spoken & own) for own in words]
    return shared[place] > 0 and shared[place] == max(shared)


def _worded(path: prompts.PathReply) -> str:
    """Return a path as the judge may see it."""
    steps = [" - ".join(filter(None, map(_term, (one.s, one.r, one.o)))) for one in path.triples[:_TRIPLES]]
    chain = " > ".join(filter(None, map(_term, path.entities[:_ENTITIES])))
    return "; ".join(filter(None, [_term(path.answer_hint), chain, *steps]))


def _term(text: str) -> str:
    """Return a term that says what something is, and nothing to a judge: few words, no signs, none of the verdict's own words."""
    plain = reads_as(visible(unicodedata.normalize("NFKC", stream_safe(text[:400])))).casefold()
    words = _TO_JUDGE.sub(" ", _NOT_TERM.sub(" ", plain)).split()
    return " ".join(words[:_WORDS])[:_CHARS].strip(" .-+")


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
