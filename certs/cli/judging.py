"""``watch``, ``doctor`` and ``probe``: how things stand, and which rule refuses."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import click

from certs.belief import believed
from certs.cli.grammar import FAILED, PATH, json_option, now, option, refusals, say, text
from certs.errors import Refused
from certs.files import read_certificates, read_signing_key
from certs.probe import Client, dial
from certs.profiles import PROFILES, Profile, ProfileName
from certs.rules import Finding, Rule, broken, fine, judge
from certs.screen import from_local
from certs.show import kind_of
from certs.speech import Command, Misused, language
from certs.watch import Standing, exposition
from certs.watch import watch as look

_MARKS = {True: "✓", False: "✗"}
_TRUST = option(
    "--trust", "folder", type=PATH, metavar="DIR", en="Folder of whom we trust.", zh="信任文件夹。"
)
_ROOTS = option(
    "--roots", type=PATH, metavar="FILE", en="Or one network's roots.", zh="或某网络的根证书文件。"
)


@click.command(
    cls=Command,
    **text(
        "Say how certificates, trust and an authority stand; for timers and monitoring.\n"
        "Exit: 0 all fine, 1 something is due, 2 something is broken.",
        "查看证书、信任与认证机构的状态；供定时器与监控使用。\n退出码：0 正常，1 有待办，2 有故障。",
    ),
)
@click.argument("files", nargs=-1, type=PATH)
@_TRUST
@option(
    "--authority", type=PATH, metavar="DIR", en="Folder of an authority.", zh="认证机构文件夹。"
)
@json_option
@option(
    "--prometheus",
    is_flag=True,
    en="In Prometheus's text format.",
    zh="以 Prometheus 文本格式输出。",
)
@click.pass_context
def watch(
    context: click.Context,
    *,
    files: tuple[Path, ...],
    folder: Path | None,
    authority: Path | None,
    as_json: bool,
    prometheus: bool,
) -> None:
    """Watch."""
    if not (files or folder or authority):
        raise Misused(_NOTHING, context)
    found = look(files, now(), folder=folder, authority=authority)
    if prometheus:
        click.echo(exposition(found), nl=False)
    elif as_json:
        said = [
            {
                "kind": one.kind, "name": one.name, "standing": one.standing.name.lower(),
                "until": one.until.isoformat() if one.until else None, "what": one.what.say(language()),
            }
            for one in found
        ]  # fmt: skip
        click.echo(json.dumps(said, ensure_ascii=False, indent=2))
    else:
        for one in found:
            click.echo(
                f"{_STANDINGS[language()][one.standing]}  {one.kind}  {one.name}: {one.what.say(language())}"
            )
    context.exit(max(one.standing for one in found))


_STANDINGS = {
    "en": {Standing.FINE: "fine  ", Standing.DUE: "DUE   ", Standing.BROKEN: "BROKEN"},
    "zh": {Standing.FINE: "正常", Standing.DUE: "待办", Standing.BROKEN: "故障"},
}
_NOTHING = Refused(
    en="Nothing to watch: give certificate files, --trust or --authority.",
    zh="没有可查看的对象：请给出证书文件、--trust 或 --authority。",
).sentence


@click.command(
    cls=Command,
    **text(
        "Hold a certificate chain against every rule and name the one that refuses it.\n"
        "Exit: 0 every rule is content, 1 one refuses.",
        "逐条规则检查证书链，指出是哪一条拒绝了它。\n退出码：0 全部通过，1 有规则拒绝。",
    ),
)
@click.argument("file", type=PATH)
@_TRUST
@_ROOTS
@option("--key", type=PATH, metavar="FILE", en="Its private key.", zh="其私钥。")
@option(
    "--profile",
    type=click.Choice(list(PROFILES)),
    en="What it should be; else what it says.",
    zh="应有的类型；默认按证书所载。",
)
@option(
    "--host", metavar="NAME", en="By what a bridge is dialled.", zh="拨入网桥所用的名称或地址。"
)
@option(
    "--at", type=click.DateTime(["%Y-%m-%dT%H:%M", "%Y-%m-%d"]), metavar="TIME",
    en="Judge as of that time (local) instead of now.", zh="按该时刻（当地时间）判断，默认为现在。",
)  # fmt: skip
@json_option
@click.pass_context
def doctor(
    context: click.Context,
    *,
    file: Path,
    folder: Path | None,
    roots: Path | None,
    key: Path | None,
    profile: ProfileName | None,
    host: str | None,
    at: datetime | None,
    as_json: bool,
) -> None:
    """Judge a chain."""
    with refusals():
        moment = from_local(at) if at is not None else now()
        chain = read_certificates(file)
        chosen = PROFILES[profile] if profile is not None else _own_profile(file, kind_of(chain[0]))
        found = judge(chain, believed(folder, roots, moment), chosen, moment, host=host)
        if key is not None:
            found.insert(
                0, _pair(key, file, read_signing_key(key).public_key() == chain[0].public_key())
            )
    _conclude(context, found, as_json=as_json)


def _own_profile(file: Path, kind: str) -> Profile:
    for name, profile in PROFILES.items():
        if name == kind:
            return profile
    raise Refused(
        en=f"{file} begins with a certificate that is none of this exchange's kinds ({kind}). Give the "
        "holder's file, or --profile to hear what it lacks.",
        zh=f"{file} 的首份证书不属于本系统的任何类型（{kind}）。请提供持有者的文件，或用 --profile 查看其欠缺。",
    )


def _pair(key: Path, file: Path, fits: bool) -> Finding:
    if fits:
        return fine(Rule.PAIR, "Key and certificate fit.", "密钥与证书配对。")
    return broken(
        Rule.PAIR, f"{key} is not the key of {file}.", f"{key} 不是 {file} 的密钥。",
        "Put back the pair that belongs together; after an interrupted renewal: certs renew",
        "请恢复配对的文件；若更新被中断：certs renew",
    )  # fmt: skip


@click.command(
    cls=Command,
    **text(
        'Dial a bridge and name the very rule that refuses; gRPC says only "Socket closed".\n'
        "Exit: 0 every rule is content, 1 one refuses.",
        "拨入网桥并指出究竟是哪条规则拒绝（gRPC 只会说“Socket closed”）。\n退出码：0 全部通过，1 有规则拒绝。",
    ),
)
@click.argument("address", metavar="HOST:PORT")
@_TRUST
@_ROOTS
@option(
    "--name",
    metavar="NAME",
    en="Name in the bridge's certificate, where HOST is an address.",
    zh="网桥证书中的名称（以地址拨入时）。",
)
@option("--key", type=PATH, metavar="FILE", en="Your gateway's private key.", zh="本网关的私钥。")
@option(
    "--chain",
    type=PATH,
    metavar="FILE",
    en="Your gateway's certificate file.",
    zh="本网关的证书文件。",
)
@option(
    "--own-roots",
    type=PATH,
    metavar="FILE",
    en="Your own network's roots, to judge your certificate too.",
    zh="本网络根证书，用于同时检查本方证书。",
)
@json_option
@click.pass_context
def probe(
    context: click.Context,
    *,
    address: str,
    folder: Path | None,
    roots: Path | None,
    name: str | None,
    key: Path | None,
    chain: Path | None,
    own_roots: Path | None,
    as_json: bool,
) -> None:
    """Dial a bridge."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise Misused(Refused(en=f"{address!r} is no HOST:PORT, such as bridge.example:5110.",
                              zh=f"“{address}”不是“主机:端口”，如 bridge.example:5110。").sentence, context)  # fmt: skip
    if (key is None) != (chain is None):
        raise Misused(
            Refused(
                en="--key and --chain go together.", zh="--key 与 --chain 须同时给出。"
            ).sentence,
            context,
        )
    with refusals():
        at = now()
        client = None
        if key is not None and chain is not None:
            own = believed(None, own_roots, at) if own_roots is not None else None
            client = Client(key=key, chain_file=chain, chain=read_certificates(chain), trust=own)
        found = dial(
            host.strip("[]"),
            int(port),
            at,
            trust=believed(folder, roots, at),
            client=client,
            name=name,
        )
    _conclude(context, found, as_json=as_json)


def _conclude(context: click.Context, found: Sequence[Finding], *, as_json: bool) -> None:
    """Show *found* and end: 1 when a rule refuses."""
    refused = [one for one in found if not one.fine]
    if as_json:
        said = [
            {
                "rule": one.rule, "fine": one.fine, "what": one.what.say(language()),
                "mend": one.mend.say(language()) if one.mend else None,
            }
            for one in found
        ]  # fmt: skip
        click.echo(json.dumps(said, ensure_ascii=False, indent=2))
    else:
        for one in found:
            click.echo(f"{_MARKS[one.fine]} {one.rule}: {one.what.say(language())}")
            if one.mend is not None:
                click.echo(f"    {one.mend.say(language())}")
        if refused:
            say(en=f"Refused by the rule: {refused[0].rule}", zh=f"拒绝的规则：{refused[0].rule}")
        else:
            say(en="Every rule is content.", zh="全部规则通过。")
    context.exit(FAILED if refused else 0)
