"""Both desks at a real bridge, each working by itself, until every matter has come to its end."""

from __future__ import annotations

import sqlite3
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from adapters.desks.running import DESKS, Linked, Work
from adapters.desks.working import Desk, Plan
from adapters.reminder import Reminder
from adapters.settings import read_gateway
from adapters.telling import Voice
from exchange.cli.root import run
from tests.adapters.linked import Link
from tests.pki import CITY_110, CITY_12345

#: With this seed four matters each way go every way there is.
SEED, MATTERS = 3, 4
#: Seconds; a guard against a hang, not a measure.
PATIENCE = 120
PARTIES = {"hotline": CITY_12345, "police": CITY_110}


#: Each desk's link stays until the other has what it says.
BOTH = threading.Barrier(2)


class Room:
    """One desk, linked, working in a thread; its console is kept."""

    def __init__(self, link: Link, name: str) -> None:
        party, peer = PARTIES[name], next(PARTIES[one] for one in PARTIES if one != name)
        self.name = name
        self.folder = link.folder / name
        self.lines = Console()
        voice = Voice(self.lines, "en", lambda: datetime.now(UTC))  # type: ignore[arg-type]
        plan = Plan(
            seed=SEED, pace="fast", matters=MATTERS, peer=peer.organisation, region="140403"
        )
        self._plan, self._workflow, self._voice = plan, DESKS[name], voice
        self.linked_files = read_gateway(link.config(party))
        self.done = False
        self.pause = threading.Event()
        self.thread = threading.Thread(target=self._run, name=name)
        self.failure: BaseException | None = None

    def _run(self) -> None:
        # SQLite's connection belongs to the thread that works.
        try:
            desk = Desk(
                self.folder / "desk.db", self._workflow, self._plan, lambda: datetime.now(UTC)
            )
            linked = Linked(
                self.folder, self._workflow, self.linked_files, self._voice, Reminder(None)
            )
            work = Work(desk, self._voice, linked)
            guard = threading.Timer(PATIENCE, work.stop)
            linked.start()
            guard.start()
            try:
                self.done = work.run(until_done=True)
                guard.cancel()
            finally:
                BOTH.wait(PATIENCE)  # what the other desk still says is taken
                while desk_waits(self):
                    self.pause.wait(0.05)
                BOTH.wait(PATIENCE)
                linked.stop()
                desk.close()
        except BaseException as failure:  # noqa: BLE001 - told by the test
            self.failure = failure
            BOTH.abort()

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Look into the desk's database."""
        with sqlite3.connect(self.folder / "desk.db", timeout=30) as db:
            return db.execute(query).fetchall()


class Console:
    """A stream that keeps lines."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        """Keep it."""
        self.text += text

    def flush(self) -> None:
        """Nothing is held back."""


#: What holds of a matter on both sides: the columns here and there.
SAME = {
    ("T_GD", "GDBH", "BT, SQNR, SQRXM, LXDH, DZ, XZQHDM, SXDM, YJYY"): (
        "JJD", "JJDBH", "JQMC, BJNR, BJRXM, BJDH, AFDD, XZQHDM, SXDM, YJYY",
    ),
}  # fmt: skip

#: In either direction: each way that a hand-over can go, and the words of both in every one.
WAYS = {
    "offer", "take", "progress", "return", "agree", "refuse", "position", "rule", "result", "reopen", "close",
    "close_ticket", "visit",
}  # fmt: skip


def test_all_matters_are_closed_and_both_databases_agree(link: Link) -> None:
    """Taken, returned, disputed, worked, closed, visited; each side has the other's words, the log holds."""
    hotline, police = rooms = Room(link, "hotline"), Room(link, "police")
    for room in rooms:
        room.thread.start()
    for room in rooms:
        room.thread.join()
        assert room.failure is None, room.failure
        assert room.done, room.lines.text

    assert {"已归档"} <= standing(hotline) <= {"已归档", "已退回"}, hotline.lines.text
    assert {"已归档"} <= standing(police) <= {"已归档", "已退回"}, police.lines.text
    assert "✗" not in hotline.lines.text + police.lines.text
    for (table, key, columns), (other, other_key, others) in SAME.items():
        for here, there in (
            ((hotline, table, key, columns), (police, other, other_key, others)),
            ((police, other, other_key, others), (hotline, table, key, columns)),
        ):
            said = matters(here, "LYDH = ''", f"{here[2]}, DFDH")
            assert MATTERS == len(said)
            assert said == matters(there, "LYDH <> ''", f"LYDH, {there[2]}")
    for one, two in ((hotline, police), (police, hotline)):
        assert [] == one.rows(f"SELECT * FROM {SAYS[one.name][0]} WHERE TSZT NOT IN (2, '2')")
        assert words_said(one) == words_heard(two)

    tickets = list(link.client(CITY_12345).tickets.list())
    kinds = {
        entry.kind
        for ticket in tickets
        for entry in link.client(CITY_12345).tickets.trail(ticket.ticket_id)
    }
    assert [True] * 2 * MATTERS == [ticket.closed for ticket in tickets]
    assert WAYS <= kinds
    assert any(handoff.own_duty for ticket in tickets for handoff in ticket.handoffs)
    database = Path(link.bridge.settings.database.removeprefix("sqlite:///"))
    assert 0 == run(["log", "verify", "--config", str(database.with_name("exchange.toml"))], {})


SAYS = {"hotline": ("T_CZ", "GDBH", "CZNR"), "police": ("CJFK", "JJDBH", "FKNR")}
HEARS = {"hotline": ("T_LW", "GDBH", "LWNR"), "police": ("LWLS", "JJDBH", "LWNR")}


def matters(side: tuple[Room, str, str, str], where: str, numbers: str) -> list[tuple[Any, ...]]:
    """Return matters: the number where it began, the number over there, and all that both sides have."""
    room, table, _, columns = side
    return room.rows(f"SELECT {numbers}, {columns} FROM {table} WHERE {where} ORDER BY 1")


def words_said(room: Room) -> list[tuple[Any, ...]]:
    """Return what a desk told the other of each matter, by the number over there; its own duties are its own."""
    table, key, words = SAYS[room.name]
    whole, kind = ("T_GD", "CZLX") if room.name == "hotline" else ("JJD", "FKLX")
    mine = "'签收', '自办进展', '自办反馈', '自办办结', '自办回访', '01', '42', '43', '44', '45'"
    return sorted(
        room.rows(
            f"SELECT coalesce(nullif(g.LYDH, ''), g.DFDH), c.{words} FROM {table} c "
            f"JOIN {whole} g ON g.{key} = c.{key} WHERE c.{kind} NOT IN ({mine})"
        )
    )


def words_heard(room: Room) -> list[tuple[Any, ...]]:
    """Return what a desk was told of each matter, by its own number."""
    table, key, words = HEARS[room.name]
    return sorted(room.rows(f"SELECT {key}, {words} FROM {table} WHERE LWLX <> 'take'"))


def desk_waits(room: Room) -> bool:
    """Return whether the other side has not written something yet."""
    table = SAYS[room.name][0]
    return bool(room.rows(f"SELECT 1 FROM {table} WHERE TSZT NOT IN (2, '2', 9, '9') LIMIT 1"))


def standing(room: Room) -> set[str]:
    """Return the states that matters are in."""
    table, column = ("T_GD", "GDZT") if room.name == "hotline" else ("JJD", "JJDZT")
    return {row[0] for row in room.rows(f"SELECT DISTINCT {column} FROM {table}")}
