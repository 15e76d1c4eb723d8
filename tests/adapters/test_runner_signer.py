"""What a bridge refuses for our own certificate: nothing is bounced to people, nothing is lost."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from adapters.runner import Pace, Runner
from adapters.settings import open_sealer, read_gateway
from adapters.sqlite_desk import Desk
from adapters.withholding import UNTRUSTED_PAUSE
from certs.development import Credential
from exchange.client import ExchangeClient
from exchange.envelope import SigningKey
from tests.adapters.linked import ONCE, Link, office
from tests.adapters.test_runner import answer_of, offered
from tests.pki import CITY_12345, Pki

DAY = timedelta(days=1)


class Clock:
    """A clock that stands where it is put."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        """Return its time."""
        return self.now


def signed_with(link: Link, credential: Credential) -> ExchangeClient:
    """Return a client of the hotline's whose signer is *credential*."""
    files = read_gateway(link.config(CITY_12345))
    files = replace(files, signer_key=credential.key, signer_chain=credential.certificate)
    sealer = open_sealer(files, link.folder / CITY_12345.organisation / "salt.key")
    return link._stack.enter_context(ExchangeClient.dial(files, sealer=sealer, patience=ONCE))


@pytest.fixture
def expired(link: Link, pki: Pki) -> tuple[Desk, Runner, Clock]:
    """Return a desk whose signer's certificate has expired, and which has said an offer."""
    client, clock = signed_with(link, pki.defects["signer-expired"]), Clock()
    desk = Desk(link.folder / "desk.db", client.sealer, office(CITY_12345))
    link._stack.callback(desk.close)
    return desk, Runner(desk, link.spool(CITY_12345), client, Pace(clock=clock)), clock


def test_what_an_expired_signer_said_waits_and_somebody_is_told(
    expired: tuple[Desk, Runner, Clock],
) -> None:
    """Nobody at the platform could mend it: the operator is told, and the bridge is asked again."""
    desk, runner, clock = expired
    offer = offered(desk)
    runner.collect()

    assert 2 == runner.push()

    assert 0 == runner.tell()
    assert ("waiting", "") == answer_of(desk, offer)
    assert "renew the certificate" in runner.spool.status().notes["push_error"]
    assert 0 == runner.push()
    clock.now += UNTRUSTED_PAUSE
    assert 2 == runner.push()


def test_what_waited_is_signed_anew_and_stays_the_same_message(
    link: Link, pki: Pki, expired: tuple[Desk, Runner, Clock]
) -> None:
    """With the renewed certificate and a restart everything goes on by itself, under its old digests."""
    desk, before, clock = expired
    offer = offered(desk)
    before.collect()
    before.push()
    digests = {sealed.message_id: sealed.digest for sealed in before.spool.batch(clock() - DAY)}
    before.spool.close()

    client = signed_with(link, pki.signer(CITY_12345))
    runner = Runner(desk, link.spool(CITY_12345), client, Pace(clock=clock))
    clock.now += UNTRUSTED_PAUSE
    for _ in range(2):
        runner.push()
        clock.now += timedelta(seconds=1)
    told = {decision.message_id: decision.digest for decision in runner.spool.decisions()}
    runner.tell()

    assert digests == told
    assert "stored" == answer_of(desk, offer)[0]
    assert "push_error" not in runner.spool.status().notes


def test_another_authors_message_is_never_signed_by_us(
    link: Link, pki: Pki, tmp_path: Path
) -> None:
    """A relay carries what others signed; its own name must not come under it."""
    hotline, runner = link.linked(CITY_12345)
    offered(hotline)
    runner.collect()
    (sealed, _) = runner.spool.batch(datetime.now(UTC))
    credential = pki.defects["signer-expired"]
    ours = runner.client.sealer
    other = type(ours)("140400000000", SigningKey.load(credential.key, credential.certificate))

    assert ours.sign_anew(sealed) is sealed
    assert other.sign_anew(sealed) is None
