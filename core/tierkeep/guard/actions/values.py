"""The values of a tool call that somebody must stand behind: addresses, accounts, paths, amounts, names, switches."""

from __future__ import annotations

import hashlib
import json
import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from tierkeep.errors import InputError, LimitError
from tierkeep.rendering import visible

__all__ = ["MOST_VALUES", "Value", "canonical", "digest_of", "embedded", "subject_of", "values_of"]

#: Values of one call that are looked at; a call with more of them is not one that a person could check (ours).
MOST_VALUES = 256
_DEPTH = 8
#: What a wording of the model's own may not bring along: addresses, links, hosts, paths, accounts, handles. Figures it may.
_EMBEDDED = re.compile(
    r"""
    (?P<day>\b(?:19|20)\d\d-(?:0[1-9]|1[0-2])(?:-(?:0[1-9]|[12]\d|3[01]))?\b)  # no value
    | [\w.+\-]{1,64}@[\w\-]{1,63}(?:\.[\w\-]{1,63}){1,8}        # address
    | \b[a-z][a-z0-9+.\-]{1,15}://[^\s<>"'`\x00-\x1f]{1,512}    # link
    | \b(?:data|tel|sms|mailto|javascript|magnet|bitcoin|ethereum|sip|callto|geo|urn|blob|file):[^\s<>"'`]{1,512}  # other links
    | (?<![\w/\\.])(?:~|\.{1,2})?(?:/[\w.\-]{1,128}){1,32}/?    # path
    | \b[A-Za-z]:\\[^\s<>"'|?*]{1,256}                          # path with a drive
    | \b(?:[\w\-]{2,63}\.){1,8}(?:(?-i:[a-z]{2,24}|[A-Z]{2,24})|xn--[a-z0-9\-]{1,59}|(?![a-z])[^\W\d_]{2,24})\b  # host
    | (?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.]*\d)             # host by number
    | \[?(?:[0-9a-f]{1,4}:){3,7}:?[0-9a-f]{0,4}(?::[0-9a-f]{1,4}){0,5}\]?  # and the long kind
    | (?<![\w:])(?=[0-9a-f:]{0,60}\d)(?:[0-9a-f]{0,4}:){1,7}:[0-9a-f:.]{0,40}  # the same, cut short
    | (?<!\w)[@\#][\w\-]{2,64}                                  # handle
    | \b[A-Z]{2}\d{2}(?:[ ]?[A-Z0-9]{4}){2,8}(?:[ ]?[A-Z0-9]{1,3})?\b  # account number with a country
    | \b(?=\d{0,128}[a-z\-])(?=(?:[a-z\-]{0,128}\d){3})[a-z0-9]{1,128}(?:-[a-z0-9]{1,128}){0,8}\b  # three digits and more
    | \d{7,40}                                                 # account, telephone
    | (?<![\w.,])(?=\W{0,2}(?:\d\W{0,3}){9})\+?\(?\d{1,5}\)?(?:[ /\-]\(?\d{2,6}\)?){2,8}(?![\w])  # the same with blanks
    """,
    re.VERBOSE | re.IGNORECASE,
)
_LIST = re.compile("[,;\n]")
_ADDRESS = re.compile(r"[\w.+\-]{1,64}@[\w\-]{1,63}(?:\.[\w\-]{1,63}){1,8}")
#: A name and an address, and nothing else that a tool could take for a command: each word of the name begins as names do.
_WORD = r"[^\W\d_a-z][\w.'\u2019\-]{0,40}"
_NAMED = re.compile(rf"""^["']?((?:{_WORD},?[ ]){{0,4}}{_WORD})?["']?[ ]?<([^<>\s]{{1,300}})>$""")


class Value(NamedTuple):
    """One value of a call.

    Attributes:
        path: Where it stands, such as "to" or "items[0].account".
        text: What is looked for in requests and memories; "" for a switch (true, false), which no text can hold.
        free: Whether it was found inside a wording that may be the model's own.
    """

    path: str
    text: str
    free: bool = False


