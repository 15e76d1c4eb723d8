"""The doctor finds by real probes: every failing finding is provoked for real here."""

from __future__ import annotations

import os
import re
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url, text

from exchange.cli.gateway import read_gateway
from exchange.config import load_settings
from exchange.doctor import (
    Finding,
    Status,
    examine_bridge,
    examine_gateway,
    files,
    network,
    storage,
    surroundings,
)
from exchange.doctor.findings import run
from exchange.errors import StoreUnusable
from exchange.note import LogKey
from exchange.store import create, migrate
from exchange.text import Text
from tests.cli.town import Shell, Town, gateway_toml, matter_lines, write_lines
from tests.mtls.handshake import mirror
from tests.pki import CITY_110, CITY_12345, COUNTY_12345, Pki
from tests.postgres import PostgresServer
from tests.server.running import Running, running, write_settings


def now() -> datetime:
    """Return the time, which the certificates and the bridge's clock are held against."""
    return datetime.now(UTC)


def _ill(findings: list[Finding]) -> dict[str, Finding]:
    """Return what is not well, by probe; each such finding has a cause and a mend."""
    ill = {one.probe: one for one in findings if one.status is not Status.OK}
    for one in ill.values():
        assert one.cause is not None
        assert one.fix is not None
        assert one.cause.zh
        assert one.fix.zh
    return ill


def _gateway(path: Path, at: datetime | None = None) -> dict[str, Finding]:
    return _ill(list(examine_gateway(read_gateway(path), at or now())))


def _reach(pki: Pki, address: str, **changes: Any) -> dict[str, Finding]:
    good = pki.gateway(CITY_12345)
    credentials = network.Credentials(
        chain=good.certificate, key=good.key, roots=pki.development.bridge_trust
    )
    return _ill(list(network.reach(address, replace(credentials, **changes), now())))


# -- a gateway


def test_a_good_gateway_and_a_good_bridge_are_well(town: Town, exchange: Shell) -> None:
    """Everything is probed up to a real call; nothing is found; exit code 0."""
    assert _gateway(town.hotline) == {}
    said = exchange("doctor", "--config", town.hotline, "--lang", "zh")
    assert (said.code, said.out.splitlines()[-1]) == (0, "一切正常。")
    assert "网桥应答正常" in said.out


def test_findings_as_data_and_exit_codes(town: Town, exchange: Shell, tmp_path: Path) -> None:
    """``--json`` gives probe, status, cause and fix; 1 with a failure, 2 without configuration."""
    path = gateway_toml(town.pki, tmp_path, CITY_12345, town.bridge.port, gateway_key='"gone.key"')
    said = exchange("doctor", "--config", path, "--json")
    assert said.code == 1
    key = next(one for one in said.data["findings"] if one["probe"] == "key")
    assert key["status"] == "fail"
    assert "gone.key" in key["cause"]
    gone = exchange("doctor", "--config", tmp_path / "none.toml", "--json")
    assert gone.code == 2
    assert "none.toml" in gone.data["configuration"]


@pytest.mark.parametrize("defect", ["expired", "not-yet-valid", "unknown-root", "wrong-network",
                                    "server-only", "two-names"])  # fmt: skip
def test_a_bad_gateway_certificate_is_told_apart(town: Town, tmp_path: Path, defect: str) -> None:
    """What gRPC reports as "socket closed" is named: by the rule that the certificate breaks."""
    path = gateway_toml(town.pki, tmp_path, CITY_12345, town.bridge.port, town.pki.defects[defect])
    ill = _gateway(path)
    words = {
        "expired": "not valid at this time",
        "not-yet-valid": "not valid at this time",
        "unknown-root": "No root of the named network",
        "wrong-network": "Another network's authority",
        "server-only": "for another use",
        "two-names": "exactly one name",
    }
    assert words[defect] in str(ill["gateway"].cause)
    # TLS itself, or where that lets it pass the real call, is refused too.
    assert {"tls-refused", "call"} & set(ill)
    if defect == "expired":
        assert "expired" in str(ill["certificate"].what)
    if defect == "not-yet-valid":
        assert "clock" in ill


def test_no_client_certificate_is_told_apart(pki: Pki) -> None:
    """A bridge that hangs up on a caller without a certificate is understood."""
    with mirror(pki) as port:
        ill = _reach(pki, f"127.0.0.1:{port}", chain=None, key=None)
    assert list(ill) == ["tls-no-certificate"]


def test_the_wrong_root_for_the_bridge_is_told_apart(pki: Pki) -> None:
    """A bridge that no root of ours vouches for."""
    with mirror(pki) as port:
        ill = _reach(pki, f"127.0.0.1:{port}", roots=pki.development.trust[CITY_110.network])
    assert list(ill) == ["tls-chain"]


