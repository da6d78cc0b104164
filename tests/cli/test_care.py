from __future__ import annotations

import json
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tierkeep import Memory
from tierkeep.cli.doctor import integrations


def texts(shell: Any, **more: Any) -> list[str]:
    result = shell("list", "--json", **more)
    return [event["text"] for event in json.loads(result.stdout)["events"]]


# -------------------------------------------------------------------------------------------------------------- forget


def test_forget_a_session_an_event_and_everything(filled: Any) -> None:
    report = filled.json("forget", "--session", "pets", "--yes")
    assert (report["events"], report["complete"]) == (1, True)
    assert texts(filled) == ["I moved to Lisbon in May."]
    first = filled.json("list")["events"][0]["id"]
    assert filled.json("forget", "--id", first, "--yes")["events"] == 1
    assert filled.json("profile", code=1)["records"] == []
    filled("add", "More.", "--at", "2026-05-04")
    assert filled.json("forget", "--all", "-y")["events"] == 1
    assert filled.json("forget", "--all", "-y", code=1)["events"] == 0


def test_forget_tells_people_that_no_trace_is_left(filled: Any) -> None:
    result = filled("forget", "--all", "--yes")
    assert result.exit_code == 0
    assert "Forgot 2 events" in result.stdout
    assert "No trace" in result.stdout


@pytest.mark.parametrize(
    ("said", "code", "left"), [("y\n", 0, 0), ("YES\n", 0, 0), ("n\n", 1, 2), ("\n", 1, 2), ("", 1, 2)]
)
def test_forget_asks_first(filled: Any, said: str, code: int, left: int) -> None:
    result = filled("forget", "--all", input=said)
    assert result.exit_code == code
    assert "all 2 events" in result.stderr
    assert len(texts(filled)) == left


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["forget"], 2),
        (["forget", "--yes"], 2),
        (["forget", "--all", "--session", "pets", "-y"], 2),
        (["forget", "--all", "--id", "x", "-y"], 2),
        (["forget", "--all"], 2),
        (["forget", "--session", "gone"], 1),
        (["forget", "--session", "gone", "-y"], 1),
        (["forget", "--id", "gone", "-y"], 1),
    ],
)
def test_forget_refuses_what_is_unclear(filled: Any, args: list[str], code: int) -> None:
    filled.error(*args, code=code)
    assert len(texts(filled)) == 2


def test_forget_never_reaches_another_owner(filled: Any) -> None:
    filled("add", "I am Bo.", "--user", "bo")
    assert filled.json("forget", "--all", "-y", "--user", "cleo", code=1)["events"] == 0
    assert filled.json("forget", "--all", "-y", "--user", "bo")["events"] == 1
    assert len(texts(filled)) == 2


# -------------------------------------------------------------------------------------------------------- export, import


def test_export_and_import_lose_nothing(filled: Any, tmp_path: Path) -> None:
    out = tmp_path / "ana.jsonl"
    assert filled.json("export", "-o", str(out))["file"] == str(out)
    assert filled("export").stdout.splitlines() == out.read_text(encoding="utf-8").splitlines()
    assert filled.json("import", str(out), "--user", "bo") == {
        "events": 2,
        "records": len(filled.json("profile")["records"]),
    }
    assert texts(filled, TIERKEEP_USER="bo") == texts(filled)
    assert filled.json("import", str(out), "--user", "bo")["events"] == 0
    assert filled("import", "-", "--user", "cleo", input=out.read_bytes()).exit_code == 0
    assert texts(filled, TIERKEEP_USER="cleo") == texts(filled)


