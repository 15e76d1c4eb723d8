"""What one row says: its messages, each with a digest of what it read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from hashlib import sha256
from typing import Any

from sqlalchemy import select
from sqlalchemy.engine import Connection

from adapters.mapping.citing import Source, cite
from adapters.mapping.document import Document, SayRule, Sheet
from adapters.mapping.misfit import Misfit
from adapters.mapping.paths import get
from adapters.mapping.saying import Standing, holds, matching, say, speaks
from adapters.table.database import as_json
from adapters.table.records import UNSAID, Linked, Records, Reference
from adapters.table.tables import SAID
from exchange.acts import TICKET_KINDS, Kind
from exchange.client import OutgoingMessage
from exchange.client.shapes import faults
from exchange.errors import InvalidRequest
from exchange.text import Text
from exchange.ticket import derived_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row as it was read: its sheet, its own record, the record it is about, a digest of it all."""

    sheet: Sheet
    values: Mapping[str, Any]
    own: Reference
    whole: Reference
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """One message of a row, a digest of what was read for it, and where its files are to be had."""

    message: OutgoingMessage
    content: str
    files: Mapping[str, Source]


class Waits(Enum):
    """Why a row says nothing yet."""

    #: What it is about is not known; what comes after it may make it so.
    ALONE = "alone"
    #: What was said of the record is not stored yet; nothing of that record may overtake it.
    AHEAD = "ahead"


class Speaking:
    """Maps rows, inside a transaction of the caller's."""

    def __init__(self, document: Document, organisation: str, records: Records) -> None:
        self._document = document
        self._organisation = organisation
        self._records = records

    def messages(self, connection: Connection, row: Row) -> list[Spoken] | Waits:
        """
        Return what *row* says, or why it must wait.

        Raises `Misfit` for a row that cannot be mapped, or that means nothing.
        """
        sheet = row.sheet
        linked = self._records.linked(connection, row.whole.name)
        if linked == Linked() and sheet.about is not None:
            return Waits.ALONE
        said = self._records.said(connection, row.own.name)
        standing = self._records.standing(connection, row.own.name, linked, said)
        rules = matching(self._document, sheet.name, standing.facts(row.values))
        if not rules:
            self._require_unchanged(connection, row, standing)
            return []
        found = []
        for rule in rules:
            standing = self._begun(rule, row.values, standing)
            named = any(field.path == "header.handoff_id" for field in rule.fields)
            if rule.kind not in TICKET_KINDS and not standing.handoff_id and not named:
                return Waits.ALONE
            spoken = standing
            if rule.duty:
                duty = self._records.duty(connection, standing.ticket_id, rule.duty)
                if not duty:
                    return Waits.ALONE if duty is None else Waits.AHEAD
                spoken = replace(standing, handoff_id=duty)
            message, files = self._say(rule, row.values, spoken)
            if rule.files and not message.groups:
                continue  # the row names no file
            for wrong in self._faults(message):
                raise Misfit(rule.name, wrong)
            content = content_of(message)
            self._require_same(connection, message, content, sheet)
            found.append(Spoken(message=message, content=content, files=files))
        return found

    def _say(
        self, rule: SayRule, values: Mapping[str, Any], standing: Standing
    ) -> tuple[OutgoingMessage, Mapping[str, Source]]:
        return cite(rule, values, say(rule, values, standing), self._organisation)

    def _begun(self, rule: SayRule, values: Mapping[str, Any], standing: Standing) -> Standing:
        """Return *standing* with the ids of what the rule begins."""
        us, record = self._organisation, standing.record
        if rule.kind is Kind.OPEN_TICKET and not standing.ticket_id:
            standing = replace(standing, ticket_id=derived_id(us, record, "", "ticket"))
        if rule.kind is Kind.OFFER:
            revision = "|".join(str(get(values, column)) for column in rule.revision)
            standing = replace(standing, handoff_id=derived_id(us, record, revision, "handoff"))
        return standing

    def _faults(self, message: OutgoingMessage) -> list[Text]:
        try:
            return [violation.text for violation in faults(message, self._organisation)]
        except InvalidRequest as unfit:
            return [unfit.text]

    def _require_same(
        self, connection: Connection, message: OutgoingMessage, content: str, sheet: Sheet
    ) -> None:
        """Raise where the same id was said with other content: its revision did not change."""
        query = select(SAID.c.content).where(
            SAID.c.message_id == message.id_for(self._organisation), SAID.c.state.not_in(UNSAID)
        )
        before = connection.execute(query).scalar()
        if before is not None and before != content:
            raise Misfit(sheet.name, _CHANGED.fill(kind=message.kind.value))

    def _require_unchanged(self, connection: Connection, row: Row, standing: Standing) -> None:
        """
        Raise for a row that says nothing new, unless it is what it was when it spoke.

        A row can come again unchanged: somebody put its status back, or a backup of the platform.
        """
        sheet = row.sheet
        afresh = replace(standing, said=frozenset())
        facts = afresh.facts(row.values)
        query = select(SAID.c.kind, SAID.c.content).where(SAID.c.record == row.own.name)
        before: dict[str, set[str]] = {}
        for known in connection.execute(query):
            before.setdefault(known.kind, set()).add(known.content)
        if not before or not speaks(self._document, sheet.name, facts):
            raise Misfit(sheet.name, _NOTHING)
        for rule in self._document.say:
            if rule.sheet != sheet.name or rule.revision or rule.kind.value not in before:
                continue
            if holds(rule.when, facts, f"{rule.name}.when"):
                begun = self._begun(rule, row.values, replace(afresh, ticket_id=standing.ticket_id))
                message, _ = self._say(rule, row.values, begun)
                if content_of(message) not in before[rule.kind.value]:
                    raise Misfit(sheet.name, _CHANGED.fill(kind=rule.kind.value))


def content_of(message: OutgoingMessage) -> str:
    """Return a digest of what a message says, without the ids it says it under."""
    told = [message.recipient, int(message.urgency), dict(message.act), dict(message.groups)]
    return sha256(as_json(told).encode()).hexdigest()


def body_of(message: OutgoingMessage) -> dict[str, Any]:
    """Return a message as the object that `exchange.client.read_message` reads."""
    return {
        "kind": message.kind.value,
        "ticket_id": message.ticket_id,
        "handoff_id": message.handoff_id,
        "recipient": message.recipient,
        "created": message.created.isoformat(),
        "urgency": message.urgency.name.lower(),
        "marker": message.marker.name.lower(),
        "classification": message.classification.name.lower(),
        "act": message.act,
        "groups": message.groups,
        "record": message.record,
        "revision": message.revision,
    }


_NOTHING = Text(
    en="no rule says what this row means. Add a rule ('when'), or leave such rows out with 'ready'.",
    zh="没有规则说明该行的含义。请补充规则（when），或以 ready 排除此类记录。",
)
_CHANGED = Text(
    en="the row was changed after its '{kind}' was said. A rule for 'supplement' with 'revision' says such "
    "changes; or put the row back as it was.",
    zh="该行在发出“{kind}”之后被修改。可用带 revision 的 supplement 规则发送此类变更，或将该行恢复原状。",
)
