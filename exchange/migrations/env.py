from __future__ import annotations

from alembic import context

from exchange.tables import metadata

# The store hands over its own connection, inside its own transaction.
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
context.run_migrations()
