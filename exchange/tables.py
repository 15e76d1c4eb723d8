"""
What the database holds, as SQLAlchemy tables.  `exchange.migrations` creates them, step by step.

Every table is written by `exchange.store` alone.  Three rules keep it provable:

1. One row of `trail` per leaf of the log, and a leaf's bytes follow from its row.
2. Nothing is stored twice that a proof depends on: what a message says stands in `message.envelope`
   alone, its digest and time in `trail` alone.
3. Times are text in UTC with microseconds, ``2026-03-01T08:00:00.000000Z``: read by people and by
   every database alike, and in order of time when sorted as text.

A ``leaf_index`` is the leaf's place in the database: its index in the log where the database has one
log, an order across all of them where it has several (`exchange.store.places`).
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from exchange.columns import Moment, moment_of, partial, plain, stamp

__all__ = ["Moment", "moment_of", "plain", "stamp"]

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
    # New ones go to the end of their origin's part: one page each to write into.
    Index(None, "origin", "opened", "id"),
)

#: What stands in ``rest`` of a hand-off whose scope names organisations that are no party to it.
NAMES_KNOWERS = """'%"knowers"%'"""

handoff = Table(
    "handoff", metadata,
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
    #: When to remind who decides of it; null, too, where an earlier version reckoned it.
    Column("remind", Moment),
    #: The rest of the hand-off (sets of digests, the offer's other fields) as JSON.
    Column("rest", Text, nullable=False),
    Index(None, "sender", "ticket_id"),
    Index(None, "receiver", "ticket_id"),
    partial("ix_handoff_answers", "answers", "ticket_id", where="answers <> ''"),
    partial("ix_handoff_onward_of", "onward_of", where="onward_of <> ''"),
    partial("ix_handoff_knowers", "ticket_id", where=f"rest LIKE {NAMES_KNOWERS}"),
    partial("ix_handoff_due", "due", where="due IS NOT NULL"),
)  # fmt: skip

#: What is due on hand-offs beside the next step (`exchange.deadlines.further`).  The bridge's own
#: reckoning: no evidence, and no proof depends on it.
deadline = Table(
    "deadline", metadata,
    Column("handoff_id", plain(ID), primary_key=True),
    #: As `exchange.provisions.DeadlineKind` has it.
    Column("kind", plain(16), primary_key=True),
    #: The organisation that owes it.
    Column("owes", plain(ORGANISATION), primary_key=True),
    Column("due", Moment, nullable=False),
    Column("remind", Moment, nullable=False),
    Index(None, "remind", "owes"),
)  # fmt: skip

#: Every accepted message, byte for byte as it came in.
message = Table(
    "message", metadata,
    Column("leaf_index", NUMBER, primary_key=True, autoincrement=False),
    Column("id", plain(ID), nullable=False, unique=True),
    Column("envelope", LargeBinary, nullable=False),
)  # fmt: skip

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
    "receipt", metadata,
    Column("leaf_index", NUMBER, primary_key=True, autoincrement=False),
    Column("message_id", plain(ID), nullable=False),
    Column("organisation", plain(ORGANISATION), nullable=False),
    Column("statement", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    UniqueConstraint("message_id", "organisation"),
)  # fmt: skip

#: Signed refusals: recorded, not logged.
refusal = Table(
    "refusal", metadata,
    Column("number", NUMBER, primary_key=True, autoincrement=False),
    Column("message_id", plain(ID), nullable=False, index=True),
    Column("digest", LargeBinary(32), nullable=False),
    Column("refused_by", plain(NAME), nullable=False),
    Column("statement", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Column("time", Moment, nullable=False),
    #: As in `trail`.
    Column("seal", LargeBinary(32), nullable=False),
)  # fmt: skip

#: What a relay carried on, for whom, from which lane; with the next bridge's stored receipt, not logged.
passage = Table(
    "passage", metadata,
    Column("leaf_index", NUMBER, primary_key=True, autoincrement=False),
    Column("recipient", plain(ORGANISATION), primary_key=True),
    Column("lane", plain(ID), nullable=False),
    Column("origin", plain(NAME), nullable=False),
    Column("receipt", LargeBinary, nullable=False),
    Column("time", Moment, nullable=False),
    Column("seal", LargeBinary(32), nullable=False),  # as in `trail`
)  # fmt: skip

#: What waits for an organisation.  A row goes when it is acknowledged; the message stays.
mailbox = Table(
    "mailbox", metadata,
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
)  # fmt: skip

#: What receivers set aside: the signed refusal of the message that lets its lane go on without it.
aside = Table(
    "aside", metadata,
    Column("leaf_index", NUMBER, primary_key=True, autoincrement=False),
    Column("message_id", plain(ID), nullable=False),
    Column("organisation", plain(ORGANISATION), nullable=False),
    #: Where it waited.
    Column("lane", plain(ID), nullable=False),
    #: The number of the refusal.
    Column("refusal", BigInteger, nullable=False),
    Index(None, "message_id", "organisation"),
)  # fmt: skip

#: What an authority, or the bridge itself, did: one signed line of its chain (`exchange.chain`).
act = Table(
    "act", metadata,
    Column("leaf_index", NUMBER, primary_key=True, autoincrement=False),
    #: The network whose authority it is, or the log whose bridge.
    Column("source", plain(NAME), nullable=False),
    #: Its number in that chain, from 1.
    Column("number", BigInteger, nullable=False),
    Column("line", LargeBinary, nullable=False),
    UniqueConstraint("source", "number"),
)  # fmt: skip

#: Lanes that stand still because their receiver could not digest a message.
quarantine = Table(
    "quarantine", metadata,
    Column("recipient", plain(ORGANISATION), primary_key=True),
    Column("lane", plain(ID), primary_key=True),
    #: The leaf index of the message.
    Column("source", BigInteger, nullable=False),
    #: The number of the refusal that says why.
    Column("refusal", BigInteger, nullable=False),
    Column("time", Moment, nullable=False),
)  # fmt: skip

#: One row per drain: what the tree grew by, and the checkpoint over it.
drain = Table(
    "drain", metadata,
    #: Both sizes as `exchange.store.places.log_key` writes them.
    Column("size_after", NUMBER, primary_key=True, autoincrement=False),
    Column("size_before", BigInteger, nullable=False),
    #: Interior nodes that became complete (`exchange.merkle.Growth.nodes`).
    Column("nodes", LargeBinary, nullable=False),
    #: The signed C2SP checkpoint.
    Column("note", LargeBinary, nullable=False),
    #: The place of its first leaf; null where that is ``size_before``: of a database's only log.
    Column("place", BigInteger),
    partial("ix_drain_place", "place", where="place IS NOT NULL"),
)  # fmt: skip

#: The heads of the logs, each advanced by compare-and-set; one row, unless others have joined.
log = Table(
    "log", metadata,
    Column("origin", plain(NAME), primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("root", LargeBinary(32), nullable=False),
    #: The last number given to a mailbox row or refusal.
    Column("position", BigInteger, nullable=False),
    #: 0 for the log that the database began with, then as they joined.
    Column("number", Integer, nullable=False, server_default=text("0")),
    #: The verifier key, as in its file; empty until its bridge first served with this version.
    Column("verifier", Text, nullable=False, server_default=text("''")),
    Index("uq_log_number", "number", unique=True),
)  # fmt: skip

#: Lanes that are out, where several bridges serve one database.  Losing it costs redeliveries.
lease = Table(
    "lease", metadata,
    Column("recipient", plain(ORGANISATION), primary_key=True),
    #: Empty: whoever looks into the mailbox locks this row.
    Column("lane", plain(ID), primary_key=True),
    #: Tells this lease from every other one of the lane.
    Column("token", plain(ID), nullable=False),
    #: Microseconds since 1970, by the database's clock.
    Column("taken", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False),
    #: The last position that was handed out; once none up to it waits any more, the lane is free.
    Column("upto", BigInteger, nullable=False),
    #: How often what is out was handed out.
    Column("attempt", Integer, nullable=False),
)  # fmt: skip

#: One row: the oldest version of the tables whose programs may still serve this database.
serves = Table(
    "serves", metadata,
    Column("oldest", plain(32), primary_key=True),
)  # fmt: skip

#: Signers' certificate chains as they were first seen, for those who verify years later.
certificate = Table(
    "certificate", metadata,
    Column("key_id", LargeBinary(32), primary_key=True),
    #: DER certificates, leaf first, each preceded by its length (4 bytes, big-endian).
    Column("chain", LargeBinary, nullable=False),
    Column("first_seen", Moment, nullable=False),
)  # fmt: skip

#: When each organisation last called, by call (``push``, ``pull``, ``acknowledge``).  No evidence:
#: it is written some seconds late, and no proof depends on it.
contact = Table(
    "contact", metadata,
    Column("organisation", plain(ORGANISATION), primary_key=True),
    Column("method", plain(16), primary_key=True),
    Column("time", Moment, nullable=False),
)  # fmt: skip

#: Where this log went on from another: a restored database continues under a new log's name.
succession = Table(
    "succession", metadata,
    Column("leaf_index", NUMBER, primary_key=True, autoincrement=False),
    #: The statement that both logs signed (`exchange.succession`).
    Column("note", LargeBinary, nullable=False),
)  # fmt: skip

#: Checkpoints that callers hold, the log key signed, and this database cannot have given.
sighting = Table(
    "sighting", metadata,
    #: SHA-256 of the note.
    Column("digest", LargeBinary(32), primary_key=True),
    Column("origin", plain(NAME), nullable=False),
    Column("note", LargeBinary, nullable=False),
    #: Who holds it.
    Column("organisation", plain(ORGANISATION), nullable=False),
    Column("time", Moment, nullable=False),
)  # fmt: skip

#: What witnesses signed: that they saw a checkpoint of a log, and when.  It adds proof and takes none.
cosignature = Table(
    "cosignature", metadata,
    Column("origin", plain(NAME), primary_key=True),
    Column("witness", plain(255), primary_key=True),
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    #: By the witness's clock.
    Column("time", Moment, primary_key=True),
    Column("line", Text, nullable=False),
)  # fmt: skip

#: The archive files that contents were moved to, each complete and durable before anything left.
archive = Table(
    "archive", metadata,
    Column("number", NUMBER, primary_key=True, autoincrement=False),
    Column("file", plain(NAME), nullable=False),
    #: SHA-256 of the file.
    Column("digest", LargeBinary(32), nullable=False),
    Column("tickets", BigInteger, nullable=False),
    Column("time", Moment, nullable=False),
)  # fmt: skip

#: The leaves whose message or receipt is empty here: it stands in an archive, or was destroyed.
archived = Table(
    "archived", metadata,
    Column("leaf_index", NUMBER, primary_key=True, autoincrement=False),
    #: The archive's number; below zero, the erasure's: what was said stands nowhere.
    Column("archive", BigInteger, nullable=False),
)  # fmt: skip

#: Where encryption at rest is on: the key of each ticket's envelopes (`exchange.store.at_rest`).
data_key = Table(
    "data_key",
    metadata,
    Column("id", plain(ID), primary_key=True),
    Column("ticket_id", plain(ID), nullable=False, index=True),
    #: The number of the key ring's key that wraps it.
    Column("ring", Integer, nullable=False),
    #: 32 bytes, wrapped (RFC 3394).
    Column("wrapped", LargeBinary, nullable=False),
    Column("made", Moment, nullable=False),
    Index(None, "ring", "id"),
)

#: Whose content was destroyed: each a statement that a log's key signed (`exchange.erasure`).
erasure = Table(
    "erasure",
    metadata,
    Column("number", NUMBER, primary_key=True, autoincrement=False),
    Column("ticket_id", plain(ID), nullable=False, index=True),
    Column("time", Moment, nullable=False),
    Column("note", LargeBinary, nullable=False),
)
