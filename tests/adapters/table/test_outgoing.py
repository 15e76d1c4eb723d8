"""Rows become messages once, whole and in order; what cannot is named and stops only its own lane."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from adapters.mapping.document import Document
from adapters.mapping.parsing import load
from adapters.spool_records import Decision
from adapters.table.database import PlatformDatabase, open_engine
from adapters.table.outgoing import BATCH
from adapters.table.platform import TablePlatform
from adapters.table.quarantine import shortened
from exchange.acts import Kind
from exchange.client import OutgoingMessage
from exchange.errors import RefusalCode, StoreMismatch, StoreUnavailable, refuse
from exchange.text import Text
from tests.adapters.table.city import MAPPINGS, WORK_ORDER, create
from tests.adapters.table.conftest import Urls
from tests.pki import CITY_12345
from tests.postgres import PostgresServer

US = CITY_12345.organisation


class Desk:
    """The hotline's tables and their adapter, without a bridge: what is kept is what was said."""

    def __init__(self, url: str, document: Document) -> None:
        self.url = url
        self.now = datetime(2026, 11, 22, 4, tzinfo=UTC)
        self.database = PlatformDatabase(document, url)
        self.platform = TablePlatform(self.database, US, clock=lambda: self.now)

    def again(self, document: Document | None = None) -> None:
        """Kill the adapter and start it anew."""
        self.database.close()
        self.database = PlatformDatabase(document or self.database.document, self.url)
        self.platform = TablePlatform(self.database, US, clock=lambda: self.now)

    def run(self, statement: str, **values: Any) -> None:
        """Do what the platform's program does."""
        with self.database.engine.begin() as connection:
            connection.execute(text(statement), values)

    def insert(self, table: str, row: dict[str, Any]) -> None:
        """Insert a row as the platform's program does."""
        names, places = ", ".join(row), ", ".join(f":{name}" for name in row)
        self.run(f"INSERT INTO {table} ({names}) VALUES ({places})", **row)

    def order(self, number: str, **other: Any) -> None:
        """Insert a work order."""
        self.insert("T_GD", {**WORK_ORDER, "GDBH": number, **other})

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        with self.database.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query))]

    def said(self) -> list[OutgoingMessage]:
        """Return what is said now, and let it be kept."""
        found = [one for one in self.platform.outgoing() if isinstance(one, OutgoingMessage)]
        self.platform.kept(found)
        return found

    def kinds(self) -> list[tuple[str, str]]:
        """Return record and kind of what is said now."""
        return [(one.record, one.kind.value) for one in self.said()]

    def held(self) -> dict[str, str]:
        """Return what is put aside, with the reasons."""
        return {one.record: one.reason.en for one in self.platform.quarantine.entries()}


@pytest.fixture
def document() -> Document:
    """The hotline's mapping."""
    return load(MAPPINGS[CITY_12345])


@pytest.fixture
def desk(urls: Urls, document: Document) -> Iterator[Desk]:
    """A hotline's empty tables on each engine."""
    yield from made(urls("desk"), document)


@pytest.fixture
def sqlite_desk(tmp_path: Path, document: Document) -> Iterator[Desk]:
    """The same on SQLite alone."""
    yield from made(f"sqlite:///{tmp_path / 'desk.db'}", document)


def made(url: str, document: Document) -> Iterator[Desk]:
    """Make the tables and the adapter."""
    engine = open_engine(url)
    create(engine, CITY_12345)
    engine.dispose()
    desk = Desk(url, document)
    yield desk
    desk.database.close()


def feedback(key: str, order: str, kind: str = "督办", **other: Any) -> dict[str, Any]:
    """Return a row of feedback."""
    row = {
        "FKBH": key,
        "GDBH": order,
        "FKLX": kind,
        "FKNR": "请尽快办理。",
        "FKSJ": "2026-11-23 10:00:00",
    }
    return {**row, **other}


def test_a_new_row_is_said_once(desk: Desk) -> None:
    """Ticket and offer leave together; the row is marked, and says nothing more."""
    desk.order("A")

    assert [("gd:A", "open_ticket"), ("gd:A", "offer")] == desk.kinds()
    assert [("1",)] == desk.ask("SELECT TSZT FROM T_GD")
    assert [] == desk.kinds()


