"""Small scopes for the retrieval tests, and hypothesis strategies for them."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import strategies as st

from tierkeep.records import TermRow
from tierkeep.terms import term_ids

WORDS = ("tea", "coffee", "bicycle", "lisbon", "garden", "violin", "train", "dentist", "the", "mara", "ilya")


def moment(day: str) -> float:
    return datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()


def row(seq: int, text: str, session: str = "s1", speaker: str = "Mara", day: str = "2031-01-01") -> TermRow:
    return TermRow(seq, session, speaker, moment(day), term_ids(text), text.rstrip().endswith("?"), len(text))


def rows(*texts: str, session: str = "s1", speaker: str = "Mara") -> list[TermRow]:
    return [row(seq, text, session, speaker) for seq, text in enumerate(texts, start=1)]


@st.composite
def histories(draw: st.DrawFn, max_size: int = 30) -> list[TermRow]:
    """Histories with interleaved sessions, two speakers, gaps in seq, and empty texts."""
    found: list[TermRow] = []
    seq = draw(st.integers(0, 3))
    for _ in range(draw(st.integers(0, max_size))):
        seq += draw(st.integers(1, 3))
        text = " ".join(draw(st.lists(st.sampled_from(WORDS), max_size=5)))
        session, speaker = draw(st.sampled_from(("s1", "s2", "s3"))), draw(st.sampled_from(("Mara", "Ilya")))
        found.append(row(seq, text, session, speaker, f"2031-{draw(st.integers(1, 12)):02d}-10"))
    return found


def questions() -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from((*WORDS, "I", "in March", "drink")), max_size=5).map(" ".join)
