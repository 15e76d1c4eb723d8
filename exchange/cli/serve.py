"""``exchange serve`` and ``exchange migrate``: run a bridge, prepare its database."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from exchange.cli.gateway import config_option
from exchange.cli.grammar import command, json_option, option, say
from exchange.cli.screen import show_json
from exchange.text import Text

_CREATED = Text(en="The database was created, version {after}.", zh="数据库已创建，版本 {after}。")
_UPGRADED = Text(
    en="The database was brought from version {before} to {after}.",
    zh="数据库已由版本 {before} 升级到 {after}。",
)
_NEWEST = Text(
    en="The database already has version {after}; nothing was changed.",
    zh="数据库已是版本 {after}，未作改动。",
)
_LISTENS = Text(
    en="The bridge {origin} listens on {host}:{port}. Ctrl-C stops it without losing anything.",
    zh="网桥 {origin} 正在监听 {host}:{port}。按 Ctrl-C 可安全停止，不丢失任何内容。",
)
_STOPPED = Text(
    en="The bridge has stopped: every call inside was answered, everything accepted is stored.",
    zh="网桥已停止：在途调用均已应答，已接受的内容均已存储。",
)


@command(
    "serve",
    en="Run a bridge until Ctrl-C or SIGTERM. Its journal goes to standard error.",
    zh="运行网桥，直到 Ctrl-C 或 SIGTERM。运行日志写到标准错误。",
)
@option(
    "--migrate", "first_upgrade", is_flag=True,
    en="First bring the database up to date; it must be there.", zh="先升级数据库（须已存在）。",
)  # fmt: skip
@config_option
def serve(*, first_upgrade: bool, config: Path) -> None:
    """Run a bridge."""
    import asyncio

    from exchange.config import load_settings
    from exchange.server.address import require_free

    settings = load_settings(config, os.environ)
    require_free(settings.listen)  # before a database is changed that another bridge may be using
    if first_upgrade:
        from exchange.store import upgrade

        say(_outcome(*upgrade(settings.database)), err=True)
    from exchange.server.opening import serve as serve_until_signal

    def announce(port: int) -> None:
        host = settings.listen.rpartition(":")[0]
        say(_LISTENS.fill(origin=settings.origin, host=host, port=port))
        sys.stdout.flush()

    asyncio.run(serve_until_signal(settings, announce))
    say(_STOPPED)


@command(
    "migrate",
    en="Bring the bridge's database up to date, in one transaction; or with --create begin one, once "
    "in a bridge's life.",
    zh="在一个事务内升级网桥数据库；或用 --create 新建（每个网桥仅一次）。",
)
@option(
    "--create", "first_start", is_flag=True,
    en="Begin a database where none is: for a bridge's very first start. Never in a start script: in "
    "place of one that was lost it begins a second log under the same name.",
    zh="在没有数据库处新建，仅用于网桥首次启动。切勿写入启动脚本：若原库丢失，将以同一名称开始另一份日志。",
)  # fmt: skip
@option(
    "--database",
    metavar="URL",
    en="This database; else the configured one.",
    zh="数据库 URL；默认取配置。",
)
@config_option
@json_option
def migrate(*, first_start: bool, database: str | None, config: Path, as_json: bool) -> None:
    """Bring the database to the program's version."""
    from exchange.cli.tickets import database_of
    from exchange.store import create, upgrade

    url = database_of(database, config)
    before, after = (None, create(url)) if first_start else upgrade(url)
    if as_json:
        show_json({"before": before, "after": after})
    else:
        say(_outcome(before, after))


def _outcome(before: str | None, after: str) -> Text:
    if before is None:
        return _CREATED.fill(after=after)
    return (_NEWEST if before == after else _UPGRADED).fill(before=before, after=after)
