from __future__ import annotations

from typing import Any

from tierkeep.testing.openai_server import OpenAIServer


def test_maintain_derives_what_a_preset_lacks_and_says_so(filled: Any) -> None:
    report = filled.json("maintain", "--preset", "hymem")
    assert report["spans"] == 2 and report["records"] and report["pending"] == 0
    assert filled.json("maintain", "--preset", "hymem")["spans"] == 0
    assert "Read 2 units" in filled("maintain", "--preset", "dmem").stdout


def test_maintain_asks_the_model_and_accounts_for_it(filled: Any) -> None:
    with OpenAIServer(lambda request: {"items": ["Ana lives in Lisbon since May 2026."]}) as server:
        report = filled.json("maintain", "--preset", "hymem", "--model", "tiny", "--base-url", server.base_url)
    assert report["usage"]["calls"]["extract"] == 2 and report["usage"]["tokens_in"] > 0


def test_a_deadline_leaves_the_rest_with_exit_code_one(filled: Any) -> None:
    assert filled.json("maintain", "--deadline", "0", code=1)["pending"] == 2
    printed = filled("maintain", "--deadline", "0")
    assert printed.exit_code == 1 and "run it again" in printed.stdout


def test_presets_without_records_of_their_own_have_nothing_to_do(filled: Any) -> None:
    assert filled.json("maintain", "--preset", "auto")["spans"] == 0
