"""When each organisation last called."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def plain(length: int) -> sa.String:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "contact",
        sa.Column("organisation", plain(18), nullable=False),
        sa.Column("method", plain(16), nullable=False),
        sa.Column("time", plain(27), nullable=False),
        sa.PrimaryKeyConstraint("organisation", "method", name="pk_contact"),
    )
