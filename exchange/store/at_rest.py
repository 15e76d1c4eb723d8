"""
Encryption at rest: what messages say is encrypted under a key of its ticket's own.

The columns with personal data are ``message.envelope`` and attachments' chunks (`exchange.store.chunks`).
Everything else that is stored (codes, times, ids, digests, receipts' statements) holds none, stays in
clear, and so lists, figures, views, the log and the seals are computed as ever: digest and seal are of the
envelope in clear.

Where no key ring is configured, nothing here is in the way of a push; what was encrypted before is
then refused by name, never handed out as it stands.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from uuid import uuid4

from exchange.errors import ConfigurationError, StoreUnusable, TamperingFound, VerificationError
from exchange.keyring import SIZE, DataKey, KeyRing, RingFile, data_key_of, is_encrypted
from exchange.records import Accepted, Entry
from exchange.store.rows import Row
from exchange.store.tree import Fetch, finding
from exchange.tables import stamp
from exchange.text import Text

#: Data keys kept ready; a ticket's are asked for some dozen times within days.
_KEYS_MOST = 4096

_OF_IDS = "SELECT id, ticket_id, ring, wrapped FROM data_key WHERE id {among}"
_OF_TICKETS = "SELECT id, ticket_id, ring, wrapped FROM data_key WHERE ticket_id {among}"
#: Until the commit nobody destroys them (`exchange.store.erasing`), or else what is recorded under
#: them would be lost.  SQLite's one writer needs no such word.
HELD = " FOR SHARE"
_NEXT_RING = "SELECT min(ring) FROM data_key WHERE ring > {}"
_ONE = "SELECT id, ticket_id, ring, wrapped FROM data_key WHERE ring = {} LIMIT 1"

_NO_RING = Text(
    en="This database has content that is encrypted, and no key ring is configured. Set at_rest.key_ring; "
    "where a database is named with --database, name its configuration with --config, too.",
    zh="本数据库有已加密的内容，而未配置密钥环。请设置 at_rest.key_ring；用 --database 指定数据库时，"
    "请一并用 --config 指定其配置。",
)


class AtRest:
    """Encrypts and decrypts for one database; *ring* is None where it is off.  For several threads."""

    def __init__(self, ring: RingFile | None = None) -> None:
        self._ring = ring
        self._lock = threading.Lock()
        self._ready: OrderedDict[str, DataKey] = OrderedDict()

    @property
    def on(self) -> bool:
        """Whether what is recorded from now on is encrypted."""
        return self._ring is not None

    def ring(self) -> KeyRing:
        """Return the ring as it stands; raises `StoreUnusable` where its file does not serve."""
        if self._ring is None:
            raise StoreUnusable(_NO_RING)
        try:
            return self._ring.now()
        except ConfigurationError as error:
            raise StoreUnusable(error.text) from error

    # -- writing

    def encrypted(
        self, fetch: Fetch, entries: Sequence[Entry], new: Collection[str], now: datetime, held: str
    ) -> tuple[dict[str, bytes], list[Row]]:
        """
        Return what is stored of the messages in *entries*, by id, and the rows of the keys made for it.

        *new* are tickets that cannot have a key yet; of the others *fetch* finds it, *held* until the
        commit.  Raises `StoreUnusable` where the ring does not serve: nothing is stored in clear instead.
        """
        messages = [entry.message for entry in entries if isinstance(entry, Accepted)]
        tickets = {message.ticket_id for message in messages}
        keys = self.held(fetch, tickets - set(new), held)
        made = self.made(tickets - keys.keys(), now)
        keys |= {row[1]: key for key, row in made}
        kept = {m.id: keys[m.ticket_id].encrypt(m.id, m.envelope) for m in messages}
        return kept, [row for _, row in made]

    def held(self, fetch: Fetch, tickets: Collection[str], held: str) -> dict[str, DataKey]:
        """Return the keys of those of *tickets* that have one, asked for again: they may be destroyed."""
        if not tickets:
            return {}
        found = fetch(_OF_TICKETS + held, sorted(tickets))
        return {row[1]: self._key(row) for row in sorted(found, key=lambda row: str(row[0]))}

    def made(self, tickets: Iterable[str], now: datetime) -> list[tuple[DataKey, Row]]:
        """Return a new key for each of *tickets*, and its row."""
        ring = self.ring()
        made: list[tuple[DataKey, Row]] = []
        for ticket in sorted(tickets):
            secret = os.urandom(SIZE)
            key = DataKey(str(uuid4()), ticket, secret)
            made.append((key, (key.id, ticket, ring.current, ring.wrap(secret), stamp(now))))
        return made

    # -- reading

    def decrypted(self, fetch: Fetch, stored: Sequence[tuple[str, bytes]]) -> list[bytes]:
        """
        Return the envelopes of *stored*, each a message's id and what its row holds.

        What was never encrypted, or is empty, is given as it is.  Raises `StoreUnusable` where a key
        of the ring is wanted, `TamperingFound` where a row does not hold what was encrypted for it.
        """
        found = self.tried(fetch, stored)
        for (message_id, _), one in zip(stored, found, strict=True):
            if isinstance(one, VerificationError):
                why = one.text
                raise TamperingFound.from_findings(
                    [finding("message", "id", message_id, why.en, why.zh)]
                ) from one
        return [one for one in found if isinstance(one, bytes)]

    def tried(
        self, fetch: Fetch, stored: Sequence[tuple[str, bytes]]
    ) -> list[bytes | VerificationError]:
        """Return the envelopes as `decrypted` does, and in place of one that cannot be had, why."""
        locked = [one for _, one in stored if is_encrypted(one)]
        if not locked:
            return [one for _, one in stored]
        if self._ring is None:
            raise StoreUnusable(_NO_RING)
        keys = self._keys(fetch, locked)
        return [
            _opened(keys, message_id, one) if is_encrypted(one) else one
            for message_id, one in stored
        ]

    def _keys(self, fetch: Fetch, locked: Sequence[bytes]) -> dict[str, DataKey]:
        wanted: set[str] = set()
        for one in locked:
            try:
                wanted.add(data_key_of(one))
            except ValueError:
                continue  # `_opened` says so of the row
        keys: dict[str, DataKey] = {}
        with self._lock:
            for key_id in wanted & self._ready.keys():
                self._ready.move_to_end(key_id)
                keys[key_id] = self._ready[key_id]
        missing = sorted(wanted - keys.keys())
        if missing:
            for row in fetch(_OF_IDS, missing):
                try:
                    keys[row[0]] = self._key(row)
                except StoreUnusable as error:
                    if not isinstance(error.__cause__, VerificationError):
                        raise  # the ring does not serve; else this row alone does not: `_opened` says so
        return keys

    def _key(self, row: Row) -> DataKey:
        """Return the key in a row of data_key; raises `StoreUnusable` where the ring does not serve."""
        key_id, ticket_id, number, wrapped = row
        with self._lock:
            ready = self._ready.get(key_id)
        if ready is not None and ready.ticket_id == ticket_id:
            return ready
        if self._ring is None:
            raise StoreUnusable(_NO_RING)
        try:
            secret = self._ring.holding(number).unwrap(number, bytes(wrapped))
        except (ConfigurationError, VerificationError) as error:
            raise StoreUnusable(error.text) from error
        key = DataKey(key_id, ticket_id, secret)
        with self._lock:
            self._ready[key_id] = key
            if len(self._ready) > _KEYS_MOST:
                self._ready.popitem(last=False)
        return key

    def check(self, fetch: Fetch) -> None:
        """
        Raise `StoreUnusable` unless the ring has every key that the database needs, and the right ones.

        One data key of each ring key is unwrapped, whatever the database's size.
        """
        for number in ring_numbers(fetch):
            for row in fetch(_ONE, number):
                self._key(row)
        if self._ring is not None:
            self.ring()


def ring_numbers(fetch: Fetch) -> list[int]:
    """Return the numbers of the ring's keys by which data keys are wrapped, by the index alone."""
    numbers: list[int] = []
    while (found := fetch(_NEXT_RING, numbers[-1] if numbers else 0)) and found[0][0] is not None:
        numbers.append(int(found[0][0]))
    return numbers


def _opened(keys: dict[str, DataKey], message_id: str, stored: bytes) -> bytes | VerificationError:
    try:
        return keys[data_key_of(stored)].decrypt(message_id, stored)
    except KeyError:
        return VerificationError(
            Text(
                en="envelope: its data key is not there, or was changed",
                zh="envelope：其数据密钥不存在或被改动",
            )
        )
    except ValueError:
        return VerificationError(
            Text(
                en="envelope: it is not what was encrypted for this row",
                zh="envelope：不是为本行加密的内容",
            )
        )
