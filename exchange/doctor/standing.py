"""
How a bridge or a gateway stands, and which of its figures are findings.

`exchange status` shows the figures, `exchange doctor` the findings, the bridge's metrics count the
same under the same names: waiting, unacknowledged, stopped, lag, contact, space, certificate, log.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from certs.screen import shown_time
from exchange.certificates import RuleBroken, ends
from exchange.doctor.files import SOON
from exchange.doctor.findings import Finding, Status, fine, wrong
from exchange.doctor.network import CLOCKS_DIFFER
from exchange.doctor.storage import LITTLE_ROOM, served
from exchange.doctor.trusting import in_force
from exchange.envelope import read_file
from exchange.query.duties import Answering, Owing
from exchange.query.figures import Figures, FiguresRoom, Mailbox
from exchange.server.trust_state import TrustState, read_state
from exchange.text import Text

if TYPE_CHECKING:
    from exchange.client import GatewayFiles
    from exchange.config import Settings

#: An urgent delivery waits too long after this, any other after that.  A gateway that is there has
#: it within milliseconds.
URGENT_WAITS = timedelta(minutes=1)
WAITS = timedelta(minutes=15)
#: An organisation that called before is silent after this; a gateway's pull waits a minute at most.
SILENT = timedelta(minutes=10)
#: Bytes below which nothing is written soon.
NO_ROOM = 64 * 1024**2

_LOOK = Text(
    en="Ask {who} whether its gateway runs: exchange doctor there, with its own configuration",
    zh="请联系 {who} 确认其网关是否运行：在其处按其配置执行 exchange doctor",
)
_RENEW = Text(
    en="Have it issued anew (certs/README.md says how); what uses it takes it without a restart",
    zh="请重新签发（见 certs/README.md）；使用它的程序会自动采用，无须重启",
)
_ROOM = Text(
    en="Make room, or move the database: du -xh {folder} | sort -h | tail",
    zh="请清理空间或迁移数据库：du -xh {folder} | sort -h | tail",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeStanding:
    """How a bridge stands at *now*."""

    now: datetime
    #: Which process serves the database, empty if that cannot be told; None for none.
    serving: str | None
    figures: Figures
    #: The folder that the database fills and the bytes free there; None where it is elsewhere.
    folder: Path | None
    space: int | None
    #: When each certificate of the configuration ends; None where its file cannot be read.
    certificates: Mapping[str, datetime | None]
    #: What the bridge says of the trust in force; None where it said nothing yet.
    trust: TrustState | None
    #: Who answers for what; None where it was not asked for.
    answering: tuple[Answering, ...] | None
    #: Who owes what by a deadline that is over or soon will be; None likewise.
    owing: tuple[Owing, ...] | None


def certificate_files(settings: Settings) -> dict[str, Path]:
    """Return the files of a bridge's certificates by what they are for."""
    roots = {f"root of {network}": path for network, path in settings.networks.items()}
    return {"bridge": settings.tls.certificate, **roots}


def gateway_certificates(gateway: GatewayFiles) -> dict[str, Path]:
    """Return the files of a gateway's certificates by what they are for."""
    roots = {f"root of {network}": path for network, path in gateway.trust.items()}
    return {
        "gateway": gateway.gateway_chain,
        "signer": gateway.signer_chain,
        "root of the bridge": gateway.bridge_roots,
        **roots,
    }


def called(name: str) -> Text:
    """Return the *name* that a certificate has in the two functions above, for people."""
    network = name.removeprefix("root of ")
    if name in _CALLED:
        return _CALLED[name]
    return Text(en=name, zh=f"{network} 根证书")


_CALLED = {
    "bridge": Text(en="bridge", zh="网桥"),
    "gateway": Text(en="gateway", zh="网关"),
    "signer": Text(en="signer", zh="签名"),
    "root of the bridge": Text(en="root of the bridge", zh="网桥根证书"),
}


def certificate_ends(files: Mapping[str, Path]) -> dict[str, datetime | None]:
    """Return when the first certificate in each file ends; None for a file that holds none."""
    found: dict[str, datetime | None] = {}
    for name, path in files.items():
        try:
            found[name] = ends(read_file(path))
        except RuleBroken:
            found[name] = None
    return found


