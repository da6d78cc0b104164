from __future__ import annotations

import sqlite3
from pathlib import Path

from tierkeep import Memory
from tierkeep.terms import fingerprint


def test_terms_of_another_analysis_are_made_again_when_the_store_is_opened(tmp_path: Path) -> None:
    with Memory.open(tmp_path) as memory:
        memory.scope(user="ana").add("The kettle whistles at dawn.", at="2026-05-02")
    with sqlite3.connect(tmp_path / "tierkeep.db") as raw:
        raw.execute("UPDATE lexicon SET terms = x'00000000'")
        raw.execute("UPDATE counters SET value = value + 1 WHERE name = 'analysis'")
    raw.close()
    with Memory.open(tmp_path) as memory:
        assert memory.scope(user="ana").recall("Does a kettle whistle?")
        assert memory.verify().ok


def test_terms_of_this_analysis_are_left_alone(tmp_path: Path) -> None:
    with Memory.open(tmp_path) as memory:
        memory.scope(user="ana").add("The kettle whistles at dawn.", at="2026-05-02")
    with sqlite3.connect(tmp_path / "tierkeep.db") as raw:
        assert raw.execute("SELECT value FROM counters WHERE name = 'analysis'").fetchone() == (fingerprint(),)
        raw.execute("UPDATE lexicon SET terms = x'00000000'")
    raw.close()
    with Memory.open(tmp_path) as memory:
        assert not memory.scope(user="ana").recall("Does a kettle whistle?")
