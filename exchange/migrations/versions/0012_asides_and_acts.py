"""Messages that their receivers set aside, and the acts of authorities and bridges."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def plain(length: int) -> sa.String:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def leaf_index() -> sa.Column[int]:
    number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    return sa.Column("leaf_index", number, autoincrement=False, nullable=False)


def upgrade() -> None:
    op.create_table(
        "aside",
        leaf_index(),
        sa.Column("message_id", plain(36), nullable=False),
        sa.Column("organisation", plain(18), nullable=False),
        sa.Column("lane", plain(36), nullable=False),
        sa.Column("refusal", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("leaf_index", name="pk_aside"),
    )
    op.create_index("ix_aside_message_id_organisation", "aside", ["message_id", "organisation"])
    op.create_table(
        "act",
        leaf_index(),
        sa.Column("source", plain(128), nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("line", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("leaf_index", name="pk_act"),
        sa.UniqueConstraint("source", "number", name="uq_act_source_number"),
    )
