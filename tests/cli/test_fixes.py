"""What the doctor advises: each kind of finding its own mend, in both languages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import exchange.doctor
from exchange.doctor.findings import failed, run
from exchange.errors import (
    BridgeUnavailable,
    ConfigurationError,
    ExchangeError,
    LimitExceeded,
    NotAuthenticated,
    NotAuthorized,
    StoreUnavailable,
)
from exchange.text import Text
from tests.cli.town import Shell, Town, gateway_toml
from tests.pki import CITY_12345

SAID = Text(en="So it is.", zh="如此。")
FOLDER = Path(exchange.doctor.__file__).parent
PROBES = sorted(
    {
        name
        for path in FOLDER.glob("*.py")
        for name in re.findall(r'\b(?:failed|run)\(\s*"([a-z-]+)"', path.read_text("utf-8"))
    }
)


def test_every_probe_that_can_fail_has_a_mend_of_its_own() -> None:
    """None falls back on "do what the cause says", whatever failed."""
    assert len(PROBES) > 8
    fallback = failed("no such probe", SAID, ConfigurationError(SAID)).fix
    for probe in PROBES:
        fix = failed(probe, SAID, ConfigurationError(SAID)).fix
        assert fix is not None
        assert fix != fallback, probe
        assert any("一" <= letter for letter in fix.zh)


@pytest.mark.parametrize(
    ("kind", "advice"),
    [
        (ConfigurationError, "this gateway's configuration"),
        (NotAuthenticated, "exchange certs show"),
        (NotAuthorized, "register"),
        (LimitExceeded, "Wait"),
        (BridgeUnavailable, "running"),
        (StoreUnavailable, "database"),
    ],
)
def test_a_call_s_mend_follows_from_what_the_bridge_said(
    kind: type[ExchangeError], advice: str
) -> None:
    """Who has to do something differs: we, our network's authority, or the bridge's operator."""
    fix = failed("call", SAID, kind(SAID)).fix
    assert fix is not None
    assert advice in fix.en


def test_what_the_system_says_of_a_file_is_in_chinese_too(tmp_path: Path) -> None:
    """An error of the system that no probe explains is a finding with cause and mend."""

    def probe() -> None:
        (tmp_path / "gone").read_bytes()

    (found,) = run("key", probe)  # type: ignore[arg-type]
    assert found.cause is not None
    assert "gone" in found.cause.zh
    assert "Errno" not in found.cause.zh
    assert found.cause.zh != found.cause.en
    assert found.fix == failed("key", SAID, ConfigurationError(SAID)).fix


def test_the_command_shows_each_finding_with_its_own_mend(
    town: Town, exchange: Shell, tmp_path: Path
) -> None:
    """A lost key: what to do about a key, and not that one should do something."""
    lost = gateway_toml(town.pki, tmp_path, CITY_12345, town.bridge.port, gateway_key='"gone.key"')
    said = exchange("doctor", "--config", lost, "--lang", "zh").out
    assert "chmod 600" in said
    assert "请按原因所述" not in said
