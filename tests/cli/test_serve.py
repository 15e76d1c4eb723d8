"""``exchange serve`` as a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.town import Shell, gateway_toml
from tests.pki import CITY_12345, Pki
from tests.server.running import write_settings

COMMAND = [sys.executable, "-m", "exchange"]


@contextmanager
def _serving(config: Path, *words: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    settings = {**os.environ, "LANG": "C", **environment}
    process = subprocess.Popen(
        [*COMMAND, "serve", "--config", str(config), *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=settings,
    )  # fmt: skip
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_says_where_it_listens_and_stops_when_told(
    pki: Pki, tmp_path: Path, exchange: Shell, number: signal.Signals
) -> None:
    """After `migrate --create` an empty folder is a bridge; a signal stops it with exit code 0."""
    config = write_settings(pki, tmp_path)
    assert exchange("migrate", "--create", "--config", config).code == 0
    with _serving(config, "--migrate") as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "listens on 127.0.0.1:" in line, process.stderr and process.stderr.read()
        port = int(line.split("127.0.0.1:")[1].split(".")[0])
        gateway = gateway_toml(pki, tmp_path, CITY_12345, port)
        assert exchange("ticket", "list", "--config", gateway).code == 0
        process.send_signal(number)
        out, err = process.communicate()
    assert (process.returncode, "The bridge has stopped" in out) == (0, True), (out, err)


@pytest.mark.slow
@pytest.mark.parametrize("words", [(), ("--migrate",)])
def test_serve_never_begins_a_database(pki: Pki, tmp_path: Path, words: tuple[str, ...]) -> None:
    """Where one should be and is not: its path, the backup, and the first start's command; no file."""
    config = write_settings(pki, tmp_path)
    with _serving(config, *words) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == ""  # it ended, and never listened
        _, err = process.communicate()
    assert process.returncode == 1
    for said in (str(tmp_path / "bridge.db"), "backup", "second log", "exchange migrate --create"):
        assert said in err
    assert "Traceback" not in err
    assert not list(tmp_path.glob("bridge.db*"))


@pytest.mark.slow
def test_a_taken_port_is_told_before_anything_is_opened(pki: Pki, tmp_path: Path) -> None:
    """One sentence and nothing else: no database is made or upgraded, no journal begun."""
    config = write_settings(pki, tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        for host in ("127.0.0.1", "localhost"):
            listen = f"{host}:{taken.getsockname()[1]}"
            with _serving(config, "--migrate", EXCHANGE_LISTEN=listen) as process:
                out, err = process.communicate()
            assert (process.returncode, out) == (2, ""), err
            sentence = (
                f"The bridge cannot listen on {listen} (the setting 'listen'): another program uses "
                "this address; stop it or choose another."
            )
            assert err.splitlines() == [sentence]
    assert not list(tmp_path.glob("bridge.db*"))
