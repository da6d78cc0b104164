"""Voices are counted by where a memory comes from in the end."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tierkeep import Memory
from tierkeep.guard.amemguard.origins import own_word, trusted, voices
from tierkeep.ledger.sqlite import SqliteLedger
from tierkeep.protocols import View
from tierkeep.records import PARENTS, Authority, Hit, Op, Origin, Record, Source
from tierkeep.testing.clock import FixedClock

Make = Callable[..., Hit]


def test_pages_of_one_site_have_one_voice(hit: Make, view: View) -> None:
    hits = [hit("a", Origin.web(f"https://{host}/{page}")) for host, page in (("x.example", 1), ("www.x.example", 2), ("y.example", 1))]
    assert voices(hits, view) == [0, 0, 1]


def test_a_trust_domain_goes_before_the_address(hit: Make, view: View) -> None:
    hits = [hit("a", Origin.web(uri).model_copy(update={"trust_domain": "mall"})) for uri in ("https://x.example", "https://y.example")]
    assert voices(hits, view) == [0, 0]


def test_each_of_the_users_words_is_its_own_and_the_agents_are_one(hit: Make, view: View) -> None:
    hits = [hit("a", Origin.user("ana")), hit("b", Origin.user("ana")), hit("c", Origin.agent("bot")), hit("d", Origin.agent("bot"))]
    assert voices(hits, view) == [0, 1, 2, 2]


def test_documents_without_a_host_are_told_apart_by_their_name(hit: Make, view: View) -> None:
    assert voices([hit("a", Origin.document(name)) for name in ("a.pdf", "b.pdf", "a.pdf")], view) == [0, 1, 0]


def test_what_is_derived_speaks_with_the_voice_of_its_sources(clock: FixedClock, hit: Make) -> None:
    """A fact from a page is not a second witness, and neither is the agent's note about it."""
    ledger = SqliteLedger(":memory:", clock=clock)
    with Memory.open(ledger, clock=clock) as memory:
        mine = memory.scope(user="ana")
        (page,) = mine.add("It rains.", role="tool", origin=Origin.web("https://x.example"), session="s").ids
        view = ledger.view(mine.scope)
        (stored,) = view.events([page])
        bound = {"origin": stored.origin, "authority": Authority.DATA}
        record = Record(id="r", scope=mine.scope, kind="fact", text="Rain.", sources=(page,), **bound)
        with ledger.transaction(mine.scope) as transaction:
            transaction.apply([Op(op="add", record=record)])
        note = hit("It rains, I read.", Origin.agent("bot"), meta={PARENTS: (page,)})
        hits = [Hit(stored, 1.0), note, Hit(view.get(["r"])[0], 1.0), hit("else"), hit("I say.", Origin.agent("bot"))]
        # The note joins the page's voice with the agent's own.
        assert voices(hits, view) == [0, 0, 0, 1, 0]
        assert voices([hits[0], hits[2], hits[3], hits[4]], view) == [0, 0, 1, 2]


@pytest.mark.parametrize(
    ("origin", "vouched", "own"),
    [
        (Origin.user("ana"), True, True),
        (Origin.operator(), True, True),
        (Origin.tool("bank", trusted=True), True, False),
        (Origin(source=Source.SYSTEM_POLICY), True, False),
        (Origin.agent(), False, False),
        (Origin.web("https://x.example"), False, False),
        (Origin.imported(), False, False),
    ],
)
def test_trust_is_by_origin(hit: Make, origin: Origin, vouched: bool, own: bool) -> None:
    item = hit("a", origin, Authority.ADVISE if vouched else Authority.DATA).item
    assert (trusted(item), own_word(item)) == (vouched, own)


def test_a_trusted_origin_whose_authority_was_lowered_is_not_trusted(hit: Make) -> None:
    item = hit("a", Origin.tool("bank", trusted=True), Authority.DATA).item
    assert not trusted(item)
