"""Attachments of platforms that are only tables: a column of paths on one side, of bytes on the other."""

from __future__ import annotations

import base64
import json
import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path

import pytest
from sqlalchemy import text

from adapters.mapping.citing import text_at
from adapters.spool_records import Decision
from adapters.table.filing import fit_name
from adapters.table.leaving import LONGEST, OFTEN, still_needed
from exchange.acts import Kind
from exchange.errors import RefusalCode, StoreUnavailable, refuse
from exchange.text import Text
from tests.adapters.linked import Link
from tests.adapters.table.city import insert
from tests.adapters.table.conftest import Urls
from tests.adapters.table.filed import Filed, attach, filed, noted, open_order, settle
from tests.pki import CITY_110, CITY_12345


@pytest.fixture
def sides(link: Link, tmp_path: Path) -> tuple[Filed, Filed]:
    """Both platforms, on SQLite."""
    return (
        filed(link, CITY_12345, f"sqlite:///{tmp_path / 'hotline.db'}"),
        filed(link, CITY_110, f"sqlite:///{tmp_path / 'police.db'}"),
    )


def in_an_hour(*sides: Filed) -> None:
    """Let an hour pass, after which the copies that nobody needs are looked for."""
    for side in sides:
        leaving = side.platform.filing.leaving
        later = leaving._clock() + OFTEN
        leaving._clock = partial(datetime.fromtimestamp, later.timestamp(), UTC)
        leaving.gather()


def test_files_cross_both_ways(link: Link, urls: Urls) -> None:
    """A path becomes bytes in a column, those become a path again: the same bytes, named and digested."""
    hotline = filed(link, CITY_12345, urls("hotline"))
    police = filed(link, CITY_110, urls("police"))
    number = open_order(hotline, police)
    photo, report = os.urandom(150_000), b"%PDF-1.7 " + os.urandom(900)
    (hotline.folder / "2026").mkdir()
    (hotline.folder / "2026" / "现场.jpg").write_bytes(photo)
    attach(hotline, "F1", "2026\\现场.jpg")
    settle(hotline, police)

    came = police.row("SELECT * FROM JFJ")
    assert (number, "现场.jpg", "image/jpeg", photo, len(photo), sha256(photo).hexdigest()) == (
        came["JJDBH"], came["MC"], came["LX"], bytes(came["NR"]), came["DX"], came["ZY"],
    )  # fmt: skip
    assert "2" == hotline.row("SELECT TSZT FROM T_FJ")["TSZT"]

    with police.database.engine.begin() as connection:
        connection.execute(
            text("INSERT INTO JFJ (FJBH, JJDBH, MC, LX, NR, FJSJ) VALUES (:a, :b, :c, :d, :e, :f)"),
            {"a": "P1", "b": number, "c": "笔录.pdf", "d": "PDF", "e": report, "f": "20261122120000"},
        )  # fmt: skip
    settle(hotline, police)

    back = hotline.row("SELECT * FROM T_FJ WHERE FJBH <> 'F1'")
    assert report == (hotline.folder / back["FJLJ"]).read_bytes()
    assert "笔录.pdf" == back["FJMC"]
    assert not hotline.held() + police.held()
    in_an_hour(hotline, police)
    copies = [
        *(police.folder.parent / "copies").iterdir(),
        *(hotline.folder.parent / "copies").iterdir(),
    ]
    assert not copies  # what the other side has written is not kept a second time


@pytest.mark.parametrize("urls", ["sqlite", "mariadb"], indirect=True)
def test_a_file_in_base64_is_not_kept_beside_its_row(link: Link, urls: Urls) -> None:
    """It is read from the row again: MariaDB's TEXT would end at 64 KiB of it, and every turn read it."""
    base64_column = {'path = "FJLJ"': 'base64 = "FJLJ"', 'separator = ";"\n': ""}
    hotline = filed(link, CITY_12345, urls("hotline"), changes=base64_column)
    police = filed(link, CITY_110, urls("police"))
    engine = hotline.database.engine.dialect.name
    if engine != "sqlite":
        column = (
            "MODIFY FJLJ LONGTEXT" if engine in ("mysql", "mariadb") else "ALTER FJLJ TYPE TEXT"
        )
        hotline.run(f"ALTER TABLE T_FJ {column}")
    open_order(hotline, police)
    photo = os.urandom(100_000)
    attach(hotline, "F1", base64.b64encode(photo).decode(), "现场.jpg")
    attach(hotline, "F2", "no base64!", "坏.jpg")
    hotline.turn()

    assert 4000 > max(
        len(row["BODY"] or "") for row in hotline.rows("SELECT body FROM exchange_said")
    )
    settle(hotline, police)
    assert [photo] == [bytes(row["NR"]) for row in police.rows("SELECT NR FROM JFJ")]
    ((held, why),) = hotline.held()
    assert ("坏.jpg", True) == (held, "no base64" in why)


