"""
What the database holds, as SQLAlchemy tables.  `exchange.migrations` creates them, step by step.

Every table is written by `exchange.store` alone.  Three rules keep it provable:

1. One row of `trail` per leaf of the log, and a leaf's bytes follow from its row.
2. Nothing is stored twice that a proof depends on: what a message says stands in `message.envelope`
   alone, its digest and time in `trail` alone.
3. Times are text in UTC with microseconds, ``2026-03-01T08:00:00.000000Z``: read by people and by
   every database alike, and in order of time when sorted as text.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.types import TypeEngine


@lru_cache(maxsize=256)
def stamp(moment: datetime) -> str:
    """Return the stored form of *moment*, which is aware; a drain asks again and again for one."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return moment.isoformat(timespec="microseconds")[:26] + "Z"


def moment_of(stored: str) -> datetime:
    """Return the time whose stored form is *stored*; the inverse of `stamp`."""
    return datetime.fromisoformat(stored)


class Moment(TypeDecorator[datetime]):
    """An aware time in UTC, stored as `stamp` writes it."""

    impl = String
    cache_ok = True

    def __init__(self) -> None:
        super().__init__(27)

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Compare byte by byte on PostgreSQL."""
        return dialect.type_descriptor(plain(27))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Return the stored form."""
        return None if value is None else stamp(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Return the time."""
        return None if value is None else moment_of(value)


def plain(length: int) -> String:
    """Return a text type for codes and ids, compared byte by byte whatever the city's locale."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")


ID = 36
ORGANISATION = 18
MATTER = 64
NAME = 128

#: A number that the store assigns itself; SQLite's row id where it is the key.
NUMBER = BigInteger().with_variant(Integer, "sqlite")

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    }
)

ticket = Table(
    "ticket",
    metadata,
    Column("id", plain(ID), primary_key=True),
    Column("kind", SmallInteger, nullable=False),
    Column("origin", plain(ORGANISATION), nullable=False),
    Column("first_receiver", plain(ORGANISATION), nullable=False),
    Column("region", plain(12), nullable=False),
    Column("matter", plain(MATTER), nullable=False),
    Column("marker", SmallInteger, nullable=False),
    Column("classification", SmallInteger, nullable=False),
    Column("urgency", SmallInteger, nullable=False),
    Column("level", SmallInteger, nullable=False),
    Column("opened", Moment, nullable=False),
    Column("closed", Boolean, nullable=False),
    Column("cites_ticket_id", plain(ID), nullable=False),
    Index(None, "opened", "id"),
)

handoff = Table(
    "handoff",
    metadata,
    Column("id", plain(ID), primary_key=True),
    Column("ticket_id", plain(ID), ForeignKey("ticket.id"), nullable=False, index=True),
    Column("sender", plain(ORGANISATION), nullable=False),
    Column("receiver", plain(ORGANISATION), nullable=False),
    Column("state", SmallInteger, nullable=False),
    #: Who answers and who decides, by the life-cycle table; empty when nobody need.
    Column("answers", plain(ORGANISATION), nullable=False),
    Column("decides", plain(ORGANISATION), nullable=False),
    Column("head", LargeBinary(32), nullable=False),
    Column("own_duty", Boolean, nullable=False),
    Column("taken_over", Boolean, nullable=False),
    Column("danger", Boolean, nullable=False),
    Column("form", SmallInteger, nullable=False),
    Column("matter", plain(MATTER), nullable=False),
    Column("profile", plain(NAME), nullable=False),
    Column("profile_edition", plain(NAME), nullable=False),
    Column("catalogue_edition", plain(NAME), nullable=False),
    Column("onward_of", plain(ID), nullable=False),
    Column("cites_handoff_id", plain(ID), nullable=False),
    Column("assessed_by", plain(16), nullable=False),
    Column("first_receiver", plain(ORGANISATION), nullable=False),
    Column("offered", Moment, nullable=False),
    #: When its state last changed.
    Column("updated", Moment, nullable=False),
    #: When the next step of the side that decides is due; null without a limit.
    Column("due", Moment),
    #: The rest of the hand-off (sets of digests, the offer's other fields) as JSON.
    Column("rest", Text, nullable=False),
    Index(None, "sender", "ticket_id"),
    Index(None, "receiver", "ticket_id"),
    Index(
        "ix_handoff_answers",
        "answers",
        "ticket_id",
        postgresql_where=text("answers <> ''"),
        sqlite_where=text("answers <> ''"),
    ),
    Index(
        "ix_handoff_onward_of",
        "onward_of",
        postgresql_where=text("onward_of <> ''"),
        sqlite_where=text("onward_of <> ''"),
    ),
    Index(
        "ix_handoff_due",
        "due",
        postgresql_where=text("due IS NOT NULL"),
        sqlite_where=text("due IS NOT NULL"),
    ),
)

#: Every accepted message, byte for byte as it came in.
message = Table(
    "message",
    metadata,
    Column("leaf_index", NUMBER, primary_key=True, autoincrement=False),
    Column("id", plain(ID), nullable=False, unique=True),
    Column("envelope", LargeBinary, nullable=False),
)

