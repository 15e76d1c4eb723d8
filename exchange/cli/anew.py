"""``exchange log begin-anew``: go on in a new log after a database was put back from a backup."""

from __future__ import annotations

import os
from pathlib import Path

import click

from exchange.cli.gateway import config_option
from exchange.cli.grammar import json_option, option, say
from exchange.cli.screen import show_json
from exchange.text import Text

_BEGUN = Text(
    en="The log {new} goes on from {old} after its entry {size}, and says so in its own first entry, "
    "signed by both.\n"
    "Now: 1. in {config}, set origin = \"{new}\" and log_key = \"{key}\"; keep the old key file.\n"
    "2. Give every gateway the new verifier key beside the old one (log_verifiers):\n"
    "   {verifier}\n"
    "3. Start the bridge; restart the gateways: each compares its hand-offs and sends again what is "
    "missing here.",
    zh="日志 {new} 自 {old} 第 {size} 条之后接续，并以双方签名的首条记录载明。\n"
    "接下来：1. 在 {config} 中设置 origin = \"{new}\"、log_key = \"{key}\"；保留旧密钥文件。\n"
    "2. 将新验证公钥连同旧的一并配置到每个网关（log_verifiers）：\n   {verifier}\n"
    "3. 启动网桥并重启各网关：网关将自动核对移交并补发缺失内容。",
)  # fmt: skip
_LOST = Text(
    en="Callers hold a checkpoint over {held} entries: what came after entry {size} is not in this "
    "database. It is proved by their receipts under the old key, and comes back from their gateways.",
    zh="调用方持有含 {held} 条的检查点：第 {size} 条之后的内容不在本数据库中。其回执仍可用旧公钥证明，内容由"
    "各网关补发。",
)


@option(
    "--key", "key_file", required=True, type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.key",
    en="The new log's key, made by: exchange certs log-key STEM --name NAME",
    zh="新日志的密钥，由 exchange certs log-key 文件名 --name 名称 生成。",
)  # fmt: skip
@option(
    "--seen", "seen", multiple=True, type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    en="A checkpoint of the old log kept elsewhere, to be cited; may be repeated. Those that callers "
    "showed this bridge are cited anyway.",
    zh="另存的旧日志检查点文件，将予引用，可多次给出；调用方向本网桥出示过的会自动引用。",
)  # fmt: skip
@config_option
@json_option
def begin_anew(*, key_file: Path, seen: tuple[Path, ...], config: Path, as_json: bool) -> None:
    """Begin a new log on a restored database."""
    import secrets
    from datetime import UTC, datetime

    from exchange.config import load_settings
    from exchange.note import LogKey
    from exchange.store.renewal import begin_anew as begin

    settings = load_settings(config, os.environ)
    old, new = LogKey.load(settings.log_key), LogKey.load(key_file)
    begun = begin(
        settings.database,
        old,
        new,
        now=datetime.now(UTC),
        salt=secrets.token_hex(16),
        checkpoints=tuple(path.read_bytes() for path in seen),
    )
    held = max((one.size for one in begun.seen), default=begun.leaf_index)
    if as_json:
        show_json(
            {
                "old": old.name,
                "new": new.name,
                "size": begun.leaf_index,
                "held": held,
                "verifier": str(new.verifier),
                "statement": begun.note.decode(),
            }
        )
        return
    facts = {"old": old.name, "new": new.name, "size": begun.leaf_index, "config": config}
    say(_BEGUN.fill(**facts, key=key_file.resolve(), verifier=new.verifier))
    if held > begun.leaf_index:
        say(_LOST.fill(held=held, size=begun.leaf_index))
