"""
Damaged pages: what a failing disk makes of a database's files.

A page that a run filled is damaged: one byte, all of it, or zeroed.  Then ``exchange log verify``,
or who asks a bridge that is started on it, must find and name it, and that bridge must not hand out
one byte that is not what was stored.  SQLite's file is damaged in a copy; PostgreSQL's own, between
two starts, and the page is put back afterwards.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

import grpc
import psycopg
from google.protobuf.timestamp_pb2 import Timestamp

from exchange._proto.v1 import exchange_service_pb2 as pb
from exchange._proto.v1 import ticket_service_pb2 as ticket_pb
from exchange._proto.v1.exchange_service_pb2_grpc import ExchangeServiceStub
from exchange._proto.v1.ticket_service_pb2_grpc import TicketServiceStub
from exchange.client.channel import secure_channel
from tests.chaos.databases import PostgresBehindProxy, SqliteFile
from tests.chaos.ledger import rows
from tests.chaos.monkey import Outcome
from tests.chaos.place import POSTS, Post
from tests.chaos.processes import Service
from tests.chaos.town import Town
from tests.postgres import free_port

#: What is damaged: a column whose bytes are looked for in the file, and PostgreSQL's relation.
_INDEX = "SELECT pg_relation_filepath(indexrelid) FROM pg_index WHERE indrelid = %s::regclass"
_PLACES = {
    "message": ("envelope", "message"),
    "trail": ("digest", "trail"),
    "handoff": ("head", "handoff"),
    "receipt": ("statement", "receipt"),
    "message's index": ("id", "message"),
    "trail's index": ("ticket_id", "trail"),
}
_WAYS = ("one byte", "garbled", "zeroed")
_STARTING = 30.0
#: Trails that are asked for.
_ASKED = 150
_PAGE = {"sqlite": 4096, "postgresql": 8192}

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """One page's damage; *url* is the database that has it."""

    what: str
    url: str


def damage(town: Town, chance: Random, pages: int, outcome: Outcome, say: Say) -> list[str]:
    """Damage *pages* pages, one at a time; return what was not found, or was handed out."""
    broken = []
    there = _Stored(town, chance)
    first = chance.randrange(len(_PLACES))
    for number in range(pages):
        place = list(_PLACES)[(first + number) % len(_PLACES)]
        with _damaged(town, chance, place, chance.choice(_WAYS)) as done:
            found = _found(town, done.url)
            handed, refused = _served(town, done.url, there)
        outcome.injected += 1
        for reason in (*refused, "found by log verify" if found else "not found"):
            outcome.seen[reason] = outcome.seen.get(reason, 0) + 1
        if not found and not refused:  # the log's check reads no index of PostgreSQL's
            broken.append(f"{done.what}: nobody found it")
        if handed:
            broken.append(f"{done.what}: the bridge handed out what was not stored: {handed[:3]}")
        served = f"HANDED OUT {len(handed)}" if handed else ", ".join(refused) or "as stored"
        say(f"pages-damaged: {done.what}; {found or 'NOT FOUND'}; served: {served}")
    return broken


class _Stored:
    """What is truly there: every envelope, and every entry of every trail."""

    def __init__(self, town: Town, chance: Random) -> None:
        url = town.database.direct
        self.envelopes = {bytes(r["envelope"]) for r in rows(url, "message", "envelope")}
        trail = rows(url, "trail", "leaf_index", "ticket_id", "message_id", "digest", "author")
        # A bridge's own acts are of no ticket.
        tickets = list(dict.fromkeys(row["ticket_id"] for row in trail if row["ticket_id"]))
        self.tickets = chance.sample(tickets, min(len(tickets), _ASKED))
        self.entries = {
            (r["leaf_index"], r["message_id"], bytes(r["digest"]), r["author"]) for r in trail
        }


# -- making it


@contextmanager
def _damaged(town: Town, chance: Random, place: str, way: str) -> Iterator[Damage]:
    data = town.database
    if isinstance(data, SqliteFile):
        copy = town.place.folder / "damaged.db"
        for path in (copy, *(Path(f"{copy}{end}") for end in ("-wal", "-shm"))):
            path.unlink(missing_ok=True)
        with closing(sqlite3.connect(data.path)) as source, closing(sqlite3.connect(copy)) as to:
            source.backup(to)
        what = _overwrite(copy, _needle(town, chance, place), chance, way, _PAGE["sqlite"])
        yield Damage(what=f"{place}: {what}", url=f"sqlite:///{copy}")
        return
    path, needle = _file_of(data, place), _needle(town, chance, place)
    data.server.stop()
    before = path.read_bytes()
    try:
        what = _overwrite(path, needle, chance, way, _PAGE["postgresql"])
        data.server.start()
        yield Damage(what=f"{place}: {what}", url=data.direct)
    finally:
        data.server.stop()
        with path.open("r+b") as file:
            file.write(before)
        data.server.start()


def _needle(town: Town, chance: Random, place: str) -> list[bytes]:
    """Return bytes that stand in the place's rows, some rows' at random."""
    table, column = place.partition("'")[0], _PLACES[place][0]
    found = [row[column] for row in rows(town.database.direct, table, column)]
    if isinstance(found[0], str):
        return [one.encode() for one in chance.sample(found, min(len(found), 50))]
    # A piece of it: the whole may stand on several pages.
    return [bytes(one)[-24:] for one in chance.sample(found, min(len(found), 50))]


