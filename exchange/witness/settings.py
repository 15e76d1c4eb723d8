"""
What a witness is told: one TOML file, its paths relative to its folder::

    key = "witness.key"                # exchange certs log-key witness --name NETWORK/witness/1
    memory = "memory"                  # a folder that survives
    every_seconds = 60
    tls = { certificate = "witness-tls.pem", key = "witness-tls.key" }

    [[log]]
    verifier = "bridge.vkey"           # the log's verifier key, received out of band
    target = "bridge.example:5110"     # left out where it comes as files alone
    bridge_roots = "bridge.example.pem"

A log may stand there several times, with one verifier key and several targets: whatever they show is
held against the same memory, so that two bridges that claim one log are found out.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from exchange.config import NO_CONFIGURATION
from exchange.envelope import read_file
from exchange.errors import ConfigurationError, DataError
from exchange.note import NoteVerifier
from exchange.reading import Table
from exchange.text import Text

#: Seconds between two looks.
LEAST, MOST, USUAL = 1, 86_400, 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialling:
    """How one bridge is reached; PEM files."""

    target: str
    roots: Path
    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """One log, where it is looked at; *dialling* is None where it comes as files alone."""

    log: NoteVerifier
    dialling: Dialling | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WitnessSettings:
    """Everything a witness is told."""

    key: Path
    memory: Path
    every: int
    watched: tuple[Watched, ...]

    @property
    def logs(self) -> dict[str, NoteVerifier]:
        """Return the logs by name, each once."""
        return {one.log.name: one.log for one in self.watched}


def read_witness(path: Path) -> WitnessSettings:
    """Return the settings in *path*; raises `ConfigurationError` naming the key at fault."""
    folder = path.resolve().parent
    try:
        table = Table.read(path)
        every = table.integer("every_seconds", USUAL)
        if not LEAST <= every <= MOST:
            raise table.fault("every_seconds", _BOUNDS.fill(least=LEAST, most=MOST))
        key, memory = folder / table.text("key"), folder / table.text("memory")
        tls = table.table("tls") if "tls" in table else None
        table.ask("tls")
        logs = table.tables("log")
        table.done()
        if not logs:
            raise table.fault("log", _NO_LOG)
        watched = tuple(_watched(one, tls, folder) for one in logs)
    except DataError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise ConfigurationError(NO_CONFIGURATION.fill(file=path), file=str(path)) from error
        raise ConfigurationError(error.text, **error.facts) from error
    for one in watched:
        for other in watched:
            if one.log.name == other.log.name and one.log != other.log:
                raise ConfigurationError(_TWO_KEYS.fill(file=path, origin=one.log.name))
    return WitnessSettings(key=key, memory=memory, every=every, watched=watched)


def _watched(table: Table, tls: Table | None, folder: Path) -> Watched:
    file = folder / table.text("verifier")
    log = NoteVerifier.parse(read_file(file).decode("utf-8", "replace").strip())
    target = table.text("target", "")
    dialling = None
    if target:
        if tls is None:
            raise table.fault("target", _NO_TLS)
        dialling = Dialling(
            target=target,
            roots=folder / table.text("bridge_roots"),
            certificate=folder / tls.text("certificate"),
            key=folder / tls.text("key"),
        )
    table.done()
    return Watched(log=log, dialling=dialling)


_BOUNDS = Text(en="must be {least} to {most}.", zh="应在 {least} 至 {most} 之间。")
_NO_LOG = Text(en="name at least one log to watch.", zh="请至少列出一份所见证的日志。")
_NO_TLS = Text(
    en="to dial a bridge, the witness needs 'tls' with 'certificate' and 'key'.",
    zh="拨入网桥须在 tls 中配置 certificate 与 key。",
)
_TWO_KEYS = Text(
    en="{file}: the log {origin} stands there with two verifier keys; a log has one. Find out which is right.",
    zh="{file}：日志 {origin} 配有两个不同的验证公钥，而一份日志只有一个。请核实。",
)
