"""A file whose group is sealed travels encrypted: its receiver has it as it was, the bridge has no byte of it."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from adapters.copies import open_copy
from certs.development import Desk
from exchange.attachments import SEALED_MORE, SEALED_TYPE, AttachmentRefusal, chunks_of
from exchange.cli.root import run
from exchange.client import close_chunk, open_chunk
from exchange.config import load_settings
from exchange.errors import VerificationError
from exchange.ticket import ClearFile
from tests.adapters.attachments.folders import (
    CHUNK,
    Folder,
    content,
    folder_of,
    new_id,
    offer,
    opening,
)
from tests.adapters.linked import Link
from tests.pki import CITY_110, CITY_12345, Pki
from tests.server.running import Running, write_settings

#: Four chunks, the last one short.
SIZE = 4 * (CHUNK - SEALED_MORE) - 100


class SealingLink(Link):
    """Links gateways that seal what is attached to an opening."""

    def config(self, party: Desk) -> Path:
        """Write the configuration, with a sealing key that is published at the bridge."""
        path = super().config(party)
        keys = f"{party.organisation}-keys"
        more = f'\n[sealing]\nkeys = "{keys}"\n[sealing.groups]\nopen_ticket = ["attachment"]\n'
        path.write_text(path.read_text("utf-8") + more, "utf-8")
        if not (self.folder / keys).exists():
            assert run(["sealing", "make", "--config", str(path)], {}) == 0
            folder = self.bridge.settings.sealing_keys
            folder.mkdir(exist_ok=True)
            for statement in (self.folder / keys).glob("*.sealing"):
                shutil.copy(statement, folder)
        return path


@pytest.fixture
def sealing(pki: Pki, tmp_path: Path) -> Iterator[SealingLink]:
    """A bridge with two gateways that seal."""
    bridge = Running(load_settings(write_settings(pki, tmp_path)))
    bridge.start()
    folder = tmp_path / "desks"
    folder.mkdir()
    with SealingLink(pki=pki, bridge=bridge, folder=folder) as link:
        yield link
    bridge.stop()


def folder(link: Link, party: Desk, name: str) -> Folder:
    """Return a folder of *party*'s."""
    return folder_of(link.folder / name, lambda p, pace: link.runner(party, p, pace))


def test_the_bridge_carries_what_it_cannot_read(sealing: SealingLink) -> None:
    """No piece of the file stands in the bridge's files; the receiver gets it whole, and both are told of it."""
    hotline, police = folder(sealing, CITY_12345, "hotline"), folder(sealing, CITY_110, "police")
    photo = content(SIZE)
    hotline.put("photo.jpg", photo)
    ticket_id = new_id()
    hotline.say(opening(ticket_id, "photo.jpg"), offer(ticket_id, CITY_110.organisation))
    hotline.messages()
    hotline.files()
    files = sealing.bridge.settings.database.removeprefix("sqlite:///")
    held = b"".join(path.read_bytes() for path in Path(files).parent.glob("bridge.db*"))
    police.messages()
    police.files()

    name = sha256(photo).hexdigest()
    assert {name: photo} == police.came()
    (came,), (left,) = police.told(), hotline.told()
    assert ("whole", name, SIZE) == (came["answer"], came["sha256"], came["size"])
    assert ("whole", name, "A-0") == (left["answer"], left["sha256"], left["attachment_id"])
    assert [0, 1, 2, 3] == hotline.watched.put_chunks == police.watched.got_chunks
    assert SEALED_TYPE.encode() in held
    # A chunk's bytes lie in the database's pages in pieces.
    assert not any(photo[at : at + 64] in held for at in range(0, SIZE - 64, 4096))
    assert sha256(photo).digest() not in held
    (said,) = (police.path / "inbox").glob("*-open_ticket-*.json")
    (one,) = json.loads(said.read_text())["groups"]["attachment"]["attachments"]
    assert name == base64.b64decode(one["file"]["sha256"]).hex()
    key = base64.b64decode(one["file"]["encrypted"]["key"])
    assert key not in held


def test_in_clear_it_would_be_found(link: Link) -> None:
    """The check above, with nothing sealed: the pieces stand there."""
    hotline = folder(link, CITY_12345, "hotline")
    photo = content(SIZE)
    hotline.put("photo.jpg", photo)
    hotline.say(
        opening(ticket_id := new_id(), "photo.jpg"), offer(ticket_id, CITY_110.organisation)
    )
    hotline.messages()
    hotline.files()
    files = link.bridge.settings.database.removeprefix("sqlite:///")
    held = b"".join(path.read_bytes() for path in Path(files).parent.glob("bridge.db*"))

    assert any(photo[at : at + 64] in held for at in range(0, SIZE - 64, 4096))