def _overwrite(path: Path, needles: list[bytes], chance: Random, way: str, size: int) -> str:
    """Damage the page of *path* in which one of *needles* stands; return what was done."""
    content = path.read_bytes()
    found = []
    for needle in needles:
        start = content.find(needle)
        while start >= 0:
            found.append((start, len(needle)))
            start = content.find(needle, start + 1)
        if found:
            break
    at, length = chance.choice(found) if found else (chance.randrange(size, len(content)), 1)
    page = at // size
    with path.open("r+b") as file:
        if way == "one byte":
            at += chance.randrange(length)
            file.seek(at)
            file.write(bytes([content[at] ^ (1 << chance.randrange(8))]))
        else:
            file.seek(page * size)
            file.write(chance.randbytes(size) if way == "garbled" else bytes(size))
    return f"page {page} of {path.name}, {way}"


def _file_of(data: PostgresBehindProxy, place: str) -> Path:
    query, relation = "SELECT pg_relation_filepath(%s)", _PLACES[place][1]
    if place.endswith("index"):  # the one that is not the primary key's comes first
        query = f"{_INDEX} ORDER BY indisprimary"
    with psycopg.connect(data.direct.replace("postgresql+psycopg", "postgresql")) as connection:
        row = connection.execute(query, (relation,)).fetchone()
    assert row is not None
    return data.data / str(row[0])


# -- finding it


def _found(town: Town, url: str) -> str:
    """Return what ``exchange log verify`` says of it; empty where it finds nothing."""
    done = town.exchange("log", "verify", "--json", "--database", url)
    if not done.returncode:
        return ""
    try:
        findings = json.loads(done.stdout)["findings"]
    except ValueError:
        return (done.stderr.strip() or done.stdout.strip())[-160:]
    return f"{len(findings)} findings, e.g. {findings[0]['en'][:110]}"


# -- serving from it


def _served(town: Town, url: str, there: _Stored) -> tuple[list[str], list[str]]:
    """Serve from it; return what was handed out and is not what was stored, and the refusals."""
    place = town.place
    config, port = place.folder / "damaged.toml", free_port()
    config.write_text(place.bridge_settings(url, port), encoding="utf-8")
    listens = threading.Event()
    bridge = Service(
        "damaged", ["exchange", "--lang", "en", "serve", "--config", str(config)],
        log=place.folder / "damaged.log",
        heard=lambda line: listens.set() if " listens on " in line else None,
    )  # fmt: skip
    bridge.start()
    try:
        for _ in range(int(_STARTING * 10)):
            if listens.wait(0.1):
                break
            if bridge.starts > 1:
                return [], ["bridge does not start"]
        else:
            return [], ["bridge does not start"]
        wrong: list[str] = []
        refused: dict[str, int] = {}
        for post in POSTS:
            _ask(town, post, port, there, wrong, refused)
        return wrong, sorted(refused)
    finally:
        bridge.close()


def _ask(  # noqa: PLR0917
    town: Town, post: Post, port: int, there: _Stored, wrong: list[str], refused: dict[str, int]
) -> None:
    """Ask for everything that *post* may have: its trails, and all its messages once more."""
    made, desk = town.place.made, town.place.made.desks[post.code]
    with secure_channel(
        f"127.0.0.1:{port}",
        roots=made.bridge_trust.read_bytes(),
        key=desk.gateway.key.read_bytes(),
        chain=desk.gateway.certificate.read_bytes(),
    ) as channel:
        tickets, exchange = TicketServiceStub(channel), ExchangeServiceStub(channel)
        for ticket in there.tickets:
            request = ticket_pb.GetTrailRequest(ticket_id=ticket, page_size=500)
            try:
                answer = tickets.GetTrail(request, timeout=20)
            except grpc.RpcError as failed:
                _note(failed, refused)
                continue
            for entry in answer.entries:
                shown = (entry.leaf_index, entry.message_id, entry.digest, entry.author.code)
                if shown not in there.entries:
                    wrong.append(f"trail entry {entry.leaf_index}")
        try:
            everything = pb.ReconcileHandoffsRequest(since=Timestamp(seconds=1))
            while True:
                again = exchange.ReconcileHandoffs(everything, timeout=60)
                if not again.next_page_token:
                    break
                everything.page_token = again.next_page_token
            while deliveries := exchange.PullMessages(
                pb.PullMessagesRequest(max_deliveries=512), timeout=20
            ).deliveries:
                wrong += [
                    f"delivery {one.position}"
                    for one in deliveries
                    if one.HasField("envelope") and one.envelope not in there.envelopes
                ]
        except grpc.RpcError as failed:
            _note(failed, refused)


def _note(failed: grpc.RpcError, refused: dict[str, int]) -> None:
    assert isinstance(failed, grpc.Call)
    code = failed.code()
    name = code.name if code is not None else "?"
    # Whoever asks for somebody else's ticket is told that there is none.
    if code is not grpc.StatusCode.NOT_FOUND:
        refused[name] = refused.get(name, 0) + 1
