"""Model skills: one way to ask a model for a typed answer, with one retry, a hard ceiling, and an honest fallback.

Seven skills cover every model call of MemFlow, HyMem and D-Mem (tiers spec, 4.4): classify, extract, consolidate, select, scan,
answer, judge. A reply that does not fit is asked for once more; then the skill has no answer, and the caller's deterministic rule takes
over. The allowance notes who answered. A reply is never accepted in silence.
"""

from __future__ import annotations

import json
from typing import NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from tierkeep.allowance import Allowance, Clock, Progress
from tierkeep.errors import ModelError, ModelReplyError
from tierkeep.protocols import ChatModel, ChatReply, ChatRequest, TokenCounter
from tierkeep.records import SkillCall
from tierkeep.streaming import StreamingChatModel, told_in_pieces

#: Tokens a server adds around two messages, roughly; only for deciding whether a call still fits into the allowance.
_FRAME = 16
#: Share of the time that is left which one call may take: a model that hangs must leave the rules time to answer.
_SHARE = 0.8


class Reply(BaseModel):
    """Base of the replies that models are asked for. No field has a default: strict schemas want every key."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Prompt(NamedTuple):
    """What a model is told: the stable prefix, which is the same bytes for every question, and the volatile tail."""

    system: str
    user: str


R = TypeVar("R", bound=Reply)


class Skills:
    """The skills of one chat model.

    Args:
        chat: The model.
        counter: How prompts are measured before they are sent.
        clock: For the time that calls take.
    """

    def __init__(self, chat: ChatModel, counter: TokenCounter, clock: Clock) -> None:
        self.name = chat.name
        self._chat = chat
        self._counter = counter
        self._clock = clock

    def use(
        self,
        skill: str,
        prompt: Prompt,
        reply: type[R],
        allowance: Allowance,
        *,
        max_tokens: int = 512,
        temperature: float = 0.0,
        show: str = "",
    ) -> R | None:
        """Return the model's reply, or None when the caller's fallback must answer; the allowance then says why.

        Args:
            skill: For accounting.
            prompt: What the model is told.
            reply: The shape of the reply.
            allowance: What the question may still spend.
            max_tokens: Ceiling on the reply.
            temperature: 0 unless the algorithm says otherwise.
            show: A text field of the reply that the allowance's listener is told as it comes; what it was told of a reply that does not
                count is discarded. Nothing is shown when nobody listens or the model gives its replies whole.
        """
        began = self._clock.monotonic()
        spent: list[ChatReply] = []
        price = self._counter.count(prompt.system) + self._counter.count(prompt.user) + _FRAME + max_tokens
        admitted = 0
        note = ""
        for attempt in range(2):
            if not allowance.admit(price):
                note = note or "the question's allowance is used up"
                break
            admitted += price
            left = allowance.seconds_left()
            timeout = None if left is None else left * _SHARE
            request = ChatRequest(skill, prompt.system, prompt.user, reply.model_json_schema(), max_tokens, temperature, timeout)
            try:
                answer = self._reply(request, allowance, show)
                spent.append(answer)
                parsed = reply.model_validate(answer.data if answer.data is not None else json.loads(answer.text))
            except (ModelReplyError, ValidationError, ValueError, RecursionError) as error:
                if isinstance(error, ModelReplyError):
                    # The reply came and was paid for; its own count is lost with it, so ours stands in.
                    spent.append(ChatReply(error.reply, None, price - max_tokens, self._counter.count(error.reply), error.stats))
                note = f"the reply does not fit: {_first_line(error)}"
                continue
            except ModelError as error:
                note = _first_line(error)
                break
            self._book(skill, "model" if attempt == 0 else "model, second try", spent, began, "", allowance, admitted)
            return parsed
        if show:
            allowance.tell(Progress("discard"))
        self._book(skill, "fallback", spent, began, note, allowance, admitted)
        return None

    def _reply(self, request: ChatRequest, allowance: Allowance, show: str) -> ChatReply:
        if not show:
            return self._chat.complete(request)
        allowance.tell(Progress("discard"))
        if not (allowance.heard and isinstance(self._chat, StreamingChatModel)):
            return self._chat.complete(request)
        reply = told_in_pieces(self._chat.stream(request), show, request.max_tokens, allowance.tell)
        if reply is None:
            raise ModelError(f"{self.name} ended a reply without the whole of it")
        return reply

    def _book(
        self, skill: str, by: str, spent: list[ChatReply], began: float, note: str, allowance: Allowance, admitted: int
    ) -> None:
        call = SkillCall.model_validate(
            {
                "skill": skill,
                "answered_by": by,
                "tries": len(spent),
                "tokens_in": sum(answer.tokens_in for answer in spent),
                "tokens_out": sum(answer.tokens_out for answer in spent),
                "ms": round((self._clock.monotonic() - began) * 1000, 3),
                "note": note,
                "stats": dict((spent[-1].stats if spent else None) or {}),
            }
        )
        allowance.book(call, admitted)


def _first_line(error: Exception) -> str:
    """Return what went wrong without what was said: a validation error repeats its input, which may be anybody's words."""
    if isinstance(error, ValidationError):
        problem = error.errors(include_input=False, include_url=False)[0]
        return f"{'.'.join(map(str, problem['loc'])) or 'reply'}: {problem['msg']}"
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
