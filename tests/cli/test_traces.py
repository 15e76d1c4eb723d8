"""One number finds a message everywhere: the sender's push, the bridge's journal, the written receipt."""

from __future__ import annotations

from pathlib import Path

from exchange.tracing import trace_of
from tests.cli.town import Shell, Town, cross


def test_a_message_is_followed_from_push_to_written_receipt(
    town: Town, exchange: Shell, tmp_path: Path
) -> None:
    """Each call that carried it names it, in order; the trail has its trace id beside its id."""
    ticket = cross(exchange, town, tmp_path)
    trail = exchange("ticket", "trail", ticket, "--config", town.police, "--json")
    entries = trail.data["entries"]
    opening = next(one for one in entries if one["kind"] == "open_ticket")
    written = next(one for one in entries if one["kind"] == "written")
    calls = [
        (one["method"].rpartition("/")[2], one["trace"])
        for one in town.bridge.events("call")
        if opening["message_id"] in one.get("messages", ())
    ]

    assert opening["trace_id"] == trace_of(opening["message_id"]) == written["trace_id"]
    assert calls == [
        (name, opening["trace_id"])
        for name in ("PushMessages", "PullMessages", "AcknowledgeMessages")
    ]
