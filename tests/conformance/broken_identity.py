"""Bridges that are deliberately broken where they look at who calls and who signed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from exchange._proto.v1 import message_pb2
from exchange.conformance.edge import Call
from exchange.conformance.ground import DESKS
from exchange.errors import RefusalCode
from tests.conformance.breaking import Breaking, Broken, Mutation, refused_as
from tests.conformance.broken_push import batch_size, takes_anyway


def one_pool(b: Breaking) -> None:
    """One pool of roots: any trusted authority may issue any network's names."""
    strict: Callable[[Mapping[str, Any]], str] = b.edge._identified

    def lax(context: Mapping[str, Any]) -> str:
        try:
            return strict(context)
        except Exception:
            (pem,) = context["x509_pem_cert"]
            leaf = x509.load_pem_x509_certificate(pem)
            names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            (uri,) = names.get_values_for_type(x509.UniformResourceIdentifier)
            if "/gw/" not in uri:
                raise
            return str(uri.split("/org/")[1].split("/")[0])

    b.edge._identified = lax


def any_certificate(b: Breaking) -> None:
    """A signer's certificate dials as well as a gateway's."""
    strict: Callable[[Mapping[str, Any]], str] = b.edge._identified

    def lax(context: Mapping[str, Any]) -> str:
        (pem,) = context["x509_pem_cert"]
        if b"signer" in x509.load_pem_x509_certificate(pem).subject.rfc4514_string().encode():
            return DESKS["hotline"].organisation
        return strict(context)

    b.edge._identified = lax


def no_register(b: Breaking) -> None:
    """Whoever has a certificate of a trusted network takes part."""

    def change(call: Call) -> None:
        if call.who == DESKS["outsider"].organisation:
            call.who = DESKS["county"].organisation

    b.edge.asking.append(change)


def shows_everybody(b: Breaking) -> None:
    """Tickets are shown to whoever asks."""

    def change(call: Call) -> None:
        call.who = DESKS["hotline"].organisation

    b.asked("GetTicket", change)


def _believes(when: Callable[[int], bool]) -> Mutation:
    """Take a signature that does not hold where *when* holds of the size of its batch."""

    def mutation(b: Breaking) -> None:
        def change(call: Call) -> None:
            for envelope, outcome in zip(call.request.envelopes, call.answer.outcomes, strict=True):
                bad = refused_as(outcome) == RefusalCode.SIGNATURE_INVALID
                if bad and when(batch_size(envelope)):
                    outcome.stored.message_id = "taken"

        b.answered("PushMessages", change)

    return mutation


def _trusts(defect: str) -> Mutation:
    """Take what a certificate signed that has this one defect."""

    def mutation(b: Breaking) -> None:
        pem = (b.defects / f"{defect}.pem").read_bytes()
        leaf = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)

        def change(call: Call) -> None:
            chains: list[message_pb2.CertificateChain] = list(call.request.certificates)
            if all(chain.certificates[0] != leaf for chain in chains):
                return
            for outcome in call.answer.outcomes:
                if refused_as(outcome) == RefusalCode.SIGNER_NOT_TRUSTED:
                    outcome.stored.message_id = "taken"

        b.answered("PushMessages", change)

    return mutation


def _one(mutation: Mutation, name: str) -> Broken:
    return Broken(mutation, [f"bridge.{name}"])


_SIGNERS = ("expired", "wrong-network", "unknown-root", "gateway-usage")

IDENTITY: dict[str, Broken] = {
    "one pool of roots": _one(one_pool, "identity.wrong-network"),
    "any certificate": _one(any_certificate, "identity.signer-name"),
    "no register": _one(no_register, "identity.unregistered"),
    "shows everybody": _one(shows_everybody, "identity.private"),
    "takes unsigned": _one(takes_anyway(RefusalCode.UNSIGNED), "signer.unsigned"),
    "checks no signature": _one(_believes(lambda size: size < 2), "signer.bad-signature"),
    "checks no path": _one(_believes(lambda size: size > 1), "signer.bad-path"),
    "lets one speak for another": _one(
        takes_anyway(RefusalCode.AUTHOR_MISMATCH), "signer.other-author"
    ),
    **{
        f"trusts signers: {defect}": _one(_trusts(f"signer-{defect}"), f"signer.{defect}")
        for defect in _SIGNERS
    },
}

#: What TLS itself turns away: a door before the bridge lets certificates with this one defect in.
DOORS: dict[str, Broken] = {
    f"opens to: {defect}": Broken(defect, [f"bridge.identity.{defect}"])
    for defect in ("expired", "not-yet-valid", "unknown-root")
}
