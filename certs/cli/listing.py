"""``inventory``: what the authority issued, and how it stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from certs.cli.grammar import PATH, json_option, now, option, refusals, say, show_json, text
from certs.journal import Journal, read_journal
from certs.register import Issued, Register, State
from certs.screen import columns, shown_time, width
from certs.show import describe, fingerprint
from certs.speech import Command, language


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
        if as_json:
            show_json(_authorities_data(journal, register))
        else:
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
        show_json(said)
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


def _authorities_data(journal: Journal, register: Register) -> dict[str, object]:
    in_use, at = register.roots(journal.roots), now()
    return {
        "roots": [
            {**asdict(describe(one, at)), "retired": one not in in_use} for one in journal.roots
        ],
        "issuing": [
            {**asdict(describe(one, at)), "in_office": one == journal.issuing[-1]}
            for one in journal.issuing
        ],
    }


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
