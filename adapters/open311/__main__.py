"""``python -m adapters.open311 run FOLDER --config … --publish …``: what the public may see, as Open311."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from adapters.open311.settings import Settings, read_settings
from adapters.open311.snapshot import Gallery
from adapters.settings import own_secret, read_gateway
from adapters.telling import Voice, spoken_language
from exchange.client import Reader
from exchange.errors import ConfigurationError, ExchangeError
from exchange.text import Language, Text

#: The secret that the public's numbers are made with.
KEY = "public.key"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the publisher; return the exit status."""
    given = _arguments(arguments)
    language: Language = given.lang or spoken_language(os.environ)
    try:
        files = read_gateway(given.config)
        settings = read_settings(given.publish)
        key = own_secret(given.folder / KEY)
        with Reader.dial(files) as bridge:
            voice = Voice(sys.stderr, language, _utc_now)
            voice(_STARTS.fill(organisation=files.organisation, target=files.target))
            _run(settings, bridge, key, voice)
    except ExchangeError as error:
        sys.stderr.write(f"{error.text.say(language)}\n")
        return 1
    return 0


def _run(settings: Settings, bridge: Reader, key: bytes, voice: Voice) -> None:
    """Publish until SIGTERM or Ctrl-C; a bridge that is away is told of once, and asked again."""
    try:
        from adapters.open311.serving import Serving, serve  # noqa: PLC0415  # an extra brings it
    except ModuleNotFoundError as missing:
        raise ConfigurationError(_EXTRA.fill(name=missing.name or "aiohttp")) from missing
    gallery = Gallery(
        bridge,
        settings.choices,
        key,
        days=settings.days,
        refresh=settings.refresh,
        clock=_utc_now,
        notice=_Notices(voice),
    )
    serving = Serving(settings, gallery, clock=_utc_now, troubled=voice)

    async def until_signal() -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(
            serve(settings, serving, lambda port: voice(_LISTENS.fill(port=port)))
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await task

    looks = threading.Thread(target=gallery.run, name="looks", daemon=True)
    looks.start()
    try:
        asyncio.run(until_signal())
    finally:
        gallery.stop()
        bridge.close()  # a call under way ends with it
        looks.join()
    voice(_STOPPED)


class _Notices:
    """Says once that the bridge does not answer, and once that it does."""

    def __init__(self, voice: Voice) -> None:
        self._voice = voice
        self._newest: str | None = None

    def __call__(self, failure: Text | None) -> None:
        said = failure.en if failure is not None else ""
        if said != self._newest:
            self._voice(failure if failure is not None else _READ)
        self._newest = said


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m adapters.open311",
        description="What the public may see of a hotline's matters, as Open311 GeoReport v2, read only. "
        "以 Open311 GeoReport v2 只读公开热线事项（不含个人信息）。",
    )
    # Every adapter runs by that word (`exchange adapter run`); this one does nothing else.
    parser.add_argument("command", choices=["run"], help="run until Ctrl-C 运行")
    parser.add_argument(
        "folder", type=Path, help=f"of the secret {KEY}, made at first use 密钥所在文件夹"
    )
    parser.add_argument(
        "--config", type=Path, required=True, help="the gateway's configuration 网关配置"
    )
    parser.add_argument(
        "--publish", type=Path, required=True, help="what is made public, and where 公开设置"
    )
    parser.add_argument("--lang", choices=["en", "zh"], help="else EXCHANGE_LANG, else the locale")
    return parser.parse_args(arguments)


_STARTS = Text(
    en="Publishing what {organisation} may see at the bridge {target}, redacted. Ctrl-C ends it.",
    zh="开始公开 {organisation} 在网桥 {target} 可见事项的脱敏信息。按 Ctrl-C 结束。",
)
_LISTENS = Text(en="listening on port {port}", zh="正在监听端口 {port}")
_READ = Text(en="the bridge was read", zh="已从网桥读取")
_STOPPED = Text(en="stopped", zh="已停止")
_EXTRA = Text(
    en="Open311 needs the package {name}, which comes with the extra: pip install 'hotline-exchange[http]'",
    zh="Open311 需要软件包 {name}，请安装附加组件：pip install 'hotline-exchange[http]'",
)

if __name__ == "__main__":
    sys.exit(main())
