"""The two kinds of database under the bridge, each with the disk it lies on."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg

from tests.chaos.processes import lives, signal_one, tree
from tests.chaos.proxy import FaultProxy, Link
from tests.postgres import PostgresServer, PostgresUnavailable

#: MiB that the small disk holds, and bytes that a full one leaves.
_DISK = 1024
_LEFT = 128 * 1024


class SmallDisk:
    """
    A disk of our own that can be filled: a file, formatted and mounted; needs root.

    *why* says why there is none, where there is none.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "disk"
        self.image = folder / "disk.img"
        self.why = ""

    def mount(self) -> bool:
        """Mount it, if we may."""
        missing = [name for name in ("mkfs.ext4", "mount") if shutil.which(name) is None]
        if os.geteuid() != 0 or missing:
            self.why = "only root may mount a disk" if not missing else f"no {missing[0]}"
            return False
        self.folder.mkdir()
        with self.image.open("wb") as image:
            image.truncate(_DISK * 1024 * 1024)
        for command in (
            ["mkfs.ext4", "-q", "-m", "0", str(self.image)],
            ["mount", "-o", "loop", str(self.image), str(self.folder)],
        ):
            done = subprocess.run(command, check=False, capture_output=True, text=True)
            if done.returncode:
                self.why = done.stderr.strip().splitlines()[-1]
                return False
        self.folder.chmod(0o755)
        return True

    def fill(self) -> None:
        """Leave next to no room."""
        room = shutil.disk_usage(self.folder).free - _LEFT
        with (self.folder / "ballast").open("ab") as ballast, contextlib.suppress(OSError):
            start = ballast.tell()
            os.posix_fallocate(ballast.fileno(), start, max(room, 1))

    def free(self) -> None:
        """Give the room back."""
        (self.folder / "ballast").unlink(missing_ok=True)

    def unmount(self) -> None:
        """Take it away, whoever still holds it."""
        if self.folder.is_mount():
            subprocess.run(["umount", "--lazy", str(self.folder)], check=False)
        self.image.unlink(missing_ok=True)


class SqliteFile:
    """A file, on a small disk where we may have one."""

    kind = "sqlite"
    link: Link | None = None

    def __init__(self, folder: Path) -> None:
        disk = SmallDisk(folder)
        self.no_disk = "" if disk.mount() else disk.why
        self.disk: SmallDisk | None = disk if not self.no_disk else None
        self.path = (disk.folder if self.disk else folder) / "bridge.db"
        self.url = self.direct = f"sqlite:///{self.path}"

    def heal(self) -> None:
        """Nothing runs."""

    def close(self) -> None:
        """Take the disk away."""
        if self.disk is not None:
            self.disk.unmount()


class PostgresBehindProxy:
    """A server of our own whose bridge connects through the proxy; with checksums of its pages."""

    kind = "postgresql"

    def __init__(self, proxy: FaultProxy) -> None:
        self.server = PostgresServer(max_connections="40", shared_buffers="32MB")
        self.disk: SmallDisk | None = None
        self.no_disk = ""
        try:
            self.server.start()
            self._require_checksums()
            self._wal_on_small_disk()
        except BaseException:
            self.close()
            raise
        self.link: Link | None = proxy.link("database", ("127.0.0.1", self.server.port))
        self.direct = self.server.create_database("chaos")
        self.url = self.direct.replace(f":{self.server.port}/", f":{self.link.port}/")

    @property
    def data(self) -> Path:
        """The server's files."""
        return self.server._data

    def _require_checksums(self) -> None:
        """Have every page carry a checksum, as PostgreSQL 18 does by itself."""
        self.server.stop()
        done = self.server._run("pg_checksums", "--check")
        if done.returncode and "not enabled" in done.stderr:
            self.server._run("pg_checksums", "--enable")
        self.server.start()

    def _wal_on_small_disk(self) -> None:
        disk = SmallDisk(self.server._home)  # whoever runs it may go there
        if not disk.mount():
            self.no_disk = disk.why
            return
        self.disk = disk
        self.server.stop()
        wal, moved = self.data / "pg_wal", disk.folder / "pg_wal"
        shutil.copytree(wal, moved)
        shutil.rmtree(wal)
        wal.symlink_to(moved)
        if self.server._user is not None:
            for path in (moved, *moved.rglob("*")):
                os.chown(path, self.server._user.pw_uid, self.server._user.pw_gid)
        moved.chmod(0o700)
        self.server.start()

    def pids(self) -> list[int]:
        """Return the postmaster and every process of its; nothing where it does not run."""
        try:
            first = (self.data / "postmaster.pid").read_text().split()[0]
        except (OSError, IndexError):
            return []
        return tree(int(first)) if lives(int(first)) else []

    def signal_all(self, number: signal.Signals) -> None:
        """Send every one of its processes a signal."""
        for pid in self.pids():
            signal_one(pid, number)

    def runs(self) -> bool:
        """Return whether it takes connections."""
        url = self.direct.replace("postgresql+psycopg", "postgresql")
        try:
            psycopg.connect(url, connect_timeout=2).close()
        except psycopg.Error:
            return False
        return True

    def heal(self) -> None:
        """Let it go on, or start it; a killed one may need several tries while the old one ends."""
        self.signal_all(signal.SIGCONT)
        for _ in range(40):
            if self.runs():
                return
            if not self.pids():
                # Nobody may have fetched the killed one yet: its number is no reason to wait.
                (self.data / "postmaster.pid").unlink(missing_ok=True)
                with contextlib.suppress(PostgresUnavailable):
                    self.server.start()
            time.sleep(0.3)

    def close(self) -> None:
        """Stop it and remove its files."""
        self.signal_all(signal.SIGCONT)
        self.server.kill()
        if self.disk is not None:
            self.disk.unmount()
        self.server.remove()


@contextlib.contextmanager
def database(
    kind: str, folder: Path, proxy: FaultProxy
) -> Iterator[SqliteFile | PostgresBehindProxy]:
    """Give a new, empty database of *kind*; raises `PostgresUnavailable` where there is none."""
    found = SqliteFile(folder) if kind == "sqlite" else PostgresBehindProxy(proxy)
    try:
        yield found
    finally:
        found.close()


Database = SqliteFile | PostgresBehindProxy
