"""A message that came cites files: each is noted, in the transaction of the message's marker."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.engine import Connection

from adapters.mapping.document import Document
from adapters.mapping.parsing_files import GROUP
from adapters.plain import message_object
from adapters.table.tables import FILE
from exchange.client import IncomingMessage
from exchange.ticket import derived_id


def file_id_of(message_id: str, sha256: bytes) -> str:
    """Return the id of what the platform writes of a message's file."""
    return derived_id(message_id, sha256, "attachment")


def expect_files(connection: Connection, document: Document, item: IncomingMessage) -> None:
    """Note the files that *item* cites, where the mapping has a place for files."""
    if document.attachments is None:
        return
    message = item.message
    said = message_object(item)
    header = {
        name: said[name]
        for name in (
            "message_id", "kind", "ticket_id", "handoff_id", "author", "recipient", "created",
            "urgency", "marker", "classification", "digest",
        )
    }  # fmt: skip
    for file in message.files:
        file_id = file_id_of(message.id, file.sha256)
        if connection.execute(select(FILE.c.seq).where(FILE.c.file_id == file_id)).first():
            continue
        told = {
            "attachment_id": "",
            "name": "",
            "description": "",
            **_entry(item.groups.get(GROUP, {}), file.sha256),
            "media_type": file.media_type,
            "size": file.size,
            "sha256": file.sha256.hex(),
        }
        body = json.dumps({"header": header, "file": told}, ensure_ascii=False)
        connection.execute(
            FILE.insert().values(
                file_id=file_id,
                kind=message.kind.value,
                ticket_id=message.ticket_id,
                handoff_id=message.handoff_id,
                body=body,
                state="coming",
            )
        )


def _entry(group: Mapping[str, Any], sha256: bytes) -> dict[str, str]:
    """Return what the message says of a file: its id, its name for people, its description."""
    digest = base64.b64encode(sha256).decode()
    for one in group.get("attachments", ()):
        if one.get("file", {}).get("sha256") == digest:
            words = ("attachment_id", "name", "description")
            return {word: str(one[word]) for word in words if word in one}
    return {}
