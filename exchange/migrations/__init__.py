"""
How the database came to be what `exchange.tables` says: Alembic revisions, one file a change.

A revision never imports `exchange.tables`: it must do tomorrow what it did when it was written.
A test compares the migrated database with the tables.
"""
