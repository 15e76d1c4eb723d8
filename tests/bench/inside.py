"""The bridge without its edge, in this process: from it the rows of the bare limit are recorded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from certs.development import Desk
from exchange import workdays
from exchange.bridge import Policy
from exchange.client import SealedMessage, read_certificates
from exchange.divisions import divisions
from exchange.envelope import WRITTEN_TYPE, sign
from exchange.facts import Site
from exchange.keyring import RingFile
from exchange.note import LogKey
from exchange.organisations import load_register
from exchange.profile import load
from exchange.store import Store, migrate
from exchange.submission import Acknowledged, Author, Pushed, Recorded, Stored
from exchange.wire.calls import pack_signature
from exchange.wire.headers import read_envelope
from exchange.wire.receipts import (
    read_written,
    refused_statement,
    written_receipt,
    written_statement,
)
from tests.bench.bare import Batch, recording
from tests.bench.place import RECEIVER, SENDER, Place
from tests.bench.tickets import PROFILE, batches
from tests.bridge.whole import Bridge


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What a real run wrote: for each batch its pushing and its acknowledging."""

    pushed: Sequence[Batch]
    acknowledged: Sequence[Batch]

    @property
    def both(self) -> list[Batch]:
        """Every batch in the order it was written."""
        return [b for pair in zip(self.pushed, self.acknowledged, strict=True) for b in pair]


def record(place: Place, messages: Sequence[SealedMessage], size: int) -> Rows:
    """Return the rows that a bridge writes for *messages*, *size* of them a transaction."""
    pushed, acknowledged = [], []
    sender, receiver = author(place, SENDER), author(place, RECEIVER)
    signer = place.sealer(RECEIVER.organisation).signer
    path = Path(place.folder / "recorded.db")
    with serving(place, f"sqlite:///{path}") as bridge, recording(bridge) as begin:
        for batch in batches(messages, size):
            now = datetime.now(UTC)
            pushed.append(begin())
            outcomes = bridge.drain(
                [
                    Pushed(
                        received=read_envelope(message.envelope),
                        caller=SENDER.organisation,
                        author=sender,
                    )
                    for message in batch
                ],
                now,
            ).outcomes
            _all(outcomes, Stored)
            delivered = bridge.pull(RECEIVER.organisation, 2 * size, now)
            statements = [
                written_statement(
                    one.message_id,
                    read_envelope(one.envelope).digest,
                    RECEIVER.organisation,
                    now,
                    f"JJ{one.position:010}",
                )
                for one in delivered
            ]
            signed = zip(statements, sign(WRITTEN_TYPE, statements, signer), strict=True)
            read = [read_written(written_receipt(*one)) for one in signed]
            acknowledged.append(begin())
            work = [
                Acknowledged(caller=RECEIVER.organisation, statement=one, author=receiver)  # type: ignore[arg-type]
                for one in read
            ]
            _all(bridge.drain(work, now).outcomes, Recorded)
    path.unlink()
    return Rows(pushed=pushed, acknowledged=acknowledged)


def _all(outcomes: Sequence[object], kind: type) -> None:
    bad = next((outcome for outcome in outcomes if not isinstance(outcome, kind)), None)
    if bad is not None:
        raise RuntimeError(bad)


def author(place: Place, desk: Desk) -> Author:
    """Return who signs for *desk*."""
    chain = read_certificates(place.pki.signer(desk).certificate)
    key = place.sealer(desk.organisation).signer.public
    return Author(organisation=desk.organisation, key=key, chain=tuple(chain))


@contextmanager
def serving(place: Place, url: str, ring: RingFile | None = None) -> Iterator[Bridge]:
    """Have a bridge over the new database at *url* for the length of the block."""
    profile = load(PROFILE)
    register = load_register(place.register, on=datetime.now(UTC).date())
    policy = Policy(
        site=Site(
            profiles={(profile.name, profile.edition): profile},
            catalogues={profile.catalogue.edition: profile.catalogue},
            register=register,
            divisions=divisions(),
        ),
        calendar=workdays.calendar(),
        relays={},
    )
    migrate(url)
    key = LogKey.load(place.log_key)
    store = Store.open(url, key, ring=ring)
    try:
        yield Bridge(
            store=store,
            policy=policy,
            key=key.signing_key,
            origin=key.name,
            encode_refusal=refused_statement,
            encode_signature=pack_signature,
        )
    finally:
        store.close()