def test_a_text_in_a_list_is_found_again() -> None:
    """By its place in the list; one that is not there any more is empty, and waited for."""
    row = {"photos": '[{"data": "YQ=="}, {"data": "Yg=="}]'}

    found = [text_at({"text": "data", "each": "photos", "number": n}, row) for n in "012"]

    assert ["YQ==", "Yg==", ""] == found


def test_a_ticket_and_its_feedback_never_wait_for_a_file(sides: tuple[Filed, Filed]) -> None:
    """The file is not there yet; everything else crosses; then it is, and follows."""
    hotline, police = sides
    insert(hotline, "T_GD", {"GDBH": "other", "XZQHDM": "140403", "BT": "井盖", "SQNR": "缺失", "SQLXDM": "02",
                             "SXDM": "NM.P.01.02", "SLSJ": "2026-11-22 09:30:00", "JJCD": "1", "YJYY": "属公安职责。"})  # fmt: skip
    open_order(hotline, police)
    attach(hotline, "F1", "late.jpg")
    settle(hotline, police)
    insert(hotline, "T_GD", {"GDBH": "next", "XZQHDM": "140403", "BT": "噪声", "SQNR": "敲打", "SQLXDM": "02",
                             "SXDM": "NM.P.01.02", "SLSJ": "2026-11-22 09:50:00", "JJCD": "1", "YJYY": "属公安职责。"})  # fmt: skip
    settle(hotline, police)

    assert 3 == len(police.rows("SELECT 1 FROM JJD"))
    assert 1 == hotline.platform.standing()["said_files"]
    said = hotline.row("SELECT state, detail FROM exchange_said WHERE kind = 'supplement'")
    assert "files" == said["STATE"]
    assert "cannot be opened below" in said["DETAIL"]

    (hotline.folder / "late.jpg").write_bytes(b"late")
    hotline.platform.filing.leaving.later.forget()
    settle(hotline, police)

    assert b"late" == police.row("SELECT NR FROM JFJ")["NR"]


def test_what_may_not_cross_is_named_and_its_message_goes(sides: tuple[Filed, Filed]) -> None:
    """It is cited as a file that stays where it is; its neighbour in the same row crosses."""
    hotline, police = sides
    open_order(hotline, police)
    faults = {
        "../map.jpg": "leads out of",
        "link.jpg": "leads out of",
        "/etc/host.jpg": "leads out of",
        "big.jpg": "larger than 200000",
        "virus.exe": "application/octet-stream is not among",
        "pipe.jpg": "no regular file",
        ".git/head.jpg": "begins with a dot",
    }
    (hotline.folder / "good.jpg").write_bytes(b"good")
    (hotline.folder / "big.jpg").write_bytes(bytes(200_001))
    (hotline.folder / "virus.exe").write_bytes(b"MZ")
    (hotline.folder / "link.jpg").symlink_to("/etc/hostname")
    os.mkfifo(hotline.folder / "pipe.jpg")
    attach(hotline, "F1", ";".join([*faults, "good.jpg"]))
    settle(hotline, police)

    assert [b"good"] == [row["NR"] for row in police.rows("SELECT NR FROM JFJ")]
    held = dict(hotline.held())
    assert {name.rpartition("/")[2] for name in faults} == held.keys()
    assert all(why in held[name.rpartition("/")[2]] for name, why in faults.items())
    assert "2" == hotline.row("SELECT TSZT FROM T_FJ")["TSZT"]


def test_a_file_that_never_comes_lets_its_message_go_after_a_day(
    sides: tuple[Filed, Filed],
) -> None:
    """It is named, and the other side is told that there is one."""
    hotline, police = sides
    open_order(hotline, police)
    attach(hotline, "F1", "lost.jpg", "丢失.jpg")
    settle(hotline, police)
    filing = hotline.platform.filing.leaving
    now = filing._clock
    filing._clock = lambda: now() + LONGEST + timedelta(minutes=1)
    settle(hotline, police)

    ((held, _),) = hotline.held()
    assert "丢失.jpg" == held
    assert "supplement" in {row["KIND"] for row in police.rows("SELECT kind FROM exchange_marker")}


