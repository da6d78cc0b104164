"""Verified deletion, seen from outside: the bytes of the files, and the search that looks for them."""

from __future__ import annotations

import random
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tierkeep import Memory
from tierkeep.ledger import SqliteLedger
from tierkeep.ledger.canaries import Finder, spoken, words
from tierkeep.ledger.files import Claim
from tierkeep.records import Authority, Op, Origin, Scope
from tierkeep.testing.clock import FixedClock
from tierkeep.testing.store import draft, record, snapshot

ANA = Scope(user="ana")
BOB = Scope(user="bob")


def opened(path: Path) -> SqliteLedger:
    return SqliteLedger(path, clock=FixedClock())


def every_byte(folder: Path) -> bytes:
    return b"\n".join(path.read_bytes() for path in sorted(folder.iterdir())).lower()


def unique_words(count: int, seed: int) -> list[str]:
    letters = random.Random(seed)
    return ["".join(letters.choices("bcdfghjklmnpqrstvwxz", k=14)) for _ in range(count)]


def test_no_byte_of_forgotten_texts_stays_in_any_file(tmp_path: Path) -> None:
    """Long texts (overflow pages), long keys (index pages that split and merge), several rounds, random order."""
    marks = unique_words(240, 3)
    noise = random.Random(4)
    with opened(tmp_path / "x.db") as ledger:
        for number, mark in enumerate(marks):
            text = f"{mark} " + "filler words of no interest " * noise.choice([0, 1, 30, 700])
            with ledger.transaction(ANA) as tx:
                tx.append([draft(text, id=f"e{number}", speaker=mark[::-1], meta={"note": f"m{mark}"})])
                tx.apply([Op(op="add", record=record(f"r{number}", f"e{number}", key=mark * 9, text=f"about {mark}", attrs={"k": mark}))])
                tx.apply([Op(op="update", target=f"r{number}", patch={"text": f"more about {mark}"})])
        left = list(range(len(marks)))
        noise.shuffle(left)
        gone: list[int] = []
        while left:
            size = noise.choice([1, 3, 20, 60])
            now, left = left[:size], left[size:]
            gone += now
            report = ledger.forget(ANA, [f"e{number}" for number in now]).report
            assert (report.events, report.records, report.residue, report.complete) == (len(now), len(now), (), True)
            assert report.canaries >= len(now)
        assert ledger.verify().ok
        ledger.close()
    held = every_byte(tmp_path)
    for mark in marks:
        assert mark.encode() not in held
        assert mark[::-1].encode() not in held


