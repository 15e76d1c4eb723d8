"""The wrong file, the wrong bridge, somebody else's certificate: each said as what it is."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.town import Shell, Town, gateway_toml
from tests.pki import CITY_110, CITY_12345, Pki


def test_a_bridges_configuration_is_not_taken_for_a_gateways(exchange: Shell, town: Town) -> None:
    """Push and pull say whose configuration it is; config check says the same of the reverse."""
    for command in ("push", "pull"):
        said = exchange(command, "--config", town.operator)
        assert (said.code, said.out) == (2, "")
        assert "is a bridge's configuration" in said.err
        said = exchange(command, "--config", town.operator, "--lang", "zh")
        assert "是网桥的配置" in said.err
    said = exchange("serve", "--config", town.hotline)
    assert (said.code, "is a gateway's configuration" in said.err) == (2, True), said


def test_where_there_is_no_configuration_it_is_said_how_to_name_one(
    exchange: Shell, tmp_path: Path
) -> None:
    """The first thing a newcomer meets names --config, in both languages, and no errno."""
    for words in (("pull",), ("ticket", "list"), ("serve",), ("config", "check")):
        said = exchange(*words, "--config", tmp_path / "none.toml")
        assert (said.code, "There is no configuration" in said.err) == (2, True), said
        said = exchange(*words, "--config", tmp_path / "none.toml", "--lang", "zh")
        assert "请用 --config 指定" in said.err, said


def test_a_file_that_is_not_there_is_said_with_the_next_step(
    exchange: Shell, town: Town, tmp_path: Path
) -> None:
    """Messages, receipts and envelopes: path, what is the matter, what to do; no errno."""
    for words in (
        ("push", tmp_path / "none", "--config", town.hotline),
        ("receipt", "show", tmp_path / "none"),
        ("receipt", "verify", tmp_path / "none", *town.trust),
    ):
        said = exchange(*words)
        assert (said.code, said.err.count(str(tmp_path / "none"))) == (1, 1), said
        assert "check the path" in said.err
        assert "请检查路径" in exchange(*words, "--lang", "zh").err


def test_anothers_certificate_is_found_before_the_call(
    exchange: Shell, pki: Pki, tmp_path: Path
) -> None:
    """Nothing is dialled as an organisation that the certificate does not speak for."""
    config = gateway_toml(pki, tmp_path, CITY_12345, 1, pki.gateway(CITY_110))
    for words in (("ticket", "list"), ("pull",), ("push",)):
        said = exchange(*words, "--config", config)
        assert (said.code, said.out) == (2, ""), said
        assert f"speaks for {CITY_110.organisation}" in said.err
        assert f"'organisation' is {CITY_12345.organisation}" in said.err


def _alone(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "exchange", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_link_that_fails_is_one_sentence_that_names_the_doctor(
    pki: Pki, town: Town, tmp_path: Path
) -> None:
    """Refused, no such name, refused handshake, another's root: told apart, with no line of grpc's."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    roots = f'"{next(iter(pki.development.trust.values()))}"'
    folders = [tmp_path / name for name in "abcd"]
    for folder in folders:
        folder.mkdir()
    bridge = town.bridge.port
    configs = {
        "nothing listens": gateway_toml(pki, folders[0], CITY_12345, port),
        "knows no address": gateway_toml(
            pki, folders[1], CITY_12345, port, target='"nowhere.invalid:5110"'
        ),
        "refused the handshake": gateway_toml(
            pki, folders[2], CITY_12345, bridge, pki.defects["expired"]
        ),
        "does not prove to be the bridge": gateway_toml(
            pki, folders[3], CITY_12345, bridge, bridge_roots=roots
        ),
    }
    for sentence, config in configs.items():
        said = _alone("ticket", "list", "--config", config, "--lang", "en")
        (line,) = said.stderr.splitlines()
        assert sentence in line
        assert line.endswith(f"exchange doctor --config {config}")
        assert (said.returncode, said.stdout) == (1, "")
