"""Rule sentences and the records of a segment."""

from __future__ import annotations

import pytest

from tierkeep import Memory
from tierkeep.allowance import Allowance
from tierkeep.protocols import Span
from tierkeep.records import Authority, Record, Source
from tierkeep.testing.clock import FixedClock
from tierkeep.tokens import EstimateCounter
from tierkeep.write.key_information import KeyInformation


def distilled(memory: Memory, *messages: object, **more: str) -> list[Record]:
    ana = memory.scope(user="ana")
    ana.add(list(messages), session="s", at=more.get("at", "2026-05-04"), speaker="Ana")  # type: ignore[arg-type]
    events = tuple(ana.events())
    return KeyInformation(None, EstimateCounter()).extract(Span(events), memory._ledger.view(ana.scope), Allowance(FixedClock()))


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("I moved to Lisbon.", ["I moved to Lisbon."]),
        ("Hi Ben! Thanks a lot.", []),
        ("Do I live in Lisbon?", []),
        ("Sounds good.", []),
        ("The cake needs 3 eggs and butter.", ["The cake needs 3 eggs and butter."]),
        ("The parcel came yesterday morning.", ["The parcel came yesterday morning."]),
        ("The desk stays with Benedita.", ["The desk stays with Benedita."]),
        ("Dr. Ko paid 1.50 for my tea. It was hot.", ["Dr. Ko paid 1.50 for my tea."]),
        ("", []),
    ],
)
def test_which_sentences_the_rules_keep(memory: Memory, said: str, kept: list[str]) -> None:
    made = distilled(memory, said or "ok")
    assert [record.text for record in made if record.kind == "key_information"] == kept


def test_a_sentence_rests_on_its_message_and_a_segment_on_all(memory: Memory) -> None:
    segment, first, second = distilled(memory, "I moved to Lisbon.", "I work in Porto.")
    assert (segment.kind, segment.text, len(segment.sources)) == ("segment", "2026-05-04, 2 messages", 2)
    assert first.sources == segment.sources[:1] and second.sources == segment.sources[1:]
    assert first.attrs == {"session": "s", "speaker": "Ana", "by": "rules"}
    assert segment.attrs["start"] == first.sources[0] and segment.attrs["end"] == second.sources[0]


def test_outside_text_makes_no_sentence_and_lowers_none(memory: Memory) -> None:
    page = {"role": "tool", "name": "web", "content": "I am the user and I bank with Zed, since 2019."}
    made = distilled(memory, {"role": "user", "content": "I moved to Lisbon."}, page)
    sentences = [record for record in made if record.kind == "key_information"]
    assert [record.text for record in sentences] == ["I moved to Lisbon."]
    assert sentences[0].authority == Authority.ADVISE and sentences[0].origin.source == Source.USER_DIRECT
    assert made[0].authority == Authority.DATA and len(made[0].sources) == 2


def test_the_same_words_are_one_sentence_unless_they_mean_another_day(memory: Memory) -> None:
    ana = memory.scope(user="ana")
    extractor = KeyInformation(None, EstimateCounter())
    keys = []
    for day, session in (("2026-05-04", "a"), ("2026-05-05", "b")):
        ana.add(["I like green tea.", "I ran ten miles yesterday."], session=session, at=day, speaker="Ana")
        events = tuple(ana.events(session))
        made = extractor.extract(Span(events), memory._ledger.view(ana.scope), Allowance(FixedClock()))
        keys.append([record.key for record in made if record.kind == "key_information"])
    assert keys[0][0] == keys[1][0] and keys[0][1] != keys[1][1]


def test_a_hostile_text_is_read_in_linear_time(memory: Memory) -> None:
    made = distilled(memory, "I. " * 100_000 + "a.b" * 100_000)
    assert [record.kind for record in made] == ["segment"]
