"""Forgetting: what was derived goes too, what has another source is derived again, and the files are searched."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tierkeep import Memory

with tempfile.TemporaryDirectory() as folder, Memory.open(folder) as memory:
    ana = memory.scope(user="ana")
    ana.add("I live in Lisbon, near the river.", speaker="Ana", at="2026-01-10", session="january")
    ana.add("I moved to Porto. The door code is quetzalcoatl.", speaker="Ana", at="2026-09-10", session="september")

    def on_disk(word: str) -> bool:
        """Return whether the word stands anywhere in the store's files, in plain bytes."""
        return any(word.encode() in path.read_bytes() for path in Path(folder).iterdir() if path.is_file())

    print("before:", ana.ask("Where do I live?").text, "| the code is in the files:", on_disk("quetzalcoatl"))

    report = ana.forget(session="september")
    print(
        f"forgot {report.events} event and {report.records} record, derived {report.rederived} again; "
        f"looked for {report.canaries} words, found {list(report.residue)}"
    )
    print("after: ", ana.ask("Where do I live?").text, "| the code is in the files:", on_disk("quetzalcoatl"))
    assert report.complete
    assert not on_disk("quetzalcoatl")

    # The chain still holds: "forgotten" is an entry of its own, and differs from "lost".
    verified = memory.verify()
    print(f"verify: {verified.ok}, {verified.entries} ledger entries for {verified.events} event")
