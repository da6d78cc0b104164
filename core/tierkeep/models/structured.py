"""Finds the one JSON object in a model's reply and checks it against its schema. Replies are hostile text: every step is linear."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from tierkeep.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

_START = re.compile(r'\{\s*["}]')
_CANDIDATES = 200


class Reading(NamedTuple):
    """What a reply turned out to be.

    Attributes:
        data: The object that fits, or None.
        problem: Why there is none, without a word of the reply.
        bare: True when the reply holds no JSON object at all: the server does not know that one was asked for.
    """

    data: Mapping[str, Any] | None
    problem: str = ""
    bare: bool = False


def read_object(text: str, schema: Mapping[str, Any]) -> Reading:
    """Return the object of `text` that fits `schema`.

    The object may stand alone, in a code fence, after a model's visible thoughts or amid other text. Two different objects that
    both fit are one too many: nothing here guesses which was meant.

    Raises:
        InputError: `schema` is not a JSON schema.
        MissingExtraError: `jsonschema` is not installed.
    """
    validator = validator_of(schema)
    found = list(_objects(text.rpartition("</think>")[2]))
    if not found:
        return Reading(None, "holds no JSON object", bare=True)
    problems = [_problem(one, validator) for one in found]
    fitting = [one for one, problem in zip(found, problems, strict=True) if not problem]
    if not fitting:
        return Reading(None, problems[-1])
    if any(one != fitting[0] for one in fitting[1:]):
        return Reading(None, f"holds {len(fitting)} different objects that fit the schema")
    return Reading(fitting[0])


def validator_of(schema: Mapping[str, Any]) -> Validator:
    """Return the validator of a schema, checked once and kept.

    Raises:
        InputError: `schema` is not a JSON schema.
        MissingExtraError: `jsonschema` is not installed.
    """
    return _validator(json.dumps(schema))


@lru_cache(maxsize=64)
def _validator(schema: str) -> Validator:
    if importlib.util.find_spec("jsonschema") is None:
        raise MissingExtraError("Checking replies against a schema", extra="openai")
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        Draft202012Validator.check_schema(json.loads(schema))
    except SchemaError as error:
        raise InputError(f"not a JSON schema: {error.message}", field="schema") from None
    return Draft202012Validator(json.loads(schema))


def _problem(data: Mapping[str, Any], validator: Validator) -> str:
    """Return the first broken rule by its place in the schema, which is ours to show; the reply's own words are not."""
    try:
        error = next(iter(validator.iter_errors(data)), None)
        json.dumps(data, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return "holds half of a character"
    except RecursionError:
        return "is nested too deeply"
    return "" if error is None else f"does not fit the schema at {'/'.join(map(str, error.absolute_schema_path))}"


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """Yield the outermost JSON objects in order, out of the first `_CANDIDATES` places that look like one.

    After a failure the search goes on behind the character that broke the object, so that no character is parsed twice, and an
    inner object of a broken outer one is not mistaken for the reply. The places are limited because the parser's error counts the
    lines before it, which costs a pass over the text each time.
    """
    decoder = json.JSONDecoder(parse_constant=_no_number)
    end = 0
    for _ in range(_CANDIDATES):
        start = _START.search(text, end)
        if start is None:
            return
        try:
            value, end = decoder.raw_decode(text, start.start())
        except json.JSONDecodeError as error:
            end = max(error.pos, start.end() - 1)
        except (ValueError, RecursionError):  # NaN, an integer of thousands of digits, or nested beyond reason
            return
        else:
            yield value


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
