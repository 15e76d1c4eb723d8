"""What the store keeps and gives of attachments, on each engine: for whom, how much, how long."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from exchange.acts import Kind
from exchange.attachment_tables import attachment_chunk
from exchange.attachments import (
    AttachmentRefusal,
    Bounds,
    Chunk,
    ChunkTree,
    chunk_bytes,
    chunks_of,
    leaf_of,
)
from exchange.store.attachments import Attachments
from exchange.store.engines import connect, reading
from tests.bridge.world import DEPARTMENT, HOTLINE, POLICE, Matter, World, stored
from tests.store.site import LONG, Site

#: Bytes of a chunk; the file has five, the last one short.
EACH = 100
CONTENT = bytes(range(250)) + b"\x00" * 200 + b"end"
BOUNDS = Bounds(
    types=frozenset({"image/png"}),
    file_bytes=1000,
    chunks_of_one=12,
    total_bytes=1000,
    keep=timedelta(days=30),
)


def cut(content: bytes) -> list[Chunk]:
    """Return the chunks of *content*."""
    each = chunk_bytes(len(content), chunks_of(len(content), EACH))
    parts = [content[at : at + each] for at in range(0, len(content), each)]
    tree = ChunkTree(b"".join(map(leaf_of, parts)))
    return [
        Chunk(root=tree.root(), number=number, content=part, path=tree.path(number))
        for number, part in enumerate(parts)
    ]


def cites(content: bytes, **changed: Any) -> dict[str, Any]:
    """Return the group that cites *content*, with some fields of the file or attachment *changed*."""
    file = {
        "size": str(len(content)),
        "sha256": base64.b64encode(sha256(content).digest()).decode(),
        "chunk_count": chunks_of(len(content), EACH),
        "chunk_root": base64.b64encode(cut(content)[0].root).decode(),
    }
    one = {
        "attachment_id": "A-1",
        "name": "现场.png",
        "media_type": changed.pop("media_type", "image/png"),
        "classification": "CLASSIFICATION_ORDINARY",
        "file": file | changed,
    }
    return {"attachments": [one]}


class Place:
    """A world whose hotline has offered one matter to the police, and the attachments beside it."""

    def __init__(self, url: str) -> None:
        self.world = World(url)
        self.matter = Matter()
        self.kept = self.bounded()

    def bounded(self, **changed: Any) -> Attachments:
        """Return the attachments within other bounds."""
        return Attachments.open(self.world.url, replace(BOUNDS, **changed))

    def offer(self, group: dict[str, Any] | None = None) -> Matter:
        """Let the hotline open a matter, which cites *group*, and offer it to the police."""
        matter = Matter()
        opening = self.world.opening(matter)
        groups = {**opening.groups, **({"attachment": group} if group else {})}
        offer = self.world.offer(matter, POLICE)
        for outcome in self.world.push(HOTLINE, replace(opening, groups=groups), offer):
            stored(outcome)
        return matter

    def put(self, who: str, *chunks: Chunk) -> list[AttachmentRefusal | None]:
        """Put chunks as *who*."""
        return [self.kept.put({who}, chunk, self.world.now) for chunk in chunks]

    def get(self, who: str, content: bytes) -> list[Chunk] | AttachmentRefusal:
        """Get every chunk of *content* as *who*."""
        chunks = cut(content)
        numbers = range(len(chunks))
        return self.kept.chunks({who}, chunks[0].root, numbers, self.world.now, 10_000)

    def stands(self, who: str, content: bytes) -> tuple[tuple[int, ...], AttachmentRefusal | None]:
        """Return which chunks of *content* are lacking, and why it is refused."""
        (found,) = self.kept.standings({who}, [cut(content)[0].root], self.world.now)
        return found.missing, found.refusal

    def rows(self) -> int:
        """Return how many chunks are kept."""
        engines = connect(self.world.url)
        with reading(engines) as connection:
            found = connection.execute(
                select(func.count()).select_from(attachment_chunk)
            ).scalar_one()
        engines.close()
        return found

    def close(self) -> None:
        """Close every connection."""
        self.kept.close()
        self.world.bridge.store.close()


@pytest.fixture
def place(database_url: str) -> Iterator[Place]:
    """A place with an empty database."""
    made = Place(database_url)
    yield made
    made.close()


def test_chunks_in_any_order_and_twice_make_one_file(place: Place) -> None:
    """Each party gets them all; what is lacking is said by number; twice is the same as once."""
    place.offer(cites(CONTENT))
    chunks = cut(CONTENT)

    assert ((0, 1, 2, 3, 4), None) == place.stands(POLICE, CONTENT)
    assert [None] * 4 == place.put(HOTLINE, chunks[3], chunks[0], chunks[3], chunks[4])
    assert ((1, 2), None) == place.stands(POLICE, CONTENT)
    assert [None, None] == place.put(HOTLINE, chunks[1], chunks[2])
    assert ((), None) == place.stands(HOTLINE, CONTENT)
    assert chunks == place.get(POLICE, CONTENT)
    assert 5 == place.rows()


def test_a_stranger_is_told_that_nothing_cites_it(place: Place) -> None:
    """Whoever is party to no message that cites the file neither puts nor gets nor learns of it."""
    place.offer(cites(CONTENT))
    place.put(HOTLINE, *cut(CONTENT))

    no = AttachmentRefusal.NOT_CITED
    assert [no] == place.put(DEPARTMENT, cut(CONTENT)[0])
    assert no == place.get(DEPARTMENT, CONTENT)
    assert ((), no) == place.stands(DEPARTMENT, CONTENT)
    assert ((), no) == place.stands(POLICE, b"what nobody cites")


def test_a_supplement_between_two_is_nothing_to_a_third(place: Place) -> None:
    """A file in a supplement is its author's and its recipient's; one in the opening every party's."""
    matter = place.offer(cites(CONTENT[::-1]))
    world = place.world
    onward = replace(matter, handoff_id=Matter().handoff_id)
    outcome = world.push(HOTLINE, world.offer(onward, DEPARTMENT))[0]
    stored(outcome)
    supplement = world.message(
        Kind.SUPPLEMENT, matter, recipient=POLICE, groups={"attachment": cites(CONTENT)}
    )
    stored(world.push(HOTLINE, supplement)[0])

    assert ((0, 1, 2, 3, 4), None) == place.stands(POLICE, CONTENT)
    assert AttachmentRefusal.NOT_CITED == place.stands(DEPARTMENT, CONTENT)[1]
    assert ((0, 1, 2, 3, 4), None) == place.stands(DEPARTMENT, CONTENT[::-1])


