"""A hotline that can only export and import files, linked to the bridge."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from adapters.folder.document import read_folder
from adapters.folder.platform import FolderPlatform
from adapters.folder.taking import Taking
from adapters.mapping.parsing import load
from adapters.runner import Runner
from adapters.staging.records import Records
from adapters.staging.tables import staged
from exchange.text import Text
from tests.adapters.linked import Link
from tests.pki import CITY_12345

MAPPING = Path(__file__).with_name("hotline.toml")
HEADER = "工单编号,标题,内容,电话,时间,状态\r\n"
ROW = "GD-1,噪声扰民,楼上深夜敲打。,13900000000,2026-11-22 09:30:00,待转办\r\n"


@dataclass
class Linked:
    """The adapter, its runner, its folders, and what it said on the terminal."""

    platform: FolderPlatform
    runner: Runner
    place: Path
    said: list[Text]
    now: list[float]

    def drop(self, name: str, content: str | bytes) -> Path:
        """Export a file as the platform does."""
        path = self.place / "in" / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def turn(self) -> int:
        """One turn of the runner's, long after the last."""
        self.platform._taking.take()
        self.now[0] += 10
        runner = self.runner
        return runner.collect() + runner.push() + runner.tell() + runner.pull()

    def put_aside(self) -> list[tuple[str, str, str]]:
        """Return where, why and what: of every row that could not be read, or not be said."""
        unread = [
            (one.place, one.reason.en, one.original) for one in self.platform.records.unread()
        ]
        return unread + [
            (one.original["exchange_from"], one.reason.en, str(one.original))
            for one in self.platform.quarantine.entries()
        ]

    def out(self, what: str = "") -> list[dict[str, str]]:
        """Return the rows of the files that came out, in the order of their names."""
        found = []
        for path in sorted((self.place / "out" / what).glob("*.csv")):
            text = path.read_bytes().decode("gb18030")
            found += list(csv.DictReader(io.StringIO(text, newline="")))
        return found


@contextlib.contextmanager
def linked(
    link: Link, changes: dict[str, str] | None = None, name: str = "hotline files"
) -> Iterator[Linked]:
    """Link the hotline's folder *name*; *changes* are made to its mapping's text."""
    place = link.folder / name
    place.mkdir(exist_ok=True)
    text = MAPPING.read_text(encoding="utf-8")
    for old, new in (changes or {}).items():
        assert old in text
        text = text.replace(old, new)
    mapping = link.folder / "hotline.map.toml"
    mapping.write_text(text, encoding="utf-8")
    document = load(mapping)
    folder = read_folder(document)
    records = Records(place / "records.db", staged(document), lambda: datetime.now(UTC))
    said: list[Text] = []
    now = [0.0]
    with FolderPlatform(
        folder, place, records, CITY_12345.organisation, say=said.append
    ) as platform:
        platform._taking = Taking(folder, place / "in", records, said.append, lambda: now[0])
        yield Linked(
            platform=platform,
            runner=link.runner(CITY_12345, platform),
            place=place,
            said=said,
            now=now,
        )
