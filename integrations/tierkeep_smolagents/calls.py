"""What stands in for an agent's tools and managed agents while it works, and what a call of them looks like to the gate."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

from tierkeep.windows import Window, plain_arguments

__all__ = ["CALLER", "arguments_of", "stand_in"]

#: The run whose tool, or whose managed agent, is at work in this thread.
CALLER: ContextVar[Window | None] = ContextVar("tierkeep_smolagents_caller", default=None)
#: What generated code and templates may see of a tool behind the gate: no way around it.
_SHOWN = {"name", "description", "inputs", "output_type", "output_schema", "to_code_prompt", "to_tool_calling_prompt", "is_initialized"}


def stand_in(inner: Any, call: Callable[[Any, tuple[Any, ...], dict[str, Any]], Any], *, gated: bool) -> Any:
    """Return what an agent calls in the place of a tool. A closure holds the tool: generated code can reach attributes."""

    class StandIn:
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return call(inner, args, kwargs)

        def __getattr__(self, name: str) -> Any:
            if gated and name not in _SHOWN:
                raise AttributeError(f"{name} of a tool behind the gate cannot be reached while its agent runs")
            return getattr(inner, name)

    return StandIn()


def arguments_of(tool: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return a call's arguments by name, as `Tool.__call__` hands them on."""
    named = {name: value for name, value in kwargs.items() if name != "sanitize_inputs_outputs"}
    order = list(getattr(tool, "inputs", ()))
    if len(args) == 1 and not named and isinstance(args[0], dict) and all(key in order for key in args[0]):
        args, named = (), dict(args[0]) if type(args[0]) is dict else {"arguments": args[0]}
    parameters = inspect.signature(tool.forward).parameters.values() if hasattr(tool, "forward") else ()
    if parameters and not any(one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD) for one in parameters):
        order = [one.name for one in parameters]
    named |= {order[at] if at < len(order) else f"argument {at + 1}": value for at, value in enumerate(args)}
    return plain_arguments(named)
