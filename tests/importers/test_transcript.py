from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierkeep.errors import ImportFormatError
from tierkeep.importers import ImportFile, ReadOptions, Transcript, read
from tierkeep.records import Source

from .support import load, spoken


def test_plain_lines_and_their_continuations() -> None:
    text = "Ana: I found a flat.\nIt has a balcony.\n\nAnd a view.\nBo: Congratulations!\nAna: Thanks\n"
    assert spoken("call.txt", text) == [
        ("Ana", "I found a flat.\nIt has a balcony.\n\nAnd a view."),
        ("Bo", "Congratulations!"),
        ("Ana", "Thanks"),
    ]


def authorities(text: str, me: str | None, name: str = "call.txt") -> list[tuple[str, str, bool]]:
    """Return (speaker, text, whether it counts as the user's own words) of every message."""
    messages, _ = load(name, text, me=me)
    return [(m.speaker, m.text, m.origin is not None and m.origin.source is Source.USER_DIRECT) for _, m in messages]


def test_who_speaks_once_in_a_bare_transcript_is_not_glued_to_the_message_before() -> None:
    text = "Ana: Hi both.\nJon: Hello.\nAna: How are you?\nMei: I live in Oslo and I'm allergic to nuts.\nJon: Nice.\n"
    assert authorities(text, "Ana") == [
        ("Ana", "Hi both.", True),
        ("Jon", "Hello.", False),
        ("Ana", "How are you?", True),
        ("Mei", "I live in Oslo and I'm allergic to nuts.", False),
        ("Jon", "Nice.", False),
    ]
    assert any("Mei" in note for note in load("call.txt", text)[1].notes)
    assert authorities(text, "Mei")[3] == ("Mei", "I live in Oslo and I'm allergic to nuts.", True)


def test_a_remark_with_a_colon_stays_in_its_message_which_is_then_not_the_users_own() -> None:
    text = "Ana: The recipe.\nFlour: two cups\nBo: And then?\nAna: Note: stir it.\nWarning: hot\nBo: ok\nsee https://a.example\n"
    assert authorities(text, "Ana") == [
        ("Ana", "The recipe.", True),
        ("Flour", "two cups", False),
        ("Bo", "And then?", False),
        ("Ana", "Note: stir it.\nWarning: hot", False),
        ("Bo", "ok\nsee https://a.example", False),
    ]
    notes = " ".join(load("call.txt", text)[1].notes)
    assert "Flour" in notes
    assert "(Warning)" in notes


@pytest.mark.parametrize("name", ["Maria de la Cruz", "Ludwig van Beethoven", "@mei", "+351 912 345 678", "Dr. Li", "mei"])
def test_names_of_many_forms_speak(name: str) -> None:
    text = f"Ana: Hi both.\nJon: Hello.\nAna: So?\n{name}: I live in Oslo.\nJon: Nice.\n"
    assert authorities(text, "Ana")[2:4] == [("Ana", "So?", True), (name, "I live in Oslo.", False)]


@pytest.mark.parametrize("quote", ["> ", "  ", "- ", '"'])
@pytest.mark.parametrize("form", ["{}", "[2026-05-02 10:31] {}"])
def test_words_of_another_that_somebody_quotes_do_not_become_theirs(quote: str, form: str) -> None:
    lines = ("Ana: Hi.\n", "Jon: Hello.\n", f"Ana: He said:\n{quote}Mei: I live in Rome.\n", "Jon: Ok.\n")
    text = "".join(form.format(line) for line in lines)
    assert authorities(text, "Ana") == [
        ("Ana", "Hi.", True),
        ("Jon", "Hello.", False),
        ("Ana", f"He said:\n{quote}Mei: I live in Rome.", False),
        ("Jon", "Ok.", False),
    ]


