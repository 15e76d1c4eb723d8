"""``renew``: the holder's unattended renewal."""

from __future__ import annotations

from pathlib import Path

import click

from certs.belief import believed
from certs.cli.grammar import (
    PATH,
    both,
    json_option,
    now,
    option,
    refusals,
    show_json,
    text,
    written,
)
from certs.files import read_certificates
from certs.renewal import Holding, Hooks
from certs.renewal import renew as renew_now
from certs.speech import Command, language


@click.command(
    cls=Command,
    **text(
        "Renew STEM.key and STEM.pem when two thirds of life have passed; run it from a timer.\n"
        "A request goes into the outbox, signed by the key in use; the answer is taken from the inbox, "
        "checked, and put in place, key and certificate together. Every run goes on where the last one "
        "stopped. Exit: 0 nothing due, asked, waiting or renewed; 1 refused, the old pair stays.",
        "有效期过三分之二后更新密钥与证书；请由定时器执行。\n申请由在用密钥签名后放入发件夹；收件夹中的答复经检查后，"
        "密钥与证书一并启用。每次执行都从上次停下处继续。退出码：0 无需更新、已申请、等待中或已更新；1 被拒绝，原证书继续使用。",
    ),
)
@click.argument("stem", type=PATH)
@option(
    "--outbox", type=PATH, required=True, metavar="DIR", en="Where requests go.", zh="申请发件夹。"
)
@option(
    "--inbox",
    type=PATH,
    required=True,
    metavar="DIR",
    en="Where answers arrive.",
    zh="答复收件夹。",
)
@option(
    "--roots",
    type=PATH,
    metavar="FILE",
    en="Roots that the answer must end at.",
    zh="答复须可追溯至的根证书。",
)
@option("--trust", "folder", type=PATH, metavar="DIR", en="Or a trust folder.", zh="或信任文件夹。")
@option("--pre", metavar="SHELL", en="Command before the pair changes.", zh="更换前执行的命令。")
@option(
    "--deploy", metavar="SHELL", en="Command after the pair has changed; repeated until it succeeds.",
    zh="更换后执行的命令；失败则下次重试。",
)  # fmt: skip
@option(
    "--post",
    metavar="SHELL",
    en="Command at the end, also when deploying failed.",
    zh="最后执行的命令，部署失败时亦然。",
)
@option(
    "--early", is_flag=True, en="Do not wait for two thirds of life.", zh="不等有效期过三分之二。"
)
@option("--dry-run", is_flag=True, en="Only say what would happen.", zh="只说明将发生什么。")
@json_option
def renew(
    *,
    stem: Path,
    outbox: Path,
    inbox: Path,
    roots: Path | None,
    folder: Path | None,
    pre: str | None,
    deploy: str | None,
    post: str | None,
    early: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Renew."""
    with refusals():
        at = now()
        holding = Holding(stem=stem, outbox=outbox, inbox=inbox, trust=believed(folder, roots, at))
        hooks = Hooks(pre=pre, deploy=deploy, post=post)
        before = _serial(holding)
        lines = renew_now(holding, at, hooks=hooks, early=early, dry_run=dry_run)
        if as_json:
            show_json(
                {
                    "renewed": before != _serial(holding),
                    "waiting": holding.beside(".next.key").exists(),
                    "certificate": written(holding.beside(".pem")),
                    "said": [both(line) for line in lines],
                }
            )
            return
        for line in lines:
            click.echo(line.say(language()))


def _serial(holding: Holding) -> int | None:
    """Return which certificate is in use; None between two, where a change was interrupted."""
    chain = holding.beside(".pem")
    return read_certificates(chain)[0].serial_number if chain.exists() else None
