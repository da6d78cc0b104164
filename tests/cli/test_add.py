from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tierkeep import Settings

CHAT = (
    "[2026-05-02 10:31] Ana: I bought a kayak.\n[2026-05-02 10:32] Bo: Which colour?\n[2026-05-03 09:00] Ana: Green.\n"
)


def test_a_text_is_remembered_with_what_was_said_about_it(shell: Any) -> None:
    receipt = shell.json(
        "add", "Tea, not coffee.", "--at", "2026-05-02", "--speaker", "Ana", "--role", "user", "--session", "s"
    )
    assert receipt["session"] == "s"
    event = shell.json("list")["events"][0]
    assert (event["id"], event["text"], event["at"], event["speaker"]) == (
        receipt["ids"][0],
        "Tea, not coffee.",
        "2026-05-02",
        "Ana",
    )


def test_people_see_the_id_and_the_session(shell: Any) -> None:
    result = shell("add", "Tea.", "--at", "2026-05-02")
    assert result.exit_code == 0
    assert "Remembered." in result.stdout
    assert "2026-05-02" in result.stdout


def test_standard_input_is_remembered(shell: Any) -> None:
    shell.json("add", "-", input="Caf\u00e9 at nine.\nOr ten.\n")
    assert shell.json("list")["events"][0]["text"] == "Caf\u00e9 at nine.\nOr ten."


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["add"], "say what to remember"),
        (["add", ""], "nothing to remember"),
        (["add", "x", "--file", "y"], "not both"),
        (["add", "x", "--role", "pirate"], "pirate"),
        (["add", "x", "--at", "some day"], "some day"),
        (["add", "x\x00y"], "NUL"),
        (["add", "--file", "gone.txt"], "no such file"),
        (["add", "--file", ".", "--role", "user"], "--role"),
        (["add", "--file", "x", "--format", "msn"], "msn"),
        (["add", "--file", "x", "--tz", "Mars/Olympus"], "Mars/Olympus"),
        (["add", "--file", "x", "--encoding", "klingon"], "klingon"),
    ],
)
def test_wrong_input_is_refused_and_stores_nothing(shell: Any, args: list[str], says: str) -> None:
    error = shell.error(*args, code=2)
    assert says in error["message"]
    assert not shell.store.exists() or shell.json("list", code=1)["events"] == []


def test_standard_input_in_another_encoding(shell: Any) -> None:
    assert "encoding" in shell.error("add", "-", input="caf\u00e9".encode("latin-1"), code=2)["message"]
    shell.json("add", "-", "--encoding", "latin-1", input="caf\u00e9".encode("latin-1"))
    assert shell.json("list")["events"][0]["text"] == "caf\u00e9"


def test_the_name_of_a_file_is_not_taken_for_a_text(shell: Any, file: Callable[..., str]) -> None:
    path = file("chat.txt", CHAT)
    assert f"tierkeep add --file {path}" in shell.error("add", path, code=2)["message"]


def test_somebody_must_be_named(shell: Any) -> None:
    error = shell.error("add", "x", code=2, TIERKEEP_USER="")
    assert error["type"] == "ScopeError"
    assert "--user" in error["message"]
    assert not shell.store.exists()


# -------------------------------------------------------------------------------------------------------------- files


def test_a_transcript_is_stored_once(shell: Any, file: Callable[..., str]) -> None:
    path = file("trip.txt", CHAT)
    first = shell.json("add", "--file", path, "--me", "Ana")["files"][0]
    assert (first["format"], first["messages"], first["sessions"], first["stored"]) == ("transcript", 3, 2, 3)
    again = shell.json("add", "--file", path, "--me", "Ana")["files"][0]
    assert (again["stored"], again["skipped"]) == (0, {"duplicate": 3})
    assert shell.json("sessions")["sessions"] == [
        {"session": "trip 2026-05-02", "events": 2},
        {"session": "trip 2026-05-03", "events": 1},
    ]
    origins = [event["origin"]["source"] for event in shell.json("list")["events"]]
    assert origins == ["user_direct", "imported", "user_direct"]
    assert "kayak" in shell("ask", "What did I buy?").stdout


def test_lines_whose_speaker_is_in_doubt_are_reported(shell: Any, file: Callable[..., str]) -> None:
    text = "Ana: Hi both.\nJon: Hello.\nAna: How are you?\nMei: I live in Oslo.\nJon: Nice.\nAna: So.\nPS: wine\n"
    report = shell.json("add", "-f", file("call.txt", text), "--me", "Ana")["files"][0]
    assert report["messages"] == 6
    assert any("Mei" in note for note in report["notes"])
    assert any("(PS)" in note for note in report["notes"])
    own = [event["text"] for event in shell.json("list")["events"] if event["origin"]["source"] == "user_direct"]
    assert own == ["Hi both.", "How are you?"]


def test_the_formats_people_have_are_named_first(shell: Any, file: Callable[..., str]) -> None:
    shown = shell("add", "--help", COLUMNS="400").stdout
    assert "One of chatgpt, claude, openai, markdown, transcript, " in shown
    assert "chatgpt, claude, openai, markdown, transcript, " in shell.error("add", "-f", "x", "--format", "msn", code=2)["message"]
    said = shell.error("add", "-f", file("notes.txt", "# Rivers\n\nThey flow.\n"), code=2)["message"]
    assert said.index("chatgpt") < said.index("tierkeep-bench")


def test_a_longer_export_adds_what_is_new(shell: Any, file: Callable[..., str]) -> None:
    shell.json("add", "--file", file("trip.txt", CHAT))
    report = shell.json("add", "--file", file("trip.txt", CHAT + "[2026-05-03 09:01] Bo: Nice.\n"))["files"][0]
    assert report["stored"] == 1


