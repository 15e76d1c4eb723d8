"""Whose key it is: verified against its network, registered, remembered."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

from certs.authority import open_authority
from certs.development import GOVERNMENT, Credential, Desk, _enrol
from exchange.envelope import SigningKey
from exchange.server.in_force import InForce
from exchange.server.keyring import Chain, Keyring
from tests.pki import CITY_110, CITY_12345, Pki
from tests.server.running import SERVICES, chain_of

REGISTERED = frozenset((desk.network, desk.organisation) for desk in SERVICES)


def chain(credential: Credential) -> Chain:
    """Return a signer's chain."""
    return tuple(chain_of(SigningKey.load(credential.key, credential.certificate)))


def having(stored: dict[bytes, Chain]) -> Callable[[Collection[bytes]], list[Chain]]:
    """Return a store's answer: the chains that it has."""
    return lambda key_ids: [stored[key_id] for key_id in key_ids if key_id in stored]


def test_a_shown_chain_is_an_author_and_is_remembered(pki: Pki) -> None:
    """Once shown and found good, the key id is enough."""
    ring = Keyring(InForce.of(pki.trust()), REGISTERED, lambda _: [], lambda: pki.made_at)
    shown = chain(pki.signer(CITY_12345))
    key_id = sha256(shown[0]).digest()
    assert ring.unknown([key_id], ()) == {key_id}
    assert ring.unknown([key_id], [shown]) == set()
    (author,) = ring.authors([key_id], [shown], pki.made_at).values()
    assert (author.organisation, author.chain) == (CITY_12345.organisation, shown)
    assert ring.authors([key_id], (), pki.made_at)[key_id].organisation == author.organisation
    assert ring.chains([key_id]) == [shown]


def test_a_stored_chain_is_fetched_and_verified(pki: Pki) -> None:
    """After a restart the store gives the chain, and it is judged as if it were shown."""
    good, bad = chain(pki.signer(CITY_12345)), chain(pki.defects["signer-expired"])
    stored = {sha256(found[0]).digest(): found for found in (good, bad)}
    ring = Keyring(InForce.of(pki.trust()), REGISTERED, having(stored), lambda: pki.made_at)
    wanted = {*stored, bytes(32)}
    ring.keep(ring.fetch(ring.unknown(wanted, ())))
    assert set(ring.authors(wanted, (), pki.made_at)) == {sha256(good[0]).digest()}


def test_the_store_is_asked_once_and_not_again_for_a_while(pki: Pki) -> None:
    """Unknown key ids cost one question together, then none for half a minute; a shown chain counts."""
    asked: list[set[bytes]] = []
    now = [pki.made_at]

    def stored(key_ids: Collection[bytes]) -> list[Chain]:
        asked.append(set(key_ids))
        return []

    ring = Keyring(InForce.of(pki.trust()), REGISTERED, stored, lambda: now[0])
    shown = chain(pki.signer(CITY_12345))
    key_id = sha256(shown[0]).digest()
    strange = {key_id, *(n.to_bytes(32) for n in range(511))}
    ring.keep(ring.fetch(ring.unknown(strange, ())))
    assert asked == [strange]
    assert ring.unknown(strange, ()) == set()
    now[0] += timedelta(seconds=30)
    assert ring.unknown(strange, ()) == strange
    ring.keep(ring.fetch([key_id]))
    assert ring.authors([key_id], [shown], pki.made_at)
    assert ring.chains([key_id]) == [shown]
    ring.keep(dict.fromkeys((n.to_bytes(32) for n in range(10_000)), ()))
    assert len(ring._absent) <= 4096


def test_a_worse_chain_does_not_hide_a_good_one(pki: Pki) -> None:
    """Shown without its issuers, a known signer is still known."""
    ring = Keyring(InForce.of(pki.trust()), REGISTERED, lambda _: [], lambda: pki.made_at)
    shown = chain(pki.signer(CITY_12345))
    key_id = sha256(shown[0]).digest()
    ring.authors([key_id], [shown], pki.made_at)
    assert ring.authors([key_id], [shown[:1]], pki.made_at)[key_id].chain == shown


def test_a_network_cannot_make_signers_of_anothers_organisation(pki: Pki, tmp_path: Path) -> None:
    """The government's authority issues 110's code under its own name: a good chain, no author."""
    desk = Desk(network=GOVERNMENT, region=CITY_110.region, organisation=CITY_110.organisation)
    authority = open_authority(pki.development.authorities[GOVERNMENT])
    forged = chain(_enrol(authority, "signer", desk.name("signer"), tmp_path / "s", pki.made_at))
    key_id = sha256(forged[0]).digest()
    trusting = Keyring(
        InForce.of(pki.trust()), {desk_party(desk)}, lambda _: [], lambda: pki.made_at
    )
    assert trusting.authors([key_id], [forged], pki.made_at)  # the chain itself is good
    ring = Keyring(InForce.of(pki.trust()), REGISTERED, lambda _: [], lambda: pki.made_at)
    assert ring.authors([key_id], [forged], pki.made_at) == {}


def desk_party(desk: Desk) -> tuple[str, str]:
    """Return what the register would know *desk* by."""
    return desk.network, desk.organisation
