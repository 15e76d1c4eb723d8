"""What only MariaDB does: tables that change outside of transactions, a claim that is a row, servers that are set wrongly."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.exc import OperationalError

from exchange import tables
from exchange.errors import ConfigurationError, StoreMismatch, StoreUnavailable, StoreUnusable
from exchange.store import Store, create, mariadb_claim, migrate
from exchange.store import mariadb as mariadb_store
from exchange.store.claim import served_by
from exchange.store.contacts import ContactBook
from exchange.store.drivers import driver_of
from exchange.store.engines import connect, reading
from tests.bridge.world import HOTLINE, Matter, World, stored
from tests.mariadb import bridge_url, create_database, drop_database, mariadb
from tests.postgres import free_port
from tests.store.stories import KEY, NOW, Story
from tests.store.test_failures import findings

pytestmark = pytest.mark.whole_on_mariadb

ELSEWHERE = '{"pid": 7, "host": "elsewhere"}'


@pytest.fixture
def own_url(mariadb_url: str) -> Iterator[str]:
    """Yield the URL of an empty database on MariaDB."""
    made = create_database(mariadb_url, f"own_{uuid.uuid4().hex}")
    yield bridge_url(made)
    drop_database(made)


@pytest.fixture
def administrator(own_url: str) -> Iterator[Engine]:
    """Who may change the server."""
    made = create_engine(own_url, isolation_level="AUTOCOMMIT")
    yield made
    made.dispose()


def record(store: Store, story: Story) -> None:
    """Write a drain."""
    with store.writing() as writer:
        writer.record([story.open_ticket()], now=NOW)


# -- its tables


class CutOff(Exception):
    """What ends a migration."""


@contextmanager
def cut_off(statement: int) -> Iterator[None]:
    """End what changes tables before its *statement*-th step."""
    left = statement

    def count(_c: Any, _cursor: Any, said: str, *_: Any) -> None:
        nonlocal left
        left -= said.lstrip().startswith(("CREATE", "ALTER", "DROP", "INSERT", "UPDATE"))
        if left < 0:
            raise CutOff

    event.listen(Engine, "before_cursor_execute", count)
    try:
        yield
    finally:
        event.remove(Engine, "before_cursor_execute", count)


def described(administrator: Engine) -> dict[str, str]:
    """Return how the server describes each table and view."""
    with administrator.connect() as connection:
        names = connection.execute(text("SHOW TABLES")).scalars().all()
        return {name: connection.execute(text(f"SHOW CREATE TABLE {name}")).all()[0][1]
                for name in names}  # fmt: skip


def test_a_migration_that_is_cut_off_is_finished_by_the_next(
    own_url: str, mariadb_url: str, administrator: Engine
) -> None:
    """MariaDB keeps each step of it; those are run again and change nothing, and a store is as from one go."""
    cuts = 0
    for steps in range(1, 100, 3):
        try:
            with cut_off(steps):
                migrate(own_url)
        except CutOff:
            cuts += 1
        else:
            break
    assert cuts > 5
    whole = create_database(mariadb_url, f"whole_{uuid.uuid4().hex}")
    create(bridge_url(whole))
    other = create_engine(bridge_url(whole))
    assert described(administrator) == {
        name: said.replace(str(other.url.database), str(administrator.url.database))
        for name, said in described(other).items()
    }
    with administrator.connect() as connection:
        claims = connection.execute(text("SELECT number, token, holder FROM claim")).all()
        assert [(0, "", "")] == claims
        assert ["0004"] == connection.execute(text("SELECT oldest FROM serves")).scalars().all()
    other.dispose()
    drop_database(whole)


def test_texts_are_compared_byte_by_byte(own_url: str) -> None:
    """Case, accents and spaces at the end tell one from the other, in keys too."""
    migrate(own_url)
    names = ["a", "A", "á", "a "]
    ContactBook(own_url).write({(name, "push"): NOW for name in names})
    engines = connect(own_url)
    with reading(engines) as connection:
        found = connection.execute(tables.contact.select()).all()
        asked = driver_of("mariadb").fetch(
            connection, "SELECT method FROM contact WHERE organisation = {}", "a"
        )
    assert (sorted(names), [("push",)]) == (sorted(row[0] for row in found), asked)
    engines.close()


def test_nothing_is_among_nothing(own_url: str) -> None:
    """A list of no values matches no row, and every row is outside of it; a percent sign is one."""
    migrate(own_url)
    ContactBook(own_url).write({("a%", "push"): NOW, ("b", "push"): NOW})
    engines = connect(own_url)
    ask = "SELECT organisation FROM contact WHERE organisation {} AND organisation LIKE '%'"
    with reading(engines) as connection:
        fetch = driver_of("mariadb").fetch
        assert [] == fetch(connection, ask.format("{among}"), [])
        assert 2 == len(fetch(connection, ask.format("{outside}"), []))
        assert [("a%",)] == fetch(connection, ask.format("{among}"), ["a%", "c"])
        assert [("b",)] == fetch(connection, ask.format("{outside}"), ("a%", "c"))
    engines.close()


# -- its servers


@pytest.mark.parametrize(
    ("setting", "wrong", "right"),
    [
        ("innodb_flush_log_at_trx_commit", 2, 1),
        ("innodb_flush_log_at_trx_commit", 0, 1),
        ("max_allowed_packet", 1 << 20, 16 << 20),
    ],
)
def test_a_server_that_cannot_be_relied_on_is_refused(
    own_url: str, administrator: Engine, setting: str, wrong: int, right: int
) -> None:
    """One that answers before it wrote, or takes no large chunk: the setting is named."""
    migrate(own_url)
    with administrator.connect() as connection:
        connection.execute(text(f"SET GLOBAL {setting} = {wrong}"))
        try:
            with pytest.raises(StoreUnusable, match=f"needs {setting} = {right}"):
                Store.open(own_url, KEY)
        finally:
            connection.execute(text(f"SET GLOBAL {setting} = {right}"))
    Store.open(own_url, KEY).close()


def test_the_first_host_that_serves_is_taken(own_url: str, story: Story) -> None:
    """A URL may name several; one that is away is passed over, and all of them being away is a failure."""
    migrate(own_url)
    host, _, rest = own_url.partition("@")[2].partition("/")
    away = f"127.0.0.1:{free_port()}"
    name = rest.partition("?")[0]
    store = Store.open(f"mariadb+pymysql://root@/{name}?host={away}&host={host}", KEY)
    record(store, story)
    store.close()
    assert [] == findings(f"mariadb://root@{away}/{name}?host={host}")

    with pytest.raises(StoreUnavailable, match="Can't connect"):
        Store.open(f"mariadb+pymysql://root@/{name}?host={away}&host={away}", KEY)
    gone = f"127.0.0.1:{free_port()}"
    with pytest.raises(StoreUnavailable, match=rf"{away}: .*Can't connect.*; {gone}: .*Can't conn"):
        Store.open(f"mariadb+pymysql://root@/{name}?host={away}&host={gone}", KEY)


def test_a_host_that_is_set_wrongly_is_passed_over(own_url: str, story: Story) -> None:
    """Like one that is away; where none is left, each is named with what is wrong with it."""
    migrate(own_url)
    host, _, rest = own_url.partition("@")[2].partition("/")
    name = rest.partition("?")[0]
    away = f"127.0.0.1:{free_port()}"
    with mariadb() as other:
        unfit = other.rpartition("@")[2].rstrip("/")
        create_database(other, name)
        with create_engine(bridge_url(other), isolation_level="AUTOCOMMIT").connect() as connection:
            connection.execute(text("SET GLOBAL innodb_flush_log_at_trx_commit = 2"))
            connection.engine.dispose()
        store = Store.open(f"mariadb://root@/{name}?host={unfit}&host={away}&host={host}", KEY)
        record(store, story)
        store.close()
        with pytest.raises(
            StoreUnavailable, match=rf"{unfit}: .*needs innodb.*; {away}: .*connect"
        ):
            Store.open(f"mariadb://root@/{name}?host={unfit}&host={away}", KEY)
        local = unfit.replace("127.0.0.1", "localhost")
        with pytest.raises(StoreUnusable, match=f"{unfit}: .*needs innodb.*; {local}: "):
            Store.open(f"mariadb://root@/{name}?host={unfit}&host={local}", KEY)


def test_a_server_that_stands_still_is_missed_by_whoever_asks(
    own_url: str, administrator: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It keeps its connections and says nothing: those of short statements wait less than those of long ones."""
    migrate(own_url)
    for keyed, name in ((True, "SILENT_SECONDS"), (False, "LONG_SECONDS")):
        with monkeypatch.context() as soon:
            soon.setattr(mariadb_store, name, 1.0)
            engines = connect(own_url, keyed=keyed)
        with (
            pytest.raises(StoreUnavailable, match="timed out"),
            reading(engines) as connection,
        ):
            connection.exec_driver_sql("SELECT SLEEP(100000)")
        engines.close()
    with administrator.connect() as connection:
        asleep = "WHERE db = DATABASE() AND info LIKE 'SELECT SLEEP%'"
        asked = text(f"SELECT id FROM information_schema.processlist {asleep}")
        for number in connection.execute(asked).scalars().all():
            with suppress(OperationalError):  # it may have ended by now
                connection.execute(text(f"KILL {number}"))