def test_a_file_is_read_once_it_stays_the_same(link: Link, tmp_path: Path) -> None:
    """Half of one that is being copied into the folder does not cross."""
    hotline = filed(
        link, CITY_12345, f"sqlite:///{tmp_path / 'a.db'}", changes={"still = 0": "still = 5"}
    )
    police = filed(link, CITY_110, f"sqlite:///{tmp_path / 'b.db'}")
    open_order(hotline, police)
    filing = hotline.platform.filing.leaving
    clock, ahead = filing._clock, timedelta(0)
    filing._clock = lambda: clock() + ahead
    (hotline.folder / "a.jpg").write_bytes(b"half")
    attach(hotline, "F1", "a.jpg")
    settle(hotline, police)
    filing.later.forget()
    settle(hotline, police)  # looked at again at once: it has not stayed so for long enough
    (hotline.folder / "a.jpg").write_bytes(b"half and half")
    for _ in range(3):
        ahead += timedelta(minutes=2)
        settle(hotline, police)

    assert [b"half and half"] == [row["NR"] for row in police.rows("SELECT NR FROM JFJ")]


def test_files_that_must_stay_the_same_are_looked_at_together(link: Link, tmp_path: Path) -> None:
    """Six of them take two looks, not two to the sixth; one that is late lets no other be copied again."""
    hotline = filed(
        link, CITY_12345, f"sqlite:///{tmp_path / 'a.db'}", changes={"still = 0": "still = 5"}
    )
    police = filed(link, CITY_110, f"sqlite:///{tmp_path / 'b.db'}")
    open_order(hotline, police)
    filing = hotline.platform.filing.leaving
    clock, ahead = filing._clock, timedelta(0)
    filing._clock = lambda: clock() + ahead
    names = [f"{number}.jpg" for number in range(6)]
    for name in names:
        (hotline.folder / name).write_bytes(name.encode())
    attach(hotline, "F1", ";".join(["late.jpg", *names]))
    hotline.turn()
    looked = [filing.gather()]
    ahead = timedelta(seconds=6)
    looked.append(filing.gather())
    copied = {path.name: path.stat().st_ino for path in filing.copies.there()}
    (hotline.folder / "late.jpg").write_bytes(b"late")
    (hotline.folder / names[0]).unlink()
    for _ in range(2):
        ahead += timedelta(minutes=2)
        looked.append(filing.gather())

    assert [0, 0, 0, 1] == looked
    assert len(names) == len(copied)
    assert (
        copied.items() < {path.name: path.stat().st_ino for path in filing.copies.there()}.items()
    )
    settle(hotline, police)
    assert {*(name.encode() for name in names), b"late"} == {
        bytes(row["NR"]) for row in police.rows("SELECT NR FROM JFJ")
    }
    assert not hotline.held()


def test_a_lost_spool_says_the_same_again(link: Link, tmp_path: Path) -> None:
    """The copy is kept until the other side has written the message, though the platform moved its file."""
    url = f"sqlite:///{tmp_path / 'a.db'}"
    hotline = filed(link, CITY_12345, url)
    police = filed(link, CITY_110, f"sqlite:///{tmp_path / 'b.db'}")
    open_order(hotline, police)
    (hotline.folder / "a.jpg").write_bytes(b"photo")
    attach(hotline, "F1", "a.jpg")
    hotline.turn()
    hotline.runner.posting.turn()
    hotline.turn()
    (hotline.folder / "a.jpg").unlink()
    spool = hotline.runner.spool
    known = spool.handoff(
        hotline.row("SELECT DISTINCT handoff_id FROM exchange_link WHERE handoff_id <> ''")[
            "HANDOFF_ID"
        ]
    )
    assert known is not None
    spool.close()
    for path in spool.path.parent.glob("spool.*"):
        path.rename(path.with_name(f"lost-{path.name}"))
    again = filed(link, CITY_12345, url, afresh=False)
    again.runner.spool.learn([known])  # as `exchange adapter reconcile --send` does
    settle(again, police)

    assert [b"photo"] == [row["NR"] for row in police.rows("SELECT NR FROM JFJ")]
    assert "2" == again.row("SELECT TSZT FROM T_FJ")["TSZT"]


