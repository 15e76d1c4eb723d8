"""``python -m adapters.relay``: run a relay, say how it stands, have messages delivered again."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from adapters.moment import moment
from adapters.relay.relay import Relay, utc_now
from adapters.relay.settings import RelayFiles, read_relay
from adapters.relay.standing import errors, lines, standing
from adapters.telling import Voice, spoken_language
from exchange.client import Carrier
from exchange.errors import ExchangeError
from exchange.text import Language, Text

_STARTS = Text(
    en="The relay joins {lower} and {upper}. Ctrl-C ends it; nothing is lost by that.",
    zh="中继已启动，连接 {lower} 与 {upper}。按 Ctrl-C 结束，不会丢失内容。",
)
_STOPPED = Text(
    en="stopped: {passed} messages passed on, {receipts} receipts brought, {refused} refused",
    zh="已停止：转递消息 {passed} 条，回执 {receipts} 份，被拒 {refused} 条",
)
_AGAIN = Text(
    en="{count} messages are delivered again; the relay carries them, what is there already stays as it is.",
    zh="{count} 条消息将重新投递，由中继转送；对方已有的保持不变。",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status."""
    given = _arguments(arguments)
    language: Language = given.lang or spoken_language(os.environ)
    try:
        files = read_relay(given.config)
        if given.command == "status":
            return _status(files, language, as_json=given.json)
        with Carrier.dial(files.lower) as lower, Carrier.dial(files.upper) as upper:
            if given.command == "replay":
                bridge = lower if given.bridge == "lower" else upper
                count = sum(bridge.replay(one, given.since) for one in given.organisation)
                _print({"redelivered": count}, _AGAIN.fill(count=count), language, given.json)
                return 0
            _run(files, lower, upper, Voice(sys.stderr, language, utc_now))
    except ExchangeError as error:
        sys.stderr.write(f"{error.text.say(language)}\n")
        return 1
    return 0


def _run(files: RelayFiles, lower: Carrier, upper: Carrier, voice: Voice) -> None:
    relay = Relay(lower, upper, files.folder, voice)

    def stop(_number: int, _frame: FrameType | None) -> None:
        relay.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    voice(_STARTS.fill(lower=lower.target, upper=upper.target))
    relay.run()
    tallies = [way.tally for way in relay.ways]
    voice(
        _STOPPED.fill(
            passed=sum(one.passed for one in tallies),
            receipts=sum(one.receipts for one in tallies),
            refused=sum(one.refused for one in tallies),
        )
    )


def _status(files: RelayFiles, language: Language, *, as_json: bool) -> int:
    """Say how the relay stands; 0 fine, 1 where a way fails or nothing runs."""
    facts = standing(files.folder, utc_now())
    if as_json:
        sys.stdout.write(json.dumps(facts, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write("".join(f"{line}\n" for line in lines(facts, language)))
    return int(not facts["running"] or bool(errors(facts)))


def _print(facts: Mapping[str, Any], text: Text, language: Language, as_json: bool) -> None:
    said = json.dumps(facts, ensure_ascii=False) if as_json else text.say(language)
    sys.stdout.write(f"{said}\n")


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m adapters.relay",
        description="Joins two bridges: what waits at one for those behind the other is passed on, "
        "unopened. 连接两个网桥：原样转递对方机构的消息与回执。",
    )
    parser.add_argument(
        "command",
        choices=["run", "status", "replay"],
        help="run until Ctrl-C 运行; status: how it stands 状态; replay: have it delivered again, after a "
        "bridge was restored 网桥恢复备份后重新投递",
    )
    parser.add_argument("--config", type=Path, required=True, help="the relay's TOML file 中继配置")
    parser.add_argument(
        "--since", type=moment, metavar="TIME",
        help="replay: from then on (2026-11-22T02:00:00+08:00) 起始时间（须带时区）",
    )  # fmt: skip
    parser.add_argument(
        "--bridge", choices=["lower", "upper"],
        help="replay: the bridge whose mailboxes are filled again 重新投递其信箱的网桥",
    )  # fmt: skip
    parser.add_argument(
        "--organisation", action="append", default=[], metavar="CODE",
        help="replay: for whom; may be repeated 机构代码，可多次给出",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="for programs 供程序读取")
    parser.add_argument("--lang", choices=["en", "zh"], help="else EXCHANGE_LANG, else the locale")
    given = parser.parse_args(arguments)
    if given.command == "replay" and not (given.since and given.bridge and given.organisation):
        parser.error(
            "replay needs --since, --bridge and --organisation 须给出 --since、--bridge、--organisation"
        )
    return given


if __name__ == "__main__":
    sys.exit(main())
