"""``trust``: bundles out, bundles in, and the two people who compare."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from certs import trust as held
from certs.bundle import Bundle, export_bundle, read_bundle
from certs.cli.grammar import (
    PATH,
    at_work,
    authority_options,
    both,
    days_option,
    json_option,
    now,
    option,
    refusals,
    say,
    show_json,
    text,
    trust_option,
)
from certs.errors import Refused, Sentence
from certs.files import read, write_new
from certs.journal import read_journal
from certs.screen import shown_time
from certs.show import fingerprint
from certs.speech import Group, language

_MY_AUTHORITY = option(
    "--authority", type=PATH, required=True, metavar="DIR",
    en="Folder that `certs init` wrote.", zh="certs init 写出的文件夹。",
)  # fmt: skip


@click.group(
    cls=Group,
    **text(
        "Trust between the networks: bundles that count once two people have compared them.",
        "网络间信任：信任包须经两人核对指纹后方才生效。",
    ),
)
def trust() -> None:
    """Trust."""


@trust.command(
    name="export",
    **text(
        "Write this network's next bundle, with fresh revocation lists, and its fingerprint.",
        "写出本网络的下一个信任包（含最新吊销列表）及其指纹。",
    ),
)
@authority_options
@option(
    "--verifier", "verifiers", type=PATH, multiple=True, metavar="FILE.vkey",
    en="Verifier key of a log or witness of this network; may be repeated.", zh="本网络日志或见证者的验证公钥，可多次给出。",
)  # fmt: skip
@days_option
@option("--out", type=PATH, required=True, en="Bundle file to write.", zh="要写出的信任包文件。")
@json_option
def export(
    *,
    authority: Path,
    passphrase_file: Path | None,
    operator: str | None,
    verifiers: tuple[Path, ...],
    days: int,
    out: Path,
    as_json: bool,
) -> None:
    """Export a bundle."""
    with at_work(authority, operator, passphrase_file) as office:
        if out.exists():
            raise Refused(en=f"{out} exists and is not overwritten. Choose another name.",
                          zh=f"{out} 已存在，不予覆盖。请另选名称。")  # fmt: skip
        lines = [
            line
            for path in verifiers
            for line in read(path).decode("utf-8", "replace").splitlines()
            if line.strip()
        ]
        bundle = export_bundle(office, lines, days)
        write_new(out, bundle.statement.line() + b"\n")
        if as_json:
            show_json(_ours(bundle, out))
            return
        say(en=f"Wrote {out}: bundle {bundle.number} of {bundle.network}.",
            zh=f"已写入 {out}：{bundle.network} 的第 {bundle.number} 号信任包。")  # fmt: skip
        _read_out(bundle)


@trust.command(
    name="fingerprint",
    **text(
        "Show the fingerprint of a bundle that this authority exported, to read it out.",
        "显示本机构所导出信任包的指纹，供向对方宣读。",
    ),
)
@click.argument("bundle", type=PATH)
@_MY_AUTHORITY
@json_option
def fingerprint_(*, bundle: Path, authority: Path, as_json: bool) -> None:
    """Show our own bundle's fingerprint; nobody else's, so that it cannot be typed off the screen."""
    with refusals():
        journal = read_journal(authority)
        found = read_bundle(bundle, now())
        ours = {act.facts.get("bundle") for act in journal.acts if act.act == "trust-export"}
        if found.digest not in ours:
            raise Refused(
                en=f"{bundle} was not exported by this authority, or was changed since. Its fingerprint is "
                "read out by those who exported it.",
                zh=f"{bundle} 不是本机构导出的，或此后被改动。其指纹应由导出方宣读。",
            )
        if as_json:
            show_json(_ours(found, bundle))
        else:
            _read_out(found)


def _ours(bundle: Bundle, file: Path) -> dict[str, object]:
    """Return a bundle of our own as data; of another's nobody is shown the fingerprint."""
    return {
        "file": str(file),
        "network": bundle.network,
        "bundle": bundle.number,
        "fingerprint": bundle.fingerprint,
    }


def _read_out(bundle: Bundle) -> None:
    say(
        en="Read out to two persons of the other side, one after the other, over a way that this file does "
        f"not take (in person, by a known telephone number):\n  {bundle.fingerprint}",
        zh=f"请通过与本文件不同的途径（当面或已知电话号码），先后向对方两人宣读：\n  {bundle.fingerprint}",
    )


@trust.command(
    name="import",
    **text(
        "Lay another network's bundle up for confirmation; nothing changes yet.",
        "登记对方网络的信任包以待确认；此时尚不生效。",
    ),
)
@click.argument("bundle", type=PATH)
@authority_options
@trust_option
@json_option
def take(
    *,
    bundle: Path,
    authority: Path,
    passphrase_file: Path | None,
    operator: str | None,
    folder: Path,
    as_json: bool,
) -> None:
    """Import a bundle."""
    with at_work(authority, operator, passphrase_file) as office:
        found, changes = held.import_bundle(office, folder, bundle)
        if as_json:
            show_json({**_theirs(found, changes), "in_force": False})
            return
        _show(changes)
        say(
            en=f"Bundle {found.number} of {found.network} does not count yet. Two persons each call the "
            f"other side, let them read out the fingerprint, and type it: certs trust confirm {found.network}",
            zh=f"{found.network} 的第 {found.number} 号信任包尚未生效。须由两人分别致电对方，听其宣读指纹并键入："
            f"certs trust confirm {found.network}",
        )


