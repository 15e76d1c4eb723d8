"""The audit of co-signatures: each by the key that its line names, and those by keys that nobody knows counted."""

from __future__ import annotations

import base64

import pytest
from sqlalchemy import select, update

from exchange.cosignature import WitnessKey, cosign, with_lines
from exchange.note import LogKey, split_note
from exchange.store.audit import audit
from exchange.store.cosignatures import Cosignatures
from exchange.store.engines import Engines, connect
from exchange.store.unlogged import Witnessed
from exchange.tables import cosignature
from tests.bridge.world import HOTLINE, LOG_KEY, POLICE, Matter, World, stored
from tests.store.test_audit import WorldReader

#: Two keys of one witness, one after the other, and another witness's.
OLD, NEW = (LogKey.from_seed("witness.example/1", bytes([n] * 32)) for n in (7, 8))
OTHER = LogKey.from_seed("witness.example/2", bytes([7] * 32))


def cosigned(url: str) -> WorldReader:
    """Let the old key co-sign what was accepted; return who reads the world."""
    world, matter = World(url), Matter()
    for outcome in world.push(HOTLINE, world.opening(matter), world.offer(matter, POLICE)):
        stored(outcome)
    kept = Cosignatures.open(url)
    note = kept.checkpoint(LOG_KEY.name)
    line = cosign(split_note(note)[0], OLD, world.now).line
    kept.keep(with_lines(note, [line]), [WitnessKey.of(OLD)], world.now)
    kept.close()
    world.bridge.store.close()
    return WorldReader(world)


def judged(engines: Engines, reader: WorldReader, *keys: LogKey) -> tuple[int, int]:
    """Return how many co-signatures the audit finds changed, and how many nobody's, for who knows *keys*."""
    seen = Witnessed([WitnessKey.of(key) for key in keys])
    found = [one.en for one in audit(engines, LOG_KEY.verifier, reader, witnessed=seen)]
    return len([one for one in found if "table cosignature," in one]), seen.unknown


def other_byte(line: str, place: int) -> str:
    """Return *line* with one bit changed of its key hash, time and signature."""
    front, encoded = line.rsplit(" ", 1)
    value = bytearray(base64.b64decode(encoded))
    value[place] ^= 1
    return f"{front} {base64.b64encode(value).decode()}"


def test_a_witness_may_have_a_new_key(database_url: str) -> None:
    """What its former key signed holds by that key, and is no tampering to who has only the new one."""
    reader = cosigned(database_url)
    engines = connect(database_url)
    try:
        by_keys = [
            judged(engines, reader, *keys)
            for keys in ([OLD], [NEW, OLD], [OLD, NEW], [NEW], [OTHER], [])
        ]
    finally:
        engines.close()

    assert [(0, 0)] * 3 + [(0, 1)] * 3 == by_keys


@pytest.mark.parametrize("place", [0, 40], ids=["hash", "signature"])
def test_a_changed_line_is_still_found(database_url: str, place: int) -> None:
    """A signature that does not hold, and a key hash that is not the signer's."""
    reader = cosigned(database_url)
    engines = connect(database_url)
    try:
        with engines.writer.begin() as connection:
            line = connection.execute(select(cosignature.c.line)).scalar_one()
            connection.execute(update(cosignature).values(line=other_byte(line, place)))
        found = judged(engines, reader, NEW, OLD)
    finally:
        engines.close()

    assert (1, 0) == found