def test_a_name_that_is_not_the_bridges_is_told_apart(pki: Pki) -> None:
    """A bridge dialled by a name that its certificate does not have."""
    with mirror(pki) as port, socket.create_connection(("127.0.0.1", port)) as connection:
        credentials = network.Credentials(chain=None, key=None, roots=pki.development.bridge_trust)
        shaken = network._shake_hands(connection, "other.example", credentials, now())
        ill = _ill(list(shaken))
    assert list(ill) == ["tls-name"]


def test_a_port_without_tls_is_told_apart(pki: Pki) -> None:
    """Something answers there, and it is no TLS."""
    with _answering(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        assert list(_reach(pki, f"127.0.0.1:{port}")) == ["tls-none"]


@contextmanager
def _answering(answer: bytes) -> Iterator[int]:
    """Listen, answer one connection's first bytes with *answer*, hang up."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def once() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

        thread = threading.Thread(target=once)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


def test_a_port_where_nobody_listens_and_a_name_nobody_knows(pki: Pki) -> None:
    """A refused connection, an unknown name and no address at all are three findings."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert "Nobody listens" in str(_reach(pki, f"127.0.0.1:{port}")["port"].what)
    assert list(_reach(pki, "no-such-host.invalid:5110")) == ["name"]
    assert list(_reach(pki, "bridge.example")) == ["address"]


def test_an_organisation_that_is_not_registered_is_told_so(pki: Pki, tmp_path: Path) -> None:
    """Certificates are well, and the bridge does not know us: only a real call shows it."""
    with running(pki, tmp_path, unregistered=COUNTY_12345) as bridge:
        ill = _gateway(gateway_toml(pki, tmp_path, COUNTY_12345, bridge.port))
    assert list(ill) == ["call"]
    assert "not registered" in str(ill["call"].cause)


def test_a_key_that_others_may_read_or_that_does_not_fit(town: Town, tmp_path: Path) -> None:
    """An open key has its chmod; a key of another certificate is told."""
    key = tmp_path / "open.key"
    key.write_bytes(town.pki.gateway(CITY_12345).key.read_bytes())
    key.chmod(0o644)
    (found,) = files.private_keys([key])
    assert f"chmod 600 {key}" in str(found.cause)

    other = town.pki.gateway(CITY_110)
    (unfit,) = files.pair("gateway", town.pki.gateway(CITY_12345).key, other.certificate)
    assert unfit.status is Status.FAIL


def test_a_clock_that_is_wrong_is_seen_in_the_certificates(town: Town) -> None:
    """Years behind, certificates are not valid yet; near their end, they warn; after it, expired."""
    path = town.hotline
    behind = _gateway(path, now() - timedelta(days=4000))
    assert "clock" in behind
    chain = {Text(en="c", zh="证书"): town.pki.gateway(CITY_12345).certificate}
    (end,) = {str(one.what).split("until ")[1] for one in files.validity(chain, now())}
    ends = datetime.strptime(end, "%Y-%m-%d %H:%M %z")
    (soon,) = files.validity(chain, ends - timedelta(days=3))
    assert soon.status is Status.WARN
    (over,) = files.validity(chain, ends + timedelta(days=3))
    assert over.status is Status.FAIL


@pytest.mark.parametrize(
    ("minutes", "said"), [(5, "ahead of the bridge's"), (-5, "behind the bridge's")]
)
def test_a_clock_that_is_minutes_off_is_held_against_the_bridges(
    town: Town, minutes: int, said: str
) -> None:
    """Certificates do not show it: the bridge tells its own time, and the doctor says the difference."""
    ill = _gateway(town.hotline, now() + timedelta(minutes=minutes))
    assert list(ill) == ["clock"]
    assert ill["clock"].status is Status.WARN
    assert said in ill["clock"].what.en
    assert re.search(r"\b(299|300|301) s ", ill["clock"].what.en)
    assert "timedatectl" in str(ill["clock"].fix)


def test_a_bridges_clock_behind_its_own_log_is_found(
    town: Town, tmp_path: Path, exchange: Shell
) -> None:
    """What is recorded is of a time that has not come yet: the clock was set back."""
    lines = matter_lines()[1]
    assert (
        exchange("push", write_lines(tmp_path / "o.jsonl", lines), "--config", town.hotline).code
        == 0
    )
    settings = load_settings(town.operator, os.environ)
    ill = _ill(list(examine_bridge(settings, now() - timedelta(minutes=5))))
    assert "has not come yet" in ill["clock"].what.en
    assert "clock" not in _ill(list(examine_bridge(settings, now())))


def test_a_log_that_the_gateway_does_not_trust_is_found(
    town: Town, tmp_path: Path, exchange: Shell
) -> None:
    """Another key of the same name: every receipt would fail, and the mend says whose key to ask for."""
    lines = matter_lines()[1]
    pushed = exchange("push", write_lines(tmp_path / "o.jsonl", lines), "--config", town.hotline)
    assert pushed.code == 0
    other = LogKey.from_seed(town.bridge.settings.origin, b"\x01" * 32).verifier
    (tmp_path / "other.vkey").write_text(f"{other}\n", encoding="utf-8")
    port, key = town.bridge.port, f'["{tmp_path / "other.vkey"}"]'
    path = gateway_toml(town.pki, tmp_path, CITY_12345, port, log_verifiers=key)
    ill = _gateway(path)
    assert list(ill) == ["log"]
    assert "log_verifiers" in str(ill["log"].fix)
    assert "log" in {one.probe for one in examine_gateway(read_gateway(town.hotline), now())}


def test_trust_that_pools_two_networks_is_found(town: Town, tmp_path: Path) -> None:
    """One root for two networks is refused by name."""
    root = next(iter(town.pki.development.trust.values()))
    (found,) = files.trusted({"one.example": root, "two.example": root})
    assert found.status is Status.FAIL


def test_a_probe_that_hangs_is_ended() -> None:
    """A probe beyond its limit is a finding, not a hanging doctor."""
    over = threading.Event()

    def hang() -> Iterator[Finding]:
        over.wait()
        yield from ()

    try:
        (found,) = run("port", hang, limit=0.01)
    finally:
        over.set()
    assert (found.probe, found.status) == ("port", Status.FAIL)


# -- a bridge


def _settings(pki: Pki, folder: Path) -> dict[str, Finding]:
    settings = load_settings(write_settings(pki, folder))
    return _ill(list(examine_bridge(settings, now())))


def test_a_bridge_before_and_after_migrating(pki: Pki, tmp_path: Path) -> None:
    """Without a database: the backup, or for a first start ``--create``; after it all is well."""
    before = _settings(pki, tmp_path)
    assert list(before) == ["database"]
    assert "exchange migrate --create" in str(before["database"].fix)
    assert "backup" in str(before["database"].fix)
    assert not list(tmp_path.glob("bridge.db*"))
    migrate(f"sqlite:///{tmp_path / 'bridge.db'}")
    assert _settings(pki, tmp_path) == {}


def test_a_port_that_is_taken_is_found(pki: Pki) -> None:
    """Somebody listens there already; the mend says how to see who."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        ill = _ill(list(network.listening(f"127.0.0.1:{port}")))
        assert f"sport = :{port}" in str(ill["port"].fix)
    assert "port" in _ill(list(network.listening("192.0.2.1:5110")))
    assert "address" in _ill(list(network.listening("5110")))


def test_a_bridge_that_runs_is_well(pki: Pki, tmp_path: Path) -> None:
    """Its port is taken by itself, which its certificate and its hold on the database show."""
    with running(pki, tmp_path) as bridge:
        address = f"127.0.0.1:{bridge.port}"
        config = tmp_path / "exchange.toml"
        settings = load_settings(config, {"EXCHANGE_LISTEN": address})
        found = list(examine_bridge(settings, now()))
        assert _ill(found) == {}
        (port,) = [one for one in found if one.probe == "port"]
        assert f"The bridge is running here: {address} (PID {os.getpid()}" in str(port.what)
        assert "网桥正在此运行" in port.what.zh
        assert "writable" in {one.probe for one in found}
        with mirror(pki, pki.gateway(CITY_110)) as taken:
            taken_by = replace(settings, listen=f"127.0.0.1:{taken}")
            ill = _ill(list(examine_bridge(taken_by, now())))
            assert "does not present the bridge's certificate" in str(ill["port"].cause)
        # The same bridge with another database is not the one that is configured here.
        other = f"sqlite:///{tmp_path / 'other.db'}"
        migrate(other)
        ill = _ill(list(examine_bridge(replace(settings, database=other), now())))
        assert "does not use this database" in str(ill["port"].cause)
    with mirror(pki) as taken:
        settings = load_settings(config, {"EXCHANGE_LISTEN": f"127.0.0.1:{taken}"})
        ill = _ill(list(examine_bridge(settings, now())))
        assert "does not use this database" in str(ill["port"].cause)
    with socket.create_server(("127.0.0.1", 0)) as server:
        settings = load_settings(
            config, {"EXCHANGE_LISTEN": f"127.0.0.1:{server.getsockname()[1]}"}
        )
        thread = threading.Thread(target=_hang_up, args=(server,))
        thread.start()
        ill = _ill(list(examine_bridge(settings, now())))
        thread.join()
        assert "Another program" in str(ill["port"].cause)


def _hang_up(server: socket.socket) -> None:
    """Accept one connection and end it."""
    server.settimeout(30)
    connection, _ = server.accept()
    connection.close()


def test_a_database_of_another_version_is_found(pki: Pki, tmp_path: Path) -> None:
    """A schema that no program of this version may serve, and one that is no database at all."""
    url = f"sqlite:///{tmp_path / 'one.db'}"
    migrate(url)
    with sqlite3.connect(tmp_path / "one.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
        database.execute("UPDATE serves SET oldest = '9999'")
    database.close()
    assert "9999" in str(_ill(list(storage.database(url, None)))["schema"].cause)
    (tmp_path / "two.db").write_bytes(b"this is no database" * 100)
    assert "database" in _ill(list(storage.database(f"sqlite:///{tmp_path / 'two.db'}", None)))


@pytest.mark.postgresql
def test_a_database_that_takes_no_writes_is_found(
    pki: Pki, tmp_path: Path, postgres_server: PostgresServer
) -> None:
    """PostgreSQL set to be read only: the doctor and a starting bridge say so in the same words."""
    url = postgres_server.create_database("reading")
    create(url)
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("ALTER DATABASE reading SET default_transaction_read_only = on"))
    engine.dispose()
    found = list(storage.database(url, None))
    ill = _ill(found)
    assert list(ill) == ["writable"]
    assert "can only be read" in str(ill["writable"].cause)
    assert "default_transaction_read_only" in str(ill["writable"].cause)
    assert str(make_url(url).password) not in str(ill["writable"].cause)
    refused = Running(load_settings(write_settings(pki, tmp_path), {"EXCHANGE_DATABASE": url}))
    with pytest.raises(StoreUnusable) as raised:
        refused.start()
    assert raised.value.text == ill["writable"].cause


def test_little_room_is_a_warning(tmp_path: Path) -> None:
    """Less free space than needed warns, and does not stop the rest."""
    url = f"sqlite:///{tmp_path / 'one.db'}"
    migrate(url)
    found = list(storage.database(url, None, room_needed=1 << 62))
    assert _ill(found)["space"].status is Status.WARN
    assert "schema" in {one.probe for one in found}


def test_a_log_that_was_cut_back_is_found(town: Town, tmp_path: Path, exchange: Shell) -> None:
    """A head that does not fit the newest checkpoint: do not serve from it."""
    exchange(
        "push", write_lines(tmp_path / "out.jsonl", matter_lines()[1]), "--config", town.hotline
    )
    verifier = LogKey.load(town.pki.development.log_key).verifier
    copy = tmp_path / "copy.db"
    with (
        sqlite3.connect(town.bridge.settings.database.removeprefix("sqlite:///")) as source,
        sqlite3.connect(copy) as target,
    ):
        source.backup(target)
    source.close()
    target.close()
    url = f"sqlite:///{copy}"
    assert _ill(list(storage.database(url, verifier, 0))) == {}
    with sqlite3.connect(copy) as database:
        database.execute("UPDATE log SET size = size - 1")
    database.close()
    assert "exchange log verify" in str(_ill(list(storage.database(url, verifier, 0)))["log"].fix)


def test_a_database_server_that_is_not_there_is_found() -> None:
    """PostgreSQL that refuses the connection is told with its own words."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    ill = _ill(list(storage.database(f"postgresql://u@127.0.0.1:{port}/d", None)))
    assert str(port) in str(ill["database"].cause)


# -- the program itself


def test_a_package_that_shadows_ours_is_found(tmp_path: Path) -> None:
    """A folder called adapters that stands first on the path is named, with the way out."""
    (tmp_path / "adapters").mkdir()
    (tmp_path / "adapters" / "__init__.py").touch()
    home = str(Path(surroundings.__file__).parent.parent.parent)
    ill = _ill(list(surroundings.packages([str(tmp_path), home])))
    assert str(tmp_path / "adapters") in str(ill["packages"].what)
    assert "missing" in str(_ill(list(surroundings.packages([str(tmp_path)])))["packages"].what)


def test_libraries_too_old_or_missing_are_found() -> None:
    """An older version than needed, or none, has its pip command."""
    assert surroundings.library("click", (8, 0)).status is Status.OK
    assert "pip install" in str(surroundings.library("click", (99, 0)).fix)
    assert "not installed" in str(surroundings.library("no-such-library", (1,)).cause)