def look(settings: Settings, now: datetime, *, answers: bool = False) -> BridgeStanding:
    """
    Return how the bridge of *settings* stands; *answers* asks who answers for what, too.

    Raises `ConfigurationError` for a file that is not there, and as `Query.open` does.
    """
    room = FiguresRoom.open(settings.database)
    try:
        answering = (*room.answering(now), *room.unassigned()) if answers else None
        owing = tuple(room.owing(now)) if answers else None
        figures, folder = room.figures(settings.origin), room.folder()
    finally:
        room.close()
    return BridgeStanding(
        now=now,
        serving=served(settings.database),
        figures=figures,
        folder=folder,
        space=None if folder is None else shutil.disk_usage(folder).free,
        certificates=certificate_ends(certificate_files(settings)),
        trust=read_state(settings.state),
        answering=answering,
        owing=owing,
    )


def examine(settings: Settings, now: datetime) -> Iterator[Finding]:
    """Yield the findings about what waits; other probes look at disk, certificates and port."""
    standing = look(settings, now)
    ill = [*waiting(standing), *stopped(standing), *silent(standing)]
    yield from clock(standing)
    if standing.serving is not None:
        yield from in_force(standing.trust, now)
    yield from ill or [fine("waiting", "Nothing waits too long", "没有积压过久的消息")]


def judge(standing: BridgeStanding) -> Iterator[Finding]:
    """Yield what is due (a warning) or broken (a failure) in how a bridge stands."""
    if standing.serving is None:
        yield wrong(
            "serving",
            Text(en="No bridge serves this database", zh="没有网桥在使用此数据库"),
            Text(en="It was stopped, or it could not start.", zh="网桥已停止，或未能启动。"),
            Text(en="Start it: exchange serve; if it does not: exchange doctor",
                 zh="请启动：exchange serve；如无法启动：exchange doctor"),
        )  # fmt: skip
    yield from waiting(standing)
    yield from stopped(standing)
    yield from silent(standing)
    yield from space(standing)
    yield from expiring(standing.certificates, standing.now)
    yield from clock(standing)
    if standing.serving is not None:
        yield from in_force(standing.trust, standing.now)
    yield from overdue(standing.owing or ())


def waiting(standing: BridgeStanding) -> Iterator[Finding]:
    """Yield whose deliveries wait too long."""
    for mailbox in standing.figures.mailboxes:
        if _late(mailbox.oldest_urgent, URGENT_WAITS, standing.now):
            yield _waits(mailbox, mailbox.urgent, mailbox.oldest_urgent, urgent=True)
        elif _late(mailbox.oldest, WAITS, standing.now):
            yield _waits(mailbox, mailbox.waiting, mailbox.oldest, urgent=False)


def _late(since: datetime | None, allowed: timedelta, now: datetime) -> bool:
    return since is not None and now - since > allowed


def _waits(mailbox: Mailbox, count: int, since: datetime | None, *, urgent: bool) -> Finding:
    who, when = mailbox.organisation, shown_time(since) if since is not None else ""
    en, zh = ("urgent ", "紧急") if urgent else ("", "")
    return wrong(
        "waiting",
        Text(en=f"{count} {en}deliveries wait for {who}, the first since {when}",
             zh=f"{count} 件{zh}投递等待 {who} 领取，最早自 {when}"),
        Text(en="It has not acknowledged them; until it does, it does not count as written.",
             zh="对方尚未确认；确认之前不算已写入。"),
        _LOOK.fill(who=who),
        Status.WARN,
    )  # fmt: skip


def stopped(standing: BridgeStanding) -> Iterator[Finding]:
    """Yield whose lanes stand still."""
    for mailbox in standing.figures.mailboxes:
        if mailbox.stopped:
            who = mailbox.organisation
            yield wrong(
                "stopped",
                Text(en=f"{mailbox.stopped} lanes of {who} stand still, {mailbox.held} deliveries in them",
                     zh=f"{who} 有 {mailbox.stopped} 条通道停滞，其中 {mailbox.held} 件投递"),
                Text(en="It refused a message in each; the refusals went to the senders.",
                     zh="对方各拒收了其中一条消息，拒收回执已发给移交方。"),
                Text(en=f"See why: exchange status; when {who} can take it, its gateway reconciles the "
                     "hand-off",
                     zh=f"查看原因：exchange status；{who} 可接收后，由其网关对账该移交"),
                Status.WARN,
            )  # fmt: skip


