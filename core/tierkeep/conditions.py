"""What a JSON value must have to be found: `{"kind": "note", "stars": {"$gte": 4}, "by": {"name": "Ann"}}`.

Plain values must be equal, mappings hold for the members they name, lists must be equal member by member. Operators are `$eq`, `$ne`,
`$gt`, `$gte`, `$lt` and `$lte`. What a value does not have counts as None: it is unequal to everything else, and neither above nor below
anything. Numbers, and texts that are numbers, compare as numbers; other texts compare as texts, so that ISO times are in order.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from tierkeep.errors import InputError

__all__ = ["check_conditions", "matches"]

_ORDER: Mapping[str, Callable[[Any, Any], bool]] = {
    "$gt": operator.gt, "$gte": operator.ge, "$lt": operator.lt, "$lte": operator.le,
}  # fmt: skip
_OPERATORS = ("$eq", "$ne", *_ORDER)


def check_conditions(conditions: Any) -> None:
    """Check a filter before anything is read.

    Raises:
        InputError: It is no mapping, or has an operator that there is not.
    """
    if not isinstance(conditions, Mapping):
        raise InputError(f"a filter maps members of a value to what they must be, and is not a {type(conditions).__name__}", field="filter")
    for wanted in conditions.values():
        _check(wanted)


def _check(wanted: Any) -> None:
    if isinstance(wanted, Mapping):
        operators = any(str(name).startswith("$") for name in wanted)
        for name, inner in wanted.items():
            if operators and name not in _OPERATORS:
                raise InputError(f"a filter has no operator {str(name)[:40]!r}: use {', '.join(_OPERATORS)}", field="filter")
            if not operators:
                _check(inner)
    elif isinstance(wanted, (list, tuple)):
        for inner in wanted:
            _check(inner)


def matches(value: Mapping[str, Any], conditions: Mapping[str, Any]) -> bool:
    """Return whether a value has what a checked filter asks for."""
    return all(_fits(value.get(name), wanted) for name, wanted in conditions.items())


def _fits(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, Mapping):
        if any(str(name).startswith("$") for name in wanted):
            return all(_compared(value, name, other) for name, other in wanted.items())
        return isinstance(value, Mapping) and matches(value, wanted)
    if isinstance(wanted, (list, tuple)):
        return isinstance(value, list) and len(value) == len(wanted) and all(map(_fits, value, wanted))
    return bool(value == wanted)


def _compared(value: Any, name: str, other: Any) -> bool:
    if name in ("$eq", "$ne"):
        return bool(value == _listed(other)) is (name == "$eq")
    try:
        return _ORDER[name](float(value), float(other))
    except (TypeError, ValueError):
        return isinstance(value, str) and isinstance(other, str) and _ORDER[name](value, other)


def _listed(value: Any) -> Any:
    """Return a value with lists for its tuples, as JSON keeps them."""
    if isinstance(value, Mapping):
        return {name: _listed(inner) for name, inner in value.items()}
    return [_listed(inner) for inner in value] if isinstance(value, (list, tuple)) else value
