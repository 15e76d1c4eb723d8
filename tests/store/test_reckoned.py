"""Reckoning again by the rules of the log: where they end, and where several logs stand in one database."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import insert

from exchange import reckoning, tables
from exchange.acts import Kind
from exchange.chain import bridge_act
from exchange.log import parse_leaf
from exchange.note import LogKey
from exchange.reckoning import said_of
from exchange.store import migrate
from exchange.store.audit import audit
from exchange.store.drivers import driver_of
from exchange.store.engines import Engines, connect, reading
from exchange.store.places import FIRST_TURN, first_place, log_key
from exchange.store.reckoned import Reckoned
from exchange.workdays import calendar
from tests.bridge.world import HOTLINE, LOG_KEY, POLICE, START, Matter, World, stored
from tests.store.test_audit import WorldReader
from tests.unit.test_reckoning import site

OTHER = LogKey.from_seed("bridge.example/log/2", bytes([2] * 32))
#: Of one log, as it is numbered here.
KEYS = (LOG_KEY, OTHER)


def found(world: World, reckoned: Reckoned) -> list[str]:
    """Return what the audit finds, but for the certificates that a world's keys do not have."""
    engines = connect(world.url)
    every = [
        one.en
        for one in audit(engines, LOG_KEY.verifier, WorldReader(world), reckoned=reckoned)
        if "table certificate" not in one.en
    ]
    engines.close()
    return every


def note(world: World, matter: Matter) -> None:
    """Say what moves nothing."""
    said = {"disposal": {"content": "已到场。"}}
    progress = world.message(Kind.PROGRESS, matter, recipient=HOTLINE, groups=said)
    stored(world.push(POLICE, progress)[0])


def test_where_rules_end_what_was_reckoned_by_them_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A note moves nothing: what is due stays as it was reckoned, and is still held against it."""
    world, matter = World(f"sqlite:///{tmp_path / 'a.db'}", says_rules=True), Matter()
    _, offered = world.push(HOTLINE, world.opening(matter), world.offer(matter, POLICE))
    digest = parse_leaf(stored(offered).proof.leaf).digest
    take = world.message(Kind.TAKE, matter, recipient=HOTLINE, previous=digest)
    stored(world.push(POLICE, take)[0])
    with monkeypatch.context() as small:
        small.setattr(reckoning, "MOST", 10)  # its rules have become more than a line holds
        world.restart()
    note(world, matter)
    world.bridge.store.close()
    reckoned = Reckoned()
    before = found(world, reckoned)
    engines = connect(world.url)
    with engines.writer.begin() as connection:
        connection.execute(tables.handoff.update().values(remind=START.replace(year=2030)))
    engines.close()

    assert [] == before
    assert 1 == reckoned.unbound  # what is due beside its step
    assert any("remind: not what" in one for one in found(world, Reckoned()))


def test_a_log_that_commits_later_at_an_earlier_place_is_read(tmp_path: Path) -> None:
    """Turns are given before drains commit: another log's act may come to stand before what was read."""
    url = f"sqlite:///{tmp_path / 'several.db'}"
    migrate(url)
    engines, reckoned = connect(url), Reckoned()
    _drained(engines, log=1, turn=2)
    other = _rules_at(engines, reckoned, turn=2)
    _drained(engines, log=0, turn=1)
    first, again = (_rules_at(engines, reckoned, turn=turn) for turn in (1, 2))
    engines.close()

    assert other
    assert first
    assert again


def _drained(engines: Engines, *, log: int, turn: int) -> None:
    """Let log number *log* have drained its rules, and one leaf more, in *turn*."""
    key, place = KEYS[log], first_place(FIRST_TURN + turn)
    line = bridge_act(
        said_of(site(), calendar()), key.name, (0, b""), START, salt="00", key=key.signing_key
    )
    with engines.writer.begin() as connection:
        act = {"leaf_index": place, "source": key.name, "number": 1, "line": line}
        connection.execute(insert(tables.act).values(act))
        drain = {
            "size_after": log_key(log, 2), "size_before": log_key(log, 0), "nodes": b"", "note": b"",
            "place": place,
        }  # fmt: skip
        connection.execute(insert(tables.drain).values(drain))


def _rules_at(engines: Engines, reckoned: Reckoned, *, turn: int) -> bool:
    """Return whether rules are known of the leaf after the act in *turn*."""
    place = first_place(FIRST_TURN + turn) + 1
    with reading(engines) as connection:
        fetch = partial(driver_of(connection.dialect.name).fetch, connection)
        return reckoned.at(fetch, [place])[place] is not None
