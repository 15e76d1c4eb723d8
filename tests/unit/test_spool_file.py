"""A spool that cannot be used says why and what to do, in both languages."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from adapters.spool import Spool
from exchange.errors import StoreUnavailable

ORGANISATION = "11140400MB1X00010Y"


def complaint(path: Path) -> StoreUnavailable:
    """Return what is said when the spool at *path* is opened."""
    with pytest.raises(StoreUnavailable) as raised:
        Spool(path, ORGANISATION)
    return raised.value


def test_a_path_through_a_file_is_named(tmp_path: Path) -> None:
    """What the operating system says, in words."""
    (tmp_path / "file").touch()

    said = complaint(tmp_path / "file" / "spool.db").text

    assert str(tmp_path / "file") in said.en
    assert "Errno" not in said.en + said.zh
    assert any("一" <= letter for letter in said.zh.rpartition("不可用：")[2])


@pytest.mark.parametrize(
    ("content", "en", "zh"),
    [(b"no spool at all" * 100, "it is no spool", "该文件不是暂存库")],
)
def test_a_file_that_is_no_spool_is_left_alone(
    tmp_path: Path, content: bytes, en: str, zh: str
) -> None:
    """It is said to be none, and nothing of it is changed."""
    path = tmp_path / "spool.db"
    path.write_bytes(content)

    said = complaint(path).text

    assert en in said.en
    assert zh in said.zh
    assert content == path.read_bytes()


def test_a_damaged_spool_is_said_to_be_damaged(tmp_path: Path) -> None:
    """The mend is the backup, and a copy of what is there."""
    path = tmp_path / "spool.db"
    Spool(path, ORGANISATION).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as broken:
        broken.execute("PRAGMA writable_schema=ON")
        broken.execute("UPDATE sqlite_schema SET sql = 'nonsense' WHERE name = 'outgoing'")

    said = complaint(path).text

    assert "it is damaged" in said.en
    assert "文件已损坏" in said.zh