def test_where_messages_are_long_the_names_that_come_back_speak_and_others_are_doubtful() -> None:
    prose = "and so on\n" * 6
    text = f"Ana: My day.\n{prose}Bo: Mine.\n{prose}Ana: We need\nFlour: two cups\nBo: Good.\nAna: Bye.\nCleo: I live in Oslo.\n"
    *_, need, good, bye, cleo = authorities(text, "Ana")
    assert need == ("Ana", "We need\nFlour: two cups", False)
    assert (good, bye) == (("Bo", "Good.", False), ("Ana", "Bye.", True))
    assert cleo == ("Cleo", "I live in Oslo.", False)
    notes = " ".join(load("call.txt", text)[1].notes)
    assert "(Flour)" in notes
    assert "(Cleo)" in notes


def test_in_a_chat_with_an_assistant_only_its_parts_speak() -> None:
    text = (
        "User: Plan my week.\nAssistant: Here:\nMonday: gym\nTuesday: I suggest rest\n"
        "User: Text of Bo:\nBo: I live in Rome.\nCity: Rome\n"
    )
    assert authorities(text, None) == [
        ("User", "Plan my week.", True),
        ("Assistant", "Here:\nMonday: gym\nTuesday: I suggest rest", False),
        ("User", "Text of Bo:", True),
        ("Bo", "I live in Rome.\nCity: Rome", False),
    ]


@pytest.mark.parametrize("opening", ["Mei: hello", "Ana: hello", "Jon: hello"])
def test_an_undated_line_of_another_speaker_in_a_dated_chat_is_its_own_message_and_never_the_users(opening: str) -> None:
    text = f"[2026-05-02 10:31] {opening}\nJon: I live in Rome.\nAna: I owe Jon a house.\n[2026-05-02 10:40] Ana: so\n"
    messages, tally = load("chat.txt", text, me="Ana")
    assert [(m.speaker, m.text) for _, m in messages][1:] == [("Jon", "I live in Rome."), ("Ana", "I owe Jon a house."), ("Ana", "so")]
    assert [m.origin.source for _, m in messages if m.origin][1:] == [Source.IMPORTED, Source.IMPORTED, Source.USER_DIRECT]
    assert len({m.at for _, m in messages[:3]}) == 1
    assert any("Jon, Ana" in note for note in tally.notes)


def test_a_dated_message_with_a_line_that_may_be_anothers_is_imported_text() -> None:
    text = "[2026-05-02 10:31] Ana: bring\nbread\nPS: wine\n[2026-05-02 10:32] Ana: 10: 30 it is\n"
    assert authorities(text, "Ana") == [("Ana", "bring\nbread\nPS: wine", False), ("Ana", "10: 30 it is", True)]
    assert any("(PS)" in note for note in load("chat.txt", text)[1].notes)


_SPEECH = st.lists(
    st.tuples(st.sampled_from(["Ana", "Bo", "Cleo Ray", "Mei"]), st.text("ab I:", min_size=1, max_size=12).filter(str.strip)),
    min_size=2,
    max_size=12,
)


@given(_SPEECH)
def test_no_words_of_another_ever_count_as_the_users(turns: list[tuple[str, str]]) -> None:
    text = "".join(f"{who}: {what}\n" for who, what in turns)
    source = ImportFile("a.txt", data=text.encode())
    try:
        messages = [m for _, m in read(source, Transcript(), ReadOptions(me="Ana"))]
    except ImportFormatError:
        assert all(who != "Ana" for who, _ in turns)
        return
    assert [(m.speaker, m.text) for m in messages] == [(who, what.strip()) for who, what in turns]
    assert all((m.origin is not None and m.origin.source is Source.USER_DIRECT) == (m.speaker == "Ana") for m in messages)


