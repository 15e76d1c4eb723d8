"""A shared database that was put back from a backup: each log that callers are ahead of goes on anew."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from exchange.errors import ConfigurationError, StoreUnusable
from exchange.log import sign_checkpoint
from exchange.merkle import Frontier
from exchange.note import LogKey
from exchange.store import Store
from exchange.store.audit import audit
from exchange.store.engines import connect
from exchange.store.places import FIRST_TURN
from exchange.store.renewal import begin_anew
from exchange.store.sightings import Judgement, Sightings
from tests.bridge.world import HOTLINE, START, Matter, stored
from tests.several.joined import KEYS, Joined
from tests.store.test_audit import WorldReader

#: How many turns were taken.
_TURNS = {
    "postgresql": "SELECT is_called::int FROM turn",
    "mariadb": f"SELECT coalesce(auto_increment, {FIRST_TURN}) - {FIRST_TURN} FROM information_schema.tables"
    " WHERE table_schema = DATABASE() AND table_name = 'turn'",
}
AGAIN = LogKey.from_seed("bridge2.example/log/again", bytes([9] * 32))


def test_a_joined_log_goes_on_in_a_new_one(joined: Joined) -> None:
    """Its bridge writes the new log, the other its own as before, and all of it verifies."""
    for number in (0, 1, 1):
        joined.at(number).push(HOTLINE, joined.opening(Matter()))
    with pytest.raises(StoreUnusable, match="already served"):
        begin_anew(joined.url, KEYS[1], AGAIN, now=joined.now, salt="00" * 16)
    joined.bridges[1].close()
    with pytest.raises(ConfigurationError, match="is taken"):
        begin_anew(joined.url, KEYS[1], KEYS[0], now=joined.now, salt="00" * 16)
    begun = begin_anew(joined.url, KEYS[1], AGAIN, now=joined.now, salt="00" * 16)
    joined.bridges[1] = joined.sharing(AGAIN, joined.bridges[0].ledger)
    proofs = [
        stored(joined.at(number).push(HOTLINE, joined.opening(Matter()))[0]).proof
        for number in (1, 0)
    ]
    reader = WorldReader(joined)
    keys = {key.name: key.verifier for key in (KEYS[0], AGAIN)}
    engines = connect(joined.url)
    found = [one.en for one in audit(engines, KEYS[0].verifier, reader, keys)]
    engines.close()

    assert 2 == begun.leaf_index
    assert [(AGAIN.name, 3), (KEYS[0].name, 1)] == [
        (proof.note.decode().split("\n")[0], proof.index) for proof in proofs
    ]
    assert not [one for one in found if "certificate" not in one]


def test_a_checkpoint_of_any_of_the_logs_tells_of_the_loss(joined: Joined) -> None:
    """A bridge that is shown another's is as much behind; what was kept stops that log's bridge."""
    joined.at(1).push(HOTLINE, joined.opening(Matter()))
    own = joined.bridges[1].checkpoint
    ahead = sign_checkpoint(Frontier().append([bytes(32)] * 5).frontier, KEYS[1])
    foreign = sign_checkpoint(Frontier(), replace(KEYS[2]))
    sightings = Sightings.open(joined.url, KEYS[0].verifier)
    judged = [sightings.judge(note) for note in (own, ahead, foreign)]
    sightings.record(ahead, HOTLINE, START + timedelta(hours=1))
    sightings.require_none()  # its own log's callers hold nothing that it has not
    sightings.close()
    other = Sightings.open(joined.url, KEYS[1].verifier)
    with pytest.raises(StoreUnusable, match=KEYS[1].name):
        other.require_none()
    other.close()

    assert [Judgement.OWN, Judgement.BEYOND, Judgement.FOREIGN] == judged


def test_the_books_of_a_lone_bridge_stay_as_they_were(own_url: str) -> None:
    """A database that nobody joined has places that are indexes, and nothing of what sharing writes."""
    world = Joined(own_url)
    for _ in range(3):
        world.push(HOTLINE, world.opening(Matter()))
    world.bridge.close()
    engines = connect(own_url)
    with engines.reader.connect() as connection:
        rows = connection.exec_driver_sql("SELECT leaf_index FROM trail ORDER BY 1").scalars().all()
        places = connection.exec_driver_sql("SELECT count(place) FROM drain").scalar()
        leases = connection.exec_driver_sql("SELECT count(*) FROM lease").scalar()
        turns = connection.exec_driver_sql(_TURNS[connection.dialect.name]).scalar()
    engines.close()

    assert ([0, 1, 2], 0, 0, 0) == (rows, places, leases, turns)
    Store.open(own_url, KEYS[0]).close()
