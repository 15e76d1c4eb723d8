"""The reference adapter: files in, files out, over a real bridge."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from adapters.jsonl import JsonLines
from adapters.runner import Runner
from exchange import profile
from exchange.client import IncomingMessage
from exchange.note import NoteVerifier
from exchange.proof import Trust, Verdict, prove
from exchange.wire.receipt_files import read_receipt_file
from tests.adapters.linked import Link, exchange_once
from tests.pki import CITY_110, CITY_12345

TICKET, HANDOFF = str(uuid.uuid4()), str(uuid.uuid4())


def opening() -> dict[str, Any]:
    """Return the line that opens the ticket."""
    edition = profile.load("national").catalogue.edition
    return {
        "kind": "open_ticket",
        "ticket_id": TICKET,
        "record": "W-1",
        "created": "2026-11-22T09:30:00+08:00",
        "act": {
            "kind": "TICKET_KIND_WORK_ORDER",
            "region": "140400",
            "matter": "NM.P.01.02",
            "catalogue_edition": edition,
        },
        "groups": {
            "identity": {"record_number": "W-1"},
            "matter": {"title": "噪声扰民"},
            "content": {"content": "楼上深夜敲打。"},
        },
    }


def offer() -> dict[str, Any]:
    """Return the line that hands it over."""
    national = profile.load("national")
    return {
        "kind": "offer",
        "ticket_id": TICKET,
        "handoff_id": HANDOFF,
        "recipient": CITY_110.organisation,
        "record": "W-1",
        "created": "2026-11-22T09:31:00+08:00",
        "urgency": "urgent",
        "act": {
            "matter": "NM.P.01.02",
            "catalogue_edition": national.catalogue.edition,
            "profile": national.name,
            "profile_edition": national.edition,
        },
        "groups": {"grounds": {"text": "属公安职责。"}},
    }


def line_of(kind: str, record: str, **more: Any) -> dict[str, Any]:
    """Return a line that leaves ticket, recipient and predecessor to the adapter."""
    created = "2026-11-22T10:00:00+08:00"
    return {"kind": kind, "handoff_id": HANDOFF, "record": record, "created": created, **more}


def drop(folder: Path, name: str, *lines: dict[str, Any] | str) -> Path:
    """Put a file into the outbox the way a platform should: whole, then renamed."""
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    part = folder / "outbox" / f".{name}.part"
    part.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    return part.rename(folder / "outbox" / name)


def inbox(folder: Path) -> list[dict[str, Any]]:
    """Return what lies in the inbox, by file name."""
    return [json.loads(path.read_text()) for path in sorted((folder / "inbox").glob("*.json"))]


def receipts(folder: Path) -> list[str]:
    """Return the endings of the receipts' names."""
    return sorted(path.name[37:] for path in (folder / "receipts").glob("*.json"))


class Sides:
    """Two folders and their runners."""

    def __init__(self, link: Link) -> None:
        self.rung: list[IncomingMessage] = []
        self.hotline = link.folder / "hotline"
        self.police = link.folder / "police"
        self.hotline_files = JsonLines(self.hotline)
        self.police_files = JsonLines(self.police, remind=self.rung.append)
        self.runners: tuple[Runner, Runner] = (
            link.runner(CITY_12345, self.hotline_files),
            link.runner(CITY_110, self.police_files),
        )

    def cross(self) -> None:
        """Let everything cross."""
        exchange_once(*self.runners)


@pytest.fixture
def sides(link: Link) -> Sides:
    """Both sides, linked."""
    return Sides(link)


def test_a_ticket_crosses_by_files_and_its_receipts_come_back(sides: Sides) -> None:
    """Lines go out, files come in with the message id inside, receipts tell how far it got."""
    drop(sides.hotline, "1.jsonl", opening(), offer())
    sides.cross()

    arrived = inbox(sides.police)
    assert ["open_ticket", "offer"] == [found["kind"] for found in arrived]
    assert "楼上深夜敲打。" == arrived[0]["groups"]["content"]["content"]
    assert [["open_ticket", "offer"]] == [[m.message.kind.value for m in sides.rung]]
    assert ["1.jsonl"] == [path.name for path in (sides.hotline / "outbox" / "sent").iterdir()]

    take = line_of("take", "J-1", act={"local_number": "J-1"})
    result = line_of(
        "result",
        "J-1",
        act={"settlement": "SETTLEMENT_SETTLED"},
        groups={"disposal": {"content": "已劝止。"}},
    )
    drop(sides.police, "2.jsonl", take, result)
    sides.cross()

    assert ["open_ticket", "offer", "take", "result"] == [
        *(found["kind"] for found in arrived),
        *(found["kind"] for found in inbox(sides.hotline)),
    ]
    told = [f"{CITY_12345.organisation}.receipt.json", "receiver-written.json", "stored.json"]
    assert sorted(told * 2) == receipts(sides.police)


