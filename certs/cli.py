"""The commands: ``init``, ``csr``, ``issue``, ``show``, ``log-key`` and ``development``."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click

from certs.authority import Hosts, chain_pem, create_authority, issue, open_authority
from certs.csr import accept_request, create_request
from certs.development import BRIDGE, GOVERNMENT, POLICE, Desk, build
from certs.errors import Refused, Sentence
from certs.files import read, read_certificates, require_absent, write_new
from certs.logkey import create_log_key
from certs.names import Name
from certs.profiles import PROFILES, ProfileName
from certs.show import describe, fingerprint

_PATH = click.Path(path_type=Path)
_LANGUAGES = click.Choice(["en", "zh"])


@click.group(name="certs")
@click.option("--lang", type=_LANGUAGES, help="Language of the output; else from the locale.")
@click.pass_context
def main(context: click.Context, lang: str | None) -> None:
    """Certificates of the two networks: authorities, requests, certificates (证书管理)."""
    context.ensure_object(dict)
    if lang is None and "lang" not in context.obj:
        spoken = os.environ.get("LC_ALL") or os.environ.get("LANG") or ""
        lang = "zh" if spoken.startswith("zh") else "en"
    if lang is not None:
        context.obj["lang"] = lang


@main.command()
@click.argument("network")
@click.option("--out", type=_PATH, required=True, help="Folder of the new authority.")
def init(network: str, out: Path) -> None:
    """Make the authority of NETWORK: an offline root and an issuing authority (建立认证机构)."""
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


@main.command()
@click.argument("stem", type=_PATH)
@click.option("--label", help="What people call the request; has no effect on the certificate.")
def csr(stem: Path, label: str | None) -> None:
    """Make STEM.key, which stays here, and STEM.csr for the authority (生成密钥与申请)."""
    with _refusals():
        key, request = create_request(stem, label or stem.name)
        _say(
            en=f"Wrote {key} (keep it here) and {request} (send it to your network's authority).",
            zh=f"已写入 {key}（留在本机）和 {request}（发给本网络的认证机构）。",
        )


@main.command(name="issue")
@click.argument("request", type=_PATH)
@click.option("--authority", type=_PATH, required=True, help="Folder that `certs init` wrote.")
@click.option("--profile", type=click.Choice(list(PROFILES)), required=True)
@click.option("--region", help="Region code, GB/T 2260 (gateway-tls, signer).")
@click.option("--organisation", help="Credit code or police code (gateway-tls, signer).")
@click.option("--number", type=int, default=1, show_default=True, help="Which of its kind.")
@click.option("--dns", multiple=True, help="DNS name (bridge-tls); may be repeated.")
@click.option("--ip", multiple=True, help="IP address (bridge-tls); may be repeated.")
@click.option("--days", type=int, help="A shorter life than the profile's.")
@click.option("--out", type=_PATH, required=True, help="Certificate file to write (PEM chain).")
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
    """Answer REQUEST with a certificate; only its key is taken from it (签发证书)."""
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


@main.command()
@click.argument("file", type=_PATH)
@click.option("--json", "as_json", is_flag=True, help="The same as data.")
def show(file: Path, as_json: bool) -> None:
    """Say what every certificate in FILE is and whom it speaks for (查看证书)."""
    with _refusals():
        found = [describe(certificate, _now()) for certificate in read_certificates(file)]
        if as_json:
            click.echo(json.dumps([asdict(one) for one in found], ensure_ascii=False, indent=2))
            return
        for position, one in enumerate(found):
            if position:
                click.echo()
            for line in one.lines():
                click.echo(line.say(_language()))


@main.command(name="log-key")
@click.argument("stem", type=_PATH)
@click.option("--name", required=True, help="Name of the log, such as bridge.example/log/1.")
def log_key(stem: Path, name: str) -> None:
    """Make STEM.key, which signs a bridge's log, and STEM.vkey, which checks it (日志密钥)."""
    with _refusals():
        key, verifier = create_log_key(stem, name)
        _say(
            en=f"Wrote {key} (keep it on the bridge) and {verifier} (hand it to both networks).",
            zh=f"已写入 {key}（留在网桥）和 {verifier}（交给两个网络）。",
        )


@main.command()
@click.argument("folder", type=_PATH)
@click.option(
    "--desk", "desks", multiple=True, nargs=3, metavar="NETWORK REGION ORGANISATION",
    help="An organisation that takes part; may be repeated.",
)  # fmt: skip
def development(folder: Path, desks: tuple[tuple[str, str, str], ...]) -> None:
    """Make a whole set for development in FOLDER; never use it in earnest (开发用整套证书)."""
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


def _language() -> str:
    return str((click.get_current_context().obj or {}).get("lang", "en"))


def _say(*, en: str, zh: str) -> None:
    click.echo(Sentence(en=en, zh=zh).say(_language()))


def _report(path: Path) -> None:
    """Say what was written, its fingerprint, and until when it holds."""
    leaf = read_certificates(path)[0]
    until = leaf.not_valid_after_utc.strftime("%Y-%m-%d %H:%M UTC")
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
        raise click.ClickException(refused.sentence.say(_language())) from refused
