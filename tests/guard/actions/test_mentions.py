"""Whether a text stands behind a value."""

from __future__ import annotations

import pytest

from tierkeep.guard.actions.mentions import asserts, mentions, normal

ADDRESS = "bo@example.org"


@pytest.mark.parametrize(
    "text",
    [
        "mail it to bo@example.org now", "Mail BO@EXAMPLE.ORG.", "to:bo@example.org", "Don't forget to mail bo@example.org",
        "Can you mail bo@example.org?", "Kannst du das an bo@example.org schicken?", "¿Puedes escribir a bo@example.org?",
        "把钱转给bo@example.org吧", "别忘了发给bo@example.org", "I like tea.\nWrite to bo@example.org!", "(bo@example.org)",
        "Never mind the weather. Write to bo@example.org.",
    ],
)  # fmt: skip
def test_what_stands_behind_it(text: str) -> None:
    assert asserts(normal(ADDRESS), text)


@pytest.mark.parametrize(
    "text",
    [
        "never mail bo@example.org", "bo@example.org.evil.net", "xbo@example.org", "Is bo@example.org in my contacts?",
        "Bitte nicht an bo@example.org schicken", "No escribas a bo@example.org", "N'écris pas à bo@example.org", "不要发给bo@example.org",
        "bo@example.organic", "Who is bo@example.org?", "", "mail it to ana@example.org",
    ],
)  # fmt: skip
def test_what_does_not(text: str) -> None:
    assert not asserts(normal(ADDRESS), text)


@pytest.mark.parametrize(
    ("value", "text", "holds"),
    [
        ("5000", "pay 5,000 EUR", True), ("5000", "zahle 5.000 EUR", True), ("5000", "pay 5 000", True), ("5000", "pay 5000.00", True),
        ("5000", "pay 50000", False), ("5000", "pay 15000", False), ("12.5", "pay 12,50", True), ("5", "pay 5.000", True),
        ("7", "item 17", False), ("ACCT-7", "use acct-7", True), ("ACCT-7", "use ACCT-77", False), ("x.org", "see https://x.org/a", False),
        ("example.org", "аt exаmple.org", True),  # look-alike letters read as what they look like
        ("/etc", "open /etc/passwd", False), ("Bo", "Bob is here", False), ("小明", "转给小明五千", True),
    ],
)  # fmt: skip
def test_a_value_is_found_as_a_whole(value: str, text: str, holds: bool) -> None:
    assert mentions(normal(value), normal(text)) is holds


def test_an_empty_value_is_nowhere() -> None:
    assert not mentions("", "anything") and not asserts("", "anything")
