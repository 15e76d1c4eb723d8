"""What is not carried: named to both platforms, while the ticket crosses all the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from exchange.attachments import AttachmentRefusal
from exchange.config import load_settings
from tests.adapters.attachments.folders import (
    CHUNK,
    Folder,
    content,
    folder_of,
    new_id,
    offer,
    opening,
    root_of,
)
from tests.adapters.linked import Link
from tests.pki import CITY_110, CITY_12345, COUNTY_12345, Pki
from tests.server.running import Running, write_settings


@pytest.fixture(scope="module")
def bridge(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A bridge that carries files of 1 MiB, and few chunks."""
    path = write_settings(pki, tmp_path_factory.mktemp("bridge"))
    with path.open("a", encoding="utf-8") as file:
        file.write('\n[attachments]\ntypes = ["image/jpeg"]\nfile_mib = 1\nchunks_of_one = 20\n')
    found = Running(load_settings(path))
    found.start()
    yield found
    found.stop()


@pytest.fixture
def hotline(link: Link) -> Folder:
    """The hotline's folder."""
    return folder_of(link.folder / "hotline", lambda p, pace: link.runner(CITY_12345, p, pace))


@pytest.fixture
def police(link: Link) -> Folder:
    """The police desk's folder."""
    return folder_of(link.folder / "police", lambda p, pace: link.runner(CITY_110, p, pace))


def cross(hotline: Folder, police: Folder, data: bytes, media_type: str = "image/jpeg") -> str:
    """Let a ticket that cites *data* cross, and what of its file crosses; return its id."""
    ticket_id = new_id()
    hotline.put("file", data)
    hotline.say(
        opening(ticket_id, "file", media_type=media_type), offer(ticket_id, CITY_110.organisation)
    )
    hotline.messages()
    hotline.files()
    police.messages()
    police.files()
    return ticket_id


@pytest.mark.parametrize(
    ("size", "media_type", "code"),
    [
        (100, "application/x-sh", "TYPE_NOT_ALLOWED"),
        (1024 * 1024 + 1, "image/jpeg", "TOO_LARGE"),
        (1024 * 1024, "image/jpeg", ""),
    ],
)
def test_both_sides_hear_what_is_not_carried(
    hotline: Folder, police: Folder, size: int, media_type: str, code: str
) -> None:
    """A forbidden type and a byte too many: the ticket came, the file did not, and each says why."""
    ticket_id = cross(hotline, police, content(size), media_type)

    inbox = [json.loads(path.read_text()) for path in (police.path / "inbox").glob("*.json")]
    assert {ticket_id} == {message["ticket_id"] for message in inbox}
    for folder in (hotline, police):
        (news,) = folder.told()
        assert code == news.get("refusal", {}).get("code", "")
        assert bool(code) == (news["answer"] == "refused")
    assert (0 if code else 1) == len(police.came())


def test_a_stranger_and_wrong_bytes(hotline: Folder, police: Folder, link: Link) -> None:
    """Another organisation neither asks, gets nor puts; a party that puts other bytes is refused, too."""
    data = content(3 * CHUNK)
    cross(hotline, police, data)
    root, no = root_of(data), AttachmentRefusal.NOT_CITED
    stranger, party = (
        link.client(COUNTY_12345).attachments,
        police.runner.client.attachments,
    )
    chunks = party.get(root, [0])

    assert not isinstance(chunks, AttachmentRefusal)
    assert [no] == [one.refusal for one in stranger.check([root])]
    assert no == stranger.get(root, [0])
    assert [no] == stranger.put(chunks)
    changed = replace(chunks[0], content=chunks[0].content[::-1])
    assert [AttachmentRefusal.CHUNK_INVALID] == party.put([changed])


def test_a_line_whose_file_is_not_there_is_set_aside(hotline: Folder) -> None:
    """A missing file, an empty one, a link, a path and an unknown id: each line with its reason."""
    folder = hotline.path / "outbox" / "attachments"
    hotline.put("empty", b"")
    (folder / "link").symlink_to("/etc/hostname")
    lines = [opening(new_id(), name) for name in ("missing", "empty", "link", "../file")]
    unknown = opening(new_id(), "empty")
    unknown["files"] = {"B-9": "empty"}
    hotline.say(*lines, unknown)
    hotline.messages()

    (rejected,) = (hotline.path / "outbox" / "rejected").iterdir()
    reasons = [json.loads(line)["en"] for line in rejected.read_text().splitlines()]
    assert 5 == len(reasons)
    for words, reason in zip(
        ("bare name", "'missing'", "'empty'", "'link'", "'B-9'"), reasons, strict=True
    ):
        assert words in reason
    assert [] == list(hotline.runner.spool.files.glob("*"))


def test_a_quota_makes_a_file_wait(hotline: Folder, police: Folder) -> None:
    """What is beyond the organisation's chunks waits, is told as trouble, and is no answer yet."""
    while hotline.runner.spool.noted("attachments_error") == "":
        cross(hotline, police, content(16 * CHUNK))

    assert (1, 1) == (
        hotline.runner.spool.waiting_files()[0],
        police.runner.spool.waiting_files()[1],
    )
