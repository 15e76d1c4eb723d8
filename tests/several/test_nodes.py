"""What holds where several bridges share MariaDB, and each has a node of its own: what is certified, counted, timed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import event, text

from exchange.errors import StoreUnusable
from exchange.store import Store, mariadb_claim
from exchange.store.places import FIRST_TURN, first_place
from tests.attack.evidence import column
from tests.bridge.world import HOTLINE, POLICE, Matter, stored
from tests.several.conftest import ON_GALERA, ON_MARIADB
from tests.several.joined import KEYS, Joined
from tests.several.nodes import GALERA, beside, kind
from tests.several.test_sharing import findings, note_on, offered

on_galera = pytest.mark.parametrize("own_url", [ON_GALERA], indirect=True)
on_both = pytest.mark.parametrize("own_url", [ON_MARIADB, ON_GALERA], indirect=True)


@contextmanager
def once_before_commit(store: Store, act: Callable[[], object]) -> Iterator[list[int]]:
    """Do something before the next transaction of *store* commits; say how often one came to that."""
    came: list[int] = []

    def meanwhile(_connection: object) -> None:
        came.append(1)
        if len(came) == 1:
            act()

    event.listen(store._engines.writer, "commit", meanwhile)
    try:
        yield came
    finally:
        event.remove(store._engines.writer, "commit", meanwhile)


@on_galera
def test_who_only_read_a_ticket_is_undone_for_who_was_first(joined: Joined) -> None:
    """Two notes write no row in common but the ticket's; the later one is decided again, and comes after."""
    matter, other = Matter(), Matter()
    offered(joined.at(0), matter)
    offered(joined.at(0), other)
    first, second, third = (note_on(joined, one) for one in (matter, matter, other))
    with once_before_commit(
        joined.bridges[0].store, lambda: stored(joined.at(1).push(HOTLINE, first)[0])
    ) as came:
        later = stored(joined.at(0).push(HOTLINE, second)[0])
    assert 2 == len(came)
    with once_before_commit(
        joined.bridges[1].store, lambda: stored(joined.at(0).push(HOTLINE, third)[0])
    ) as came:
        joined.at(1).push(HOTLINE, note_on(joined, matter))
    assert 1 == len(came)  # another ticket's is in nobody's way

    said = [one.message_id for one in joined.at(0).pull(POLICE) if one.lane == matter.handoff_id]
    assert said.index(first.message_id) + 1 == said.index(later.message_id)
    assert not findings(joined)


@on_galera
def test_a_mailbox_is_looked_into_once_at_a_time(joined: Joined) -> None:
    """Of two looks at two nodes one is undone, and then sees what the other one gave."""
    offered(joined.at(0), Matter())
    found: list[object] = []
    look = joined.bridges[1].pull
    outbox = joined.bridges[0]._outbox
    with once_before_commit(outbox, lambda: found.extend(look(POLICE, 10, joined.now))) as came:  # type: ignore[arg-type]
        assert [] == joined.at(0).pull(POLICE)

    assert (1, 2) == (len(came), len(found))


@on_both
@pytest.mark.parametrize(("hence", "out"), [(1, True), (5, False)])
def test_a_lease_of_a_node_whose_clock_is_a_little_ahead_counts(
    joined: Joined, hence: int, out: bool
) -> None:
    """Within two seconds, in both directions; one server alone has one clock."""
    offered(joined.at(0), Matter())
    joined.at(0).pull(POLICE)
    engine = beside(joined.url)
    with engine.connect() as connection:
        later = f"UPDATE lease SET taken = taken + {hence * 1_000_000} WHERE lane <> ''"
        connection.execute(text(later))
        there = kind(joined.url) == GALERA and out
        assert (0 if there else 2) == len(joined.at(1).pull(POLICE))
        if there:
            ended = "UPDATE lease SET taken = 1, expires = (UNIX_TIMESTAMP() - {}) * 1000000 WHERE lane <> ''"
            connection.execute(text(ended.format(1)))
            assert [] == joined.at(1).pull(POLICE)
            connection.execute(text(ended.format(5)))
            assert 2 == len(joined.at(1).pull(POLICE))
    engine.dispose()


@on_both
def test_turns_go_on_above_all_that_was_said_where_the_server_forgot_them(joined: Joined) -> None:
    """A table that was put back without its count: what is said of a ticket comes after what was said."""
    matter = Matter()
    offered(joined.at(0), matter)
    notes = [note_on(joined, matter) for _ in range(20)]
    said = [stored(joined.at(1).push(HOTLINE, note)[0]).message_id for note in notes]
    engine = beside(joined.url)
    with engine.connect() as connection:
        connection.execute(text(f"ALTER TABLE turn AUTO_INCREMENT = {FIRST_TURN}"))
    for number in (0, 1):
        note = note_on(joined, matter)
        said.append(stored(joined.at(number).push(HOTLINE, note)[0]).message_id)

    with engine.connect() as connection:
        connection.execute(text(f"ALTER TABLE turn AUTO_INCREMENT = {FIRST_TURN}"))
    engine.dispose()
    joined.bridges[1].close()
    joined.bridges[1] = joined.sharing(KEYS[1], joined.bridges[0].ledger)
    for _ in range(3):  # of a new ticket nothing was said that a turn could be held against
        stored(joined.at(1).push(HOTLINE, joined.opening(Matter()))[0])

    assert said == [one.message_id for one in joined.at(0).pull(POLICE)][2:]
    assert first_place(FIRST_TURN) <= min(
        int(str(p)) for p in column(joined.url, "trail", "leaf_index")
    )
    assert not findings(joined)


@on_both
def test_a_lone_bridge_that_stood_still_while_another_log_joined_writes_nothing_more(
    own_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its claim was taken for the joining and is free again: it must not take itself for the only one."""
    world = Joined(own_url)
    world.push(HOTLINE, world.opening(Matter()))
    world.bridge.close()
    with monkeypatch.context() as frozen:
        frozen.setattr(mariadb_claim, "_BEAT_SECONDS", 1e6)
        alone = Store.open(own_url, KEYS[0], alone=True)
    monkeypatch.setattr(mariadb_claim, "_PATIENCE_SECONDS", 0.5)
    world.begin()
    for bridge in world.bridges:
        bridge.close()
    with pytest.raises(StoreUnusable, match="Start the bridge again") as raised, alone.writing():
        pass
    assert "重新启动" in raised.value.text.zh
    alone.close()
    assert 2 == len(column(own_url, "log", "origin"))
