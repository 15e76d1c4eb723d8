"""
What a mapping says, as values: tables, code tables, fields, and the rules that use them.

A **sheet** is one table (or one shape of JSON record) of the platform.  A **say** rule makes a
message of a row; a **hear** rule makes a row of a message.  A **field** ties a place of the message
to columns of the row, both ways unless it says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import tzinfo
from enum import Enum
from pathlib import Path

from adapters.mapping.coding import Codes
from adapters.mapping.expressions import Expression
from adapters.mapping.times import TimeForm
from exchange.acts import Kind
from exchange.client.shapes import Shape

Scalar = str | int | float | bool

#: The kinds with which an own duty of their author's may open.
DUTY_KINDS = (Kind.OFFER, Kind.AGREE, Kind.RULE, Kind.TAKE_OVER)


class Way(Enum):
    """In which direction a field holds."""

    BOTH = "both"
    SAY = "say"
    HEAR = "hear"


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyed:
    """A digest of columns: HMAC-SHA-256 with the secret in the file *key*, or plain SHA-256."""

    columns: tuple[str, ...]
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """
    One place of a message (*path*) and where it comes from or goes to.

    Exactly one source is given: *columns* (one, or several joined), *value*, *expression*, *keyed*
    or *newest*.  *shape* is the contract's of that place.
    """

    path: str
    shape: Shape
    way: Way = Way.BOTH
    columns: tuple[str, ...] = ()
    #: Between joined columns; or, with *part*, between the parts of one column.
    separator: str = ""
    part: int | None = None
    #: How many parts of the one column are mapped in all.
    part_count: int = 0
    value: Scalar | None = None
    expression: Expression | None = None
    keyed: Keyed | None = None
    #: The kinds of which the newest message's digest on the hand-off is meant.
    newest: tuple[Kind, ...] = ()
    codes: Codes | None = None
    #: Where an unmapped code goes as a local code, as a second place of the message.
    local: str = ""
    system: str = ""
    display: str = ""
    #: The systems of the other coded fields of the same list.
    others: frozenset[str] = frozenset()
    time: TimeForm | None = None
    clean: tuple[str, ...] = ()
    #: What an empty column says instead.
    default: Scalar | None = None
    required: bool = False
    #: The column's room in characters, 0 where unknown; *cut* fills it rather than refuse.
    length: int = 0
    cut: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """When a rule holds: columns with the texts they may have, or an expression; neither is always."""

    columns: Mapping[str, frozenset[str]] = field(default_factory=dict)
    expression: Expression | None = None

    @property
    def always(self) -> bool:
        """Whether it holds whatever the row says."""
        return not self.columns and self.expression is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The column by which a row says how far it is, and its words; *detail* takes what went wrong."""

    column: str
    new: str = "0"
    pushed: str = "1"
    processed: str = "2"
    refused: str = "9"
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """The record of another sheet that a row is about, by the columns that hold its key."""

    sheet: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """One table of the platform: *name* in this file, *table* in its database."""

    name: str
    table: str
    key: tuple[str, ...]
    status: Status | None = None
    #: A time or number that grows with every change, where there is no status column.
    changed: str = ""
    #: Seconds that the clocks of platform and adapter, or late commits, may lie behind.
    overlap: float = 600.0
    order: tuple[str, ...] = ()
    ready: Condition = Condition()
    #: Seconds for which a row must have stayed the same before it is read as whole.
    settle: float = 0.0
    about: About | None = None


class Keeps(Enum):
    """Where a platform keeps a file's bytes, seen from a row."""

    #: A path below the folder of the mapping's ``[attachments]``.
    PATH = "path"
    #: A column of bytes.
    CONTENT = "content"
    #: Text in base64.
    BASE64 = "base64"
    #: An address on the server of ``[http]``.
    URL = "url"


