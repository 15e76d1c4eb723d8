"""``init``, ``issue``, ``fetch`` and ``answer``: the authority's daily work."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from certs.answering import Answer, answer_all
from certs.authority import Holder, Hosts
from certs.cli.grammar import (
    FAILED,
    PATH,
    at_work,
    authority_options,
    both,
    chosen_by,
    encrypt_option,
    json_option,
    now,
    option,
    passphrase_option,
    refusals,
    report,
    root_key_option,
    say,
    show_json,
    system_user,
    text,
    token_of,
    token_options,
    written,
)
from certs.enrolment import deliver, enrol
from certs.errors import Refused
from certs.files import read, require_absent
from certs.founding import create_authority
from certs.names import Name, Witness
from certs.profiles import PROFILES, ProfileName
from certs.screen import shown_time
from certs.show import describe
from certs.speech import Command, language


@click.command(
    cls=Command,
    **text(
        "Make the authority of NETWORK: an offline root and an issuing authority.",
        "建立某网络的认证机构：离线根与签发机构。",
    ),
)
@click.argument("network")
@option(
    "--out", type=PATH, required=True, en="Folder of the new authority.", zh="新认证机构的文件夹。"
)
@encrypt_option
@passphrase_option
@root_key_option
@token_options
@option("--operator", metavar="NAME", en="Who acts, for the journal.", zh="操作人，记入记录。")
@json_option
def init(
    *,
    network: str,
    out: Path,
    encrypt: bool,
    passphrase_file: Path | None,
    root_passphrase_file: Path | None,
    token: str | None,
    token_module: Path | None,
    operator: str | None,
    as_json: bool,
) -> None:
    """Make an authority."""
    inside = token_of(token, token_module)
    issuing_locked = encrypt or passphrase_file is not None or inside is not None
    root_locked = encrypt or root_passphrase_file is not None
    with refusals():
        files = create_authority(
            out, network, now(), by=operator or system_user(),
            passphrase=chosen_by(passphrase_file) if issuing_locked else None,
            token=inside,
            root_passphrase=chosen_by(root_passphrase_file) if root_locked else None,
        )  # fmt: skip
        if as_json:
            root, below = written(files.root), written(files.issuing)
            said = {"network": network, "folder": str(out), "root_key": str(files.root_key)}
            show_json({**said, "root": root, "issuing": below})
            return
        for path in (files.root, files.issuing):
            report(path)
        say(
            en=f"{files.root_key} is the root's key: move it to an offline medium now, and make a second "
            "copy on another. Hand your first bundle to the other side: certs trust export",
            zh=f"{files.root_key} 为根密钥，请立即移至离线介质，并另备一份副本。"
            "请向对方提供首个信任包：certs trust export",
        )


@click.command(
    cls=Command,
    name="issue",
    **text(
        "Answer REQUEST with a certificate; only its key is taken from it.",
        "签发证书；只取申请文件中的公钥。",
    ),
)
@click.argument("request", type=PATH)
@authority_options
@option(
    "--profile",
    type=click.Choice(list(PROFILES)),
    required=True,
    en="What it is for.",
    zh="证书用途。",
)
@option(
    "--region", en="Region code, GB/T 2260 (gateway-tls, signer).",
    zh="行政区划代码，GB/T 2260（gateway-tls、signer）。",
)  # fmt: skip
@option(
    "--organisation", en="Credit code or police code (gateway-tls, signer).",
    zh="统一社会信用代码或公安机关机构代码（gateway-tls、signer）。",
)  # fmt: skip
@option(
    "--number", type=int, default=1, show_default=True, en="Which of its kind.", zh="同类序号。"
)
@option(
    "--dns",
    multiple=True,
    en="DNS name (bridge-tls); may be repeated.",
    zh="DNS 名（bridge-tls），可多次给出。",
)
@option(
    "--ip",
    multiple=True,
    en="IP address (bridge-tls); may be repeated.",
    zh="IP 地址（bridge-tls），可多次给出。",
)
@option(
    "--days", type=int, en="A shorter life than the profile's.", zh="有效天数，只能短于规定期限。"
)
@option(
    "--out", type=PATH, required=True, en="Certificate file to write (PEM chain).",
    zh="要写出的证书文件（PEM 链）。",
)  # fmt: skip
@option("--dry-run", is_flag=True, en="Only say what would be issued.", zh="只说明将签发什么。")
@json_option
def issue(
    *,
    request: Path,
    authority: Path,
    passphrase_file: Path | None,
    operator: str | None,
    profile: ProfileName,
    region: str | None,
    organisation: str | None,
    number: int,
    dns: tuple[str, ...],
    ip: tuple[str, ...],
    days: int | None,
    out: Path,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Issue a certificate."""
    chosen = PROFILES[profile]
    with at_work(authority, operator, passphrase_file) as office:
        network = office.authority.network
        holder: Holder
        if (chosen.role is None or dns or ip) and (region or organisation):
            _contradiction(profile)
        if dns or ip or profile == "bridge-tls":
            holder = Hosts(names=dns, addresses=ip)
        elif chosen.role is None:
            holder = Witness(network=network, number=number)
        else:
            holder = Name(
                network=network, region=region or "", organisation=organisation or "",
                role=chosen.role, number=number,
            )  # fmt: skip
        require_absent(out)
        if not dry_run:
            enrol(office, chosen, read(request), holder, out, days=days)
        if as_json:
            show_json(
                {
                    "issued": not dry_run,
                    "network": network,
                    "profile": profile,
                    "names": _names(holder),
                    "certificate": None if dry_run else written(out),
                }
            )
        elif dry_run:
            _would_issue(network, profile, holder, days or chosen.days)
        else:
            report(out)