def canonical(tool: str, arguments: Mapping[str, Any]) -> str:
    """Return the call as canonical JSON: sorted keys, no blanks, numbers as JSON has them.

    Raises:
        InputError: The arguments are not plain JSON values.
    """
    if not isinstance(tool, str) or not tool.strip():
        raise InputError("a tool call needs the tool's name", field="tool")
    if not isinstance(arguments, Mapping):
        raise InputError(f"arguments must be a mapping of names to JSON values, not a {type(arguments).__name__}", field="arguments")
    try:
        return json.dumps(
            {"tool": tool, "args": dict(arguments)}, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )
    except (TypeError, ValueError, RecursionError):
        raise InputError(f"the arguments of {tool!r} are not plain JSON values", field="arguments") from None


def subject_of(text: str) -> str:
    """Return the SHA-256 under which a text or a call stands in the log and in confirmations."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def digest_of(token: str) -> bytes:
    """Return the SHA-256 under which a confirmation's token is kept."""
    return hashlib.sha256(str(token).encode("utf-8", "surrogatepass")).digest()


def values_of(arguments: Mapping[str, Any], free: Iterable[str] = ()) -> list[Value]:
    """Return every value of a call's arguments, in order.

    Args:
        arguments: As the model gave them.
        free: Names of arguments whose wording may be the model's own; of those only what is embedded is returned.

    Raises:
        LimitError: There are more than `MOST_VALUES`, or they are nested more than eight deep.
    """
    allowed = frozenset(free)
    found: list[Value] = []
    for name, value in arguments.items():
        for one in _walk(str(name), value, str(name) in allowed, 0):
            found.append(one)
            if len(found) > MOST_VALUES:
                raise LimitError(f"a tool call of more than {MOST_VALUES} values", field="arguments", limit=MOST_VALUES, actual=len(found))
    return found


def _walk(path: str, value: Any, free: bool, depth: int) -> Iterator[Value]:
    if depth > _DEPTH:
        raise LimitError(f"the arguments are nested more than {_DEPTH} deep", field="arguments", limit=_DEPTH, actual=depth)
    if isinstance(value, Mapping):
        for key, inner in value.items():
            # A key is the model's to choose as much as a value is, where the whole mapping is one argument.
            yield from _of_text(f"{path}.{key}", str(key), free=True)
            yield from _walk(f"{path}.{key}", inner, free, depth + 1)
    elif isinstance(value, (list, tuple)):
        for at, inner in enumerate(value):
            yield from _walk(f"{path}[{at}]", inner, free, depth + 1)
    elif isinstance(value, bool):
        yield Value(path, "")
    elif isinstance(value, (int, float)):
        yield Value(path, _figure(value))
    elif value is not None:
        yield from _of_text(path, str(value), free=free)


def _figure(value: float) -> str:
    return str(int(value)) if math.isfinite(value) and value == int(value) and abs(value) < 1e15 else repr(value)


def _of_text(path: str, text: str, *, free: bool) -> Iterator[Value]:
    stripped = text.strip()
    if not stripped:
        return
    if free:
        for one in embedded(stripped):
            yield Value(path, one, free=True)
        return
    pieces = [piece.strip() for piece in _LIST.split(stripped) if piece.strip()]
    if len(pieces) > 1 and all(_ADDRESS.search(piece) for piece in pieces):  # "a@x.org, b@x.org" is two values
        for at, piece in enumerate(pieces):
            yield Value(f"{path}[{at}]", _bare(piece))
        return
    yield Value(path, _bare(stripped))


def _bare(text: str) -> str:
    """Return the address of "Bo Lind <bo@example.org>", and any other text as it is."""
    named = _NAMED.match(text)
    return named[2] if named and _ADDRESS.fullmatch(named[2]) and not embedded(named[1] or "") else text


def embedded(text: str) -> list[str]:
    """Return the addresses, links, hosts, paths, accounts and handles inside a text, each once, in order. Linear.

    Full-width letters and points count as what a browser takes them for, and what cannot be seen does not hide any.
    """
    read = unicodedata.normalize("NFKC", visible(text)).replace("\u3002", ".")
    found = [
        match.group().strip(" .,;:!?)")
        for form in dict.fromkeys((text, read)) for match in _EMBEDDED.finditer(form) if match.lastgroup != "day"
    ]  # fmt: skip
    return list(dict.fromkeys(found))
