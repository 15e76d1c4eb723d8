"""``exchange sealing``: the keys to which others seal field groups for this organisation."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from exchange.cli.gateway import config_option, read_gateway
from exchange.cli.grammar import LazyGroup, command, json_option, option, say
from exchange.cli.screen import show_json
from exchange.errors import ConfigurationError
from exchange.text import Text

if TYPE_CHECKING:
    from exchange.wire.sealing import KeyStatement

#: As long as a signer's certificate, without which the statement does not count.
USUAL_DAYS, MOST_DAYS = 365, 730

_MADE = Text(
    en="Made {key} (private; keep it, and a copy with the backups, for as long as what is sealed to it is "
    "kept) and {statement}.\n"
    "Next: send {name} to the operator of the bridge, and of every bridge on which others seal to you; each "
    "puts it into the folder that 'sealing_keys' names. No restart is needed.\n"
    "Renew it before {ends}, or when the signer's certificate is renewed, whichever comes first: run this "
    "again, and leave the old files where they are.",
    zh="已生成 {key}（私钥，请与备份一并保存，保存期不短于以其封装的内容）与 {statement}。\n"
    "下一步：将 {name} 交给本网桥以及向贵机构封装内容的各网桥的运营方，由其放入 sealing_keys 所指文件夹，无需重启。\n"
    "请在 {ends} 之前或签名证书更新时（以先到者为准）再次执行本命令；旧文件保留原处。",
)
_NO_SECTION = Text(
    en='{file} has no table [sealing]. Add it, with the folder of the keys: keys = "sealing"',
    zh='{file} 中没有 [sealing] 表。请添加并指明密钥文件夹：keys = "sealing"',
)
_SHOWN = Text(
    en="{file}\n  organisation {organisation}\n  key          {key}\n  suite        {suite}\n"
    "  in force     {begins} to {ends}\n  {standing}",
    zh="{file}\n  机构   {organisation}\n  公钥   {key}\n  套件   {suite}\n"
    "  有效期 {begins} 至 {ends}\n  {standing}",
)
_STANDS = Text(en="its signer vouches for it now", zh="当前有效，签名可信")
_STANDS_NOT = Text(
    en="nobody seals to it now: it is not in force, or its signer is not trusted here, expired or another's",
    zh="当前不可用：不在有效期内，或其签名者在此不受信任、已过期或属于其他机构",
)

_COMMANDS = {
    "make": (
        "exchange.cli.sealing:make",
        Text(en="Make a key, or its successor", zh="生成（或更换）封装密钥"),
    ),
    "show": (
        "exchange.cli.sealing:show",
        Text(
            en="Say whose a published key is, and whether it counts", zh="查看封装公钥及其是否有效"
        ),
    ),
}


@click.group(
    cls=LazyGroup,
    name="sealing",
    lazy=_COMMANDS,
    text=Text(
        en="Keys to which others seal field groups for your organisation, so that no bridge can read them.",
        zh="其他机构向本机构封装字段组所用的密钥；网桥无法读取封装内容。",
    ),
)
def sealing() -> None:
    """Take part in every command line below."""


@command(
    "make",
    en="Make a sealing key in the folder that [sealing] keys names, and sign its public half with the "
    "gateway's signer. Nothing is sent.",
    zh="在 [sealing] keys 所指文件夹中生成封装密钥，并以本网关的签名密钥签署其公钥部分；不发送任何内容。",
)
@option(
    "--days", type=click.IntRange(1, MOST_DAYS), default=USUAL_DAYS, show_default=True,
    en="Days for which it may be sealed to.", zh="可用于封装的天数。",
)  # fmt: skip
@config_option
@json_option
def make(*, days: int, config: Path, as_json: bool) -> None:
    """Make a sealing key."""
    from exchange.client import Sealer, read_certificates
    from exchange.client.keys import Lifetime, make_key
    from exchange.envelope import SigningKey

    files = read_gateway(config)
    if files.sealing is None:
        raise ConfigurationError(_NO_SECTION.fill(file=config), file=str(config))
    sealer = Sealer(files.organisation, SigningKey.load(files.signer_key, files.signer_chain))
    now = datetime.now(UTC)
    ends = now + timedelta(days=days)
    chain = read_certificates(files.signer_chain)
    path = make_key(sealer, chain, files.sealing.keys, Lifetime(now, ends))
    if as_json:
        show_json(
            {"statement": str(path), "key": str(path.with_suffix(".key")), "ends": ends.isoformat()}
        )
        return
    key = path.with_suffix(".key")
    say(_MADE.fill(key=key, statement=path, name=path.name, ends=f"{ends:%Y-%m-%d}"))


@command(
    "show",
    en="Say whose sealing keys the files are, and whether one may seal to them now, by the trust of the "
    "gateway's configuration.",
    zh="查看封装公钥文件属于哪个机构、按本网关的信任配置当前能否用于封装。",
)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False))
@config_option
@json_option
def show(*, files: tuple[Path, ...], config: Path, as_json: bool) -> None:
    """Show published sealing keys."""
    from exchange.client.keys import read_statement, verified
    from exchange.trust import TrustStore

    trust = TrustStore.load(read_gateway(config).trust)
    now = datetime.now(UTC)
    for path in files:
        said = read_statement(path)
        counts = verified(path.read_bytes(), trust, now) is not None
        if as_json:
            show_json({"file": str(path), **_facts(said), "counts": counts})
        else:
            standing = _STANDS if counts else _STANDS_NOT
            shown = {name: Text(en=value, zh=value) for name, value in _facts(said).items()}
            say(
                _fill(
                    _SHOWN, {"file": Text(en=str(path), zh=str(path)), "standing": standing} | shown
                )
            )


def _facts(said: KeyStatement) -> dict[str, str]:
    from hashlib import sha256

    return {
        "organisation": said.organisation,
        "key": sha256(said.public).hexdigest(),
        "suite": said.suite,
        "begins": said.begins.isoformat(timespec="seconds"),
        "ends": said.ends.isoformat(timespec="seconds"),
    }


def _fill(text: Text, values: dict[str, Text]) -> Text:
    return Text(
        en=text.en.format(**{name: value.en for name, value in values.items()}),
        zh=text.zh.format(**{name: value.zh for name, value in values.items()}),
    )
