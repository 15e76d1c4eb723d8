"""``exchange backup``: a copy of the bridge's SQLite database, taken while it serves."""

from __future__ import annotations

from pathlib import Path

import click

from exchange.cli.gateway import config_option
from exchange.cli.grammar import command, json_option, option, say
from exchange.cli.screen import show_json
from exchange.text import Text

_DONE = Text(
    en="{file} holds the database with {size} entries of the log {origin}, {megabytes} MB; it was "
    "checked. After putting it back, before serving: exchange log begin-anew",
    zh="{file} 为含日志 {origin} {size} 条的数据库备份，{megabytes} MB，已核验。恢复后、启动前请执行："
    "exchange log begin-anew",
)


@command(
    "backup",
    en="Copy the bridge's SQLite database to FILE as it stands now, while it serves, and check the "
    "copy. PostgreSQL and MariaDB have programs of their own: deploy/BACKUP.md.",
    zh="在网桥运行时将其 SQLite 数据库按当前时刻复制到文件并核验。PostgreSQL 与 MariaDB 用自带程序，见 "
    "deploy/BACKUP.md。",
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@option(
    "--database", metavar="URL", en="This database; else the configured one.",
    zh="数据库 URL；默认取配置。",
)  # fmt: skip
@config_option
@json_option
def backup(*, file: Path, database: str | None, config: Path, as_json: bool) -> None:
    """Back up the database."""
    from exchange.cli.tickets import database_of
    from exchange.store.backup import backup as copy

    made = copy(database_of(database, config), file)
    if as_json:
        show_json(
            {"file": str(made.file), "origin": made.origin, "size": made.size, "bytes": made.bytes}
        )
        return
    megabytes = f"{made.bytes / 1e6:.1f}"
    say(_DONE.fill(file=file, size=made.size, origin=made.origin, megabytes=megabytes))
