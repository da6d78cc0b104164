"""The async twins, several tasks on one memory, and reads that have no time left."""

from __future__ import annotations

import asyncio

from tierkeep import Memory, TierkeepError


async def main() -> None:
    """Write from twenty tasks at once, read from two, and show what a deadline does."""
    async with Memory.open(":memory:") as memory:
        ana = memory.scope(user="ana")
        notes = (f"Parcel {1000 + i} waits at counter {i}." for i in range(20))
        await asyncio.gather(*(ana.aadd(note, at="2026-03-02", session=f"s{i}") for i, note in enumerate(notes)))
        await ana.aadd("The train leaves at 9:40 from platform four.", at="2026-03-03")

        questions = ("Where does parcel 1007 wait?", "Which platform does the train leave from?")
        for answer in await asyncio.gather(*(ana.aask(question) for question in questions)):
            print(answer.text)

        # A deadline is kept by returning what there is, marked as partial; it is not an error.
        late = await ana.arecall("Where does parcel 1007 wait?", deadline_s=0)
        print("no time at all:", late.partial, repr(late.note))
        in_time = await ana.arecall("Where does parcel 1007 wait?", deadline_s=5, budget=80)
        print("five seconds, 80 tokens:", in_time.partial, f"{in_time.tokens} tokens, {len(in_time.dropped)} hits did not fit")

        # What cannot be used is a typed error that says what to do.
        try:
            await ana.arecall("   ")
        except TierkeepError as error:
            print(f"{type(error).__name__}: {error}")


asyncio.run(main())