def test_the_same_file_is_the_same_bytes_and_goes_once(sealing: SealingLink) -> None:
    """Cited by two tickets, said again from a spool that was lost: encrypted to the same, sent once."""
    hotline, police = folder(sealing, CITY_12345, "hotline"), folder(sealing, CITY_110, "police")
    photo = content(SIZE)
    for name in ("one.jpg", "two.jpg"):
        hotline.put(name, photo)
        ticket_id = new_id()
        hotline.say(opening(ticket_id, name), offer(ticket_id, CITY_110.organisation))
        hotline.messages()
        hotline.files()
    police.messages()
    police.files()

    assert [0, 1, 2, 3] == hotline.watched.put_chunks == police.watched.got_chunks
    assert {sha256(photo).hexdigest(): photo} == police.came()
    assert 2 == len({news["message_id"] for news in police.told()})


def test_a_key_that_does_not_open_is_told_and_spoils_no_other(sealing: SealingLink) -> None:
    """Two messages give two keys to the same bytes: who gave the right one has its file, the other is refused."""
    hotline, police = folder(sealing, CITY_12345, "hotline"), folder(sealing, CITY_110, "police")
    photo = content(SIZE)
    for name in ("one.jpg", "two.jpg"):
        hotline.put(name, photo)
        ticket_id = new_id()
        hotline.say(opening(ticket_id, name), offer(ticket_id, CITY_110.organisation))
    hotline.messages()
    hotline.files()
    police.messages()
    spool = police.runner.spool
    (coming,) = spool.coming_files()
    liar = coming.message_id
    with spool._transaction():  # what a lying author's message would have brought
        spool._db.execute(
            "UPDATE encrypted_file SET key = ? WHERE message_id = ?", (bytes(32), liar)
        )
    police.files()

    told = {one["message_id"]: one for one in police.told()}
    assert {"whole", "refused"} == {one["answer"] for one in told.values()}
    assert "DIGEST_MISMATCH" == told[liar]["refusal"]["code"]
    assert {sha256(photo).hexdigest(): photo} == police.came()
    assert [] == [path.name for path in spool.files.iterdir() if path.name.startswith(".")]


def test_what_came_is_not_believed_for_its_key_alone(sealing: SealingLink) -> None:
    """It opens, but is another file than the author named: refused, and no copy stays."""
    hotline = folder(sealing, CITY_12345, "hotline")
    hotline.put("photo.jpg", content(SIZE))
    hotline.say(opening(new_id(), "photo.jpg"))
    hotline.messages()
    spool = hotline.runner.spool
    (leaving,) = spool.leaving_files()
    (key,) = {row[0] for row in spool._all("SELECT key FROM encrypted_file")}
    other = ClearFile(key=key, sha256=bytes(32), size=SIZE)

    assert AttachmentRefusal.DIGEST_MISMATCH == open_copy(spool, leaving.file, other)
    assert not spool.copy_of(bytes(32)).exists()


def test_a_key_closes_one_cut_of_one_file(link: Link) -> None:
    """Another file, another size of chunks: another key, for a chunk's number is its nonce."""
    sealer = link.client(CITY_12345).sealer
    digest = sha256(b"a").digest()
    keys = {
        sealer.file_key(digest, 100, 2), sealer.file_key(digest, 100, 3),
        sealer.file_key(digest, 101, 2), sealer.file_key(sha256(b"b").digest(), 100, 2),
    }  # fmt: skip
    assert 4 == len(keys)
    assert sealer.file_key(digest, 100, 2) in keys


def test_a_chunk_opens_in_its_place_alone() -> None:
    """Not as another number, not as one of another count, not cut short."""
    closed = close_chunk(bytes(32), 1, 3, b"words")

    assert b"words" == open_chunk(bytes(32), 1, 3, closed)
    assert len(closed) == 5 + SEALED_MORE
    for key, number, count, chunk in (
        (bytes(32), 0, 3, closed), (bytes(32), 1, 2, closed), (b"1" * 32, 1, 3, closed),
        (bytes(32), 1, 3, closed[:-1]), (bytes(32), 1, 3, b""),
    ):  # fmt: skip
        with pytest.raises(VerificationError):
            open_chunk(key, number, count, chunk)
    assert 2 == chunks_of(CHUNK, CHUNK - SEALED_MORE)


def test_push_does_not_say_what_an_adapter_must_encrypt(
    sealing: SealingLink, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`exchange push` sends no file of a group that is sealed: the line is named, and nothing is sent."""
    (tmp_path / "photo.jpg").write_bytes(b"photo")
    line = opening(new_id(), "photo.jpg")
    line["files"] = {"A-0": "photo.jpg"}
    file = tmp_path / "out.jsonl"
    file.write_text(json.dumps(line, ensure_ascii=False) + "\n", "utf-8")
    config = sealing.config(CITY_12345)
    capsys.readouterr()
    code = run(["--lang", "en", "push", str(file), "--config", str(config)], {})

    said = capsys.readouterr()
    assert (1, "") == (code, said.out)
    assert f"{file}:1: 'files' of a sealed group travel encrypted" in said.err
