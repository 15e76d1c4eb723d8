"""Probes of the trust in force: whether the files on disk are what the bridge goes by, and the lists' age."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from certs.screen import shown_time
from exchange.doctor.findings import Finding, Status, failed, fine, wrong
from exchange.errors import ExchangeError
from exchange.text import Text

if TYPE_CHECKING:
    from exchange.config import Settings
    from exchange.server.trust_state import TrustState

_WHAT = Text(en="Certificates, lists of revoked, deny list", zh="证书、吊销列表、禁止名单")
_CHANGING = Text(en="Somebody is writing the files at this moment.", zh="这些文件此刻正被写入。")
_AGAIN = Text(en="Look again: exchange doctor", zh="请再次诊断：exchange doctor")
_FETCH = Text(
    en="Ask the authority of {network} for its newest list (certs crl make there), and put it in place; "
    "nothing needs a restart",
    zh="请向 {network} 的认证机构索取最新吊销列表（由其执行 certs crl make）并放置到位，无须重启",
)
_MEND = Text(
    en="Mend {file}; the bridge takes it within a second, without a restart. See: exchange doctor",
    zh="请修正 {file}，网桥会在一秒内采用，无须重启。查看：exchange doctor",
)
_JOURNAL = Text(
    en="What each refusal asks for stands in certs/RUNBOOK.md (Let both networks see what you did); then put the "
    "right file in place of {file}",
    zh="各类拒绝的处置见 certs/RUNBOOK.zh.md（让双方网络看到您的操作）；随后放入正确的 {file}",
)


def readable(settings: Settings, now: datetime) -> Iterator[Finding]:
    """Look at the files as a bridge that starts now would."""
    from exchange.server.trust_files import StillChanging, TrustFiles  # noqa: PLC0415

    try:
        withdrawals = TrustFiles.of(settings).read(now).store.withdrawals
    except StillChanging:
        yield wrong("revocation", _WHAT, _CHANGING, _AGAIN, Status.WARN)
        return
    except ExchangeError as error:
        yield failed("revocation", _WHAT, error)
        return
    denied = len(getattr(withdrawals.denials, "entries", ()))
    yield fine(
        "revocation",
        f"Lists of revoked certificates: {len(withdrawals.lists)}; entries of the deny list: {denied}",
        f"吊销列表 {len(withdrawals.lists)} 份，禁止名单 {denied} 项",
    )
    ends = {one.network: one.ends for one in withdrawals.lists}
    for network in ends:
        first = min(one.ends for one in withdrawals.lists if one.network == network)
        yield from late(network, first, first + withdrawals.grace, now)


def in_force(state: TrustState | None, now: datetime) -> Iterator[Finding]:
    """Yield what is wrong with the trust of the running bridge, by its own word."""
    if state is None:
        return
    if state.refused is not None:
        since = shown_time(state.refused.since)
        yield wrong(
            "trust",
            Text(en=f"The bridge does not take its files of trust since {since}; generation "
                 f"{state.generation} is still in force",
                 zh=f"自 {since} 起网桥未采用信任文件，第 {state.generation} 代仍在生效"),
            state.refused.text,
            _MEND.fill(file=state.refused.file or "–"),
        )  # fmt: skip
    for network, refused in state.journals.items():
        since = shown_time(refused.since)
        yield wrong(
            "acts",
            Text(en=f"The journal of {network}'s acts is refused since {since}; what is in the log stays",
                 zh=f"自 {since} 起 {network} 的操作记录被拒，日志中已有的不变"),
            refused.text,
            _JOURNAL.fill(file=refused.file),
            Status.WARN,
        )  # fmt: skip
    for network, ends in state.lists.items():
        yield from late(network, ends, ends + state.grace, now)


def late(network: str, due: datetime, refused: datetime, now: datetime) -> Iterator[Finding]:
    """Yield whether a list is too old: a warning within the grace, then a failure."""
    if now <= due:
        return
    closed = now > refused
    until = shown_time(refused)
    yield wrong(
        "revocation",
        Text(en=f"The list of revoked certificates of {network} was to be followed by {shown_time(due)}",
             zh=f"{network} 的吊销列表应于 {shown_time(due)} 前更新"),
        Text(en=f"Nobody of that network is let in since {until}.", zh=f"自 {until} 起拒绝该网络的所有接入方。")
        if closed
        else Text(en=f"From {until} on nobody of that network is let in.",
                  zh=f"{until} 起将拒绝该网络的所有接入方。"),
        _FETCH.fill(network=network),
        Status.FAIL if closed else Status.WARN,
    )  # fmt: skip
