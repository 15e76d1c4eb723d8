"""Two desks that take tickets through their whole life: opened, offered, taken, resolved, closed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection

from exchange.acts import Kind
from exchange.client import (
    Acknowledgement,
    ExchangeClient,
    IncomingItem,
    IncomingMessage,
    IncomingReceipt,
    Noted,
    OutgoingMessage,
    SealedMessage,
    Written,
)
from tests.bench.parties import commands
from tests.bench.place import RECEIVER, SENDER, Place
from tests.bench.tickets import pairs

#: Tickets opened in one call, and open at once at most.
_TOGETHER, OPEN = 64, 512
#: Messages of one ticket's life: open_ticket, offer, take, result, close, close_ticket.
MESSAGES = 6
_WAIT = timedelta(seconds=0.5)
#: Tries of a call: a machine that stands still for a minute, as one on which others measure, ends no soak.
_ATTEMPTS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """What a part of the tickets took: seconds of each opening call, seconds of each life."""

    begun: float
    ended: float
    tickets: int
    calls: Sequence[float]
    lives: Sequence[float]


def hotline(connection: Connection, place: Place, port: int) -> None:
    """
    Open ``(tickets, slice, seconds)`` tickets and close each when its result has come.

    None is opened after *seconds*.  After every *slice* closed ones a `Slice` is answered, at the end None.
    """
    with place.client(SENDER.organisation, port, attempts=_ATTEMPTS) as client:
        for tickets, size, seconds in commands(connection):
            _Hotline(client).live(connection, tickets, size, seconds)
            connection.send(None)


class _Hotline:
    def __init__(self, client: ExchangeClient) -> None:
        self._client = client
        self._opened: dict[str, float] = {}
        self._calls: list[float] = []
        self._lives: list[float] = []

    def live(self, connection: Connection, tickets: int, size: int, seconds: float) -> None:
        """Take *tickets* through their life, or as many as could be opened in so many *seconds*."""
        # Made as they are needed: a million need no memory.
        coming = pairs(tickets, RECEIVER.organisation, datetime.now(UTC))
        left = tickets
        begun = time.monotonic()
        over = begun + seconds
        while left or self._opened:
            while left and len(self._opened) + _TOGETHER <= OPEN:
                count = min(_TOGETHER, left)
                self._open([next(coming) for _ in range(count)])
                left = left - count if time.monotonic() < over else 0
            self._close(self._client.pull(128, _WAIT))
            done = not left and not self._opened
            while len(self._lives) >= size or (done and self._lives):
                ended, count = time.monotonic(), min(size, len(self._lives))
                connection.send(
                    Slice(
                        begun=begun,
                        ended=ended,
                        tickets=count,
                        calls=tuple(self._calls),
                        lives=tuple(self._lives[:count]),
                    )
                )
                begun, self._calls, self._lives = ended, [], self._lives[count:]
        self._note_the_rest()

    def _open(self, new: Sequence[tuple[OutgoingMessage, OutgoingMessage]]) -> None:
        begun = time.monotonic()
        _push(self._client, self._client.sealer.seal([one for pair in new for one in pair]))
        self._calls.append(time.monotonic() - begun)
        self._opened |= {offer.handoff_id: begun for _, offer in new}

    def _close(self, items: Sequence[IncomingItem]) -> None:
        results = [
            item.message
            for item in items
            if isinstance(item, IncomingMessage) and item.message.kind is Kind.RESULT
        ]
        now = datetime.now(UTC)
        reply = {"reply": {"text": "满意。"}}
        said = [
            OutgoingMessage(
                kind=Kind.CLOSE, ticket_id=result.ticket_id, handoff_id=result.handoff_id,
                recipient=RECEIVER.organisation, previous=result.digest, created=now, groups=reply,
                record=result.handoff_id,
            )
            for result in results
        ] + [
            OutgoingMessage(
                kind=Kind.CLOSE_TICKET, ticket_id=result.ticket_id, created=now, groups=reply,
                record=result.ticket_id,
            )
            for result in results
        ]  # fmt: skip
        _acknowledge(self._client, items)
        if said:
            _push(self._client, self._client.sealer.seal(said))
        ended = time.monotonic()
        for result in results:
            begun = self._opened.pop(result.handoff_id, None)
            if begun is not None:
                self._lives.append(ended - begun)

    def _note_the_rest(self) -> None:
        """Take the last receipts, until nothing more comes."""
        for items in _until_quiet(self._client, 4):
            _acknowledge(self._client, items)


def police(connection: Connection, place: Place, port: int) -> None:
    """Take and resolve whatever is offered, until ``(quiet,)`` pulls in a row brought nothing."""
    with place.client(RECEIVER.organisation, port, attempts=_ATTEMPTS) as client:
        for (quiet,) in commands(connection):
            for items in _until_quiet(client, quiet):
                _resolve(client, items)
            connection.send("done")


def _until_quiet(client: ExchangeClient, quiet: int) -> Iterator[list[IncomingItem]]:
    """
    Yield what comes, until *quiet* pulls in a row, of half a second each, brought nothing.

    Pulls are counted and not the time: after a minute in which the whole machine stood still, the other
    desk has something to say yet.
    """
    empty = 0
    while empty < quiet:
        items = client.pull(128, _WAIT)
        empty = 0 if items else empty + 1
        if items:
            yield items


def _resolve(client: ExchangeClient, items: Sequence[IncomingItem]) -> None:
    offers = [
        item.message
        for item in items
        if isinstance(item, IncomingMessage) and item.message.kind is Kind.OFFER
    ]
    now = datetime.now(UTC)
    takes = client.sealer.seal(
        [
            OutgoingMessage(
                kind=Kind.TAKE, ticket_id=offer.ticket_id, handoff_id=offer.handoff_id,
                recipient=offer.author, previous=offer.digest, created=now,
                act={"local_number": offer.handoff_id[:8]}, record=offer.handoff_id,
            )
            for offer in offers
        ]
    )  # fmt: skip
    results = client.sealer.seal(
        [
            OutgoingMessage(
                kind=Kind.RESULT, ticket_id=offer.ticket_id, handoff_id=offer.handoff_id,
                recipient=offer.author, previous=take.digest, created=now,
                act={"settlement": "SETTLEMENT_SETTLED"},
                groups={"disposal": {"content": "已到场处置，恢复通行。"}}, record=offer.handoff_id,
            )
            for offer, take in zip(offers, takes, strict=True)
        ]
    )  # fmt: skip
    _acknowledge(client, items)
    if takes:
        _push(client, [*takes, *results])


def _push(client: ExchangeClient, messages: Sequence[SealedMessage]) -> None:
    for result in client.push_sealed(messages):
        if result.stored is None:
            raise RuntimeError(result)


def _acknowledge(client: ExchangeClient, items: Sequence[IncomingItem]) -> None:
    said: list[Acknowledgement] = []
    for item in items:
        if isinstance(item, IncomingReceipt):
            said.append(Noted(position=item.position))
        elif isinstance(item, IncomingMessage):
            said.append(
                Written(
                    message_id=item.message_id,
                    digest=item.digest,
                    local_number=f"JJ{item.position:010}",
                    time=datetime.now(UTC),
                )
            )
        else:
            raise TypeError(item)
    for result in client.acknowledge(said):
        if result.failure is not None or result.refusal is not None:
            raise RuntimeError(result)