NOTICES = [
    "This message was deleted",
    "This message was deleted.",
    "You deleted this message",
    "Missed voice call",
    "Missed video call at 21:41",
    "Voice call, 5 min",
    "You changed the group name",
    'You changed the group name to "Trip"',
    'Ana created group "Trip"',
    "You created this group",
    "created group",
    "Messages and calls are end-to-end encrypted. No one outside of this chat can read them.",
    "Messages to this group are now secured with end-to-end encryption.",
    "Waiting for this message. This may take a while.",
]
MEDIA = [
    "<Media omitted>",
    "image omitted",
    "Plan.pdf \u2022 12 pages document omitted",
    "IMG-20231225-WA0001.jpg (file attached)",
    "<attached: 00000012-PHOTO-2023-12-25-21-41-03.jpg>",
]


@pytest.mark.parametrize("said", [*NOTICES, *MEDIA])
@pytest.mark.parametrize(
    "form", ["12/25/23, 9:41 PM - Bo: {}", "\u200e[25.12.23, 21:41:03] Bo: \u200e{}", "[25.12.23, 21:41:03] Bo: {}\u200e"]
)
def test_what_the_app_says_is_no_message(said: str, form: str) -> None:
    messages, tally = load("chat.txt", form.format(said) + "\n" + form.format("hi") + "\n")
    assert [(m.speaker, m.text.strip("\u200e")) for _, m in messages] == [("Bo", "hi")]
    assert tally.skipped == {"notices of the app" if said in NOTICES else "pictures, sounds and other media": 1}


@pytest.mark.parametrize(
    "line",
    [
        "[25.12.23, 21:41:03] Trip: \u200eBo added Cleo",
        "[25.12.23, 21:41:03] Trip: \u200eYou're now an admin",
        '12/25/23, 9:41 PM - Bo created group "Trip: 2026"',
        '12/25/23, 9:41 PM - Bo changed the subject from "Trip" to "Trip: 2026"',
    ],
)
def test_notices_of_a_group_are_no_messages(line: str) -> None:
    ordinary = line.split(" Trip")[0].split(" Bo")[0] + " Bo: hi"
    messages, tally = load("chat.txt", f"{line}\n{ordinary}\n")
    assert [m.text for _, m in messages] == ["hi"]
    assert sum(tally.skipped.values()) == 1


@pytest.mark.parametrize(
    "said",
    [
        "Bo left the keys",
        "This message was deleted by mistake, I think\nor was it?",
        "missed voice calls bother me",
        "I created group therapy",
    ],
)
def test_what_people_say_about_such_things_is_kept(said: str) -> None:
    assert spoken("chat.txt", f"12/25/23, 9:41 PM - Bo: {said}\n") == [("Bo", said)]


def test_a_caption_is_kept_and_the_mark_of_an_edit_is_not() -> None:
    text = "12/25/23, 9:41 PM - Bo: IMG-1.jpg (file attached)\nour boat\n12/25/23, 9:42 PM - Bo: it is red <This message was edited>\n"
    assert spoken("chat.txt", text) == [("Bo", "our boat"), ("Bo", "it is red")]


DATED = [
    ("[2026-05-02 10:31] Ana: hi", datetime(2026, 5, 2, 10, 31, tzinfo=UTC)),
    ("[2026-05-02T10:31:05+01:00] Ana: hi", datetime.fromisoformat("2026-05-02T10:31:05+01:00")),
    ("2026-05-02 10:31 - Ana: hi", datetime(2026, 5, 2, 10, 31, tzinfo=UTC)),
    ("2026-05-02 10:31 Ana: hi", datetime(2026, 5, 2, 10, 31, tzinfo=UTC)),
    ("2026-05-02 Ana: hi", date(2026, 5, 2)),
    ("12/25/23, 9:41 PM - Ana: hi", datetime(2023, 12, 25, 21, 41, tzinfo=UTC)),
    ("12/25/23, 9:41\u202fPM - Ana: hi", datetime(2023, 12, 25, 21, 41, tzinfo=UTC)),
    ("25/12/2023, 21:41 - Ana: hi", datetime(2023, 12, 25, 21, 41, tzinfo=UTC)),
    ("[25.12.23, 21:41:03] Ana: hi", datetime(2023, 12, 25, 21, 41, 3, tzinfo=UTC)),
    ("\u200e[25.12.23, 21:41:03] Ana: \u200ehi", datetime(2023, 12, 25, 21, 41, 3, tzinfo=UTC)),
    ("25.12.23 21.41 - Ana: hi", datetime(2023, 12, 25, 21, 41, tzinfo=UTC)),
    ("[May 2, 2026 10:31 AM] Ana: hi", datetime(2026, 5, 2, 10, 31, tzinfo=UTC)),
]


