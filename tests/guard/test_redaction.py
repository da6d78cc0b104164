"""Keys, passwords and numbers of persons: found, replaced, and never given to an embedder."""

from __future__ import annotations

import base64
import random
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tierkeep import Memory
from tierkeep.errors import MissingExtraError
from tierkeep.guard.chain import DefaultGuard
from tierkeep.guard.personal_data import is_card, is_iban, is_ssn
from tierkeep.guard.redaction import REDACTED, Redactor
from tierkeep.models.doubles import HashEmbedder
from tierkeep.records import Authority, EventDraft, Origin, Scope, Source
from tierkeep.settings import RedactionSettings, Settings

from .planted import Planted, planted, secret

SCOPE = Scope(user="ana")
KEY = "ghp_" + "aB3dE6gH9j" * 3 + "aB3dE6"
ORDINARY = [
    "I moved to Lisbon in May and started at Ondaclara on the 3rd.",
    "The password is required on the first page, and the token limit is 4096.",
    "password = request.form['password']\nhashed_password = generate_password_hash(password)",
    "We met at 10:30 on 2026-05-02, in room 12, and paid 45.90 for two.",
    "Flight TP123 departs 14:05 from gate 7; booking 20250910154001.",
    "Population: 1,234,567 in 1990 and 1 345 678 in 2020.",
    "ISBN 978-3-16-148410-0, version 1.22.333.4444, build 20260502.",
    "commit 9fceb02d0ae598e95dc970b74767f19372d61af8 fixes the parser",
    "Der Schlüssel liegt unter der Matte, das Passwort kenne ich nicht.",
    "La clave es estudiar todos los días; la contraseña no importa.",
    "Le mot de passe est oublié, comme toujours.",
    "密码是什么？我忘记了。明天下午三点见。",
    "Call me after six, or text me when the train arrives.",
    "Our secret is butter: 250 g of it, and 180 degrees for 45 minutes.",
    "The area is 3.14159265358979 times 12.5 squared.",
    "See https://example.org/a/b?page=2&sort=name#top and the user@ handle.",
    "Tracking number: 7731234567890. Order 4000-1200 arrives in 2-3 days.",
    "uuid 123e4567-e89b-12d3-a456-426614174000 was deleted",
    "data:image/png;base64," + base64.b64encode(bytes(range(256))).decode(),
    "skill-based matchmaking and risk-averse sk-learners",
    "api_key = os.environ['API_KEY']  # never in the code",
    "password: ${DB_PASSWORD}, token: <your token here>",
    "He said the magic word is please and the code word is banana.",
    "1111 2222 3333 4444 is no card, and 123-45-678 no number of a person.",
    "",
]


def draft(text: str, origin: Origin | None = None, **more: Any) -> EventDraft:
    return EventDraft(**{
        "session": "s", "role": "user", "speaker": "Ana", "text": text, "at": "2026-05-20", "ts": 0.0,
        "origin": origin or Origin.user("ana"), "authority": Authority.DATA, **more,
    })  # fmt: skip


def admitted(text: str, settings: RedactionSettings | None = None, **more: Any) -> EventDraft:
    return DefaultGuard(Settings(redaction=settings or RedactionSettings())).admit(draft(text, **more), SCOPE)


def missed(lines: list[Planted], redactor: Redactor) -> list[Planted]:
    return [one for one in lines if _core(one) in redactor.mask(one.text)]


def _core(one: Planted) -> str:
    """What must be gone: a key itself, without the word in front of it."""
    if one.kind == "pem":
        return one.what.split("\n")[1]
    if one.kind == "address":
        return one.what.split(":")[2].split("@")[0]
    return one.what.split(" ")[-1] if one.kind in ("aws secret", "bearer") else one.what


@pytest.mark.parametrize("libraries", [False, True])
def test_of_planted_secrets_and_numbers_nearly_all_are_found(libraries: bool) -> None:
    redactor = Redactor(RedactionSettings(libraries=libraries))
    keys, persons = planted(11, 500, keys=True), planted(12, 500, keys=False)
    assert len(missed(keys, redactor)) <= 5, missed(keys, redactor)
    assert len(missed(persons, redactor)) <= 25, missed(persons, redactor)


def test_what_is_ordinary_is_left_alone() -> None:
    redactor = Redactor()
    assert [text for text in ORDINARY if redactor.mask(text) != text] == []


@pytest.mark.parametrize("source", sorted(Source))
def test_secrets_go_whoever_says_them_and_nobody_is_refused(source: Source) -> None:
    after = admitted(f"my key is {KEY}, ok", origin=Origin(source=source))
    assert after.text == "my key is [secret: github token], ok"
    assert after.meta[REDACTED] == ["github token"] and after.authority != Authority.QUARANTINED


def test_numbers_of_persons_stay_in_the_store_by_default_and_go_when_asked() -> None:
    text = "Bo: bo@example.org, +351 912 345 678"
    assert admitted(text).text == text and REDACTED not in admitted(text).meta
    after = admitted(text, RedactionSettings(phones="redact", emails="redact"))
    assert after.text == "Bo: [e-mail], [phone]" and after.meta[REDACTED] == ["e-mail", "phone"]


