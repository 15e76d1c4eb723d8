"""A relay at bridges that share a database: what it fetches, and what it says at any of them."""

from __future__ import annotations

from dataclasses import replace

from exchange.errors import RefusalCode
from exchange.submission import Recorded
from exchange.wire.headers import with_hop
from tests.bridge.test_carried import RELAY, by_relay, handed_over, join, passed
from tests.bridge.world import DEPARTMENT, HOTLINE, POLICE, Matter, recorded, refused, stored
from tests.several.joined import KEYS, Joined

BEHIND = (POLICE, DEPARTMENT)


def test_a_relay_may_speak_at_any_of_the_bridges(joined: Joined) -> None:
    """Fetched at one, passed on at the other, written at the first: once, and in one order."""
    for bridge in joined.bridges:
        joined.bridge = bridge  # type: ignore[assignment]
        join(joined)
    joined.at(0)
    handed_over(joined, Matter())
    found = joined.bridge.pull(RELAY, 100, joined.now, behind=BEHIND)
    assert len(found) == 2
    joined.at(1)
    assert [] == joined.bridge.pull(RELAY, 100, joined.now, behind=BEHIND)
    assert found == [
        replace(one, lease_expires=two.lease_expires)
        for one, two in zip(
            joined.bridge.read_on((RELAY, *BEHIND), 100, 0, joined.now), found, strict=True
        )
    ]
    assert [Recorded(leaf_index=None)] * 2 == joined.drain(*map(passed, found))
    joined.at(0)
    said = [by_relay(joined.written(POLICE, one)) for one in found]
    leaves = [recorded(one).leaf_index for one in joined.drain(*said)]
    joined.at(1)
    assert leaves == [recorded(one).leaf_index for one in joined.drain(*said)]
    assert 2 == len(joined.pull(HOTLINE))


def test_a_message_that_passed_a_sibling_is_not_sent_round(joined: Joined) -> None:
    """A hop that names any log of the database is a loop at each of its bridges."""
    for bridge in joined.bridges:
        joined.bridge = bridge  # type: ignore[assignment]
        join(joined)
        ledger = bridge.ledger
        ledger.policy = replace(
            ledger.policy, origin=bridge.key.name, siblings=bridge.store.siblings()
        )
    joined.at(0)
    matter = Matter()
    party = joined.parties[HOTLINE]
    opening, offer = party.seal(joined.opening(matter), joined.offer(matter, POLICE))
    stored(joined.drain(*party.pushes([opening]))[0])
    hopped = replace(offer, envelope=with_hop(offer.envelope, KEYS[0].name, joined.now))
    joined.at(1)
    assert refused(joined.drain(*party.pushes([hopped]))[0]).code is RefusalCode.RELAY_LOOP