@pytest.mark.parametrize(("line", "at"), DATED)
def test_dates_before_the_speaker(line: str, at: datetime | date) -> None:
    messages, _ = load("chat.txt", line + "\n")
    assert [(m.speaker, m.text, m.at) for _, m in messages] == [("Ana", "hi", at)]


def test_every_day_is_a_session() -> None:
    text = "[2026-05-02 23:59] Ana: late\n[2026-05-03 00:01] Bo: early\n"
    assert [s for s, _ in load("Trip.txt", text)[0]] == ["Trip 2026-05-02", "Trip 2026-05-03"]


def test_times_without_a_zone_are_read_in_the_given_one() -> None:
    messages, tally = load("a.txt", "[2026-07-02 10:31] Ana: hi\n", tz=ZoneInfo("Europe/Lisbon"))
    assert messages[0].message.at == datetime.fromisoformat("2026-07-02T10:31:00+01:00")
    assert any("Lisbon" in note for note in tally.notes)


def test_whatsapp_notices_and_media_are_left_out_and_lines_stay_together() -> None:
    text = (
        "12/25/23, 9:41 PM - Messages and calls are end-to-end encrypted.\n"
        "12/25/23, 9:42 PM - Ana: Note: bring\n- bread\n12:30 we meet\n2023-12-24 was better\nPS: wine\n"
        "12/25/23, 9:43 PM - Bo Li: <Media omitted>\n"
        "12/25/23, 9:44 PM - ~ Bo Li: ok: fine\n"
        "12/25/23, 9:45 PM - Ana added Cleo\n"
    )
    messages, tally = load("WhatsApp Chat with Bo.txt", text)
    assert [(m.speaker, m.text) for _, m in messages] == [
        ("Ana", "Note: bring\n- bread\n12:30 we meet\n2023-12-24 was better\nPS: wine"),
        ("Bo Li", "ok: fine"),
    ]
    assert tally.skipped == {"notices without a speaker": 2, "pictures, sounds and other media": 1}


@pytest.mark.parametrize(
    ("days", "month"),
    [
        (["3/4/26", "13/4/26"], 4),  # there is no month 13
        (["3/4/26", "4/13/26"], 3),
        (["28/3/26", "3/4/26", "4/4/26"], 4),
        (["3/4/26", "4/4/26", "1/5/26"], 4),  # in order only when the day comes first
        (["3/4/26", "3/5/26", "4/1/26"], 3),
    ],
)
def test_other_dates_of_the_file_decide_which_number_is_the_day(days: list[str], month: int) -> None:
    text = "".join(f"{day}, 10:00 - Ana: hi {n}\n" for n, day in enumerate(days))
    at = next(m.at for _, m in load("a.txt", text)[0] if m.at is not None and m.text == f"hi {days.index('3/4/26')}")
    assert at.month == month


def test_an_order_that_nothing_decides_is_told_and_can_be_given() -> None:
    text = "3/4/26, 10:00 - Ana: hi\n"
    messages, tally = load("a.txt", text)
    assert messages[0].message.at == datetime(2026, 3, 4, 10, tzinfo=UTC)
    assert any("--day-first" in note for note in tally.notes)
    messages, tally = load("a.txt", text, day_first=True)
    assert messages[0].message.at == datetime(2026, 4, 3, 10, tzinfo=UTC)
    assert not any("--day-first" in note for note in tally.notes)


