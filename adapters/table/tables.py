"""
The tables that the adapter adds to the platform's database, and that nobody else writes.

They stand there, not in a file of the adapter's, because each is written in the transaction that
writes the platform's own row: what came and its record, what is to be said and its status.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.mysql import LONGTEXT

OWN = MetaData()

#: On MySQL and MariaDB a plain TEXT ends at 64 KiB.
_LONG = Text().with_variant(LONGTEXT, "mysql", "mariadb")
_NUMBER = BigInteger().with_variant(Integer, "sqlite")

#: Messages that came, each in the transaction of its record.
MARKER = Table(
    "exchange_marker",
    OWN,
    Column("seq", _NUMBER, primary_key=True, autoincrement=True),
    Column("message_id", String(36), nullable=False, unique=True),
    Column("kind", String(32), nullable=False),
    Column("ticket_id", String(36), nullable=False),
    Column("handoff_id", String(36), nullable=False),
    Column("author", String(18), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("sheet", String(64), nullable=False),
    Column("record", String(255), nullable=False),
    Column("number", String(64), nullable=False),
    Column("written", String(40), nullable=False),
    Index("exchange_marker_handoff", "handoff_id", "kind"),
    Index("exchange_marker_record", "record"),
)

#: Messages that rows say, each in the transaction that marks the row as pushed.
SAID = Table(
    "exchange_said",
    OWN,
    Column("seq", _NUMBER, primary_key=True, autoincrement=True),
    Column("message_id", String(36), nullable=False, unique=True),
    Column("kind", String(32), nullable=False),
    Column("ticket_id", String(36), nullable=False),
    Column("handoff_id", String(36), nullable=False),
    Column("sheet", String(64), nullable=False),
    Column("record", String(255), nullable=False),
    Column("row_key", Text, nullable=False),
    #: Of the columns that the rule read: whether a row that comes again says the same.
    Column("content", String(64), nullable=False),
    #: files (it waits for its own), waiting, kept (in the spool), stored, written, declined (by the other side), refused, dropped
    Column("state", String(16), nullable=False),
    Column("digest", String(64), nullable=False, default=""),
    Column("detail", Text, nullable=False, default=""),
    #: The message, until the other side has written it: a lost spool says it again.
    Column("body", _LONG),
    Column("noted", String(40), nullable=False),
    Index("exchange_said_record", "record"),
    Index("exchange_said_state", "state"),
    Index("exchange_said_handoff", "handoff_id", "kind"),
)

#: Files that messages cite, each in the transaction of its message's marker; and what became of them.
FILE = Table(
    "exchange_file",
    OWN,
    Column("seq", _NUMBER, primary_key=True, autoincrement=True),
    #: Derived from the message and the file's digest: the id of what the platform writes of it.
    Column("file_id", String(36), nullable=False, unique=True),
    Column("kind", String(32), nullable=False),
    Column("ticket_id", String(36), nullable=False),
    Column("handoff_id", String(36), nullable=False),
    #: What the message says of the file and of itself, as JSON.
    Column("body", _LONG, nullable=False),
    #: coming, written, aside (in quarantine), refused (it will not come)
    Column("state", String(16), nullable=False),
    #: Where its copy lies, once it is here.
    Column("place", Text, nullable=False, default=""),
    Index("exchange_file_state", "state"),
)

#: Which ticket and which hand-offs a record is about; the newest stands last.
LINK = Table(
    "exchange_link",
    OWN,
    Column("seq", _NUMBER, primary_key=True, autoincrement=True),
    Column("sheet", String(64), nullable=False),
    Column("record", String(255), nullable=False),
    Column("row_key", Text, nullable=False),
    Column("ticket_id", String(36), nullable=False),
    Column("handoff_id", String(36), nullable=False),
    UniqueConstraint("record", "ticket_id", "handoff_id", name="exchange_link_once"),
    Index("exchange_link_ticket", "ticket_id"),
    Index("exchange_link_handoff", "handoff_id"),
)

#: What could not be mapped, with the original, until it is mended; its lane stands still.
QUARANTINE = Table(
    "exchange_quarantine",
    OWN,
    Column("seq", _NUMBER, primary_key=True, autoincrement=True),
    Column("side", String(8), nullable=False),  # out: a row; in: a message; file: an attachment
    Column("sheet", String(64), nullable=False),
    Column("record", String(255), nullable=False),  # of a message its id
    Column("row_key", Text, nullable=False),
    Column("lane", String(255), nullable=False),
    Column("row_digest", String(64), nullable=False),
    Column("mapping", String(16), nullable=False),
    Column("reason_en", Text, nullable=False),
    Column("reason_zh", Text, nullable=False),
    Column("original", _LONG, nullable=False),
    Column("found", String(40), nullable=False),
    UniqueConstraint("side", "record", name="exchange_quarantine_once"),
)

#: Of sheets without a status: how far they were read, and what was read around there.
SEEN = Table(
    "exchange_seen",
    OWN,
    Column("record", String(255), primary_key=True),
    Column("sheet", String(64), nullable=False),
    Column("row_digest", String(64), nullable=False),
    Column("noted", String(40), nullable=False),
    Index("exchange_seen_sheet", "sheet", "noted"),
)
