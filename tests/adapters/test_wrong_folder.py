"""Asking an adapter how it stands, or for a replay: a folder that is not there is told, and not made."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.jsonl import main
from adapters.spool import Spool

ORGANISATION = "11140400MB0000001X"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A gateway's configuration; asking how it stands needs none of its files."""
    keys = ("bridge_roots", "gateway_key", "gateway_chain", "signer_key", "signer_chain")
    lines = [f'{key} = "{key}.pem"' for key in keys]
    lines += ['target = "127.0.0.1:1"', f'organisation = "{ORGANISATION}"', 'log_verifiers = ["l"]']
    path = tmp_path / "gateway.toml"
    path.write_text("\n".join([*lines, "[trust]", '"a.example" = "a.pem"']), encoding="utf-8")
    return path


def test_status_of_a_folder_that_is_not_there(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its path is named, nothing is made; where the adapter has run, it is told how it stands."""
    folder = tmp_path / "misspelt"
    assert main(["status", str(folder), "--config", str(config)]) == 1
    assert str(folder / "spool.db") in capsys.readouterr().err
    assert not folder.exists()

    Spool(folder / "spool.db", ORGANISATION).close()
    assert main(["status", str(folder), "--config", str(config)]) == 0
    assert '"waiting": 0' in capsys.readouterr().out


def test_replay_into_a_folder_that_is_not_there(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its path is named before anybody is dialled; nothing is made."""
    folder = tmp_path / "misspelt"
    arguments = [
        "replay",
        str(folder),
        "--config",
        str(config),
        "--since",
        "2026-11-22T02:00+08:00",
    ]

    assert main(arguments) == 1
    assert str(folder / "spool.db") in capsys.readouterr().err
    assert not folder.exists()
