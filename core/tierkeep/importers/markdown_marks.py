"""One memory as one line of Markdown: written so that it cannot leave its line, marked so that it is known when it comes back.

The mark is an HTML comment, which no reader sees: `<!-- tierkeep event id=… digest=… at=… session=… -->`. It holds a digest of the line,
so that a line which somebody has edited counts as a new memory, and never as the old one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Literal, NamedTuple
from urllib.parse import quote, unquote

_DIGEST_CHARS = 12
_MARK = re.compile(r"<!-- tierkeep (event|record)((?: [a-z]+=[^\s<>]*)*) -->")
#: Characters that begin something in Markdown or HTML, wherever they stand; an underscore only at the edge of a word.
_SPECIAL = re.compile(r"[\\`*\[\]<>~]|(?<![^\W_])_|_(?![^\W_])|&(?=[#\w])")
#: Controls that no entity of Markdown can stand for; they say nothing in a memory, and drive terminals.
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]+")
#: What shows nothing, turns the direction of writing or ends a line: written as an entity, so that people see it.
_UNSEEN = re.compile(
    "[\t\r\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0"
    "\ufff0-\ufffb\U000e0000-\U000e0fff]"
)


class Mark(NamedTuple):
    """What a line says of itself.

    Attributes:
        kind: "event" is a memory; "record" was derived from memories, and comes back with them.
        id: Of the event or record.
        digest: Of the line as it was written.
        values: at, session, role and from (the origin), where the line has them.
    """

    kind: Literal["event", "record"]
    id: str
    digest: str
    values: Mapping[str, str] = {}


def canonical(text: str) -> str:
    """Return the text as a line can hold it: without controls, and without blank space around it."""
    return _CONTROLS.sub("", text).strip()


def digest_of(speaker: str, text: str) -> str:
    """Return the digest of a line."""
    return hashlib.sha256(f"{canonical(speaker)}\0{canonical(text)}".encode("utf-8", "replace")).hexdigest()[:_DIGEST_CHARS]


def write(speaker: str, text: str, mark: Mark) -> str:
    """Return the list item of one memory, on one line."""
    who, said = escaped(speaker), escaped(text)
    lead = f"**{who}:** " if who else ""
    return f"- {lead}{said} {comment(mark)}"


def escaped(text: str) -> str:
    """Return the text in Markdown that reads as the text and nothing else, on one line: line ends are written `<br>`."""
    shown = _SPECIAL.sub(r"\\\g<0>", canonical(text))
    shown = _UNSEEN.sub(lambda found: f"&#x{ord(found[0]):x};", shown)
    return shown.replace("\n", "<br>")


def comment(mark: Mark) -> str:
    """Return the mark as an HTML comment. No value can end it."""
    values = {"id": mark.id, "digest": mark.digest, **mark.values}
    # "--" may stand in no comment, "." only looks better as it is
    said = " ".join(f"{name}={quote(value, safe=':+')}".replace("--", "-%2D") for name, value in values.items() if value)
    return f"<!-- tierkeep {mark.kind} {said} -->"


def read(html: str) -> Mark | None:
    """Return the mark that an HTML comment is; None for any other."""
    found = _MARK.fullmatch(html.strip())
    if found is None:
        return None
    values = {name: unquote(value) for name, _, value in (pair.partition("=") for pair in found[2].split())}
    kind: Literal["event", "record"] = "event" if found[1] == "event" else "record"
    return Mark(kind, values.pop("id", ""), values.pop("digest", ""), values)
