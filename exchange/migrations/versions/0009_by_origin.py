"""An index of tickets by their origin, so that a desk with few finds them; it only adds."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_ticket_origin_opened_id", "ticket", ["origin", "opened", "id"])