def silent(standing: BridgeStanding) -> Iterator[Finding]:
    """Yield who called before and is silent now; not of a bridge that nobody can call."""
    if standing.serving is None:
        return
    for who, calls in standing.figures.contacts.items():
        last = max(calls.values())
        if standing.now - last > SILENT:
            when = shown_time(last)
            yield wrong(
                "contact",
                Text(en=f"{who} is silent since {when}", zh=f"{who} 自 {when} 起无联系"),
                Text(en="Its gateway has stopped, or does not reach this bridge.",
                     zh="其网关已停止，或无法连接本网桥。"),
                _LOOK.fill(who=who),
                Status.WARN,
            )  # fmt: skip


def space(standing: BridgeStanding) -> Iterator[Finding]:
    """Yield whether the disk is nearly full, or full."""
    free, folder = standing.space, standing.folder
    if free is not None and free < LITTLE_ROOM:
        mebibytes = free // 1024**2
        yield wrong(
            "space",
            Text(en=f"{mebibytes} MiB are free in {folder}", zh=f"{folder} 剩余 {mebibytes} MiB"),
            Text(en="When the disk is full the bridge takes no message.", zh="磁盘写满后网桥将不能接收消息。"),
            _ROOM.fill(folder=folder),
            Status.FAIL if free < NO_ROOM else Status.WARN,
        )  # fmt: skip


def expiring(certificates: Mapping[str, datetime | None], now: datetime) -> Iterator[Finding]:
    """Yield which certificates end soon, have ended, or cannot be read."""
    for name, end in certificates.items():
        if end is None:
            yield wrong(
                "certificate",
                Text(en=f"The file of the certificate '{name}' holds none",
                     zh=f"证书“{called(name).zh}”的文件中没有证书"),
                Text(en="It is no PEM file of certificates.", zh="该文件不是 PEM 证书文件。"),
                _RENEW,
            )  # fmt: skip
        elif end - now < SOON:
            when = shown_time(end)
            yield wrong(
                "certificate",
                Text(en=f"The certificate '{name}' ends {when}", zh=f"证书“{called(name).zh}”于 {when} 到期"),
                Text(en="It, or an issuer's in its file, ends then.", zh="该证书或文件中的签发者证书届时到期。"),
                _RENEW,
                Status.FAIL if end <= now else Status.WARN,
            )  # fmt: skip


def clock(standing: BridgeStanding) -> Iterator[Finding]:
    """Yield whether this machine's clock is behind what the log already has."""
    newest = standing.figures.log.checkpoint
    if newest is not None and newest - standing.now > CLOCKS_DIFFER:
        when = shown_time(newest)
        yield wrong(
            "clock",
            Text(en=f"The log's newest entry is of {when}, which has not come yet by this machine's clock",
                 zh=f"日志最新条目的时间为 {when}，晚于本机时钟"),
            Text(en="The clock was set back, or was ahead when that was recorded.",
                 zh="时钟被调回，或记录时时钟偏快。"),
            Text(en="Set the clock right: timedatectl set-ntp true; what is recorded stays as it is",
                 zh="请校准时钟：timedatectl set-ntp true；已记录的内容不变"),
            Status.WARN,
        )  # fmt: skip


def overdue(owing: Iterable[Owing]) -> Iterator[Finding]:
    """Yield who owes something by a deadline that has passed."""
    for one in owing:
        if one.overdue:
            who, count = one.organisation, one.overdue
            yield wrong(
                "owes",
                Text(en=f"{count} deadlines of {who} have passed", zh=f"{who} 有 {count} 项时限已逾期"),
                Text(en="It has not done by then what it owed.", zh="该机构未按时限办理。"),
                Text(en=f"See them: exchange ticket list --overdue --owes {who}",
                     zh=f"查看：exchange ticket list --overdue --owes {who}"),
                Status.WARN,
            )  # fmt: skip