@pytest.mark.parametrize("host", ["a:b:c", "[::1", "h:port", "h/x"])
def test_a_host_that_is_none_is_named(host: str) -> None:
    """The text says what a host looks like."""
    with pytest.raises(ConfigurationError, match="host:port"):
        connect(f"mariadb+pymysql://u@h/bridge?host={host}&host=other")


def test_a_lost_connection_is_made_anew(own_url: str, administrator: Engine, story: Story) -> None:
    """What it carried is a failure; the next drain goes on, and a question is asked again by itself."""
    migrate(own_url)
    store = Store.open(own_url, KEY)
    record(store, story)
    before = store.checkpoint()
    with administrator.connect() as connection:
        ours = connection.execute(
            text(
                "SELECT id FROM information_schema.processlist"
                " WHERE db = DATABASE() AND id <> CONNECTION_ID()"
            )
        )
        for number in ours.scalars().all():
            connection.execute(text(f"KILL {number}"))
    assert store.waiting("x", 1) == []
    with pytest.raises(StoreUnavailable):
        record(store, story)
    assert before == store.checkpoint()
    record(store, story)
    store.close()
    assert [] == findings(own_url)


# -- transactions that are undone

_UNDO = """
CREATE TRIGGER undoing BEFORE INSERT ON trail FOR EACH ROW
BEGIN
  IF NEXTVAL(undone) <= {times} THEN
    SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {code}, MESSAGE_TEXT = 'wanted by another';
  END IF;
END
"""


