"""Co-signatures of checkpoints by the networks' witnesses; it only adds."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def plain(length: int) -> sa.String:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "cosignature",
        sa.Column("origin", plain(128), nullable=False),
        sa.Column("witness", plain(255), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("time", plain(27), nullable=False),
        sa.Column("line", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("origin", "witness", "size", "time", name="pk_cosignature"),
    )