def test_a_killed_adapter_says_the_same_again(desk: Desk) -> None:
    """Killed before the spool had it, and with a spool that is lost: the same ids, no row lost."""
    desk.order("A")
    first = [one for one in desk.platform.outgoing() if isinstance(one, OutgoingMessage)]
    desk.again()  # it was not kept
    second = desk.said()
    desk.again()  # it was kept, but the bridge has not answered: the spool may be lost
    third = desk.said()

    assert [one.id_for(US) for one in first] == [one.id_for(US) for one in second]
    assert second == third
    assert 2 == len(third)


def test_a_row_put_back_unchanged_says_nothing(desk: Desk) -> None:
    """A status that was put back, or a restored platform, doubles nothing."""
    desk.order("A")
    desk.said()
    desk.run("UPDATE T_GD SET TSZT = '0'")

    assert [] == desk.kinds()
    assert [("1",)] == desk.ask("SELECT TSZT FROM T_GD")
    assert {} == desk.held()


def test_a_change_that_no_rule_says_is_named(desk: Desk) -> None:
    """A row changed after it was said is put aside, not silently dropped; put right it goes on."""
    desk.order("A")
    desk.said()
    desk.run("UPDATE T_GD SET TSZT = '0', SQNR = '又来了。'")

    assert [] == desk.kinds()
    assert "changed after its 'open_ticket' was said" in desk.held()["gd:A"]
    desk.run("UPDATE T_GD SET SQNR = :words", words=WORK_ORDER["SQNR"])
    assert [] == desk.kinds()
    assert {} == desk.held()


@pytest.mark.parametrize(
    ("column", "value", "why"),
    [
        ("SLSJ", "0000-00-00 00:00:00", "SLSJ: '0000-00-00 00:00:00' is no date"),
        ("SLSJ", "2026-13-01 10:00:00", "SLSJ: this is no time of the form %Y-%m-%d %H:%M:%S"),
        ("SLSJ", "9999-12-31 00:00:00", "SLSJ: the year 9999 cannot be meant"),
        ("SLSJ", None, "SLSJ: is empty"),
        ("JJCD", "7", "JJCD: the code '7' is not in the code table 'jjcd'"),
        ("BT", "ÔëÉùÈÅÃñ", "BT: this is GBK that was read as Latin-1"),
        (
            "SQNR",
            "楼上深夜敲打".encode().decode("gb18030"),
            "SQNR: this is UTF-8 that was read as GBK",
        ),
        ("SQNR", "锟斤拷锟斤拷", "SQNR: characters were lost"),
        ("BT", None, "BT: is empty, and 'matter.title' cannot be said without it"),
        ("LXR", "李" * 60, None),
        ("XZQHDM", "12", "header.open_ticket.region"),
        ("QX", "a|b", "QX: holds the separator '|'"),
    ],
)
def test_bad_input_is_named_and_stops_only_its_lane(
    sqlite_desk: Desk, column: str, value: str | None, why: str | None
) -> None:
    """The bad row is put aside with its original and its reason; its neighbour goes out."""
    desk = sqlite_desk
    desk.order("A", **{column: value})
    desk.order("B")
    desk.insert("T_FK", feedback("F1", "A"))
    desk.insert("T_FK", feedback("F2", "B"))
    said = desk.kinds()

    if why is None:
        assert "gd:A" in {record for record, _ in said}
        return
    assert {"gd:B", "fk:F2"} == {record for record, _ in said}
    assert why in desk.held()["gd:A"]
    (held,) = desk.platform.quarantine.entries()
    assert value == held.original[column]
    assert [("A", "9")] == desk.ask("SELECT GDBH, TSZT FROM T_GD WHERE TSZT = '9'")
    assert why.split(":")[0] in desk.ask("SELECT TSXX FROM T_GD WHERE GDBH = 'A'")[0][0]
    assert [("F1", "0")] == desk.ask("SELECT FKBH, TSZT FROM T_FK WHERE TSZT = '0'")

    desk.run(f"UPDATE T_GD SET {column} = :right WHERE GDBH = 'A'", right=WORK_ORDER[column])
    assert ["gd:A", "gd:A", "fk:F1"] == [record for record, _ in desk.kinds()]
    assert {} == desk.held()