@trust.command(
    name="diff",
    **text(
        "Show what a bundle would change if it came into force.", "显示信任包生效后会有哪些变化。",
    ),
)  # fmt: skip
@click.argument("bundle", type=PATH)
@trust_option
@json_option
def diff(*, bundle: Path, folder: Path, as_json: bool) -> None:
    """Compare a bundle."""
    with refusals():
        found = read_bundle(bundle, now())
        changes = held.compare(folder, found, now())
        if as_json:
            show_json(_theirs(found, changes))
        else:
            _show(changes)


def _theirs(bundle: Bundle, changes: list[Sentence]) -> dict[str, object]:
    return {
        "network": bundle.network,
        "bundle": bundle.number,
        "changes": [both(one) for one in changes],
    }


@trust.command(
    name="confirm",
    **text(
        "Confirm the bundle of NETWORK as one of two persons, by the fingerprint you were told.",
        "以两名确认人之一的身份，按对方宣读的指纹确认该网络的信任包。",
    ),
)
@click.argument("network")
@authority_options
@trust_option
@option("--person", required=True, metavar="NAME", en="Who confirms.", zh="确认人姓名。")
@option(
    "--fingerprint", metavar="DIGITS", en="The eight groups as they were read out; else you are asked.",
    zh="对方宣读的八组数字；否则当场询问。",
)  # fmt: skip
@json_option
def confirm(
    *,
    network: str,
    authority: Path,
    passphrase_file: Path | None,
    operator: str | None,
    folder: Path,
    person: str,
    fingerprint: str | None,
    as_json: bool,
) -> None:
    """Confirm a bundle."""
    with at_work(authority, operator, passphrase_file) as office:
        pending = held.confirm(office, folder, network, person, fingerprint or _typed())
        number = pending.bundle.number
        if as_json:
            show_json(
                {
                    "network": network,
                    "bundle": number,
                    "confirmed_by": list(pending.persons),
                    "in_force": len(pending.persons) >= held.CONFIRMATIONS,
                }
            )
            return
        if len(pending.persons) < held.CONFIRMATIONS:
            say(
                en=f"{pending.persons[-1]} has confirmed bundle {number} of {network}. It counts when a second "
                "person has.",
                zh=f"{pending.persons[-1]} 已确认 {network} 的第 {number} 号信任包。待第二人确认后生效。",
            )
            return
        say(
            en=f"In force: bundle {number} of {network}, confirmed by {', '.join(pending.persons)}.",
            zh=f"已生效：{network} 的第 {number} 号信任包，确认人：{'、'.join(pending.persons)}。",
        )


def _typed() -> str:
    if not sys.stdin.isatty():
        raise Refused(
            en="There is nobody to type the fingerprint. Give --fingerprint.",
            zh="无法在终端键入指纹。请给出 --fingerprint。",
        )
    wish = Sentence(en="Fingerprint as read out by the other side", zh="对方宣读的指纹")
    return str(click.prompt(wish.say(language())))


@trust.command(
    name="show",
    **text(
        "Say whom we trust, since which bundle, and what waits.",
        "查看信任哪些网络、所据信任包与待确认事项。",
    ),
)
@trust_option
@json_option
def show(*, folder: Path, as_json: bool) -> None:
    """Show the trust folder."""
    with refusals():
        found = [held.trusted(folder, network, now()) for network in held.networks(folder)]
        if as_json:
            show_json([_data(one, folder) for one in found])
            return
        if not found:
            say(en=f"Nobody is trusted in {folder}.", zh=f"{folder} 中未信任任何网络。")
        for one in found:
            _show(_lines(one, folder))


def _data(one: held.Trusted, folder: Path) -> dict[str, object]:
    bundle, pending = one.bundle, one.pending
    lists = held.installed_lists(folder, one.network, now())
    return {
        "network": one.network,
        "bundle": bundle.number if bundle else None,
        "roots": [fingerprint(root) for root in bundle.roots] if bundle else [],
        "lists": [
            {"number": each.number, "revoked": len(each.crl), "until": each.until.isoformat()}
            for each in lists
        ],
        "verifiers": list(bundle.verifiers) if bundle else [],
        "pending": pending.bundle.number if pending else None,
        "confirmed_by": list(pending.persons) if pending else [],
    }


def _lines(one: held.Trusted, folder: Path) -> list[Sentence]:
    said = [Sentence(en=f"{one.network}: not trusted", zh=f"{one.network}：未信任")]
    if one.bundle is not None:
        made = shown_time(one.bundle.made_at)
        said = [Sentence(en=f"{one.network}: bundle {one.bundle.number} of {made}",
                         zh=f"{one.network}：第 {one.bundle.number} 号信任包（{made}）")]  # fmt: skip
        for root in one.bundle.roots:
            until = shown_time(root.not_valid_after_utc)
            said.append(Sentence(en=f"  root {fingerprint(root)}, until {until}",
                                 zh=f"  根证书 {fingerprint(root)}，至 {until}"))  # fmt: skip
        for each in held.installed_lists(folder, one.network, now()):
            until = shown_time(each.until)
            said.append(Sentence(en=f"  revocation list {each.number}: {len(each.crl)} revoked, until {until}",
                                 zh=f"  第 {each.number} 号吊销列表：吊销 {len(each.crl)} 份，至 {until}"))  # fmt: skip
        said += [
            Sentence(en=f"  verifier key {key}", zh=f"  验证公钥 {key}")
            for key in one.bundle.verifiers
        ]
    if one.pending is not None:
        given = ", ".join(one.pending.persons)
        said.append(Sentence(
            en=f"  waits: bundle {one.pending.bundle.number}, confirmed by {given or 'nobody'}",
            zh=f"  待确认：第 {one.pending.bundle.number} 号信任包，已确认：{given or '无'}",
        ))  # fmt: skip
    return said


def _show(lines: list[Sentence]) -> None:
    for line in lines:
        click.echo(line.say(language()))