def test_a_class_can_be_quarantined_or_kept() -> None:
    assert admitted(f"key {KEY}", RedactionSettings(secrets="quarantine")).authority == Authority.QUARANTINED
    kept = admitted(f"key {KEY}", RedactionSettings(secrets="keep"))
    assert KEY in kept.text and kept.authority == Authority.DATA


def test_meta_and_addresses_and_tool_calls_are_redacted(memory: Memory) -> None:
    mine = memory.scope(user="ana")
    mine.add(
        {"role": "assistant", "tool_calls": [{"name": "deploy", "arguments": {"token": KEY, "to": "prod"}}],
         "meta": {"a": [{"b": f"x {KEY}"}]}},
        meta={"password": "plainword", "count": 3},
    )
    mine.add("Soup.", origin=Origin.web("https://bo:Sup3rSecret@example.org/x"), role="tool")
    shown = str([event.model_dump() for event in mine.events()])
    assert "plainword" not in shown and KEY not in shown and "Sup3rSecret" not in shown
    call, page = mine.events()
    assert call.meta["count"] == 3 and '"to": "prod"' in call.text and page.origin.uri.endswith("@example.org/x")


def test_a_secret_in_base64_is_found_and_one_over_two_writes_is_not() -> None:
    hidden = base64.b64encode(f"the key is {KEY} for now".encode()).decode()
    assert Redactor().mask(f"decode {hidden} please") == "decode [secret: github token] please"
    assert KEY[:20] in Redactor().mask(f"first half {KEY[:20]}")  # reported: each half is only a word


def test_a_private_key_without_its_end_is_taken_whole() -> None:
    text = "-----BEGIN RSA PRIVATE KEY-----\n" + "MIIEpAIBAAKCAQEA1\n" * 5
    assert Redactor().mask(f"here:\n{text}") == "here:\n[secret: private key]"


class Spy:
    """An embedder that keeps what it is given."""

    identity, dimension = "spy/1", 8

    def __init__(self) -> None:
        self.texts: list[str] = []

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.texts += texts
        return HashEmbedder(8).embed(texts)


class QuerySpy(Spy):
    """One that treats questions apart."""

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self.embed([f"query: {text}" for text in texts])


@pytest.mark.parametrize("kind", [Spy, QuerySpy])
def test_no_secret_and_no_number_of_a_person_reaches_an_embedder(kind: type[Spy]) -> None:
    spy = kind()
    lines = [*planted(5, 40, keys=True), *planted(6, 40, keys=False)]
    with Memory.open(":memory:", embedder=spy, derive="with_write") as memory:
        mine = memory.scope(user="ana")
        mine.add([one.text for one in lines])
        mine.recall("What is the number bo@example.org gave, +351 912 345 678?")
        assert memory.describe()["embedder"] == "spy/1+redacted"
    seen = "\n".join(spy.texts)
    assert [one for one in lines if _core(one) in seen] == [] and "912" not in seen and "bo@example" not in seen
    assert "[phone]" in seen and (kind is Spy or "query: " in seen)


def test_the_mask_can_be_left_off() -> None:
    spy = Spy()
    settings = Settings(redaction=RedactionSettings(mask_embedder=False))
    with Memory.open(":memory:", embedder=spy, derive="with_write", settings=settings) as memory:
        memory.scope(user="ana").add("Bo is bo@example.org")
        assert memory.describe()["embedder"] == "spy/1"
    assert "bo@example.org" in "\n".join(spy.texts)


@given(st.integers(0, 10_000), st.text(max_size=40), st.text(max_size=40))
def test_redacting_twice_changes_nothing_and_findings_do_not_overlap(seed: int, before: str, after: str) -> None:
    text = f"{before} {secret(random.Random(seed))[1]} {after}"
    redactor = Redactor()
    found = redactor.find(text)
    assert all(one.end <= other.start for one, other in pairwise(found))
    assert redactor.mask(redactor.mask(text)) == redactor.mask(text)


def test_checksums() -> None:
    assert is_card("4111111111111111") and not is_card("4111111111111112") and not is_card("9111111111111111")
    assert is_iban("DE89370400440532013000") and not is_iban("DE89370400440532013001") and not is_iban("XX89370400440532013000")
    assert is_ssn("123456789") and not any(map(is_ssn, ("000456789", "666456789", "912456789", "123006789", "123450000")))


def test_libraries_know_more_countries() -> None:
    text = "DNI 12345678Z, CPF 390.533.447-05"
    assert "12345678Z" in Redactor().mask(text)
    masked = Redactor(RedactionSettings(libraries=True)).mask(text)
    assert masked == "DNI [national id], CPF [national id]"


def test_libraries_that_are_missing_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "phonenumbers", None)
    with pytest.raises(MissingExtraError, match=r"tierkeep\[redaction\]"):
        DefaultGuard(Settings(redaction=RedactionSettings(libraries=True)))


def test_the_receipt_says_what_was_not_stored() -> None:
    with Memory.open(":memory:") as memory:
        receipt = memory.scope(user="ana").add("The key is AKIA" + "QWERTYUIOPASDF23" + ", keep it.")
        assert receipt.notes == (f"not stored of {receipt.ids[0]}: aws key",)
