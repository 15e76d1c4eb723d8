"""Several logs in one database, leases that their bridges share, and who may still serve it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

#: As `exchange.store.places` has it.
FIRST_TURN = 1 << 18


def plain(length: int) -> sa.String:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    postgresql = op.get_bind().dialect.name == "postgresql"
    op.add_column(
        "log", sa.Column("number", sa.Integer(), nullable=False, server_default=sa.text("0"))
    )
    op.add_column(
        "log", sa.Column("verifier", sa.Text(), nullable=False, server_default=sa.text("''"))
    )
    op.create_index("uq_log_number", "log", ["number"], unique=True)
    op.add_column("drain", sa.Column("place", sa.BigInteger(), nullable=True))
    there = sa.text("place IS NOT NULL")
    op.create_index(
        "ix_drain_place", "drain", ["place"], postgresql_where=there, sqlite_where=there
    )
    op.create_table(
        "lease",
        sa.Column("recipient", plain(18), nullable=False),
        sa.Column("lane", plain(36), nullable=False),
        sa.Column("token", plain(36), nullable=False),
        sa.Column("taken", sa.BigInteger(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.Column("upto", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("recipient", "lane", name="pk_lease"),
        # Losing it costs redeliveries; keeping it would cost a sync a pull.
        prefixes=["UNLOGGED"] if postgresql else [],
    )
    op.create_table(
        "serves",
        sa.Column("oldest", plain(32), nullable=False),
        sa.PrimaryKeyConstraint("oldest", name="pk_serves"),
    )
    op.execute("INSERT INTO serves (oldest) VALUES ('0004')")
    if postgresql:
        op.execute(f"CREATE SEQUENCE turn AS bigint START WITH {FIRST_TURN}")
    if op.get_bind().dialect.name == "mariadb":
        share_mariadb()


def share_mariadb() -> None:
    # What stands in a row is what a cluster certifies (`exchange.store.mariadb_sharing`).
    holds = sa.Column("holds", sa.BigInteger(), nullable=False, server_default="0")
    op.add_column("ticket", holds)
    # Always empty: its next number counts, and every node hears of each that was given.
    op.create_table(
        "turn",
        sa.Column("number", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_turn"),
        mariadb_auto_increment=str(FIRST_TURN),
    )
    # How often each log's bridge called each organisation (`exchange.store.mariadb_waking`).
    op.create_table(
        "ring",
        sa.Column("organisation", plain(18), nullable=False),
        sa.Column("origin", plain(128), nullable=False),
        sa.Column("times", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("organisation", "origin", name="pk_ring"),
    )
