"""Attachments of a platform that can only export and import files: names in a CSV, beside them the files."""

from __future__ import annotations

from exchange.cli.reconcile_platform import Platform
from tests.adapters.attachments.folders import folder_of
from tests.adapters.folder.city import HEADER, ROW, linked
from tests.adapters.linked import Link
from tests.pki import CITY_110, CITY_12345

MORE = """
[attachments]
folder = "hotline files/in/files"
inbox = "hotline files/out/files"
still = 0
[attachments.heard]
sheet = "fj"
[attachments.heard.columns]
"附件编号" = { new = "JH{serial:06}" }
"名称" = "name"
"文件" = "path"

[sheets.fj]
key = ["附件编号"]
about = { sheet = "gd", columns = ["工单编号"] }

[[say]]
kind = "supplement"
sheet = "fj"
fields = { "header.created" = { column = "时间", time = "%Y-%m-%d %H:%M:%S" } }
[[say.attachments]]
path = "文件"
name = "名称"

[[folder.file]]
sheet = "fj"
name = "附件*.csv"

[folder.out]
"""


def test_files_cross_beside_the_rows_that_name_them(link: Link) -> None:
    """What is exported with its file comes to the other side; what comes stands in a folder, and in a row."""
    police = folder_of(link.folder / "police", lambda p, pace: link.runner(CITY_110, p, pace))
    with linked(link, {"\n[folder.out]\n": MORE}) as hotline:

        def settle() -> None:
            moved = True
            while moved:
                moved = bool(hotline.turn() + hotline.runner.posting.turn())
                police.messages()
                moved |= bool(police.files())

        exported = hotline.place / "in" / "files"
        exported.mkdir()
        (exported / "a.jpg").write_bytes(b"photo")
        hotline.drop("工单1.csv", HEADER + ROW)
        hotline.drop(
            "附件1.csv",
            "附件编号,工单编号,名称,文件,时间\r\nF-1,GD-1,现场.jpg,a.jpg,2026-11-22 09:40:00\r\n",
        )
        settle()

        assert {b"photo"} == set(police.came().values())

        (path,) = (police.path / "inbox").glob("*-offer-*.json")
        handoff = path.read_text(encoding="utf-8").partition('"handoff_id": "')[2][:36]
        police.put("b.pdf", b"report")
        police.say(
            {
                "kind": "supplement",
                "handoff_id": handoff,
                "record": "S-1",
                "created": "2026-11-22T10:00:00+08:00",
                "files": {"A-1": "b.pdf"},
                "groups": {
                    "attachment": {
                        "attachments": [
                            {
                                "attachment_id": "A-1",
                                "name": "笔录.pdf",
                                "media_type": "application/pdf",
                                "classification": "CLASSIFICATION_ORDINARY",
                            }
                        ]
                    }
                },
            }
        )
        settle()

        (row,) = [row for row in hotline.out() if row.get("文件")]
        assert ("GD-1", "笔录.pdf") == (row["工单编号"], row["名称"])
        assert b"report" == (hotline.place / "out" / "files" / row["文件"]).read_bytes()
        assert not hotline.put_aside()
        holdings = Platform(
            folder=hotline.place,
            organisation=CITY_12345.organisation,
            spool=hotline.runner.spool,
            database="",
            mapping=None,
        ).held()

        assert holdings is not None
        assert 1 == len(holdings.written)  # `exchange adapter reconcile` sees what came
        assert holdings.said is not None
        assert 3 == len(holdings.said)  # and what was said: the ticket, its offer, its file
