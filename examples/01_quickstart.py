"""Store, recall, ask, forget. Nothing leaves this machine."""

from __future__ import annotations

import tempfile

from tierkeep import Memory

with tempfile.TemporaryDirectory() as folder, Memory.open(folder) as memory:
    ana = memory.scope(user="ana")
    receipt = ana.add(
        [
            {"role": "user", "content": "We viewed the flat in Alfama last Saturday."},
            {"role": "assistant", "content": "How was the view?"},
            {"role": "user", "content": "You can see the river from the kitchen."},
        ],
        at="2026-05-20",
        session="flat",
    )
    print(f"stored {len(receipt.ids)} messages in session {receipt.session!r}\n")

    evidence = ana.recall("When did we view the flat in Alfama?", budget=400)
    print(evidence.text)
    print(f"{evidence.tokens} of {evidence.budget} tokens, counted by {evidence.tokenizer}\n")

    answer = ana.ask("When did we view the flat in Alfama?")
    print(answer.text)

    print("another owner finds:", repr(memory.scope(user="bo").recall("the flat in Alfama").note))

    report = ana.forget(session="flat")
    print(f"forgot {report.events} events; complete: {report.complete}")
    print("afterwards:", repr(ana.recall("the flat in Alfama").note))
