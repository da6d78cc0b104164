"""A fact changes: today's value is the answer, the old one stays readable with the time it held."""

from __future__ import annotations

from tierkeep import Memory

with Memory.open(":memory:") as memory:
    ana = memory.scope(user="ana")
    ana.add("I live in Lisbon, near the river.", speaker="Ana", at="2026-01-10")
    ana.add("I've moved to Porto, the new flat has a balcony.", speaker="Ana", at="2026-09-10")

    print(ana.ask("Where do I live now?").text)
    print(ana.ask("Did I live somewhere else before that?").text)

    print("\nWhat the ledger holds:")
    for record in ana.records(kind="profile", status=None):
        until = record.valid_to[:10] if record.valid_to else "today"
        print(f"  {record.text}: {record.valid_from[:10] if record.valid_from else '?'} to {until} ({record.status})")

    lisbon = ana.records(status="superseded")[0]
    print("\nHow the first one came to its end:")
    for step in ana.history(lisbon.id):
        print(f"  {step.op}: {step.why}")

    # A change of records can be taken back. What was said cannot: events are immutable.
    ana.undo()
    print("\nafter undo:", ana.ask("Where do I live now?").text)
    print("the events are still there:", [event.text for event in ana.events()][-1])
