"""One running conversation, for frameworks that give their messages no ids: what was said, under which ids, and what its gate must know.

`Turns` says what happens around a turn; a conversation remembers between the calls that a framework makes in one. It is not safe between
threads: an integration that is called from several holds a lock.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tierkeep.errors import StorageError
from tierkeep.records import ActionDecision, Authority, Event, Evidence, Message
from tierkeep.scoped import ScopedMemory
from tierkeep.toolbox import TOOL_NAMES, whole
from tierkeep.turns import UNKNOWN, Turns

__all__ = ["Conversation", "Turn", "fitting", "with_ids"]

_LOG = logging.getLogger(__name__)
#: Characters of the hash in an id.
_DIGEST = 24


@dataclass(slots=True)
class Turn:
    """What happens from one message of the user to the next.

    Attributes:
        question: The user's words.
        evidence: What was recalled for them, once it was.
        results: What tools returned since: texts, and the ids under which they are kept.
        outside: What the user asks for, where a model has put the question; None where it is the user's own.
    """

    question: str = ""
    evidence: Evidence | None = None
    results: dict[str, tuple[str, ...]] = field(default_factory=dict)
    outside: str | None = None

    @property
    def request(self) -> str:
        """What the user asks for."""
        return self.question if self.outside is None else self.outside


class Conversation:
    """What one process knows of a conversation. It works on without its memory: nothing is recalled or kept then, and the gate refuses.

    Args:
        session: Its name.
        reach: Returns the turns and the owner bound to a session; None while the memory cannot be reached.

    Attributes:
        session: Its name; with a number behind it once it was begun anew.
        turn: The running turn.
    """

    def __init__(self, session: str, reach: Callable[[str], tuple[Turns, ScopedMemory] | None]) -> None:
        self.session = session
        self._reach = reach
        self._clear()
        self._loaded = False

    def _clear(self) -> None:
        self.turn = Turn()
        self._ahead: Turn | None = None
        self._known: set[str] = set()
        self._counts: Counter[str] = Counter()
        self._shown: set[str] = set()

    def load(self) -> list[Event]:
        """Return what the user and the assistant said in it before, in order; the first time only, and nothing while it cannot be read."""
        reached = None if self._loaded else self._reach(self.session)
        if reached is None:
            return []
        everything = whole(reached[1])
        try:
            names = {name for name, _ in everything.sessions()}
            while (after := _after(self.session)) in names:
                self.session = after
            earlier = list(everything.events(self.session))
        except StorageError as error:
            _LOG.warning("the conversation %s cannot be read: %s: %s", self.session, type(error).__name__, error)
            return []
        self._loaded = True
        for event in earlier:
            digest, _, number = event.id.rpartition("-")
            if len(digest) == _DIGEST and number.isdecimal():
                self._counts[digest] = max(self._counts[digest], int(number))
            self._known.add(event.id)
        return [event for event in earlier if event.role in ("user", "assistant") and event.authority > Authority.QUARANTINED]

    def restart(self) -> str:
        """Begin anew: nothing of it is read any more, in later processes neither. Return the new name. What was kept stays remembered."""
        if self._known or not self._loaded:
            self.session = _after(self.session)
        self._clear()
        self._loaded = True
        return self.session

    def begin(self, question: str, outside: str | None = None) -> None:
        """Begin a turn: the user has said this, or a model has, for whose user see `Turn.outside`."""
        ahead, self._ahead = self._ahead, None
        self.turn = ahead if ahead and ahead.question.strip() == question.strip() else Turn(question)
        self.turn.outside = outside

    def expect(self, question: str) -> Turn:
        """Return the running turn when it is about this, else one that begins when the user is heard to have said it."""
        if not question.strip() or question.strip() == self.turn.question.strip():
            return self.turn
        if self._ahead is None or self._ahead.question != question:
            self._ahead = Turn(question)
        return self._ahead

    def recall(self, turn: Turn, seen: Iterable[str]) -> Evidence:
        """Return what there is for a turn. It is asked once: frameworks get their memory several times in a turn."""
        if turn.evidence is None:
            reached = self._reach(self.session)
            if reached is None:
                return Evidence(question=turn.question, note="the memory cannot be reached")
            turn.evidence = reached[0].recall(reached[1], turn.question, seen=[id_ for id_ in seen if id_ != UNKNOWN])
        return turn.evidence

    def keep(self, said: Sequence[Message], counts: Counter[str] | None = None) -> tuple[str, ...]:
        """Keep what was said; return the ids that stand behind it, `UNKNOWN` for what could not be kept.

        What a tool returned in this turn and was kept is not kept again, whoever repeats it word for word.

        Args:
            said: In order, without ids: the n-th time that a text is said in a conversation has the same id in every process.
            counts: How often each text was said in a history that is handed over whole, empty at its beginning; None for what is new.
        """
        turn = self.turn
        behind = [id_ for one in said for id_ in turn.results.get(one.text, ())]
        told = {**turn.results, **{one.text: () for one in said if one.role == "tool"}}
        untold = [one for one in said if one.text not in (turn.results if one.role == "tool" else told)]
        new = with_ids(untold, self.session, self._counts if counts is None else counts)
        fresh = [one for one in new if one.id not in self._known]
        reached = self._reach(self.session) if fresh else None
        if reached is not None:
            parents = {*self._shown, *(id_ for ids in turn.results.values() for id_ in ids)} - {UNKNOWN}
            kept = reached[0].keep(reached[1], fresh, evidence=turn.evidence, rests_on=sorted(parents))
            self._known.update(kept.ids if kept.failed else [str(one.id) for one in fresh])
        for one in new:
            ids = (str(one.id),) if one.id in self._known else (UNKNOWN,)
            behind += ids
            if one.role == "tool":
                turn.results[one.text] = ids
        if counts is not None:
            self._counts |= counts
        return tuple(behind)

    def returned(self, tool: str, text: str | None, *, keep: bool = True) -> None:
        """Keep at once what a tool returned, where a framework tells it late: the next call may depend on it.

        Args:
            tool: The tool's name.
            text: What it returned; None when it failed, and nobody knows what the model is told.
            keep: False for a refusal, which is nobody's memory.
        """
        if keep and text is not None:
            worth = text.strip() and tool not in TOOL_NAMES
            self.keep([Message(text=text, role="tool", speaker=tool)] if worth else [])
        else:
            self.turn.results[text or ""] = (UNKNOWN,) if text is None else ()

    def show(self, evidence: Evidence) -> None:
        """Note what a tool has shown to the model: what it says and does from now on may rest on it."""
        self._shown.update(source for item in evidence.items for source in item.sources)

    def gate(self, window: Iterable[str]) -> Callable[[str, Mapping[str, Any]], ActionDecision]:
        """Return a function that decides about calls, tool and arguments, as things stand now.

        Args:
            window: Ids behind the messages in the model's window.
        """
        turn, reached = self.turn, self._reach(self.session)
        seen = [*window, *self._shown, *(id_ for ids in turn.results.values() for id_ in ids)]

        def check(tool: str, arguments: Mapping[str, Any]) -> ActionDecision:
            if reached is None:
                return ActionDecision(allowed=False, tool=tool, subject="", reasons=("unavailable",))
            return reached[0].check(reached[1], tool, arguments, request=turn.request, window=seen, evidence=turn.evidence)

        return check


def with_ids(said: Sequence[Message], session: str, counts: Counter[str]) -> list[Message]:
    """Return messages with ids: the n-th time that a text is said in a conversation has one id, in every process.

    Args:
        said: In order, without ids.
        session: The conversation.
        counts: How often each was said so far; counted on.
    """
    named = []
    for one in said:
        content = "\0".join((session, one.role, one.speaker, one.text))
        digest = hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST]
        counts[digest] += 1
        named.append(one.model_copy(update={"id": f"{digest}-{counts[digest]}"}))
    return named


def fitting(tokens: Sequence[Callable[[], int]], begins: Sequence[bool], limit: int) -> int:
    """Return where the newest part of a history begins that fits and starts with the user; the running turn always does.

    Args:
        tokens: Count the tokens of each message; old ones are not asked.
        begins: Whether it is the user's.
        limit: Tokens.
    """
    asked = max((place for place, users in enumerate(begins) if users), default=0)
    first = len(tokens)
    while first > 0:
        limit -= tokens[first - 1]()
        if limit < 0 and first <= asked:
            break
        first -= 1
    while 0 < first < asked and not begins[first]:
        first += 1
    return first


def _after(session: str) -> str:
    """Return the name of a conversation after it was begun anew: s1, s1#2, s1#3."""
    base, _, number = session.rpartition("#")
    return f"{base}#{int(number) + 1}" if base and number.isdecimal() else f"{session}#2"
