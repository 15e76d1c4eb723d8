"""An index of the few hand-offs whose scope names others; it only adds."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    some = sa.text("""rest LIKE '%"knowers"%'""")
    op.create_index(
        "ix_handoff_knowers",
        "handoff",
        ["ticket_id"],
        postgresql_where=some,
        sqlite_where=some,
    )
