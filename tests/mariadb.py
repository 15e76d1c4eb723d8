"""A real MariaDB for tests, where its programs are on the machine; no root, no service."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

#: A guard against a server that does not start.
_PATIENCE = 60
#: Bytes that several servers at once may fill.
_ROOM = 4 << 30


def installed() -> bool:
    """Return whether MariaDB's programs are here."""
    return all(shutil.which(name) for name in ("mariadbd", "mariadb-install-db"))


def new_home(prefix: str) -> Path:
    """Return a new folder for a server's files: in memory where there is room, for it syncs at every step."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > _ROOM
    return Path(tempfile.mkdtemp(prefix=prefix, dir=memory if roomy else None))


def install(*common: str) -> None:
    """Make a new server's files; say what its program said where it fails."""
    command = ["mariadb-install-db", *common, "--auth-root-authentication-method=normal"]
    made = subprocess.run([*command, "--skip-test-db"], check=False, capture_output=True, text=True)
    assert not made.returncode, made.stdout[-2000:] + made.stderr[-2000:]


@contextlib.contextmanager
def mariadb() -> Iterator[str]:
    """Run a server of our own on a free port; yield its URL, which needs a database's name at its end."""
    home = new_home("exchange-mariadb-")
    user = pwd.getpwuid(os.getuid()).pw_name
    if os.getuid() == 0:
        user = "nobody"
        os.chown(home, pwd.getpwnam(user).pw_uid, -1)
    data = home / "data"
    common = ["--no-defaults", f"--datadir={data}", f"--user={user}"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    try:
        install(*common)
        server = subprocess.Popen(
            ["mariadbd", *common, f"--port={port}", "--bind-address=127.0.0.1", f"--socket={home / 's'}",
             f"--pid-file={home / 'pid'}", "--character-set-server=utf8mb4"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            _wait(port)
            yield f"mysql://root@127.0.0.1:{port}/"
        finally:
            server.terminate()
            server.wait(_PATIENCE)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def create_database(url: str, name: str) -> str:
    """Make an empty database; return its URL."""
    engine = create_engine(url.replace("mysql://", "mysql+pymysql://"))
    with engine.begin() as connection:
        connection.execute(text(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4"))
    engine.dispose()
    return f"{url}{name}?charset=utf8mb4"


def bridge_url(url: str) -> str:
    """Return the URL by which a bridge has the database at *url*."""
    return url.replace("mysql://", "mariadb+pymysql://")


def drop_database(url: str) -> None:
    """Drop the database at *url*."""
    engine = create_engine(url.replace("mysql://", "mysql+pymysql://"))
    with engine.begin() as connection:
        connection.execute(text(f"DROP DATABASE `{engine.url.database}`"))
    engine.dispose()


def _wait(port: int) -> None:
    engine = create_engine(f"mysql+pymysql://root@127.0.0.1:{port}/")
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            engine.connect().close()
        except OperationalError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
        else:
            engine.dispose()
            return
