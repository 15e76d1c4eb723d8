"""What a platform needs before, beside and instead of one POST is a line of the mapping."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adapters.http.calling import Caller
from adapters.http.filling import Template
from adapters.http.giving import TRIES, Giving
from adapters.http.judging import Unanswered
from adapters.http.parsing import read_http
from adapters.mapping.document import Writing
from adapters.mapping.misfit import Misfit
from adapters.mapping.parsing import load
from adapters.staging.records import Handing
from exchange.errors import DataError
from tests.adapters.http.desk import SECRET, TOKEN
from tests.adapters.http.tracker import Tracker, tracker

MAPPING = Path(__file__).with_name("tracker.toml")

NEW = {"item": {"title": "噪声扰民"}, "note": {"text": "楼上深夜敲打。"}}


@pytest.fixture
def platform() -> Iterator[Tracker]:
    """A tracker."""
    with tracker() as found:
        yield found


def written(folder: Path, base: str, changes: dict[str, str] | None = None) -> Path:
    """Write the tracker's mapping, with texts changed."""
    text = MAPPING.read_text(encoding="utf-8").replace("@BASE@", base)
    for old, new in (changes or {}).items():
        assert old in text
        text = text.replace(old, new)
    path = folder / "tracker.map.toml"
    path.write_text(text, encoding="utf-8")
    return path


class Desk:
    """Gives records to a tracker."""

    def __init__(
        self, folder: Path, platform: Tracker, changes: dict[str, str] | None = None
    ) -> None:
        self.http = read_http(load(written(folder, platform.base, changes)))

    def give(
        self,
        content: dict[str, Any],
        writing: Writing = Writing.INSERT,
        *,
        message_id: str = "m-1",
        key: str = "",
        again: bool = False,
    ) -> str:
        """Give a record, as the runner does."""
        handing = Handing(
            message_id=message_id, seq=1, sheet="item", writing=writing, content=content,
            number=None, begun_before=again,
        )  # fmt: skip

        async def given() -> str:
            async with Caller(self.http) as caller:
                return await Giving(caller).give(handing, self.http.calls["item", writing], key)

        return asyncio.run(given())


def test_what_must_be_there_before_is_made_first(tmp_path: Path, platform: Tracker) -> None:
    """The note's number stands in the item; each call has its part of the record, its key, our headers."""
    assert "1" == Desk(tmp_path, platform).give(NEW)

    (note,), (item,) = platform.notes, platform.items
    assert ("楼上深夜敲打。", "m-1") == (note["text"], note["mark"])
    assert ("噪声扰民", "1", "exchange/m-1") == (item["title"], item["notes"], item["source"])
    assert ["m-1.note", "m-1"] == [h["idempotency-key"] for _, h in platform.requests]
    for _, headers in platform.requests:
        assert "application/json" == headers["content-type"]
        assert f"Token {TOKEN}" == headers["authorization"]
        assert ("exchange", SECRET) == (headers["x-requested-with"], headers["x-api-key"])
    assert {
        "item": {"title": "噪声扰民"},
        "note": {"text": "楼上深夜敲打。"},
    } == NEW  # not filled itself


@pytest.mark.parametrize("heard", ["nothing", "the note", "both"])
def test_a_repeat_makes_only_what_was_not_heard(
    tmp_path: Path, platform: Tracker, heard: str
) -> None:
    """Each of the calls is looked up by itself, the item in a list of several pages."""
    desk = Desk(tmp_path, platform)
    for number in range(4):
        desk.give(NEW, message_id=f"other-{number}")
    platform.items.append({"id": 5, "version": 1, "title": "a person's", "source": None})
    if heard == "the note":
        platform.notes.append({"id": 5, "version": 1, "mark": "m-1"})
    if heard == "both":
        desk.give(NEW)

    assert "6" == desk.give(NEW, again=True)
    assert (5, 6) == (len(platform.notes), len(platform.items))
    assert "5" == platform.items[-1]["notes"]


def test_an_expression_that_can_be_told_of_nothing_finds_no_answer(
    tmp_path: Path, platform: Tracker
) -> None:
    """A slip in the mapping is not read as "it is not there", which would make a second one."""
    desk = Desk(tmp_path, platform, {"row.source.endsWith": "row.sauce.endsWith"})
    desk.give(NEW)

    with pytest.raises(Unanswered, match="sauce"):
        desk.give(NEW, again=True)
    assert 1 == len(platform.items)


def test_a_list_that_goes_on_elsewhere_is_not_followed(tmp_path: Path, platform: Tracker) -> None:
    """Our token is not shown to another server, whatever an answer says."""
    desk = Desk(tmp_path, platform)
    for number in range(3):
        desk.give(NEW, message_id=f"other-{number}")
    platform.elsewhere = "http://localhost.example:1/items"

    with pytest.raises(Unanswered, match=r"localhost\.example:1, which is not asked"):
        desk.give(NEW, again=True)


