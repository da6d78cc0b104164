"""The warm process of the trials: it has imported everything, has opened nothing, and forks. `python -m tierkeep.evaluate.kill ORDER`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tierkeep.errors import TierkeepError
from tierkeep.evaluate.kill.plan import Order, carried_out


def main() -> None:
    """Carry out an order, a JSON object; write progress and the rows as JSON, one a line."""

    def say(line: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()

    given = json.loads(sys.argv[1])
    order = Order(**{**given, "folder": Path(given["folder"]), "paths": tuple(given["paths"]), "stores": tuple(given["stores"])})
    try:
        for row in carried_out(order, lambda done, what: say({"done": done, "what": what})):
            say({"row": row.as_dict()})
    except (TierkeepError, RuntimeError) as error:
        say({"error": f"{error}"})


if __name__ == "__main__":
    main()