def test_tables_that_were_put_back_get_the_files_again(sides: tuple[Filed, Filed]) -> None:
    """The message comes once more, and its files with it, from the spool's copies; again changes nothing."""
    hotline, police = sides
    open_order(hotline, police)
    kept = sqlite3.connect(":memory:")
    place = str(police.database.engine.url.database)
    with closing(sqlite3.connect(place)) as source:
        source.backup(kept)
    (hotline.folder / "a.jpg").write_bytes(b"photo")
    attach(hotline, "F1", "a.jpg")
    settle(hotline, police)
    came = police.rows("SELECT MC, NR FROM JFJ")
    with closing(sqlite3.connect(place)) as target:
        kept.backup(target)
    kept.close()
    lost = police.rows("SELECT MC, NR FROM JFJ")
    for _ in range(2):
        police.runner.client.reconcile(dict.fromkeys(police.runner.spool.heads(), b""))
        settle(hotline, police)

    assert ([], 1) == (lost, len(came))
    assert came == police.rows("SELECT MC, NR FROM JFJ")


def test_a_restart_copies_no_file_again_that_is_the_same(link: Link, tmp_path: Path) -> None:
    """Known by place, size and times; one that was changed, even to the same size and time, is read again."""
    urls = {
        party: f"sqlite:///{tmp_path / party.organisation}.db" for party in (CITY_12345, CITY_110)
    }
    police = filed(link, CITY_110, urls[CITY_110])
    hotline = filed(link, CITY_12345, urls[CITY_12345])
    open_order(hotline, police)
    photo = hotline.folder / "a.jpg"
    photo.write_bytes(b"photo")
    an_hour_ago = (photo.stat().st_mtime - 3600,) * 2
    os.utime(photo, an_hour_ago)
    attach(hotline, "F1", "a.jpg;b.jpg")
    hotline.turn()
    seen = []
    for content in (b"photo", b"photo", b"other"):
        if content != photo.read_bytes():
            photo.write_bytes(content)
            os.utime(photo, an_hour_ago)
        hotline = filed(link, CITY_12345, urls[CITY_12345], afresh=False)
        assert 0 == hotline.platform.gather()
        copy = hotline.folder.parent / "copies" / sha256(content).hexdigest()
        seen.append(copy.stat().st_ino)
    (hotline.folder / "b.jpg").write_bytes(b"late")
    hotline = filed(link, CITY_12345, urls[CITY_12345], afresh=False)
    settle(hotline, police)

    assert seen[0] == seen[1] != seen[2]
    assert [b"late", b"other"] == sorted(
        bytes(row["NR"]) for row in police.rows("SELECT NR FROM JFJ")
    )


def test_what_ended_in_a_refusal_keeps_no_copy(sides: tuple[Filed, Filed]) -> None:
    """The bridge's refusal ends it at once; a body that is emptied meanwhile is not said again."""
    hotline, police = sides
    open_order(hotline, police)
    (hotline.folder / "a.jpg").write_bytes(b"photo")
    (hotline.folder / "b.jpg").write_bytes(b"other")
    attach(hotline, "F1", "a.jpg")
    attach(hotline, "F2", "b.jpg")
    hotline.turn()
    assert 2 == hotline.platform.gather()
    message_id = hotline.row("SELECT message_id FROM exchange_said WHERE record = 'fj:F1'")[
        "MESSAGE_ID"
    ]
    refusal = refuse(RefusalCode.REGION_UNKNOWN, "header", "r", Text(en="no", zh="无"))
    hotline.platform.decided(
        Decision(
            message_id=message_id,
            kind=Kind.SUPPLEMENT,
            ticket_id="",
            handoff_id="",
            digest=b"",
            refusal=refusal,
        )
    )
    in_an_hour(hotline)

    assert [sha256(b"other").hexdigest()] == [
        one.name for one in hotline.platform.filing.leaving.copies.there()
    ]
    body = hotline.row("SELECT body FROM exchange_said WHERE record = 'fj:F1'")["BODY"]
    assert not {"files", "owed"} & set(json.loads(body))
    settle(hotline, police)
    assert [b"other"] == [row["NR"] for row in police.rows("SELECT NR FROM JFJ")]


