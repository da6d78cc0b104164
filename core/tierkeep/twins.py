"""Async verbs made of sync ones, so that each is written once."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, TypeVar

__all__ = ["twin"]

_P = ParamSpec("_P")
_R = TypeVar("_R")
_S = TypeVar("_S")


def twin(method: Callable[Concatenate[_S, _P], _R]) -> Callable[Concatenate[_S, _P], Coroutine[Any, Any, _R]]:
    """Return the async twin of a verb: the same call in a worker thread, so that the event loop never waits for a disk.

    A thread cannot be stopped: who cancels the twin, or lets a timeout do it, stops waiting, and the call still runs to its end. A
    cancelled `aadd` stores, a cancelled `aforget` forgets. With an `id` for each message it is safe to add again.
    """

    async def same(self: _S, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        import asyncio  # only those who await pay for it

        return await asyncio.to_thread(method, self, *args, **kwargs)

    functools.update_wrapper(same, method)
    same.__name__ = f"a{method.__name__}"
    same.__doc__ = f"Do the same as `{method.__name__}`, without blocking the event loop. Cancelling it stops the waiting, not the work."
    return same