def test_wrong_bytes_are_refused_and_nothing_of_them_kept(place: Place) -> None:
    """Another byte, another number, another path, one byte less: CHUNK_INVALID each."""
    place.offer(cites(CONTENT))
    first, second = cut(CONTENT)[:2]
    wrong = [
        replace(first, content=b"\xff" + first.content[1:]),
        replace(first, number=1),
        replace(first, number=5),
        replace(first, path=second.path),
        replace(first, path=()),
        replace(first, content=first.content[:-1]),
    ]

    assert [AttachmentRefusal.CHUNK_INVALID] * 6 == place.put(HOTLINE, *wrong)
    assert 0 == place.rows()


@pytest.mark.parametrize("lie", ["sha256", "size"])
def test_a_file_that_is_not_what_its_author_signed_is_dropped(place: Place, lie: str) -> None:
    """Every chunk fits the root, but digest or size beside it is another's: DIGEST_MISMATCH for ever."""
    other = {
        "sha256": {"sha256": base64.b64encode(sha256(b"other").digest()).decode()},
        "size": {"size": str(len(CONTENT) + 1)},
    }[lie]
    place.offer(cites(CONTENT, **other))
    outcomes = place.put(HOTLINE, *cut(CONTENT))

    no = AttachmentRefusal.DIGEST_MISMATCH if lie == "sha256" else AttachmentRefusal.CHUNK_INVALID
    assert no == outcomes[-1]
    if lie == "sha256":
        assert 0 == place.rows()
        assert ((), no) == place.stands(POLICE, CONTENT)
        assert no == place.get(POLICE, CONTENT)
        assert ([], 0) == place.kept.lacking({HOTLINE}, place.world.now, 0)


def test_a_liar_spoils_no_honest_citation(place: Place) -> None:
    """One message cites the root with another digest, another rightly: the file comes for that one."""
    place.offer(cites(CONTENT, sha256=base64.b64encode(bytes(32)).decode()))
    place.put(HOTLINE, *cut(CONTENT))
    place.offer(cites(CONTENT))
    place.put(HOTLINE, *cut(CONTENT))

    assert ((), None) == place.stands(POLICE, CONTENT)
    assert cut(CONTENT) == place.get(POLICE, CONTENT)


