"""Attachments: what messages cite, and chunks; it only adds."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def plain(length: int) -> sa.String:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "attachment",
        sa.Column(
            "leaf_index",
            sa.BigInteger().with_variant(sa.Integer, "sqlite"),
            autoincrement=False,
            nullable=False,
        ),
        sa.Column("root", sa.LargeBinary(32), nullable=False),
        sa.Column("sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("chunk_count", sa.Integer(), nullable=False),
        sa.Column("media_type", plain(127), nullable=False),
        sa.Column("ticket_id", plain(36), nullable=False),
        sa.Column("author", plain(18), nullable=False),
        sa.Column("recipient", plain(18), nullable=False),
        sa.Column("time", plain(27), nullable=False),
        sa.PrimaryKeyConstraint("leaf_index", "root", "sha256", name="pk_attachment"),
    )
    op.create_index("ix_attachment_root", "attachment", ["root"])
    op.create_index("ix_attachment_author_leaf_index", "attachment", ["author", "leaf_index"])
    op.create_table(
        "attachment_chunk",
        sa.Column("root", sa.LargeBinary(32), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("owner", plain(18), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("path", sa.LargeBinary(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("root", "number", name="pk_attachment_chunk"),
    )
    op.create_index("ix_attachment_chunk_owner_size", "attachment_chunk", ["owner", "size"])
    op.create_table(
        "attachment_file",
        sa.Column("root", sa.LargeBinary(32), nullable=False),
        sa.Column("sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("time", plain(27), nullable=False),
        sa.PrimaryKeyConstraint("root", name="pk_attachment_file"),
    )
