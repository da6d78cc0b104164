"""What a caller can get wrong about a question, a budget, a deadline, a ledger, or what is to go, found before anything is done."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from tierkeep.errors import InputError, LimitError, NotFoundError, SettingsError
from tierkeep.protocols import View
from tierkeep.records import Scope
from tierkeep.settings import Limits

__all__ = ["check_deadline", "check_question", "check_views", "doomed", "ids_of"]


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


def check_views(view: object) -> None:
    """Refuse the views of a ledger that was written for an older tierkeep: they would fail in the middle of a question.

    Raises:
        SettingsError: They lack what `tierkeep.protocols.View` has since 0.6.
    """
    if missing := [name for name in ("newest", "term_pages") if not callable(getattr(view, name, None))]:
        raise SettingsError(f"the ledger's views have no {' and no '.join(missing)}: tierkeep.protocols.View says what they return")


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


def doomed(view: View, scope: Scope, ids: Sequence[str] | None, session: str | None) -> list[str]:
    """Return the ids of the events that a forget is about: those that were named, those of a conversation, or all.

    Raises:
        InputError: The ids or the session are none.
        NotFoundError: The scope does not have one of them.
    """
    if ids is not None:
        wanted = ids_of(ids)
        found = {event.id for event in view.events(wanted) if scope.session in (None, event.session)}
        missing = tuple(id for id in wanted if id not in found)
        if missing:
            raise NotFoundError(f"this scope ({scope}) has no event {missing[0]!r}: nothing was forgotten", ids=missing)
        return wanted
    if not isinstance(session, str | None):
        raise InputError(f"session must be the name of a conversation, not a {type(session).__name__}", field="session")
    target = session if session is not None else scope.session
    if session is not None and scope.session not in (None, session):
        raise NotFoundError(f"this scope is bound to session {scope.session!r}: nothing was forgotten", ids=(session,))
    going = [event.id for event in view.scan(session=target)]
    if session is not None and not going:
        near = difflib.get_close_matches(session, [name for name, _ in view.sessions()], n=3, cutoff=0.5)
        hint = f" (near it: {', '.join(map(repr, near))})" if near else ""
        raise NotFoundError(f"this scope ({scope}) has no session {session!r}{hint}: nothing was forgotten", ids=(session,))
    return going
