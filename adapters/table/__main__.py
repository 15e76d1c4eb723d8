"""
``python -m adapters.table run FOLDER --config … --mapping … --database URL``: tables as a platform.

In the folder are the adapter's own ``spool.db`` and ``salt.key`` (back that up); everything else stands
in the platform's database.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from adapters.dues import Ring
from adapters.mapping.document import Document
from adapters.mapping.parsing import load
from adapters.reminder import add_reminding, reminding
from adapters.runner import Runner, stop_on_signals
from adapters.settings import open_sealer, read_gateway
from adapters.spool import Spool
from adapters.table.database import PlatformDatabase, open_existing, own_tables
from adapters.table.platform import TablePlatform
from adapters.telling import Voice, spoken_language
from adapters.telling import telling as telling_of
from exchange.client import ExchangeClient, GatewayFiles
from exchange.errors import ConfigurationError, ExchangeError
from exchange.text import Language, Text

#: Where the database's URL, with its password, is better given than on a command line.
VARIABLE = "EXCHANGE_PLATFORM_DATABASE"

_STARTS = Text(
    en="{organisation} runs against the bridge {target}: the tables of {mapping} ({sheets}). Ctrl-C ends it; "
    "nothing is lost by that.",
    zh="{organisation} 已启动，网桥 {target}：{mapping} 所述各表（{sheets}）。按 Ctrl-C 结束，不会丢失内容。",
)
_NO_DATABASE = Text(
    en="Which database? Give --database URL, or the environment variable {variable} (so that a password is in "
    "no process list).",
    zh="未指定数据库。请给出 --database URL，或设置环境变量 {variable}（避免密码出现在进程列表中）。",
)
_AGAIN = Text(
    en="Rows and messages put aside: {rows} rows are read again by the running adapter.",
    zh="已放回 {rows} 行，由运行中的适配器重新读取。",
)
_HELD = Text(en="{when} {side} {record}\n  {why}", zh="{when} {side} {record}\n  {why}")
_SIDES = {
    "out": Text(en="row", zh="记录"),
    "in": Text(en="message", zh="消息"),
    "file": Text(en="file", zh="附件"),
}
_NOTHING = Text(en="Nothing is put aside.", zh="没有被隔离的内容。")


def _utc_now() -> datetime:
    return datetime.now(UTC)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the adapter, show what is put aside, or have it tried again; return the exit status."""
    given = _arguments(arguments)
    language: Language = given.lang or spoken_language(os.environ)
    voice = Voice(sys.stderr, language, _utc_now)
    try:
        files = read_gateway(given.config)
        document = load(given.mapping)
        url = given.database or os.environ.get(VARIABLE, "")
        if not url:
            raise ConfigurationError(_NO_DATABASE.fill(variable=VARIABLE))
        if given.command == "ddl":
            sys.stdout.write(own_tables(url))
            return 0
        open_existing(url).dispose()
        database = PlatformDatabase(document, url)
        try:
            reminder = reminding(given, sys.stderr, language)
            platform = TablePlatform(
                database, files.organisation, remind=reminder, files=given.folder / "attachments"
            )
            if given.command == "run":
                _run(given.folder, platform, files, voice, reminder.due)
            elif given.command == "retry":
                rows = platform.quarantine.review(everything=True)
                sys.stdout.write(_AGAIN.fill(rows=rows).say(language) + "\n")
            else:
                _show(platform, language, as_json=given.json)
        finally:
            database.close()
    except ExchangeError as error:
        sys.stderr.write(f"{error.text.say(language)}\n")
        return 1
    return 0


def _run(
    folder: Path, platform: TablePlatform, files: GatewayFiles, voice: Voice, ring: Ring
) -> None:
    """Run until a signal, saying on standard error what happens."""
    sealer = open_sealer(files, folder / "salt.key")
    document: Document = platform.database.document
    with (
        Spool(folder / "spool.db", files.organisation) as spool,
        ExchangeClient.dial(files, sealer=sealer) as client,
    ):
        spool.note(adapter="table", mapping=document.file)
        platform.note = lambda facts: spool.note(**facts)
        telling = telling_of(platform, voice)
        runner = Runner(telling, spool, client, notice=telling.notice, ring=ring)
        platform.notice = runner.note_error
        platform.speak(voice)
        stop_on_signals(runner)
        voice(
            _STARTS.fill(
                organisation=client.organisation,
                target=files.target,
                mapping=document.file,
                sheets=", ".join(sheet.table for sheet in document.sheets.values()),
            )
        )
        runner.run()
        telling.summary(spool.status().waiting)


def _show(platform: TablePlatform, language: Language, *, as_json: bool) -> None:
    entries = platform.quarantine.entries()
    if as_json:
        rows: list[Mapping[str, Any]] = [
            {
                "side": one.side,
                "sheet": one.sheet,
                "record": one.record,
                "lane": one.lane,
                "en": one.reason.en,
                "zh": one.reason.zh,
                "found": one.found.isoformat(),
                "original": one.original,
            }
            for one in entries
        ]
        sys.stdout.write(json.dumps(rows, ensure_ascii=False, indent=1) + "\n")
        return
    for one in entries:
        said = _HELD.fill(
            when=one.found.astimezone().strftime("%Y-%m-%d %H:%M:%S"),
            side=_SIDES[one.side].say(language),
            record=one.record,
            why=one.reason.say(language),
        )
        sys.stdout.write(said.say(language) + "\n")
    if not entries:
        sys.stdout.write(_NOTHING.say(language) + "\n")


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m adapters.table",
        description="A platform's own tables, linked by a mapping file. 以映射文件对接平台的数据库表。",
    )
    parser.add_argument(
        "command",
        choices=["run", "quarantine", "retry", "ddl"],
        help="run until Ctrl-C 运行; quarantine: what is put aside, and why 隔离内容及原因; "
        "retry: try it again 重新处理; "
        "ddl: the statements that make the adapter's own tables 建表语句",
    )
    parser.add_argument(
        "folder", type=Path, help="spool.db and salt.key; run makes it 暂存库与密钥所在文件夹"
    )
    parser.add_argument(
        "--config", type=Path, required=True, help="the gateway's configuration 网关配置"
    )
    parser.add_argument("--mapping", type=Path, required=True, help="the mapping file 映射文件")
    parser.add_argument(
        "--database", metavar="URL", help=f"of the platform's database; else {VARIABLE} 平台数据库"
    )
    add_reminding(parser)
    parser.add_argument("--json", action="store_true", help="quarantine as data 以 JSON 输出")
    parser.add_argument("--lang", choices=["en", "zh"], help="else EXCHANGE_LANG, else the locale")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
