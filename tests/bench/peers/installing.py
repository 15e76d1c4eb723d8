"""What brings the peers: an environment of their own, and the system's packages where we may."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from tests.bench.peers.servers import PYTHON, ROOT

REQUIREMENTS = ROOT / "tests" / "bench" / "peers" / "requirements.txt"
#: Debian's and Ubuntu's names.
PACKAGES = ("nats-server", "rabbitmq-server")
_INSTALL = ("apt-get", "install", "--yes", "--no-install-recommends", *PACKAGES)


def install() -> str:
    """
    Install what is missing; return what a person still has to do, if anything.

    Python packages go into ``.venv-bench``, pinned with hashes; system packages are installed only
    by root, and Debian then starts their services: the sentence says so.
    """
    if not PYTHON.exists():
        folder = PYTHON.parents[1]
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--require-hashes", "-r", str(REQUIREMENTS)], check=True)
    missing = [name for name in PACKAGES if not is_installed(name)]
    if not missing:
        return ""
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        return f"to have all peers, as root: {' '.join(_INSTALL)}"
    subprocess.run(_INSTALL, check=True, env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"})
    return "the packages' own services may have been started; the bench does not use them"


def is_installed(name: str) -> bool:
    """Return whether the program of this package can be found."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin") is not None