def test_a_row_that_the_database_does_not_take_stops_its_lane_alone(desk: Desk) -> None:
    """It is put aside with the reason, and its whole file shortened; its neighbours are said."""
    if desk.database.engine.dialect.name == "sqlite":
        refuse_it = """CREATE TRIGGER no BEFORE INSERT ON exchange_said WHEN NEW.record = 'gd:B'
            BEGIN SELECT RAISE(ABORT, 'NOT NULL'); END"""
        take_it = "DROP TRIGGER no"
    else:
        refuse_it = "ALTER TABLE exchange_said ADD CONSTRAINT no_b CHECK (record <> 'gd:B')"
        take_it = "ALTER TABLE exchange_said DROP CONSTRAINT no_b"
    desk.run(refuse_it)
    for number in "ABC":
        desk.order(number)

    assert {"gd:A", "gd:C"} == {record for record, _ in desk.kinds()}
    assert "the platform's database refuses the record" in desk.held()["gd:B"].lower()
    assert [("9",)] == desk.ask("SELECT TSZT FROM T_GD WHERE GDBH = 'B'")

    desk.run(take_it)
    desk.platform.quarantine.review(everything=True)

    assert {"gd:B"} == {record for record, _ in desk.kinds()}
    assert not desk.held()


def test_what_is_put_aside_fits_any_text_column() -> None:
    """Of a row that holds a whole file the file's beginning stands there, and how long it was."""
    row = {"BT": "噪声", "FJ": "A" * 100_000, "SL": 3}

    assert {"BT": "噪声", "FJ": f"{'A' * 200}… (100000)", "SL": 3} == shortened(row)
    assert row | {"FJ": "A"} == shortened(row | {"FJ": "A"})


def test_gbk_bytes_in_a_utf8_column_are_named(sqlite_desk: Desk) -> None:
    """Bytes that no UTF-8 reader takes stop their row alone, and are kept as they are."""
    desk = sqlite_desk
    desk.order("A")
    desk.order("B")
    desk.run(
        "UPDATE T_GD SET BT = CAST(:raw AS TEXT) WHERE GDBH = 'A'", raw="噪声扰民".encode("gbk")
    )

    assert {"gd:B"} == {record for record, _ in desk.kinds()}
    assert "bytes of GBK in a column that says UTF-8" in desk.held()["gd:A"]
    original = desk.platform.quarantine.entries()[0].original["BT"]
    assert "噪声扰民" == original.encode("utf-8", "surrogateescape").decode("gbk")


def test_a_key_that_cannot_be_read_stops_its_row_alone(sqlite_desk: Desk) -> None:
    """Not even a mojibake key, which no statement can name, holds others up or is lost."""
    desk = sqlite_desk
    desk.order("A")
    desk.order("B")
    desk.run("UPDATE T_GD SET GDBH = CAST(:raw AS TEXT) WHERE GDBH = 'A'", raw="甲".encode("gbk"))

    assert {"gd:B"} == {record for record, _ in desk.kinds()}
    assert [] == desk.kinds()
    ((record, why),) = desk.held().items()
    assert record.startswith("gd:?")
    assert "GDBH" in why


def test_a_mended_mapping_lets_rows_go(
    sqlite_desk: Desk, document: Document, tmp_path: Path
) -> None:
    """A code that the file did not know goes out once the file knows it, without a hand on the table."""
    desk = sqlite_desk
    desk.order("A", JJCD="4")
    assert [] == desk.kinds()
    mended = tmp_path / "mended.toml"
    source = Path(document.file).read_text("utf-8")
    mended.write_text(source.replace('"3" = "immediate"', '"3" = "immediate"\n"4" = "immediate"').replace(
        "[fields.when]", '[codes.jjcd.back]\n"immediate" = "3"\n\n[fields.when]', 1), "utf-8")  # fmt: skip
    desk.again(load(mended))

    assert [("gd:A", "open_ticket"), ("gd:A", "offer")] == desk.kinds()
    assert {} == desk.held()


def test_feedback_waits_for_its_ticket(desk: Desk) -> None:
    """A row about a record that was not said yet waits, whatever came first into the tables."""
    desk.insert("T_FK", feedback("F1", "A"))
    assert [] == desk.kinds()
    assert {"fk:F1"} == set(desk.platform._outgoing.waiting)
    desk.order("A")

    assert ["open_ticket", "offer", "supervise"] == [kind for _, kind in desk.kinds()]


def test_what_follows_in_a_stopped_lane_waits_its_turn(desk: Desk) -> None:
    """A row put aside holds up what was said after it about the same ticket, and nothing else."""
    desk.order("A")
    desk.order("B")
    desk.said()
    desk.insert("T_FK", feedback("F1", "A", FKSJ="0000-00-00 00:00:00"))
    desk.insert("T_FK", feedback("F2", "A"))
    desk.insert("T_FK", feedback("F3", "B"))

    assert [("fk:F3", "supervise")] == desk.kinds()
    assert [] == desk.kinds()
    desk.run("UPDATE T_FK SET FKSJ = '2026-11-23 09:00:00' WHERE FKBH = 'F1'")
    assert [("fk:F1", "supervise"), ("fk:F2", "supervise")] == desk.kinds()


