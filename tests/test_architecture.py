"""
Who may import what: the tables at the top are the architecture, the tests hold the code to them.

Every import counts: at the top, inside a function, under ``TYPE_CHECKING``.  A new module is given
a place in ``ORDER`` before it can be imported; choosing the place is the design decision.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Lowest first.  A module imports only modules that stand before it; a sub-package has the place of
# its name, and inside it only cycles are forbidden.
ORDER: dict[str, tuple[str, ...]] = {
    "words": (
        "data", "text", "making", "causes", "errors", "withdrawn", "reading", "divisions", "organisations",
        "coded", "matching", "matters", "catalog", "workdays", "provisions", "profile",
    ),
    "domain": (
        "acts", "ticket", "states", "lifecycle", "knowing", "facts", "offering", "guards", "rules", "deadlines",
        "delivery", "merkle", "attachments", "envelope", "note", "log", "cosignature", "verdicts", "covering",
        "succession", "chain", "erasure", "submission", "sealing", "tracing", "records", "reckoning", "views",
    ),
    "keeping": ("columns", "tables", "attachment_tables", "migrations", "keyring", "store", "query"),
    "doing": ("bridge",),
    "edges": (
        "_proto", "wire", "pem", "revocation", "trust", "certificates", "identity", "proof", "settings",
        "config", "server", "client", "witness", "conformance", "doctor", "cli", "demo", "__main__",
    ),
}  # fmt: skip

# A foreign library -> the only modules through which it comes in.  The longest name counts.
DOORS: dict[str, set[str]] = {
    "sqlalchemy": {
        "exchange.columns", "exchange.tables", "exchange.attachment_tables", "exchange.migrations", "exchange.store", "exchange.query",
        "adapters.table",           # a platform's own tables, on whatever engine it has
        "adapters.staging", "adapters.folder.platform",  # which keep a platform's records as such tables
        "adapters.mapping.sources", # which a mapping is drafted from
    },
    "cel": {"adapters.mapping.expressions"},
    "aiohttp": {"adapters.http", "adapters.open311.serving"},
    "standardwebhooks": {"adapters.http", "adapters.reminder"},
    "openpyxl": {"adapters.folder.xlsx_file"},
    "alembic": {"exchange.migrations", "exchange.store"},
    "psycopg": {"exchange.store"},
    "pymysql": {"exchange.store"},
    "sqlite3": {"exchange.store", "adapters", "exchange.demo"},
    "grpc": {"exchange.server", "exchange.client", "exchange.conformance", "exchange._proto"},
    "grpc_health": {"exchange.server", "exchange.client"},
    "grpc_status": {"exchange.server", "exchange.client", "exchange.conformance"},
    "google": {"exchange.server", "exchange.client", "exchange._proto"},
    "google.protobuf": {"exchange.wire", "exchange.conformance.trace", "exchange._proto"},
    "protovalidate": {"exchange.wire"},
    "exchange._proto": {
        "exchange.wire", "exchange.server", "exchange.client", "exchange.conformance",
        "exchange.witness.calling", "exchange._proto",
    },
    "cryptography": {
        "exchange.envelope", "exchange.note", "exchange.log", "exchange.cosignature", "exchange.revocation",
        "exchange.keyring",         # what the database's content is encrypted under
        "exchange.trust", "exchange.certificates", "exchange.identity", "exchange.server.journals",
        "exchange.server.announcer", "exchange.sealing", "certs",
    },
    "opentelemetry": {"exchange.server.spans"},
    "prometheus_client": {"exchange.server"},
    "pkcs11": {"certs.token"},
    "stdnum": {"exchange.divisions", "exchange.organisations"},
    "click": {"exchange.cli", "certs.cli", "certs.speech", "exchange.demo.command"},
}  # fmt: skip

# The domain is pure: *now* and randomness are arguments, and nothing is read or written.
PURE = ("words", "domain")
IMPURE = {
    "asyncio", "multiprocessing", "os", "random", "secrets", "select", "shutil", "signal", "socket",
    "ssl", "subprocess", "tempfile", "threading", "time", "urllib",
}  # fmt: skip
IMPURE_AFTER_ALL = {
    ("exchange.envelope", "os"),  # a private key file that others may read is refused
}

# What stands beside the exchange, and what of the exchange it may import.
BESIDE: dict[str, set[str]] = {
    "adapters": {
        "text", "causes", "errors", "divisions", "organisations", "coded", "acts", "ticket",
        "envelope", "client",
        "attachments", # a file is cut into chunks, and a chunk is proved, on either side alike
        "reading", # a mapping file is read, and its mistakes are named, like the package's own data
    },
    "certs": set(),
}  # fmt: skip

# Who of the exchange may import what stands beside it.
# The bridge obeys the deny list of the certificate tool, which is read in one place for both.
MAY_IMPORT_BESIDE = {
    "exchange.conformance",
    "exchange.demo",
    "exchange.doctor",
    "exchange.cli",
    "exchange.server.trust_files",
    "exchange.server.journals",
    "exchange.client.token",
}

LINES_MAX = 400

PLACES = [name for names in ORDER.values() for name in names]


@dataclass(frozen=True, slots=True)
class Import:
    """One import statement's target, and where it stands."""

    module: str
    target: str
    place: str


