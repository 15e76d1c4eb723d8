"""Files that a platform exports are read once and whole; what comes is written as files; a ticket crosses."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import openpyxl
import pytest

from adapters.folder.__main__ import main
from exchange.ticket import State
from tests.adapters.folder.city import HEADER, ROW, Linked, linked
from tests.adapters.http.city import linked as over_http
from tests.adapters.http.desk import Desk
from tests.adapters.linked import Link
from tests.pki import CITY_12345


def said(side: Linked) -> list[str]:
    """Return the records of the work orders that were said, as they are kept."""
    with side.platform.database.engine.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT record FROM exchange_said WHERE kind = 'open_ticket' ORDER BY seq"
        ).all()
    return [row[0] for row in rows]


def content(side: Linked, column: str = "内容") -> list[str]:
    """Return a column of the work orders."""
    with side.platform.database.engine.connect() as connection:
        rows = connection.exec_driver_sql(f'SELECT "{column}" FROM sheet_gd ORDER BY exchange_seq')
        return [row[0] for row in rows.all()]


def test_a_ticket_crosses_between_a_json_interface_and_drop_folders(
    link: Link, platform: Desk
) -> None:
    """By two mapping files alone: exported, made over there, worked, its result imported, closed."""
    with linked(link) as hotline, over_http(link, platform) as police:

        def cross() -> None:
            quiet = 0
            while quiet < 3:
                quiet = (
                    0 if hotline.turn() + police.turn() + police.platform.poll_now() else quiet + 1
                )

        hotline.drop("工单1122.csv", HEADER + ROW)
        cross()
        (number,) = platform.tickets
        assert ("噪声扰民", "楼上深夜敲打。") == (
            platform.tickets[number]["title"], platform.tickets[number]["content"],
        )  # fmt: skip

        platform.act(number, "take")
        platform.act(number, "result", "已劝止。\n=1+1")
        cross()
        rows = hotline.out()
        assert ["take", "result"] == [row["类型"] for row in rows]
        assert [number, ""] == [row["对方编号"] for row in rows]
        assert "已劝止。\n=1+1" == rows[1]["说明"]
        assert ["GD-1", "GD-1"] == [row["工单编号"] for row in rows]
        assert ["insert", "insert"] == [row["exchange_write"] for row in rows]

        hotline.drop(
            "处置1122.csv",
            "处置编号,工单编号,类型,说明,时间\nC1,GD-1,办结,群众满意。,2026-11-22 13:00:00\n",
        )
        cross()
        assert "close_ticket" == platform.tickets[number]["state"]
        ticket = next(iter(link.client(CITY_12345).tickets.list()))
        assert ticket.closed
        assert {int(State.CLOSED)} == {int(one.state) for one in ticket.handoffs}
        assert {"written"} == {row["answer"] for row in hotline.out("answers")}
        assert not hotline.put_aside()


@pytest.mark.parametrize(
    "raw",
    [
        (HEADER + ROW).encode(),
        (HEADER + ROW).encode("utf-8-sig"),
        (HEADER + ROW).encode("gbk"),
        (HEADER + ROW).encode("utf-16"),
        (HEADER + ROW).replace(",", ";").encode(),
        (HEADER + ROW).replace(",", "\t").encode("gb18030"),
        (HEADER + ROW).replace("\r\n", "\n").rstrip().encode(),
        (HEADER + ROW).replace("\r\n", "\r").encode(),
    ],
    ids=["utf-8", "mark", "gbk", "utf-16", "semicolon", "tab-gbk", "no-end", "old-mac"],
)
def test_a_file_is_read_whatever_program_wrote_it(link: Link, raw: bytes) -> None:
    """Byte order marks, encodings, delimiters and line ends are found out."""
    with linked(link) as hotline:
        hotline.drop("工单.csv", raw)
        hotline.turn()
        assert ["楼上深夜敲打。"] == content(hotline)
        assert not hotline.put_aside()


def test_what_the_mapping_declares_is_not_guessed(link: Link) -> None:
    """Declared GBK, bytes that are no GBK are named with file and row; the other rows go on."""
    with linked(
        link, {"still = 0.05": 'still = 0.05\nencoding = "gbk"\ndelimiter = ","'}
    ) as hotline:
        bad = ROW.replace("GD-1", "GD-2").encode("gbk").replace("噪声".encode("gbk"), b"\xff\xff")
        hotline.drop("工单.csv", HEADER.encode("gbk") + bad + ROW.encode("gbk"))
        hotline.turn()
        assert ["gd:GD-1"] == said(hotline)
        ((place, why, original),) = hotline.put_aside()
        assert "工单.csv:2" == place
        assert "no text" in why
        assert "GD-2" in original


def test_a_row_that_cannot_be_read_is_put_aside_with_its_place_and_its_file_goes_on(
    link: Link,
) -> None:
    """Too few cells, a lost quotation mark, no key, a date that is none: five named, the rest crosses."""
    lines = [
        ROW,                                                                     # 2
        "GD-2,只有两格\r\n",                                                      # 3
        'GD-3,"行内,换行\r\n第二行",x,13900000000,2026-11-22 09:30:00,待转办\r\n',    # 4, 5
        'GD-4,"丢了引号,x,13900000000,2026-11-22 09:30:00,待转办\r\n',              # 6
        ROW.replace("GD-1", "GD-5"),                                             # 7
        ROW.replace("GD-1", ""),                                                 # 8
        ROW.replace("GD-1", "GD-6").replace("2026-11-22 09:30:00", "0000-00-00"),  # 9
        ROW.replace("GD-1", "GD-7") .replace("待转办", "办理中"),                    # 10: not wanted
        "\r\n",                                                                  # 11
        ROW.replace("GD-1", "GD-8").replace("楼上深夜敲打。", "=HYPERLINK(1)"),      # 12
        ROW.replace("GD-1", "GD-9").rstrip() + ",多出一格\r\n",                     # 13
    ]  # fmt: skip
    with linked(link) as hotline:
        hotline.drop("工单.csv", HEADER + "".join(lines))
        hotline.turn()
        assert ["gd:GD-1", "gd:GD-3", "gd:GD-5", "gd:GD-8"] == said(hotline)
        assert "=HYPERLINK(1)" == content(hotline)[-1]
        found = {place: (why, original) for place, why, original in hotline.put_aside()}
        assert {"工单.csv:3", "工单.csv:6", "工单.csv:8", "工单.csv:9", "工单.csv:13"} == {*found}
        assert "quotation marks" in found["工单.csv:6"][0]
        assert "GD-4" in found["工单.csv:6"][1]
        assert "0000-00-00" in found["工单.csv:9"][1]
        assert ["工单.csv"] == [path.name for path in (hotline.place / "in/taken").iterdir()]


def workbook(path: Path, rows: list[list[object]], tab: str = "Sheet1") -> bytes:
    """Return a workbook as a program writes it."""
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = tab
    for row in rows:
        sheet.append(row)
    book.save(path)
    return path.read_bytes()


def test_a_workbook_is_read_as_excel_shows_it_and_computes_nothing(
    link: Link, tmp_path: Path
) -> None:
    """Numbers and times as text; a formula without a value, an error and half a row are named."""
    from datetime import datetime  # noqa: PLC0415

    header = HEADER.strip().split(",")
    when = datetime(2026, 11, 22, 9, 30)  # noqa: DTZ001 - Excel knows no zone
    rows: list[list[object]] = [
        [*header],
        ["GD-1", "标题", "内容", 13900000000, when, "待转办"],
        ["GD-2", "标题", "=1+1", "13900000000", when, "待转办"],
        [3.0, "标题", "内容三", "13900000000", "2026-11-22 09:30:00", "待转办"],
        ["GD-4", "标题", "#N/A", "13900000000", when, "待转办"],
        ["GD-5", "标题", "内容", "13900000000", when, "待转办", "多出一格"],
    ]
    with linked(link) as hotline:
        hotline.drop("工单.xlsx", workbook(tmp_path / "a.xlsx", rows))
        hotline.turn()
        assert ["gd:GD-1", "gd:3"] == said(hotline)
        assert ["13900000000", "13900000000"] == content(hotline, "电话")
        found = {place: why for place, why, _ in hotline.put_aside()}
        assert {"工单.xlsx:3", "工单.xlsx:5", "工单.xlsx:6"} == {*found}
        assert "C3 has no value" in found["工单.xlsx:3"]


def test_a_file_that_is_none_is_named_and_rejected_whole(link: Link, tmp_path: Path) -> None:
    """A broken workbook, a bomb, a missing column, two columns of one name: moved, named, nothing half."""
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as parts:
        for number in range(6):
            with parts.open(f"x{number}", "w") as part:
                for _ in range(100):
                    part.write(bytes(1_000_000))
    whole = workbook(tmp_path / "a.xlsx", [["a"]])
    with linked(link) as hotline:
        hotline.drop("工单1.xlsx", b"PK\x03\x04 no")
        hotline.drop("工单2.xlsx", whole[: len(whole) // 2])
        hotline.drop("工单3.xlsx", bomb.getvalue())
        hotline.drop("工单4.csv", HEADER.replace("内容", "正文") + ROW)
        hotline.drop("工单5.csv", HEADER.replace("标题", "内容") + ROW)
        hotline.turn()
        assert [] == said(hotline)
        found = {place: why for place, why, _ in hotline.put_aside()}
        assert {f"工单{n}" for n in range(1, 6)} == {place.partition(".")[0] for place in found}
        assert "no column 内容" in found["工单4.csv"]
        assert 5 == len([*(hotline.place / "in/rejected").iterdir()])


def test_a_file_that_is_still_being_written_is_left_until_it_stands_still(link: Link) -> None:
    """Half a file says nothing; when it stood still long enough, it is read whole."""
    with linked(link) as hotline:
        path = hotline.drop("工单.csv", HEADER + ROW[:20])
        hotline.platform._taking.take()
        hotline.now[0] += 0.01
        hotline.platform._taking.take()
        with path.open("a", encoding="utf-8") as file:
            file.write(ROW[20:])
        hotline.now[0] += 10  # it changed: the time begins anew
        hotline.platform._taking.take()
        assert path.exists()
        hotline.turn()
        hotline.turn()
        assert ["gd:GD-1"] == said(hotline)
        assert not path.exists()


def test_with_a_done_file_nothing_is_read_before_it_is_there(link: Link) -> None:
    """The convention of the two files; both are gone afterwards."""
    with linked(link, {"still = 0.05": 'still = 0\ndone = ".ok"'}) as hotline:
        path = hotline.drop("工单.csv", HEADER + ROW)
        hotline.turn()
        assert [] == said(hotline)
        done = hotline.drop("工单.csv.ok", "")
        hotline.turn()
        assert ["gd:GD-1"] == said(hotline)
        assert not path.exists()
        assert not done.exists()
        assert not hotline.said


def test_foreign_files_are_named_once_and_left_alone(link: Link) -> None:
    """Another program's files, a folder, a link, Excel's lock: where they were, byte for byte."""
    with linked(link) as hotline:
        inside = hotline.place / "in"
        for name in ("photo.jpg", "工单.docx", "other.csv", "~$工单.xlsx", "工单.csv.part"):
            hotline.drop(name, b"whatever")
        (inside / "工单目录.csv").mkdir()
        (inside / "工单链接.csv").symlink_to(inside / "other.csv")
        before = sorted(path.name for path in inside.iterdir())
        hotline.turn()
        hotline.turn()
        assert before == sorted(path.name for path in inside.iterdir())
        named = {text.en.split()[0] for text in hotline.said}
        assert {
            "in/photo.jpg", "in/工单.docx", "in/other.csv", "in/工单目录.csv", "in/工单链接.csv"
        } == named  # fmt: skip
        assert 5 == len(hotline.said)


def test_the_same_again_is_no_duplicate(link: Link) -> None:
    """A daily export holds yesterday's rows, too: said once; and a row that changed is not lost."""
    with linked(link) as hotline:
        hotline.drop("工单1.csv", HEADER + ROW)
        hotline.turn()
        hotline.drop("工单2.csv", HEADER + ROW + ROW.replace("GD-1", "GD-2"))
        hotline.turn()
        assert ["gd:GD-1", "gd:GD-2"] == said(hotline)
        hotline.drop("工单3.csv", HEADER + ROW.replace("深夜", "凌晨"))
        hotline.turn()
        ((place, why, original),) = hotline.put_aside()
        assert "工单3.csv:2" == place
        assert "changed after" in why
        assert "凌晨" in original