#: One row per leaf of the log: what happened to a ticket, in order.
trail = Table(
    "trail",
    metadata,
    Column("leaf_index", NUMBER, primary_key=True, autoincrement=False),
    Column("time", Moment, nullable=False),
    Column("ticket_id", plain(ID), nullable=False),
    Column("handoff_id", plain(ID), nullable=False),
    #: The kind of message; ``written`` for a written receipt.
    Column("kind", plain(32), nullable=False),
    #: The message, or the message that the receipt is for.
    Column("message_id", plain(ID), nullable=False),
    Column("author", plain(ORGANISATION), nullable=False),
    Column("recipient", plain(ORGANISATION), nullable=False),
    #: The hand-off's state afterwards; 0 for ticket kinds.
    Column("state", SmallInteger, nullable=False),
    #: Who answered for the hand-off afterwards; empty for ticket kinds.
    Column("answers", plain(ORGANISATION), nullable=False),
    #: The digest of the message, or of the receipt's statement.
    Column("digest", LargeBinary(32), nullable=False),
    #: `exchange.store.rows.seal` over this row and the bytes of its message or receipt: the log
    #: proves what was said, the seal finds a change in what stands around it.
    Column("seal", LargeBinary(32), nullable=False),
    Index(None, "ticket_id", "leaf_index"),
)

#: What receivers signed when they had written a message into their own databases.
receipt = Table(
    "receipt",
    metadata,
    Column("leaf_index", NUMBER, primary_key=True, autoincrement=False),
    Column("message_id", plain(ID), nullable=False),
    Column("organisation", plain(ORGANISATION), nullable=False),
    Column("statement", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    UniqueConstraint("message_id", "organisation"),
)

#: Signed refusals: recorded, not logged.
refusal = Table(
    "refusal",
    metadata,
    Column("number", NUMBER, primary_key=True, autoincrement=False),
    Column("message_id", plain(ID), nullable=False, index=True),
    Column("digest", LargeBinary(32), nullable=False),
    Column("refused_by", plain(NAME), nullable=False),
    Column("statement", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Column("time", Moment, nullable=False),
    #: As in `trail`.
    Column("seal", LargeBinary(32), nullable=False),
)

#: What waits for an organisation.  A row goes when it is acknowledged; the message stays.
mailbox = Table(
    "mailbox",
    metadata,
    Column("position", NUMBER, primary_key=True, autoincrement=False),
    Column("recipient", plain(ORGANISATION), nullable=False),
    Column("lane", plain(ID), nullable=False),
    Column("urgency", SmallInteger, nullable=False),
    #: ``message``, ``written`` or ``refused``.
    Column("content", plain(8), nullable=False),
    #: The leaf index of the message or written receipt, or the number of the refusal.
    Column("source", BigInteger, nullable=False),
    Index("ix_mailbox_next", "recipient", text("urgency DESC"), "position"),
    Index(None, "lane", "recipient"),
    Index(None, "source", "recipient"),
)

#: Lanes that stand still because their receiver could not digest a message.
quarantine = Table(
    "quarantine",
    metadata,
    Column("recipient", plain(ORGANISATION), primary_key=True),
    Column("lane", plain(ID), primary_key=True),
    #: The leaf index of the message.
    Column("source", BigInteger, nullable=False),
    #: The number of the refusal that says why.
    Column("refusal", BigInteger, nullable=False),
    Column("time", Moment, nullable=False),
)

#: One row per drain: what the tree grew by, and the checkpoint over it.
drain = Table(
    "drain",
    metadata,
    Column("size_after", NUMBER, primary_key=True, autoincrement=False),
    Column("size_before", BigInteger, nullable=False),
    #: Interior nodes that became complete (`exchange.merkle.Growth.nodes`).
    Column("nodes", LargeBinary, nullable=False),
    #: The signed C2SP checkpoint.
    Column("note", LargeBinary, nullable=False),
)

#: The log's head: one row, advanced by compare-and-set.
log = Table(
    "log",
    metadata,
    Column("origin", plain(NAME), primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("root", LargeBinary(32), nullable=False),
    #: The last number given to a mailbox row or refusal.
    Column("position", BigInteger, nullable=False),
)

#: Signers' certificate chains as they were first seen, for those who verify years later.
certificate = Table(
    "certificate",
    metadata,
    Column("key_id", LargeBinary(32), primary_key=True),
    #: DER certificates, leaf first, each preceded by its length (4 bytes, big-endian).
    Column("chain", LargeBinary, nullable=False),
    Column("first_seen", Moment, nullable=False),
)

#: When each organisation last called, by call (``push``, ``pull``, ``acknowledge``).  No evidence:
#: it is written some seconds late, and no proof depends on it.
contact = Table(
    "contact",
    metadata,
    Column("organisation", plain(ORGANISATION), primary_key=True),
    Column("method", plain(16), primary_key=True),
    Column("time", Moment, nullable=False),
)

#: Where this log went on from another: a restored database continues under a new log's name.
succession = Table(
    "succession",
    metadata,
    Column("leaf_index", NUMBER, primary_key=True, autoincrement=False),
    #: The statement that both logs signed (`exchange.succession`).
    Column("note", LargeBinary, nullable=False),
)

#: Checkpoints that callers hold, the log key signed, and this database cannot have given.
sighting = Table(
    "sighting",
    metadata,
    #: SHA-256 of the note.
    Column("digest", LargeBinary(32), primary_key=True),
    Column("origin", plain(NAME), nullable=False),
    Column("note", LargeBinary, nullable=False),
    #: Who holds it.
    Column("organisation", plain(ORGANISATION), nullable=False),
    Column("time", Moment, nullable=False),
)

#: The archive files that contents were moved to, each complete and durable before anything left.
archive = Table(
    "archive",
    metadata,
    Column("number", NUMBER, primary_key=True, autoincrement=False),
    Column("file", plain(NAME), nullable=False),
    #: SHA-256 of the file.
    Column("digest", LargeBinary(32), nullable=False),
    Column("tickets", BigInteger, nullable=False),
    Column("time", Moment, nullable=False),
)

#: The leaves whose message or receipt stands in an archive and is empty here.
archived = Table(
    "archived",
    metadata,
    Column("leaf_index", NUMBER, primary_key=True, autoincrement=False),
    #: The archive's number.
    Column("archive", BigInteger, nullable=False),
)
