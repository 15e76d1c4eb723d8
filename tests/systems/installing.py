"""
What brings the two systems: an environment of their own, ``.venv-systems``, made when it is asked for.

Beside it stands a helpdesk as it is founded (its seventy migrations take seconds), copied for every run.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
FOLDER = ROOT / ".venv-systems"
PYTHON = FOLDER / "bin" / "python"
#: What the environment is made from; another text makes another environment.
_PARTS = ("requirements.txt", "founding.py", "helpdesk_settings.py")
#: The two accounts of the founded helpdesk, which is nobody's but the tests'.
TOKENS = FOLDER / "tokens"
#: The environment variable by which `make systems` asks that they be installed.
ASKED = "EXCHANGE_SYSTEMS"


class Absent(Exception):
    """The systems are not here, and nobody asked that they be installed; the text says who does."""


def require() -> None:
    """See that the environment is there: made where `ASKED` says so, else raises `Absent`."""
    digest = sha256(b"".join((HERE / part).read_bytes() for part in _PARTS)).hexdigest()
    done = FOLDER / ".installed"
    if not FOLDER.exists() and not os.environ.get(ASKED):
        raise Absent("Roundup and django-helpdesk are not here: make systems installs them")
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs may want it at once
        if done.exists() and done.read_text() == digest:
            return
        if not os.environ.get(ASKED):
            raise Absent(
                "Roundup and django-helpdesk are here as they were: make systems renews them"
            )
        _install()
        done.write_text(digest)


def _install() -> None:
    for one in FOLDER.iterdir():
        if one.is_dir() and not one.is_symlink():
            shutil.rmtree(one)
        elif one.name != ".lock":
            one.unlink()
    _run(sys.executable, "-m", "venv", "--without-pip", str(FOLDER))
    _run(
        sys.executable, "-m", "pip", "--python", str(PYTHON), "install", "--quiet", "--no-compile",
        "--disable-pip-version-check", "--no-deps", "--require-hashes", "-r", str(HERE / "requirements.txt"),
    )  # fmt: skip
    TOKENS.write_text(f"{secrets.token_hex(20)}\n{secrets.token_hex(20)}\n")
    _run(str(PYTHON), str(HERE / "founding.py"), **helpdesk_environment(FOLDER))


def helpdesk_environment(folder: Path) -> dict[str, str]:
    """Return what a helpdesk with its database in *folder* is started with."""
    exchange, wang = TOKENS.read_text().split()
    return {
        "DJANGO_SETTINGS_MODULE": "helpdesk_settings",
        "HELPDESK_FOLDER": str(folder),
        "HELPDESK_TOKEN_EXCHANGE": exchange,
        "HELPDESK_TOKEN_WANG": wang,
    }


def _run(*words: str, **environment: str) -> None:
    ran = subprocess.run(
        words, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, f"{' '.join(words[:5])} …: {ran.stderr.strip()[-1000:]}"
