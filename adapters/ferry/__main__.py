"""``python -m adapters.ferry``: run a ferry, take one turn out or in, say how it stands."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from adapters.ferry.ferry import Ferry, utc_now
from adapters.ferry.journal import Journal
from adapters.ferry.settings import FerryFiles, read_ferry
from adapters.ferry.standing import ails, lines, standing
from adapters.telling import Voice, spoken_language
from exchange.client import Carrier
from exchange.errors import ExchangeError
from exchange.text import Language, Text

_STARTS = Text(
    en="The ferry of {us} for {peer} runs beside the bridge {target}: out {outgoing}, in {incoming}. "
    "Ctrl-C ends it; nothing is lost by that.",
    zh="{us} 的摆渡已启动（对端 {peer}），网桥 {target}：发出 {outgoing}，收取 {incoming}。"
    "按 Ctrl-C 结束，不会丢失内容。",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status."""
    given = _arguments(arguments)
    language: Language = given.lang or spoken_language(os.environ)
    try:
        files = read_ferry(given.config)
        if given.command == "status":
            return _status(files, language, as_json=given.json)
        voice = Voice(sys.stderr, language, utc_now)
        with Journal(files.journal) as journal, Carrier.dial(files.gateway) as carrier:
            ferry = Ferry(files, journal, carrier, voice)
            if given.command == "run":
                _run(ferry, files, voice)
                return 0
            well = ferry.turn(receive=given.command == "receive", send=given.command == "send")
            return 0 if well else 1
    except ExchangeError as error:
        sys.stderr.write(f"{error.text.say(language)}\n")
        return 1


def _run(ferry: Ferry, files: FerryFiles, voice: Voice) -> None:
    def stop(_number: int, _frame: FrameType | None) -> None:
        ferry.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    gateway = files.gateway
    voice(
        _STARTS.fill(
            us=gateway.organisation,
            peer=files.peer,
            target=gateway.target,
            outgoing=files.outgoing,
            incoming=files.incoming,
        )
    )
    ferry.run()


def _status(files: FerryFiles, language: Language, *, as_json: bool) -> int:
    """Say how the ferry stands; 0 fine, 1 where it fails, misses bundles or could not decide."""
    facts = standing(files.journal, utc_now())
    if as_json:
        sys.stdout.write(json.dumps(facts, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write("".join(f"{line}\n" for line in lines(facts, language)))
    return int(ails(facts))


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m adapters.ferry",
        description="Joins two bridges by files over a one-way gap: signed, numbered bundles. "
        "以签名、编号的文件包跨单向隔离设备连接两个网桥。",
    )
    parser.add_argument(
        "command",
        choices=["run", "send", "receive", "status"],
        help="run until Ctrl-C 运行; send: one turn out 发出一次; receive: one turn in 收取一次; "
        "status: how it stands 状态",
    )
    parser.add_argument("--config", type=Path, required=True, help="the ferry's TOML file 摆渡配置")
    parser.add_argument("--json", action="store_true", help="status as JSON 以 JSON 输出状态")
    parser.add_argument("--lang", choices=["en", "zh"], help="else EXCHANGE_LANG, else the locale")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
