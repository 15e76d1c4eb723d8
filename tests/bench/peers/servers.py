"""
The peers' servers: each is started on loopback, durable and with mutual TLS, as we are.

Nothing is installed here and nothing needs root; what is missing is an `Absent` that says what
would bring it (`tests.bench.peers.installing` does, when it is asked).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import make_url

from certs.development import DevelopmentSet
from tests.postgres import PostgresServer, free_port

ROOT = Path(__file__).resolve().parents[3]
#: The environment of the peers' Python clients and of the FastAPI service.
PYTHON = ROOT / ".venv-bench" / "bin" / "python"
#: Seconds in which a server must take connections.
_START = 60.0

_RABBITMQ_SCRIPTS = "/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server"

_RABBITMQ_CONF = """\
listeners.tcp = none
listeners.ssl.1 = 127.0.0.1:{port}
ssl_options.cacertfile = {roots}
ssl_options.certfile = {certificate}
ssl_options.keyfile = {key}
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = true
ssl_options.versions.1 = tlsv1.3
log.file.level = warning
"""

_NATS_CONF = """\
host: 127.0.0.1
port: {port}
max_payload: 8MB
max_pending: 64MB
tls {{
  cert_file: "{certificate}"
  key_file: "{key}"
  ca_file: "{roots}"
  verify: true
}}
jetstream {{
  store_dir: "{home}"
  {more}
}}
"""


class Absent(Exception):
    """This machine does not have the peer; the text says what is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What every server starts from: certificates, a folder, a PostgreSQL where there is one."""

    made: DevelopmentSet
    folder: Path
    postgres: PostgresServer | None

    def roots(self) -> Path:
        """Return one file of both networks' roots: unlike our bridge, the peers pool their trust."""
        path = self.folder / "pooled-roots.pem"
        pems = [file.read_text("ascii") for file in self.made.trust.values()]
        path.write_text("".join(pems), "ascii")
        return path

    def home(self, name: str) -> Path:
        """Return an empty folder of a server's own."""
        path = self.folder / name
        path.mkdir(parents=True)
        return path

    def files(self) -> dict[str, object]:
        """Return what a server shows and trusts."""
        shown = self.made.bridge
        return {"certificate": shown.certificate, "key": shown.key, "roots": self.roots()}


