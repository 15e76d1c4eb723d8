"""Data keys for encryption at rest, and what was destroyed by destroying them; it only adds."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def plain(length: int) -> sa.String:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "data_key",
        sa.Column("id", plain(36), nullable=False),
        sa.Column("ticket_id", plain(36), nullable=False),
        sa.Column("ring", sa.Integer(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("made", plain(27), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_data_key"),
    )
    op.create_index("ix_data_key_ticket_id", "data_key", ["ticket_id"])
    op.create_index("ix_data_key_ring_id", "data_key", ["ring", "id"])
    op.create_table(
        "erasure",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("ticket_id", plain(36), nullable=False),
        sa.Column("time", plain(27), nullable=False),
        sa.Column("note", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_erasure"),
    )
    op.create_index("ix_erasure_ticket_id", "erasure", ["ticket_id"])