def test_an_untrusted_import_has_the_authority_of_an_import(filled: Any, tmp_path: Path) -> None:
    out = tmp_path / "ana.jsonl"
    filled("export", "-o", str(out))
    filled.json("import", str(out), "--untrusted", "--user", "bo")
    events = filled.json("list", "--user", "bo")["events"]
    assert {(event["origin"]["source"], event["authority"]) for event in events} == {("imported", 1)}
    assert "user_direct" not in filled("export", "--user", "bo").stdout, "nor does the history say otherwise"


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_an_export_is_private_and_replaces_nothing_unasked(filled: Any, tmp_path: Path) -> None:
    out = tmp_path / "ana.jsonl"
    filled("export", "-o", str(out))
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    before = out.read_bytes()
    filled("add", "More.")
    assert "--force" in filled.error("export", "-o", str(out), code=2)["message"]
    assert out.read_bytes() == before
    filled.json("export", "-o", str(out), "--force")
    assert b"More." in out.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ana.jsonl", "memory"]


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links")
@pytest.mark.parametrize("name", ["ana.jsonl.part", ".ana.jsonl.part"])
def test_an_export_follows_no_link_that_lies_beside_it(filled: Any, tmp_path: Path, name: str) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / name).symlink_to(victim)
    out = tmp_path / "ana.jsonl"
    assert filled.json("export", "-o", str(out))["file"] == str(out)
    assert victim.read_text() == "mine"
    assert not out.is_symlink() and stat.S_IMODE(out.stat().st_mode) == 0o600


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links")
def test_an_export_replaces_a_link_and_never_what_it_points_to(filled: Any, tmp_path: Path) -> None:
    victim, out = tmp_path / "victim", tmp_path / "ana.jsonl"
    out.symlink_to(victim)
    assert "--force" in filled.error("export", "-o", str(out), code=2)["message"]
    filled.json("export", "-o", str(out), "--force")
    assert not victim.exists() and not out.is_symlink()


def test_an_export_that_fails_leaves_nothing_behind(filled: Any, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    (folder / "ana.jsonl").mkdir(parents=True)
    assert "cannot be written" in filled.error("export", "-o", str(folder / "ana.jsonl"), "--force", code=3)["message"]
    assert [path.name for path in folder.iterdir()] == ["ana.jsonl"]


def test_an_export_that_cannot_be_written_is_exit_code_3(filled: Any, tmp_path: Path) -> None:
    assert "cannot be written" in filled.error("export", "-o", str(tmp_path / "gone" / "x.jsonl"), code=3)["message"]


@pytest.mark.parametrize(
    "content",
    [
        '{"role": "user", "content": "x"}\n',
        "Ana: hi\n",
        "[]\n",
        '{"format": "tierkeep/1"}\n{"event": {}}\n',
        '{"format": "tierkeep/99"}\n',
        b"\xff\xfe",
        "\n",
        "",
    ],
)
def test_import_refuses_other_files_with_a_hint(shell: Any, file: Callable[..., str], content: str | bytes) -> None:
    error = shell.error("import", file("other.jsonl", content), code=2)
    assert error["type"] == "ImportFormatError"
    assert "tierkeep add --file" in error["message"]
    assert not shell.store.exists() or shell.json("list", code=1)["events"] == []


def test_a_damaged_export_is_refused_as_a_whole(filled: Any, tmp_path: Path) -> None:
    out = tmp_path / "ana.jsonl"
    filled("export", "-o", str(out))
    lines = out.read_text(encoding="utf-8").splitlines()
    lines[2] = lines[2][:-5]
    out.write_text("\n".join(lines), encoding="utf-8")
    error = filled.error("import", str(out), "--user", "bo", code=2)
    assert error["line"] == 3
    assert filled.json("list", "--user", "bo", code=1)["events"] == []


# -------------------------------------------------------------------------------------------------------------- checks


def test_undo_takes_back_a_derived_record(filled: Any) -> None:
    known = {record["id"] for record in filled.json("profile")["records"]}
    touched = filled.json("undo")["records"]
    assert set(touched) <= known
    assert touched
    assert not set(touched) & {record["id"] for record in json.loads(filled("profile", "--json").stdout)["records"]}
    assert len(texts(filled)) == 2, "events are never undone"


def test_undo_of_nothing_is_exit_code_1(shell: Any) -> None:
    shell("add", "The sky is blue.")
    while shell("undo").exit_code == 0:
        pass
    assert shell.error("undo", code=1)["type"] == "NotFoundError"


def test_verify(filled: Any) -> None:
    report = filled.json("verify")
    assert (report["ok"], report["events"]) == (True, 2)
    assert "sound" in filled("verify").stdout


def test_verify_finds_a_changed_text(filled: Any) -> None:
    import sqlite3

    connection = sqlite3.connect(filled.store / "tierkeep.db")
    for (name,) in connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'events'"
    ).fetchall():
        connection.execute(f'DROP TRIGGER "{name}"')
    connection.execute("UPDATE events SET text = 'I moved to Porto in May.' WHERE text LIKE '%Lisbon%'")
    connection.commit()
    connection.close()
    report = filled.json("verify", code=1)
    assert report["problems"]
    assert "damaged" in filled("verify").stdout


