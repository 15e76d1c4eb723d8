"""What is known of the platform when copies are compared: its own records, and what it answers when asked."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from exchange.errors import ConfigurationError, ExchangeError
from exchange.text import Text

if TYPE_CHECKING:
    from adapters.holdings import Holdings, Seen
    from adapters.mapping.document import Document
    from adapters.spool import Spool
    from adapters.staging.doubting import Given

VARIABLE = "EXCHANGE_PLATFORM_DATABASE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """Where the platform of the adapter in *folder* is looked at, and by which *mapping* it is asked."""

    folder: Path
    organisation: str
    spool: Spool
    database: str
    mapping: Path | None
    #: Somebody looked, and knows that what the platform does not find is really gone.
    all_gone: bool = False

    @property
    def records(self) -> Path:
        """What an HTTP platform or a drop folder gave and was given."""
        return self.folder / "records.db"

    def held(self) -> Holdings | None:
        """Return what its records hold; None where it cannot be looked at."""
        from adapters.table import holding as tables

        if self.database or self.spool.noted("adapter") == "table":
            if not self.database:
                raise ConfigurationError(_NO_DATABASE.fill(variable=VARIABLE))
            return tables.held(self.database)
        if self.records.exists():
            return tables.held(f"sqlite:///{self.records}", self.spool.noted("adapter"))
        if (self.folder / "desk.db").exists():
            from adapters.sqlite_desk import holding as desk

            return desk.held(self.folder / "desk.db", self.organisation)
        if (self.folder / "inbox").is_dir():
            from adapters import jsonl

            return jsonl.held(self.folder)
        return None

    def seen(self, messages: Collection[str]) -> Seen | None:
        """
        Ask the platform whether it holds what it was given of *messages*.

        None where its records are its own database, which needs no asking.
        """
        from adapters.holdings import Seen

        if self.database or not self.records.exists():
            return None
        try:
            document = self._document()
            given = self._given(document, messages)
            found = self._ask(document, [*given.values()])
        except ExchangeError as failure:
            return Seen(untold=len(messages), why=(failure.text,))
        # What was given anew since it was read is not lost, whatever its old number is.
        now = self._given(document, found.lost) if found.lost else {}
        lost = frozenset(one for one in found.lost if now.get(one) == given[one])
        return replace(found, lost=lost, withheld=found.withheld & lost)

    def _document(self) -> Document:
        from adapters.mapping.parsing import load
        from adapters.staging.tables import staged

        path = self.mapping or Path(self.spool.noted("mapping"))
        if not path.is_file():
            raise ConfigurationError(_NO_MAPPING.fill(file=path))
        return staged(load(path))

    def _given(self, document: Document, messages: Collection[str]) -> dict[str, Given]:
        from adapters.staging.doubting import given_in

        found = given_in(self.records, document)
        return {name: one for name, one in found.items() if name in messages}

    def _ask(self, document: Document, given: list[Given]) -> Seen:
        if self.spool.noted("adapter") == "folder":
            from adapters.folder.document import read_folder
            from adapters.folder.giving import look

            out = self.folder / "out"
            return look(read_folder(document), out, given, all_gone=self.all_gone)
        try:
            from adapters.http.asking_all import ask_platform
            from adapters.http.parsing import read_http
        except ModuleNotFoundError as missing:
            raise ConfigurationError(_EXTRA.fill(name=missing.name or "aiohttp")) from missing
        return ask_platform(read_http(document), given, all_gone=self.all_gone)

    def doubt(self, lost: Collection[str], seen: Seen) -> int:
        """Note durably that the platform may have *lost* these; return how many."""
        from adapters.staging.doubting import Doubt, doubt

        given = self._given(self._document(), lost)
        doubts = [
            Doubt(given=one, follows=name in seen.follows, looked=name in seen.looked)
            for name, one in given.items()
        ]
        return doubt(self.records, doubts, datetime.now(UTC))


def without(holdings: Holdings | None, seen: Seen | None) -> Holdings | None:
    """Return *holdings* without what the platform, asked, does not hold."""
    if holdings is None or seen is None:
        return holdings
    written = {name: number for name, number in holdings.written.items() if name not in seen.lost}
    return replace(holdings, written=written)


_NO_DATABASE = Text(
    en="This adapter is of tables: give --database URL, or the environment variable {variable}.",
    zh="该适配器为数据库表适配器：请给出 --database URL，或设置环境变量 {variable}。",
)
_NO_MAPPING = Text(
    en="The adapter's mapping file '{file}' is not to be found from here: name it with --mapping.",
    zh="此处找不到适配器的映射文件“{file}”：请以 --mapping 指明。",
)
_EXTRA = Text(
    en="Asking the platform needs the package {name}: pip install 'hotline-exchange[http]'",
    zh="查询平台需要软件包 {name}：请安装 pip install 'hotline-exchange[http]'",
)
