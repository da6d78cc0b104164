"""What the transforms share: a worked-out line, and which items count as messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tierkeep.records import EvidenceItem


class Line(NamedTuple):
    """A worked-out line and the ids of the items it rests on."""

    text: str
    items: tuple[str, ...]


def messages(items: Sequence[EvidenceItem]) -> list[EvidenceItem]:
    """Return what was said at a known time: no profile item, and nothing that was derived from messages."""
    return [item for item in items if item.at and not item.flag and item.held is None and item.kind in ("", "message")]
