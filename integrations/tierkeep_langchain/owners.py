"""Whose memory a run works with: read from its context or config, never from what a model says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from langgraph.config import get_config

from tierkeep.errors import ScopeError
from tierkeep.scoped import ScopedMemory
from tierkeep.turns import Part, Turns

__all__ = ["from_run", "owners", "within_a_tool"]


def from_run(name: str) -> Callable[[Any], str | None]:
    """Return a part of an owner that each run names: `user=from_run("user_id")`.

    Looked for as `context.user_id` or `context["user_id"]`, then as `config["configurable"]["user_id"]`; a number or UUID is its text.
    """

    def read(runtime: Any) -> Any:
        context = getattr(runtime, "context", None)
        value = context.get(name) if isinstance(context, Mapping) else getattr(context, name, None)
        value = _configurable(runtime).get(name) if value is None else value
        return str(value) if isinstance(value, (int, UUID)) and not isinstance(value, bool) else value

    return read


def owners(turns: Turns, session: Part, **parts: Part) -> Callable[[Any], ScopedMemory]:
    """Return a function that gives the owner of a run, with its conversation: `session`, or the thread's id. It may raise ScopeError.

    Raises:
        ScopeError: No part of an owner is given.
    """
    if all(part is None for part in parts.values()):
        raise ScopeError('say whose memory it is: user=from_run("user_id"), a text, or a function of the runtime', field="user")

    def conversation(runtime: Any) -> str | None:
        named = session(runtime) if callable(session) else session
        named = _configurable(runtime).get("thread_id") if named is None else named
        return None if named is None else str(named)

    return lambda runtime: turns.owner(runtime, session=conversation, **parts)


def within_a_tool(runtime: Any) -> bool:
    """Return whether a tool of another agent runs this one, as far as LangGraph says so: not where the tool gives it a thread."""
    *outer, _ = str(_configurable(runtime).get("checkpoint_ns") or "").split("|")
    return any(node.startswith("tools:") for node in outer)


def _configurable(runtime: Any) -> Mapping[str, Any]:
    """Return the values of the run's config: the runtime of a tool carries it, a hook stands in it, and outside of a run there is none."""
    try:
        config = getattr(runtime, "config", None) or get_config()
    except RuntimeError:
        return {}
    return config.get("configurable") or {}
