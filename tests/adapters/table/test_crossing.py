"""A ticket crosses between two platforms that are only tables, by mapping files alone."""

from __future__ import annotations

from tests.adapters.linked import Link
from tests.adapters.table.city import WORK_ORDER, insert, tables, until_quiet
from tests.adapters.table.conftest import Urls
from tests.pki import CITY_110, CITY_12345


def test_a_ticket_crosses_is_worked_and_closed(link: Link, urls: Urls) -> None:
    """Offered, taken, worked, resolved and closed: each side sees it in its own tables and codes."""
    hotline = tables(link, CITY_12345, urls("hotline"))
    police = tables(link, CITY_110, urls("police"))

    insert(hotline, "T_GD", WORK_ORDER)
    until_quiet(hotline, police)
    came = police.row("SELECT * FROM JJD")

    assert ("噪声扰民", "楼上深夜敲打。", "张三", "13900000000", "20261122093000") == (
        came["BT"], came["BJNR"], came["BJRXM"], came["BJDH"], came["JJSJ"],
    )  # fmt: skip
    assert ("GD20261122001", CITY_12345.organisation, "待签收") == (
        came["LYDH"], came["LYDW"], came["TSXX"],
    )  # fmt: skip
    assert "2" == hotline.row("SELECT TSZT FROM T_GD")["TSZT"]  # written on the other side

    number = came["JJDBH"]
    work = [
        ("F1", "01", "", "已签收", ""),
        ("F2", "02", "", "民警到场。", ""),
        ("F3", "03", "01", "已劝止。", "王警官"),
    ]
    for at, (key, what, outcome, words, who) in enumerate(work):
        insert(police, "CJFK", {
            "FKID": key, "JJDBH": number, "YY": what, "CLJG": outcome, "FKNR": words,
            "FKSJ": f"202611221{at}0000", "FKRXM": who,
        })  # fmt: skip
    until_quiet(hotline, police)

    order = hotline.row("SELECT * FROM T_GD")
    assert ("已签收", number) == (order["BLZT"], order["DFDH"])
    heard = hotline.rows("SELECT * FROM T_FK ORDER BY FKSJ")
    assert [("progress", "民警到场。", None), ("result", "已劝止。", "1")] == [
        (row["FKLX"], row["FKNR"], row["JG"]) for row in heard
    ]
    assert {order["GDBH"]} == {row["GDBH"] for row in heard}
    assert {"2"} == {str(row["TSZT"]) for row in police.rows("SELECT TSZT FROM CJFK")}

    insert(hotline, "T_FK", {
        "FKBH": "H1", "GDBH": order["GDBH"], "FKLX": "办结", "FKNR": "群众满意。", "FKSJ": "2026-11-22 13:00:00",
    })  # fmt: skip
    until_quiet(hotline, police)

    assert "2" == hotline.row("SELECT TSZT FROM T_FK WHERE FKBH = 'H1'")["TSZT"]
    client = link.client(CITY_12345)
    ticket = next(iter(client.tickets.list()))
    assert ticket.closed
