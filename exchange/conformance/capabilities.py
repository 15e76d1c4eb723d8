"""
The capability file: what is under test, who the kit plays, and what the program under test can.

One TOML file; paths are relative to its folder.  ``exchange conformance prepare`` writes one::

    known_failing = "known-failing.txt"   # optional: case ids, one a line

    [parties]                             # whom the kit plays: gateway configurations
    hotline = "hotline.toml"              # county, police, stranger, outsider likewise

    [bridge]                              # for the profile bridge
    target = "127.0.0.1:5110"
    lease_seconds = 2
    profiles = ["national"]
    restart = ["sh", "restart.sh"]        # optional: SIGKILL, start again, return when it listens

    [adapter]                             # for the profiles receiver and sender
    config = "adapter.toml"               # the gateway configuration that the adapter was given
    start = ["python", "-m", "adapters.jsonl", "run", "desk"]
    say = […]                             # optional: JSON lines on standard input, durable when it ends
    records = […]                         # optional: one JSON line for each message written
    patience_seconds = 45                 # optional: how long a case waits for what the adapter has to do
    deadline_seconds = 5                  # optional: how long the adapter waits for an answer at most
    heads = true                          # optional: `say` may leave a predecessor out

    [relay]                               # for the profile relay
    lower = "relay-lower.toml"            # the gateway configurations that the relay was given for either bridge
    upper = "relay-upper.toml"
    start = ["python", "-m", "adapters.relay", "run", "--config", "relay.toml"]
    patience_seconds = 45                 # optional, as for an adapter
    deadline_seconds = 5                  # optional, likewise
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from exchange.conformance.cases import Profile
from exchange.errors import ConfigurationError, DataError
from exchange.reading import Table
from exchange.text import Text

#: Whom the kit plays; *outsider* holds certificates of a trusted network and is in no register.
PARTIES = ("hotline", "police", "county", "stranger", "outsider")


#: What an adapter has to do may wait for its pauses after failures, which are up to 30 s long.
PATIENCE_SECONDS = 45


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeUnderTest:
    """A bridge: where it listens, and what it was set up with."""

    target: str
    lease_seconds: int
    profiles: tuple[str, ...]
    restart: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterUnderTest:
    """An adapter: how it is started, told and asked."""

    config: Path
    start: tuple[str, ...]
    say: tuple[str, ...]
    records: tuple[str, ...]
    deadline_seconds: int
    patience_seconds: int
    heads: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayUnderTest:
    """A relay: its configuration for the bridge on either side, and how it is started."""

    lower: Path
    upper: Path
    start: tuple[str, ...]
    deadline_seconds: int
    patience_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """The capability file, read."""

    file: Path
    parties: Mapping[str, Path]
    #: Folder with ``expired.key``, ``expired.pem`` … of the hotline.
    defects: Path | None = None
    bridge: BridgeUnderTest | None = None
    adapter: AdapterUnderTest | None = None
    relay: RelayUnderTest | None = None
    known_failing: Path | None = None
    #: The certificates that the kit plays a bridge with: the folder ``prepare`` made.
    ground: Path = field(default_factory=Path)

    @property
    def folder(self) -> Path:
        """The folder that commands are run in."""
        return self.file.resolve().parent

    def provides(self, profile: Profile) -> frozenset[str]:
        """Return what is there, in the words that cases need it by."""
        found = {"defects"} if self.defects is not None else set()
        found |= {f"party:{name}" for name in self.parties}
        if profile is Profile.BRIDGE and self.bridge is not None:
            found |= {f"profile:{name}" for name in self.bridge.profiles}
            found |= {"restart"} if self.bridge.restart else set()
        elif profile is Profile.RELAY and self.relay is not None:
            found |= {"deadline_seconds"} if self.relay.deadline_seconds else set()
        elif self.adapter is not None:
            for name in ("say", "records", "heads", "deadline_seconds"):
                found |= {name} if getattr(self.adapter, name) else set()
        return frozenset(found)


def read_capabilities(path: Path) -> Capabilities:
    """Return the capability file at *path*; raises `ConfigurationError` naming the key at fault."""
    try:
        table = Table.read(path)
        found = _capabilities(path, table)
        table.done()
        return found
    except DataError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise ConfigurationError(_NONE.fill(file=path), file=str(path)) from error
        raise ConfigurationError(error.text, **error.facts) from error


def _capabilities(path: Path, table: Table) -> Capabilities:
    folder = path.resolve().parent
    parties = table.table("parties")
    files = {name: folder / parties.text(name) for name in parties if name in PARTIES}
    parties.done()
    for name in ("hotline", "police"):
        if name not in files:
            parties.text(name)
    listed, defects = table.text("known_failing", ""), table.text("defects", "")
    return Capabilities(
        file=path,
        parties=files,
        ground=folder / table.text("certificates", "certificates"),
        defects=folder / defects if defects else None,
        known_failing=folder / listed if listed else None,
        bridge=_bridge(table.table("bridge")) if "bridge" in table else None,
        adapter=_adapter(folder, table.table("adapter")) if "adapter" in table else None,
        relay=_relay(folder, table.table("relay")) if "relay" in table else None,
    )


def _bridge(table: Table) -> BridgeUnderTest:
    found = BridgeUnderTest(
        target=table.text("target"),
        lease_seconds=table.integer("lease_seconds", 30),
        profiles=table.words("profiles", ("national",)),
        restart=table.words("restart", ()),
    )
    table.done()
    return found


def _adapter(folder: Path, table: Table) -> AdapterUnderTest:
    found = AdapterUnderTest(
        config=folder / table.text("config"),
        start=table.words("start"),
        say=table.words("say", ()),
        records=table.words("records", ()),
        deadline_seconds=table.integer("deadline_seconds", 0),
        patience_seconds=table.integer("patience_seconds", PATIENCE_SECONDS),
        heads=table.boolean("heads", default=False),
    )
    table.done()
    _require_start(table, found.start)
    return found


def _relay(folder: Path, table: Table) -> RelayUnderTest:
    found = RelayUnderTest(
        lower=folder / table.text("lower"),
        upper=folder / table.text("upper"),
        start=table.words("start"),
        deadline_seconds=table.integer("deadline_seconds", 0),
        patience_seconds=table.integer("patience_seconds", PATIENCE_SECONDS),
    )
    table.done()
    _require_start(table, found.start)
    return found


def _require_start(table: Table, start: tuple[str, ...]) -> None:
    if not start:
        raise table.fault("start", Text(en="name the program.", zh="请给出程序。"))


_NONE = Text(
    en="There is no capability file {file}. Make one, with test certificates: exchange conformance "
    "prepare FOLDER",
    zh="没有能力文件 {file}。可连同测试证书一并生成：exchange conformance prepare 文件夹",
)
