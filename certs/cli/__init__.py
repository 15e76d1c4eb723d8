"""The commands: ``certs --help`` lists them; each group stands in a module of its own."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import click

from certs import pem
from certs.cli.acts import acts
from certs.cli.denying import deny
from certs.cli.grammar import (
    FAILED,
    INTERRUPTED,
    MISUSED,
    PATH,
    json_option,
    now,
    opened_by,
    option,
    refusals,
    report,
    say,
    show_json,
    text,
    token_of,
    token_options,
    written,
)
from certs.cli.issuing import answer, fetch, init, issue
from certs.cli.judging import doctor, probe, watch
from certs.cli.listing import inventory
from certs.cli.renewing import renew
from certs.cli.rolling import roll
from certs.cli.trusting import trust
from certs.cli.withdrawing import crl, revoke
from certs.csr import create_request
from certs.development import BRIDGE, GOVERNMENT, POLICE, Desk, build
from certs.files import read, read_certificates
from certs.logkey import create_log_key
from certs.profiles import PROFILES, ProfileName
from certs.show import describe, list_data, list_lines
from certs.speech import Group, language, spoken, usage_text


def run(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> int:
    """Run one command line as ``python -m certs`` does; return its exit code."""
    lang, rest = spoken(arguments, environment)
    try:
        code = main.main(
            list(rest), prog_name="python -m certs", standalone_mode=False, obj={"lang": lang}
        )
    except click.UsageError as error:
        click.echo(usage_text(error, "python -m certs").say(lang), err=True)
        return MISUSED
    except click.ClickException as error:
        click.echo(error.format_message(), err=True)
        return FAILED
    except click.Abort:
        return INTERRUPTED
    return code if isinstance(code, int) else 0


@click.group(
    name="certs",
    cls=Group,
    **text(
        "Certificates of the two networks: authorities, requests, certificates, and whom to trust.",
        "证书管理：两个网络的认证机构、证书申请、证书与信任。",
    ),
)
@option(
    "--lang", type=click.Choice(["en", "zh"]),
    en="Language of the output, anywhere on the line; else EXCHANGE_LANG, else the locale.",
    zh="输出语言，位置不限；默认取 EXCHANGE_LANG，再取区域设置。",
)  # fmt: skip
def main(lang: str | None) -> None:
    """Take part in every command line; `spoken` has read the language before this."""
    del lang


@main.command(
    **text(
        "Make STEM.key, which stays here, and STEM.csr for the authority.",
        "生成密钥（.key，留在本机）与证书申请（.csr，交认证机构）。",
    )
)
@click.argument("stem", type=PATH)
@option(
    "--label", en="What people call the request; has no effect on the certificate.",
    zh="申请的称呼，不影响证书。",
)  # fmt: skip
@option(
    "--profile", type=click.Choice(list(PROFILES)), default="gateway-tls", show_default=True,
    en="What the key is for; a witness needs another kind of key.", zh="密钥用途；见证者所用密钥类型不同。",
)  # fmt: skip
@token_options
@option(
    "--pin-file", type=PATH, metavar="FILE",
    en="Its first line is the token's PIN; else you are asked.", zh="其首行为令牌的 PIN；否则当场询问。",
)  # fmt: skip
@json_option
def csr(
    *,
    stem: Path,
    label: str | None,
    profile: ProfileName,
    token: str | None,
    token_module: Path | None,
    pin_file: Path | None,
    as_json: bool,
) -> None:
    """Make a key and a request."""
    inside = token_of(token, token_module)
    with refusals():
        key, request = create_request(
            stem, label or stem.name, PROFILES[profile], inside, opened_by(pin_file)
        )
        if as_json:
            show_json({"profile": profile, "key": str(key), "request": str(request)})
            return
        say(
            en=f"Wrote {key} (keep it here) and {request} (send it to your network's authority).",
            zh=f"已写入 {key}（留在本机）和 {request}（发给本网络的认证机构）。",
        )


@main.command(
    **text(
        "Say what every certificate or revocation list in FILE is and whom it speaks for.",
        "查看文件中每份证书或吊销列表的类型与所代表的机构。",
    )
)
@click.argument("file", type=PATH)
@json_option
def show(file: Path, as_json: bool) -> None:
    """Show certificates or lists."""
    with refusals():
        if pem.CRL in pem.labels(read(file)):
            lists = list(pem.crls(str(file), read(file)))
            if as_json:
                show_json([list_data(one) for one in lists])
                return
            for crl_ in lists:
                for line in list_lines(crl_, now()):
                    click.echo(line.say(language()))
            return
        found = [describe(certificate, now()) for certificate in read_certificates(file)]
        if as_json:
            show_json([asdict(one) for one in found])
            return
        for position, one in enumerate(found):
            if position:
                click.echo()
            for line in one.lines():
                click.echo(line.say(language()))


@main.command(
    name="log-key",
    **text(
        "Make STEM.key, which signs a bridge's log, and STEM.vkey, which checks it.",
        "生成网桥日志的签名密钥（.key）与验证公钥（.vkey）。",
    ),
)
@click.argument("stem", type=PATH)
@option(
    "--name", required=True, en="Name of the log, such as bridge.example/log/1.",
    zh="日志名称，如 bridge.example/log/1。",
)  # fmt: skip
@json_option
def log_key(stem: Path, name: str, as_json: bool) -> None:
    """Make a log's keys."""
    with refusals():
        key, verifier = create_log_key(stem, name)
        if as_json:
            line = read(verifier).decode().strip()
            show_json(
                {"name": name, "key": str(key), "verifier": str(verifier), "verifier_key": line}
            )
            return
        say(
            en=f"Wrote {key} (keep it on the bridge) and {verifier} (hand it to both networks).",
            zh=f"已写入 {key}（留在网桥）和 {verifier}（交给两个网络）。",
        )


@main.command(
    **text(
        "Make a whole set for development in FOLDER; never use it in earnest.",
        "在文件夹中生成开发用整套证书；切勿用于正式环境。",
    )
)
@click.argument("folder", type=PATH)
@option(
    "--desk", "desks", multiple=True, nargs=3, type=str, metavar="NETWORK REGION ORGANISATION",
    en="An organisation that takes part; may be repeated.", zh="参与的机构，可多次给出。",
)  # fmt: skip
@json_option
def development(folder: Path, desks: tuple[tuple[str, str, str], ...], as_json: bool) -> None:
    """Make a set for development."""
    with refusals():
        wanted = [Desk(network=n, region=r, organisation=o) for n, r, o in desks]
        made = build(folder, desks=wanted, now=now())
        files = [made.bridge.certificate]
        for desk in made.desks.values():
            files += [desk.gateway.certificate, desk.signer.certificate]
        if as_json:
            show_json(
                {
                    "folder": str(folder),
                    "authorities": [GOVERNMENT, POLICE, BRIDGE],
                    "certificates": [written(file) for file in files],
                }
            )
            return
        for file in files:
            report(file)
        say(
            en=f"Authorities: {GOVERNMENT}, {POLICE}, {BRIDGE}. For development only.",
            zh=f"认证机构：{GOVERNMENT}、{POLICE}、{BRIDGE}。仅供开发使用。",
        )


for _command in (
    init, issue, fetch, answer, inventory, renew, revoke, crl, deny, roll, trust, acts, watch, doctor, probe,
):  # fmt: skip
    main.add_command(_command)
