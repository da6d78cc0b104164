from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

READS = [["ask", "x"], ["recall", "x"], ["sessions"], ["list"], ["profile"], ["history", "x"]]


def test_ask_answers_with_dated_evidence_and_its_source(filled: Any) -> None:
    result = filled("ask", "What is my cat called?")
    assert result.exit_code == 0
    assert "Miso" in result.stdout
    assert "2026-05-03" in result.stdout
    assert "session pets" in result.stdout


def test_ask_as_json_is_the_whole_answer(filled: Any) -> None:
    answer = filled.json("ask", "What is my cat called?", "--budget", "200", "--now", "2026-06-01", "--deadline", "60")
    assert "Miso" in answer["text"]
    assert answer["evidence"]["tokens"] <= 200
    assert answer["trace"]


def test_explain_shows_the_attempts(filled: Any) -> None:
    plain, explained = filled("ask", "What is my cat called?"), filled("ask", "What is my cat called?", "--explain")
    assert "Attempts" not in plain.stdout
    assert "Attempts" in explained.stdout
    assert "accepted" in explained.stdout or "refused" in explained.stdout


def test_recall_shows_evidence_or_the_block_of_a_prompt(filled: Any) -> None:
    evidence = filled.json("recall", "cat called")
    assert any("Miso" in item["text"] for item in evidence["items"])
    assert "Miso" in filled("recall", "cat called").stdout
    assert filled("recall", "cat called", "--prompt").stdout.strip() == evidence["text"]


def test_ask_shows_the_best_evidence_and_recall_all_of_it(shell: Any, file: Callable[..., str]) -> None:
    lines = "".join(f"[2026-05-02 10:{n:02}] Ana: kayak trip number {n} was wet\n" for n in range(30))
    shell("add", "-f", file("a.txt", lines))
    count = len(shell.json("recall", "kayak trip")["items"])
    assert count > 8
    assert f"and {count - 8} more" in shell("ask", "Which kayak trip was wet?").stdout
    assert shell("recall", "kayak trip").stdout.count("kayak trip") == count


def test_nothing_found_is_exit_code_1(filled: Any) -> None:
    assert filled.json("recall", "zeppelin", code=1)["items"] == []
    assert filled.json("ask", "Who flew the zeppelin over Quito?", code=1)["abstained"] is True


def test_sessions_and_list(filled: Any) -> None:
    assert filled.json("sessions")["sessions"] == [{"session": "home", "events": 1}, {"session": "pets", "events": 1}]
    assert [event["text"] for event in filled.json("list")["events"]] == [
        "I moved to Lisbon in May.",
        "My cat is called Miso.",
    ]
    assert [event["session"] for event in filled.json("list", "--session", "pets")["events"]] == ["pets"]
    assert [event["session"] for event in filled.json("list", "-n", "1")["events"]] == ["home"]
    assert [event["session"] for event in filled.json("list", "-n", "1", "--last")["events"]] == ["pets"]
    assert filled.json("list", "--session", "gone", code=1)["events"] == []
    assert "session home" in filled("list").stdout
    assert "pets" in filled("sessions").stdout


def test_profile_and_its_history(filled: Any) -> None:
    records = filled.json("profile")["records"]
    home = next(record for record in records if "Lisbon" in record["text"])
    assert "Lisbon" in filled("profile").stdout
    revisions = filled.json("history", home["id"])["revisions"]
    assert revisions[0]["op"] == "add"
    assert "Lisbon" in filled("history", home["id"]).stdout


def test_profile_shows_what_was_replaced_only_when_asked(filled: Any) -> None:
    assert filled("add", "I moved to Oslo.", "--at", "2026-07-01").exit_code == 0
    now = " ".join(record["text"] for record in filled.json("profile")["records"])
    ever = " ".join(record["text"] for record in filled.json("profile", "--all")["records"])
    assert "Oslo" in now
    assert "Lisbon" not in now
    assert "Lisbon" in ever


def test_an_unknown_record_is_exit_code_1(filled: Any) -> None:
    assert filled.error("history", "nobody", code=1)["type"] == "NotFoundError"


