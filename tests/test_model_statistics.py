"""What a chat model says of its own work: it reaches the trace from every reply, fitting or not, and the table of attempts."""

from __future__ import annotations

import io

import pytest

from tierkeep import Memory
from tierkeep.errors import ModelError, ModelReplyError
from tierkeep.protocols import ChatReply, ChatRequest

FITS = ChatReply("", {"label": "targeted"}, 10, 5, {"policy": "sinks", "slots": 12})
ODD = ChatReply("", {"label": "nonsense"}, 10, 5, {"slots": 7})
CUT = ModelReplyError("cut off", reply="{", stats={"slots": 3})


class Telling:
    """A model that classifies as its script says and is down for anything else."""

    name = "telling"

    def __init__(self, script: list[ChatReply | ModelError]) -> None:
        self._script = script

    def complete(self, request: ChatRequest) -> ChatReply:
        said = self._script.pop(0) if self._script else ModelError("down")
        if isinstance(said, ModelError):
            raise said
        return said


@pytest.mark.parametrize(
    ("script", "by", "stats"),
    [
        ([FITS], "model", {"policy": "sinks", "slots": 12}),
        ([CUT, FITS], "model, second try", {"policy": "sinks", "slots": 12}),
        ([ODD, CUT], "fallback", {"slots": 3}),
        ([FITS._replace(stats={})], "model", {}),
        ([], "fallback", {}),
    ],
    ids=["fits", "second-try", "fallback", "silent", "down"],
)
def test_the_trace_holds_what_was_said_of_the_last_reply(
    script: list[ChatReply | ModelError], by: str, stats: dict[str, object]
) -> None:
    with Memory.open(":memory:", chat=Telling(list(script)), preset="memflow") as memory:
        ana = memory.scope(user="ana")
        ana.add("The plumber who fixed the boiler is called Anselmo.", at="2026-03-09")
        call = ana.ask("Who fixed the boiler?").trace[0].skills[0]
    assert (call.skill, call.answered_by, dict(call.stats)) == ("classify", by, stats)
    assert type(call).model_validate_json(call.model_dump_json()) == call


def test_the_table_of_attempts_shows_it() -> None:
    pytest.importorskip("rich")
    from rich.console import Console

    from tierkeep.cli.output import steps_table

    with Memory.open(":memory:", chat=Telling([FITS]), preset="memflow") as memory:
        ana = memory.scope(user="ana")
        ana.add("The plumber who fixed the boiler is called Anselmo.", at="2026-03-09")
        table = steps_table(ana.ask("Who fixed the boiler?"))
    shown = io.StringIO()
    Console(file=shown, width=400).print(table)
    assert "classify: model, 10+5 tokens [policy sinks, slots 12]" in shown.getvalue()
    assert shown.getvalue().count("[policy") == 1
