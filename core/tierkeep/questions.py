"""What a caller can get wrong about a question, a budget, a deadline or a list of ids, found before anything is read."""

from __future__ import annotations

from collections.abc import Iterable

from tierkeep.errors import InputError, LimitError
from tierkeep.settings import Limits

__all__ = ["check_deadline", "check_question", "ids_of"]


def check_question(question: object, budget: object, deadline_s: object, limits: Limits) -> None:
    """Check what a read was asked with.

    Raises:
        InputError: The question is empty or no text, or the budget or deadline is no number from which something can be read.
        LimitError: The question is too long.
    """
    limit = limits.question_chars
    if not isinstance(question, str) or not question.strip():
        raise InputError("ask a question: the text is empty", field="question")
    if len(question) > limit:
        raise LimitError(f"the question has {len(question):,} characters, the limit is {limit:,}: shorten it, or raise "
                         "Settings.limits.question_chars", field="question", limit=limit, actual=len(question))
    if budget is not None and (isinstance(budget, bool) or not isinstance(budget, int) or budget < 1):
        raise InputError(f"budget must be a whole number of tokens from 1 on, not {_short(budget)}", field="budget")
    check_deadline(deadline_s)


def check_deadline(deadline_s: object) -> None:
    """Check a deadline.

    Raises:
        InputError: It is neither None nor seconds from 0 on.
    """
    if deadline_s is not None and (isinstance(deadline_s, bool) or not isinstance(deadline_s, (int, float)) or not deadline_s >= 0):
        raise InputError(f"deadline_s must be seconds from 0 on, not {_short(deadline_s)}", field="deadline_s")


def ids_of(ids: object) -> list[str]:
    """Return what the caller named as ids, each once: one text, or several.

    Raises:
        InputError: It is neither.
    """
    wanted = [ids] if isinstance(ids, str) else list(ids) if isinstance(ids, Iterable) else [ids]
    for one in wanted:
        if not isinstance(one, str):
            raise InputError(f"ids must be texts, as receipts and evidence have them, not a {type(one).__name__}", field="ids")
    return list(dict.fromkeys(wanted))


def _short(value: object) -> str:
    """Return a wrong value for a message; a number of thousands of digits has no text."""
    return type(value).__name__ if isinstance(value, int) and abs(value) >= 10**30 else repr(value)[:60]
