"""A directory of foreign files: each is named with why it is left or rejected, and none stops what is behind it."""

from __future__ import annotations

import os
from pathlib import Path

from tests.adapters.folder.city import HEADER, ROW, Linked, linked
from tests.adapters.linked import Link

#: In UTF-8 no text, in GB18030 neither.
NOISE = b"\xff\xfe\xfd\x80,\xff\x81\xff\n\xff,1\n"


def records(hotline: Linked) -> list[str]:
    """Return the records that something was said of."""
    with hotline.platform.database.engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT record FROM exchange_said ORDER BY seq").all()
    return [row[0] for row in rows]


def test_what_is_no_table_stops_nothing_behind_it(link: Link) -> None:
    """Bytes of anything under a table's name, a name in GBK, a link, a folder: the next file crosses."""
    with linked(link) as hotline:
        into = hotline.place / "in"
        hotline.drop("工单0.csv", NOISE[2:])
        Path(os.fsdecode(os.fsencode(into) + b"/" + "工单1.csv".encode("gbk"))).write_text(HEADER)
        (into / "工单2.csv").symlink_to("/etc/hostname")
        (into / "工单3.csv").mkdir()
        hotline.drop("照片.jpg", NOISE)
        hotline.drop("工单9.csv", HEADER + ROW)
        for _ in range(3):
            hotline.turn()
        said = [text.en for text in hotline.said]

        assert ["gd:GD-1"] * 2 == records(hotline)
        assert any("工单0.csv is no file" in one and "no text" in one for one in said)
        assert 2 == sum("a folder, a link" in one for one in said)
        assert any("照片.jpg is left alone: only files" in one for one in said)
        assert any("\\xb9\\xa4" in one or "\\udcb9" in one for one in said)
        assert ["工单0.csv"] == [path.name for path in (into / "rejected").iterdir()]


def test_a_file_whose_name_is_in_another_encoding_is_read(link: Link) -> None:
    """Where the pattern lets it in, its rows cross; its name is told by its bytes."""
    with linked(link, {'name = "工单*.csv"': 'name = "*.csv"'}) as hotline:
        name = os.fsencode(hotline.place / "in") + b"/" + "工单1.csv".encode("gbk")
        Path(os.fsdecode(name)).write_text(HEADER + ROW + "GD-2,坏\n", encoding="utf-8")
        for _ in range(3):
            hotline.turn()
        ((place, _, _),) = hotline.put_aside()

        assert place.endswith("1.csv:3")
        assert place.isascii()
        assert ["gd:GD-1"] * 2 == records(hotline)
