"""``exchange doctor``: what is wrong with a setup, its cause and its mend."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from exchange.cli.gateway import config_option, is_gateway, read_gateway
from exchange.cli.grammar import command, json_option, language, say
from exchange.cli.screen import show_json, show_paragraph
from exchange.errors import ConfigurationError
from exchange.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exchange.doctor import Finding

_MARKS = {"ok": "✓", "warn": "!", "fail": "✗"}
_CAUSE = Text(en="cause: ", zh="原因：")
_FIX = Text(en="fix: ", zh="处理：")
_WELL = Text(en="All is well.", zh="一切正常。")
_ILL = Text(en="{fail} failures, {warn} warnings.", zh="{fail} 项故障，{warn} 项警告。")


@command(
    "doctor",
    en="Probe this setup for real (a gateway's or a bridge's, as the configuration says) and say of "
    "each finding\nits cause and its mend. Exit: 0 all is well or mere warnings, 1 failures, "
    "2 the configuration cannot be read.",
    zh="按配置（网关或网桥）逐项实测，给出每项发现的原因与处理办法。\n"
    "退出码：0 正常或仅有警告，1 有故障，2 无法读取配置。",
)
@config_option
@json_option
@click.pass_context
def doctor(context: click.Context, *, config: Path, as_json: bool) -> None:
    """Probe a setup."""
    lang = language()
    found: list[Finding] = []
    unread: ConfigurationError | None = None
    try:
        for finding in _examine(config):
            found.append(finding)
            if not as_json:
                _show(finding)
    except ConfigurationError as error:
        unread = error
    if as_json:
        show_json(
            {
                "configuration": unread.text.say(lang) if unread is not None else "",
                "findings": [
                    {
                        "probe": one.probe,
                        "status": one.status.value,
                        "what": one.what.say(lang),
                        "cause": one.cause.say(lang) if one.cause is not None else "",
                        "fix": one.fix.say(lang) if one.fix is not None else "",
                    }
                    for one in found
                ],
            }
        )
    elif unread is not None:
        click.echo(f"✗ {unread.text.say(lang)}")
    if unread is not None:
        context.exit(2)
    counts = {s: sum(one.status.value == s for one in found) for s in _MARKS}
    if not as_json:
        say(_ILL.fill(**counts) if counts["fail"] or counts["warn"] else _WELL)
    context.exit(1 if counts["fail"] else 0)


def _examine(config: Path) -> Iterator[Finding]:
    from exchange.doctor import examine_bridge, examine_gateway, examine_surroundings

    now = datetime.now(UTC)
    if not config.exists():
        yield from examine_surroundings()
    if is_gateway(config):
        yield from examine_gateway(read_gateway(config), now)
        return
    from exchange.config import load_settings

    yield from examine_bridge(load_settings(config, os.environ), now)


def _show(finding: Finding) -> None:
    lang = language()
    click.echo(f"{_MARKS[finding.status.value]} {finding.what.say(lang)}")
    if finding.cause is not None:
        show_paragraph(_CAUSE.say(lang) + finding.cause.say(lang), indent=4)
    if finding.fix is not None:
        show_paragraph(_FIX.say(lang) + finding.fix.say(lang), indent=4)
