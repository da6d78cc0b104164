"""An answer appears while the model writes it; what does not hold is taken back, and the rest of the program cannot tell the difference."""

from __future__ import annotations

import asyncio

from tierkeep import Answer, Memory
from tierkeep.models.openai import OpenAIChat
from tierkeep.scoped import ScopedMemory
from tierkeep.testing.openai_server import Line, OpenAIServer

# A server on this machine that says what its script says. In its place goes the address of yours, and the name of its model.
SCRIPT: list[Line] = [
    {"label": "targeted"},
    {"answer": "A man from the town who came with his son", "needs_more": False, "used": [0]},
    {"verdict": "unsupported", "missing": "the name"},
    {"answer": "Anselmo, the plumber", "needs_more": False, "used": [0]},
    {"answer": "9 March 2026", "needs_more": False, "used": [0]},
]


def show(ana: ScopedMemory, question: str) -> Answer:
    """Print the pieces as they come, with a bar between them, and return the answer."""
    text = ""
    for item in ana.stream(question):
        if isinstance(item, Answer):
            assert text == item.text
            return item
        if item.what == "answer":
            print(item.text, end="|", flush=True)
            text += item.text
        elif item.what == "discard":
            print("  (taken back)")
            text = ""
    raise AssertionError("the answer is the last item")


async def first_piece(ana: ScopedMemory, question: str) -> str:
    """Return the first piece of text. Leaving the stream ends the work."""
    stream = ana.astream(question)
    try:
        return next(item.text for item in [await anext(stream)] if not isinstance(item, Answer))
    finally:
        await stream.aclose()


with (
    OpenAIServer(SCRIPT) as server,
    OpenAIChat("tiny", base_url=server.base_url, retries=0) as chat,
    Memory.open(":memory:", chat=chat, preset="memflow") as memory,
):
    ana = memory.scope(user="ana")
    ana.add("The plumber who fixed the boiler is called Anselmo.", speaker="Ana", at="2026-03-09")
    answer = show(ana, "Who fixed the boiler?")
    print("  accepted:", answer.verdict.accept)
    print(asyncio.run(first_piece(ana, "When was the boiler fixed?")))
