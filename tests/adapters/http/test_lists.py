"""Lists are read from either end, completed and rung for, and no page is lost or taken twice."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest

from adapters.http import polling
from adapters.http.calling import Caller
from adapters.http.judging import Unanswered
from adapters.http.parsing import read_http
from adapters.http.platform import HttpPlatform
from adapters.http.polling import poll_once
from adapters.mapping.parsing import load
from adapters.staging.records import Records, Said, Unread
from adapters.staging.tables import staged
from exchange.errors import StoreUnavailable
from exchange.text import Text
from tests.adapters.http.desk import OUR_TOKEN
from tests.adapters.http.test_giving import written
from tests.adapters.http.tracker import Tracker, tracker
from tests.pki import CITY_110

LOG, ITEMS = 0, 1


@pytest.fixture
def platform() -> Iterator[Tracker]:
    """A tracker."""
    with tracker() as found:
        yield found


class Reader:
    """Reads a tracker's lists, and remembers what was kept."""

    def __init__(
        self, folder: Path, platform: Tracker, changes: dict[str, str] | None = None
    ) -> None:
        self.document = load(written(folder, platform.base, changes))
        self.http = read_http(self.document)
        self.kept: list[Said] = []
        self.unread: list[Unread] = []
        self.marks: dict[str, str] = {}
        #: How many pages may be kept before the disk is full.
        self.room = 99

    def read(self, poll: int) -> list[int]:
        """Make a poll once; return the numbers of what was kept."""
        before = len(self.kept)

        async def keep(
            said: Sequence[Said], unread: Sequence[Unread], mark: tuple[str, str] | None
        ) -> int:
            if not self.room:
                raise StoreUnavailable(Text(en="full", zh="full"))
            self.room -= 1
            self.kept += said
            self.unread += unread
            self.marks |= dict([mark] if mark else [])
            return len(said)

        async def marked(name: str) -> str | None:
            return self.marks.get(name)

        async def once() -> None:
            async with Caller(self.http) as caller:
                await poll_once(self.document, self.http.polls[poll], caller, marked, keep)

        try:
            asyncio.run(once())
        except StoreUnavailable:
            if self.room:
                raise
        return [one.record["id"] for one in self.kept[before:]]


def test_a_list_is_read_from_its_end_back_to_what_is_known(
    tmp_path: Path, platform: Tracker
) -> None:
    """Oldest first; the next time only the last pages are asked for."""
    reader = Reader(tmp_path, platform)
    for _ in range(5):
        platform.happens()
    assert [1, 2, 3, 4, 5] == reader.read(LOG)

    platform.happens("noise")
    platform.happens()
    platform.requests.clear()
    assert [7] == reader.read(LOG)
    assert ["/log?page=last", "/log?page=3"] == platform.asked("GET")
    assert [] == reader.read(LOG)


def test_a_cut_while_pages_are_kept_loses_none(tmp_path: Path, platform: Tracker) -> None:
    """The oldest page is kept first: what is missing is after the mark."""
    reader = Reader(tmp_path, platform)
    for _ in range(5):
        platform.happens()
    reader.room = 1
    assert [1, 2] == reader.read(LOG)

    reader.room = 99
    assert [3, 4, 5] == reader.read(LOG)


def test_a_list_too_long_to_read_back_says_so(
    tmp_path: Path, platform: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is taken out of order; 'start' is the way to begin with a full platform."""
    monkeypatch.setattr(polling, "PAGES", 2)
    for _ in range(5):
        platform.happens()
    with pytest.raises(Unanswered, match="more than 2 pages are new"):
        Reader(tmp_path, platform).read(LOG)

    reader = Reader(tmp_path, platform, {'back = "previous"': 'back = "previous"\nstart = "3"'})
    assert [4, 5] == reader.read(LOG)


def test_pages_are_followed_and_the_mark_moves_with_them(tmp_path: Path, platform: Tracker) -> None:
    """The answer names the next page; a cut between two of them loses neither."""
    reader = Reader(tmp_path, platform)
    platform.items += [{"id": number, "version": 1} for number in range(1, 6)]
    reader.room = 2
    assert [1, 2, 3, 4] == reader.read(ITEMS)

    reader.room = 99
    platform.requests.clear()
    assert [5] == reader.read(ITEMS)
    assert ["/items?page=1&after=4"] == platform.asked("GET")


def test_two_lists_of_one_address_have_a_mark_each(tmp_path: Path, platform: Tracker) -> None:
    """What one poll has read is new to the other."""
    changes = {
        'path = "/items?page=1&after={cursor}"': 'path = "/log?page=last"',
        'next = "next"\nevery': 'back = "previous"\nevery',
    }
    reader = Reader(tmp_path, platform, changes)
    platform.happens()
    assert [1] == reader.read(LOG)
    assert [1] == reader.read(ITEMS)


def test_what_a_list_leaves_out_is_fetched(tmp_path: Path, platform: Tracker) -> None:
    """Of the last item of each line; a line without one, or whose item is gone, stays as it is."""
    platform.items += [
        {"id": 1, "version": 1, "title": "噪声"},
        {"id": 2, "version": 1, "title": "private"},
    ]
    for item in (1, 2, 0, 9):
        platform.happens(item=item)
    reader = Reader(tmp_path, platform)

    assert [1, 3, 4] == reader.read(LOG)
    assert "噪声" == reader.kept[0].record["of"]["title"]
    assert ["of" in one.record for one in reader.kept] == [True, False, False]
    assert [] == reader.unread


def test_a_record_of_which_it_cannot_be_told_whether_it_is_wanted_is_put_aside(
    tmp_path: Path, platform: Tracker
) -> None:
    """With its original and the expression; the others go on."""
    platform.items.append({"id": 1, "version": 1})
    platform.happens(item=1)
    platform.happens()
    reader = Reader(tmp_path, platform)

    assert [2] == reader.read(LOG)
    (unread,) = reader.unread
    assert "title" in unread.reason.en
    assert '"id": 1' in unread.original


def test_a_bell_has_its_list_read_at_once(tmp_path: Path, platform: Tracker) -> None:
    """Who knows the password rings, whatever else is said; nobody else does."""
    document = load(written(tmp_path, platform.base))
    records = Records(tmp_path / "records.db", staged(document), lambda: datetime.now(UTC))
    came = threading.Semaphore(0)
    platform.happens()
    with HttpPlatform(read_http(document), records, CITY_110.organisation) as desk:
        desk.wake = came.release
        while not records.waiting():  # read when it starts
            came.acquire(timeout=1)

        async def ring(password: str, body: bytes) -> int:
            who = {"Authorization": aiohttp.encode_basic_auth("tracker", password)}
            url = f"http://127.0.0.1:{desk.port}/ring"
            async with (
                aiohttp.ClientSession(headers=who) as session,
                session.post(url, data=body) as answer,
            ):
                return answer.status

        platform.happens()
        assert 401 == asyncio.run(ring("guessed", b"{}"))
        assert 1 == records.waiting()
        assert 200 == asyncio.run(ring(OUR_TOKEN, b"\xff no JSON"))
        while records.waiting() < 2:
            assert came.acquire(timeout=60)