def test_a_receivers_answer_is_proved_from_its_file_alone(link: Link, sides: Sides) -> None:
    """What lies in the folder and the envelope are enough: no bridge is asked for a certificate."""
    drop(sides.hotline, "1.jsonl", opening(), offer())
    exchange_once(*sides.runners)
    made = link.pki.development
    trust = Trust(
        networks=link.pki.trust(), logs=(NoteVerifier.parse(made.log_verifier.read_text().strip()),)
    )
    files = sorted((sides.hotline / "receipts").glob("*.receipt.json"))

    assert len(files) == 2
    for path in files:
        assert CITY_110.organisation in path.name
        proof = prove(read_receipt_file(path.read_bytes()), trust)
        assert proof.holds
        assert proof.obligations[-1].verdict is Verdict.HOLDS
    spooled = sides.runners[0].spool.answers(files[0].name[:36])
    assert len(spooled[CITY_110.organisation][1]) == 2


def test_a_bad_line_is_set_aside_with_its_reason_and_its_neighbours_go_on(sides: Sides) -> None:
    """No JSON, unknown keys, unknown kinds, unfit groups: each is named, none is lost."""
    bad = [
        "no json",
        json.dumps(opening() | {"colour": "red"}),
        json.dumps(opening() | {"kind": "shout"}),
        json.dumps(opening() | {"created": "2026-11-22T09:30:00"}),
        json.dumps(opening() | {"groups": {"content": {"words": "x"}}, "record": "W-2"}),
        json.dumps(line_of("take", "J-9") | {"handoff_id": str(uuid.uuid4())}),
    ]
    drop(sides.hotline, "1.jsonl", bad[0], opening(), *bad[1:], offer())
    sides.cross()

    text = (sides.hotline / "outbox" / "rejected" / "1.jsonl").read_text(encoding="utf-8")
    rejected = sorted((json.loads(line) for line in text.splitlines()), key=lambda r: r["line"])
    assert bad == [found["text"] for found in rejected]
    named = ["JSON", "colour", "kind", "time zone", "content", "hand-off"]
    assert all(word in found["en"] for word, found in zip(named, rejected, strict=True)), rejected
    assert 2 == len(inbox(sides.police))


def test_a_half_written_file_waits_for_its_last_line(sides: Sides) -> None:
    """A line without its newline is not taken before it is whole."""
    path = sides.hotline / "outbox" / "1.jsonl"
    whole = json.dumps(opening()) + "\n" + json.dumps(offer()) + "\n"
    path.write_text(whole[:-20])
    sides.runners[0].collect()

    assert 1 == sides.runners[0].spool.status().waiting
    assert path.exists()
    path.write_text(whole)
    sides.cross()
    assert 2 == len(inbox(sides.police))
    assert not path.exists()


def test_a_line_that_never_becomes_whole_is_set_aside(link: Link) -> None:
    """After a minute a half line is not being written any more."""
    later = datetime.now(UTC) + timedelta(minutes=5)
    files = JsonLines(link.folder / "f", clock=lambda: later)
    (link.folder / "f" / "outbox" / "1.jsonl").write_text('{"kind": "off')

    assert [] == files.outgoing()

    text = (link.folder / "f" / "outbox" / "rejected" / "1.jsonl").read_text(encoding="utf-8")
    assert "newline" in json.loads(text)["en"]


def test_the_same_message_twice_is_one_file_read_or_not(link: Link, sides: Sides) -> None:
    """A redelivery, also after a restart and after the platform has read the file, adds nothing."""
    drop(sides.hotline, "1.jsonl", opening(), offer())
    for step in (sides.runners[0].collect, sides.runners[0].push):
        step()
    items = sides.runners[1].client.pull()
    numbers = [sides.police_files.deliver(i) for i in items if isinstance(i, IncomingMessage)]
    first = next((sides.police / "inbox").glob("*.json"))
    first.rename(sides.police / "inbox" / "done" / first.name)

    again = JsonLines(sides.police)

    assert numbers == [again.deliver(i) for i in items if isinstance(i, IncomingMessage)]
    assert 1 == len(inbox(sides.police))


def test_a_lost_spool_repeats_and_nothing_doubles(link: Link, sides: Sides) -> None:
    """With its secret a platform that lost the spool says the same bytes: the receipt is the same."""
    drop(sides.hotline, "1.jsonl", opening(), offer())
    sides.cross()
    before = sorted((sides.hotline / "receipts").glob("*.stored.json"))
    kept = [path.read_bytes() for path in before]
    for path in before:
        path.unlink()

    lost = link.folder / CITY_12345.organisation / "spool.db"
    for path in lost.parent.glob("spool.db*"):
        path.unlink()
    drop(sides.hotline, "again.jsonl", opening(), offer())
    exchange_once(link.runner(CITY_12345, sides.hotline_files), sides.runners[1])

    assert kept == [path.read_bytes() for path in before]
    assert 2 == len(inbox(sides.police))


def test_a_sent_file_is_never_overwritten(sides: Sides) -> None:
    """A platform that uses a name again finds both files, the first untouched."""
    for number in range(3):
        drop(sides.hotline, "1.jsonl", line_of("progress", f"W-{number}", recipient="x"), "{")
        sides.cross()

    sent = sides.hotline / "outbox" / "sent"
    names = ["1-2.jsonl", "1-3.jsonl", "1.jsonl"]
    assert names == sorted(path.name for path in sent.iterdir())
    assert ["W-1", "W-2", "W-0"] == [
        json.loads((sent / name).read_text().splitlines()[0])["record"] for name in names
    ]
