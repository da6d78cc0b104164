"""A memory as a Markdown file that a person can read, edit and import again: the profile, then what was said, by day and conversation.

The file for programs is `ScopedMemory.export`: it loses nothing. This one leaves out what is quarantined, and derived records but the
profile, and says of each line in a comment what it is, so that importing it stores only what somebody has written anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from tierkeep.importers.markdown_marks import Mark, canonical, digest_of, escaped, write
from tierkeep.records import Authority, Event, Record, Scope

_HEAD = (
    "<!-- Written by tierkeep. Edit, add and remove lines as you like, then: tierkeep add --file THIS_FILE",
    "     An edited or a new line is stored as a new memory. Removing a line forgets nothing: tierkeep forget does. -->",
)


def markdown(scope: Scope, events: Iterable[Event], profile: Iterable[Record] = ()) -> Iterator[str]:
    """Yield the lines of the file, without line ends.

    Args:
        scope: Whose memory it is, for the title.
        events: In any order; what is quarantined and what has no text is left out.
        profile: The records of the profile that hold.
    """
    yield from ("# " + escaped(f"Memory of {scope}"), "", *_HEAD)
    items = [record for record in profile if record.authority > Authority.QUARANTINED and canonical(record.text)]
    if items:
        yield from ("", "## Profile", "")
        yield from (_of_record(record) for record in items)
    shown = [event for event in events if event.authority > Authority.QUARANTINED and canonical(event.text)]
    first: dict[str, int] = {}
    for event in shown:
        first.setdefault(event.session, event.seq)
    shown.sort(key=lambda event: (event.day, first[event.session], event.seq))
    for day, of_day in groupby(shown, key=lambda event: event.day):
        yield from ("", f"## {day.isoformat()}")
        for session, said in groupby(of_day, key=lambda event: event.session):
            yield from ("", f"### {escaped(session)}", "")
            yield from (_of_event(event) for event in said)


def _of_event(event: Event) -> str:
    values = {"at": event.at, "session": event.session, "role": event.role, "from": event.origin.source.value}
    return write(event.speaker, event.text, Mark("event", event.id, digest_of(event.speaker, event.text), values))


def _of_record(record: Record) -> str:
    return write("", record.text, Mark("record", record.id, digest_of("", record.text)))