def test_a_day_that_no_calendar_has_names_its_line() -> None:
    with pytest.raises(ImportFormatError) as caught:
        load("a.txt", "[2026-05-02 10:00] Ana: hi\n[2026-02-31 10:00] Bo: ho\n")
    assert caught.value.line == 2


def test_times_under_day_headings() -> None:
    text = "--- 2 May 2026 ---\n[10:31] Ana: hi\n[10:32] Bo: ho\n--- 3 May 2026 ---\n[09:00] Ana: again\n"
    assert [m.at for _, m in load("a.txt", text)[0]] == [
        datetime(2026, 5, 2, 10, 31, tzinfo=UTC),
        datetime(2026, 5, 2, 10, 32, tzinfo=UTC),
        datetime(2026, 5, 3, 9, 0, tzinfo=UTC),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "# A chat\n\n**User:** Where?\n\nTell me.\n\n---\n\n**Assistant:** Here:\n```\n## User\n**User:** quoted\n```\n\n***\n",
        "## User\n\nWhere?\n\nTell me.\n\n## Assistant\n\nHere:\n```\n## User\n**User:** quoted\n```\n",
        "### **User**\nWhere?\n\nTell me.\n### Assistant:\nHere:\n```\n## User\n**User:** quoted\n```",
        "**User**: Where?\n\nTell me.\n\n**Assistant**: Here:\n```\n## User\n**User:** quoted\n```\n",
    ],
)
def test_markdown_chats(text: str) -> None:
    messages, _ = load("chat.md", text)
    assert [(m.role, m.text) for _, m in messages] == [
        ("user", "Where?\n\nTell me."),
        ("assistant", "Here:\n```\n## User\n**User:** quoted\n```"),
    ]
    assert [m.origin.source for _, m in messages if m.origin] == [Source.USER_DIRECT, Source.AGENT_INFERRED]


def test_headings_inside_an_answer_are_not_speakers() -> None:
    assert spoken("chat.md", "## User\nplan?\n## Assistant\n## Plan\nfirst\n## Notes\nsecond\n") == [
        ("User", "plan?"),
        ("Assistant", "## Plan\nfirst\n## Notes\nsecond"),
    ]


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("User", "user"),
        ("HUMAN", "user"),
        ("Assistant", "assistant"),
        ("AI", "assistant"),
        ("ChatGPT", "assistant"),
        ("System", "system"),
        ("Tool", "tool"),
    ],
)
def test_names_of_parts_are_roles(name: str, role: str) -> None:
    messages, tally = load("a.txt", f"{name}: hello\n{name}: again\n")
    assert {m.role for _, m in messages} == {role}
    assert not tally.people


def test_only_the_speaker_called_me_is_the_user() -> None:
    text = "Ana: hi\nBo: ho\nAna: bye\nBo: see you\n"

    def sources(me: str | None) -> list[Source]:
        return [m.origin.source for _, m in load("a.txt", text, me=me)[0] if m.origin]

    assert sources("ana") == [Source.USER_DIRECT, Source.IMPORTED] * 2
    assert set(sources(None)) == {Source.IMPORTED}
    messages, tally = load("a.txt", text)
    assert {m.role for _, m in messages} == {"user"}
    assert messages[1].message.origin is not None
    assert messages[1].message.origin.principal == "Bo"
    assert tally.people == {"Ana": 2, "Bo": 2}
    with pytest.raises(ImportFormatError, match="Ana, Bo"):
        load("a.txt", text, me="Cleo")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("notes.txt", "# Rivers\n\nThey flow.\n\nSource: a book\n"),
        ("config.yaml", "name: x\nversion: y\nname: z\n"),
        ("table.csv", "a,b\n1,2\n"),
        ("page.html", "<p>Ana: hi</p>"),
        ("diary.txt", "2026-05-02 we went home\n2026-05-03 it rained\n"),
        ("prose.txt", "He said: no.\nThen nothing happened for a long time\nand a longer time\nand more\n"),
        ("bytes.bin", "\x00\x01\x02\x03"),
    ],
)
def test_other_texts_are_not_taken_for_transcripts(name: str, text: str) -> None:
    with pytest.raises(ImportFormatError, match="none of the formats"):
        load(name, text)


