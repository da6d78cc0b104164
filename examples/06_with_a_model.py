"""A chat model answers, is checked, and fails: the calls are bounded, and the trace says who answered."""

from __future__ import annotations

from tierkeep import Answer, Memory
from tierkeep.models.openai import OpenAIChat
from tierkeep.testing.openai_server import Fault, Line, OpenAIServer

# A server on this machine that says what its script says. In its place goes the address of yours, and the name of its model.
SCRIPT: list[Line] = [
    {"label": "targeted"},
    {"answer": "A man from the town who came with his son", "needs_more": False, "used": [0]},
    {"verdict": "unsupported", "missing": "the name"},
    {"answer": "Anselmo", "needs_more": False, "used": [0]},
    Fault(status=500),
]


def show(answer: Answer) -> None:
    """Print the answer, and who did what in each attempt."""
    print(answer.text, "accepted" if answer.verdict.accept else "not accepted", sep="  ")
    for step in answer.trace:
        for call in step.skills:
            print(f"  {step.plan.tier:9} {call.skill:9} {call.answered_by:9} {call.tokens_in + call.tokens_out:4} tokens  {call.note}")


with (
    OpenAIServer(SCRIPT) as server,
    OpenAIChat("tiny", base_url=server.base_url, retries=0) as chat,
    Memory.open(":memory:", chat=chat, preset="memflow") as memory,
):
    ana = memory.scope(user="ana")
    ana.add("The plumber who fixed the boiler is called Anselmo.", speaker="Ana", at="2026-03-09")
    # The rules are not sure, so the model sorts the question. Its first answer is not in the memory, the second is.
    show(ana.ask("Who fixed the boiler?"))
    # A question about a time needs no sorting. The server is down for it, so the rules answer.
    show(ana.ask("When was the boiler fixed?"))
