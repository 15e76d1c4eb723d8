"""The audit of attachments in clear: a file may begin with any bytes, also those that mark what is encrypted."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import update

from exchange.attachment_tables import attachment_chunk
from exchange.store.attached import check_attachments
from exchange.store.attachments import Attachments
from exchange.store.engines import Engines, connect
from tests.bridge.world import HOTLINE, POLICE, Matter, World, stored
from tests.store.test_attachments import BOUNDS, EACH, cites, cut
from tests.store.test_audit import WorldReader

#: An MP4's, a TrueType font's, and what begins all that is encrypted, with an id of no key.
BEGINNINGS = [b"\x00\x00\x00\x18ftypmp42", b"\x00\x01\x00\x00\x00\x0c", b"\x00\x01" + bytes(40)]


def with_file(url: str, content: bytes) -> WorldReader:
    """Let a file of *content* be cited and brought, without a key ring; return who reads the world."""
    world, matter = World(url), Matter()
    opening = world.opening(matter)
    groups = {**opening.groups, "attachment": cites(content)}
    for outcome in world.push(
        HOTLINE, replace(opening, groups=groups), world.offer(matter, POLICE)
    ):
        stored(outcome)
    kept = Attachments.open(url, BOUNDS)
    assert {None} == {kept.put({HOTLINE}, chunk, world.now) for chunk in cut(content)}
    kept.close()
    world.bridge.store.close()
    return WorldReader(world)


def said(engines: Engines, reader: WorldReader) -> list[str]:
    """Return what the audit says of attachments."""
    return [one.en for one in check_attachments(engines, reader)]


@pytest.mark.parametrize("beginning", BEGINNINGS, ids=["mp4", "font", "mark"])
def test_a_file_in_clear_may_begin_as_it_likes(database_url: str, beginning: bytes) -> None:
    """Its row says that it is in clear, not its bytes; what is changed of it is found as ever."""
    content = beginning + bytes(range(1, 250))
    reader = with_file(database_url, content)
    engines = connect(database_url)
    try:
        sound = said(engines, reader)
        with engines.writer.begin() as connection:
            last = attachment_chunk.c.number == len(cut(content)) - 1
            connection.execute(update(attachment_chunk).where(last).values(data_key="another"))
            first = attachment_chunk.c.number == 0
            connection.execute(update(attachment_chunk).where(first).values(size=EACH + 1))
        found = said(engines, reader)
    finally:
        engines.close()

    assert [] == sound
    assert ["size, data_key: not its content's"] * 2 == [one.split(": ", 1)[1] for one in found]
