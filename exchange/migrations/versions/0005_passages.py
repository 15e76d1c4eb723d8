"""Messages that relays carried to other bridges."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def plain(length: int) -> sa.String:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "passage",
        sa.Column(
            "leaf_index",
            sa.BigInteger().with_variant(sa.Integer, "sqlite"),
            autoincrement=False,
            nullable=False,
        ),
        sa.Column("recipient", plain(18), nullable=False),
        sa.Column("lane", plain(36), nullable=False),
        sa.Column("origin", plain(128), nullable=False),
        sa.Column("receipt", sa.LargeBinary, nullable=False),
        sa.Column("time", plain(27), nullable=False),
        sa.Column("seal", sa.LargeBinary(32), nullable=False),
        sa.PrimaryKeyConstraint("leaf_index", "recipient", name="pk_passage"),
    )
