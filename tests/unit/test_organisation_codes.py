"""One table of organisation codes: contract, register, identity and certificate tool agree on it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from certs.errors import Refused
from certs.names import Name, parse_name
from exchange._proto.v1 import common_pb2 as pb
from exchange.certificates import SIGNER_USAGE, RuleBroken, signer_organisation
from exchange.organisations import code_problem
from exchange.wire.checks import surely_valid

DAY = date(2026, 3, 2)
CODES = {
    "140400000000": True,
    "14040000000A": True,
    "140400ABCDEF": True,
    "11140400MB1X00010Y": True,
    "N2320507MF1234567K": True,
    "14040000000": False,
    "1404000000000": False,
    "14040A000000": False,
    "14040000000a": False,
    "１40400000000": False,
    "140400000000\n": False,
    "11140400MB1X0001Y": False,
    "11140400MB1X0001IY": False,
    "1114040AMB1X00010Y": False,
    "11140400mb1x00010y": False,
    "": False,
}


def named_in_a_certificate(code: str) -> str:
    """Return the organisation that a signer's certificate naming *code* stands for."""
    key = ec.generate_private_key(ec.SECP256R1())
    start = datetime(2026, 1, 1, tzinfo=UTC)
    uri = f"spiffe://police110.example/region/140400/org/{code}/signer/1"
    usage = dict.fromkeys(
        (
            "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign",
            "crl_sign", "encipher_only", "decipher_only",
        ),
        False,
    )  # fmt: skip
    leaf = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.Name([]))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=365))
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=True
        )
        .add_extension(
            x509.KeyUsage(digital_signature=True, content_commitment=True, **usage), critical=True
        )
        .add_extension(x509.ExtendedKeyUsage([SIGNER_USAGE]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return signer_organisation(leaf)


@pytest.mark.parametrize(("code", "valid"), CODES.items())
def test_a_code_is_one_everywhere_or_nowhere(code: str, valid: bool) -> None:
    """What the contract carries can stand in a certificate, and the other way round."""
    contract = surely_valid(pb.OrganisationRef(code=code))
    try:
        certificate = named_in_a_certificate(code) == code
    except (RuleBroken, ValueError):  # a URI is ASCII
        certificate = False
    try:
        name = Name(
            network="police110.example", region="140400", organisation=code, role="gw", number=1
        )
        tool = parse_name(name.uri) == name
    except Refused:
        tool = False

    assert (valid, valid, valid) == (contract, certificate, tool)


@pytest.mark.parametrize("code", [code for code, valid in CODES.items() if valid])
def test_the_register_takes_every_well_formed_code(code: str) -> None:
    """Their check characters and divisions hold, too, which the register alone looks at."""
    assert code_problem(code, DAY) is None
