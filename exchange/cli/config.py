"""``exchange config``: what the configuration says, and whether it is right."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from exchange.cli.gateway import config_option, is_gateway, read_gateway
from exchange.cli.grammar import group, json_option, language, say
from exchange.cli.screen import show_json
from exchange.text import Text

config = group(
    "config",
    en="The configuration: a bridge's or a gateway's, one TOML file and the environment.",
    zh="配置：网桥或网关的一个 TOML 文件，及环境变量。",
)

_FINE = Text(en="{file} is a good configuration of a {kind}.", zh="{file} 是有效的{kind}配置。")
_BRIDGE, _GATEWAY = Text(en="bridge", zh="网桥"), Text(en="gateway", zh="网关")


@config.command(
    "show",
    text=Text(
        en="Show every setting with its value and what it is for; passwords are left out.",
        zh="显示各项配置的取值与用途；不显示密码。",
    ),
)
@config_option
@json_option
def show(*, config: Path, as_json: bool) -> None:
    """Show the settings."""
    rows = list(_settings(config))
    if as_json:
        show_json({path: value for path, value, _ in rows})
        return
    for path, value, text in rows:
        click.echo(f"{path} = {value}")
        if text is not None:
            click.echo(f"    {text.say(language())}")


@config.command(
    "check",
    text=Text(
        en="Check the configuration; a misspelt key is named with the nearest valid one.",
        zh="检查配置；拼错的键会连同最接近的有效键一并指出。",
    ),
)
@config_option
@json_option
def check(*, config: Path, as_json: bool) -> None:
    """Check the settings."""
    gateway = is_gateway(config)
    if not gateway:
        from datetime import UTC, datetime

        from exchange.config import load_settings
        from exchange.server.known import open_directory

        open_directory(load_settings(config, os.environ), datetime.now(UTC))
    else:
        read_gateway(config)
    if as_json:
        show_json({"file": str(config), "kind": "gateway" if gateway else "bridge", "good": True})
        return
    kind = _GATEWAY if gateway else _BRIDGE
    say(
        Text(
            en=_FINE.en.format(file=config, kind=kind.en),
            zh=_FINE.zh.format(file=config, kind=kind.zh),
        )
    )


def _settings(config: Path) -> Any:
    if not is_gateway(config):
        from exchange.config import describe, load_settings

        yield from describe(load_settings(config, os.environ))
        return
    from dataclasses import fields

    found = read_gateway(config)
    for one in fields(found):
        value = getattr(found, one.name)
        if one.name == "file":
            continue
        if one.name == "trust":
            value = ", ".join(f"{network} = {path}" for network, path in value.items())
        elif one.name == "log_verifiers":
            value = ", ".join(map(str, value))
        yield one.name, str(value), None
