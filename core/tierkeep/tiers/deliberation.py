"""D-Mem's second system: all that was said is read again with the question in hand (tiers spec, 3.5)."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from typing import NamedTuple

from tierkeep.allowance import Allowance, Progress
from tierkeep.prompts import dmem
from tierkeep.protocols import Gathered, Tier, TokenCounter, View
from tierkeep.records import FROM_OUTSIDE, Event, Hit, Plan, Query, Record
from tierkeep.rendering import plain
from tierkeep.sentences import sentences
from tierkeep.settings import DMemSettings
from tierkeep.skills import Prompt, Skills
from tierkeep.terms import analyze
from tierkeep.tiers.facts import Release, chosen

__all__ = ["DeliberationTier"]

#: Longest reply of one scan, and characters of a fact (ours).
_MAX_TOKENS = 1_024
_LONGEST = 1_000
#: Tokens that a server adds around a prompt, as `Skills` counts them.
_FRAME = 16
#: Calls that follow the scans: the selection and the answer (tiers 3.5: N/60 + 2).
_AFTERWARDS = 2
#: Facts handed to the packer (ours); no budget holds more.
_MOST = 400


class _Chunk(NamedTuple):
    """A piece of the history, and the messages before it."""

    before: Sequence[Event]
    events: Sequence[Event]


class _Scored(NamedTuple):
    """A fact that a scan found, its score from 0 to 10, and the messages it rests on."""

    text: str
    score: int
    sources: Sequence[Event]
    by: str


class DeliberationTier:
    """Scans the whole history in chunks for facts that bear on the question, keeps the useful ones and drops what repeats them.

    The scans are independent and run at once; their results are put together in the order of the chunks, so that the order of threads
    changes nothing. A scan that fails is replaced by the rules' scan of the same chunk. The cost is counted before anything is spent:
    when it does not fit, the fallback gathers, and the note says so.

    Facts are records of kind "scan" that are never stored; `attrs`: `speaker` (when all their messages are one speaker's) and `by`.

    Args:
        settings: Sizes and thresholds.
        release: What may be shown.
        counter: How prompts are measured.
        fallback: Gathers when a deliberation would cost too much.
        skills: The model; None for the rules alone.
        most_tokens: Tokens of the scans above which it does not begin, whatever may be spent (`auto`); None for no such limit.
    """

    name = "deliberation"
    weight = 5

    def __init__(
        self, settings: DMemSettings, release: Release, counter: TokenCounter, fallback: Tier, skills: Skills | None,
        *, most_tokens: int | None = None,
    ) -> None:
        self._settings = settings
        self._release = release
        self._counter = counter
        self._fallback = fallback
        self._skills = skills
        self._most_tokens = most_tokens

    def gather(self, query: Query, plan: Plan, view: View, allowance: Allowance) -> Gathered:
        """Return the facts worth knowing for the question, best first."""
        if allowance.expired():
            return Gathered([], partial=True)
        count = sum(number for session, number in view.sessions() if query.scope.session in (None, session))
        scans = -(-count // self._settings.chunk)
        if self._skills is not None and not allowance.affords(0, scans + _AFTERWARDS):
            return self._too_dear(query, plan, view, allowance, scans, 0)  # before anything is read
        chunks = self._chunks(query, view)
        if self._skills is None:
            rarity = _Rarity(query.text, chunks)
            found = [self._by_rules(chunk, rarity, allowance) for chunk in chunks]
        else:
            prompts, tokens = self._prompts(query, chunks, allowance)
            if len(prompts) < len(chunks):
                return self._too_dear(query, plan, view, allowance, len(chunks), tokens)
            found = self._scans(self._skills, query, chunks, prompts, allowance)
        facts = [fact for facts in found if facts is not None for fact in facts]
        own = self._settings
        kept = [fact for fact in facts if fact.score >= own.kept] or [fact for fact in facts if fact.score >= own.returned]
        hits = [Hit(_record(fact), float(fact.score)) for fact in kept]
        if self._skills is not None and len(hits) >= own.filter_from:
            hits = chosen(self._skills, query, hits, allowance)
        hits = _best(hits)
        return Gathered(hits, max((hit.score for hit in hits), default=0.0) / 10, partial=any(facts is None for facts in found))

    def _chunks(self, query: Query, view: View) -> list[_Chunk]:
        said = [hit.item for hit in self._release([Hit(event, 0.0) for event in view.scan(session=query.scope.session)], query)]
        events = [item for item in said if isinstance(item, Event) and item.text.strip()]
        size, overlap = self._settings.chunk, self._settings.overlap
        return [_Chunk(events[max(0, at - overlap) : at], events[at : at + size]) for at in range(0, len(events), size)]

    def _prompts(self, query: Query, chunks: Sequence[_Chunk], allowance: Allowance) -> tuple[list[Prompt], int]:
        """Return the scans' prompts and their price in tokens; fewer than there are chunks when they do not fit into the allowance."""
        calls, tokens = len(chunks) + _AFTERWARDS, 0
        prompts: list[Prompt] = []
        for chunk in chunks:
            if not allowance.affords(tokens, calls) or (self._most_tokens is not None and tokens > self._most_tokens):
                break
            prompt = dmem.scan(query.text, chunk.before, chunk.events, self._settings.message_chars)
            tokens += self._counter.count(prompt.system) + self._counter.count(prompt.user) + _FRAME + _MAX_TOKENS
            prompts.append(prompt)
        return (prompts if allowance.affords(tokens, calls) else prompts[:-1]), tokens

    def _too_dear(self, query: Query, plan: Plan, view: View, allowance: Allowance, chunks: int, tokens: int) -> Gathered:
        gathered = self._fallback.gather(query, plan, view, allowance)
        why = f"no deliberation: {chunks} scans of {tokens} tokens or more, a selection and an answer do not fit into what may be spent"
        return gathered._replace(note=f"{why}; searched with {self._fallback.name} instead")

    def _scans(
        self, skills: Skills, query: Query, chunks: Sequence[_Chunk], prompts: Sequence[Prompt], allowance: Allowance
    ) -> list[list[_Scored] | None]:
        """Return each chunk's facts, in the order of the chunks; None for one that there was no time for."""
        if not chunks:
            return []
        rarity = _Rarity(query.text, chunks)

        def scan(chunk: _Chunk, prompt: Prompt) -> list[_Scored] | None:
            if allowance.expired():
                return None
            reply = skills.use("scan", prompt, dmem.ScanReply, allowance, max_tokens=_MAX_TOKENS)
            return self._by_rules(chunk, rarity, allowance) if reply is None else _found(reply, chunk, query.text)

        futures: list[Future[list[_Scored] | None]] = []
        with ThreadPoolExecutor(min(self._settings.workers, len(chunks)), thread_name_prefix="tierkeep-scan") as pool:
            try:
                futures += [pool.submit(scan, chunk, prompt) for chunk, prompt in zip(chunks, prompts, strict=True)]
                for done, _ in enumerate(as_completed(futures), 1):
                    allowance.tell(Progress("scan", done=done, total=len(futures)))
            finally:
                for future in futures:
                    future.cancel()  # only when the listener raised: nothing that has not begun may cost anything
        return [future.result() for future in futures]

    def _by_rules(self, chunk: _Chunk, rarity: _Rarity, allowance: Allowance) -> list[_Scored] | None:
        """Return the sentences of a chunk by how much of the question they hold (tiers 3.8)."""
        if allowance.expired():
            return None
        found: list[_Scored] = []
        for event in chunk.events:
            for sentence in sentences(event.text[: self._settings.message_chars]):
                score = rarity.score(f"{event.speaker} {sentence}")
                if score >= self._settings.returned:
                    found.append(_Scored(plain(sentence)[:_LONGEST], score, (event,), "rules"))
        return found


class _Rarity:
    """How much of a question a sentence holds, each of its terms weighing by how rare it is in the history.

    Args:
        question: What is asked.
        chunks: The history.
    """

    def __init__(self, question: str, chunks: Iterable[_Chunk]) -> None:
        wanted = set(analyze(question))
        events = [event for chunk in chunks for event in chunk.events]
        holding = Counter(term for event in events for term in sorted(wanted & set(analyze(f"{event.speaker} {event.text}"))))
        self._weights = {term: math.log1p((len(events) - holding[term] + 0.5) / (holding[term] + 0.5)) for term in sorted(wanted)}
        self._whole = sum(self._weights.values())

    def score(self, sentence: str) -> int:
        """Return a whole number from 0 to 10."""
        held = set(analyze(sentence))
        found = sum(weight for term, weight in self._weights.items() if term in held)
        return round(10 * found / self._whole) if self._whole else 0


def _found(reply: dmem.ScanReply, chunk: _Chunk, question: str) -> list[_Scored]:
    """Return the facts of a reply: scores brought into 0 to 10, numbers of no message dropped; without any, the whole chunk vouches."""
    outside = [(event, set(analyze(event.text))) for event in chunk.events if event.origin.source in FROM_OUTSIDE]
    asked = set(analyze(question)) if outside else set()
    found: list[_Scored] = []
    for fact in reply.facts:
        text = plain(fact.fact)[:_LONGEST].strip()
        named = [chunk.events[n] for n in sorted(set(fact.messages)) if 0 <= n < len(chunk.events)]
        if text:
            sources = _with_unnamed(set(analyze(text)) - asked, named, outside) if named and outside else named or chunk.events
            found.append(_Scored(text, min(10, max(0, fact.score)), sources, "model"))
    return found


def _with_unnamed(words: set[str], named: Sequence[Event], outside: Sequence[tuple[Event, set[str]]]) -> list[Event]:
    """Return the messages that a fact names, with those from outside that have its words when none from inside that it names has any.

    A model may name another message than the one it read; a page's claim must not become the user's that way.
    """
    inside = [event for event in named if event.origin.source not in FROM_OUTSIDE]
    if any(words & set(analyze(f"{event.speaker} {event.text} {event.at}")) for event in inside):
        return list(named)
    return [*named, *(event for event, own in outside if own & words and event not in named)]


def _record(fact: _Scored) -> Record:
    """Return the fact as a record: no more authority, and no better origin, than the least of its messages."""
    least = min(fact.sources, key=lambda event: (event.authority, event.origin.source not in FROM_OUTSIDE))
    newest = max(fact.sources, key=lambda event: (event.ts, event.seq))
    speakers = {event.speaker or event.role for event in fact.sources}
    sources = tuple(event.id for event in fact.sources)
    digest = hashlib.sha256("\x1f".join((fact.text, *sources)).encode("utf-8", "replace")).hexdigest()
    return Record(
        id=f"s-{digest[:26]}", scope=newest.scope.model_copy(update={"session": None}), kind="scan", text=fact.text, sources=sources,
        roots=sources, observed_at=newest.at, origin=least.origin, authority=least.authority,
        attrs={"speaker": speakers.pop() if len(speakers) == 1 else "", "by": fact.by, "order": newest.seq},
    )


def _best(hits: Sequence[Hit]) -> list[Hit]:
    """Return the hits, each record once, best first; of equals the earlier said."""
    once = {hit.item.id: hit for hit in reversed(hits)}
    kept = [hit for hit in hits if once[hit.item.id] is hit]
    return sorted(kept, key=lambda hit: -hit.score)[:_MOST]
