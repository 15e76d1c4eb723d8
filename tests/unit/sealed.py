"""An opening with words that must not be read by others."""

from __future__ import annotations

from exchange.acts import Kind
from exchange.catalog import catalog
from exchange.client.messages import OutgoingMessage
from tests.bridge.world import START, Matter, Party

#: The words, the last of them in the group content.
TOLD = ("马三立", "13900008888", "南京路九号井盖缺失")


def opening(author: Party, matter: Matter) -> bytes:
    """Return the envelope with which *author* opens *matter*, everything in clear."""
    name, telephone, content = TOLD
    message = OutgoingMessage(
        kind=Kind.OPEN_TICKET,
        ticket_id=matter.ticket_id,
        created=START,
        record=matter.ticket_id,
        act={
            "kind": "TICKET_KIND_WORK_ORDER",
            "region": "320507",
            "catalogue_edition": catalog().edition,
        },
        groups={
            "identity": {"record_number": "W2026030200001"},
            "matter": {"title": "井盖"},
            "person": {"name": name, "telephone": telephone},
            "content": {"content": content},
            "deadline": {"basis": "S3"},
            "share_scope": {"purpose": "处置"},
        },
    )
    return author.seal(message)[0].envelope
