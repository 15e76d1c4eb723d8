"""Keys in a PKCS #11 token: SoftHSM stands for the smart card; skipped where it is not installed."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from certs import pem
from certs.bundle import export_bundle
from certs.csr import create_request
from certs.development import GOVERNMENT
from certs.enrolment import enrol
from certs.errors import Refused
from certs.founding import create_authority, roll_issuing
from certs.journal import read_journal
from certs.passphrase import NOBODY, Passphrase, passphrase
from certs.profiles import PROFILES
from certs.renewal import renew
from certs.revocation import make_lists, revoke
from certs.token import Token, open_key
from exchange.envelope import P256_SHA256, SigningKey, Verifier, sign
from tests.certs.issuing import NOW, desk_name
from tests.certs.place import Place, certs
from tests.certs.softhsm import PIN, needs_softhsm, pin, token
from tests.certs.test_renewal import holder_of

__all__ = ["pin", "token"]

pytestmark = needs_softhsm


def test_an_authority_works_with_its_key_in_a_token(
    tmp_path: Path, token: Token, pin: Passphrase
) -> None:
    """It issues, revokes, signs lists, acts and bundles; no key file is anywhere."""
    place = Place(folder=tmp_path)
    create_authority(place.government, GOVERNMENT, NOW, passphrase=pin, token=token)
    assert [one.name for one in place.government.rglob("*.key")] == ["root.key"]
    _, request = create_request(tmp_path / "gw", "gw")
    with place.office(passphrase=pin) as office:
        leaf = enrol(
            office, PROFILES["gateway-tls"], request.read_bytes(), desk_name(), tmp_path / "gw.pem"
        )
        leaf.verify_directly_issued_by(office.authority.certificate)
        revoke(office, str(tmp_path / "gw.pem"), "superseded", None)
        path = make_lists(office)
        (found,) = pem.crls("lists", path.read_bytes())
        key = office.authority.certificate.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        assert found.is_signature_valid(key)
        assert len(export_bundle(office, ()).roots) == 1
    assert len(read_journal(place.government).acts) == 6
    with place.office(passphrase=pin) as office:
        roll_issuing(office, place.government / "root" / "root.key", passphrase=pin, token=token)
    with place.office(passphrase=pin) as office:
        assert len(list(office.issuers())) == 2


def test_a_signer_in_a_token_signs_what_the_exchange_verifies(
    tmp_path: Path, token: Token, pin: Passphrase
) -> None:
    """Request, certificate, and a message's signature by the key that never left."""
    slot, request = create_request(tmp_path / "signer", "signer", PROFILES["signer"], token, pin)
    assert PIN not in slot.read_text()
    place = Place(folder=tmp_path)
    create_authority(place.government, GOVERNMENT, NOW)
    with place.office() as office:
        enrol(
            office, PROFILES["signer"], request.read_bytes(), desk_name("signer"), tmp_path / "signer.pem"
        )  # fmt: skip
    chain = x509.load_pem_x509_certificates((tmp_path / "signer.pem").read_bytes())
    key = SigningKey.from_certificate(open_key(slot, pin), chain)
    (signature,) = sign("a type", [b"a message"], key)
    Verifier().verify("a type", b"a message", signature, key.public, allowed={P256_SHA256})


def test_the_private_part_cannot_be_had(tmp_path: Path, token: Token, pin: Passphrase) -> None:
    """Not as bytes, not as numbers, not for key agreement; a copy is the same key."""
    slot, _ = create_request(tmp_path / "gw", "gw", PROFILES["gateway-tls"], token, pin)
    key = open_key(slot, pin)
    for ask in (key.private_numbers, key.private_bytes, key.exchange):
        with pytest.raises(Refused, match="stays in its token"):
            ask()
    assert copy.copy(key) is copy.deepcopy(key) is key
    assert (key.curve.name, key.key_size) == ("secp256r1", 256)


def test_what_goes_wrong_with_a_token_is_said(
    tmp_path: Path, token: Token, pin: Passphrase
) -> None:
    """Wrong PIN, no such token, no such module, a key that is gone, a damaged file, nobody to ask."""
    slot, _ = create_request(tmp_path / "gw", "gw", PROFILES["gateway-tls"], token, pin)
    wrong = tmp_path / "wrong"
    wrong.write_text("0000")
    wrong.chmod(0o600)
    with pytest.raises(Refused, match="PIN is right"):
        open_key(slot, passphrase(wrong, None, {}))
    with pytest.raises(Refused, match="plugged in"):
        create_request(
            tmp_path / "x", "x", token=Token(module=token.module, label="other"), pin=pin
        )
    with pytest.raises(Refused, match="is its module"):
        create_request(
            tmp_path / "x", "x", token=Token(module=tmp_path / "no.so", label="x"), pin=pin
        )
    said = slot.read_text()
    slot.write_text(said.replace("gw ", "gone "))
    with pytest.raises(Refused, match="holds the key"):
        open_key(slot, pin)
    slot.write_text("{}")
    with pytest.raises(Refused, match="Restore it from its backup"):
        open_key(slot, pin)
    with pytest.raises(Refused, match="nobody to ask"):
        create_request(tmp_path / "x", "x", token=token, pin=NOBODY)
    assert not list(tmp_path.glob("x.*"))


def test_a_key_in_a_token_is_not_renewed_by_a_timer(place: Place) -> None:
    """The sentence says how it is done instead."""
    holder = holder_of(place)
    holder.holding.beside(".token").write_bytes(b"{}")
    with pytest.raises(Refused, match=r"certs csr --token"):
        renew(holder.holding, place.now, early=True)


def test_the_commands(tmp_path: Path, token: Token, pin: Passphrase) -> None:
    """Half of the two options is a misuse."""
    place = ("--token", token.label, "--token-module", token.module)
    made = certs(
        "init", GOVERNMENT, "--out", tmp_path / "ca", *place, "--passphrase-file", tmp_path / "pin"
    )
    assert made.exit_code == 0, made.output
    asked = certs("csr", tmp_path / "gw", *place, "--pin-file", tmp_path / "pin")
    assert (asked.exit_code, "gw.token" in asked.output) == (0, True)
    assert certs("csr", tmp_path / "x", "--token", token.label).exit_code == 2
    listed = certs(
        "crl", "make", "--authority", tmp_path / "ca", "--passphrase-file", tmp_path / "pin"
    )
    assert (listed.exit_code, PIN in listed.output) == (0, False)
    assert pin.file == tmp_path / "pin"
