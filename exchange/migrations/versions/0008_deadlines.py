"""What is due beside the next step, and when to remind; it only adds, and the views tell of it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

NOW = {
    "sqlite": "strftime('%Y-%m-%dT%H:%M:%S.000000Z', 'now')",
    "postgresql": "to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')",
    "mariadb": "DATE_FORMAT(UTC_TIMESTAMP(6), '%Y-%m-%dT%H:%i:%s.%fZ')",
}
KINDS = {
    "first-feedback": "first feedback 首次反馈",
    "return": "return 申请退回",
    "visit": "visit 回访",
    "supervision": "supervision 答复督办",
}
STEPS = {
    1: "take 签收",
    2: "result 反馈办结",
    3: "answer a return 答复退回",
    4: "ruling 裁定",
    5: "close 办结确认",
}


def plain(length: int) -> sa.String:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column("handoff", sa.Column("remind", plain(27), nullable=True))
    op.create_table(
        "deadline",
        sa.Column("handoff_id", plain(36), nullable=False),
        sa.Column("kind", plain(16), nullable=False),
        sa.Column("owes", plain(18), nullable=False),
        sa.Column("due", plain(27), nullable=False),
        sa.Column("remind", plain(27), nullable=False),
        sa.PrimaryKeyConstraint("handoff_id", "kind", "owes", name="pk_deadline"),
    )
    op.create_index("ix_deadline_remind_owes", "deadline", ["remind", "owes"])
    create_views()


def word(column: str, words: dict[int, str] | dict[str, str]) -> str:
    cases = " ".join(f"WHEN {key!r} THEN '{text}'" for key, text in words.items())
    return f"CASE {column} {cases} ELSE '' END"


def create_views() -> None:
    # A return that nobody asks for in time is no fault: it is never overdue.
    now = NOW[op.get_bind().dialect.name]
    op.execute(f"""
        CREATE VIEW v_deadline AS
        SELECT h.id AS handoff_id, h.ticket_id, {word("h.state", STEPS)} AS kind,
            h.decides AS owes, h.due, h.remind,
            CASE WHEN h.due < {now} THEN 1 ELSE 0 END AS overdue
        FROM handoff h WHERE h.due IS NOT NULL
        UNION ALL
        SELECT d.handoff_id, h.ticket_id, {word("d.kind", KINDS)} AS kind, d.owes, d.due, d.remind,
            CASE WHEN d.due < {now} AND d.kind <> 'return' THEN 1 ELSE 0 END AS overdue
        FROM deadline d JOIN handoff h ON h.id = d.handoff_id""")
    op.execute("DROP VIEW v_overdue")
    op.execute(f"""
        CREATE VIEW v_overdue AS SELECT h.* FROM v_handoff h WHERE h.due < {now}
            OR EXISTS (SELECT 1 FROM deadline d WHERE d.handoff_id = h.handoff_id
                AND d.due < {now} AND d.kind <> 'return')""")
