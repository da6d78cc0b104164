from __future__ import annotations

import json
import stat
from typing import Any

import pytest


def owners(shell: Any, store: str) -> list[tuple[str, str, int]]:
    return [(o["user"], o["agent"], o["events"]) for o in shell.json("stats", "--owners", "9", "--store", store)["owners"]]


@pytest.fixture
def shared(filled: Any) -> Any:
    """A store of ana, alone and under an agent, and of bo."""
    assert filled("add", "I use two spaces.", "--agent", "coder", "--at", "2026-05-04").exit_code == 0
    assert filled("add", "I am Bo.", "--user", "bo").exit_code == 0
    return filled


EVERYBODY = [("ana", "", 2), ("ana", "coder", 1), ("bo", "", 1)]


def test_migrate_moves_everybody_and_can_be_run_again(shared: Any) -> None:
    there = str(shared.folder / "there")
    plan = shared.json("migrate", "--from", str(shared.store), "--to", there, "--dry-run")
    assert [one["state"] for one in plan["owners"]] == ["waiting"] * 3 and not (shared.folder / "there").exists()
    report = shared.json("migrate", "--to", there)
    assert (report["ok"], report["events"]) == (True, 4)
    assert owners(shared, there) == owners(shared, str(shared.store)) == EVERYBODY
    again = shared("migrate", "--to", there)
    assert again.exit_code == 0 and "0 events written; 3 owners compared" in again.stdout and "hold the same" in again.stdout
    assert shared("verify", "--store", there).exit_code == 0


def test_migrate_refuses_what_it_would_mix_up(shared: Any) -> None:
    there = str(shared.folder / "there")
    assert shared("add", "Something else.", "--store", there).exit_code == 0
    error = shared.error("migrate", "--to", there, code=2)
    assert error["type"] == "TargetOccupied" and "user=ana" in error["message"]
    assert owners(shared, there) == [("ana", "", 1)]
    assert shared.error("migrate", "--to", str(shared.store), code=2)["type"] == "InputError"
    assert shared.error("migrate", "--from", str(shared.folder / "none"), "--to", there, code=1)["type"] == "NotFoundError"
    assert shared.error("migrate", "--to", there, "--sealed", "never", code=2)["type"] == "InputError"


def test_backup_and_put_back(shared: Any) -> None:
    copy = shared.folder / "copy.db"
    assert shared.json("backup", "--to", str(copy))["bytes"] == copy.stat().st_size
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert shared.error("backup", "--to", str(copy), code=2)["type"] == "InputError"
    assert shared("backup", "--to", str(copy), "--force").exit_code == 0
    shared("add", "Too late for the backup.")
    assert "--replace" in shared.error("restore-backup", str(copy), code=2)["message"]
    assert shared.json("restore-backup", str(copy), "--replace")["events"] == 4
    assert owners(shared, str(shared.store)) == EVERYBODY


def test_erase_asks_and_reports(shared: Any) -> None:
    refused = shared("erase", input="n\n")
    assert refused.exit_code == 1 and "user=ana, agent=coder: 1 event" in refused.stderr and "Nothing was erased." in refused.stderr
    assert shared.error("erase", code=2)["message"].endswith("pass --yes")
    assert owners(shared, str(shared.store)) == EVERYBODY
    file = shared.folder / "report.json"
    result = shared("erase", "--yes", "--report", str(file))
    assert result.exit_code == 0 and "Erased 3 events" in result.stdout and "No trace" in result.stdout and "backups" in result.stdout
    report = json.loads(file.read_text())
    assert [one["agent"] for one in report["owners"]] == ["", "coder"] and report["complete"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert owners(shared, str(shared.store)) == [("bo", "", 1)]
    assert shared.error("erase", "-y", "--report", str(file), code=2)["type"] == "InputError"
    assert shared.json("erase", "-y", code=1)["owners"] == []


@pytest.mark.parametrize("args", [["--agent", "coder"], ["--user", ""]], ids=" ".join)
def test_erase_refuses_what_is_unclear(shared: Any, args: list[str]) -> None:
    shared.error("erase", "--yes", *args, code=2)
    assert owners(shared, str(shared.store)) == EVERYBODY


def test_export_of_a_person_under_every_agent(shared: Any) -> None:
    folder = shared.folder / "ana"
    written = shared.json("export", "--all-agents", "--output", str(folder))["memories"]
    assert [(one["file"], one["agent"], one["events"]) for one in written] == [("001.jsonl", "", 2), ("002.jsonl", "coder", 1)]
    assert json.loads((folder / "owners.json").read_text())["memories"] == written
    assert shared("import", str(folder / "002.jsonl"), "--user", "cleo").exit_code == 0
    assert shared.json("list", "--user", "cleo")["events"][0]["text"] == "I use two spaces."
    for args in ([], ["--output", str(folder)], ["--output", str(shared.folder / "x"), "--agent", "coder"]):
        shared.error("export", "--all-agents", *args, code=2)
    shared.error("export", "--all-agents", "--output", str(shared.folder / "x"), "--user", "nobody", code=1)


def test_expire_removes_what_is_old_of_everybody_or_of_one(shared: Any) -> None:
    assert shared("add", "Of long ago.", "--user", "bo", "--at", "2001-01-01").exit_code == 0
    assert shared("add", "Of long ago.", "--at", "2001-01-01").exit_code == 0
    for args in ([], ["--days", "0"], ["--days", "nan"]):
        shared.error("expire", "--yes", *args, code=2)
    assert shared("expire", "--days", "3650", "--user", "ana", input="n\n").exit_code == 1
    assert shared.json("expire", "--days-untrusted", "3650", "--yes", "--user", "", code=1)["expired"] == 0
    one = shared.json("expire", "--days", "3650", "--yes", "--user", "ana")
    assert one == {"expired": 1, "owners": [{"tenant": "", "user": "ana", "agent": "", "expired": 1}]}
    everybody = shared.json("expire", "--days", "3650", "--yes", "--user", "")
    assert everybody == {"expired": 1, "owners": [{"tenant": "", "user": "bo", "agent": "", "expired": 1}]}
    assert owners(shared, str(shared.store)) == EVERYBODY


def test_stats_say_how_much_and_nothing_of_it(shared: Any) -> None:
    found = shared.json("stats")
    assert (found["events"], found["scopes"], found["embedders"]) == (4, 3, [])
    assert found["oldest"] == "2026-05-02T00:00:00+00:00" and found["schema_version"] == 5 and found["log_bytes"] >= 0
    assert "owners" not in found and all(count == 0 for count in found["pending"].values())
    said = shared("stats", "--owners", "1")
    assert "user=ana" in said.stdout and "user=bo" not in said.stdout and "Miso" not in said.stdout
