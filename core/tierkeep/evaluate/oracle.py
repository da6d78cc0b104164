"""A chat model for simulations that knows each question's answer and may give it only when the evidence for it was shown.

It measures what tiers, gates and budgets make possible, apart from how well any one model reads: it answers right exactly when every
message that the data names as evidence stood in the prompt, and otherwise declines. Its judgement can be made as fallible as wanted, so
that a result does not rest on a judge that is never wrong.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterable, Mapping
from typing import Any

from tierkeep import rendering
from tierkeep.evaluate.datasets import BenchQuestion
from tierkeep.protocols import ChatReply, ChatRequest, TokenCounter
from tierkeep.sentences import sentences
from tierkeep.streaming import shown
from tierkeep.terms import analyze

_NUMBERED = re.compile(r"^(?:new )?(\d+)\| (.*)$", re.MULTILINE)
#: Characters from which the beginning of a message stands for it, where a list shows beginnings only.
_BEGINNING = 60
#: Tokens that a server adds around two messages, roughly.
_FRAME = 16


class OracleChat:
    """Plays the model of every preset for one question after the other.

    Args:
        counter: How tokens are counted.
        wrong: Share of the questions without all their evidence that it answers, wrongly, instead of declining.
        miss: Share of its wrong answers that its judgement passes.
        alarm: Share of its right answers that its judgement fails.

    Attributes:
        name: What traces call it.
    """

    name = "oracle"

    def __init__(self, counter: TokenCounter, *, wrong: float = 0.0, miss: float = 0.0, alarm: float = 0.0) -> None:
        self._counter = counter
        self._rates = {"wrong": wrong, "miss": miss, "alarm": alarm}
        self._question = BenchQuestion(id="", question="")
        self._gold: list[_Gold] = []
        self._lock = threading.Lock()
        self.calls = 0

    def face(self, question: BenchQuestion, texts: Mapping[str, str]) -> None:
        """Take the next question.

        Args:
            question: With the ids of its evidence.
            texts: The text of every message by id.
        """
        self._question = question
        self._gold = [_Gold(texts[id], question.question, question.answer) for id in question.evidence if texts.get(id, "").strip()]
        self.calls = 0

    @property
    def right(self) -> str:
        """The answer that counts as right for the present question: the data's own, as an answer is shown."""
        return shown(self._question.answer) or f"(the answer to {self._question.id})"

    def would_answer(self, shown: str) -> bool:
        """Return whether a text holds all that the present question's answer rests on."""
        return all(gold.shown_in(shown) for gold in self._gold)

    def complete(self, request: ChatRequest) -> ChatReply:
        """Return what a model that reads perfectly would reply."""
        with self._lock:
            self.calls += 1
        data = self._reply(request)
        tokens_in = self._counter.count(request.system) + self._counter.count(request.user) + _FRAME
        text = str(data)
        return ChatReply(text, data, tokens_in, self._counter.count(text))

    def _reply(self, request: ChatRequest) -> dict[str, Any]:
        wanted = set((request.schema or {}).get("properties", {}))
        if request.skill == "classify":
            return {"label": "targeted"}
        if request.skill == "select":
            return {"ids": self._places(request.user)}
        if request.skill == "scan":
            return {"facts": self._facts(request.user, request.schema or {})}
        if request.skill == "answer":
            return self._answer(request.user)
        if "finished" in wanted:
            passed = self._judged(request.user)
            return {"finished": passed, "new_question": "" if passed else self._question.question}
        if "verdict" in wanted:
            return {"verdict": "supported" if self._judged(request.user) else "insufficient", "missing": ""}
        passed = self._judged(request.user)
        return _filled(request.schema or {}, "pass" if passed else "fail")

    def _answer(self, prompt: str) -> dict[str, Any]:
        if self.would_answer(prompt):
            return {"answer": self.right, "needs_more": False, "used": self._places(prompt)}
        if self._rolls("wrong", prompt):
            return {"answer": "(a wrong answer)", "needs_more": False, "used": [0]}
        return {"answer": "", "needs_more": True, "used": []}

    def _judged(self, prompt: str) -> bool:
        if f"Answer: {rendering.plain(self.right)}" in prompt:
            return not self._rolls("alarm", prompt)
        return self._rolls("miss", prompt)

    def _places(self, prompt: str) -> list[int]:
        return [int(number) for number, line in _NUMBERED.findall(prompt) if any(gold.told_by(line) for gold in self._gold)]

    def _facts(self, prompt: str, schema: Mapping[str, Any]) -> list[dict[str, Any]]:
        facts = []
        for number, line in _NUMBERED.findall(prompt):
            if any(gold.told_by(line) for gold in self._gold):
                facts.append(_like(schema, text=line, score=9, numbers=[int(number)]))
        return facts

    def _rolls(self, rate: str, salt: str) -> bool:
        """Return True for a share of all cases, the same ones in every run."""
        digest = hashlib.sha256(f"{rate}|{self._question.id}|{salt}".encode()).digest()
        return int.from_bytes(digest[:4], "big") < self._rates[rate] * 2**32


class _Gold:
    """One message of the evidence, and the sentences of it that a question needs.

    Those are the sentences with the words that the message shares with the answer, one for each word; where it shares none ("yesterday" for
    a date), the sentence that shares most with the question.
    """

    def __init__(self, text: str, question: str, answer: str) -> None:
        self._whole = rendering.plain(text)
        parts = [(rendering.plain(one), set(analyze(one))) for one in sentences(text)]
        wanted = [term for term in dict.fromkeys(analyze(answer)) if any(term in held for _, held in parts)]
        asked = set(analyze(question))
        nearest = max(parts, key=lambda part: len(asked & part[1]), default=(self._whole, set()))
        needed = [next(part for part, held in parts if term in held) for term in wanted] or [nearest[0]]
        self._parts = list(dict.fromkeys(needed))

    def shown_in(self, prompt: str) -> bool:
        """Return whether the message, or all sentences of it that are needed, stand in the prompt."""
        return self._whole in prompt or all(part in prompt for part in self._parts)

    def told_by(self, line: str) -> bool:
        """Return whether a line is of this message, or of a needed part of it, or of its beginning."""
        said = line.partition(": ")[2] or line
        return self._whole in line or any(part in line for part in self._parts) or (len(said) > _BEGINNING and self._whole.startswith(said))


def _filled(schema: Mapping[str, Any], status: str) -> dict[str, Any]:
    """Return a reply of this shape with every status set, for judges of several axes."""
    definitions = schema.get("$defs", {})

    def value(shape: Mapping[str, Any]) -> Any:
        if "$ref" in shape:
            return value(definitions[shape["$ref"].rsplit("/", 1)[-1]])
        if "properties" in shape:
            return {name: value(one) for name, one in shape["properties"].items()}
        choices: Iterable[Any] = shape.get("enum", ())
        if status in choices:
            return status
        return {"boolean": status == "pass", "array": [], "integer": 0}.get(str(shape.get("type")), "")

    filled: dict[str, Any] = value(schema)
    return filled


def _like(schema: Mapping[str, Any], *, text: str, score: int, numbers: list[int]) -> dict[str, Any]:
    """Return one scanned fact in the shape that the schema asks for: its fields told apart by their types."""
    definitions: Mapping[str, Any] = schema.get("$defs", {})
    shape: Mapping[str, Any] = next(iter(definitions.values()), {"properties": {}})
    by_type = {"string": text, "integer": score, "array": numbers}
    return {name: by_type.get(str(one.get("type")), "") for name, one in shape["properties"].items()}
