"""The audit: nothing to say about what we wrote, and every change is found and named."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import pytest
from sqlalchemy import URL, MetaData, Table, create_engine, delete, func, select, update

from exchange import tables
from exchange.acts import Kind
from exchange.note import LogKey
from exchange.store import Store, migrate
from exchange.store.audit import audit
from exchange.store.engines import Engines, connect
from exchange.text import Text
from exchange.ticket import State
from tests.store.stories import KEY, NOW, POLICE, Story, handoff_of, read_envelope, ticket_of

LEAF = b"a certificate, to the store"
FORGER = LogKey.from_seed(KEY.name, b"\x01" * 32)

#: Every column of these is provable; of the others, only those named.
PROVABLE: dict[str, set[str]] = {
    "message": {"leaf_index", "id", "envelope"},
    "receipt": {"leaf_index", "message_id", "organisation", "statement", "signature"},
    "trail": {column.name for column in tables.trail.columns},
    "refusal": {column.name for column in tables.refusal.columns},
    "drain": {column.name for column in tables.drain.columns},
    "log": {"origin", "size", "root"},
    "certificate": {"key_id"},
    "ticket": {"origin", "closed"},
    "handoff": {"state", "answers", "head"},
    "mailbox": {"source"},
    "quarantine": {"source", "refusal"},
}


def fill(store: Store) -> None:
    """Let a little happen: three drains, a receipt, a refusal, a certificate."""
    story = Story()
    opened = [story.open_ticket() for _ in range(3)]
    offers = [story.offer(ticket_of(one)) for one in opened]
    with store.writing() as writer:
        writer.record(opened, now=NOW, certificates={sha256(LEAF).digest(): [LEAF, b"issuer"]})
    with store.writing() as writer:
        writer.record(offers, now=NOW)
    taken = story.say(Kind.TAKE, handoff_of(offers[0]), POLICE, state=State.TAKEN)
    with store.writing() as writer:
        known = writer.messages([one.message.id for one in offers])
        written = story.written(known[offers[1].message.id])
        refused = story.refused(known[offers[2].message.id])
        writer.record([taken, written], refusals=[refused], now=NOW)


@pytest.fixture
def engines(database_url: str) -> Iterator[Engines]:
    """Yield the engines of a database in which a little happened."""
    migrate(database_url)
    store = Store.open(database_url, KEY)
    fill(store)
    store.close()
    opened = connect(database_url)
    yield opened
    opened.close()


def findings(engines: Engines) -> list[str]:
    """Return what the audit finds, in English."""
    found: list[Text] = list(audit(engines, KEY.verifier, read_envelope))
    assert all(one.zh for one in found)
    return [one.en for one in found]


def changed(value: Any) -> list[Any]:
    """Return *value* with one byte changed, at its beginning, middle and end."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1000]
    places = sorted({0, len(value) // 2, len(value) - 1}) if value else []
    if isinstance(value, bytes):
        return [value[:n] + bytes([value[n] ^ 1]) + value[n + 1 :] for n in places]
    other = [value[:n] + ("b" if value[n] == "a" else "a") + value[n + 1 :] for n in places]
    return other or ["a"]


def test_what_we_wrote_is_in_order(database_url: str) -> None:
    """An empty database, and one in which something happened, has nothing to say."""
    migrate(database_url)
    store = Store.open(database_url, KEY)
    engines = connect(database_url)
    assert [] == findings(engines)
    fill(store)
    store.close()

    assert [] == findings(engines)
    engines.close()


class Tamperer:
    """Someone with the database's password: changes one value, and puts it back."""

    def __init__(self, url: URL) -> None:
        self._engine = create_engine(url)
        self._tables = MetaData()
        self._tables.reflect(self._engine)  # as the database has them: times are text

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def changes(self, table_name: str, column: str) -> Iterator[tuple[Any, Any]]:
        """Make each change to the column in turn; yield the old and the new value while it is there."""
        table = self._tables.tables[table_name]
        with self._engine.connect() as connection:
            found = connection.execute(select(table)).mappings().all()
        assert found, table_name
        for row in found:
            key = {key.name: row[key.name] for key in table.primary_key}
            for other in changed(row[column]):
                self._set(table, key, column, other)
                yield row[column], other
                self._set(
                    table, key | {column: other} if column in key else key, column, row[column]
                )

    def _set(self, table: Table, key: dict[str, Any], column: str, value: Any) -> None:
        where = [table.c[name] == kept for name, kept in key.items()]
        with self._engine.begin() as connection:
            assert (
                1
                == connection.execute(update(table).where(*where).values({column: value})).rowcount
            )


@pytest.mark.parametrize("table", PROVABLE)
def test_every_changed_byte_is_found_and_named(engines: Engines, table: str) -> None:
    """Flip a byte in each provable column of each row: the audit names the row's table."""
    before = findings(engines)
    tamperer = Tamperer(engines.url)
    named = {table, "trail"} if table in {"message", "receipt"} else {table}
    silent = []
    for column in sorted(PROVABLE[table]):
        for old, new in tamperer.changes(table, column):
            found = [one for one in findings(engines) if one not in before]
            if not any(f"table {name}" in one for one in found for name in named):
                silent.append((column, old, new, found))
    tamperer.close()

    assert [] == silent
    assert before == findings(engines)


@pytest.mark.parametrize("table", ["message", "receipt", "trail", "drain"])
def test_a_missing_row_is_found_and_named(engines: Engines, table: str) -> None:
    """Take out one row: the audit says that it is missing."""
    first = next(iter(tables.metadata.tables[table].primary_key))
    with engines.writer.begin() as connection:
        found = connection.execute(select(func.min(first))).scalar_one()
        connection.execute(delete(tables.metadata.tables[table]).where(first == found))

    assert any(f"table {table}" in one for one in findings(engines))


def test_one_changed_row_is_not_blamed_on_others(engines: Engines) -> None:
    """A changed message gives findings for its own row and drain, not for what came later."""
    with engines.writer.begin() as connection:
        connection.execute(
            update(tables.trail)
            .where(tables.trail.c.leaf_index == 1)
            .values(time=NOW.replace(year=2025))
        )

    blamed = findings(engines)
    assert all("leaf_index = 1:" in one or "size_after = 3:" in one for one in blamed)
    assert 2 <= len(blamed)


def test_a_forged_checkpoint_is_found(engines: Engines) -> None:
    """To one who trusts another key of that name, no checkpoint holds."""
    found = [text.en for text in audit(engines, FORGER.verifier, read_envelope)]

    assert 3 == len([one for one in found if "table drain" in one])