def test_verify_needs_no_owner_but_a_store(filled: Any, tmp_path: Path) -> None:
    assert filled("verify", TIERKEEP_USER="").exit_code == 0
    assert filled.error("verify", "--store", str(tmp_path / "gone"), code=1)["type"] == "NotFoundError"


def test_doctor_proves_and_leaves_nothing_behind(filled: Any) -> None:
    before = filled("export").stdout
    report = filled.json("doctor", "--quick")
    assert report["ok"] is True
    assert [check["name"] for check in report["checks"]] == ["write", "recall", "owners apart", "forget", "gone"]
    assert report["active"]["embedder"] == "none"
    assert report["versions"]["sqlite"]
    assert filled("export").stdout == before
    assert report["active"]["events"] == "2"


def test_doctor_proves_each_framework(filled: Any) -> None:
    for framework in ("langchain", "llama_index.core", "smolagents", "llguidance", "transformers"):
        pytest.importorskip(framework)
    checks = {check["name"]: check for check in filled.json("doctor")["checks"]}
    assert all(checks[name]["ok"] for name in ("langchain", "llamaindex", "smolagents", "transformers"))
    assert filled.json("doctor", "--quick")["active"]["events"] == "2"


def test_doctor_sees_a_memory_that_an_agent_cannot_use(tmp_path: Path) -> None:
    pytest.importorskip("langchain")
    memory = Memory.open(tmp_path / "m")
    memory.close()
    checks = [check for check in integrations(memory) if check.name == "langchain"]
    assert [check.ok for check in checks] == [False]


def test_doctor_in_words(shell: Any) -> None:
    result = shell("doctor", "--quick", TIERKEEP_USER="")
    assert result.exit_code == 0
    assert "Everything works." in result.stdout


def test_doctor_on_a_file_that_is_no_store(shell: Any) -> None:
    shell.store.write_text("a letter " * 50)
    assert shell.error("doctor", code=3)["type"] == "StoreCorrupt"


@pytest.mark.parametrize(
    "args", [["export"], ["import", "x.jsonl"], ["undo"], ["verify"], ["doctor"]], ids=lambda args: args[0]
)
def test_a_session_is_refused_where_the_whole_memory_is_meant(filled: Any, args: list[str]) -> None:
    before = filled("export").stdout
    error = filled.error(*args, "--session", "home", code=2)
    assert "leave --session out" in error["message"]
    assert f"tierkeep {args[0]}" in error["message"]
    assert filled("export").stdout == before
    assert "--session" not in filled(args[0], "--help").stdout


@pytest.mark.parametrize("args", [["demo"], ["bench", "speed"]])
def test_a_session_is_no_option_where_there_is_no_memory(shell: Any, args: list[str]) -> None:
    assert shell(*args, "--session", "home").exit_code == 2


def test_the_help_says_that_an_export_is_json_lines(shell: Any) -> None:
    assert "JSON lines (JSONL)" in shell("export", "--help", COLUMNS="400").stdout
    assert "JSONL" not in shell("verify", "--help", COLUMNS="400").stdout


def test_the_demo_never_writes_into_a_folder_that_has_something_in_it(filled: Any) -> None:
    assert "not empty" in filled.error("demo", "--keep", str(filled.store), code=2)["message"]


def test_the_demo_needs_no_owner_and_prints_one_document(shell: Any) -> None:
    result = shell("demo", "--fast", "--json", TIERKEEP_USER="")
    assert isinstance(json.loads(result.stdout), dict)
    assert not shell.store.exists()
