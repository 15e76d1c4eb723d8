"""Files cross two bridges behind their tickets: the relay brings what the bridge beyond lacks."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256

import pytest

from adapters.relay.chunks import ChunkWay
from tests.adapters.attachments.folders import (
    CHUNK,
    Folder,
    content,
    new_id,
    offer,
    opening,
    posted,
)
from tests.adapters.province import COUNTY_12345, Province, Site, both_ways
from tests.adapters.sealed_across import gateway
from tests.pki import CITY_110, CITY_12345

SIZE = 20 * CHUNK - 1


def kept(site: Site) -> int:
    """Return how many chunks a bridge keeps."""
    with closing(sqlite3.connect(site.folder / "bridge.db")) as database:
        (count,) = database.execute("SELECT count(*) FROM attachment_chunk").fetchone()
    return int(count)


def cross(carry: Callable[[], int], *folders: Folder) -> None:
    """Let messages cross both bridges until nothing moves."""
    moved = True
    while moved:
        for folder in folders:
            folder.messages()
        moved = bool(carry())


def test_a_file_crosses_two_bridges(province: Province, capsys: pytest.CaptureFixture[str]) -> None:
    """It comes whole to the desk beyond, each chunk carried once, and both logs still hold."""
    county = posted(province, COUNTY_12345, province.county)
    city = posted(province, CITY_110, province.city)
    carry = both_ways(province)
    up = ChunkWay(province.carrier(province.county), province.carrier(province.city))
    photo, ticket_id = content(SIZE), new_id()
    county.put("photo.jpg", photo)
    county.say(opening(ticket_id, "photo.jpg"), offer(ticket_id, CITY_110.organisation))
    cross(carry, county, city)

    assert 0 == up.turn()  # the county's bridge has none of it yet

    county.files()

    assert 20 == up.turn()
    assert 0 == up.turn()

    city.files()

    assert {sha256(photo).hexdigest(): photo} == city.came()
    assert 20 == kept(province.county) == kept(province.city)
    province.verified(province.county, capsys)
    province.verified(province.city, capsys)


def test_an_encrypted_file_crosses_two_bridges_that_cannot_read_it(province: Province) -> None:
    """Both carry its chunks by what stands beside the seal; the desk beyond has it as it was."""
    sealed = 'open_ticket = ["attachment"]\n'
    sides = ((COUNTY_12345, province.county), (CITY_110, province.city))
    county, city = (
        posted(province, party, site, gateway(province, party, site, sealed))
        for party, site in sides
    )
    carry = both_ways(province)
    up = ChunkWay(province.carrier(province.county), province.carrier(province.city))
    photo, ticket_id = content(SIZE), new_id()
    county.put("photo.jpg", photo)
    county.say(opening(ticket_id, "photo.jpg"), offer(ticket_id, CITY_110.organisation))
    cross(carry, county, city)
    county.files()

    assert kept(province.county) == up.turn()

    city.files()

    assert {sha256(photo).hexdigest(): photo} == city.came()
    for _, site in sides:
        held = b"".join(path.read_bytes() for path in site.folder.glob("bridge.db*"))
        assert not any(photo[at : at + 64] in held for at in range(0, SIZE - 64, 4096))


def test_a_relay_carries_no_file_that_is_there(province: Province) -> None:
    """The same file in a second ticket: the bridge beyond lacks nothing, and nothing is carried."""
    county = posted(province, COUNTY_12345, province.county)
    city = posted(province, CITY_110, province.city)
    carry = both_ways(province)
    up = ChunkWay(province.carrier(province.county), province.carrier(province.city))
    county.put("photo.jpg", content(SIZE))
    carried = []
    for _ in range(2):
        ticket_id = new_id()
        county.say(opening(ticket_id, "photo.jpg"), offer(ticket_id, CITY_110.organisation))
        cross(carry, county, city)
        county.files()
        carried.append(up.turn())

    assert [20, 0] == carried


def test_a_relay_gets_no_file_of_those_it_does_not_serve(province: Province) -> None:
    """A ticket between two desks of one bridge is nothing to the relay, nor its file."""
    here = posted(province, CITY_12345, province.city)
    there = posted(province, CITY_110, province.city)
    here.put("photo.jpg", content(SIZE))
    ticket_id = new_id()
    here.say(opening(ticket_id, "photo.jpg"), offer(ticket_id, CITY_110.organisation))
    here.messages()
    there.messages()
    here.files()
    (coming,) = there.runner.spool.coming_files()
    relay = province.carrier(province.city).attachments

    assert "NOT_CITED" == getattr(relay.get(coming.file.root, [0]), "name", None)