def test_a_change_names_the_state_it_changes(tmp_path: Path, platform: Tracker) -> None:
    """Somebody is quicker: 412, the state is asked for again, and both changes stand."""
    desk = Desk(tmp_path, platform)
    desk.give(NEW)
    (item,) = platform.items

    def meddle() -> None:
        platform.meddling = None
        item.update(priority="urgent", version=item["version"] + 1)

    platform.meddling = meddle
    change = {"item": {"state": "result"}, "note": {"text": "已劝止。"}}
    assert "" == desk.give(change, Writing.UPDATE, message_id="m-2", key="1")

    assert ("urgent", "result", "1+2") == (item["priority"], item["state"], item["notes"])
    assert ["/items/1"] * 2 == platform.asked("PATCH")
    assert 2 == len(platform.notes)


def test_a_record_that_never_stands_still_comes_later(tmp_path: Path, platform: Tracker) -> None:
    """After so many tries at once the runner waits, and nothing is said to be written."""
    desk = Desk(tmp_path, platform)
    desk.give(NEW)
    (item,) = platform.items
    platform.meddling = lambda: item.update(version=item["version"] + 1)

    with pytest.raises(Unanswered, match="changed meanwhile"):
        desk.give({"item": {"state": "result"}}, Writing.UPDATE, key="1")
    assert TRIES == len(platform.asked("PATCH"))


def test_an_etag_that_is_asked_for_and_missing_is_named(tmp_path: Path, platform: Tracker) -> None:
    """The mapping says etag, the platform has none; the other way round its 428 names the key."""
    desk = Desk(tmp_path, platform)
    desk.give(NEW)
    change = {"item": {"state": "result"}}
    platform.tags = False
    with pytest.raises(Unanswered, match="has no ETag"):
        desk.give(change, Writing.UPDATE, key="1")

    desk = Desk(tmp_path, platform, {'etag = "/items/{key}"\n': ""})
    with pytest.raises(Unanswered, match="which state we change: see etag"):
        desk.give(change, Writing.UPDATE, key="1")


def test_a_call_that_has_nothing_to_say_is_left_out(tmp_path: Path, platform: Tracker) -> None:
    """No words, no note; and what would be filled with its number is not."""
    desk = Desk(tmp_path, platform)
    desk.give(NEW)
    desk.give({"item": {"state": "take"}}, Writing.UPDATE, key="1")

    assert ("take", "1") == (platform.items[0]["state"], platform.items[0]["notes"])
    assert 1 == len(platform.notes)


def test_a_body_that_is_one_value_is_a_slip_in_the_mapping(
    tmp_path: Path, platform: Tracker
) -> None:
    """What is sent has columns below it."""
    with pytest.raises(Misfit) as slip:
        Desk(tmp_path, platform).give({"item": {}, "note": "text"})
    assert "fill columns below it" in slip.value.text.en


@pytest.mark.parametrize("value", [".", ".."])
def test_a_number_that_would_be_another_path_is_none(value: str) -> None:
    """Clients take such a segment away before they call, quoted or not."""
    with pytest.raises(Misfit, match="key"):
        Template.read("/items/{key}", ["key"]).path({"key": value})
    assert "/items/a%2F..%2Fb" == Template.read("/items/{key}", ["key"]).path({"key": "a/../b"})


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('X-Requested-With = "exchange"', 'Authorization = "Bearer abc"', "a header that the adapter sets"),
        ('X-Requested-With = "exchange"', '"X Y" = "exchange"', "is no header"),
        ('X-Requested-With = "exchange"', 'X-Name = "a\\nb"', "is no header"),
        ('scheme = "Token"', 'scheme = "To ken"', "is no header"),
        ('notes = "{note}", source', 'notes = "{nota}", source', "may hold {message_id}, {key}, {note} only"),
        ('name = "note"', 'name = "key"', "other than message_id, key"),
        ('name = "note"', 'name = "a note"', "one word"),
        ('path = "/notes"\nnumber = "id"\n', 'path = "/notes"\n', "number"),
        ('when = "has(row.id)"\n', "", "when"),
        ('path = "/items/{items[-1]}"', 'path = "/items/{items[-1}"', "no place of a record"),
        ('at = "of"\n', "", "at"),
        ('last = "id"\nback', 'cursor = "id"\nback', "reads a list from its end"),
        ('back = "previous"', 'back = "previous"\nnext = "next"', "give one of the two"),
        ('back = "previous"', 'back = "previous"\nstart = "soon"', "the number after which to begin"),
        ('path = "/ring"\nsheet = "entry"', 'path = "/ring"\nsheet = "jjd"', "jjd"),
        ('etag = "/items/{key}"', 'etag = "items/{key}"', "begins with '/'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    """File, key and what to write instead."""
    path = written(tmp_path, "http://127.0.0.1:1", {old: new})
    with pytest.raises(DataError) as wrong:
        read_http(load(path))
    assert said in str(wrong.value)
