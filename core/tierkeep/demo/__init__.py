"""The demo's conversation and its questions, shipped with the package.

`conversation.jsonl` holds ten months of chat between one invented person and her assistant, one turn a line:
`session`, `role` (user, assistant or tool), `speaker`, `at` (ISO 8601, UTC), `text`, and `name` where the role is tool.
Two of the tool results carry an embedded prompt injection, so that the demo can show what the guard does with them.

`script.json` holds what the demo asks: `questions` (with the tier each is meant for, strings that must be in the
evidence or the answer, and the sessions they come from), a `changed_fact`, the `poison` and `poison_also` probes,
and the session to `forget`.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

__all__ = ["load_conversation", "load_script"]


def load_conversation() -> list[dict[str, str]]:
    """The demo's turns in the order they were said, one dictionary of strings a turn."""
    text = files(__name__).joinpath("conversation.jsonl").read_text(encoding="utf-8")
    # Not splitlines(): JSON strings may hold raw U+2028, which it would take for a line's end.
    return [json.loads(line) for line in text.split("\n") if line]


def load_script() -> dict[str, Any]:
    """The demo's questions and probes, and what each of them must show."""
    script: dict[str, Any] = json.loads(files(__name__).joinpath("script.json").read_text(encoding="utf-8"))
    return script