def test_many_waiting_rows_hold_nobody_up(sqlite_desk: Desk) -> None:
    """More rows than one batch wait for a ticket that never comes; a later one still goes out."""
    desk = sqlite_desk
    with desk.database.engine.begin() as connection:
        for number in range(BATCH + 5):
            row = feedback(f"F{number:04}", "NONE")
            connection.execute(
                text(
                    "INSERT INTO T_FK (FKBH, GDBH, FKLX, FKNR, FKSJ) VALUES (:FKBH, :GDBH, :FKLX, :FKNR, :FKSJ)"
                ),
                row,
            )
    desk.order("A")
    desk.insert("T_FK", feedback("Z", "A"))

    assert ["gd:A", "gd:A", "fk:Z"] == [record for record, _ in desk.kinds()]


def test_a_row_that_means_nothing_is_named(desk: Desk) -> None:
    """A kind of feedback that no rule knows is put aside with that reason."""
    desk.order("A")
    desk.insert("T_FK", feedback("F1", "A", "闲聊"))
    desk.said()

    assert "no rule says what this row means" in desk.held()["fk:F1"]


def test_a_row_that_its_writer_holds_is_left_for_later(
    postgres_url: str, document: Document
) -> None:
    """On PostgreSQL a row that the platform is changing is not read half-changed."""
    engine = open_engine(postgres_url)
    with engine.begin() as connection:
        for table in (
            "T_GD",
            "T_FK",
            "exchange_marker",
            "exchange_said",
            "exchange_link",
            "exchange_quarantine",
            "exchange_seen",
        ):
            connection.execute(text(f"DROP TABLE IF EXISTS {table}"))
    create(engine, CITY_12345)
    desk = Desk(postgres_url, document)
    desk.order("A")
    with engine.connect() as writer:
        writer.execute(text("UPDATE T_GD SET SQNR = '改后' WHERE GDBH = 'A'"))
        assert [] == desk.kinds()
        writer.commit()

    said = desk.said()
    assert "改后" == said[0].groups["content"]["content"]
    desk.database.close()
    engine.dispose()


@pytest.mark.usefixtures("postgres_server")  # skipped where there is none
def test_a_lost_connection_is_made_again(document: Document) -> None:
    """A database that was restarted, or a line that was cut, costs one look at most: nothing is lost."""
    with PostgresServer() as server:  # of its own: others are at work in the one that is shared
        for desk in made(server.create_database("lost"), document):
            desk.order("A")
            desk.run(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'lost' AND pid <> pg_backend_pid()"
            )
            first = desk.kinds()
            desk.order("B")
            server.stop()
            with pytest.raises(
                StoreUnavailable, match="lost cannot be used: nothing listens at this address"
            ):
                desk.platform.outgoing()
            server.start()

            assert [("gd:A", "open_ticket"), ("gd:A", "offer")] == first
            assert [("gd:B", "open_ticket"), ("gd:B", "offer")] == desk.kinds()


def test_a_half_written_row_settles_first(sqlite_desk: Desk, document: Document) -> None:
    """Where rows are written in two steps, one is read only after it stayed the same for the time asked."""
    desk = sqlite_desk
    sheet = replace(document.sheets["gd"], settle=5.0)
    desk.again(replace(document, sheets={**document.sheets, "gd": sheet}))
    desk.order("A", SQNR="写了一半")
    seen = [desk.kinds()]
    desk.run("UPDATE T_GD SET SQNR = '写完了。'")
    for seconds in (5, 4, 1):
        desk.now += timedelta(seconds=seconds)
        seen.append(desk.kinds())

    assert [[], [], []] == seen[:3]
    assert [("gd:A", "open_ticket"), ("gd:A", "offer")] == seen[3]


