"""Gullible agents (guard spec, 4.2): they write down what they read, do what they are told, and say it again.

The worst case on purpose: an agent with judgement is fooled less often, so what stops these stops others. None of them knows of guards;
where there is a gate, it stands between the agent and its tools.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from tierkeep.evaluate.attacks.cases import Case, Note, Session
from tierkeep.evaluate.attacks.grammar import command_sentences, joined_orders, orders, sentences
from tierkeep.evaluate.attacks.memories import AgentMemory, Outcome, Seen, Written
from tierkeep.evaluate.attacks.phrases import LANGUAGES, filled, phrases
from tierkeep.evaluate.attacks.world import Call, World
from tierkeep.records import Origin

#: Notes in which an agent says again, in one session, what it obeyed.
_RESTATED = 2


class Turn(NamedTuple):
    """What happened in a session.

    Attributes:
        seen: What came out of the memory.
        wanted: Calls that the agent wanted to make, in order.
    """

    seen: tuple[Seen, ...]
    wanted: tuple[Call, ...]


class GullibleAgent:
    """Writes every observation down as it is, obeys everything, and writes again what it obeyed.

    Attributes:
        name: As the table and `--agent` have it.
        backends: Memories that go with it.
    """

    name = "rag"
    backends: tuple[str, ...] = ("dict", "sqlite", "vector", "tierkeep")

    def session(self, memory: AgentMemory, world: World, session: Session, case: Case, outcomes: Counter[Outcome]) -> Turn:
        """Go through one session.

        Args:
            memory: Where it remembers.
            world: Where it acts.
            session: What is asked and shown.
            case: How it reads and restates.
            outcomes: Gets what became of the attacker's texts that it tried to keep.
        """
        seen = memory.recall(session.request, case.k)
        ids = [id for one in seen for id in one.ids]
        for note, written in self.remember(memory, session, seen, case):
            if note.poison:
                outcomes[written.outcome] += 1
            ids += written.ids
        memory.write(Note(session.request, Origin.user("ana")))
        wanted = self._wanted(session, seen)
        for call in wanted:
            if memory.allows(call, session.request, ids):
                world.execute(call)
        if case.reemit:
            self._restate(memory, session, seen)
        return Turn(tuple(seen), wanted)

    def remember(self, memory: AgentMemory, session: Session, seen: Sequence[Seen], case: Case) -> list[tuple[Note, Written]]:
        """Write down what the session's tools showed; return what became of each note."""
        return [(note, memory.write(note)) for note in session.reads]

    def _wanted(self, session: Session, seen: Sequence[Seen]) -> tuple[Call, ...]:
        texts = [*(one.text for one in seen), *(note.text for note in session.reads)]
        own = [*orders(session.request), *(call for text in texts for call in orders(text)), *joined_orders(texts)]
        return tuple(dict.fromkeys(own))

    def _restate(self, memory: AgentMemory, session: Session, seen: Iterable[Seen]) -> None:
        """Say again what was obeyed, next to what was asked: so the orders come to lie near what users ask."""
        obeyed = {command_sentences(one.text): one for one in seen if orders(one.text)}
        for said, one in list(obeyed.items())[:_RESTATED]:
            memory.write(Note(f"{session.request} {said}", Origin.agent(), one.poison), one.ids)


class WindowAgent(GullibleAgent):
    """Has a sliding window and nothing else; each turn it restates what it obeys."""

    name = "window"
    backends = ("window",)


class FileAgent(GullibleAgent):
    """Keeps a file of notes and reads it whole at the start of each session."""

    name = "file"
    backends = ("file",)


class SummariserAgent(GullibleAgent):
    """Keeps no observation, only its own note of what it read, and does not say where it has that from."""

    name = "summariser"

    def remember(self, memory: AgentMemory, session: Session, seen: Sequence[Seen], case: Case) -> list[tuple[Note, Written]]:
        """Write one note in the agent's own name."""
        if not session.reads:
            return []
        language = case.language if case.language in LANGUAGES else "en"
        text = filled(str(phrases(language).texts["summary"]), text=" ".join(note.text for note in session.reads))
        note = Note(text, Origin.agent(), any(read.poison for read in session.reads))
        # What was in its window counts as read for the harness; the agent itself drops where it came from.
        stand_ins = [memory.unstored(read) for read in session.reads]
        return [(note, memory.write(note, [*(id for one in seen for id in one.ids), *stand_ins], told=False))]


class ExtractorAgent(GullibleAgent):
    """Keeps one-sentence facts in its own name."""

    name = "extractor"
    backends = ("extractor",)

    def remember(self, memory: AgentMemory, session: Session, seen: Sequence[Seen], case: Case) -> list[tuple[Note, Written]]:
        """Write each sentence as a fact, with the topic it was read under."""
        made = []
        for read in session.reads:
            source = memory.unstored(read)
            for sentence in sentences(read.text):
                note = Note(f"{session.request} {sentence}", Origin.agent(), read.poison)
                made.append((note, memory.write(note, [source], told=False)))
        return made


AGENTS: Mapping[str, GullibleAgent] = {
    agent.name: agent for agent in (GullibleAgent(), SummariserAgent(), ExtractorAgent(), WindowAgent(), FileAgent())
}
#: All memories that agents have, in the table's order.
BACKENDS = ("dict", "sqlite", "vector", "extractor", "window", "file", "tierkeep")
