"""
Whom each network trusts: one set of root certificates per network, never pooled.

Two networks that do not trust each other meet at the bridge.  With one pooled list, either
authority could issue the other's names, and transport security would accept them (SPIFFE
Federation section 7.3).  So every question here names the network that is asked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Literal, Protocol

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    PolicyBuilder,
    Store,
)

from exchange.causes import cause
from exchange.errors import ConfigurationError
from exchange.pem import CERTIFICATE, Malformed, blocks
from exchange.revocation import RevocationList, authority_of
from exchange.text import Text

# Root, issuing authority, leaf; and one intermediate more for a network that has one.
_MOST_INTERMEDIATES = 2

# Who checks the leaf's names and usages is `exchange.identity`; here they must merely be there,
# because cryptography's own rules for them would let a leaf without any usage pass as a client.
_LEAF = (
    ExtensionPolicy.webpki_defaults_ee()
    .require_present(x509.SubjectAlternativeName, Criticality.AGNOSTIC, None)
    .require_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, None)
    .require_present(x509.KeyUsage, Criticality.AGNOSTIC, None)
)
_AUTHORITIES = ExtensionPolicy.webpki_defaults_ca()


#: Why a chain that a root vouches for counts no more, or not now.
Withdrawal = Literal["revoked", "denied", "crl-stale", "crl-missing"]


class Withdrawn(Exception):
    """A root vouches for the chain, and yet it does not count: *why* says which rule it is."""

    def __init__(self, why: Withdrawal) -> None:
        super().__init__(why)
        self.why: Withdrawal = why


class Denials(Protocol):
    """Whom this bridge's operator shuts out, whatever an authority says (`certs.denylist`)."""

    def denies(
        self, network: str, organisation: str, chain: Sequence[x509.Certificate]
    ) -> object | None:
        """Return the entry that shuts *chain* (leaf first, root last) out, or None."""


class Withdrawals:
    """What was taken back: by the networks' authorities in their lists, by the operator in its own."""

    def __init__(
        self,
        *,
        lists: Sequence[RevocationList] = (),
        networks: Collection[str] = (),
        grace: timedelta = timedelta(0),
        denials: Denials | None = None,
        after: Withdrawals | None = None,
    ) -> None:
        """
        Take the lists that `read_revocations` has read.

        *networks* have a file of lists, so that every leaf of theirs must be in the reach of one.  A
        list counts for *grace* beyond its end.  *after* is what was in force before.
        """
        self.lists = tuple(lists)
        self.networks = frozenset(networks)
        self.grace = grace
        self.denials = denials
        self._found: dict[bytes, RevocationList | None] = {}
        #: The authorities that callers have shown, by key, with their network.
        self.authorities: dict[bytes, tuple[str, x509.Certificate]] = {}
        if after is not None:
            self.authorities |= after.authorities

    def shown(self, network: str) -> list[x509.Certificate]:
        """Return the authorities of *network* that callers have shown: what later lists are held to."""
        return [authority for of, authority in self.authorities.values() if of == network]

    def check(
        self,
        network: str,
        organisation: str,
        chain: Sequence[x509.Certificate],
        at: datetime,
    ) -> datetime | None:
        """
        Return until when *chain* counts without a newer list; None where no list is asked.

        Raises `Withdrawn`.  The operator's own list comes first: it needs nobody else to be right.
        """
        if self.denials is not None and self.denials.denies(network, organisation, chain):
            raise Withdrawn("denied")
        if network not in self.networks:
            return None
        asked = [(one, self._list_of(network, issuer)) for one, issuer in pairwise(chain)]
        for certificate, found in asked:
            # Listed is listed, whatever the list's age.
            if found is not None and certificate.serial_number in found.serials:
                raise Withdrawn("revoked")
        if not asked or asked[0][1] is None:
            raise Withdrawn("crl-missing")
        closes = min(found.ends for _, found in asked if found is not None) + self.grace
        check_fresh(closes, at)
        return closes

    def _list_of(self, network: str, issuer: x509.Certificate) -> RevocationList | None:
        key = authority_of(issuer)
        if key not in self._found:
            own = (one for one in self.lists if one.network == network and one.is_of(issuer))
            self._found[key] = next(own, None)
            self.authorities[key] = network, issuer
        return self._found[key]


def check_fresh(closes: datetime | None, at: datetime) -> None:
    """Raise `Withdrawn` once the lists that vouched are too old at *at*."""
    if closes is not None and at > closes:
        raise Withdrawn("crl-stale")


NOTHING_WITHDRAWN = Withdrawals()


