"""``exchange log checkpoint``: the newest signed head of the log, to be kept elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

import click

from exchange.cli.gateway import config_option
from exchange.cli.grammar import json_option, option
from exchange.cli.screen import show_json

database_option = option(
    "--database", metavar="URL", en="This database; else the configured one.",
    zh="数据库 URL；默认取配置。",
)  # fmt: skip


@database_option
@config_option
@json_option
def checkpoint(*, database: str | None, config: Path, as_json: bool) -> None:
    """Print the newest checkpoint."""
    from exchange.cli.tickets import database_of
    from exchange.config import load_settings
    from exchange.log import Checkpoint
    from exchange.note import split_note
    from exchange.query.evidence import EvidenceRoom

    room = EvidenceRoom.open(database_of(database, config))
    try:
        # Of several logs in the database, the configured one.
        origin = load_settings(config, os.environ).origin if config.exists() else ""
        note = room.checkpoint(origin)
    finally:
        room.close()
    if not as_json:
        click.echo(note.decode(), nl=False)
        return
    found = Checkpoint.parse(split_note(note)[0])
    row = {"origin": found.origin, "size": found.size, "root": found.root.hex()}
    show_json({**row, "note": note.decode()})
