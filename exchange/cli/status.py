"""``exchange status``: how a bridge or a gateway stands, as figures."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from exchange.cli.gateway import config_option, is_gateway, read_gateway
from exchange.cli.grammar import command, json_option, language, option, say
from exchange.cli.screen import show_json
from exchange.errors import ExchangeError
from exchange.text import Text

if TYPE_CHECKING:
    from exchange.doctor import Finding
    from exchange.doctor.standing import BridgeStanding
    from exchange.query.figures import Figures
    from exchange.server.trust_state import TrustState

DUE, BROKEN = 1, 2

_CALL = Text(en="The bridge does not answer our calls", zh="网桥未应答")


@command(
    "status",
    en="Show how a bridge stands (with its own configuration: what waits for whom and since when, "
    "urgent first; what stopped and why; lag; last contact; disk; certificates; log), or a gateway "
    "(with its own: its certificates, the way to the bridge, what it answers for). The setting "
    "'metrics' gives the same figures to Prometheus.\n"
    "Exit 0: fine.\n"
    "Exit 1, something is due: an urgent delivery waits over 1 min, another over 15 min; a lane is "
    "stopped; who called before is silent for 10 min; under 1 GiB of disk or 14 days of a "
    "certificate; a list of revoked certificates not renewed in time; a journal of acts refused; a shown "
    "deadline overdue.\n"
    "Exit 2, broken: no bridge runs or answers, a certificate has ended, the files of trust are refused or "
    "a list is too old, under 64 MiB of disk, database or file unreadable.",
    zh="显示网桥（用网桥配置）或网关（用网关配置）的现状：各机构待领取与等待时间（紧急在前）、停滞通道及原因、"
    "延迟、最近联系、磁盘、证书、日志。配置项 metrics 将同样的数据提供给 Prometheus。\n"
    "退出码 0：正常。\n"
    "退出码 1，有待处理：紧急投递等待超过 1 分钟，其他超过 15 分钟；有停滞通道；曾联系的机构 10 分钟无联系；"
    "磁盘不足 1 GiB；证书不足 14 天；吊销列表未按期更新；操作记录被拒；所列事项逾期。\n"
    "退出码 2，故障：网桥未运行或无应答，证书已过期，信任文件被拒或吊销列表过旧，磁盘不足 64 MiB，"
    "数据库或文件无法读取。",
)
@option(
    "--answers", "with_answers", is_flag=True,
    en="Also who answers for what now, by organisation and state, and who owes what by when.",
    zh="并列出各机构当前负责的事项（按状态统计）与应办的时限事项。",
)  # fmt: skip
@config_option
@json_option
@click.pass_context
def status(context: click.Context, *, with_answers: bool, config: Path, as_json: bool) -> None:
    """Show how a setup stands."""
    now = datetime.now(UTC)
    try:
        row, found = (
            _gateway(config, now, with_answers=with_answers)
            if is_gateway(config)
            else _bridge(config, now, with_answers=with_answers)
        )
    except ExchangeError as error:
        if as_json:
            show_json({"failure": error.text.say(language())})
        else:
            say(error.text, err=True)
        context.exit(BROKEN)
    row["findings"] = [
        {"name": one.probe, "status": one.status.value, "what": one.what.say(language()),
         "fix": one.fix.say(language()) if one.fix is not None else ""}
        for one in found
    ]  # fmt: skip
    if as_json:
        show_json(row)
    else:
        from exchange.cli.status_screen import show

        show(row, now)
    graves = {one.status.value for one in found}
    context.exit(BROKEN if "fail" in graves else DUE if graves else 0)


# -- what is shown, as data


def _bridge(
    config: Path, now: datetime, *, with_answers: bool
) -> tuple[dict[str, Any], list[Finding]]:
    from exchange.config import load_settings
    from exchange.divisions import load_divisions
    from exchange.doctor.standing import judge, look
    from exchange.organisations import load_register

    settings = load_settings(config, os.environ)
    standing = look(settings, now, answers=with_answers)
    table = load_divisions(settings.tables.divisions)
    register = load_register(settings.register, on=now.date(), table=table)
    names = {one.code: one.name.zh for one in register}
    return _bridge_row(standing, names), list(judge(standing))


def _bridge_row(standing: BridgeStanding, names: Mapping[str, str]) -> dict[str, Any]:
    figures, now = standing.figures, standing.now
    row: dict[str, Any] = {
        "serving": standing.serving,
        "log": {
            "origin": figures.log.origin,
            "size": figures.log.size,
            "checkpoint": _stamp(figures.log.checkpoint),
        },
        "space": {"folder": str(standing.folder or ""), "free_bytes": standing.space},
        "waiting": list(_waiting_rows(figures, names, now)),
        "unacknowledged": None,
        "stopped": list(_stopped_rows(figures)),
        "trust": _trust_row(standing.trust),
        "certificate": _certificate_rows(standing.certificates, now),
    }
    if figures.unacknowledged is not None:
        oldest = figures.unacknowledged
        row["unacknowledged"] = {
            "message_id": oldest.message_id, "ticket_id": oldest.ticket_id, "kind": oldest.kind,
            "author": oldest.author, "recipient": oldest.recipient,
            "accepted": _stamp(oldest.accepted), "seconds": _age(oldest.accepted, now),
        }  # fmt: skip
    if standing.answering is not None:
        row["answers"] = [
            {
                "organisation": one.organisation,
                "name": names.get(one.organisation, ""),
                "state": one.state.name.lower() if one.state is not None else "",
                "count": one.count,
                "overdue": one.overdue,
                "oldest": _stamp(one.oldest),
            }
            for one in standing.answering
        ]
    if standing.owing is not None:
        row["owes"] = [
            {
                "organisation": one.organisation,
                "name": names.get(one.organisation, ""),
                "overdue": one.overdue,
                "soon": one.soon,
            }
            for one in standing.owing
        ]
    return row


def _trust_row(trust: TrustState | None) -> dict[str, Any] | None:
    if trust is None:
        return None
    return {
        "generation": trust.generation,
        "digest": trust.digest,
        "lists": {network: _stamp(ends) for network, ends in trust.lists.items()},
        "denied": trust.denied,
        "journals_refused": {
            network: one.text.say(language()) for network, one in trust.journals.items()
        },
        "refused": "" if trust.refused is None else trust.refused.text.say(language()),
    }


def _waiting_rows(
    figures: Figures, names: Mapping[str, str], now: datetime
) -> Iterator[dict[str, Any]]:
    """Yield a row for everyone of the register, and for whoever else something is known of."""
    mailboxes = {one.organisation: one for one in figures.mailboxes}
    lags = {one.organisation: one for one in figures.lags}
    everyone = sorted({*names, *mailboxes, *figures.contacts})
    # Who waits for something urgent stands first, then who waits for longest.
    for who in sorted(everyone, key=lambda code: _first(mailboxes.get(code), now)):
        mailbox, lag = mailboxes.get(who), lags.get(who)
        contacts = figures.contacts.get(who, {})
        yield {
            "organisation": who,
            "name": names.get(who, ""),
            "urgent": mailbox.urgent if mailbox else 0,
            "urgent_oldest_seconds": _age(mailbox.oldest_urgent, now) if mailbox else None,
            "waiting": mailbox.waiting if mailbox else 0,
            "waiting_oldest_seconds": _age(mailbox.oldest, now) if mailbox else None,
            "stopped": mailbox.stopped if mailbox else 0,
            "held": mailbox.held if mailbox else 0,
            "lag_seconds": round(lag.median, 3) if lag else None,
            "lag_longest_seconds": round(lag.longest, 3) if lag else None,
            "contact": {call: _stamp(time) for call, time in sorted(contacts.items())},
        }


def _first(mailbox: Any, now: datetime) -> tuple[datetime, datetime]:
    if mailbox is None:
        return now, now
    return mailbox.oldest_urgent or now, mailbox.oldest or now


def _stopped_rows(figures: Figures) -> Iterator[dict[str, Any]]:
    from exchange.wire.receipts import refused_code

    for lane in figures.stopped:
        code = refused_code(lane.statement)
        yield {
            "lane": lane.lane,
            "organisation": lane.organisation,
            "since": _stamp(lane.since),
            "message_id": lane.message_id,
            "code": code.name if code is not None else "",
            "reason": code.text.say(language()) if code is not None else "",
        }


def _gateway(
    config: Path, now: datetime, *, with_answers: bool
) -> tuple[dict[str, Any], list[Finding]]:
    from exchange.cli.tickets import Wanted, open_source
    from exchange.doctor.findings import failed
    from exchange.doctor.standing import certificate_ends, expiring, gateway_certificates

    gateway = read_gateway(config)
    ends = certificate_ends(gateway_certificates(gateway))
    found = list(expiring(ends, now))
    row: dict[str, Any] = {
        "organisation": gateway.organisation,
        "target": gateway.target,
        "serving": None,
        "certificate": _certificate_rows(ends, now),
    }
    try:
        with open_source(None, config) as source:
            names = source.organisations()
            rows = _answers_of(source.list(Wanted(open_only=True)), names, now)
            due = source.list(Wanted(owes=gateway.organisation, reminded=True))
            row["owes"] = _owed_by(gateway.organisation, due, names, now)
    except ExchangeError as error:
        found.append(failed("call", _CALL, error))
        return row, found
    row["serving"] = ""
    own = [one for one in rows if one["organisation"] == gateway.organisation]
    row["answers"] = rows if with_answers else own
    found += _overdue(row["owes"])
    return row, found


def _overdue(rows: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    from exchange.doctor.standing import overdue
    from exchange.query.duties import Owing

    return overdue(
        Owing(organisation=one["organisation"], overdue=one["overdue"], soon=one["soon"])
        for one in rows
    )


def _owed_by(
    who: str, tickets: Iterator[Mapping[str, Any]], names: Mapping[str, str], now: datetime
) -> list[dict[str, Any]]:
    """Return how many deadlines *who* owes in *tickets* are overdue, and how many soon will be."""
    from exchange.cli.due_words import overdue, soon

    handoffs = (one for ticket in tickets for one in ticket["handoffs"])
    ours = [one for handoff in handoffs for one in handoff["deadlines"] if one["owes"] == who]
    late, coming = sum(overdue(one, now) for one in ours), sum(soon(one, now) for one in ours)
    if not late + coming:
        return []
    return [{"organisation": who, "name": names.get(who, ""), "overdue": late, "soon": coming}]


def _answers_of(
    tickets: Iterator[Mapping[str, Any]], names: Mapping[str, str], now: datetime
) -> list[dict[str, Any]]:
    """Return who answers, by organisation and state, in the tickets that a gateway may see."""
    counted: dict[tuple[str, str], dict[str, Any]] = {}

    def count(who: str, state: str, since: str, *, late: bool) -> None:
        key = who, state
        one = counted.setdefault(
            key,
            {"organisation": who, "name": names.get(who, ""), "state": state, "count": 0,
             "overdue": 0, "oldest": since},
        )  # fmt: skip
        one["count"] += 1
        one["overdue"] += late
        one["oldest"] = min(one["oldest"], since)

    for ticket in tickets:
        in_work = [one for one in ticket["handoffs"] if one["answers"]]
        for one in in_work:
            late = bool(one["due"]) and datetime.fromisoformat(one["due"]) < now
            count(one["answers"], one["state"], one["updated"], late=late)
        if not in_work:
            count(ticket["origin"]["code"], "", ticket["opened"], late=False)
    return [counted[key] for key in sorted(counted)]


def _certificate_rows(ends: Mapping[str, datetime | None], now: datetime) -> list[dict[str, Any]]:
    return [
        {"name": name, "days": (end - now).days if end is not None else None, "ends": _stamp(end)}
        for name, end in ends.items()
    ]


def _stamp(moment: datetime | None) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z") if moment is not None else ""


def _age(moment: datetime | None, now: datetime) -> float | None:
    return None if moment is None else round(max((now - moment).total_seconds(), 0.0), 3)
