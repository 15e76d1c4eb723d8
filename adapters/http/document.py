"""The ``[http]`` section of a mapping file, as values; `adapters.http.parsing` reads them."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from adapters.http.filling import Template
from adapters.mapping.document import Condition, Writing

#: Bytes that a body may have, where the file does not say otherwise; and seconds for a whole call.
BODY, TIMEOUT = 1_048_576, 20
#: Questions a second, at most, whether the platform holds what it was given.
RATE = 20
#: Records that may wait, after which the platform is told to come again later (429).
WAITING = 10_000

ALWAYS = Condition()


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """How one side shows who it is: any of a token, a name and password, a signature."""

    token: str = ""
    #: The word before the token (RFC 9110 §11.4).
    scheme: str = "Bearer"
    user: str = ""
    password: str = ""
    #: Of Standard Webhooks: ``whsec_`` and base64.
    signature: str = ""

    @property
    def none(self) -> bool:
        """Whether nothing is shown."""
        return not (self.token or self.user or self.signature)


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """When an answer means success, when it means "never", and where the platform's number stands."""

    success: Condition = ALWAYS
    refused: Condition | None = None
    number: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """
    A call that tells whether the platform has a record already.

    With *items* it is a list (at that place of the answer), in which the record is the one that *when*
    holds of; it is read on where *next* names another page.
    """

    path: Template
    meaning: Meaning
    items: str | None = None
    when: Condition = ALWAYS
    next: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """
    How the platform is asked whether it holds a record that it was given (`adapters.http.asking`).

    Without *items*: its answer means "it is there" as *meaning* says, "it is not" as *lost* does, and a 404
    where it finds others; nothing else means either.  With *items* it is a list: the record is there where one of them
    has its number at *number* and *when* holds of it, and is not where none of the whole list does.
    """

    path: Template
    meaning: Meaning
    lost: Condition | None = None
    items: str | None = None
    number: str = ""
    when: Condition = ALWAYS
    next: str = ""
    rate: float = RATE


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """
    What is sent: to where, how, which part of the record, and what is filled in.

    *body* is the place of the record that is sent (empty: the whole), *fill* what is put into it.
    """

    method: str
    path: Template
    meaning: Meaning
    body: str = ""
    fill: Mapping[str, Template] = field(default_factory=dict)
    lookup: Lookup | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class First:
    """A call that is made before another, whose templates know its answer's number by *name*."""

    name: str
    sending: Sending


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """How a record of *sheet* is given to the platform."""

    sheet: str
    writing: Writing
    sending: Sending
    #: Where in the body the message's id stands, beside the header ``Idempotency-Key``.
    id_field: str = ""
    first: tuple[First, ...] = ()
    #: Where the record's ETag is asked for; what is sent names it (If-Match, RFC 9110 §13.1.1).
    etag: Template | None = None
    held: Held | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Records of *sheet*: at *items* of a body (empty: the body itself), those that *when* lets in."""

    sheet: str
    path: str
    items: str = ""
    when: Condition = ALWAYS
    #: Where a record repeats the id of the message that it was made of.
    echo: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class More:
    """What a record's list leaves out: *take* of the answer at *path* is put *at* a place of the record."""

    path: Template
    at: str
    take: str
    meaning: Meaning
    #: Of the record with what was added; others are passed over.
    when: Condition = ALWAYS


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    """A list that is asked for every *every* seconds, from *cursor* on."""

    source: Source
    meaning: Meaning
    path: Template
    #: Where the answer says from where to go on; or where its last record does.
    cursor: str = ""
    last: str = ""
    start: str = ""
    #: Where the answer names the page after it; or, for a list that is read from its end, the one before.
    next: str = ""
    back: str = ""
    more: tuple[More, ...] = ()
    every: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bell:
    """Where the platform rings: whatever the call says, the polls of *sheet* are made at once."""

    path: str
    sheet: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    """The interface that the platform calls."""

    host: str
    port: int
    proof: Proof
    endpoints: tuple[Source, ...]
    bells: tuple[Bell, ...] = ()
    tls: ssl.SSLContext | None = None
    #: What is answered where everything was taken.
    answer: Mapping[str, Any] | None = None
    waiting: int = WAITING
    #: The address under which the platform gets files that came; empty: nowhere.
    files: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Http:
    """The whole section."""

    base: str
    proof: Proof
    headers: Mapping[str, str]
    tls: ssl.SSLContext | None
    timeout: float
    body: int
    calls: Mapping[tuple[str, Writing], Call]
    polls: tuple[Poll, ...]
    listen: Listen | None
