"""SoftHSM, which stands for the smart card: a token of its own for a module's tests."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from certs.passphrase import Passphrase, passphrase
from certs.token import Token

MODULES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/softhsm/libsofthsm2.so",
           "/opt/homebrew/lib/softhsm/libsofthsm2.so")  # fmt: skip
MODULE = next((Path(one) for one in MODULES if Path(one).exists()), None)
PIN = "2580-for-tests"

#: What needs it is skipped at a desk; in continuous integration, where it is installed, it runs.
needs_softhsm = pytest.mark.skipif(
    MODULE is None or shutil.which("softhsm2-util") is None,
    reason="SoftHSM is not installed (Debian: softhsm2)",
)


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Token]:
    """An empty token of its own."""
    folder = tmp_path_factory.mktemp("softhsm")
    (folder / "tokens").mkdir()
    config = folder / "softhsm2.conf"
    config.write_text(f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\n")
    before = os.environ.get("SOFTHSM2_CONF")
    # The module reads it once, when it is first loaded into this process.
    os.environ["SOFTHSM2_CONF"] = str(config)
    subprocess.run(
        ["softhsm2-util", "--init-token", "--free", "--label", "authority", "--pin", PIN, "--so-pin", PIN],
        check=True, capture_output=True,
    )  # fmt: skip
    assert MODULE is not None
    yield Token(module=MODULE, label="authority")
    if before is None:
        del os.environ["SOFTHSM2_CONF"]
    else:
        os.environ["SOFTHSM2_CONF"] = before


@pytest.fixture
def pin(tmp_path: Path) -> Passphrase:
    """The token's PIN, in a file."""
    path = tmp_path / "pin"
    path.write_text(PIN)
    path.chmod(0o600)
    return passphrase(path, None, {})
