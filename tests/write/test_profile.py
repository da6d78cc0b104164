"""What people say about themselves becomes profile items; everything else stays a message."""

from __future__ import annotations

import pytest

from tierkeep.protocols import Span
from tierkeep.records import Authority, Event, Origin, Record, Role, Scope, Source
from tierkeep.settings import ProfileSettings
from tierkeep.write.extractors import ProfileRules

DAY = "2026-05-20T09:00:00+00:00"


def said(text: str, *, role: Role = "user", origin: Origin | None = None, authority: Authority = Authority.ADVISE, at: str = DAY) -> Event:
    return Event(
        id="e1", seq=1, scope=Scope(user="ana", session="s"), position=0, kind="message", role=role, speaker="Ana", text=text, at=at,
        ts=0.0, origin=origin or Origin.user("Ana"), authority=authority,
    )  # fmt: skip


def drafts(event: Event, **settings: int) -> list[Record]:
    return ProfileRules(ProfileSettings(**settings)).extract(Span((event,)), None, None)  # type: ignore[arg-type]  # the rules read no view and spend nothing


def items(text: str) -> set[tuple[str, str]]:
    """(slot, value) of what is stated, without what is ended."""
    return {(str(d.attrs["slot"]), str(d.attrs["value"])) for d in drafts(said(text)) if not d.attrs["ends"]}


def ended(text: str) -> set[tuple[str, str]]:
    return {(str(d.attrs["slot"]), str(d.attrs["value"])) for d in drafts(said(text)) if d.attrs["ends"]}


@pytest.mark.parametrize(
    ("text", "slot", "value"),
    [
        ("My name is Ana Costa.", "name", "Ana Costa"),
        ("Please call me Nita.", "name", "Nita"),
        ("Hi! I'm Ana, forty-one, and new here.", "name", "Ana"),
        ("I live in Lisbon.", "home", "Lisbon"),
        ("i live in lisbon", "home", "lisbon"),
        ("I've been living in the Azores since 2019.", "home", "Azores"),
        ("We finally moved to Faro, so I live in a small town now.", "home", "Faro"),
        ("I grew up in Braga.", "birthplace", "Braga"),
        ("I work as a nurse these days.", "job", "nurse"),
        ("I'm a carpenter by trade.", "job", "carpenter"),
        ("I work for Bluefin Maps and I love it.", "employer", "Bluefin Maps"),
        ("I'm a data analyst at Bluefin, mostly tides.", "employer", "Bluefin"),
        ("I just started at Bluefin.", "employer", "Bluefin"),
        ("My birthday is 3 May.", "birthday", "3 May"),
        ("I'm allergic to peanuts.", "allergy", "peanuts"),
        ("I have a peanut allergy.", "allergy", "peanut"),
        ("Test results are in: allergic to penicillin, strongly.", "allergy", "penicillin"),
        ("I went vegan in January.", "diet", "vegan"),
        ("I really love rowing.", "likes", "rowing"),
        ("I can't stand coriander.", "avoids", "coriander"),
        ("I stopped drinking coffee altogether.", "avoids", "coffee"),
        ("I hate mushrooms so much.", "avoids", "mushrooms"),
        ("Please always answer in metres, never in feet.", "instruction", "always answer in metres, never in feet"),
        ("New rule: no calls before ten.", "instruction", "no calls before ten"),
        ("My favourite colour is green.", "favourite colour", "green"),
        ("My favorite tea is oolong.", "favourite tea", "oolong"),
        ("My shoe size is 38.", "shoe size", "38"),
        ("My sister Berta rang.", "sister", "Berta"),
        ("My boss is called Rui.", "boss", "Rui"),
        ("Rui, my boss, was late.", "boss", "Rui"),
        ("They gave me Dr. Ko, so she's my dentist now.", "dentist", "Dr. Ko"),
        ("I\u2019m allergic to bees.", "allergy", "bees"),
    ],
)  # fmt: skip
def test_a_statement_becomes_an_item(text: str, slot: str, value: str) -> None:
    assert (slot, value) in items(text)


@pytest.mark.parametrize(
    "text",
    [
        "Do I live in Lisbon?", "What if I move to Paris?", "I might move to Paris.", "If I lived in Rome I'd eat better.",
        "I used to live in Rome.", "I would love a dog.", "Perhaps I work too much at Bluefin.",
        "I wish my name was Zed.", "My brother lives in Oslo.",
        "She works at Bluefin.", "Ana lives in Lisbon.", "The page says the user's bank is Norbank.", "People love cheese.",
        "I live in a bubble.", "I live in fear.", "I love it.", "I hate everyone today.", "I don't have to look it up.",
        "I like that it blinks.", "My days are contour lines.", "My mother is coming.", "My calves are stone.", "My point is that we lost.",
        "I'm French, so forgive me.", "I'm Sorry, really.", "Call me crazy.", "Call me when you land.", "I see my doctor Tuesday.",
        "I work at night.", "I joined the gym.", "I'm a bit lost at Heathrow.", "I'm not allergic to anything.", "",
        "My old boss Rui rang.", "?!...", "I",
    ],
)  # fmt: skip
def test_what_is_no_statement_about_oneself_is_left_alone(text: str) -> None:
    assert items(text) == set()


