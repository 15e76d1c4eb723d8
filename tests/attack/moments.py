"""A PostgreSQL that archives its log, and goes back to a chosen moment, as ``deploy/BACKUP.md`` says."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from tests.attack.city import Keeping
from tests.postgres import PostgresServer

_COMPOSE = Path(__file__).parents[2] / "deploy" / "compose.yaml"


def archive_command(folder: Path) -> str:
    """Return the archive command that is shipped, for *folder*."""
    found = re.search(r"archive_command=(.+)", _COMPOSE.read_text("utf-8"))
    assert found is not None
    return found[1].strip().replace("/archive/", f"{folder}/")


@contextmanager
def archiving_server() -> Iterator[PostgresServer]:
    """Yield a server that archives its log beside its data."""
    # Without hot standby it takes no connection before it is where it is to be.
    server = PostgresServer(archive_mode="on", hot_standby="off")
    archive = server._home / "archive"
    archive.mkdir()
    if server._user is not None:
        os.chown(archive, server._user.pw_uid, server._user.pw_gid)
    server._settings["archive_command"] = archive_command(archive)
    with server:
        yield server


@dataclass
class KeepingMoments(Keeping):
    """A base backup, taken once, and the moment that is gone back to."""

    moment: str = ""

    def base(self) -> None:
        """Take the base backup, while the server serves."""
        assert self.server is not None
        done = self.server._run(
            "pg_basebackup",
            f"--pgdata={self.server._home / 'base'}",
            "--checkpoint=fast",
            "--wal-method=stream",
            f"--dbname={self.url.replace('+psycopg', '').rpartition('/')[0]}",
        )
        assert done.returncode == 0, done.stderr

    def backup(self) -> None:
        """Note the moment: the archived log is the backup."""
        with psycopg.connect(self.url.replace("+psycopg", "")) as connection:
            self.moment = str(connection.execute("SELECT clock_timestamp()").fetchall()[0][0])

    def restore(self) -> None:
        """Put the base backup in the place of the data, and play the archived log up to the moment."""
        server = self.server
        assert server is not None
        server.stop()
        server._data.rename(server._home / "before")
        (server._home / "base").rename(server._data)
        with (server._data / "postgresql.auto.conf").open("a", encoding="utf-8") as file:
            file.write(
                f"restore_command = 'cp {server._home}/archive/%f %p'\n"
                f"recovery_target_time = '{self.moment}'\n"
                "recovery_target_action = 'promote'\n"
            )
        signal = server._data / "recovery.signal"
        signal.touch()
        if server._user is not None:
            os.chown(signal, server._user.pw_uid, server._user.pw_gid)
        server.start()
        for attempt in Retrying(
            retry=retry_if_exception_type(psycopg.OperationalError),
            stop=stop_after_delay(60),
            wait=wait_fixed(0.1),
            reraise=True,
        ):
            with attempt, psycopg.connect(self.url.replace("+psycopg", "")) as connection:
                assert not connection.execute("SELECT pg_is_in_recovery()").fetchall()[0][0]