@contextmanager
def undoing(administrator: Engine, code: int, times: int) -> Iterator[None]:
    """Let the server undo the next transactions that would write a trail, so many times, with *code*."""
    with administrator.connect() as connection:
        connection.execute(text("CREATE SEQUENCE undone"))  # it is not undone with the rest
        connection.execute(text(_UNDO.format(code=code, times=times)))
        yield
        connection.execute(text("DROP TRIGGER undoing"))
        connection.execute(text("DROP SEQUENCE undone"))


@pytest.mark.parametrize("code", [1213, 1205])
def test_a_drain_that_the_server_undid_is_done_again(
    own_url: str, administrator: Engine, code: int
) -> None:
    """As a whole, and it takes effect once; again and again undone it is a failure, and written nowhere."""
    world = World(own_url)
    with undoing(administrator, code, 3):
        first = stored(world.push(HOTLINE, world.opening(Matter()))[0])
    opening = world.opening(Matter())
    with undoing(administrator, code, 100), pytest.raises(StoreUnavailable, match="same rows"):
        world.push(HOTLINE, opening)
    second = stored(world.push(HOTLINE, opening)[0])

    assert (0, 1) == (first.proof.index, second.proof.index)
    world.bridge.store.close()


# -- the claim


def test_a_claim_of_another_machine_is_respected_while_it_grows(
    own_url: str, administrator: Engine, story: Story
) -> None:
    """No clock counts, and no process can be seen: its bridge adds one to its row, also while it is idle."""
    create(own_url)
    first = Store.open(own_url, KEY, alone=True)
    with administrator.connect() as connection:
        connection.execute(text("UPDATE claim SET holder = :holder"), {"holder": ELSEWHERE})
    engines = connect(own_url)
    assert "PID 7 @ elsewhere" == served_by(engines)
    with pytest.raises(StoreUnusable, match="already served by PID 7 @ elsewhere"):
        Store.open(own_url, KEY, alone=True)
    record(first, story)
    first.close()

    assert served_by(engines) is None
    engines.close()


