"""Where lanes that stand still are found: an adapter's spool, or a bridge's database."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exchange.cli.beside import adapter_folder
from exchange.cli.gateway import is_gateway, read_gateway
from exchange.cli.grammar import language
from exchange.cli.lane_words import NO_LANE, RECEIVERS, SEVERAL
from exchange.errors import ConfigurationError, InvalidRequest, NotFound

if TYPE_CHECKING:
    from adapters.spool_asides import Aside
    from adapters.spool_lanes import StoppedLane
    from exchange.errors import Refusal


def rows(config: Path, folder: Path | None) -> list[dict[str, Any]]:
    """Return the lanes that stand still as plain data: a spool's, or every organisation's at a bridge."""
    if is_gateway(config):
        return [row_of(one) for one in spooled(config, folder)]
    return _bridge_rows(config)


def spooled(config: Path, folder: Path | None) -> list[StoppedLane]:
    """Return the lanes of the adapter's spool; raises `ConfigurationError` for a bridge's files."""
    from adapters.spool import Spool

    if not is_gateway(config):
        raise ConfigurationError(RECEIVERS.fill(file=config))
    organisation = read_gateway(config).organisation
    there = adapter_folder(config, folder) / "spool.db"
    with Spool(there, organisation, create=False) as spool:
        return spool.stopped()


def row_of(one: StoppedLane) -> dict[str, Any]:
    """Return one lane as plain data."""
    return {
        "lane": one.lane,
        "organisation": one.author,
        "since": one.since.isoformat(),
        "newest": one.newest.isoformat(),
        "times": one.times,
        "message_id": one.message_id,
        "kind": one.kind,
        "ticket_id": one.ticket_id,
        **_refused(one.refusal),
        "original_bytes": len(one.original),
        "told": one.told,
    }


def _bridge_rows(config: Path) -> list[dict[str, Any]]:
    from exchange.config import load_settings
    from exchange.errors import Refusal, RefusalCode
    from exchange.query.figures import FiguresRoom
    from exchange.wire.receipts import stated_refusal

    settings = load_settings(config, os.environ)
    room = FiguresRoom.open(settings.database)
    try:
        stopped = room.stopped()
    finally:
        room.close()
    return [
        {
            "lane": one.lane,
            "organisation": one.organisation,
            "since": one.since.isoformat(),
            "message_id": one.message_id,
            "kind": one.kind,
            "author": one.author,
            "ticket_id": one.ticket_id,
            "waiting": one.waiting,
            **_refused(stated_refusal(one.statement) or Refusal(code=RefusalCode.MALFORMED)),
        }
        for one in stopped
    ]


def _refused(refusal: Refusal) -> dict[str, Any]:
    return {
        "code": refusal.code.name,
        "reason": refusal.text.say(language()),
        "fields": [
            {"field": one.field, "text": one.text.say(language())} for one in refusal.violations
        ],
    }


def one_of(rows: Sequence[dict[str, Any]], name: str) -> dict[str, Any]:
    """Return the row that *name* begins; raises `NotFound`, or `InvalidRequest` for several."""
    found = [
        row for row in rows if row["lane"].startswith(name) or row["message_id"].startswith(name)
    ]
    if not found or not name:
        raise NotFound(NO_LANE.fill(name=name))
    if len(found) > 1:
        raise InvalidRequest(SEVERAL.fill(name=name, count=len(found)))
    return found[0]


def named(lanes: Sequence[StoppedLane], name: str) -> StoppedLane:
    """Return the lane that *name* begins; raises as `one_of`."""
    row = one_of([row_of(one) for one in lanes], name)
    return next(one for one in lanes if one.message_id == row["message_id"])


def asides(config: Path, folder: Path | None) -> list[Aside]:
    """Return what was set aside in the adapter's spool; raises as `spooled` does."""
    from adapters.spool import Spool

    if not is_gateway(config):
        raise ConfigurationError(RECEIVERS.fill(file=config))
    organisation = read_gateway(config).organisation
    there = adapter_folder(config, folder) / "spool.db"
    with Spool(there, organisation, create=False) as spool:
        return spool.asides()


def aside_row(one: Aside) -> dict[str, Any]:
    """Return what was set aside as plain data: its lane's row, why, who, when, whether the bridge has it."""
    return row_of(one.lane) | {
        "set_aside": one.reason,
        "set_aside_by": one.person,
        "set_aside_at": one.time.isoformat(),
        "set_aside_told": one.told,
    }