def test_several_files_standard_input_and_one_session_for_all(shell: Any, file: Callable[..., str]) -> None:
    talk = json.dumps([{"role": "user", "content": "a", "at": "2026-05-02"}, {"role": "assistant", "content": "b"}])
    args = ["add", "-f", file("one.json", talk), "-f", file("two.json", talk), "--session", "all"]
    assert [entry["stored"] for entry in shell.json(*args)["files"]] == [2, 2]
    assert (
        shell.json("add", "-f", "-", "--session", "all", input='{"role": "user", "content": "c"}')["files"][0]["stored"]
        == 1
    )
    assert shell.json("sessions")["sessions"] == [{"session": "all", "events": 5}]


def test_tool_calls_become_events(shell: Any, file: Callable[..., str]) -> None:
    call = {"type": "function", "function": {"name": "weather", "arguments": '{"city": "Porto"}'}}
    talk = [
        {"role": "assistant", "content": None, "tool_calls": [call, call]},
        {"role": "tool", "name": "weather", "content": "rain"},
    ]
    shell.json("add", "-f", file("a.json", json.dumps(talk)), "--at", "2026-05-02")
    events = shell.json("list")["events"]
    assert [event["kind"] for event in events] == ["tool_call", "tool_call", "tool_result"]
    assert {event["at"] for event in events} == {"2026-05-02"}


@pytest.mark.parametrize(
    "broken",
    [
        '{"role": "user", "content": ',
        '{"role": "nobody", "content": "x"}',
        '{"role": "user", "content": "x", "at": "?"}',
    ],
)
def test_a_broken_line_stores_nothing_of_any_file(shell: Any, file: Callable[..., str], broken: str) -> None:
    fine = file("fine.jsonl", '{"role": "user", "content": "a"}\n')
    bad = file("bad.jsonl", '{"role": "user", "content": "b"}\n' * 3 + broken + "\n")
    error = shell.error("add", "-f", fine, "-f", bad, code=2)
    assert (error["type"], error["line"]) == ("ImportFormatError", 4)
    assert error["path"] == bad
    assert not shell.store.exists()


def test_a_dry_run_stores_nothing(shell: Any, file: Callable[..., str]) -> None:
    report = shell.json("add", "-f", file("trip.txt", CHAT), "--dry-run")
    assert report["dry_run"] is True
    assert report["files"][0]["messages"] == 3
    assert not shell.store.exists()


def test_a_message_that_is_too_long(shell: Any, file: Callable[..., str]) -> None:
    talk = "\n".join(json.dumps({"role": "user", "content": "x" * n}) for n in (5, Settings().limits.text_chars + 1))
    path = file("long.jsonl", talk)
    assert "--skip-long" in shell.error("add", "-f", path, code=2)["message"]
    assert not shell.store.exists()
    assert shell.json("add", "-f", path, "--skip-long")["files"][0]["stored"] == 1


def test_a_file_of_somebody_else_is_never_the_users_word(shell: Any, file: Callable[..., str]) -> None:
    shell.json("add", "-f", file("a.json", '[{"role": "user", "content": "I live in Oslo."}]'), "--untrusted")
    event = shell.json("list")["events"][0]
    assert (event["origin"]["source"], event["authority"]) == ("imported", 1)


def test_what_is_worth_knowing_is_told(shell: Any, file: Callable[..., str]) -> None:
    result = shell(
        "add",
        "-f",
        file(
            "a.txt", "Ana: hi\nBo: ho\nAna: \ud83d\udc4d\n".encode("utf-8", "surrogatepass").decode("utf-8", "replace")
        ),
    )
    assert result.exit_code == 0
    assert "--me NAME" in result.stdout
    assert "3 messages without a date" in result.stdout


def test_an_unknown_format_lists_the_known_ones(shell: Any, file: Callable[..., str]) -> None:
    message = shell.error("add", "-f", file("a.txt", "Only prose here.\nMore prose.\n"), code=2)["message"]
    assert all(name in message for name in ("chatgpt", "claude", "openai", "transcript", "--format"))


def test_a_format_can_be_forced(shell: Any, file: Callable[..., str]) -> None:
    path = file("a.txt", "Intro.\nAna: hi, all\nand more prose\nand more\nand more\n")
    shell.error("add", "-f", path, code=2)
    assert shell.json("add", "-f", path, "--format", "transcript")["files"][0]["stored"] == 1


def test_the_benchmark_formats_are_known_to_the_command_line(shell: Any, file: Callable[..., str]) -> None:
    data = {
        "format": "tierkeep-bench/1",
        "conversations": [
            {"id": "c", "events": [{"id": "1", "session": "1", "at": "2026-05-02", "speaker": "Ana", "text": "hi"}]}
        ],
    }
    assert shell.json("add", "-f", file("a.json", json.dumps(data)))["files"][0]["format"] == "tierkeep-bench"


def test_a_file_of_many_sessions_and_messages_comes_in_whole(shell: Any, file: Callable[..., str]) -> None:
    lines = [
        json.dumps({"role": "user", "content": f"note {n}", "session": f"s{n // 600}", "at": "2026-05-02"})
        for n in range(1300)
    ]
    assert shell.json("add", "-f", file("many.jsonl", "\n".join(lines)))["files"][0]["stored"] == 1300
    assert [entry["events"] for entry in shell.json("sessions")["sessions"]] == [600, 600, 100]
    texts = [event["text"] for event in shell.json("list", "--limit", "2000")["events"]]
    assert texts == [f"note {n}" for n in range(1300)]
