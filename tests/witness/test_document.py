"""What the witness's README tells an officer and an operator to type is typed, in order."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from certs.development import POLICE
from exchange.config import load_settings
from exchange.store import create
from tests.cli.town import Shell
from tests.documents import ROOT, Command, steps
from tests.pki import CITY_12345, Pki
from tests.server.running import Running, calling, matter, write_settings
from tests.witness.place import credential, witness_toml

README = ROOT / "exchange" / "witness" / "README.md"


def test_the_readme_can_be_followed(
    pki: Pki, tmp_path: Path, exchange: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the key to a co-signature, over the line and over the gap; each command succeeds."""
    monkeypatch.chdir(tmp_path)
    tls = credential(pki, POLICE, tmp_path / "witness-tls")
    key, *others = (step for step in steps(README) if isinstance(step, Command))
    assert exchange(*_words(key)).code == 0
    # What the bridge's operator does with the verifier key that was received.
    config = write_settings(pki, tmp_path).rename("bridge.toml")
    (tmp_path / "witness.vkey").rename(f"{POLICE}.vkeys")
    with config.open("a", encoding="utf-8") as file:
        file.write(f'\n[witnesses]\n"{POLICE}" = "{POLICE}.vkeys"\n')
    settings = load_settings(tmp_path / config, {})
    create(settings.database)
    bridge = Running(settings)
    bridge.start()
    try:
        witness_toml(tmp_path, pki, tls, f"127.0.0.1:{bridge.port}")
        with calling(pki, bridge.port, CITY_12345) as hotline:
            hotline.push(hotline.sealer.seal(matter()))
        assert len(others) == 6
        for command in others:
            # "until Ctrl-C; --once looks once": nobody gets past what goes on.
            once = ["--once"] if " run " in command.text else []
            done = exchange(*_words(command), *once)
            assert done.code == 0, (command, done)
    finally:
        bridge.stop()
    for name in ("head.json", "cosigned.txt"):
        assert (tmp_path / name).stat().st_size


def _words(command: Command) -> list[str]:
    return shlex.split(command.text)[1:]