class TrustStore:
    """
    Network name to its root certificates; immutable, so a changed trust is a new store.

    What was verified may be remembered only together with the store that vouched for it.
    """

    def __init__(
        self,
        roots: Mapping[str, Sequence[x509.Certificate]],
        withdrawals: Withdrawals = NOTHING_WITHDRAWN,
    ) -> None:
        """Take roots that `load` has checked, or that a test has made, and what was taken back."""
        self._roots = {network: tuple(found) for network, found in roots.items()}
        self._stores = {network: Store(list(found)) for network, found in self._roots.items()}
        self.withdrawals = withdrawals

    @classmethod
    def load(cls, files: Mapping[str, Path]) -> TrustStore:
        """
        Read one PEM file of root certificates per network.

        Raises `ConfigurationError` for no network at all, and for a file that cannot be read, is
        empty, has a malformed block anywhere, holds something else than authorities, names another
        network, or shares a root's key with another network's file.
        """
        if not files:
            raise ConfigurationError(
                Text(
                    en="No network is trusted, so nobody could call. Name each network's file of "
                    "root certificates in the configuration.",
                    zh="未配置任何受信任的网络，任何人都无法接入。请在配置中为每个网络指定根证书文件。",
                )
            )
        roots = {network: _read_roots(network, path) for network, path in files.items()}
        owners: dict[bytes, str] = {}
        for network, found in roots.items():
            for root in found:
                # The key, not the certificate: one key under two certificates is one authority.
                key = root.public_key().public_bytes(
                    Encoding.DER, PublicFormat.SubjectPublicKeyInfo
                )
                owner = owners.setdefault(key, network)
                if owner != network:
                    raise _wrong(
                        files[network],
                        Text(
                            en="a root in it is also trusted for {owner}; one authority must not "
                            "vouch for two networks. Give each network its own root.",
                            zh="其中的根证书同时被 {owner} 信任；一个认证机构不得为两个网络担保。请为每个网络使用各自的根证书。",
                        ).fill(owner=owner),
                    )
        return cls(roots)

    def with_withdrawals(self, withdrawals: Withdrawals) -> TrustStore:
        """Return a store of the same roots with what was taken back."""
        return TrustStore(self._roots, withdrawals)

    def roots(self, network: str) -> tuple[x509.Certificate, ...]:
        """Return the roots of *network*."""
        return self._roots[network]

    @property
    def networks(self) -> frozenset[str]:
        """Return the names of the networks that have roots here."""
        return frozenset(self._roots)

    def pem(self) -> bytes:
        """
        Return all roots in one PEM, for the list of grpc's TLS alone.

        grpc can take but one list; it decides only who may try, never who calls.
        """
        return b"".join(
            root.public_bytes(Encoding.PEM) for roots in self._roots.values() for root in roots
        )

    def chain(
        self,
        network: str,
        leaf: x509.Certificate,
        intermediates: Sequence[x509.Certificate],
        at: datetime,
    ) -> list[x509.Certificate]:
        """
        Return the path from *leaf* to a root of *network* that holds at *at*, both included.

        Raises `KeyError` for a network that is not here, and cryptography's `VerificationError`
        when no root of the network vouches for the leaf.
        """
        verifier = (
            PolicyBuilder()
            .store(self._stores[network])
            .time(at)
            .max_chain_depth(_MOST_INTERMEDIATES)
            .extension_policies(ca_policy=_AUTHORITIES, ee_policy=_LEAF)
            .build_client_verifier()
        )
        return verifier.verify(leaf, list(intermediates)).chain


def _wrong(path: Path, why: Text) -> ConfigurationError:
    text = Text(
        en=f"The trust file {path} cannot be used: {why.en}",
        zh=f"信任文件 {path} 不可用：{why.zh}",
    )
    return ConfigurationError(text, file=str(path))


def read_authorities(path: Path) -> tuple[x509.Certificate, ...]:
    """
    Return the certificates of authorities in a PEM file, such as the roots of the bridge.

    Raises `ConfigurationError` for a file that cannot be read, is empty, has a malformed block
    anywhere, or holds something else than authorities.
    """
    try:
        found = tuple(_certificates(path, path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        why = cause(error)
        raise _wrong(
            path,
            Text(en=f"it cannot be read: {why.en}.", zh=f"无法读取：{why.zh}。"),
        ) from error
    if not found:
        raise _wrong(
            path,
            Text(
                en="it holds no certificate. Put the network's root certificate into it.",
                zh="其中没有证书。请放入该网络的根证书。",
            ),
        )
    for position, root in enumerate(found, 1):
        _check_authority(path, position, root)
    return found


def _read_roots(network: str, path: Path) -> tuple[x509.Certificate, ...]:
    found = read_authorities(path)
    for position, root in enumerate(found, 1):
        _check_network(network, path, position, root)
    return found


def _certificates(path: Path, text: str) -> Iterator[x509.Certificate]:
    """Yield every certificate; raise for a block that is none."""
    try:
        for _, der, line in blocks(text, {CERTIFICATE}):
            try:
                yield x509.load_der_x509_certificate(der)
            except ValueError as error:
                raise Malformed(line) from error
    except Malformed as error:
        raise _wrong(
            path,
            Text(
                en="the PEM block that ends at line {line} is no whole certificate. Fetch the file "
                "again and compare its fingerprint with its owner.",
                zh="止于第 {line} 行的 PEM 块不是完整证书。请重新获取文件并与提供方核对指纹。",
            ).fill(line=error.line),
        ) from error


def _check_authority(path: Path, position: int, root: x509.Certificate) -> None:
    try:
        is_authority = root.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        is_authority = False
    if not is_authority:
        raise _wrong(
            path,
            Text(
                en="certificate {position} is no authority's. Put the root in, not a leaf.",
                zh="第 {position} 个证书不是认证机构证书。请放入根证书而非终端证书。",
            ).fill(position=position),
        )


def _check_network(network: str, path: Path, position: int, root: x509.Certificate) -> None:
    try:
        names = root.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return  # an authority need not name its network; ours do
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    if any(uri != f"spiffe://{network}" for uri in uris):
        raise _wrong(
            path,
            Text(
                en="certificate {position} is the root of {named}, not of {network}. Exchange the "
                "files, or correct the network's name.",
                zh="第 {position} 个证书是 {named} 的根证书，而不是 {network} 的。请更换文件或更正网络名称。",
            ).fill(position=position, named=", ".join(uris), network=network),
        )