def test_more_rows_than_may_wait_are_taken_bit_by_bit(link: Link) -> None:
    """A file larger than the queue goes on where it broke off, each row once."""
    with linked(link) as hotline:
        hotline.platform.records.limit = 100
        rows = "".join(ROW.replace("GD-1", f"GD-{number:04}") for number in range(1, 251))
        hotline.drop("工单.csv", HEADER + rows)
        hotline.turn()
        assert (hotline.place / "in/工单.csv").exists()
        for _ in range(8):
            hotline.turn()
        assert not (hotline.place / "in/工单.csv").exists()
        assert [f"gd:GD-{number:04}" for number in range(1, 251)] == said(hotline)


def test_what_excel_would_compute_comes_out_as_text(link: Link, platform: Desk) -> None:
    """An apostrophe stands before what begins like a formula; a telephone number stays as it is."""
    from adapters.folder.giving import _safe  # noqa: PLC0415

    assert [
        "'=1+1", "'@SUM(1)", "'\tx", "'-cmd", "'+A1", "+86 139-0000", "-5", "-", "a=1"
    ] == [
        _safe(text) for text in (
            "=1+1", "@SUM(1)", "\tx", "-cmd", "+A1", "+86 139-0000", "-5", "-", "a=1"
        )
    ]  # fmt: skip