def test_words_that_somebody_else_still_says_are_no_canaries(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        for scope, text in ((ANA, "Zanzibar plutonium"), (BOB, "zanzibar")):
            with ledger.transaction(scope) as tx:
                tx.append([draft(text, id="m", speaker="x")])
        report = ledger.forget(ANA, ["m"]).report
        assert (report.canaries, report.complete) == (1, True)
        assert ledger.sweep(["plutonium"]) == []
        assert ledger.sweep(["zanzibar"]) == ["events.text", "file:tierkeep.db"]


def test_case_script_and_form_do_not_hide_a_word(tmp_path: Path) -> None:
    said = ["ÜBERGEHEIM", "ÉTRANGEMENT", "Привидение", "日本語秘密文書", "STRAẞENKAMPF"]
    with opened(tmp_path) as ledger:
        with ledger.transaction(ANA) as tx:
            tx.append([draft(" ".join(said), id="m"), draft("other", id="n")])
        for word in said:
            assert "events.text" in ledger.sweep([word.lower()]), word
            assert "file:tierkeep.db" in ledger.sweep([word]), word
        assert ledger.forget(ANA, ["m"]).report.complete
        for word in said:
            assert ledger.sweep([word, word.lower(), word.casefold()]) == []


def test_residue_in_free_pages_is_found_and_removed(tmp_path: Path) -> None:
    """A copy of the text in pages that SQLite freed without wiping, as another tool on the file might leave them."""
    path = tmp_path / "x.db"
    with opened(path) as ledger, ledger.transaction(ANA) as tx:
        tx.append([draft("zanzibarvoyage", id="m"), draft("other", id="n")])
    careless = sqlite3.connect(path, isolation_level=None)
    careless.execute("PRAGMA secure_delete = OFF")
    careless.execute("CREATE TABLE scratch(x)")
    careless.execute("INSERT INTO scratch VALUES(?)", ("zanzibarvoyage " * 2000,))
    careless.execute("DROP TABLE scratch")
    careless.close()
    assert b"zanzibarvoyage" in path.read_bytes()
    with opened(path) as ledger:
        assert "file:x.db" in ledger.sweep(["zanzibarvoyage"])
        report = ledger.forget(ANA, ["m"]).report
        assert (report.complete, report.residue) == (True, ())
        assert ledger.stats()["free_bytes"] == 0
        assert ledger.verify().ok
    assert b"zanzibarvoyage" not in every_byte(tmp_path)


def test_residue_of_a_word_that_is_written_like_a_living_one_is_found(tmp_path: Path) -> None:
    """In capitals "kantstraße" is "kantstrasse": that one of the two is alive must not hide what is left of the other."""
    path = tmp_path / "x.db"
    with opened(path) as ledger, ledger.transaction(ANA) as tx:
        tx.append([draft("kantstrasse kantstra\u00dfe", id="m"), draft("kantstra\u00dfe", id="n")])
    careless = sqlite3.connect(path, isolation_level=None)
    careless.execute("PRAGMA secure_delete = OFF")
    careless.execute("CREATE TABLE scratch(x)")
    careless.execute("INSERT INTO scratch VALUES(?)", ("kantstrasse " * 2000,))
    careless.execute("DROP TABLE scratch")
    careless.close()
    assert Finder(["kantstra\u00dfe", "kantstrasse"]).ambiguous
    assert not Finder(["kantstra\u00dfe", "hafen"]).ambiguous
    with opened(path) as ledger:
        report = ledger.forget(ANA, ["m"]).report
        assert (report.complete, report.residue) == (True, ())
    assert b"kantstrasse" not in every_byte(tmp_path)


def test_residue_that_cannot_be_removed_is_reported(tmp_path: Path) -> None:
    """A table that is not ours holds the text: we do not touch it, and we do not say that all is gone."""
    path = tmp_path / "x.db"
    with opened(path) as ledger:
        with ledger.transaction(ANA) as tx:
            tx.append([draft("zanzibarvoyage", id="m")])
        foreign = sqlite3.connect(path, isolation_level=None)
        foreign.execute('CREATE TABLE "the ""irs"(x)')
        foreign.execute("""INSERT INTO "the ""irs" VALUES('zanzibarvoyage')""")
        foreign.close()
        report = ledger.forget(ANA, ["m"]).report
        assert (report.events, report.complete, report.residue) == (1, False, ("file:x.db", 'the "irs.x'))
        assert report.note


@dataclass(frozen=True)
class Interrupted(Claim):
    """Lets somebody else write before each file is read."""

    write: threading.Thread

    def blocks(self, path: Path, overlap: int) -> Iterator[bytes]:
        if not self.write.ident:
            self.write.start()
            self.write.join(30)
        yield from Claim.blocks(self, path, overlap)


def test_others_write_while_the_files_are_read_for_what_is_left(tmp_path: Path) -> None:
    with opened(tmp_path / "x.db") as ledger:
        with ledger.transaction(ANA) as tx:
            tx.append([draft("zanzibarvoyage of mine", id="m")])

        def write() -> None:
            with ledger.transaction(BOB) as tx:
                tx.append([draft("zanzibarvoyage of Bob's", id="b")])

        other = threading.Thread(target=write)
        connections = ledger._connections
        assert connections.claim is not None
        connections.claim = Interrupted(connections.claim.path, connections.claim.key, other)
        report = ledger.forget(ANA, ["m"]).report
        assert not other.is_alive()
        assert (report.complete, report.residue) == (True, ())
        assert [event.text for event in ledger.view(BOB).events(["b"])] == ["zanzibarvoyage of Bob's"]


def test_a_blanked_record_keeps_its_low_authority(tmp_path: Path) -> None:
    """Losing the weak source must not lift what was derived from it."""
    with opened(tmp_path) as ledger:
        with ledger.transaction(ANA) as tx:
            tx.append([draft("strong", id="s"), draft("weak", id="w", origin=Origin.web("http://w.example"), authority=Authority.DATA)])
            tx.apply([Op(op="add", record=record("r", "s", "w", authority=Authority.DATA, origin=Origin.web("http://w.example")))])
        (blanked,) = ledger.forget(ANA, ["w"]).rederive
        assert (blanked.authority, blanked.origin, blanked.sources) == (Authority.DATA, Origin.user("ana"), ("s",))
        assert "w.example" not in snapshot(ledger, ANA)
        assert ledger.verify().ok


def test_a_large_forget_is_one_transaction(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        with ledger.transaction(ANA) as tx:
            ids = [a.event.id for a in tx.append([draft(f"text {i} {i * 7919}") for i in range(3000)])]
            tx.append([draft("kept", id="kept")])
        assert ledger.forget(ANA, ids).report.events == 3000
        assert [event.id for event in ledger.view(ANA).scan()] == ["kept"]
        assert ledger.verify().entries == 3002


# ------------------------------------------------------------------------------------------------------ canaries


def test_words_come_rarest_first() -> None:
    assert words(["Lisbon lisbon LISBON", "abc Porto, 1234567 hidden_word"]) == ["1234567", "hidden", "porto", "word", "lisbon"]
    assert words(["x" * 500]) == ["x" * 64]
    assert words([]) == words(["a bc def"]) == []
    assert words([f"word{i:05d}" for i in range(50)], limit=3) == ["word00000", "word00001", "word00002"]


def test_every_string_in_a_value_is_spoken() -> None:
    assert sorted(spoken({"a": ["b", {"c": "d"}, 5, None], "e": ("f",)})) == ["a", "b", "c", "d", "e", "f"]


ALPHABET = st.sampled_from("abcde fé\u0130ß日\n")
TERM = st.text(ALPHABET, min_size=1, max_size=9)


@given(st.lists(TERM, min_size=1, max_size=12, unique=True), st.lists(st.text(ALPHABET, max_size=30), max_size=8))
def test_the_finder_finds_what_a_plain_search_finds(terms: list[str], texts: list[str]) -> None:
    data = "|".join(texts).encode()
    found: set[str] = set()
    Finder(terms).find(data, found)
    forms = {term: {term, term.casefold(), term.lower(), term.upper(), term.title()} for term in terms}
    low = data.lower()
    expected = {term for term in terms if any(form.encode().lower() in low for form in forms[term])}
    # Two terms can share a form; then either may stand for it.
    shared = {form.encode().lower() for term in expected - found for form in forms[term] if form.encode().lower() in low}
    named = {form.encode().lower() for term in found for form in forms[term]}
    assert found <= expected and shared <= named


def test_the_finder_takes_terms_and_blocks_of_any_size() -> None:
    for terms, data, expected in (
        ([], b"abc", set()),
        (["abcd"], b"", set()),
        (["abcd"], b"abc", set()),
        (["ab", "abcd"], b"xABCDx", {"ab", "abcd"}),
        (["e" * 64], b"e" * 63, set()),
        (["e" * 64], b"e" * 64, {"e" * 64}),
        ([""], b"abcdef", set()),
    ):
        found: set[str] = set()
        Finder(terms).find(data, found)
        assert found == expected


def test_a_record_that_outlives_one_forget_leaves_no_name_behind_in_the_next(tmp_path: Path) -> None:
    with Memory.open(tmp_path) as memory:
        ana = memory.scope(user="ana")
        home = ana.add("I moved to Lisbon in May.", session="home", at="2026-05-20")
        ana.add("I moved to Porto in June.", session="later", at="2026-06-20")
        assert ana.forget(session="later").complete
        report = ana.forget(ids=list(home.ids))
        assert (report.complete, report.residue) == (True, ())
        assert memory.verify().ok


def test_a_word_that_a_hash_spells_by_chance_is_no_residue(tmp_path: Path) -> None:
    with opened(tmp_path / "x.db") as ledger, ledger.transaction(ANA) as transaction:
        (kept,) = transaction.append([draft("an ordinary thing")])
        transaction.apply([Op(op="add", record=record("r1", kept.event.id))])
    raw = sqlite3.connect(tmp_path / "x.db")
    raw.execute("UPDATE journal SET digest = CAST('zzquokkazz' AS BLOB)")
    raw.commit()
    raw.close()
    with opened(tmp_path / "x.db") as ledger:
        with ledger.transaction(ANA) as transaction:
            (gone,) = transaction.append([draft("a quokka came by")])
        assert ledger.forget(ANA, [gone.event.id]).report.residue == ()
