"""
Looking after the data keys of one database: how many there are, wrapping them anew, encrypting messages and
attachments that stand in clear.

All go batch by batch, each a transaction of its own, while bridges serve.  Stopped anywhere they
have done what they have done; begun again, they go on with what is left.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from exchange import tables
from exchange.errors import ConfigurationError, StoreUnusable, VerificationError
from exchange.store.at_rest import HELD, ring_numbers
from exchange.store.chunks import ChunkRows, clear_chunks
from exchange.store.drivers import Run, driver_of
from exchange.store.engines import POSTGRESQL, SQLITE, Engines, reading, translated
from exchange.store.erasing import OVERWRITE, empty_log
from exchange.store.tree import Fetch

#: Data keys of one batch: some milliseconds, for which a drain may have to wait.
KEYS_A_BATCH = 500
#: Messages of one batch.
MESSAGES_A_BATCH = 200
#: Chunks of one batch: 4 MiB at most.
CHUNKS_A_BATCH = 8

_COUNT = "SELECT count(*) FROM data_key WHERE ring = {}"
_BATCH = "SELECT id, ring, wrapped FROM data_key WHERE ring = {} ORDER BY id LIMIT {}"
# Those that a drain holds come next time: who waited here could be waited for there.
_LOCKED = " FOR UPDATE SKIP LOCKED"
_WRAP = "UPDATE data_key SET ring = {}, wrapped = {} WHERE id = {} AND ring = {}"
# No message begins with that byte (`exchange.keyring`).
_CLEAR = (
    "SELECT m.leaf_index, m.id, t.ticket_id, m.envelope FROM message m"
    " JOIN trail t ON t.leaf_index = m.leaf_index"
    " WHERE m.leaf_index > {} AND length(m.envelope) > 0 AND substr(m.envelope, 1, 1) <> {}"
    " ORDER BY m.leaf_index LIMIT {}"
)
_HOW_MANY_CLEAR = (
    "SELECT count(*) FROM message WHERE length(envelope) > 0 AND substr(envelope, 1, 1) <> {}"
)
_ENCRYPT = "UPDATE message SET envelope = {} WHERE leaf_index = {} AND length(envelope) > 0"
_DESTROYED = "SELECT count(*) FROM erasure"
_MARK = b"\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """How many data keys each ring key wraps, by number; messages and chunks in clear; tickets destroyed."""

    wrapped: dict[int, int]
    clear: int
    clear_chunks: int
    destroyed: int


def inventory(engines: Engines) -> Inventory:
    """Return what the keys of a ring are needed for."""
    driver = driver_of(engines.reader.dialect.name)
    with reading(engines) as connection:
        fetch: Fetch = partial(driver.fetch, connection)
        return Inventory(
            wrapped={number: int(fetch(_COUNT, number)[0][0]) for number in ring_numbers(fetch)},
            clear=int(fetch(_HOW_MANY_CLEAR, _MARK)[0][0]),
            clear_chunks=clear_chunks(engines, connection),
            destroyed=int(fetch(_DESTROYED)[0][0]),
        )


def rewrap(engines: Engines, *, a_batch: int = KEYS_A_BATCH) -> Generator[int]:
    """
    Wrap every data key by the ring's current key; yield how many, batch by batch.

    Raises `StoreUnusable` where a key is not in the ring or another; what was yielded stays.
    """
    driver = driver_of(engines.writer.dialect.name)
    while True:
        ring, done = engines.at_rest.ring(), 0
        with translated(engines), engines.writer.connect() as connection:
            fetch: Fetch = partial(driver.fetch, connection)
            locked = _LOCKED if connection.dialect.name == POSTGRESQL else ""
            with connection.begin():
                old = [number for number in ring_numbers(fetch) if number != ring.current]
                for number in old[:1]:
                    found = fetch(_BATCH + locked, number, a_batch)
                    try:
                        anew = [
                            (row[0], row[1], ring.wrap(ring.unwrap(row[1], bytes(row[2]))))
                            for row in found
                        ]
                    except (ConfigurationError, VerificationError) as error:
                        raise StoreUnusable(error.text) from error
                    driver.write(
                        connection,
                        [Run(_WRAP, (ring.current, new, key, was)) for key, was, new in anew],
                    )
                    done = len(anew)
        if not old:
            return
        yield done


def encrypt(engines: Engines, *, now: datetime, a_batch: int = MESSAGES_A_BATCH) -> Generator[int]:
    """
    Encrypt every message that stands in clear; yield how many, batch by batch.

    On SQLite former content is overwritten in the file's pages, and the write-ahead log is emptied at
    the end.  Raises `StoreUnusable` where the ring does not serve; what was yielded stays.
    """
    driver = driver_of(engines.writer.dialect.name)
    last = -1
    while True:
        with translated(engines), engines.writer.connect() as connection:
            fetch: Fetch = partial(driver.fetch, connection)
            if engines.url.get_backend_name() == SQLITE:
                fetch(OVERWRITE)
            held = HELD if connection.dialect.name == POSTGRESQL else ""
            with connection.begin():
                found = fetch(_CLEAR, last, _MARK, a_batch)
                tickets = {row[2] for row in found}
                keys = engines.at_rest.held(fetch, tickets, held)
                made = engines.at_rest.made(tickets - keys.keys(), now)
                keys |= {row[1]: key for key, row in made}
                if made:
                    driver.insert(connection, tables.data_key, [row for _, row in made])
                # Another hand may have emptied one meanwhile: that stays empty.
                driver.write(
                    connection,
                    [
                        Run(_ENCRYPT, (keys[ticket].encrypt(key, bytes(envelope)), leaf))
                        for leaf, key, ticket, envelope in found
                    ],
                )
            if not found:
                empty_log(engines, driver, connection)
                return
            last = found[-1][0]
        yield len(found)


def encrypt_chunks(
    engines: Engines, *, now: datetime, a_batch: int = CHUNKS_A_BATCH
) -> Generator[int]:
    """
    Encrypt every chunk that stands in clear; yield how many, batch by batch, each a transaction.

    A file that nobody cites any more is dropped.  As `encrypt` does with messages, and raising what
    that raises.
    """
    driver = driver_of(engines.writer.dialect.name)
    while True:
        with translated(engines), engines.writer.connect() as connection:
            if engines.url.get_backend_name() == SQLITE:
                driver.fetch(connection, OVERWRITE)
            with connection.begin():
                done = ChunkRows(engines, connection).encrypt_some(a_batch, now)
            if not done:
                empty_log(engines, driver, connection)
                return
        yield done