def _names(holder: Holder) -> list[str]:
    return [*holder.names, *holder.addresses] if isinstance(holder, Hosts) else [holder.uri]


def _would_issue(network: str, profile: ProfileName, holder: Holder, days: int) -> None:
    name = ", ".join(_names(holder))
    say(
        en=f"Would issue by {network}: {profile} for {name}, {days} days. Nothing was done.",
        zh=f"将由 {network} 签发：{profile}，{name}，{days} 天。未作任何改动。",
    )


def _contradiction(profile: ProfileName) -> None:
    raise Refused(
        en=f"--region and --organisation name a desk, --dns and --ip a bridge, a witness has but its "
        f"number; a {profile} certificate cannot carry both. Leave out what does not fit the profile.",
        zh=f"--region 与 --organisation 用于机构，--dns 与 --ip 用于网桥，见证者只有序号，"
        f"{profile} 证书不能兼有。请去掉不符的选项。",
    )


@click.command(
    cls=Command,
    **text(
        "Write a certificate that was issued before once more; SERIAL may be its beginning.",
        "重新写出已签发的证书；序列号可只给开头部分。",
    ),
)
@click.argument("serial")
@authority_options
@option("--out", type=PATH, required=True, en="Certificate file to write.", zh="要写出的证书文件。")
@json_option
def fetch(
    *,
    serial: str,
    authority: Path,
    passphrase_file: Path | None,
    operator: str | None,
    out: Path,
    as_json: bool,
) -> None:
    """Hand a certificate over once more."""
    with at_work(authority, operator, passphrase_file) as office:
        require_absent(out)
        deliver(office, office.register.find(serial).certificate, out)
        if as_json:
            show_json({"certificate": written(out)})
        else:
            report(out)


@click.command(
    cls=Command,
    **text(
        "Answer every renewal request in the inbox; run it from a timer.\n"
        "Exit: 0 all answered or none there, 1 at least one refused.",
        "答复收件夹中的全部更新申请；可由定时器执行。\n退出码：0 全部答复或无申请，1 有申请被拒绝。",
    ),
)
@authority_options
@option(
    "--inbox",
    type=PATH,
    required=True,
    en="Where requests arrive.",
    zh="申请收件夹。",
    metavar="DIR",
)
@option(
    "--outbox", type=PATH, required=True, en="Where answers go.", zh="答复发件夹。", metavar="DIR"
)
@json_option
@click.pass_context
def answer(
    context: click.Context,
    *,
    authority: Path,
    passphrase_file: Path | None,
    operator: str | None,
    inbox: Path,
    outbox: Path,
    as_json: bool,
) -> None:
    """Answer renewals."""
    with at_work(authority, operator, passphrase_file) as office:
        answers = answer_all(office, inbox, outbox)
    if as_json:
        show_json({"answers": [_data(one) for one in answers]})
    for one in answers if not as_json else ():
        _tell(one)
    if not answers and not as_json:
        say(en=f"No request in {inbox}.", zh=f"{inbox} 中没有申请。")
    context.exit(FAILED if any(one.refused for one in answers) else 0)


def _data(one: Answer) -> dict[str, object]:
    given = None if one.certificate is None else asdict(describe(one.certificate, now()))
    return {"request": str(one.request), "certificate": given, "refused": both(one.refused)}


def _tell(one: Answer) -> None:
    if one.certificate is None:
        why = one.refused.say(language()) if one.refused else ""
        say(en=f"Refused {one.request.name}: {why}", zh=f"已拒绝 {one.request.name}：{why}")
        return
    until = shown_time(one.certificate.not_valid_after_utc)
    name = ", ".join(describe(one.certificate, now()).names)
    say(en=f"Renewed {name} until {until}", zh=f"已更新 {name}，至 {until}")