def test_a_longer_export_of_the_same_chat_keeps_the_ids() -> None:
    lines = [
        f"[2026-05-0{day} 10:{minute}] Ana: {word}\n"
        for day in (2, 3)
        for minute, word in ((10, "ok"), (11, "ok"), (12, "so"))
    ]
    first = [m.id for _, m in load("a.txt", "".join(lines[:4]))[0]]
    second = [m.id for _, m in load("a.txt", "".join(lines))[0]]
    assert second[:4] == first
    assert len(set(second)) == 6
    tail = [m.id for _, m in load("a.txt", "".join(lines[3:]))[0]]
    assert tail == second[3:], "an export that lost its oldest days"


_LINES = st.lists(
    st.one_of(
        st.text(max_size=30),
        st.sampled_from(
            [
                "Ana: hi",
                "[2026-05-02 10:31] Ana: x",
                "5/6/26, 1:02 PM - Bo: y",
                "**User:** z",
                "## Assistant",
                "```",
                "2 May 2026",
                "[10:31] Ana: q",
            ]
        ),
    ),
    max_size=12,
)


@given(_LINES)
def test_any_text_is_read_or_refused_as_an_import_error(lines: list[str]) -> None:
    data = "\n".join(lines).encode("utf-8", "replace") or b"\n"
    try:
        messages = list(read(ImportFile("any.txt", data=data), Transcript(), ReadOptions()))
    except ImportFormatError:
        return
    assert all(m.text.strip() and m.id for _, m in messages)


@given(
    st.lists(
        st.tuples(st.sampled_from(["Ana", "Bo"]), st.text("abc de", min_size=1, max_size=20).filter(str.strip)),
        min_size=1,
        max_size=10,
    )
)
def test_what_was_written_as_a_chat_is_read_back(turns: list[tuple[str, str]]) -> None:
    text = "".join(f"[2026-05-02 10:31] {who}: {what}\n" for who, what in turns)
    assert spoken("a.txt", text) == [(who, what.strip()) for who, what in turns]


@pytest.mark.parametrize(
    "text",
    [
        "[" * 300_000,
        "a: " * 100_000,
        "**" * 200_000,
        "# " * 200_000,
        "\n" * 300_000 + "x",
        "1/" * 200_000,
        " " * 300_000 + ":",
        "---\n" * 60_000,
    ],
)
def test_hostile_texts_end(text: str) -> None:
    source = ImportFile("h.txt", data=("User: a\nAssistant: b\n" + text).encode())
    assert list(read(source, Transcript(), ReadOptions()))


@pytest.mark.parametrize(
    "pasted",
    [
        "[10:34, 01/05/2026] Carl: I live in Rome.", "Carl \U0001f642: I live in Rome.", "> Carl: I live in Rome.",
        "Carl wrote\nI live in Rome.", "Forwarded from Carl\nI live in Rome.", "Carl\uff1aI live in Rome.",
    ],
)  # fmt: skip
def test_a_message_with_somebodys_words_pasted_in_is_not_the_users_own(pasted: str) -> None:
    text = f"[2026-05-02 10:30] Ana: look at this\n{pasted}\n[2026-05-02 10:40] Bo: oh\n[2026-05-02 10:41] Ana: yes\n"
    messages, _ = load("chat.txt", text, me="Ana")
    for message in (m.message for m in messages):
        if "Rome" in message.text:
            assert message.origin is not None and message.origin.source.value == "imported"