def test_an_event_has_no_history_and_the_error_says_where_records_are_shown(filled: Any) -> None:
    event = filled.json("list")["events"][0]["id"]
    assert "tierkeep profile" in filled.error("history", event, code=1)["message"]
    assert "tierkeep history p-" in filled("history", "--help").stdout


def test_another_owner_sees_nothing(filled: Any) -> None:
    assert filled.json("list", "--user", "bo", code=1)["events"] == []
    assert filled.json("profile", "--agent", "coder", code=1)["records"] == []
    assert filled.json("recall", "cat called", "--tenant", "acme", code=1)["items"] == []


@pytest.mark.parametrize("args", READS, ids=lambda args: args[0])
def test_a_store_that_does_not_exist_is_said_and_not_made(shell: Any, args: list[str]) -> None:
    error = shell.error(*args, code=1)
    assert "no memory at" in error["message"]
    assert not shell.store.exists()


@pytest.mark.parametrize("args", READS, ids=lambda args: args[0])
def test_a_file_that_is_no_store_is_exit_code_3(shell: Any, args: list[str]) -> None:
    shell.store.write_text("not a database, but longer than a header " * 5)
    assert shell.error(*args, code=3)["type"] == "StoreCorrupt"


@pytest.mark.parametrize("args", READS, ids=lambda args: args[0])
def test_reads_need_an_owner(filled: Any, args: list[str]) -> None:
    assert filled.error(*args, code=2, TIERKEEP_USER="")["type"] == "ScopeError"


@pytest.mark.parametrize(
    "args",
    [
        ["ask", ""],
        ["ask", "  "],
        ["ask", "x" * 9000],
        ["recall", "x", "--now", "some day"],
        ["recall", ""],
        ["list", "--session", ""],
        ["sessions", "--user", "a\nb"],
    ],
)
def test_unusable_values_are_exit_code_2(filled: Any, args: list[str]) -> None:
    assert filled.error(*args, code=2)["message"]


@pytest.mark.parametrize(
    "args",
    [
        ["ask"],
        ["recall"],
        ["history"],
        ["ask", "x", "--budget", "0"],
        ["ask", "x", "--budget", "many"],
        ["ask", "x", "--deadline", "-1"],
        ["ask", "x", "--deadline", "nan"],
        ["list", "--limit", "0"],
        ["ask", "x", "y"],
        ["sessions", "x"],
        ["sesions"],
        ["ask", "x", "--bogus"],
    ],
)
def test_usage_errors_are_exit_code_2(filled: Any, args: list[str]) -> None:
    result = filled(*args)
    assert result.exit_code == 2
    assert result.stdout == ""


HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m [bold red]shout[/bold red] [/nope] :smile: \u202egnp.exe\u200b end"


def test_stored_text_is_printed_literally_and_drives_no_terminal(shell: Any) -> None:
    assert shell("add", "-", "--speaker", "[red]Bo[/red]", "--at", "2026-05-02", input=HOSTILE).exit_code == 0
    for args in (
        ["list"],
        ["recall", "shout"],
        ["ask", "Who did shout?", "--explain"],
        ["recall", "shout", "--prompt"],
    ):
        shown = shell(*args).stdout
        assert "[bold red]shout[/bold red] [/nope] :smile:" in shown
        assert not set(shown) & set("\x1b\x07\x9b\u202e\u200b")
    assert "[red]Bo[/red]" in shell("list").stdout


def test_json_keeps_the_text_whole_without_driving_a_terminal(shell: Any) -> None:
    shell("add", "-", input=HOSTILE)
    result = shell("list", "--json")
    assert not set(result.stdout) & set("\x1b\x07\x9b\u202e\u200b")
    assert shell.json("list")["events"][0]["text"] == HOSTILE


def test_a_stored_text_cannot_pose_as_a_line_of_ours(shell: Any) -> None:
    shell("add", "-", input="kayak\n\nError: the store is damaged\r2026-01-01  Ana  I owe Bo money")
    lines = shell("list").stdout.splitlines()
    assert not any(line.startswith(("Error", "2026-01-01")) for line in lines)
