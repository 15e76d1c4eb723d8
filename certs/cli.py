"""The commands: ``init``, ``csr``, ``issue``, ``show``, ``log-key`` and ``development``."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from certs.authority import Hosts, chain_pem, create_authority, issue, open_authority
from certs.csr import accept_request, create_request
from certs.development import BRIDGE, GOVERNMENT, POLICE, Desk, build
from certs.errors import Refused, Sentence
from certs.files import read, read_certificates, require_absent, write_new
from certs.logkey import create_log_key
from certs.names import Name
from certs.profiles import PROFILES, ProfileName
from certs.screen import shown_time
from certs.show import describe, fingerprint
from certs.speech import Group, Option, language, spoken, usage_text

FAILED, MISUSED, INTERRUPTED = 1, 2, 130

_F = TypeVar("_F", bound=Callable[..., Any])
_PATH = click.Path(path_type=Path)
_INTERRUPTED = Sentence(
    en="Interrupted: look at what is there before you repeat the command.",
    zh="已中断：重新执行前请先查看已写出的文件。",
)


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
        click.echo(_INTERRUPTED.say(lang), err=True)
        return INTERRUPTED
    return code if isinstance(code, int) else 0


def _option(*names: str, en: str, zh: str, **attributes: Any) -> Callable[[_F], _F]:
    return click.option(*names, cls=Option, text=Sentence(en=en, zh=zh), **attributes)


@click.group(
    name="certs",
    cls=Group,
    text=Sentence(
        en="Certificates of the two networks: authorities, requests, certificates.",
        zh="证书管理：两个网络的认证机构、证书申请与证书。",
    ),
)
@_option(
    "--lang", type=click.Choice(["en", "zh"]),
    en="Language of the output, anywhere on the line; else EXCHANGE_LANG, else the locale.",
    zh="输出语言，位置不限；默认取 EXCHANGE_LANG，再取区域设置。",
)  # fmt: skip
def main(lang: str | None) -> None:
    """Take part in every command line; `spoken` has read the language before this."""
    del lang


@main.command(
    text=Sentence(
        en="Make the authority of NETWORK: an offline root and an issuing authority.",
        zh="建立某网络的认证机构：离线根与签发机构。",
    )
)
@click.argument("network")
@_option(
    "--out", type=_PATH, required=True, en="Folder of the new authority.", zh="新认证机构的文件夹。"
)
def init(network: str, out: Path) -> None:
    """Make an authority."""
    with _refusals():
        files = create_authority(out, network, _now())
        for path in (files.root, files.issuing):
            _report(path)
        _say(
            en=f"{files.root_key} is the root's key: move it to an offline medium now. "
            f"Hand {files.trust} to the other side, and compare its SHA-256 by telephone.",
            zh=f"{files.root_key} 为根密钥，请立即移至离线介质。"
            f"请将 {files.trust} 交给对方，并通过电话核对其 SHA-256。",
        )


@main.command(
    text=Sentence(
        en="Make STEM.key, which stays here, and STEM.csr for the authority.",
        zh="生成密钥（.key，留在本机）与证书申请（.csr，交认证机构）。",
    )
)
@click.argument("stem", type=_PATH)
@_option(
    "--label", en="What people call the request; has no effect on the certificate.",
    zh="申请的称呼，不影响证书。",
)  # fmt: skip
def csr(stem: Path, label: str | None) -> None:
    """Make a key and a request."""
    with _refusals():
        key, request = create_request(stem, label or stem.name)
        _say(
            en=f"Wrote {key} (keep it here) and {request} (send it to your network's authority).",
            zh=f"已写入 {key}（留在本机）和 {request}（发给本网络的认证机构）。",
        )


@main.command(
    name="issue",
    text=Sentence(
        en="Answer REQUEST with a certificate; only its key is taken from it.",
        zh="签发证书；只取申请文件中的公钥。",
    ),
)
@click.argument("request", type=_PATH)
@_option(
    "--authority",
    type=_PATH,
    required=True,
    en="Folder that `certs init` wrote.",
    zh="certs init 写出的文件夹。",
)
@_option(
    "--profile",
    type=click.Choice(list(PROFILES)),
    required=True,
    en="What it is for.",
    zh="证书用途。",
)
@_option(
    "--region",
    en="Region code, GB/T 2260 (gateway-tls, signer).",
    zh="行政区划代码，GB/T 2260（gateway-tls、signer）。",
)
@_option(
    "--organisation",
    en="Credit code or police code (gateway-tls, signer).",
    zh="统一社会信用代码或公安机关机构代码（gateway-tls、signer）。",
)
@_option(
    "--number", type=int, default=1, show_default=True, en="Which of its kind.", zh="同类序号。"
)
@_option(
    "--dns",
    multiple=True,
    en="DNS name (bridge-tls); may be repeated.",
    zh="DNS 名（bridge-tls），可多次给出。",
)
@_option(
    "--ip",
    multiple=True,
    en="IP address (bridge-tls); may be repeated.",
    zh="IP 地址（bridge-tls），可多次给出。",
)
@_option(
    "--days", type=int, en="A shorter life than the profile's.", zh="有效天数，只能短于规定期限。"
)
@_option(
    "--out", type=_PATH, required=True, en="Certificate file to write (PEM chain).",
    zh="要写出的证书文件（PEM 链）。",
)  # fmt: skip
def issue_command(
    *,
    request: Path,
    authority: Path,
    profile: ProfileName,
    region: str | None,
    organisation: str | None,
    number: int,
    dns: tuple[str, ...],
    ip: tuple[str, ...],
    days: int | None,
    out: Path,
) -> None:
    """Issue a certificate."""
    with _refusals():
        chosen, issuer = PROFILES[profile], open_authority(authority)
        holder: Name | Hosts
        if chosen.role is None or dns or ip:
            if region or organisation:
                _contradiction(profile)
            holder = Hosts(names=dns, addresses=ip)
        else:
            holder = Name(
                network=issuer.network,
                region=region or "",
                organisation=organisation or "",
                role=chosen.role,
                number=number,
            )
        require_absent(out)
        key = accept_request(read(request), chosen)
        leaf = issue(issuer, chosen, key, holder, _now(), days=days)
        _report(write_new(out, chain_pem(leaf, issuer)))


@main.command(
    text=Sentence(
        en="Say what every certificate in FILE is and whom it speaks for.",
        zh="查看文件中每份证书的类型与所代表的机构。",
    )
)
@click.argument("file", type=_PATH)
@_option("--json", "as_json", is_flag=True, en="The same as data.", zh="以 JSON 输出。")
def show(file: Path, as_json: bool) -> None:
    """Show certificates."""
    with _refusals():
        found = [describe(certificate, _now()) for certificate in read_certificates(file)]
        if as_json:
            click.echo(json.dumps([asdict(one) for one in found], ensure_ascii=False, indent=2))
            return
        for position, one in enumerate(found):
            if position:
                click.echo()
            for line in one.lines():
                click.echo(line.say(language()))


@main.command(
    name="log-key",
    text=Sentence(
        en="Make STEM.key, which signs a bridge's log, and STEM.vkey, which checks it.",
        zh="生成网桥日志的签名密钥（.key）与验证公钥（.vkey）。",
    ),
)
@click.argument("stem", type=_PATH)
@_option(
    "--name", required=True, en="Name of the log, such as bridge.example/log/1.",
    zh="日志名称，如 bridge.example/log/1。",
)  # fmt: skip
def log_key(stem: Path, name: str) -> None:
    """Make a log's keys."""
    with _refusals():
        key, verifier = create_log_key(stem, name)
        _say(
            en=f"Wrote {key} (keep it on the bridge) and {verifier} (hand it to both networks).",
            zh=f"已写入 {key}（留在网桥）和 {verifier}（交给两个网络）。",
        )


