"""What a scope that is bound to a conversation may see of the records, which belong to the whole owner."""

from __future__ import annotations

from collections.abc import Sequence

from tierkeep.protocols import View
from tierkeep.records import Record


def in_session(records: Sequence[Record], session: str | None, view: View) -> list[Record]:
    """Return the records that rest on something said in the session, in the same order; all of them for None.

    A record's status and its end may still come from another session: what was said later elsewhere ended it there.
    """
    if session is None or not records:
        return list(records)
    roots = dict.fromkeys(root for record in records for root in record.roots or record.sources)
    said = {event.id for event in view.events(list(roots)) if event.session == session}
    return [record for record in records if said.intersection(record.roots or record.sources)]
