"""Where sentences end, with and without spaces between words."""

from __future__ import annotations

import pytest

from tierkeep.sentences import sentences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I came. I saw!  Did you?", ["I came.", "I saw!", "Did you?"]),
        ("Dr. Ko paid 1.5 at example.org. Fine", ["Dr. Ko paid 1.5 at example.org.", "Fine"]),
        ("我昨天去了。「真好！」你呢？好", ["我昨天去了。", "「真好！」", "你呢？", "好"]),
        ("京都へ行きました。楽しかった！", ["京都へ行きました。", "楽しかった！"]),
        ("أين كنت؟ كنت هنا. نعم!", ["أين كنت؟", "كنت هنا.", "نعم!"]),
        ("¿Qué compraste? ¡Nada! La Sra. Gil vino.", ["¿Qué compraste?", "¡Nada!", "La Sra. Gil vino."]),
        ("Am 2. Mai kam sie. Vom 12. April an war Ruhe.", ["Am 2. Mai kam sie.", "Vom 12. April an war Ruhe."]),
        ("He ate 5. August was hot.", ["He ate 5.", "August was hot."]),
        ("", []),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


def test_only_the_first_sentences() -> None:
    assert sentences("一。二。三。", 2) == ["一。", "二。"]


@pytest.mark.parametrize("unit", ["好。", "好？」", "2. Mai ", "am 2. April", "نعم؟", "a"])
def test_megabytes_come_back(unit: str) -> None:
    assert "".join(sentences(unit * 200_000)).replace(" ", "") == (unit * 200_000).replace(" ", "")
