"""How long a thread's adds wait beside a forget of the same process, and how long the forget takes, in a store of made-up messages.

Run it: python tests/benchmarks/beside_a_forget.py --events 100000 --forgets 9

Another owner adds a message every five milliseconds while single messages of the large owner are forgotten, one after the other.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from statistics import median

from tierkeep import Memory
from tierkeep.evaluate.made_up import Maker

_BATCH = 1_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--forgets", type=int, default=9)
    asked = parser.parse_args()
    maker, waits, forgets, over = Maker(1), [], [], threading.Event()
    with tempfile.TemporaryDirectory() as folder, Memory.open(folder) as memory:
        large, other = memory.scope(user="large"), memory.scope(user="other")
        for first in range(0, asked.events, _BATCH):
            texts = [{"content": maker.text(), "id": f"m{number}"} for number in range(first, min(first + _BATCH, asked.events))]
            large.add(texts, session=f"s{first}")

        def write() -> None:
            while not over.wait(0.005):
                began = time.perf_counter()
                other.add(maker.text())
                waits.append(time.perf_counter() - began)

        writer = threading.Thread(target=write)
        writer.start()
        for number in range(asked.forgets):
            began = time.perf_counter()
            assert large.forget(ids=[f"m{number * asked.events // asked.forgets}"]).complete
            forgets.append(time.perf_counter() - began)
        over.set()
        writer.join()
    print(json.dumps({
        "events": asked.events, "forget_s": round(median(forgets), 3), "adds": len(waits), "add_ms": round(1000 * median(waits), 2),
        "longest_add_ms": round(1000 * max(waits), 1),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
