"""A model on this machine, in bounded memory: its replies fit their schema, and the trace says how full its cache was.

Nothing is downloaded: the model is a tiny one with random weights, so it says nonsense, and the rules stand in for it where that shows.
Name the folder of a real one instead: TransformersChat("models/my-model", policy=…).

Run: pip install "tierkeep[transformers]" && python examples/13_local_model.py
"""

from tierkeep import Memory
from tierkeep.protocols import ChatRequest
from tierkeep_transformers import StreamingLLM, TransformersChat
from tierkeep_transformers.proof import tiny_model

SCHEMA = {
    "type": "object",
    "properties": {"mood": {"enum": ["calm", "cross"]}, "urgent": {"type": "boolean"}},
    "required": ["mood", "urgent"],
    "additionalProperties": False,
}


def main() -> None:
    """Ask the model for an object, then a memory that has it as its chat model."""
    model, tokenizer = tiny_model()
    # 64 slots for each layer and KV head: the first four tokens and the newest. What leaves the cache is gone for this reply.
    chat = TransformersChat(model, tokenizer, StreamingLLM(budget=64, buffer=16))

    reply = chat.complete(ChatRequest("answer", "How does she sound?", "The boiler is broken again!", schema=SCHEMA))
    print("A reply inside its schema, from random weights:", reply.text)
    print("Its cache:", ", ".join(f"{name} {value}" for name, value in reply.stats.items()))

    with Memory.open(":memory:", chat=chat, preset="memflow") as memory:
        ana = memory.scope(user="ana")
        ana.add("The plumber who fixed the boiler is called Anselmo.", speaker="Ana", at="2026-03-09")
        answer = ana.ask("Who fixed the boiler?")
    print("\nThe answer:", answer.text)
    for step in answer.trace:
        for call in step.skills:
            held = f"{call.stats['slots']} of {call.stats['tokens']} tokens held at the end"
            print(f"  {call.skill}: {call.answered_by}, {held}. {call.note}")


if __name__ == "__main__":
    main()
