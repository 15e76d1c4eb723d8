"""Files cross a gap behind their tickets: wished for, put out one chunk a file, and only once."""

from __future__ import annotations

from datetime import timedelta
from hashlib import sha256
from pathlib import Path

from tests.adapters.attachments.folders import (
    CHUNK,
    Folder,
    content,
    new_id,
    offer,
    opening,
    posted,
)
from tests.adapters.ferry.gap import Gap, nothing, open_gap, whole
from tests.adapters.province import COUNTY_12345, Province
from tests.pki import CITY_110

REPEAT = timedelta(hours=1)
SIZE = 20 * CHUNK - 1


def cited(county: Folder, city: Folder, gap: Gap, photo: bytes) -> None:
    """Let a ticket that cites *photo* cross the gap, and its file reach the county's bridge."""
    ticket_id = new_id()
    county.put("photo.jpg", photo)
    county.say(opening(ticket_id, "photo.jpg"), offer(ticket_id, CITY_110.organisation))
    county.messages()
    county.files()
    gap.turn()
    city.messages()


class Counting:
    """Lets chunks through, or loses some; counts those that are put out."""

    def __init__(self, *lost: int) -> None:
        self.numbers: list[int] = []
        self._lost = set(lost)

    def __call__(self, name: str, data: bytes) -> list[tuple[str, bytes]]:
        """Count a file, and lose it the first time if its number is to be lost."""
        if not name.startswith("chunk-"):
            return whole(name, data)
        number = int(name.rpartition("-")[2].partition(".")[0])
        self.numbers.append(number)
        if number in self._lost:
            self._lost.discard(number)
            return nothing(name, data)
        return whole(name, data)


def rest(gap: Gap, up: Counting) -> None:
    """Take turns until neither ferry puts anything out."""
    while gap.turn(up=up):
        pass


def test_a_file_crosses_the_gap(province: Province) -> None:
    """As bundles, JSON and XML alike it would be; here as bundles: whole, each chunk put out once."""
    gap = open_gap(province)
    county = posted(province, COUNTY_12345, province.county)
    city = posted(province, CITY_110, province.city)
    photo, up = content(SIZE), Counting()
    cited(county, city, gap, photo)
    rest(gap, up)
    city.files()

    assert {sha256(photo).hexdigest(): photo} == city.came()
    assert list(range(20)) == up.numbers


def test_a_content_filter_reads_what_a_chunk_is(province: Province) -> None:
    """In the form json a chunk's file says its root, number, size and digest, and arrives."""
    gap = open_gap(province, "json")
    county = posted(province, COUNTY_12345, province.county)
    city = posted(province, CITY_110, province.city)
    photo, up = content(CHUNK), Counting()
    cited(county, city, gap, photo)
    rest(gap, up)
    city.files()

    assert {sha256(photo).hexdigest(): photo} == city.came()


def test_what_the_gap_loses_is_wished_for_again_and_nothing_else(province: Province) -> None:
    """Two chunks are lost: after the time to repeat these two are put out again, and no other."""
    gap = open_gap(province)
    county = posted(province, COUNTY_12345, province.county)
    city = posted(province, CITY_110, province.city)
    photo, up = content(SIZE), Counting(3, 17)
    cited(county, city, gap, photo)
    rest(gap, up)
    city.files()

    assert {} == city.came()

    gap.clock.ahead += REPEAT
    rest(gap, up)
    city.files()

    assert {sha256(photo).hexdigest(): photo} == city.came()
    assert [*range(20), 3, 17] == up.numbers


def test_a_ticket_that_is_said_later_is_put_out_before_the_chunks(province: Province) -> None:
    """Chunks are wished for; a ticket comes; in the next turn its bundle goes out before them."""
    gap = open_gap(province)
    county = posted(province, COUNTY_12345, province.county)
    city = posted(province, CITY_110, province.city)
    up = Counting()
    cited(county, city, gap, content(SIZE))
    gap.upper.ferry.send()
    gap.carry(gap.upper, gap.lower)
    gap.lower.ferry.receive()
    ticket_id = new_id()
    county.say(opening(ticket_id), offer(ticket_id, CITY_110.organisation, "urgent"))
    county.messages()
    made = gap.lower.said[:]
    gap.lower.ferry.send()
    gap.carry(gap.lower, gap.upper, up)
    gap.upper.ferry.receive()

    assert "out: bundle" in gap.lower.said[len(made)]
    assert up.numbers
    assert ticket_id in str([path.read_text() for path in inbox(city)])


def test_a_ferry_that_is_killed_forgets_no_file(province: Province) -> None:
    """Both ferries lose their processes in the middle; only what had not arrived is put out again."""
    gap = open_gap(province)
    county = posted(province, COUNTY_12345, province.county)
    city = posted(province, CITY_110, province.city)
    photo, up = content(SIZE), Counting(*range(10, 20))
    cited(county, city, gap, photo)
    rest(gap, up)
    for side in (gap.lower, gap.upper):
        side.close()
        side.open()
    gap.clock.ahead += REPEAT
    rest(gap, up)
    city.files()

    assert {sha256(photo).hexdigest(): photo} == city.came()
    assert [*range(20), *range(10, 20)] == up.numbers


def inbox(folder: Folder) -> list[Path]:
    """Return the messages in a folder, fetched."""
    folder.messages()
    return list((folder.path / "inbox").glob("*-offer-*.json"))


def test_over_a_link_that_runs_one_way_every_chunk_goes_out_unasked(province: Province) -> None:
    """Three times, an hour apart; what was lost the first time comes with the next, and then nothing goes out."""
    gap = open_gap(province, one_way_copies=3)
    county = posted(province, COUNTY_12345, province.county)
    city = posted(province, CITY_110, province.city)
    photo, up = content(SIZE), Counting(3, 17)
    county.put("photo.jpg", photo)
    ticket_id = new_id()
    county.say(opening(ticket_id, "photo.jpg"), offer(ticket_id, CITY_110.organisation))
    county.messages()
    gap.lower.ferry.send()  # the message goes out, and its file is not at the bridge yet
    county.files()
    came = []
    for _ in range(5):
        gap.lower.ferry.send()
        gap.lower.close()
        gap.lower.open()  # what is to go is remembered
        gap.carry(gap.lower, gap.upper, up)
        gap.upper.ferry.receive()
        city.messages()
        city.files()
        came.append(city.came())
        gap.clock.ahead += REPEAT

    whole_file = {sha256(photo).hexdigest(): photo}
    assert ({}, whole_file) == (came[0], came[1])
    assert 3 * [*range(20)] == up.numbers
    assert [] == [*gap.upper.outgoing.glob("*")]
    assert "" == gap.lower.journal.fact("chunks_going")
