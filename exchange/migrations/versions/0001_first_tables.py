"""The first tables, and the views for people who query with SQL."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def plain(length: int) -> sa.String:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    create_tables()
    if op.get_bind().dialect.name == "postgresql":
        # An envelope is about 2 kB of random-looking bytes: compressing it or moving it to a second
        # table costs more than the insert.
        op.execute("ALTER TABLE message ALTER COLUMN envelope SET STORAGE EXTERNAL")
        op.execute("ALTER TABLE message SET (toast_tuple_target = 8160)")
    if op.get_bind().dialect.name == "mariadb":
        create_claim()
    create_views()


def create_claim() -> None:
    # A row a log, all of which every transaction that writes passes first, but a drain its own alone
    # (`exchange.store.mariadb`); `passed` counts those who pass, `beat` the life of the log's bridge.
    op.create_table(
        "claim",
        sa.Column("number", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("token", plain(36), nullable=False),
        sa.Column("holder", plain(512), nullable=False),
        sa.Column("beat", sa.BigInteger(), nullable=False),
        sa.Column("passed", sa.BigInteger(), nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("number", name="pk_claim"),
    )
    op.execute("INSERT INTO claim (number, token, holder, beat) VALUES (0, '', '', 0)")


def create_tables() -> None:
    op.create_table(
        "certificate",
        sa.Column("key_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("chain", sa.LargeBinary(), nullable=False),
        sa.Column("first_seen", plain(27), nullable=False),
        sa.PrimaryKeyConstraint("key_id", name="pk_certificate"),
    )
    op.create_table(
        "drain",
        sa.Column("size_after", NUMBER, autoincrement=False, nullable=False),
        sa.Column("size_before", sa.BigInteger(), nullable=False),
        sa.Column("nodes", sa.LargeBinary(), nullable=False),
        sa.Column("note", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("size_after", name="pk_drain"),
    )
    op.create_table(
        "log",
        sa.Column("origin", plain(128), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("root", sa.LargeBinary(length=32), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("origin", name="pk_log"),
    )
    op.create_table(
        "mailbox",
        sa.Column("position", NUMBER, autoincrement=False, nullable=False),
        sa.Column("recipient", plain(18), nullable=False),
        sa.Column("lane", plain(36), nullable=False),
        sa.Column("urgency", sa.SmallInteger(), nullable=False),
        sa.Column("content", plain(8), nullable=False),
        sa.Column("source", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("position", name="pk_mailbox"),
    )
    op.create_index("ix_mailbox_lane_recipient", "mailbox", ["lane", "recipient"], unique=False)
    op.create_index("ix_mailbox_source_recipient", "mailbox", ["source", "recipient"], unique=False)
    op.create_index(
        "ix_mailbox_next", "mailbox", ["recipient", sa.text("urgency DESC"), "position"]
    )
    op.create_table(
        "message",
        sa.Column("leaf_index", NUMBER, autoincrement=False, nullable=False),
        sa.Column("id", plain(36), nullable=False),
        sa.Column("envelope", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("leaf_index", name="pk_message"),
        sa.UniqueConstraint("id", name="uq_message_id"),
    )
    op.create_table(
        "quarantine",
        sa.Column("recipient", plain(18), nullable=False),
        sa.Column("lane", plain(36), nullable=False),
        sa.Column("source", sa.BigInteger(), nullable=False),
        sa.Column("refusal", sa.BigInteger(), nullable=False),
        sa.Column("time", plain(27), nullable=False),
        sa.PrimaryKeyConstraint("recipient", "lane", name="pk_quarantine"),
    )
    op.create_table(
        "receipt",
        sa.Column("leaf_index", NUMBER, autoincrement=False, nullable=False),
        sa.Column("message_id", plain(36), nullable=False),
        sa.Column("organisation", plain(18), nullable=False),
        sa.Column("statement", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("leaf_index", name="pk_receipt"),
        sa.UniqueConstraint(
            "message_id", "organisation", name="uq_receipt_message_id_organisation"
        ),
    )
    op.create_table(
        "refusal",
        sa.Column("number", NUMBER, autoincrement=False, nullable=False),
        sa.Column("message_id", plain(36), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("refused_by", plain(128), nullable=False),
        sa.Column("statement", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("time", plain(27), nullable=False),
        sa.Column("seal", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_refusal"),
    )
    op.create_index("ix_refusal_message_id", "refusal", ["message_id"], unique=False)
    op.create_table(
        "ticket",
        sa.Column("id", plain(36), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("origin", plain(18), nullable=False),
        sa.Column("first_receiver", plain(18), nullable=False),
        sa.Column("region", plain(12), nullable=False),
        sa.Column("matter", plain(64), nullable=False),
        sa.Column("marker", sa.SmallInteger(), nullable=False),
        sa.Column("classification", sa.SmallInteger(), nullable=False),
        sa.Column("urgency", sa.SmallInteger(), nullable=False),
        sa.Column("level", sa.SmallInteger(), nullable=False),
        sa.Column("opened", plain(27), nullable=False),
        sa.Column("closed", sa.Boolean(), nullable=False),
        sa.Column("cites_ticket_id", plain(36), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ticket"),
    )
    op.create_index("ix_ticket_opened_id", "ticket", ["opened", "id"], unique=False)
    op.create_table(
        "trail",
        sa.Column("leaf_index", NUMBER, autoincrement=False, nullable=False),
        sa.Column("time", plain(27), nullable=False),
        sa.Column("ticket_id", plain(36), nullable=False),
        sa.Column("handoff_id", plain(36), nullable=False),
        sa.Column("kind", plain(32), nullable=False),
        sa.Column("message_id", plain(36), nullable=False),
        sa.Column("author", plain(18), nullable=False),
        sa.Column("recipient", plain(18), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("answers", plain(18), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("seal", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("leaf_index", name="pk_trail"),
    )
    op.create_index(
        "ix_trail_ticket_id_leaf_index", "trail", ["ticket_id", "leaf_index"], unique=False
    )
    op.create_table(
        "handoff",
        sa.Column("id", plain(36), nullable=False),
        sa.Column("ticket_id", plain(36), nullable=False),
        sa.Column("sender", plain(18), nullable=False),
        sa.Column("receiver", plain(18), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("answers", plain(18), nullable=False),
        sa.Column("decides", plain(18), nullable=False),
        sa.Column("head", sa.LargeBinary(length=32), nullable=False),
        sa.Column("own_duty", sa.Boolean(), nullable=False),
        sa.Column("taken_over", sa.Boolean(), nullable=False),
        sa.Column("danger", sa.Boolean(), nullable=False),
        sa.Column("form", sa.SmallInteger(), nullable=False),
        sa.Column("matter", plain(64), nullable=False),
        sa.Column("profile", plain(128), nullable=False),
        sa.Column("profile_edition", plain(128), nullable=False),
        sa.Column("catalogue_edition", plain(128), nullable=False),
        sa.Column("onward_of", plain(36), nullable=False),
        sa.Column("cites_handoff_id", plain(36), nullable=False),
        sa.Column("assessed_by", plain(16), nullable=False),
        sa.Column("first_receiver", plain(18), nullable=False),
        sa.Column("offered", plain(27), nullable=False),
        sa.Column("updated", plain(27), nullable=False),
        sa.Column("due", plain(27), nullable=True),
        sa.Column("rest", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["ticket_id"], ["ticket.id"], name="fk_handoff_ticket_id_ticket"),
        sa.PrimaryKeyConstraint("id", name="pk_handoff"),
    )
    op.create_index(
        "ix_handoff_answers",
        "handoff",
        ["answers", "ticket_id"],
        unique=False,
        postgresql_where=sa.text("answers <> ''"),
        sqlite_where=sa.text("answers <> ''"),
    )
    op.create_index(
        "ix_handoff_due",
        "handoff",
        ["due"],
        unique=False,
        postgresql_where=sa.text("due IS NOT NULL"),
        sqlite_where=sa.text("due IS NOT NULL"),
    )
    op.create_index(
        "ix_handoff_onward_of",
        "handoff",
        ["onward_of"],
        unique=False,
        postgresql_where=sa.text("onward_of <> ''"),
        sqlite_where=sa.text("onward_of <> ''"),
    )
    op.create_index(
        "ix_handoff_receiver_ticket_id", "handoff", ["receiver", "ticket_id"], unique=False
    )
    op.create_index("ix_handoff_sender_ticket_id", "handoff", ["sender", "ticket_id"], unique=False)
    op.create_index("ix_handoff_ticket_id", "handoff", ["ticket_id"], unique=False)


KINDS = {1: "work order 工单", 2: "police ticket 警单"}
STATES = {
    1: "offered 待签收",
    2: "taken 已签收办理中",
    3: "return asked for 退回待确认",
    4: "disputed 争议协商中",
    5: "resolved 已反馈待确认",
    6: "returned 已退回",
    7: "closed 已办结",
}
MARKERS = {1: "actual 真实", 2: "exercise 演练", 3: "test 测试"}
CLASSIFICATIONS = {1: "ordinary 一般", 2: "confidential 限制知悉"}
URGENCIES = {1: "routine 一般", 2: "urgent 紧急", 3: "immediate 特急"}

NOW = {
    "sqlite": "strftime('%Y-%m-%dT%H:%M:%S.000000Z', 'now')",
    "postgresql": "to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')",
    "mariadb": "DATE_FORMAT(UTC_TIMESTAMP(6), '%Y-%m-%dT%H:%i:%s.%fZ')",
}


def word(column: str, words: dict[int, str]) -> str:
    cases = " ".join(f"WHEN {number} THEN '{text}'" for number, text in words.items())
    return f"CASE {column} {cases} ELSE '' END"


def create_views() -> None:
    # No view reads message.envelope or receipt.statement, the only columns that hold more than
    # codes, times and references.  Of a confidential ticket, matter and region stay hidden.
    now = NOW[op.get_bind().dialect.name]
    ordinary = "CASE WHEN t.classification = 1 THEN {} ELSE '' END"
    op.execute(f"""
        CREATE VIEW v_ticket AS
        SELECT t.id AS ticket_id, {word("t.kind", KINDS)} AS kind, t.origin, t.first_receiver,
            {ordinary.format("t.region")} AS region, {ordinary.format("t.matter")} AS matter,
            {word("t.marker", MARKERS)} AS marker,
            {word("t.classification", CLASSIFICATIONS)} AS classification,
            {word("t.urgency", URGENCIES)} AS urgency, t.level, t.closed, t.opened,
            (SELECT max(r.time) FROM trail r WHERE r.ticket_id = t.id) AS updated,
            (SELECT count(*) FROM handoff h WHERE h.ticket_id = t.id) AS handoffs,
            (SELECT count(*) FROM handoff h WHERE h.ticket_id = t.id AND h.answers <> '')
                AS open_handoffs,
            t.cites_ticket_id
        FROM ticket t""")
    handoff = f"""
        SELECT h.id AS handoff_id, h.ticket_id, h.sender, h.receiver,
            {word("h.state", STATES)} AS state, h.answers, h.decides, h.own_duty, h.taken_over,
            h.danger, {ordinary.format("h.matter")} AS matter,
            {ordinary.format("t.region")} AS region, h.profile, h.profile_edition,
            h.catalogue_edition, h.onward_of, h.cites_handoff_id, h.assessed_by, h.offered,
            h.updated, h.due, {word("t.marker", MARKERS)} AS marker
        FROM handoff h JOIN ticket t ON t.id = h.ticket_id"""
    op.execute(f"CREATE VIEW v_handoff AS {handoff}")
    op.execute(f"CREATE VIEW v_overdue AS {handoff} WHERE h.due < {now}")
    op.execute(f"""
        CREATE VIEW v_trail AS
        SELECT r.leaf_index, r.time, r.ticket_id, r.handoff_id, r.kind, r.message_id, r.author,
            r.recipient, {word("r.state", STATES)} AS state, r.answers
        FROM trail r""")
