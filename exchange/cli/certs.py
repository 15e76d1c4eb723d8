"""``exchange certs``: the certificate tool, and what a certificate may do at a bridge: ``explain``."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from certs.cli import main as certs
from certs.errors import Refused
from certs.files import read_certificates
from certs.screen import shown_time
from exchange.acts import Group
from exchange.cli import acts as _acts  # noqa: F401  # adds its commands
from exchange.cli.gateway import config_option
from exchange.cli.grammar import command, json_option, language, say
from exchange.cli.screen import show_json
from exchange.errors import ConfigurationError, NotAuthorized
from exchange.text import Text

if TYPE_CHECKING:
    from exchange.certificates import Verified
    from exchange.config import Settings

__all__ = ["certs"]

_WHO = Text(
    en="speaks for  {who} of {network}, {role} {number}",
    zh="代表      {network} 的 {who}，{role} {number}",
)
_CALLS = Text(en="may call    {methods}", zh="可调用    {methods}")
_SIGNS = Text(
    en="may sign    messages and receipts of its organisation; it dials nobody",
    zh="可签署    本机构的消息与回执；不得接入",
)
_SEES = Text(
    en="may see     tickets it is a party to, in {regions}",
    zh="可查看    其作为当事方的单，行政区划：{regions}",
)
_FIELDS = Text(
    en="fields      of what others say there: {fields}; less what a hand-off to it withholds, and of one that it is "
    "no party to only what the scope lists for it (exchange ticket show)",
    zh="字段组    他方所述：{fields}；移交中对其隐去的除外；非当事方仅限知悉范围列明者（exchange ticket show）",
)
_UNTIL = Text(en="until       {until}", zh="有效至    {until}")
_LIST = Text(
    en="            then a newer list of revoked certificates must be there, or it is refused",
    zh="          届时须有更新的吊销列表，否则拒绝",
)
_NOTHING = Text(en="may do      nothing here: {why}", zh="不得使用  {why}")
_UNREGISTERED = Text(
    en="the organisation {organisation} of {network} is not in the register {file}; enter it there.",
    zh="机构 {organisation}（{network}）未在名录 {file} 中登记，请先登记。",
)
_NO_WITNESS = Text(
    en="no witness of {network} is known here; enter its verifier key under [witnesses].",
    zh="此处未登记 {network} 的见证者，请在 [witnesses] 中登记其验证公钥。",
)
_ROLES = {
    "gw": Text(en="gateway", zh="网关"),
    "signer": Text(en="signer", zh="签名者"),
    "witness": Text(en="witness", zh="见证者"),
}


@command(
    "explain",
    en="Say what the certificate in FILE may do at the bridge that --config names: which methods it may "
    "call, which regions and fields it may see, and until when; or which rule refuses it, and what to do. It goes by "
    "the files as they are now: roots, lists of revoked certificates, deny list, register.\n"
    "Exit 0: it may do something. Exit 1: nothing.",
    zh="说明文件中的证书在 --config 所指网桥上的权限：可调用的方法、可查看的行政区划与字段组、有效至何时；或被哪条规则拒绝、"
    "应如何处理。依据现有文件：根证书、吊销列表、禁止名单、机构名录。\n退出码 0：有权限。退出码 1：无任何权限。",
)
@click.argument("file", type=click.Path(path_type=Path))
@config_option
@json_option
@click.pass_context
def explain(context: click.Context, *, file: Path, config: Path, as_json: bool) -> None:
    """Say what a certificate may do."""
    from exchange.config import load_settings

    try:
        found = _explained(load_settings(config, os.environ), file, datetime.now(UTC))
    except Refused as refused:
        raise ConfigurationError(
            Text(en=refused.sentence.en, zh=refused.sentence.zh), file=str(file)
        ) from refused
    if as_json:
        show_json({**found, "why": found["why"].say(language()) if found["why"] else ""})
    else:
        _show(found)
    context.exit(1 if found["why"] else 0)


certs.add_command(explain)


def _explained(settings: Settings, file: Path, now: datetime) -> dict[str, Any]:
    from exchange.certificates import GATEWAY, SIGNER, WITNESS, Rule, RuleBroken, verify
    from exchange.server.trust_files import TrustFiles

    chain, store = read_certificates(file), TrustFiles.of(settings).read(now).store
    row: dict[str, Any] = {
        "organisation": "", "network": "", "region": "", "role": "", "number": 0,
        "methods": [], "signs": False, "regions": [], "fields": [], "until": "", "list_due": False, "rule": "", "why": None,
    }  # fmt: skip
    for purpose in (GATEWAY, WITNESS, SIGNER):
        try:
            verified = verify(chain, store, purpose, now)
        except RuleBroken as broken:
            # What it is not is no news: the reason is that of the kind it comes nearest to.
            if not row["rule"] or broken.facts["rule"] not in (Rule.NAME, Rule.USAGE, Rule.KEY):
                row["rule"], row["why"] = str(broken.facts["rule"]), broken.text
            continue
        row["rule"], row["why"] = "", None
        _grant(row, verified, settings, now)
        break
    return row


def _grant(row: dict[str, Any], verified: Verified, settings: Settings, now: datetime) -> None:
    from exchange.divisions import load_divisions
    from exchange.identity import METHODS, CallerKind, scope
    from exchange.organisations import load_register

    name = verified.name
    row |= {key: name.get(key, "") for key in ("organisation", "network", "region", "role")}
    row["number"] = int(name["number"])
    until = min(filter(None, (verified.not_after, verified.closes)))
    row["until"] = until.isoformat()
    row["list_due"] = until != verified.not_after
    if name["role"] == "witness":
        row["organisation"] = f"witness {name['number']}"
        if name["network"] not in settings.witnesses:
            row["rule"], row["why"] = (
                "witness-unregistered",
                _NO_WITNESS.fill(network=name["network"]),
            )
        row["methods"] = [m for m, kind in METHODS.items() if kind is not CallerKind.GATEWAY]
        return
    table = load_divisions(settings.tables.divisions)
    register = load_register(settings.register, on=now.date(), table=table)
    known = register.get(name["organisation"])
    if known is None or known.network != name["network"]:
        row["rule"] = "organisation-unregistered"
        row["why"] = _UNREGISTERED.fill(
            organisation=name["organisation"], network=name["network"], file=settings.register
        )
        return
    if name["role"] == "signer":
        row["signs"] = True
        return
    try:
        row["regions"] = list(
            scope(name["region"], name["organisation"], (known.region, *known.also))
        )
    except NotAuthorized as error:
        row["rule"], row["why"] = error.facts["rule"], error.text
        return
    row["methods"] = [m for m, kind in METHODS.items() if kind is not CallerKind.WITNESS]
    # Who may ask at all is shown these; what of them, each hand-off's scope says (`exchange.knowing`).
    row["fields"] = [group.name.lower() for group in Group]


def _show(row: dict[str, Any]) -> None:
    if row["organisation"]:
        role = _ROLES[row["role"]].say(language())
        say(
            _WHO.fill(
                who=row["organisation"], network=row["network"], role=role, number=row["number"]
            )
        )
    if row["why"]:
        say(
            Text(en=_NOTHING.en.format(why=row["why"].en), zh=_NOTHING.zh.format(why=row["why"].zh))
        )
        return
    if row["signs"]:
        say(_SIGNS)
    else:
        methods = ", ".join(method.rpartition("/")[2] for method in row["methods"])
        say(_CALLS.fill(methods=methods))
        if row["regions"]:
            say(_SEES.fill(regions=", ".join(row["regions"])))
            say(_FIELDS.fill(fields=", ".join(row["fields"])))
    say(_UNTIL.fill(until=shown_time(datetime.fromisoformat(row["until"]))))
    if row["list_due"]:
        say(_LIST)
