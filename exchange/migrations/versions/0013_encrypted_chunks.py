"""Attachments' chunks under data keys; it only adds."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def plain(length: int) -> sa.String:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    column = sa.Column("data_key", plain(36), nullable=False, server_default="")
    op.add_column("attachment_chunk", column)
    op.create_index("ix_attachment_chunk_data_key", "attachment_chunk", ["data_key"])
