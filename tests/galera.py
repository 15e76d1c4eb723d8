"""
A real MariaDB Galera cluster of three nodes on loopback, where its programs are on the machine; no root, no service.

A node is killed as a machine is that loses its power, stands still as one that hangs, and comes back with what
the others have::

    with Cluster() as cluster:
        url = cluster.create_database("bridge")     # names all three hosts
        cluster.nodes[0].kill()
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pymysql

from tests.mariadb import install, installed, new_home
from tests.postgres import free_port

PROVIDER = Path("/usr/lib/galera/libgalera_smm.so")
SIZE = 3
#: A guard against a node that does not start, on a slow machine.
_PATIENCE = 180


def galera_installed() -> bool:
    """Return whether MariaDB, its Galera library, and what copies a node to another are here."""
    return installed() and PROVIDER.exists() and all(map(shutil.which, ("rsync", "lsof")))


def wait_for(holds: Callable[[], bool]) -> None:
    """Wait until *holds*; a guard against for ever."""
    end = time.monotonic() + _PATIENCE
    while not holds():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.1)


class Node:
    """One server of a cluster."""

    def __init__(self, home: Path, user: str, number: int) -> None:
        self._home, self._user = home, user
        self.number = number
        self.port, self.group_port, self._copy_port, self._part_port = (
            free_port() for _ in range(4)
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, cluster: str, *, new: bool = False) -> None:
        """Start it as one of *cluster*, or as the first one; it may take a while until it serves."""
        home = self._home
        group = f"127.0.0.1:{self.group_port}"
        options = (
            f"gmcast.listen_addr=tcp://{group};ist.recv_addr=127.0.0.1:{self._part_port};gcache.size=16M;"
            "evs.suspect_timeout=PT10S;evs.inactive_timeout=PT30S"  # a slow machine is no dead node
        )
        with (home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["mariadbd", "--no-defaults", f"--datadir={home / 'data'}", f"--user={self._user}",
                 f"--port={self.port}", "--bind-address=127.0.0.1", f"--socket={home / 's'}",
                 f"--pid-file={home / 'pid'}", "--character-set-server=utf8mb4", "--binlog-format=ROW",
                 "--innodb-autoinc-lock-mode=2", "--innodb-buffer-pool-size=32M", "--skip-log-bin",
                 "--wsrep-on=ON", f"--wsrep-provider={PROVIDER}", f"--wsrep-cluster-address=gcomm://{cluster}",
                 f"--wsrep-node-address={group}", f"--wsrep-node-name=node{self.number}",
                 f"--wsrep-provider-options={options}", "--wsrep-sst-method=rsync",
                 f"--wsrep-sst-receive-address=127.0.0.1:{self._copy_port}",
                 *(["--wsrep-new-cluster"] if new else [])],
                cwd=home, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        wait_for(self.serves)

    def serves(self) -> bool:
        """Return whether it takes part in its cluster and answers."""
        assert self._process is not None
        if self._process.poll() is not None:
            said = (self._home / "log").read_text("utf-8", "replace")[-3000:]
            raise AssertionError(f"node {self.number} ended: {said}")
        try:
            return bool(self.ask("SHOW STATUS LIKE 'wsrep_local_state_comment'")[0][1] == "Synced")
        except pymysql.Error:
            return False

    def ask(self, statement: str, database: str | None = None) -> list[tuple[Any, ...]]:
        """Run one statement and return what it gives."""
        with pymysql.connect(
            host="127.0.0.1", port=self.port, user="root", database=database, autocommit=True,
            connect_timeout=10,
        ) as connection, connection.cursor() as cursor:  # fmt: skip
            cursor.execute(statement)
            return list(cursor.fetchall())

    def members(self) -> int:
        """Return how many nodes it knows in its cluster."""
        return int(self.ask("SHOW STATUS LIKE 'wsrep_cluster_size'")[0][1])

    def kill(self) -> None:
        """End it as a power failure does."""
        self._signal(signal.SIGKILL)
        self.end()

    def freeze(self) -> None:
        """Let it stand still."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def end(self) -> None:
        """Wait until its process is gone."""
        if self._process is not None:
            self._process.wait(_PATIENCE)
            self._process = None

    def stop(self) -> None:
        """End it, in whatever state it is."""
        if self._process is not None:
            self.kill()

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)


class Cluster:
    """Three nodes; entered and left as a context."""

    def __init__(self) -> None:
        self._home = new_home("exchange-galera-")
        self._user = pwd.getpwuid(os.getuid()).pw_name
        if os.getuid() == 0:
            self._user = "nobody"
        self.nodes: list[Node] = []

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._remove()

    def _start(self) -> None:
        self._home.chmod(0o755)
        first = self._home / "node0"
        first.mkdir()
        self._own(first)
        install("--no-defaults", f"--datadir={first / 'data'}", f"--user={self._user}")
        for number in range(1, SIZE):
            home = self._home / f"node{number}"
            shutil.copytree(first, home)
            for path in (home, *home.rglob("*")):
                self._own(path)
        self.nodes = [Node(self._home / f"node{n}", self._user, n) for n in range(SIZE)]
        for number, node in enumerate(self.nodes):
            node.start(self.address, new=number == 0)

    def _own(self, path: Path) -> None:
        if os.getuid() == 0:
            os.chown(path, pwd.getpwnam(self._user).pw_uid, -1)

    def _remove(self) -> None:
        for node in self.nodes:
            node.stop()
        shutil.rmtree(self._home, ignore_errors=True)

    @property
    def address(self) -> str:
        """Where nodes find each other."""
        return ",".join(f"127.0.0.1:{node.group_port}" for node in self.nodes)

    def restart(self, number: int) -> None:
        """Let a node that was killed come back, with what the others have."""
        self.nodes[number].start(self.address)

    def settle(self) -> None:
        """Wait until every node serves, and knows of the others."""
        for node in self.nodes:
            wait_for(lambda node=node: node.serves() and node.members() == SIZE)  # type: ignore[misc]

    def create_database(self, name: str) -> str:
        """Make an empty database and return its URL, which names every node in order."""
        self.settle()
        self.nodes[0].ask(f"CREATE DATABASE `{name}`")
        hosts = "&".join(f"host=127.0.0.1:{node.port}" for node in self.nodes)
        return f"mariadb+pymysql://root@/{name}?{hosts}"

    def url(self, name: str, number: int) -> str:
        """Return the URL of a database at one node alone."""
        return f"mariadb+pymysql://root@127.0.0.1:{self.nodes[number].port}/{name}"
