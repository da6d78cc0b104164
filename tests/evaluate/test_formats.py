from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from tierkeep.errors import ImportFormatError
from tierkeep.evaluate.formats import READERS
from tierkeep.importers import READERS as GENERAL
from tierkeep.importers import ImportedMessage, ImportFile, ReadOptions, detect, read

BENCH = {
    "format": "tierkeep-bench/1",
    "name": "made up",
    "conversations": [
        {
            "id": "c1",
            "events": [
                {"id": "1", "session": "s1", "at": "2026-05-02", "speaker": "Ana", "text": "A boat."},
                {"id": "2", "session": "s2", "at": "2026-05-03", "speaker": "Assistant", "text": "Which one?"},
            ],
            "questions": [],
        },
        {"id": "c2", "events": [{"id": "1", "session": "s1", "at": "2026-05-02", "speaker": "Ana", "text": "A boat."}]},
    ],
}

NUMBERED = [
    {
        "qa": [{"question": "q", "answer": "a", "evidence": ["D1:1"], "category": 1}],
        "conversation": {
            "speaker_a": "Ana",
            "speaker_b": "Bo",
            "session_10_date_time": "9:05 am on 3 June, 2026",
            "session_10": [{"speaker": "Bo", "dia_id": "D10:1", "text": "Later."}],
            "session_2_date_time": "1:05 pm on 2 May, 2026",
            "session_2": [{"speaker": "Ana", "dia_id": "D2:1", "text": "Look!", "blip_caption": "a red kite"}],
        },
        "sample_id": "x-1",
    }
]


def load(value: Any, name: str = "data.json") -> list[ImportedMessage]:
    source = ImportFile(name, data=json.dumps(value).encode())
    return list(read(source, detect(source, (*READERS, *GENERAL)), ReadOptions()))


def test_bench_conversations() -> None:
    messages = load(BENCH)
    assert [(s, m.speaker, m.role, m.text, m.at) for s, m in messages] == [
        ("c1/s1", "Ana", "user", "A boat.", date(2026, 5, 2)),
        ("c1/s2", "Assistant", "assistant", "Which one?", date(2026, 5, 3)),
        ("c2/s1", "Ana", "user", "A boat.", date(2026, 5, 2)),
    ]
    assert len({m.id for _, m in messages}) == 3, "the same short id in two conversations is two messages"


def test_numbered_sessions_are_read_in_order_with_their_dates() -> None:
    assert [(s, m.speaker, m.text, m.at) for s, m in load(NUMBERED)] == [
        ("x-1/2", "Ana", "Look! [shares a red kite]", datetime(2026, 5, 2, 13, 5, tzinfo=UTC)),
        ("x-1/10", "Bo", "Later.", datetime(2026, 6, 3, 9, 5, tzinfo=UTC)),
    ]


@pytest.mark.parametrize(
    "value",
    [
        {"format": "tierkeep-bench/1"},
        {"format": "tierkeep-bench/1", "conversations": [{"id": "c"}]},
        {"format": "tierkeep-bench/1", "conversations": [{"events": ["x"]}]},
        {"format": "tierkeep-bench/1", "conversations": [{"events": [{"text": "x", "at": "noon"}]}]},
        [{"qa": [], "conversation": []}],
        [{"qa": [], "conversation": {"session_1": "text"}}],
        [{"qa": [], "conversation": {"session_1": ["text"]}}],
        [{"qa": [], "conversation": {}}],
    ],
)
def test_a_broken_file_is_an_import_error(value: Any) -> None:
    with pytest.raises(ImportFormatError):
        load(value)


def test_sniffing_blank_space_ends() -> None:
    assert not any(reader.sniff(" " * 65_536, Path("a.json")) for reader in (*READERS, *GENERAL))


def test_general_formats_are_not_taken_for_benchmarks() -> None:
    for text in ('[{"role": "user", "content": "qa session_1"}]', "Ana: hi\nBo: ho\n"):
        assert not any(reader.sniff(text, Path("a.json")) for reader in READERS)