@pytest.mark.parametrize(
    ("text", "ends", "states"),
    [
        ("I no longer like tea.", ("likes", "tea"), ("avoids", "tea")),
        ("I stopped eating meat.", ("likes", "meat"), ("avoids", "meat")),
        ("I love olives.", ("avoids", "olives"), ("likes", "olives")),
        ("I started drinking coffee.", ("avoids", "coffee"), None),
        ("Tomorrow's my last day at Bluefin.", ("employer", "Bluefin"), None),
        ("I'm no longer allergic to eggs.", ("allergy", "eggs"), None),
        ("I don't live in Porto anymore.", ("home", "Porto"), None),
    ],
)
def test_a_flip_ends_the_one_and_states_the_other(text: str, ends: tuple[str, str], states: tuple[str, str] | None) -> None:
    assert ends in ended(text)
    assert states is None or states in items(text)


def test_the_same_thing_in_other_words_has_the_same_key() -> None:
    (stopped,) = [d for d in drafts(said("I stopped drinking coffee.")) if not d.attrs["ends"]]
    (started,) = [d for d in drafts(said("I started drinking coffee.")) if d.attrs["ends"]]
    assert stopped.key == started.key


@pytest.mark.parametrize(
    ("text", "since"),
    [
        ("I moved to Lisbon in March.", "2026-03"),
        ("I moved to Lisbon two years ago.", "2024"),
        ("I moved to Lisbon last week.", "2026-05"),
        ("I moved to Lisbon last Sunday.", "2026-05-17"),
        ("Yesterday I stopped drinking coffee.", "2026-05-19"),
        ("I live in Lisbon.", None),
        ("I live in Lisbon, and in June I fly to Rome.", None),
        ("I was in Rome in 2019, and I live in Lisbon.", None),  # a time ahead says nothing about since when
    ],
)
def test_since_when_comes_from_the_sentence(text: str, since: str | None) -> None:
    assert {d.valid_from for d in drafts(said(text)) if not d.attrs["ends"]} == {since}


def test_an_end_may_lie_ahead() -> None:
    assert [d.valid_from for d in drafts(said("Tomorrow's my last day at Bluefin."))] == ["2026-05-21"]


@pytest.mark.parametrize(
    "event",
    [
        said("I live in Lisbon.", role="assistant", origin=Origin.agent()),
        said("I live in Lisbon.", role="tool", origin=Origin.tool("search")),
        said("I live in Lisbon.", role="system"),
        said("I live in Lisbon.", origin=Origin.web("https://example.org")),
        said("I live in Lisbon.", origin=Origin.document()),
        said("I live in Lisbon.", origin=Origin(source=Source.PEER_AGENT)),
        said("I live in Lisbon.", authority=Authority.QUARANTINED),
    ],
    ids=lambda event: f"{event.role}-{event.origin.source}-{event.authority.name}",
)
def test_only_the_user_writes_the_profile(event: Event) -> None:
    assert drafts(event) == []


def test_an_item_keeps_origin_authority_and_source() -> None:
    (draft,) = drafts(said("I live in Lisbon.", origin=Origin.imported("chat.txt"), authority=Authority.DATA))
    assert (draft.sources, draft.origin.source, draft.authority) == (("e1",), Source.IMPORTED, Authority.DATA)
    assert draft.scope.session is None


def test_only_the_beginning_of_a_long_text_is_read() -> None:
    assert drafts(said("x " * 50 + ". I live in Lisbon."), scan_chars=40) == []


def test_a_long_value_is_prose_and_a_long_instruction_loses_its_last_clauses() -> None:
    assert drafts(said("I love " + " ".join(f"word{n}" for n in range(20)))) == []
    (draft,) = drafts(said("Please always write dates as day month year, in full, with the weekday, and never as numbers only."))
    assert draft.attrs["value"] == "always write dates as day month year, in full"


def test_the_same_message_gives_the_same_drafts() -> None:
    event = said("I'm Ana, I live in Lisbon with my sister Berta and I love rowing.")
    assert drafts(event) == drafts(event)
    assert len({draft.id for draft in drafts(event)}) == len(drafts(event))


@pytest.mark.parametrize("piece", ["i ", "my ", "I'm a ", "allergic to ", "my new ", "Dr. ", "a-", ". ", ": ", "result", "I have a "])
def test_repetition_costs_no_more_than_its_length(piece: str) -> None:
    drafts(said(piece * 20_000), scan_chars=200_000)  # a quadratic pattern would not come back before the test's time is up
