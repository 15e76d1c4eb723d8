"""Archives of closed tickets, logs that go on from another, checkpoints that callers hold."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def plain(length: int) -> sa.String:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "succession",
        sa.Column("leaf_index", NUMBER, autoincrement=False, nullable=False),
        sa.Column("note", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("leaf_index", name="pk_succession"),
    )
    op.create_table(
        "sighting",
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("origin", plain(128), nullable=False),
        sa.Column("note", sa.LargeBinary(), nullable=False),
        sa.Column("organisation", plain(18), nullable=False),
        sa.Column("time", plain(27), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_sighting"),
    )
    op.create_table(
        "archive",
        sa.Column("number", NUMBER, autoincrement=False, nullable=False),
        sa.Column("file", plain(128), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("tickets", sa.BigInteger(), nullable=False),
        sa.Column("time", plain(27), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_archive"),
    )
    op.create_table(
        "archived",
        sa.Column("leaf_index", NUMBER, autoincrement=False, nullable=False),
        sa.Column("archive", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("leaf_index", name="pk_archived"),
    )
