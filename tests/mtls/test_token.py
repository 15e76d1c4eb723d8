"""A gateway whose key lives in a token calls a real bridge; SoftHSM stands for the smart card."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from certs.csr import create_request
from certs.development import GOVERNMENT
from certs.enrolment import enrol
from certs.office import office
from certs.passphrase import Passphrase
from certs.profiles import PROFILES
from certs.token import Token
from exchange.client import ExchangeClient, GatewayFiles, read_gateway
from exchange.client.files import require_fitting
from exchange.doctor.examination import examine_gateway
from exchange.doctor.findings import Status
from exchange.errors import ConfigurationError
from exchange.server.serving import utc_now
from tests.adapters.linked import ONCE, Link
from tests.certs.softhsm import needs_softhsm, pin, token
from tests.pki import CITY_12345, Pki
from tests.server.running import Running, matter, running

__all__ = ["pin", "token"]

pytestmark = needs_softhsm


@pytest.fixture(scope="module")
def bridge(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The bridge."""
    with running(pki, tmp_path_factory.mktemp("bridge")) as found:
        yield found


@pytest.fixture
def files(pki: Pki, bridge: Running, tmp_path: Path, token: Token, pin: Passphrase) -> GatewayFiles:
    """The hotline's gateway, its key made in the token, as `exchange certs csr --token` does."""
    slot, request = create_request(
        tmp_path / "gateway", "gateway", PROFILES["gateway-tls"], token, pin
    )
    chain = tmp_path / "gateway.pem"
    name = CITY_12345.name("gw", 8)
    with office(pki.development.authorities[GOVERNMENT], now=utc_now(), by="officer") as at_work:
        enrol(at_work, PROFILES["gateway-tls"], request.read_bytes(), name, chain)
    config = Link(pki=pki, bridge=bridge, folder=tmp_path).config(CITY_12345)
    usual = pki.gateway(CITY_12345)
    text = config.read_text("utf-8").replace(str(usual.key), str(slot))
    text = text.replace(str(usual.certificate), str(chain))
    config.write_text(f'gateway_pin = "pin"\n{text}', "utf-8")
    assert not list(tmp_path.glob("*.key"))
    return read_gateway(config)


def test_it_dials_and_is_stored(files: GatewayFiles) -> None:
    """Every handshake is signed in the token; the bridge sees a gateway like any other."""
    with ExchangeClient.dial(files, patience=ONCE) as client:
        (result,) = client.push(matter()[:1])

    assert result.stored is not None


def test_the_doctor_looks_into_the_token(files: GatewayFiles, pki: Pki) -> None:
    """Right: fine, and the bridge answers; another's certificate, a wrong PIN: named, not a lost line."""
    found = {one.probe: one for one in examine_gateway(files, utc_now())}
    assert (Status.OK, Status.OK) == (found["pair"].status, found["call"].status)

    other = replace(files, gateway_chain=pki.gateway(CITY_12345).certificate)
    found = {one.what.en: one for one in examine_gateway(other, utc_now())}
    (wrong,) = [one for what, one in found.items() if "token that" in what]
    assert Status.FAIL is wrong.status
    with pytest.raises(ConfigurationError, match="do not belong together"):
        require_fitting(other.gateway_key, other.gateway_chain, other.gateway_pin)


def test_a_token_that_does_not_open_is_said_before_anything_is_sent(
    files: GatewayFiles, tmp_path: Path
) -> None:
    """A wrong PIN, no PIN, no such file: each by its name."""
    wrong = tmp_path / "wrong"
    wrong.write_text("0000")
    wrong.chmod(0o600)
    for changed, said in (
        ({"gateway_pin": wrong}, "PIN is right"),
        ({"gateway_pin": None}, "nobody to ask"),
        ({"gateway_key": tmp_path / "none.token"}, "none.token"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            ExchangeClient.dial(replace(files, **changed), patience=ONCE)