def test_a_claim_that_stands_still_is_taken_over_and_its_bridge_writes_no_more(
    own_url: str, administrator: Engine, story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that was frozen finds another's claim; once that one has ended, it may go on."""
    create(own_url)
    with monkeypatch.context() as frozen:
        frozen.setattr(mariadb_claim, "_BEAT_SECONDS", 1e6)
        first = Store.open(own_url, KEY, alone=True)
    record(first, story)
    with administrator.connect() as connection:
        connection.execute(text("UPDATE claim SET holder = :holder"), {"holder": ELSEWHERE})
    monkeypatch.setattr(mariadb_claim, "_PATIENCE_SECONDS", 0.5)
    second = Store.open(own_url, KEY, alone=True)
    with pytest.raises(StoreUnusable, match="already served by PID"):
        record(first, story)
    record(second, story)
    with pytest.raises(StoreUnusable, match="already served by PID"):
        record(first, story)
    second.close()

    with pytest.raises(StoreMismatch, match="Another process writes the log"):
        record(first, story)  # the claim was free, and what it knows is not the log's end
    first.close()
    third = Store.open(own_url, KEY, alone=True)
    record(third, story)
    third.close()
    assert [] == findings(own_url)


def test_a_claim_of_a_process_that_has_ended_is_free_at_once(own_url: str) -> None:
    """On its own machine: a bridge that was killed, or its keeper, begins again without waiting."""
    create(own_url)
    here = f"""
from tests.store.stories import KEY
from exchange.store import Store
store = Store.open({own_url!r}, KEY, alone=True)
print("serves", flush=True)
input()
"""
    with subprocess.Popen(
        [sys.executable, "-c", here], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert "serves\n" == process.stdout.readline()
        engines = connect(own_url)
        assert f"PID {process.pid} @ {platform.node()[:64]}" == served_by(engines)
        process.kill()
        process.wait(60)
        assert served_by(engines) is None
        engines.close()
    Store.open(own_url, KEY, alone=True).close()


def test_an_idle_bridge_says_that_another_one_has_its_claim(
    own_url: str,
    administrator: Engine,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Once, by the row that it cannot count up any more; it need not wait for a drain."""
    create(own_url)
    monkeypatch.setattr(mariadb_claim, "_BEAT_SECONDS", 0.05)
    store = Store.open(own_url, KEY, alone=True)
    with administrator.connect() as connection:
        said = text("UPDATE claim SET token = 'another', holder = :holder")
        connection.execute(said, {"holder": ELSEWHERE})
        end = time.monotonic() + 60
        while not caplog.messages and time.monotonic() < end:
            time.sleep(0.05)
        (message,) = caplog.messages
        assert "already served by PID 7 @ elsewhere" in message
        connection.execute(text("UPDATE claim SET token = ''"))
    store.close()


_UNSEEN = """
import encodings.ascii  # the other user may not be let to it
import os, subprocess, sys
from exchange.store import mariadb_claim
if len(sys.argv) == 1:
    hide = "mount -t proc -o hidepid=2 proc /proc && exec \\"$0\\" -c \\"$1\\" \\"$2\\""
    living = mariadb_claim._ourselves(os.getpid())
    command = ["unshare", "-m", "sh", "-c", hide, sys.executable, os.environ["SCRIPT"], living]
    sys.exit(subprocess.run(command).returncode)
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
assert not os.path.exists(f"/proc/{os.getppid()}")
print("ended" if mariadb_claim._ended_here(sys.argv[1]) else "may live")
"""


def test_a_process_that_cannot_be_seen_has_not_ended() -> None:
    """Of another user's /proc may show nothing (hidepid, ProtectProc): its claim is waited for, not taken."""
    mount = ["unshare", "-m", "mount", "-t", "proc", "-o", "hidepid=2", "proc", "/proc"]
    if os.getuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can hide processes here")
    found = subprocess.run(
        [sys.executable, "-c", _UNSEEN],
        env={**os.environ, "SCRIPT": _UNSEEN},
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    assert "may live\n" == found.stdout