def test_the_quarantine_is_shown_by_place_and_a_misspelt_folder_is_told(
    link: Link, capsys: pytest.CaptureFixture[str]
) -> None:
    """File and row first, then why; where no adapter is, nothing is made."""
    with linked(link) as hotline:
        hotline.drop("工单.csv", HEADER + ROW + ROW.replace("GD-1,", ""))
        hotline.turn()
        place = hotline.place
    config, mapping = link.config(CITY_12345), link.folder / "hotline.map.toml"
    given = ["--config", str(config), "--mapping", str(mapping), "--lang", "en"]
    assert 0 == main(["quarantine", str(place), *given])
    assert capsys.readouterr().out.startswith("工单.csv:3\n  it has 5 cells")
    assert 1 == main(["quarantine", str(place) + "z", *given])
    assert "no adapter in" in capsys.readouterr().err
    assert not place.with_name(place.name + "z").exists()


def test_a_record_that_changes_twice_in_a_second_is_heard_twice(link: Link) -> None:
    """What came later waits in its turn until what came before was said."""
    with linked(link) as hotline:
        hotline.drop("工单.csv", HEADER + ROW + ROW.replace("深夜", "凌晨"))
        hotline.platform._taking.take()
        hotline.now[0] += 10
        hotline.platform._taking.take()
        records = hotline.platform.records
        assert (1, 0) == (records.turn(), records.turn())
        assert ["楼上深夜敲打。"] == content(hotline)
        assert 1 == records.waiting()
        hotline.runner.collect()
        hotline.runner.collect()
        assert 0 == records.waiting()
        assert ["楼上凌晨敲打。"] == content(hotline)
