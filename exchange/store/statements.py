"""The writer's own statements, in the form of `exchange.store.drivers`."""

from __future__ import annotations

ADVANCE = (
    "UPDATE log SET size = {}, root = {}, position = {}"
    " WHERE origin = {} AND size = {} AND root = {} AND position = {}"
)
# `recipient || ''` keeps the planners off the index by recipient: it would lead through everything
# that waits for that organisation, and the few rows meant are found by source, position or lane.
WRITTEN = (
    "DELETE FROM mailbox WHERE recipient || '' = {} AND source {among} AND content = 'message'"
)
RELEASE = "DELETE FROM quarantine WHERE recipient = {} AND source {among}"
NOTED = (
    "DELETE FROM mailbox WHERE position {among} AND recipient || '' = {} AND content <> 'message'"
)
WITHDRAW = (
    "DELETE FROM mailbox WHERE position {among} AND recipient || '' = {} AND content = 'message'"
)
PAST = "DELETE FROM deadline WHERE handoff_id {among}"
REOPEN = "DELETE FROM quarantine WHERE recipient = {} AND lane {among}"
RAISE = (
    "UPDATE mailbox SET urgency = {} WHERE lane {among} AND recipient || '' = {} AND urgency < {}"
)
STOP = (
    "INSERT INTO quarantine (recipient, lane, source, refusal, time)"
    " SELECT DISTINCT recipient, lane, source, CAST({} AS BIGINT), CAST({} AS VARCHAR(27))"
    " FROM mailbox WHERE recipient = {} AND source = {} AND content = 'message'"
    " ON CONFLICT (recipient, lane) DO NOTHING"
)

# A lane that stands still is not out any more; see `exchange.store.leasing`.
FREE = (
    "DELETE FROM lease WHERE recipient = {} AND lane IN (SELECT lane FROM mailbox"
    " WHERE source = {} AND content = 'message')"
)
