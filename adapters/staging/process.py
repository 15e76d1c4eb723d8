"""The process of an adapter with staged records: its arguments, its run, and what it has put aside."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from adapters.dues import Ring
from adapters.mapping.document import Document
from adapters.mapping.parsing import load
from adapters.reminder import add_reminding, reminding
from adapters.runner import Runner, stop_on_signals
from adapters.settings import open_sealer, read_gateway
from adapters.spool import Spool
from adapters.staging.platform import StagedPlatform
from adapters.staging.records import Records
from adapters.staging.tables import staged
from adapters.telling import Voice, spoken_language
from adapters.telling import telling as telling_of
from exchange.client import ExchangeClient, GatewayFiles, IncomingMessage
from exchange.errors import ConfigurationError, ExchangeError
from exchange.text import Language, Text


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """What a platform is made of."""

    document: Document
    records: Records
    organisation: str
    folder: Path
    remind: Callable[[IncomingMessage], None]
    say: Callable[[Text], None]


def serve(
    name: str,
    description: Text,
    make: Callable[[Making], StagedPlatform],
    arguments: Sequence[str] | None,
) -> int:
    """Do what *arguments* ask of the adapter *name*; return the exit status."""
    given = _arguments(name, description, arguments)
    language: Language = given.lang or spoken_language(os.environ)
    voice = Voice(sys.stderr, language, _utc_now)
    try:
        files = read_gateway(given.config)
        document = load(given.mapping)
        reminder = reminding(given, sys.stderr, language)
        if given.command != "run" and not (given.folder / "records.db").exists():
            # Only the running adapter makes its folder: to ask in a misspelt one is told.
            raise ConfigurationError(_NO_FOLDER.fill(folder=given.folder))
        records = Records(given.folder / "records.db", staged(document), _utc_now)
        platform = make(
            Making(
                document=document,
                records=records,
                organisation=files.organisation,
                folder=given.folder,
                remind=reminder,
                say=voice,
            )
        )
        if given.command == "run":
            _run(name, given.folder, platform, files, voice, ring=reminder.due)
            return 0
        try:
            if given.command == "retry":
                rows = platform.quarantine.review(everything=True)
                sys.stdout.write(_AGAIN.fill(rows=rows).say(language) + "\n")
            else:
                _show(platform, language, as_json=given.json)
        finally:
            platform.close()
    except ExchangeError as error:
        sys.stderr.write(f"{error.text.say(language)}\n")
        return 1
    return 0


def _run(
    name: str,
    folder: Path,
    platform: StagedPlatform,
    files: GatewayFiles,
    voice: Voice,
    *,
    ring: Ring,
) -> None:
    """Run until a signal, saying on standard error what happens."""
    mapping = platform.database.document.file
    sealer = open_sealer(files, folder / "salt.key")
    with (
        Spool(folder / "spool.db", files.organisation) as spool,
        ExchangeClient.dial(files, sealer=sealer) as client,
    ):
        spool.note(adapter=name, mapping=mapping)
        platform.note = lambda facts: spool.note(**facts)
        telling = telling_of(platform, voice)
        runner = Runner(telling, spool, client, notice=telling.notice, ring=ring)
        platform.notice = runner.note_error
        platform.speak(voice, name)
        platform.wake = runner.wake
        stop_on_signals(runner)
        with platform:
            voice(
                _STARTS.fill(
                    organisation=client.organisation,
                    target=files.target,
                    mapping=mapping,
                    where=platform.where,
                )
            )
            runner.run()
        telling.summary(spool.status().waiting)


def _show(platform: StagedPlatform, language: Language, *, as_json: bool) -> None:
    entries = [
        {
            "side": one.side,
            "sheet": one.sheet,
            "record": one.record,
            "lane": one.lane,
            "en": one.reason.en,
            "zh": one.reason.zh,
            "original": one.original,
        }
        for one in platform.quarantine.entries()
    ]
    entries += [
        {
            "side": "unread",
            "sheet": "",
            "record": one.place,
            "lane": "",
            "en": one.reason.en,
            "zh": one.reason.zh,
            "original": one.original,
        }
        for one in platform.records.unread()
    ]
    if as_json:
        sys.stdout.write(json.dumps(entries, ensure_ascii=False, indent=1) + "\n")
        return
    for entry in entries:
        place = _place(entry["original"]) or entry["record"]
        sys.stdout.write(f"{place}\n  {entry[language]}\n")
    if not entries:
        sys.stdout.write(_NOTHING.say(language) + "\n")


def _place(original: object) -> str:
    """Return where a record stood (``gd.csv:17``), where that is known."""
    return str(original.get("exchange_from") or "") if isinstance(original, dict) else ""


def _arguments(name: str, description: Text, arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=f"python -m adapters.{name}", description=f"{description.en} {description.zh}"
    )
    parser.add_argument(
        "command",
        choices=["run", "quarantine", "retry"],
        help="run until Ctrl-C 运行; quarantine: what is put aside, and why 隔离内容及原因; "
        "retry: try it again 重新处理",
    )
    parser.add_argument(
        "folder",
        type=Path,
        help="records.db, spool.db and salt.key; run makes it 记录库、暂存库与密钥所在文件夹",
    )
    parser.add_argument(
        "--config", type=Path, required=True, help="the gateway's configuration 网关配置"
    )
    parser.add_argument("--mapping", type=Path, required=True, help="the mapping file 映射文件")
    add_reminding(parser)
    parser.add_argument("--json", action="store_true", help="quarantine as data 以 JSON 输出")
    parser.add_argument("--lang", choices=["en", "zh"], help="else EXCHANGE_LANG, else the locale")
    return parser.parse_args(arguments)


_STARTS = Text(
    en="{organisation} runs against the bridge {target}: {mapping}, {where}. Ctrl-C ends it; nothing is lost "
    "by that.",
    zh="{organisation} 已启动，网桥 {target}：{mapping}，{where}。按 Ctrl-C 结束，不会丢失内容。",
)
_AGAIN = Text(
    en="Records put aside: {rows} are read again by the running adapter.",
    zh="已放回 {rows} 条记录，由运行中的适配器重新读取。",
)
_NO_FOLDER = Text(
    en="There is no adapter in {folder}: it has no records.db. Is the folder's name right?",
    zh="{folder} 中没有适配器（缺少 records.db）。请检查文件夹名称。",
)
_NOTHING = Text(en="Nothing is put aside.", zh="没有被隔离的内容。")