def test_an_answer_reaches_the_row(desk: Desk) -> None:
    """Refused by the bridge: status and reason stand in the row; put right, the same ids go again."""
    desk.order("A")
    opened = desk.said()[0]
    refusal = refuse(
        RefusalCode.REGION_UNKNOWN, "header.open_ticket.region", "r", Text(en="no", zh="无")
    )
    decision = Decision(
        message_id=opened.id_for(US), kind=Kind.OPEN_TICKET, ticket_id=opened.ticket_id,
        handoff_id="", digest=b"1" * 32, refusal=refusal,
    )  # fmt: skip
    desk.platform.decided(decision)
    desk.platform.decided(decision)  # told again
    ((status, why),) = desk.ask("SELECT TSZT, TSXX FROM T_GD")

    assert "9" == status
    assert "REGION_UNKNOWN" in why
    desk.run("UPDATE T_GD SET TSZT = '0', XZQHDM = '140404'")
    again = desk.said()
    assert [opened.id_for(US)] == [one.id_for(US) for one in again]
    assert "140404" == again[0].act["region"]


def test_tables_without_a_status_are_read_by_their_time(desk: Desk, document: Document) -> None:
    """Late commits and clocks that differ are caught; what was read is read once, also after a restart."""
    desk.run(
        "CREATE TABLE LS (ID INTEGER PRIMARY KEY, GDBH VARCHAR(20), NR VARCHAR(99), GXSJ TIMESTAMP)"
    )
    sheets = dict(document.sheets)
    sheets["fk"] = replace(
        sheets["fk"], table="LS", key=("ID",), status=None, changed="GXSJ", overlap=600.0
    )
    rule = next(one for one in document.say if one.kind is Kind.SUPERVISE)
    columns = {"FKNR": "NR", "FKSJ": "GXSJ"}
    fields = tuple(
        replace(field, columns=tuple(columns.get(c, c) for c in field.columns),
                time=field.time and replace(field.time, form="native"))
        for field in rule.fields
    )  # fmt: skip
    plain = replace(rule, when=type(rule.when)(), fields=fields, revision=("GXSJ",))
    say = tuple(one for one in document.say if one.sheet == "gd")
    desk.again(replace(document, sheets=sheets, say=(*say, plain), hear=()))
    desk.order("A")

    def write(key: int, minute: int) -> None:
        at = datetime(2026, 11, 22, 10, minute)  # noqa: DTZ001 - as the column has it
        desk.run(
            "INSERT INTO LS VALUES (:key, 'A', '请办', :at)",
            key=key, at=at.isoformat(sep=" ") if "sqlite" in desk.url else at,
        )  # fmt: skip

    write(1, 30)
    assert ["gd:A", "gd:A", "fk:1"] == [record for record, _ in desk.kinds()]
    write(2, 25)  # committed late, or by a clock behind
    assert ["fk:2"] == [record for record, _ in desk.kinds()]
    desk.again()
    write(3, 31)
    fresh = {one.record for one in desk.said() if one.kind is Kind.SUPERVISE}
    assert "fk:3" in fresh
    desk.run(
        "UPDATE LS SET NR = '再请办', GXSJ = "
        + ("'2026-11-22 10:40:00'" if "sqlite" in desk.url else "TIMESTAMP '2026-11-22 10:40:00'")
        + " WHERE ID = 1"
    )
    assert ["fk:1"] == [record for record, _ in desk.kinds()]
    assert [] == desk.kinds()


def test_a_mapping_that_the_database_does_not_fit_is_refused(
    tmp_path: Path, document: Document
) -> None:
    """A table or column that is not there is named at the start, with the nearest one."""
    url = f"sqlite:///{tmp_path / 'desk.db'}"
    engine = open_engine(url)
    create(engine, CITY_12345)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE T_GD RENAME COLUMN SQNR TO SQNRR"))
    engine.dispose()

    with pytest.raises(StoreMismatch, match="no column 'SQNR'; did you mean 'SQNRR'"):
        PlatformDatabase(document, url)


def test_a_table_that_vanishes_is_said_and_comes_back(sqlite_desk: Desk) -> None:
    """While the platform's table is away nothing is lost; once it is back everything goes on."""
    desk = sqlite_desk
    desk.order("A")
    desk.run("ALTER TABLE T_GD RENAME TO T_GD_OLD")
    with pytest.raises(StoreUnavailable, match="no such table: T_GD"):
        desk.platform.outgoing()
    desk.run("ALTER TABLE T_GD_OLD RENAME TO T_GD")

    assert ["open_ticket", "offer"] == [kind for _, kind in desk.kinds()]


def test_errors_hold_no_values(sqlite_desk: Desk) -> None:
    """Neither a complaint nor what is put aside for the row tells a person's number."""
    desk = sqlite_desk
    desk.order("A", SLSJ="昨天", LXDH="13900000000")
    desk.said()

    assert "13900000000" not in json.dumps(
        [*desk.held().values(), *desk.ask("SELECT TSXX FROM T_GD")]
    )
