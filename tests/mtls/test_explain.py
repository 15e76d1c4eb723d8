"""`exchange certs explain`: what a certificate may do at a bridge, until when, or which rule refuses it."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from certs.denylist import changing, make_entry
from certs.development import GOVERNMENT
from exchange.acts import Group
from exchange.cli.root import run
from exchange.identity import METHODS, CallerKind
from tests.mtls.living import leaf_of, lists_of
from tests.pki import CITY_110, CITY_12345, COUNTY_12345, Pki
from tests.server.running import write_settings


@pytest.fixture
def config(pki: Pki, tmp_path: Path) -> Path:
    """A bridge's configuration, with a list of the hotlines' network; the county's desk is unregistered."""
    path = write_settings(pki, tmp_path, unregistered=COUNTY_12345)
    crls = f'[revocation]\ncrls = {{ "{GOVERNMENT}" = "crl.pem" }}\n'
    path.write_text(path.read_text("utf-8") + crls, "utf-8")
    (tmp_path / "crl.pem").write_bytes(lists_of(pki, number=1, life=timedelta(days=7)))
    return path


def explained(
    config: Path, certificate: Path, capsys: pytest.CaptureFixture[str]
) -> tuple[int, Any]:
    """Return the exit code and the data."""
    capsys.readouterr()
    words = ["certs", "explain", str(certificate), "--config", str(config), "--json"]
    code = run(words, {"EXCHANGE_LANG": "en"})
    return code, json.loads(capsys.readouterr().out)


def test_a_gateway_may_call_and_see(
    pki: Pki, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The methods are the table's, the region the certificate's, the end the list's where it is nearer."""
    code, hotline = explained(config, pki.gateway(CITY_12345).certificate, capsys)
    _, police = explained(config, pki.gateway(CITY_110).certificate, capsys)

    assert code == 0
    assert hotline["methods"] == [m for m, who in METHODS.items() if who is not CallerKind.WITNESS]
    assert hotline["regions"] == [CITY_12345.region]
    assert hotline["fields"] == [group.name.lower() for group in Group]
    assert (hotline["list_due"], police["list_due"]) == (True, False)
    assert police["until"] == leaf_of(pki.gateway(CITY_110)).not_valid_after_utc.isoformat()


def test_a_signer_signs_and_calls_nothing(
    pki: Pki, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And it sees nothing: it does not dial."""
    code, found = explained(config, pki.signer(CITY_110).certificate, capsys)

    assert (code, found["signs"], found["methods"], found["regions"]) == (0, True, [], [])
    assert found["fields"] == []


def test_what_refuses_is_named(pki: Pki, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Unregistered, expired, another network's, a bridge's, revoked, denied: each by its rule."""
    folder = config.parent
    own = pki.gateway(CITY_12345)
    rules = {
        "organisation-unregistered": pki.gateway(COUNTY_12345).certificate,
        "validity": pki.defects["expired"].certificate,
        "wrong-network": pki.defects["wrong-network"].certificate,
        "name": pki.development.bridge.certificate,
    }
    for rule, certificate in rules.items():
        code, found = explained(config, certificate, capsys)
        assert (code, found["rule"], found["methods"]) == (1, rule, [])
        assert found["why"]
    serial = leaf_of(own).serial_number
    (folder / "crl.pem").write_bytes(lists_of(pki, number=2, revoked=[serial]))
    assert explained(config, own.certificate, capsys)[1]["rule"] == "revoked"
    with changing(folder / "deny.toml") as entries:
        entry = make_entry(reason="x", since=pki.made_at, by="li", network=GOVERNMENT)
        entries[entry.id] = entry
    assert explained(config, own.certificate, capsys)[1]["rule"] == "denied"


def test_people_read_it_in_both_languages(
    pki: Pki, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A few lines; a file that is none is said to be none."""
    for lang, words in (
        ("en", ["may call", "may see", "fields", "person", "withholds", "until"]),
        ("zh", ["可调用", "可查看", "字段组", "隐去", "有效至"]),
    ):
        certificate = str(pki.gateway(CITY_12345).certificate)
        run(["certs", "explain", certificate, "--config", str(config)], {"EXCHANGE_LANG": lang})
        said = capsys.readouterr().out
        assert [word for word in words if word not in said] == []
    code = run(["certs", "explain", str(config), "--config", str(config)], {"EXCHANGE_LANG": "zh"})

    assert code == 2
    assert "没有可读的证书" in capsys.readouterr().err
