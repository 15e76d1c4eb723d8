"""A file of revocation lists is read strictly: whose list it is, which number, and for how long."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from certs.development import GOVERNMENT, POLICE
from exchange.certificates import GATEWAY, Rule, RuleBroken, read_pem, verify
from exchange.errors import ConfigurationError
from exchange.revocation import RevocationList, read_revocations
from exchange.trust import TrustStore, Withdrawals
from tests.mtls.living import leaf_of, lists_of, signed_list
from tests.pki import CITY_12345, Pki

WEEK = timedelta(days=7)


def authority(pki: Pki, stem: str, network: str = GOVERNMENT) -> Path:
    """Return a file of an authority's."""
    return pki.development.authorities[network] / stem


def root_list(pki: Pki, **more: Any) -> bytes:
    """Return the root's own list, empty."""
    given: dict[str, Any] = {"number": 1, "life": WEEK, "begins": pki.made_at} | more
    return signed_list(
        authority(pki, "root/root.pem"), authority(pki, "root/root.key"), [], **given
    )


def issuing_list(pki: Pki, *serials: int, key: str = "issuing/issuing.key", **more: Any) -> bytes:
    """Return the issuing authority's."""
    given: dict[str, Any] = {"number": 1, "life": WEEK, "begins": pki.made_at} | more
    certificate = authority(pki, "issuing/issuing.pem")
    return signed_list(certificate, authority(pki, key), serials, **given)


def read(
    pki: Pki, folder: Path, content: bytes, before: list[RevocationList] | None = None
) -> list[RevocationList]:
    """Read *content* as the file of the hotlines' network."""
    path = folder / "crl.pem"
    path.write_bytes(content)
    roots = pki.trust().roots(GOVERNMENT)
    return read_revocations(GOVERNMENT, path, roots, seen=[], before=before or [], now=pki.made_at)


def test_a_root_s_list_is_proved_and_the_issuing_one_waits(pki: Pki, tmp_path: Path) -> None:
    """Until its authority's certificate stands in the file, or a caller brings it."""
    found = read(pki, tmp_path, lists_of(pki, number=3))
    beside = read(
        pki, tmp_path, lists_of(pki, number=3) + authority(pki, "issuing/issuing.pem").read_bytes()
    )

    assert [(one.number, one.proved) for one in found] == [(3, True), (3, False)]
    assert [one.proved for one in beside] == [True, True]


def test_comments_and_an_ended_list_are_fine(pki: Pki, tmp_path: Path) -> None:
    """When it counts no more is another's to say, so that a bridge can start on a bad morning."""
    old = root_list(pki, begins=pki.made_at - 9 * WEEK)
    (found,) = read(pki, tmp_path, "# 根机构\n".encode() + old)

    assert found.ends < pki.made_at


def test_the_edge_of_another_clock(pki: Pki, tmp_path: Path) -> None:
    """Ten minutes ahead are another clock; `signed_list` dates back five."""
    edge = timedelta(minutes=15)
    assert read(pki, tmp_path, root_list(pki, begins=pki.made_at + edge))
    with pytest.raises(ConfigurationError, match="to come"):
        read(pki, tmp_path, root_list(pki, begins=pki.made_at + edge + timedelta(seconds=1)))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda _: b"", "holds no list"),
        (lambda _: b"\xff", "cannot be read"),
        (lambda pki: authority(pki, "root/root.pem").read_bytes(), "holds no list"),
        (lambda pki: root_list(pki)[:-30], "no whole"),
        (lambda pki: root_list(pki).replace(b"X509 CRL", b"X510 CRL"), "line 1 is no whole"),
        (lambda _: b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n", "line 3"),
        (lambda pki: root_list(pki) + pki.gateway(CITY_12345).key.read_bytes(), "no whole"),
        (lambda pki: root_list(pki) + root_list(pki, number=2), "two lists"),
        (lambda pki: root_list(pki, number=None), "no number"),
        (lambda pki: root_list(pki, critical=x509.DeltaCRLIndicator(1)), "no full list"),
        (issuing_list, "another network's"),
        (
            lambda pki: root_list(pki) + authority(pki, "issuing/issuing.pem", POLICE).read_bytes(),
            "no root of the network vouches",
        ),
        (
            lambda pki: (
                root_list(pki)
                + authority(pki, "issuing/issuing.pem").read_bytes()
                + issuing_list(pki, key="root/root.key")
            ),
            "spoilt or forged",
        ),
    ],
)
def test_what_is_wrong_is_named(
    pki: Pki, tmp_path: Path, make: Callable[[Pki], bytes], says: str
) -> None:
    """In both languages, with the file."""
    with pytest.raises(ConfigurationError, match=says) as raised:
        read(pki, tmp_path, make(pki))

    assert raised.value.facts["file"].endswith("crl.pem")
    assert raised.value.text.zh != raised.value.text.en


def test_numbers_never_go_back(pki: Pki, tmp_path: Path) -> None:
    """Older, or the same number with other content; and a root's list does not vanish."""
    same = lists_of(pki, number=5)
    held = read(pki, tmp_path, same)
    assert read(pki, tmp_path, same, held)[0].number == 5
    for other in (lists_of(pki, number=4), lists_of(pki, number=5, revoked=[7])):
        with pytest.raises(ConfigurationError, match="in force 5"):
            read(pki, tmp_path, other, held)
    beside = authority(pki, "issuing/issuing.pem").read_bytes()
    with pytest.raises(ConfigurationError, match="no successor"):
        read(pki, tmp_path, beside + issuing_list(pki, number=6), held)


def test_a_list_with_a_false_signature_vouches_for_nobody(pki: Pki, tmp_path: Path) -> None:
    """Of an authority not seen before it is found out at the first caller, who is not let in."""
    forged = issuing_list(pki, key="root/root.key")  # the issuing authority's name, another's key
    lists = read(pki, tmp_path, root_list(pki) + forged)
    withdrawals = Withdrawals(lists=lists, networks=[GOVERNMENT])
    trust = TrustStore.load(pki.development.trust).with_withdrawals(withdrawals)
    chain = read_pem(pki.gateway(CITY_12345).certificate.read_bytes(), b"")
    issuers = x509.load_pem_x509_certificates(pki.gateway(CITY_12345).certificate.read_bytes())[1:]
    with pytest.raises(RuleBroken) as raised:
        verify([*chain, *issuers], trust, GATEWAY, pki.made_at)

    assert raised.value.facts["rule"] == Rule.CRL_MISSING
    assert leaf_of(pki.gateway(CITY_12345)) == chain[0]
