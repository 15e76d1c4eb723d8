"""``exchange keys passphrase``: another passphrase for the key ring, while the bridge serves."""

from __future__ import annotations

import os
from pathlib import Path

import click

from exchange.cli.gateway import config_option
from exchange.cli.grammar import json_option, say
from exchange.cli.screen import show_json
from exchange.text import Text

_NO_PASSPHRASE = Text(
    en="{config} names no at_rest.passphrase_file: the key ring is not encrypted. Name one there and restart the "
    "bridge; the next 'exchange keys new' encrypts the ring.",
    zh="{config} 未指定 at_rest.passphrase_file，密钥环未加密。请在其中指定并重启网桥，下一次 exchange keys new 即加密密钥环。",
)
_OTHER_PASSPHRASE = Text(
    en="The key ring {file} is under the new passphrase, which stands in {passphrase}. Copy both anew.",
    zh="密钥环 {file} 已改用新口令，新口令已写入 {passphrase}。请重新备份二者。",
)


@click.argument("new", type=click.Path(path_type=Path, dir_okay=False))
@config_option
@json_option
def change(*, new: Path, config: Path, as_json: bool) -> None:
    """Change the passphrase."""
    from exchange.config import load_settings
    from exchange.errors import ConfigurationError
    from exchange.keyring import change_passphrase, changing, load_ring

    at_rest = load_settings(config, os.environ).at_rest
    if not at_rest.key_ring or not at_rest.passphrase_file:
        raise ConfigurationError(_NO_PASSPHRASE.fill(config=config))
    file, passphrase = Path(at_rest.key_ring), Path(at_rest.passphrase_file)
    with changing(file):
        change_passphrase(load_ring(file, passphrase), passphrase, new)
    if as_json:
        show_json({"key_ring": str(file), "passphrase_file": str(passphrase)})
        return
    say(_OTHER_PASSPHRASE.fill(file=file, passphrase=passphrase))
