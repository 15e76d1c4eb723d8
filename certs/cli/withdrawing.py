"""``revoke`` and ``crl``: withdrawing a certificate, and the lists that tell everybody."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import click

from certs.cli.grammar import (
    PATH,
    at_work,
    authority_options,
    days_option,
    json_option,
    now,
    opened_by,
    option,
    refusals,
    root_key_option,
    say,
    show_json,
    text,
    trust_option,
)
from certs.crl import REASONS
from certs.files import read, replace
from certs.office import Office
from certs.revocation import make_lists
from certs.revocation import revoke as withdraw
from certs.screen import from_local, shown_time
from certs.show import describe
from certs.speech import Command, Group
from certs.trust import import_lists

_OUT = option(
    "--out", type=PATH, metavar="FILE", en="Another place to write the lists to.", zh="另存吊销列表的文件。",
)  # fmt: skip
_ROOT_KEY = option(
    "--root-key", type=PATH, metavar="FILE",
    en="The root's key, needed when an issuing certificate is revoked, and to renew the root's list.",
    zh="根密钥；吊销签发证书或更新根的吊销列表时需要。",
)  # fmt: skip
_AFTER = option(
    "--after", type=click.IntRange(0), default=0, metavar="NUMBER",
    en="Number the list above this one: the last that peers hold, after a restore from backup.",
    zh="列表编号须大于此数：从备份恢复后，填对方所持的最后编号。",
)  # fmt: skip


@click.command(
    cls=Command,
    **text(
        "Withdraw a certificate and sign the list that says so.\n"
        "CERTIFICATE is its file or the beginning of its serial number. Carry the list to every peer; to "
        "stop a stolen key within a second, the relying side also puts it on its deny list.",
        "吊销证书，并签发含此吊销的列表。\n证书可为文件，或序列号开头部分。请将列表送交各对方；如需一秒内阻止被盗密钥，"
        "由依赖方将其列入拒绝名单。",
    ),
)
@click.argument("certificate")
@authority_options
@option("--reason", type=click.Choice(list(REASONS)), required=True, en="Why.", zh="吊销原因。")
@option(
    "--since", type=click.DateTime(["%Y-%m-%dT%H:%M", "%Y-%m-%d"]), metavar="TIME",
    en="From when it counts no more, if earlier than now (local time).", zh="自何时起失效（当地时间），默认为现在。",
)  # fmt: skip
@days_option
@_ROOT_KEY
@root_key_option
@_OUT
@json_option
def revoke(
    *,
    certificate: str,
    authority: Path,
    passphrase_file: Path | None,
    operator: str | None,
    reason: str,
    since: datetime | None,
    days: int,
    root_key: Path | None,
    root_passphrase_file: Path | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Revoke, and make the lists."""
    with at_work(authority, operator, passphrase_file) as office:
        gone = withdraw(office, certificate, reason, from_local(since) if since else None)
        shown, serial = describe(gone, now()), f"{gone.serial_number:x}"
        names = ", ".join(shown.names)
        if not as_json:
            say(en=f"Revoked {names} (serial {serial}).", zh=f"已吊销 {names}（序列号 {serial}）。")
        made = None
        try:
            made = _make(
                office, days=days, after=0, root_key=root_key,
                root_passphrase_file=root_passphrase_file, out=out,
            )  # fmt: skip
        finally:  # it is revoked, in the journal, also where its list cannot be made or written
            if as_json:
                gone_ = {"serial": serial, "names": shown.names, "reason": reason}
                show_json({"revoked": gone_, "list": made})
        if not as_json:
            _tell(made)


@click.group(
    cls=Group,
    **text(
        "Revocation lists: make them, take the other network's.", "吊销列表：签发，以及导入对方的。"
    ),
)
def crl() -> None:
    """Revocation lists."""


@crl.command(
    name="make",
    **text(
        "Sign the authority's revocation lists anew; run it from a timer, well before they end.",
        "重新签发吊销列表；请由定时器在失效前执行。",
    ),
)
@authority_options
@days_option
@_AFTER
@_ROOT_KEY
@root_key_option
@_OUT
@json_option
def make(
    *,
    authority: Path,
    passphrase_file: Path | None,
    operator: str | None,
    days: int,
    after: int,
    root_key: Path | None,
    root_passphrase_file: Path | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Make lists."""
    with at_work(authority, operator, passphrase_file) as office:
        made = _make(
            office, days=days, after=after, root_key=root_key,
            root_passphrase_file=root_passphrase_file, out=out,
        )  # fmt: skip
        if as_json:
            show_json({"list": made})
        else:
            _tell(made)


def _make(
    office: Office,
    *,
    days: int,
    after: int,
    root_key: Path | None,
    root_passphrase_file: Path | None,
    out: Path | None,
) -> dict[str, Any]:
    """Make the lists; return what was written as data."""
    path = make_lists(
        office, days=days, after=after, root_key=root_key,
        root_passphrase=opened_by(root_passphrase_file),
    )  # fmt: skip
    if out is not None:
        path = replace(out, read(path))
    register = office.register
    until = register.crl_until or office.now
    return {
        "file": str(path),
        "number": register.crl_number,
        "revoked": len(register.revoked),
        "until": until.isoformat(),
    }


def _tell(made: dict[str, Any]) -> None:
    path, number, revoked = made["file"], made["number"], made["revoked"]
    until = shown_time(datetime.fromisoformat(made["until"]))
    say(
        en=f"Wrote {path}: list {number}, {revoked} revoked, until {until}. "
        "Carry it to every peer: certs crl import",
        zh=f"已写入 {path}：第 {number} 号列表，吊销 {revoked} 份，至 {until}。"
        "请送交各对方：certs crl import",
    )


@crl.command(
    name="import",
    **text(
        "Put another network's lists in force, if they are signed by it, current, and not older.",
        "导入对方网络的吊销列表；须由其签名、未失效且不旧于现行列表。",
    ),
)
@click.argument("file", type=PATH)
@option("--network", required=True, en="Whose lists they are.", zh="列表所属网络。")
@trust_option
@json_option
def take(*, file: Path, network: str, folder: Path, as_json: bool) -> None:
    """Import lists."""
    with refusals():
        found = import_lists(folder, network, file, now())
        if as_json:
            rows = [
                {"number": one.number, "revoked": len(one.crl), "until": one.until.isoformat()}
                for one in found
            ]
            show_json({"network": network, "lists": rows})
            return
        for one in found:
            until = shown_time(one.until)
            say(
                en=f"In force for {network}: list {one.number}, {len(one.crl)} revoked, until {until}.",
                zh=f"{network} 的列表已生效：第 {one.number} 号，吊销 {len(one.crl)} 份，至 {until}。",
            )