Server = Callable[[Ground], AbstractContextManager[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """What an integrator would otherwise pick, and what of our work it does not do."""

    name: str
    title: str
    server: Server
    #: The client's module, and which of its variants.
    client: str
    variant: str = ""
    #: Whether a ticket is on disk before its sender is told so.
    durable: bool
    #: Whether 128 tickets can go as one opaque message.
    packs: bool
    leaves_out: str


# -- RabbitMQ


@contextmanager
def rabbitmq(ground: Ground) -> Iterator[int]:
    """Run one node; its quorum queues have a quorum of one."""
    # Debian's command insists on its own user; the script below it does not.
    scripts = sorted(Path("/").glob(_RABBITMQ_SCRIPTS.lstrip("/")))
    epmd = shutil.which("epmd")
    if not scripts or epmd is None:
        raise Absent("there is no rabbitmq-server (Debian: rabbitmq-server)")
    home, port, mapper = ground.home("rabbitmq"), free_port(), free_port()
    conf, plugins = home / "rabbitmq.conf", home / "plugins"
    conf.write_text(_RABBITMQ_CONF.format(port=port, **ground.files()), "ascii")
    plugins.write_text("[].\n", "ascii")
    env = {
        "HOME": str(home),
        "RABBITMQ_NODENAME": "bench@localhost",
        "RABBITMQ_CONF_ENV_FILE": os.devnull,
        "RABBITMQ_CONFIG_FILE": str(conf),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
        "RABBITMQ_MNESIA_BASE": str(home / "data"),
        "RABBITMQ_LOG_BASE": str(home / "log"),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_PID_FILE": str(home / "pid"),
        # As packagers advise where cores are shared: no busy waiting.
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none +sbwtdcpu none +sbwtdio none",
        "ERL_EPMD_PORT": str(mapper),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
    }
    try:
        with _running([str(scripts[-1])], port, home, env):
            yield port
    finally:
        # It leaves its port mapper behind, ours on a port of its own.
        command = [epmd, "-port", str(mapper), "-kill"]
        subprocess.run(command, check=False, capture_output=True, env=os.environ | env)


# -- NATS


def nats(more: str = "") -> Server:
    """Return the server with one more JetStream setting, where the installed version knows it."""

    @contextmanager
    def start(ground: Ground) -> Iterator[int]:
        program = shutil.which("nats-server")
        if program is None:
            raise Absent("there is no nats-server (Debian: nats-server)")
        home, port = ground.home(f"nats{'-always' if more else ''}"), free_port()
        conf = home / "nats.conf"
        conf.write_text(
            _NATS_CONF.format(port=port, home=home / "data", more=more, **ground.files()), "ascii"
        )
        # A version that does not know a setting says so, and does not start.
        checked = subprocess.run(
            [program, "-t", "-c", str(conf)], check=False, capture_output=True, text=True
        )
        if checked.returncode:
            version = subprocess.run(
                [program, "--version"], check=True, capture_output=True, text=True
            ).stdout
            said = (checked.stderr or checked.stdout).strip().rpartition(": ")[2]
            raise Absent(f"{version.strip()} does not support it ({said})")
        with _running([program, "-c", str(conf)], port, home, {}):
            yield port

    return start


# -- FastAPI


@contextmanager
def fastapi(ground: Ground) -> Iterator[int]:
    """Run the service over a database of its own on the same PostgreSQL that we use."""
    if ground.postgres is None:
        raise Absent("it needs the PostgreSQL that was not started")
    name = f"peer_{os.urandom(4).hex()}"
    url = make_url(ground.postgres.create_database(name)).set(drivername="postgresql")
    home, port, files = ground.home(name), free_port(), ground.files()
    command = [
        str(PYTHON), "-m", "uvicorn", "tests.bench.peers.rest_service:make", "--factory",
        "--host", "127.0.0.1", "--port", str(port), "--log-level", "warning", "--no-access-log", "--timeout-keep-alive", "3600",
        "--ssl-certfile", str(files["certificate"]), "--ssl-keyfile", str(files["key"]),
        "--ssl-ca-certs", str(files["roots"]), "--ssl-cert-reqs", "2",
    ]  # fmt: skip
    env = {"DATABASE": url.render_as_string(hide_password=False)}
    try:
        with _running(command, port, home, env):
            yield port
    finally:
        ground.postgres.drop_database(name)


# -- a process


@contextmanager
def _running(
    command: Sequence[str], port: int, home: Path, env: Mapping[str, str]
) -> Iterator[None]:
    """Run a server in a session of its own until the block ends; it takes connections before."""
    log = home / "output.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | env, stdin=subprocess.DEVNULL,
            stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
    try:
        _wait_for(port, process, log)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + _START
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    said = log.read_text("utf-8", "replace").strip().splitlines()[-3:]
    raise Absent(f"it does not start: {' / '.join(said) or 'it says nothing'}")


#: In the order they are shown.
PEERS: tuple[Peer, ...] = (
    Peer(
        name="rabbitmq",
        title="RabbitMQ, quorum queue, confirms",
        server=rabbitmq,
        client="rabbitmq",
        durable=True,
        packs=True,
        leaves_out="does not parse, check, verify, order by hand-off, receipt, log or answer for anything; "
        "recognises no repeat (its receiver has to), and its acknowledgement is not answered",
    ),
    Peer(
        name="nats",
        title="NATS JetStream, default",
        server=nats(),
        client="jetstream",
        durable=False,
        packs=True,
        leaves_out="confirms before its file is synced (every two minutes): a power failure loses what it "
        "confirmed; recognises a repeat for two minutes; otherwise as RabbitMQ",
    ),
    Peer(
        name="nats-always",
        title="NATS JetStream, sync always",
        server=nats("sync_interval: always"),
        client="jetstream",
        durable=True,
        packs=True,
        leaves_out="recognises a repeat for two minutes; otherwise as RabbitMQ",
    ),
    Peer(
        name="fastapi",
        title="FastAPI + PostgreSQL, minimal client",
        server=fastapi,
        client="rest",
        variant="minimal",
        durable=True,
        packs=False,
        leaves_out="checks no signature and no field, keeps no order, no receipt, no log, no life cycle",
    ),
    Peer(
        name="fastapi-httpx",
        title="FastAPI + PostgreSQL, httpx",
        server=fastapi,
        client="rest",
        variant="httpx",
        durable=True,
        packs=False,
        leaves_out="as above",
    ),
)  # fmt: skip