@main.command(
    text=Sentence(
        en="Make a whole set for development in FOLDER; never use it in earnest.",
        zh="在文件夹中生成开发用整套证书；切勿用于正式环境。",
    )
)
@click.argument("folder", type=_PATH)
@_option(
    "--desk", "desks", multiple=True, nargs=3, type=str, metavar="NETWORK REGION ORGANISATION",
    en="An organisation that takes part; may be repeated.", zh="参与的机构，可多次给出。",
)  # fmt: skip
def development(folder: Path, desks: tuple[tuple[str, str, str], ...]) -> None:
    """Make a set for development."""
    with _refusals():
        wanted = [Desk(network=n, region=r, organisation=o) for n, r, o in desks]
        made = build(folder, desks=wanted, now=_now())
        _report(made.bridge.certificate)
        for desk in made.desks.values():
            _report(desk.gateway.certificate)
            _report(desk.signer.certificate)
        _say(
            en=f"Authorities: {GOVERNMENT}, {POLICE}, {BRIDGE}. For development only.",
            zh=f"认证机构：{GOVERNMENT}、{POLICE}、{BRIDGE}。仅供开发使用。",
        )


def _now() -> datetime:
    return datetime.now(UTC)


def _say(*, en: str, zh: str) -> None:
    click.echo(Sentence(en=en, zh=zh).say(language()))


def _report(path: Path) -> None:
    """Say what was written, its fingerprint, and until when it holds."""
    leaf = read_certificates(path)[0]
    until = shown_time(leaf.not_valid_after_utc)
    _say(
        en=f"Wrote {path}, valid until {until}\n  SHA-256 {fingerprint(leaf)}",
        zh=f"已写入 {path}，有效期至 {until}\n  SHA-256 {fingerprint(leaf)}",
    )


def _contradiction(profile: ProfileName) -> None:
    raise Refused(
        en=f"--region and --organisation name a desk, --dns and --ip a bridge; a {profile} "
        "certificate cannot carry both. Leave out what does not fit the profile.",
        zh=f"--region 与 --organisation 用于机构，--dns 与 --ip 用于网桥，"
        f"{profile} 证书不能兼有。请去掉不符的选项。",
    )


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn a refusal into its sentence on standard error and exit code 1."""
    try:
        yield
    except Refused as refused:
        raise click.ClickException(refused.sentence.say(language())) from refused