@dataclass(frozen=True, slots=True, kw_only=True)
class SaidFile:
    """
    A file, or several, that a row brings: in which column its bytes are, and those that tell of it.

    *separator* stands between several paths in the column; *each* is the place of a list, in each of
    whose records the other columns are looked for.
    """

    keeps: Keeps
    column: str
    name: str = ""
    media_type: str = ""
    description: str = ""
    separator: str = ""
    each: str = ""

    @property
    def columns(self) -> frozenset[str]:
        """The columns of the row that are read."""
        if self.each:
            return frozenset({self.each})
        return frozenset({self.column, self.name, self.media_type, self.description} - {""})


@dataclass(frozen=True, slots=True, kw_only=True)
class SayRule:
    """A row of *sheet* says *kind* when the condition holds."""

    name: str
    kind: Kind
    sheet: str
    when: Condition = Condition()
    #: Said beside what an earlier rule says of the same row.
    also: bool = False
    #: Said only of a record that said all these before.
    after: tuple[Kind, ...] = ()
    #: Said on the own duty that the newest message of these kinds opened, once the bridge has stored it.
    duty: tuple[Kind, ...] = ()
    #: The columns whose change makes another message; empty: said once of each record.
    revision: tuple[str, ...] = ()
    fields: tuple[Field, ...] = ()
    #: The files that the row brings; the message waits for them, no other does.
    files: tuple[SaidFile, ...] = ()


class Writing(Enum):
    """What a heard message does to its sheet."""

    INSERT = "insert"
    UPDATE = "update"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """
    One column that a heard message fills, beside the fields: from a place, a constant or an expression.

    *new* is a template with ``{day}``, ``{serial}``, ``{ticket_id}`` and others: the record's number.
    """

    column: str
    path: str = ""
    value: Scalar | None = None
    expression: Expression | None = None
    new: str = ""
    time: TimeForm | None = None
    length: int = 0
    cut: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HearRule:
    """A message of *kinds* (all where empty) becomes a row of *sheet*, or changes one."""

    name: str
    kinds: frozenset[Kind]
    sheet: str
    writing: Writing = Writing.INSERT
    when: Condition = Condition()
    fields: tuple[Field, ...] = ()
    columns: tuple[Column, ...] = ()

    def hears(self, kind: Kind) -> bool:
        """Whether messages of *kind* are for this rule."""
        return not self.kinds or kind in self.kinds


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachments:
    """
    Where files lie, and which may cross: the section ``[attachments]``.

    Paths of rows are below *folder*, None where no row has any; what comes and is kept as a file goes into
    *inbox*, and its path is below that, or below *folder* where the one lies in the other.  *types* are
    media types, ``image/*`` meaning all of one kind; none: whatever the bridge carries.
    """

    folder: Path | None
    inbox: Path | None
    max_bytes: int
    types: tuple[str, ...] = ()
    #: Seconds for which a file must have stayed the same before it is read as whole.
    still: float = 1.0
    #: What a file that came is written as; None where the mapping does not say.
    heard: HearRule | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A whole mapping; *digest* changes with the file."""

    file: str
    name: str
    zone: tzinfo
    zone_name: str
    sheets: Mapping[str, Sheet]
    codes: Mapping[str, Codes]
    say: tuple[SayRule, ...]
    hear: tuple[HearRule, ...]
    #: The kinds that the platform wants no record of, by choice.
    unheard: frozenset[Kind] = frozenset()
    attachments: Attachments | None = None
    digest: str = ""
    #: The section of an adapter that keeps the records itself (``http``, ``folder``); empty: tables.
    section: str = ""

    @property
    def writes(self) -> tuple[HearRule, ...]:
        """Every rule that writes a row: those of messages, and that of files."""
        heard = self.attachments.heard if self.attachments is not None else None
        return self.hear if heard is None else (*self.hear, heard)

    def contents(self, sheet: str) -> frozenset[str]:
        """Return the columns of *sheet* that hold whole files: they are never read with a row."""
        return frozenset(
            file.column
            for rule in self.say
            if rule.sheet == sheet
            for file in rule.files
            if file.keeps is Keeps.CONTENT
        ) | frozenset(
            column.column
            for rule in self.writes
            if rule.sheet == sheet
            for column in rule.columns
            if column.path == "file.content"
        )