def modules() -> dict[str, Path]:
    """Return every module of ours by its dotted name."""
    found: dict[str, Path] = {}
    for package in ("exchange", *BESIDE):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found[name] = path
    return found


def within(name: str, tops: set[str]) -> bool:
    """Return whether *name* is one of *tops* or lies inside one."""
    return any(name == top or name.startswith(top + ".") for top in tops)


MODULES = modules()


def imports_of(module: str) -> Iterator[Import]:
    """Yield what *module* imports, wherever the statement stands; of names, the module they are in."""
    path = MODULES[module]
    for node in ast.walk(ast.parse(path.read_bytes(), str(path))):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            source = "." * node.level + (node.module or "")
            # `from exchange import store` means the module, `from exchange.store import x` a name
            targets = [
                full if (full := f"{source}.{alias.name}") in MODULES else source
                for alias in node.names
            ]
        else:
            continue
        for target in targets:
            yield Import(module, target, f"{path.relative_to(ROOT)}:{node.lineno}")


IMPORTS = [found for module in MODULES for found in imports_of(module)]
INSIDE = [i for i in IMPORTS if i.module.startswith("exchange.") and within(i.target, {"exchange"})]


def room(module: str) -> str:
    """Return the place of ``exchange.<room>...``; empty for the package itself."""
    return module.partition(".")[2].partition(".")[0]


@pytest.mark.parametrize("module", [m for m in MODULES if within(m, {"exchange"})])
def test_every_module_has_a_place(module: str) -> None:
    """Each module of the exchange stands in the table."""
    assert room(module) in {"", *PLACES}


def test_no_place_is_given_twice() -> None:
    """The order is an order."""
    assert sorted(set(PLACES)) == sorted(PLACES)


def test_modules_import_only_lower_ones() -> None:
    """No module imports one that stands after it."""
    upward = [
        f"{i.place}: {i.module} imports {i.target}"
        for i in INSIDE
        if {room(i.module), room(i.target)} <= set(PLACES)
        and room(i.target) != room(i.module)
        and PLACES.index(room(i.target)) > PLACES.index(room(i.module))
    ]

    assert [] == upward


def test_no_cycle() -> None:
    """Inside a sub-package, in adapters and in certs too, nothing imports in a circle."""
    graph: dict[str, set[str]] = {}
    for i in IMPORTS:
        if i.target in MODULES and not i.module.startswith(i.target + "."):
            graph.setdefault(i.module, set()).add(i.target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_foreign_libraries_come_in_by_their_door() -> None:
    """A library is imported only where the table opens a door for it."""
    trespassing = []
    for i in IMPORTS:
        doors = [library for library in DOORS if within(i.target, {library})]
        if doors and not within(i.module, DOORS[max(doors, key=len)]):
            trespassing.append(f"{i.place}: {i.module} imports {i.target}")

    assert [] == trespassing


def test_the_domain_is_pure() -> None:
    """Neither words nor domain can reach a clock, the network, a process or chance."""
    pure = {f"exchange.{name}" for layer in PURE for name in ORDER[layer]}
    impure = [
        f"{i.place}: {i.module} imports {i.target}"
        for i in IMPORTS
        if within(i.module, pure)
        and within(i.target, IMPURE)
        and (i.module, i.target) not in IMPURE_AFTER_ALL
    ]

    assert [] == impure


@pytest.mark.parametrize("package", BESIDE)
def test_what_stands_beside_knows_little(package: str) -> None:
    """Adapters and certificate tools import of the exchange only what the table grants."""
    allowed = {f"exchange.{name}" for name in BESIDE[package]} | {package}
    ours = {"exchange", *BESIDE}
    too_much = [
        f"{i.place}: {i.module} imports {i.target}"
        for i in IMPORTS
        if within(i.module, {package}) and within(i.target, ours) and not within(i.target, allowed)
    ]

    assert [] == too_much


def test_the_exchange_does_not_lean_on_what_stands_beside() -> None:
    """Only demo, doctor, conformance kit and commands may import adapters and certificate tools."""
    leaning = [
        f"{i.place}: {i.module} imports {i.target}"
        for i in IMPORTS
        if within(i.module, {"exchange"})
        and within(i.target, set(BESIDE))
        and not within(i.module, MAY_IMPORT_BESIDE)
    ]

    assert [] == leaning


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("exchange.client", {"sqlalchemy", "alembic", "psycopg", "protovalidate"}),
        ("adapters.relay", {"sqlalchemy", "alembic", "psycopg", "protovalidate"}),
        ("exchange.server.opening", {"alembic", "adapters"}),
    ],
)
def test_nobody_waits_for_what_it_does_not_use(module: str, heavy: set[str]) -> None:
    """A desk loads no database, a bridge no tool of its installation: each start would take a second more."""
    program = f"import sys, {module}; print(*sys.modules)"
    said = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert set() == heavy.intersection(said.stdout.split())


def test_imports_are_absolute() -> None:
    """A relative import hides which layer it reaches into."""
    assert [] == [i.place for i in IMPORTS if i.target.startswith(".")]


def test_modules_are_small() -> None:
    """A module that passes the limit is several nouns: split it."""
    lengths = {
        name: len(path.read_bytes().splitlines())
        for name, path in MODULES.items()
        if not within(name, {"exchange._proto", "exchange.migrations"})
    }

    assert {} == {name: lines for name, lines in lengths.items() if lines > LINES_MAX}