@pytest.mark.parametrize(
    ("state", "owed", "kept"),
    [
        ("stored", ["a"], {"files", "owed", "kind"}),
        ("written", ["a"], {"files", "owed", "kind"}),
        ("written", [], set()),
        ("declined", ["a"], {"files", "owed", "kind"}),
        ("declined", [], {"kind"}),
        ("refused", ["a"], {"kind"}),
        ("dropped", ["a"], {"kind"}),
    ],
)
def test_a_message_keeps_its_files_as_long_as_the_bridge_may_lack_them(
    state: str, owed: list[str], kept: set[str]
) -> None:
    """Whatever else becomes of it."""
    body = json.dumps({"kind": "supplement", "files": {"a": "/copies/1"}, "owed": owed})

    found = still_needed(body, state)

    assert kept == set(json.loads(found or "{}"))


def test_a_message_that_ended_while_it_is_said_again_is_not_read(
    link: Link, tmp_path: Path
) -> None:
    """The thread of the files empties its body between two looks."""
    url = f"sqlite:///{tmp_path / 'a.db'}"
    hotline = filed(link, CITY_12345, url)
    police = filed(link, CITY_110, f"sqlite:///{tmp_path / 'b.db'}")
    open_order(hotline, police)
    (hotline.folder / "a.jpg").write_bytes(b"photo")
    attach(hotline, "F1", "a.jpg")
    hotline.turn()
    hotline.platform.gather()
    hotline.turn()
    again = filed(link, CITY_12345, url, afresh=False)

    assert 1 == len(again.platform.outgoing())
    again.run("UPDATE exchange_said SET body = NULL WHERE record = 'fj:F1'")
    assert not again.platform.outgoing()


def test_what_the_platform_cannot_write_is_kept_and_written_once_it_can(
    link: Link, tmp_path: Path
) -> None:
    """A missing rule, then a mapping that has it: the file is in quarantine with its copy until then."""
    hotline = filed(link, CITY_12345, f"sqlite:///{tmp_path / 'a.db'}")
    url = f"sqlite:///{tmp_path / 'b.db'}"
    police = filed(link, CITY_110, url, changes={"[attachments.heard]": "[sheets.unused]", 'sheet = "fj"\ncolumns = { FJBH = { new = "L{serial:06}" }, MC = "name", LX = "media_type", NR = "content", DX = "size", ZY = "sha256" }': 'table = "JFJ"\nkey = ["FJBH"]'})  # fmt: skip
    open_order(hotline, police)
    (hotline.folder / "a.jpg").write_bytes(b"photo")
    attach(hotline, "F1", "a.jpg")
    settle(hotline, police)

    ((_, why),) = police.held()
    assert "add [attachments.heard]" in why

    again = filed(link, CITY_110, url, afresh=False)
    settle(hotline, again)

    assert [b"photo"] == [row["NR"] for row in again.rows("SELECT NR FROM JFJ")]
    assert not again.held()


def test_what_was_put_aside_is_written_again_one_by_one(link: Link, tmp_path: Path) -> None:
    """By a mapping that has the rule: the one that has no place waits, named without its name; its neighbour not."""
    url = f"sqlite:///{tmp_path / 'a.db'}"
    columns = (
        'sheet = "fj"\ncolumns = { FJBH = { new = "L{serial:06}" }, FJMC = "name", FJLJ = "path" }'
    )
    no_rule = {"[attachments.heard]": "[sheets.unused]", columns: 'table = "T_FJ"\nkey = ["FJBH"]'}
    hotline = filed(link, CITY_12345, url, changes=no_rule)
    police = filed(link, CITY_110, f"sqlite:///{tmp_path / 'b.db'}")
    number = open_order(hotline, police)
    for key, name, content in (("P1", "张三.pdf", b"one"), ("P2", "b.pdf", b"two")):
        insert(police, "JFJ", {
            "FJBH": key, "JJDBH": number, "MC": name, "LX": "PDF", "NR": content, "FJSJ": "20261122120000",
        })  # fmt: skip
    settle(hotline, police)
    assert 2 == len(hotline.held())

    taken = hotline.folder / f"{sha256(b'one').hexdigest()[:16]}-张三.pdf"
    taken.mkdir()
    again = filed(link, CITY_12345, url, afresh=False)
    again.files()

    assert ["b.pdf"] == [row["FJMC"] for row in again.rows("SELECT FJMC FROM T_FJ")]
    assert str(hotline.folder) in noted(again)
    assert "张三" not in noted(again)
    taken.rmdir()
    again.platform.filing._later.forget()
    again.files()
    assert 2 == len(again.rows("SELECT FJMC FROM T_FJ"))
    assert not again.held()
    assert not noted(again)


