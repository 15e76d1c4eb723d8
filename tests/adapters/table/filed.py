"""The two platforms of `city`, each with a table of attachments: paths in a folder, and bytes in a column."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Column as QuotedColumn
from sqlalchemy import Integer, LargeBinary, MetaData, String, Table
from sqlalchemy.dialects.mysql import LONGBLOB

from adapters.mapping.parsing import load
from adapters.table.database import PlatformDatabase, open_engine
from adapters.table.platform import TablePlatform
from certs.development import Desk as Party
from tests.adapters.linked import Link
from tests.adapters.table.city import MAPPINGS, WORK_ORDER, Tables, create, insert
from tests.pki import CITY_110, CITY_12345

BYTES = LargeBinary().with_variant(LONGBLOB(), "mysql", "mariadb")
_OWN = MetaData()
#: As an administrator writes it: each engine folds it to its own case.
Column = partial(QuotedColumn, quote=False)
TABLES = {
    CITY_12345: Table(
        "T_FJ", _OWN,
        Column("FJBH", String(40), primary_key=True), Column("GDBH", String(32)),
        Column("FJMC", String(200)), Column("FJLJ", String(300)), Column("FJSJ", String(19)),
        Column("TSZT", String(1), server_default="0"), Column("TSXX", String(500)), quote=False,
    ),
    CITY_110: Table(
        "JFJ", _OWN,
        Column("FJBH", String(40), primary_key=True), Column("JJDBH", String(32)),
        Column("MC", String(200)), Column("LX", String(100)), Column("NR", BYTES),
        Column("DX", Integer), Column("ZY", String(64)), Column("FJSJ", String(14)),
        Column("TSZT", Integer, server_default="0"), Column("TSXX", String(500)), quote=False,
    ),
}  # fmt: skip

MORE = {
    CITY_12345: """
[attachments]
folder = "附件"
still = 0
types = ["image/*", "application/pdf"]
max_bytes = 200000
[attachments.heard]
sheet = "fj"
columns = { FJBH = { new = "L{serial:06}" }, FJMC = "name", FJLJ = "path" }

[sheets.fj]
table = "T_FJ"
key = ["FJBH"]
status = { column = "TSZT", detail = "TSXX" }
about = { sheet = "gd", columns = ["GDBH"] }

[[say]]
kind = "supplement"
sheet = "fj"
fields = { "header.created" = { column = "FJSJ", time = "%Y-%m-%d %H:%M:%S" } }
[[say.attachments]]
path = "FJLJ"
name = "FJMC"
separator = ";"
""",
    CITY_110: """
[attachments]
still = 0
[attachments.heard]
sheet = "fj"
columns = { FJBH = { new = "L{serial:06}" }, MC = "name", LX = "media_type", NR = "content", DX = "size", ZY = "sha256" }

[sheets.fj]
table = "JFJ"
key = ["FJBH"]
status = { column = "TSZT", detail = "TSXX" }
about = { sheet = "jjd", columns = ["JJDBH"] }

[[say]]
kind = "supplement"
sheet = "fj"
fields = { "header.created" = { column = "FJSJ", time = "%Y%m%d%H%M%S" } }
[[say.attachments]]
content = "NR"
name = "MC"
type = "LX"
""",
}


class Filed(Tables):
    """One platform with files: its folder, and turns of messages and of files apart."""

    folder: Path

    def files(self) -> int:
        """Get, send, fetch and write files until nothing moves; return how much moved."""
        moved = 0
        while more := self.runner.posting.turn():
            moved += more
        return moved

    def held(self) -> list[tuple[str, str]]:
        """Return the files that are put aside, and why."""
        return [
            (one.original.get("name") or one.original["file"]["name"], one.reason.en)
            for one in self.platform.quarantine.entries()
            if one.side == "file"
        ]


def mapping_of(folder: Path, party: Party, changes: Mapping[str, str]) -> Path:
    """Write *party*'s mapping into *folder*, texts of its part about files changed."""
    more = MORE[party]
    for old, new in changes.items():
        assert old in more
        more = more.replace(old, new)
    path = folder / "map.toml"
    path.write_text(MAPPINGS[party].read_text(encoding="utf-8") + more, encoding="utf-8")
    return path


def filed(
    link: Link,
    party: Party,
    url: str,
    *,
    afresh: bool = True,
    changes: Mapping[str, str] | None = None,
) -> Filed:
    """Make *party*'s tables in the database at *url* (unless they are there), and link them."""
    folder = link.folder / f"platform-{party.organisation}"
    (folder / "附件").mkdir(parents=True, exist_ok=True)
    if afresh:
        engine = open_engine(url)
        create(engine, party)
        _OWN.create_all(engine, [TABLES[party]])
        engine.dispose()
    database = PlatformDatabase(load(mapping_of(folder, party, changes or {})), url)
    link._stack.callback(database.close)
    platform = TablePlatform(database, party.organisation, files=folder / "copies")
    side = Filed(database=database, platform=platform, runner=link.runner(party, platform))
    side.folder = folder / "附件"
    return side


def open_order(hotline: Filed, police: Filed, **changes: Any) -> str:
    """Let a ticket cross; return the police's number of it."""
    insert(hotline, "T_GD", WORK_ORDER | changes)
    while hotline.turn() + police.turn():
        pass
    return str(police.rows("SELECT JJDBH FROM JJD ORDER BY JJDBH")[-1]["JJDBH"])


def attach(hotline: Filed, key: str, paths: str, name: str | None = None) -> None:
    """Insert the hotline's row of an attachment."""
    insert(hotline, "T_FJ", {
        "FJBH": key, "GDBH": WORK_ORDER["GDBH"], "FJMC": name, "FJLJ": paths, "FJSJ": "2026-11-22 09:40:00",
    })  # fmt: skip


def noted(side: Filed) -> str:
    """Return what `exchange adapter status` says of attachments that must wait."""
    return side.runner.spool.noted("attachments_error")


def settle(*sides: Filed) -> None:
    """Let messages and files cross until nothing moves any more."""
    while sum(side.turn() + side.files() for side in sides):
        pass
