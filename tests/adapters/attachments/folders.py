"""Folders of JSON lines whose tickets cite files, linked to a bridge."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from adapters.jsonl import JsonLines
from adapters.runner import Pace, Runner
from adapters.settings import open_sealer, read_gateway
from adapters.spool import Spool
from certs.development import Desk as Party
from exchange import profile
from exchange.attachments import (
    AttachmentRefusal,
    AttachmentStanding,
    Chunk,
    ChunkTree,
    chunk_bytes,
    chunks_of,
    leaf_of,
)
from exchange.client import ExchangeClient
from exchange.client.attachments import AttachmentCalls
from tests.adapters.province import ONCE, Province, Site

#: One call takes sixteen of these.
CHUNK = 64 * 1024
PACE = Pace(chunk=CHUNK, look=timedelta(milliseconds=20), first_pause=timedelta(milliseconds=20))


def new_id() -> str:
    """Return a random id."""
    return str(uuid.uuid4())


def opening(ticket_id: str, *names: str, media_type: str = "image/jpeg") -> dict[str, Any]:
    """Return the line that opens a ticket and cites the files *names* in outbox/attachments/."""
    line: dict[str, Any] = {
        "kind": "open_ticket",
        "ticket_id": ticket_id,
        "record": ticket_id,
        "created": "2026-11-22T09:30:00+08:00",
        "act": {
            "kind": "TICKET_KIND_WORK_ORDER",
            "region": "140400",
            "matter": "NM.P.01.02",
            "catalogue_edition": profile.load("national").catalogue.edition,
        },
        "groups": {
            "identity": {"record_number": "W-1"},
            "matter": {"title": "噪声扰民"},
            "content": {"content": "楼上深夜敲打。"},
        },
    }
    if names:
        line["files"] = {f"A-{number}": name for number, name in enumerate(names)}
        line["groups"]["attachment"] = {
            "attachments": [
                {
                    "attachment_id": f"A-{number}",
                    "name": "现场",
                    "media_type": media_type,
                    "classification": "CLASSIFICATION_ORDINARY",
                }
                for number in range(len(names))
            ]
        }
    return line


def offer(ticket_id: str, recipient: str, urgency: str = "routine") -> dict[str, Any]:
    """Return the line that hands the ticket over."""
    national = profile.load("national")
    return {
        "kind": "offer",
        "ticket_id": ticket_id,
        "handoff_id": new_id(),
        "recipient": recipient,
        "record": ticket_id,
        "created": "2026-11-22T09:31:00+08:00",
        "urgency": urgency,
        "act": {
            "matter": "NM.P.01.02",
            "catalogue_edition": national.catalogue.edition,
            "profile": national.name,
            "profile_edition": national.edition,
        },
        "groups": {"grounds": {"text": "属公安职责。"}},
    }


@dataclass
class Watched:
    """A client's calls for attachments, counted; *before* is called before each call with chunks."""

    calls: AttachmentCalls
    put_chunks: list[int] = field(default_factory=list)
    got_chunks: list[int] = field(default_factory=list)
    before: Callable[[], object] = lambda: None

    def check(self, roots: Sequence[bytes]) -> list[AttachmentStanding]:
        """Pass on."""
        return self.calls.check(roots)

    def put(self, chunks: Sequence[Chunk]) -> list[AttachmentRefusal | None]:
        """Count, and pass on."""
        self.before()
        outcomes = self.calls.put(chunks)
        self.put_chunks += [chunk.number for chunk in chunks]
        return outcomes

    def get(self, root: bytes, numbers: Sequence[int]) -> list[Chunk] | AttachmentRefusal:
        """Count, and pass on."""
        self.before()
        found = self.calls.get(root, numbers)
        if not isinstance(found, AttachmentRefusal):
            self.got_chunks += [chunk.number for chunk in found]
        return found


@dataclass
class Folder:
    """One platform's folder and its runner."""

    path: Path
    runner: Runner
    watched: Watched

    def put(self, name: str, content: bytes) -> None:
        """Put a file where lines may name it."""
        (self.path / "outbox" / "attachments" / name).write_bytes(content)

    def say(self, *lines: dict[str, Any]) -> None:
        """Put lines into the outbox."""
        part = self.path / "outbox" / ".part"
        part.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        part.rename(self.path / "outbox" / f"{new_id()}.jsonl")

    def messages(self) -> None:
        """Say, push, hear and tell until nothing moves; no chunk."""
        while self.runner.collect() + self.runner.push() + self.runner.tell() + self.runner.pull():
            pass

    def files(self) -> int:
        """Send, fetch and tell of files until nothing moves; return how much moved."""
        moved = 0
        while more := self.runner.posting.turn():
            moved += more
        return moved

    def came(self) -> dict[str, bytes]:
        """Return the files that came, by name."""
        found = (self.path / "inbox" / "attachments").iterdir()
        return {path.name: path.read_bytes() for path in found if path.suffix != ".json"}

    def told(self) -> list[dict[str, Any]]:
        """Return what the platform was told of files: came, then left."""
        came = sorted((self.path / "inbox" / "attachments").glob("*.json"))
        left = sorted((self.path / "receipts").glob("*.attachment-*.json"))
        return [json.loads(path.read_text(encoding="utf-8")) for path in (*came, *left)]


def folder_of(path: Path, runner: Callable[[JsonLines, Pace], Runner]) -> Folder:
    """Return the folder *path* as a platform, linked by *runner*, with its calls counted."""
    made = runner(JsonLines(path), PACE)
    watched = Watched(made.client.attachments)
    assert made.posting.post is not None
    made.posting.post.calls = watched
    return Folder(path=path, runner=made, watched=watched)


def posted(province: Province, party: Party, site: Site, config: Path | None = None) -> Folder:
    """Return a folder of *party* on one of two bridges, linked as *config* says or as usual."""
    files = read_gateway(config or province.gateway(party, site))
    path = site.folder / "folders" / party.organisation
    sealer = open_sealer(files, path / "salt.key")
    client = province.stack.enter_context(ExchangeClient.dial(files, sealer=sealer, patience=ONCE))
    spool = province.stack.enter_context(Spool(path / "spool.db", party.organisation))
    return folder_of(path, lambda platform, pace: Runner(platform, spool, client, pace))


def content(size: int) -> bytes:
    """Return *size* random bytes."""
    return os.urandom(size)


def root_of(data: bytes) -> bytes:
    """Return the root over the chunks of *data*, cut as `PACE` says."""
    each = chunk_bytes(len(data), chunks_of(len(data), CHUNK))
    parts = (data[at : at + each] for at in range(0, len(data), each))
    return ChunkTree(b"".join(map(leaf_of, parts))).root()