def test_news_told_again_writes_no_second_row(sides: tuple[Filed, Filed]) -> None:
    """Killed after the row and before the spool noted it: the row is one."""
    hotline, police = sides
    open_order(hotline, police)
    (hotline.folder / "a.jpg").write_bytes(b"photo")
    attach(hotline, "F1", "a.jpg")
    settle(hotline)
    police.turn()
    told = police.platform.file_came
    once = iter([True])

    def killed(news: object) -> None:
        told(news)  # type: ignore[arg-type]
        if next(once, False):
            raise KeyboardInterrupt

    assert police.runner.posting.post is not None
    police.platform.file_came = killed
    with pytest.raises(KeyboardInterrupt):
        police.files()
    police.files()

    assert [b"photo"] == [row["NR"] for row in police.rows("SELECT NR FROM JFJ")]


def test_the_trouble_of_one_message_stops_no_other(sides: tuple[Filed, Filed]) -> None:
    """It is named by its id, once; others leave, and it goes as soon as it was mended."""
    hotline, police = sides
    open_order(hotline, police)
    attach(hotline, "F1", "a.jpg")
    attach(hotline, "F2", "b.jpg")
    hotline.turn()
    for name in ("a.jpg", "b.jpg"):
        (hotline.folder / name).write_bytes(name.encode())
    spoilt = hotline.row("SELECT message_id, body FROM exchange_said WHERE record = 'fj:F1'")
    mended = "UPDATE exchange_said SET body = :body WHERE record = 'fj:F1'"
    hotline.run(mended, body="{")
    settle(hotline, police)

    assert [b"b.jpg"] == [row["NR"] for row in police.rows("SELECT NR FROM JFJ")]
    said = noted(hotline)
    assert spoilt["MESSAGE_ID"] in said
    assert "JSONDecodeError" in said

    hotline.run(mended, body=spoilt["BODY"])
    hotline.platform.filing.leaving.later.forget()
    settle(hotline, police)

    assert 2 == len(police.rows("SELECT NR FROM JFJ"))
    assert not noted(hotline)


def test_what_cannot_be_gathered_holds_nothing_up_that_can_be_sent(
    sides: tuple[Filed, Filed],
) -> None:
    """The platform's database is spoilt after a message left: its file follows all the same."""
    hotline, police = sides
    open_order(hotline, police)
    (hotline.folder / "a.jpg").write_bytes(b"photo")
    attach(hotline, "F1", "a.jpg")
    hotline.turn()
    assert hotline.platform.gather()
    hotline.turn()
    hotline.run("ALTER TABLE exchange_said RENAME TO exchange_lost")
    with pytest.raises(StoreUnavailable):
        hotline.files()
    settle(police)

    assert [b"photo"] == [row["NR"] for row in police.rows("SELECT NR FROM JFJ")]


def test_a_file_that_has_no_place_is_told_without_its_name_and_others_come(
    sides: tuple[Filed, Filed],
) -> None:
    """A name may be a person's: who looks reads the folder and the cause; it is written once there is room."""
    hotline, police = sides
    number = open_order(hotline, police)
    for key, name, content in (("P1", "张三.pdf", b"one"), ("P2", "b.pdf", b"two")):
        insert(police, "JFJ", {
            "FJBH": key, "JJDBH": number, "MC": name, "LX": "PDF", "NR": content, "FJSJ": "20261122120000",
        })  # fmt: skip
    taken = hotline.folder / f"{sha256(b'one').hexdigest()[:16]}-张三.pdf"
    taken.mkdir()
    settle(hotline, police)

    assert ["b.pdf"] == [row["FJMC"] for row in hotline.rows("SELECT FJMC FROM T_FJ")]
    said = noted(hotline)
    assert str(hotline.folder) in said
    assert "张三" not in said

    taken.rmdir()
    settle(hotline, police)

    assert 2 == len(hotline.rows("SELECT FJMC FROM T_FJ"))
    assert not noted(hotline)


@pytest.mark.parametrize(
    ("name", "fit"),
    [
        ("现场.jpg", "现场.jpg"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("a\x00b\n.txt", "a_b_.txt"),
        ("con<>:|?*.pdf", "con______.pdf"),
        ("", "file"),
        ("...", "file"),
        ("字" * 200 + ".jpg", "字" * 39 + ".jpg"),
    ],
)
def test_a_strangers_name_is_made_one_that_leads_nowhere(name: str, fit: str) -> None:
    """It stays readable, and shorter than any file system's limit."""
    assert fit == fit_name(name)
