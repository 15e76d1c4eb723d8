"""``init``, ``issue``, ``fetch``, ``answer`` and ``inventory``: the authority's daily work."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from certs.answering import Answer, answer_all
from certs.authority import Holder, Hosts
from certs.cli.grammar import (
    FAILED,
    PATH,
    at_work,
    authority_options,
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
    system_user,
    text,
    token_of,
    token_options,
)
from certs.enrolment import deliver, enrol
from certs.errors import Refused
from certs.files import read, require_absent
from certs.founding import create_authority
from certs.journal import Journal, read_journal
from certs.names import Name, Witness
from certs.profiles import PROFILES, ProfileName
from certs.register import Issued, Register, State
from certs.screen import columns, shown_time, width
from certs.show import describe, fingerprint
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
        if dry_run:
            _would_issue(office.authority.network, profile, holder, days or chosen.days)
            return
        enrol(office, chosen, read(request), holder, out, days=days)
        report(out)


def _would_issue(network: str, profile: ProfileName, holder: Holder, days: int) -> None:
    name = (
        ", ".join((*holder.names, *holder.addresses)) if isinstance(holder, Hosts) else holder.uri
    )
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
def fetch(
    *, serial: str, authority: Path, passphrase_file: Path | None, operator: str | None, out: Path
) -> None:
    """Hand a certificate over once more."""
    with at_work(authority, operator, passphrase_file) as office:
        require_absent(out)
        deliver(office, office.register.find(serial).certificate, out)
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
@click.pass_context
def answer(
    context: click.Context,
    *,
    authority: Path,
    passphrase_file: Path | None,
    operator: str | None,
    inbox: Path,
    outbox: Path,
) -> None:
    """Answer renewals."""
    with at_work(authority, operator, passphrase_file) as office:
        answers = answer_all(office, inbox, outbox)
    for one in answers:
        _tell(one)
    if not answers:
        say(en=f"No request in {inbox}.", zh=f"{inbox} 中没有申请。")
    context.exit(FAILED if any(one.refused for one in answers) else 0)


def _tell(one: Answer) -> None:
    if one.certificate is None:
        why = one.refused.say(language()) if one.refused else ""
        say(en=f"Refused {one.request.name}: {why}", zh=f"已拒绝 {one.request.name}：{why}")
        return
    until = shown_time(one.certificate.not_valid_after_utc)
    name = ", ".join(describe(one.certificate, now()).names)
    say(en=f"Renewed {name} until {until}", zh=f"已更新 {name}，至 {until}")


@click.command(
    cls=Command,
    **text(
        "List what the authority issued, how it stands, and how many days are left.",
        "列出所签发的证书、其状态与剩余天数。",
    ),
)
@option("--authority", type=PATH, required=True, metavar="DIR", en="Folder that `certs init` wrote.",
        zh="certs init 写出的文件夹。")  # fmt: skip
@option(
    "--all",
    "everything",
    is_flag=True,
    en="Expired and renewed ones too.",
    zh="含已到期与已更新的证书。",
)
@option(
    "--authorities",
    is_flag=True,
    en="Its roots and issuing certificates instead.",
    zh="改列根证书与签发证书。",
)
@json_option
def inventory(*, authority: Path, everything: bool, authorities: bool, as_json: bool) -> None:
    """List certificates."""
    with refusals():
        journal = read_journal(authority)
    register, at = Register.of(journal), now()
    if authorities:
        _authorities(journal, register)
        return
    hidden = () if everything else (State.EXPIRED, State.RENEWED)
    found = [
        (one, state)
        for one in register.issued.values()
        if (state := register.state(one, at)) not in hidden
    ]
    if as_json:
        said = [
            {
                "serial": one.serial, "profile": one.profile, "state": state,
                "names": describe(one.certificate, at).names,
                "not_after": one.certificate.not_valid_after_utc.isoformat(),
                "days_left": (one.certificate.not_valid_after_utc - at).days,
                "issued_at": one.at.isoformat(), "issued_by": one.by,
            }
            for one, state in found
        ]  # fmt: skip
        click.echo(json.dumps(said, ensure_ascii=False, indent=2))
        return
    if not found:
        say(en="Nothing is in force.", zh="没有有效的证书。")
        return
    click.echo(_table([_HEAD[language()], *(_row(one, state) for one, state in found)]))


_HEAD = {
    "en": ("serial", "profile", "state", "days left", "for"),
    "zh": ("序列号", "类型", "状态", "剩余天数", "代表"),
}
_STATES = {
    "valid": "有效",
    "due": "应更新",
    "renewed": "已更新",
    "expired": "已到期",
    "revoked": "已吊销",
}


def _row(one: Issued, state: State) -> tuple[str, ...]:
    shown = describe(one.certificate, now())
    named = _STATES[state] if language() == "zh" else str(state)
    days = str(max(shown.days_left, 0))
    return (one.serial[:12], one.profile, named, days, ", ".join(shown.names))


def _table(rows: Sequence[Sequence[str]]) -> str:
    rooms = [max(map(width, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(columns(cell, room) for cell, room in zip(row, rooms, strict=True)).rstrip()
        for row in rows
    )


def _authorities(journal: Journal, register: Register) -> None:
    in_use = register.roots(journal.roots)
    for root in journal.roots:
        mark = ("root", "根") if root in in_use else ("retired root", "已停用的根")
        until = shown_time(root.not_valid_after_utc)
        say(en=f"{mark[0]}, until {until}\n  SHA-256 {fingerprint(root)}",
            zh=f"{mark[1]}，至 {until}\n  SHA-256 {fingerprint(root)}")  # fmt: skip
    for one in journal.issuing:
        mark = (
            ("issuing, in office", "签发证书（在用）")
            if one == journal.issuing[-1]
            else ("issuing, before", "签发证书（前任）")
        )
        until = shown_time(one.not_valid_after_utc)
        say(en=f"{mark[0]}, until {until}\n  SHA-256 {fingerprint(one)}",
            zh=f"{mark[1]}，至 {until}\n  SHA-256 {fingerprint(one)}")  # fmt: skip
