"""What a bridge that really runs offers to a stranger's TLS: version 1.3, and a client certificate."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pki import Pki
from tests.server.running import write_settings

OPENSSL = shutil.which("openssl")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(OPENSSL is None, reason="the program openssl is not installed"),
]

_COMMAND = [sys.executable, "-m", "exchange"]


@pytest.fixture(scope="module")
def port(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Run ``exchange serve`` as a process of its own; yield its port."""
    config = write_settings(pki, tmp_path_factory.mktemp("served"))
    # Set by a test that ran before in this process; the program must do it by itself.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GRPC_")}
    environment |= {"LANG": "C", "EXCHANGE_LANG": "en"}
    migrate = [*_COMMAND, "migrate", "--create", "--config", str(config)]
    subprocess.run(migrate, env=environment, check=True, capture_output=True)
    process = subprocess.Popen(
        [*_COMMAND, "serve", "--config", str(config)],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    with process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            yield int(line.split("127.0.0.1:")[1].split(".")[0])
        finally:
            process.terminate()


def _connected(pki: Pki, port: int, *words: str) -> str:
    """Return what openssl says of a handshake without a client certificate."""
    roots: Path = pki.development.bridge_trust
    done = subprocess.run(
        [str(OPENSSL), "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", str(roots),
         "-alpn", "h2", *words],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr


def test_tls_1_2_is_refused_in_the_handshake(pki: Pki, port: int) -> None:
    """Whatever suites are offered: no version is agreed on, no certificate is shown."""
    for words in (("-tls1_2",), ("-tls1_2", "-cipher", "ALL:@SECLEVEL=0")):
        said = _connected(pki, port, *words)
        assert "no peer certificate available" in said, said
        assert "Cipher is (NONE)" in said


def test_tls_1_3_proves_the_bridge_and_asks_for_a_certificate(pki: Pki, port: int) -> None:
    """The bridge's certificate holds under its root, and the stranger is asked who it is."""
    said = _connected(pki, port, "-tls1_3", "-verify_return_error")
    assert "TLSv1.3" in said, said
    assert "Verify return code: 0 (ok)" in said
    assert "Requested Signature Algorithms" in said
    assert "ALPN protocol: h2" in said