def test_what_the_bridge_does_not_carry_is_named(place: Place) -> None:
    """Type, size, cut and age are refused, each by its name; the message itself was accepted."""
    cases: list[tuple[dict[str, Any], dict[str, Any], AttachmentRefusal]] = [
        ({"media_type": "application/x-sh"}, {}, AttachmentRefusal.TYPE_NOT_ALLOWED),
        ({}, {"file_bytes": len(CONTENT)}, AttachmentRefusal.TOO_LARGE),
        ({"size": "600000", "chunk_count": 1}, {"file_bytes": 10**6}, AttachmentRefusal.MISCUT),
        ({"size": "5", "chunk_count": 4}, {}, AttachmentRefusal.MISCUT),
        ({}, {"keep": timedelta(0)}, AttachmentRefusal.EXPIRED),
    ]
    for number, (changed, bounds, refusal) in enumerate(cases):
        data = CONTENT + bytes([number])
        place.offer(cites(data, **changed))
        place.kept.close()
        place.kept = place.bounded(**bounds)
        place.world.now += timedelta(seconds=1)

        assert [refusal] == place.put(HOTLINE, cut(data)[0])
        assert refusal == place.stands(POLICE, data)[1]
        assert refusal == place.get(POLICE, data)

    assert ([], 0) == place.kept.lacking({HOTLINE}, place.world.now, 0)


def test_limits_at_their_edge(place: Place) -> None:
    """What just fits is kept; one byte or chunk less of room and the last chunk must wait."""
    size = len(CONTENT)
    place.offer(cites(CONTENT))
    for bounds, refusal in (
        ({"chunks_of_one": 4}, AttachmentRefusal.QUOTA_EXCEEDED),
        ({"total_bytes": size - 1}, AttachmentRefusal.STORE_FULL),
        ({"file_bytes": size, "chunks_of_one": 5, "total_bytes": size}, None),
    ):
        place.kept.close()
        place.kept = place.bounded(**bounds)

        assert [*[None] * 4, refusal] == place.put(HOTLINE, *cut(CONTENT))


def test_what_is_too_old_goes_and_what_is_cited_anew_stays(place: Place) -> None:
    """After the days of keeping the chunks go; a file that a newer message cites, too, stays."""
    other = CONTENT[::-1]
    place.offer(cites(CONTENT))
    place.put(HOTLINE, *cut(CONTENT))
    place.offer(cites(other))
    place.put(HOTLINE, *cut(other))
    place.world.now += timedelta(days=29)
    place.offer(cites(CONTENT))
    place.world.now += timedelta(days=2)

    assert 1 == place.kept.sweep(place.world.now)
    assert cut(CONTENT) == place.get(POLICE, CONTENT)
    assert AttachmentRefusal.EXPIRED == place.get(POLICE, other)
    assert 5 == place.rows()

    place.offer(cites(other))

    assert ((0, 1, 2, 3, 4), None) == place.stands(POLICE, other)
    assert [None] * 5 == place.put(HOTLINE, *cut(other))


def test_every_page_of_what_is_lacking_gets_on(place: Place) -> None:
    """More citations than one answer looks at: each file is named, whatever page it is on."""
    contents = [bytes([number, 1]) * 60 for number in range(180)]
    for begin in range(0, 180, 60):
        some = [cites(content)["attachments"][0] for content in contents[begin : begin + 60]]
        place.offer({"attachments": some})
    found: list[bytes] = []
    pages, begin = 0, 0
    while pages == 0 or begin:
        lacking, begin = place.kept.lacking({HOTLINE}, place.world.now, begin)
        found += [one.root for one in lacking]
        pages += 1

    assert {cut(content)[0].root for content in contents} == set(found)
    assert 2 == pages


def test_log_and_archive_are_as_they_were(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ticket with a file is audited, archived and audited again; its chunks go when their time comes."""
    site = Site(database_url, tmp_path)
    opening = site.world.opening
    cited = {"attachment": cites(CONTENT)}
    monkeypatch.setattr(
        site.world,
        "opening",
        lambda matter: replace(said := opening(matter), groups={**said.groups, **cited}),
    )
    kept = Attachments.open(database_url, BOUNDS)
    site.finished()
    for chunk in cut(CONTENT):
        assert kept.put({HOTLINE}, chunk, site.world.now) is None
    here = site.findings()  # in clear chunks begin as they like, also as encrypted ones do
    site.world.now += LONG + timedelta(days=1)

    assert [] == here
    assert 1 == len(site.archive())
    assert [] == site.findings()
    assert 1 == kept.sweep(site.world.now)
    assert [] == site.findings()

    kept.close()
    site.close()
