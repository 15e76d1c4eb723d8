"""An organisation that is shut out while it answers: nothing is lost, and its matters are brought to an end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from certs.csr import create_request
from certs.denylist import changing, make_entry
from certs.development import POLICE, Credential
from certs.enrolment import enrol
from certs.office import office
from certs.profiles import PROFILES
from exchange.acts import Kind
from exchange.client import (
    ExchangeClient,
    IncomingMessage,
    OutgoingMessage,
    PushResult,
    read_gateway,
)
from exchange.errors import ExchangeError
from exchange.server.serving import utc_now
from exchange.withdrawn import CallerDenied
from tests.adapters.linked import ONCE, Link
from tests.mtls.living import Living, living
from tests.pki import CITY_110, CITY_12345, Pki
from tests.server.running import matter


@pytest.fixture
def bridge(pki: Pki, tmp_path: Path) -> Iterator[Living]:
    """A bridge with a deny list."""
    folder = tmp_path / "bridge"
    folder.mkdir()
    with living(pki, folder) as found:
        yield found


@pytest.fixture
def link(pki: Pki, bridge: Living, tmp_path: Path) -> Iterator[Link]:
    """Gateways of both desks."""
    folder = tmp_path / "desks"
    folder.mkdir()
    with Link(pki=pki, bridge=bridge.bridge, folder=folder) as found:
        yield found


def successors(pki: Pki, folder: Path, role: str) -> Credential:
    """Issue the successor a certificate for the abolished code, as the runbook has it."""
    profile = PROFILES["gateway-tls" if role == "gw" else "signer"]
    key, request = create_request(folder / f"successor-{role}", "successor", profile)
    chain = folder / f"successor-{role}.pem"
    name = CITY_110.name(role, 3)  # type: ignore[arg-type]
    with office(pki.development.authorities[POLICE], now=utc_now(), by="officer") as at_work:
        enrol(at_work, profile, request.read_bytes(), name, chain)
    return Credential(key=key, certificate=chain)


def step(
    kind: Kind, opening: OutgoingMessage, handoff: str, to: str, previous: bytes = b""
) -> OutgoingMessage:
    """Return one message about the hand-off."""
    return OutgoingMessage(
        kind=kind,
        ticket_id=opening.ticket_id,
        handoff_id=handoff,
        recipient=to,
        created=datetime.now(UTC),
        record=f"{kind.value} {handoff}",
        previous=previous,
    )


def pushed(client: ExchangeClient, *messages: OutgoingMessage) -> PushResult:
    """Push; return the last one's result, all being stored."""
    results = client.push(messages)
    assert [one.refusal or one.failure for one in results if one.stored is None] == []
    return results[-1]


def answers(client: ExchangeClient, ticket: str) -> list[str]:
    """Return who answers for the ticket's open hand-offs."""
    handoffs = client.tickets.get(ticket).ticket.handoffs
    return sorted(one.answers for one in handoffs if one.answers)


def test_a_successor_goes_on_and_a_sender_takes_over(
    pki: Pki, bridge: Living, link: Link, tmp_path: Path
) -> None:
    """
    Shut out, 110 still answers; what waits for it waits.  A successor with certificates of its own for that
    code gets it and gives the result; of another matter the sender takes over, and concludes the ticket.
    """
    hotline, police = link.client(CITY_12345), link.client(CITY_110)
    desk, other = CITY_110.organisation, CITY_12345.organisation
    first, second = matter(), matter()
    taken = []
    for opening, offer in (first, second):
        offered = pushed(hotline, opening, offer)
        taken.append(
            pushed(police, step(Kind.TAKE, opening, offer.handoff_id, other, offered.digest))
        )
    leaf, *_ = x509.load_pem_x509_certificates(pki.gateway(CITY_110).certificate.read_bytes())
    digest = leaf.fingerprint(hashes.SHA256()).hex()
    entry = make_entry(reason="abolished", since=utc_now(), by="zhang", certificate=digest)
    count = len(bridge.bridge.events("trust-in-force"))
    with changing(bridge.folder / "deny.toml") as entries:
        entries[entry.id] = entry
    bridge.until("trust-in-force", count + 1)
    with pytest.raises(CallerDenied):
        police.pull()
    assert [desk] == answers(hotline, first[0].ticket_id)

    gateway, signer = successors(pki, tmp_path, "gw"), successors(pki, tmp_path, "signer")
    files = replace(
        read_gateway(link.config(CITY_110)),
        gateway_key=gateway.key, gateway_chain=gateway.certificate,
        signer_key=signer.key, signer_chain=signer.certificate,
    )  # fmt: skip
    with ExchangeClient.dial(files, patience=ONCE) as successor:
        waiting = [one for one in successor.pull(limit=50) if isinstance(one, IncomingMessage)]
        assert {first[0].ticket_id, second[0].ticket_id} == {
            one.message.ticket_id for one in waiting
        }
        opening, offer = first
        result = replace(
            step(Kind.RESULT, opening, offer.handoff_id, other, taken[0].digest),
            act={"settlement": "SETTLEMENT_SETTLED"},
            groups={"disposal": {"content": "已由承接单位办结。"}},
        )
        done = pushed(successor, result)
    pushed(hotline, step(Kind.CLOSE, opening, offer.handoff_id, desk, done.digest))
    assert [] == answers(hotline, opening.ticket_id)

    opening, offer = second
    over = replace(
        step(Kind.TAKE_OVER, opening, offer.handoff_id, desk),
        groups={"grounds": {"text": "对方已撤并。"}},
    )
    pushed(hotline, over)
    assert other in answers(hotline, opening.ticket_id)
    with pytest.raises(ExchangeError):
        police.pull()
