"""``acts``: what the authority did, and whether the record is whole."""

from __future__ import annotations

from pathlib import Path

import click

from certs.cli.grammar import (
    FAILED,
    PATH,
    authority_options,
    json_option,
    now,
    opened_by,
    option,
    refusals,
    say,
    show_json,
    system_user,
    text,
)
from certs.errors import Refused
from certs.journal import ACTS, Act, Journal, parse_journal, read_journal
from certs.office import office
from certs.screen import shown_time
from certs.show import describe, fingerprint
from certs.speech import Group

_FOLDER = option(
    "--authority", type=PATH, required=True, metavar="DIR",
    en="Folder of the authority, or its acts.jsonl alone.", zh="认证机构文件夹，或单独的 acts.jsonl。",
)  # fmt: skip


@click.group(
    cls=Group,
    **text("What the authority did: a signed, chained record.", "操作记录：逐条签名并相互衔接。"),
)
def acts() -> None:
    """Look at acts."""


@acts.command(name="list", **text("List the acts, oldest first.", "按时间列出操作记录。"))
@_FOLDER
@json_option
def list_(*, authority: Path, as_json: bool) -> None:
    """List acts."""
    with refusals():
        journal = _journal(authority)
    if as_json:
        show_json([act.facts for act in journal.acts])
        return
    for act in journal.acts:
        click.echo(
            f"{act.number:>5}  {shown_time(act.at)}  {act.by}  {act.act}  {_about(act)}".rstrip()
        )


def _about(act: Act) -> str:
    """Return the one thing about *act* that a reader of the list looks for."""
    facts = act.facts
    if act.act in ("issue", "renew"):
        from certs import pem  # noqa: PLC0415 - only where certificates are listed

        (certificate,) = pem.certificates("act", facts["certificate"].encode())
        shown = describe(certificate, act.at)
        return f"{shown.serial[:12]} {', '.join(shown.names)}"
    keys = ("serial", "reason", "crl_number", "network_of", "bundle_number", "person", "why")
    return " ".join(str(facts[key]) for key in keys if key in facts)


@acts.command(
    name="verify",
    **text(
        "Check every signature and the chain, from the first act to the last.\n"
        "Write the head down after every change, or send it to the other side: with --head a record that "
        "was cut short shows. Exit: 0 whole, 1 broken.",
        "从第一条到最后一条核验全部签名与衔接。\n每次变更后请抄录记录头或发给对方：给出 --head 可发现记录被截短。"
        "退出码：0 完好，1 损坏。",
    ),
)
@_FOLDER
@option("--head", metavar="SHA256", en="A head that was written down; it must still be there.",
        zh="抄录过的记录头；它必须仍在记录之中。")  # fmt: skip
@json_option
@click.pass_context
def verify(context: click.Context, *, authority: Path, head: str | None, as_json: bool) -> None:
    """Verify the journal."""
    with refusals():
        journal = _journal(authority)
    last = journal.acts[-1]
    found = head is None or head.lower() in {one.statement.digest for one in journal.acts}
    if as_json:
        show_json(
            {
                "acts": len(journal.acts),
                "last": last.at.isoformat(),
                "root": fingerprint(journal.roots[0]),
                "head": journal.head,
                "torn": journal.torn,
                "head_found": found if head is not None else None,
            }
        )
        context.exit(0 if found else FAILED)
    say(
        en=f"{len(journal.acts)} acts, all signed and in order; the last at {shown_time(last.at)}.\n"
        f"Root   {fingerprint(journal.roots[0])}\nHead   {journal.head}",
        zh=f"共 {len(journal.acts)} 条，签名与次序完好；最后一条在 {shown_time(last.at)}。\n"
        f"根     {fingerprint(journal.roots[0])}\n记录头 {journal.head}",
    )
    if journal.torn:
        say(
            en=f"After them stand {journal.torn} bytes of an act that was interrupted and never done; the next "
            "act removes them.",
            zh=f"其后有 {journal.torn} 字节属于被中断、并未完成的操作；下一次操作将予清除。",
        )
    if not found:
        say(
            en="That head is not in this record: acts were cut off or replaced. Issue nothing; compare "
            "with the backup.",
            zh="该记录头不在此记录中：有记录被截去或替换。请停止签发，并与备份核对。",
        )
        context.exit(FAILED)


@acts.command(
    name="clock",
    **text(
        "Declare that this machine's clock is right although the last act says otherwise.",
        "声明本机时钟无误，尽管与上一次操作的时间矛盾。",
    ),
)
@authority_options
@option(
    "--why",
    required=True,
    metavar="WORDS",
    en="What had happened, for the record.",
    zh="事由，记入记录。",
)
@json_option
def clock(
    *,
    authority: Path,
    passphrase_file: Path | None,
    operator: str | None,
    why: str,
    as_json: bool,
) -> None:
    """Record that the clock is right."""
    with (
        refusals(),
        office(
            authority, now=now(), by=operator or system_user(),
            passphrase=opened_by(passphrase_file), clock=False,
        ) as found,
    ):  # fmt: skip
        found.record("clock", {"why": why})
        if as_json:
            show_json({"at": found.now.isoformat(), "why": why})
            return
        say(
            en=f"Recorded: it is {shown_time(found.now)}.",
            zh=f"已记录：当前时间 {shown_time(found.now)}。",
        )


def _journal(authority: Path) -> Journal:
    if not authority.is_file():
        journal = read_journal(authority)
    else:
        journal = parse_journal(authority, authority.read_bytes())
    if not journal.acts:
        raise Refused(
            en=f"{authority} holds no act. Restore {ACTS} from the backup.",
            zh=f"{authority} 中没有任何记录。请从备份恢复 {ACTS}。",
        )
    return journal
