"""
What the database holds of attachments: which message cites which file, and the files' chunks.

No proof depends on it: what is cited stands in the message, and a chunk proves itself by its path.
The citation is written with its message, in the same transaction; chunks come after, apart from every
drain, and go after a while.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Table

from exchange.columns import Moment, plain
from exchange.tables import ID, NUMBER, ORGANISATION, metadata

#: One row for each file that an accepted message cites and whose bytes travel.
attachment = Table(
    "attachment",
    metadata,
    #: The message's place, as in `message`.
    Column("leaf_index", NUMBER, primary_key=True, autoincrement=False),
    #: The root of the tree over the file's chunks.
    Column("root", LargeBinary(32), primary_key=True),
    Column("sha256", LargeBinary(32), primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("chunk_count", Integer, nullable=False),
    Column("media_type", plain(127), nullable=False),
    Column("ticket_id", plain(ID), nullable=False),
    Column("author", plain(ORGANISATION), nullable=False),
    #: Empty where the message speaks to everybody with a hand-off of its ticket.
    Column("recipient", plain(ORGANISATION), nullable=False),
    #: When the message was accepted.
    Column("time", Moment, nullable=False),
    Index(None, "root"),
    Index(None, "author", "leaf_index"),
)

#: The chunks that are here: one file's once, however often it is cited.
attachment_chunk = Table(
    "attachment_chunk",
    metadata,
    Column("root", LargeBinary(32), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    #: Who cited the file, when this chunk came.
    Column("owner", plain(ORGANISATION), nullable=False),
    Column("size", Integer, nullable=False),
    #: The hashes from its leaf to the root, 32 bytes each.
    Column("path", LargeBinary, nullable=False),
    Column("content", LargeBinary, nullable=False),
    #: The data key that encrypts the content (`exchange.store.chunks`); empty where it stands in clear.
    Column("data_key", plain(ID), nullable=False, server_default="", index=True),
    # Quota and room are counted in the index alone.
    Index(None, "owner", "size"),
)

#: The files that were here whole, with the digest and size that they really have.
attachment_file = Table(
    "attachment_file",
    metadata,
    Column("root", LargeBinary(32), primary_key=True),
    Column("sha256", LargeBinary(32), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("time", Moment, nullable=False),
)
