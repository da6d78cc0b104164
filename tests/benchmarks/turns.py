"""What a memory adds to a turn of each framework's agent: the same agent with and without it, in turns, one process.

Run it: python tests/benchmarks/turns.py --events 1000 --turns 60 [--json]

Each agent is the framework's own, with a model that replies at once, so that what is measured is everything but the model. Times are
medians of one turn each; `cpu` is the process's own time, which says more than `wall` on a machine that is shared.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from typing import Any

from tierkeep import Memory
from tierkeep.demo import load_conversation
from tierkeep.scoped import ScopedMemory

_BLOCK = 10
Turn = Callable[[str], Any]


def sentences(seed: int) -> Callable[[], str]:
    """Return a source of sentences like those of the demo's conversation."""
    source = random.Random(seed)
    texts = [row.get("text") or row["content"] for row in load_conversation()]
    words = sorted({word for text in texts for word in text.split()})

    def sentence() -> str:
        return " ".join(word if source.random() < 0.6 else source.choice(words) for word in source.choice(texts).split())[:200]

    return sentence


def fill(owner: ScopedMemory, events: int, sentence: Callable[[], str]) -> None:
    """Store that many messages of a user and an assistant, fifty to a conversation."""
    for first in range(0, events, 50):
        said = [{"role": ("user", "assistant")[place % 2], "content": sentence()} for place in range(min(50, events - first))]
        owner.add(said, session=f"earlier-{first}")


def langchain(memory: Memory | None) -> Turn:
    """One agent, a new thread every five turns."""
    from itertools import count, repeat

    from langchain.agents import create_agent
    from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
    from langgraph.checkpoint.memory import InMemorySaver

    from tierkeep_langchain import MemoryMiddleware

    middleware = [] if memory is None else [MemoryMiddleware(memory, user="ana")]
    agent = create_agent(GenericFakeChatModel(messages=repeat("Noted.")), middleware=middleware, checkpointer=InMemorySaver())
    number = count()
    mark = "with" if memory else "without"
    return lambda said: agent.invoke({"messages": [("user", said)]}, {"configurable": {"thread_id": f"{mark}{next(number) // 5}"}})


def llamaindex(memory: Memory | None) -> Turn:
    """A chat engine on the framework's buffer or on ours, begun anew every five turns."""
    from itertools import count

    from llama_index.core.chat_engine import SimpleChatEngine
    from llama_index.core.llms import MockLLM
    from llama_index.core.memory import ChatMemoryBuffer

    from tierkeep_llamaindex import TierkeepMemory

    number = count()
    engines: dict[int, Any] = {}

    def turn(said: str) -> Any:
        session = next(number) // 5
        if session not in engines:
            own = (
                ChatMemoryBuffer.from_defaults()
                if memory is None
                else TierkeepMemory.from_defaults(memory=memory, user_id="ana", session_id=f"s{session}")
            )
            engines[session] = SimpleChatEngine.from_defaults(llm=MockLLM(max_tokens=8), memory=own)
        return engines[session].chat(said)

    return turn


def smolagents(memory: Memory | None) -> Turn:
    """A code agent that ends its run at once."""
    from smolagents import ChatMessage, CodeAgent, LogLevel, MessageRole, Model

    from tierkeep_smolagents import with_memory

    class Ending(Model):
        def generate(self, messages: Any, **_: Any) -> Any:
            return ChatMessage(role=MessageRole.ASSISTANT, content="<code>\nfinal_answer('Noted.')\n</code>")

    agent = CodeAgent(tools=[], model=Ending(), verbosity_level=LogLevel.OFF)
    return (agent if memory is None else with_memory(agent, memory, user="ana")).run


def measure(make: Callable[[Memory | None], Turn], events: int, turns: int) -> dict[str, float]:
    """Return medians in milliseconds: without, with, and what is added, by wall clock and by the process's own time."""
    sentence = sentences(7)
    with tempfile.TemporaryDirectory() as folder, Memory.open(folder) as memory:
        fill(memory.scope(user="ana"), events, sentence)
        agents = {"without": make(None), "with": make(memory)}
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in agents}
        for block in range(-1, max(1, turns // _BLOCK)):
            for name, turn in agents.items():
                for _ in range(_BLOCK):
                    wall, cpu = time.perf_counter(), time.process_time()
                    turn(f"{sentence()[:100]}?")
                    if block >= 0:  # the first block warms up
                        times[name].append(((time.perf_counter() - wall) * 1e3, (time.process_time() - cpu) * 1e3))
        found = {}
        for place, clock in enumerate(("wall", "cpu")):
            without, with_ = (statistics.median(one[place] for one in times[name]) for name in ("without", "with"))
            found |= {f"{clock}_without_ms": without, f"{clock}_with_ms": with_, f"{clock}_added_ms": with_ - without}
        return {name: round(value, 2) for name, value in found.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What a memory adds to a turn of each framework's agent.")
    parser.add_argument("--events", type=int, nargs="+", default=[1_000, 10_000], help="messages in the memory")
    parser.add_argument("--turns", type=int, default=60, help="turns of each agent")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = [
        {"framework": make.__name__, "events": events, **measure(make, events, given.turns)}
        for make in (langchain, llamaindex, smolagents)
        for events in given.events
    ]
    if given.json:
        about = {"turns": given.turns, "python": platform.python_version(), "machine": platform.machine()}
        print(json.dumps({**about, "rows": rows}, indent=1))
        return
    print(f"{'framework':<12}{'events':>8}  added ms: wall    cpu   (with / without, wall)")
    for row in rows:
        print(f"{row['framework']:<12}{row['events']:>8}{row['wall_added_ms']:>15}{row['cpu_added_ms']:>7}   "
              f"({row['wall_with_ms']} / {row['wall_without_ms']})")  # fmt: skip


if __name__ == "__main__":
    main()
