"""The commands ``deny add``, ``deny remove`` and ``deny list``: whom a bridge shuts out at once."""

from __future__ import annotations

import json
from datetime import UTC
from pathlib import Path

import click
from cryptography.hazmat.primitives import hashes

from certs.cli.grammar import PATH, json_option, now, option, refusals, say, system_user, text
from certs.denylist import Entry, changing, digits, make_entry, read_denylist
from certs.errors import Refused
from certs.files import read_certificates
from certs.screen import shown_time
from certs.speech import Group

_file_option = option(
    "--file", "path", type=PATH, default=Path("deny.toml"), show_default=True,
    en="The list: what the bridge's setting 'deny' names.", zh="禁止名单文件，即网桥配置项 deny 所指。",
)  # fmt: skip


@click.group(
    name="deny",
    cls=Group,
    **text(
        en="Shut a peer out of the bridge at once, without its authority's help: add, remove, list.",
        zh="立即禁止某一接入方，无需其认证机构配合：添加、移除、查看。",
    ),
)
def deny() -> None:
    """Whom the bridge shuts out."""


@deny.command(
    name="add",
    **text(
        en="Shut out one thing: a certificate, an issuer's serial number, an organisation, or a network. "
        "A bridge that watches the file obeys within a second, and cuts calls under way.",
        zh="禁止一项：证书、签发者的某一序列号、机构或整个网络。网桥会在一秒内执行，并切断进行中的调用。",
    ),
)
@option(
    "--certificate", type=PATH,
    en="A PEM file: its first certificate.", zh="PEM 文件，取其第一份证书。",
)  # fmt: skip
@option("--sha256", en="A certificate by its SHA-256.", zh="证书的 SHA-256。")
@option(
    "--issuer", en="An issuer's key id, with --serial.", zh="签发者密钥标识，与 --serial 合用。"
)
@option("--serial", en="A certificate's serial number.", zh="证书序列号。")
@option("--organisation", en="An organisation's code.", zh="机构代码。")
@option(
    "--network",
    en="A network; with --organisation only there.",
    zh="网络；与 --organisation 合用时仅限其中。",
)
@option("--reason", required=True, en="Why; others will read it.", zh="原因，供他人查阅。")
@option("--by", en="Who decided; else who is logged in.", zh="决定人，默认为当前登录用户。")
@_file_option
@json_option
def add(
    *,
    certificate: Path | None,
    sha256: str | None,
    issuer: str | None,
    serial: str | None,
    organisation: str | None,
    network: str | None,
    reason: str,
    by: str | None,
    path: Path,
    as_json: bool,
) -> None:
    """Shut one thing out."""
    with refusals():
        if certificate is not None and sha256 is not None:
            raise Refused(
                en="--certificate and --sha256 both name a certificate. Give one of them.",
                zh="--certificate 与 --sha256 均指定证书，请只给其一。",
            )
        if certificate is not None:
            sha256 = read_certificates(certificate)[0].fingerprint(hashes.SHA256()).hex()
        entry = make_entry(
            reason=reason,
            since=now().replace(microsecond=0),
            by=by or system_user(),
            certificate=digits(sha256 or ""),
            issuer=digits(issuer or ""),
            serial=digits(serial or "").lstrip("0"),
            organisation=organisation or "",
            network=network or "",
        )
        with changing(path) as entries:
            known = entries.get(entry.id)
            entries.setdefault(entry.id, entry)
    if as_json:
        click.echo(
            json.dumps({**_data(known or entry), "added": known is None}, ensure_ascii=False)
        )
    elif known is not None:
        say(
            en=f"{_thing(entry)} is shut out already, since {shown_time(known.since)} ({known.id}); "
            "nothing was changed.",
            zh=f"{_thing(entry)} 自 {shown_time(known.since)} 起已被禁止（{known.id}），未作改动。",
        )
    else:
        say(
            en=f"Shut out: {_thing(entry)} ({entry.id}). Look whether the bridge obeys: exchange status. "
            f"To take it back: exchange certs deny remove {entry.id} --file {path}",
            zh=f"已禁止：{_thing(entry)}（{entry.id}）。请用 exchange status 确认网桥已生效。"
            f"撤销：exchange certs deny remove {entry.id} --file {path}",
        )


@deny.command(
    name="remove",
    **text(
        en="Let the entry ID in again, as `deny list` shows it.",
        zh="撤销一项禁止（编号见 deny list）。",
    ),
)
@click.argument("entry_id", metavar="ID")
@_file_option
@json_option
def remove(*, entry_id: str, path: Path, as_json: bool) -> None:
    """Let somebody in again."""
    with refusals(), changing(path) as entries:
        if entry_id not in entries:
            raise Refused(
                en=f"{path} has no entry {entry_id}. See: exchange certs deny list --file {path}",
                zh=f"{path} 中没有编号 {entry_id}。请查看：exchange certs deny list --file {path}",
            )
        gone = entries.pop(entry_id)
    if as_json:
        click.echo(json.dumps({**_data(gone), "removed": True}, ensure_ascii=False))
    else:
        say(
            en=f"No longer shut out: {_thing(gone)}. Whatever else speaks against it (revoked, expired) "
            "still does.",
            zh=f"已撤销禁止：{_thing(gone)}。其他限制（已吊销、已过期）仍然有效。",
        )


@deny.command(
    name="list",
    **text(en="Show who is shut out, why and since when.", zh="查看禁止名单。"),
)
@_file_option
@json_option
def list_command(*, path: Path, as_json: bool) -> None:
    """Show who is shut out."""
    with refusals():
        entries = read_denylist(path).entries
    if as_json:
        click.echo(json.dumps([_data(entry) for entry in entries], ensure_ascii=False, indent=2))
        return
    if not entries:
        say(en=f"{path} shuts nobody out.", zh=f"{path} 未禁止任何接入方。")
    for entry in entries:
        click.echo(f"{entry.id}  {_thing(entry)}")
        say(
            en=f"          since {shown_time(entry.since)} by {entry.by}: {entry.reason}",
            zh=f"          自 {shown_time(entry.since)} 起，{entry.by}：{entry.reason}",
        )


def _data(entry: Entry) -> dict[str, str]:
    since = entry.since.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return {"id": entry.id, **entry.thing, "reason": entry.reason, "since": since, "by": entry.by}


def _thing(entry: Entry) -> str:
    return " ".join(f"{key} {value}" for key, value in entry.thing.items())
