"""The stage of the profile `relay`: one relay between two bridges that the kit plays."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc

from certs.development import LOG_NAME
from exchange._proto.v1 import exchange_service_pb2 as pb
from exchange._proto.v1 import receipt_pb2
from exchange._proto.v1.exchange_service_pb2_grpc import ExchangeServiceStub
from exchange.client.files import read_gateway
from exchange.client.messages import SealedMessage
from exchange.conformance.capabilities import Capabilities, RelayUnderTest
from exchange.conformance.cases import Unmet, unmet
from exchange.conformance.desk_stage import shorten
from exchange.conformance.edge import Aborted, Call, Edge, dial_behind
from exchange.conformance.embedded import EmbeddedBridge, Seat
from exchange.conformance.ground import UPPER_LOG_NAME, upper_log_key
from exchange.conformance.impostor import Impostor
from exchange.conformance.matter import Matter, new_matter
from exchange.conformance.party import Party, id_of
from exchange.conformance.program import Program, Running
from exchange.conformance.stage import Delivered, collect, settle
from exchange.conformance.trace import Trace
from exchange.reading import package_data
from exchange.trust import TrustStore

#: What the relay prints goes there, beside the capability file.
LOG = "relay.log"
#: A profile that the lower bridge alone has.
OWN_PROFILE = "kit-own"


#: What may hold a written or a refused receipt.
Signed = pb.Acknowledgement | pb.PushOutcome | receipt_pb2.Receipt


@dataclass(kw_only=True)
class Side:
    """One of the two bridges: what the relay dials is *edge*, at *address*."""

    name: str
    origin: str
    edge: Edge
    address: str
    #: The connection of the relay's organisation to the bridge itself, for a look into its mailbox.
    relay: Party

    def calls(self, method: str) -> list[Call]:
        """Return the relay's calls of *method* since the case began."""
        return [call for call in self.edge.calls if call.method == method]

    def given(self, message_id: str) -> list[bytes]:
        """Return the envelopes of one message that the relay was given here, each time anew."""
        return [
            d.envelope
            for call in self.calls("PullMessages")
            if call.answer is not None
            for d in call.answer.deliveries
            if d.WhichOneof("content") == "envelope" and id_of(d.envelope) == message_id
        ]

    def brought(self, message_id: str) -> list[bytes]:
        """Return the envelopes of one message that the relay brought here, each time anew."""
        return [
            envelope
            for call in self.calls("PushMessages")
            for envelope in call.request.envelopes
            if id_of(envelope) == message_id
        ]

    def acknowledged(self) -> Iterator[tuple[pb.Acknowledgement, Call]]:
        """Yield all that the relay acknowledged here, each with the call that it was in."""
        for call in self.calls("AcknowledgeMessages"):
            for one in call.request.acknowledgements:
                yield one, call

    def receipts(self) -> Iterator[Signed]:
        """Yield what others signed and the relay was given here: in its pulls, and as refusals of pushes."""
        for call in self.calls("PullMessages"):
            for delivery in call.answer.deliveries if call.answer is not None else ():
                if delivery.WhichOneof("content") == "receipt":
                    yield delivery.receipt
        for call in self.calls("PushMessages"):
            for outcome in call.answer.outcomes if call.answer is not None else ():
                if outcome.WhichOneof("outcome") == "refused":
                    yield outcome

    def waiting(self) -> set[str]:
        """Return the ids of the messages that wait in the mailboxes that the relay empties here."""
        found: set[str] = set()
        after = 0
        while True:
            request = pb.PullMessagesRequest(max_deliveries=128, after_position=after)
            stub = ExchangeServiceStub(self.relay.channel)
            answer = self.relay.call(stub.PullMessages, "PullMessages", request)
            if not answer.deliveries:
                return found
            after = max(d.position for d in answer.deliveries)
            found |= {
                id_of(d.envelope)
                for d in answer.deliveries
                if d.WhichOneof("content") == "envelope"
            }


class RelayStage:
    """
    What the cases of `relay` play on.

    The *police* and the *county* are at the lower bridge, the *hotline* at the upper one; the upper
    bridge's table does not know that the county stands behind the relay.
    """

    def __init__(
        self,
        capabilities: Capabilities,
        relay: RelayUnderTest,
        trace: Trace,
        process: Running | None = None,
    ) -> None:
        """Take *process* in place of the program that *relay* names, where it is given."""
        self.relay = relay
        self.deadline_seconds = relay.deadline_seconds
        #: Seconds that a relay is given for what it has to do, its own pauses after failures included.
        self.patience = float(relay.patience_seconds)
        self.trace = trace
        self.process = process or Program(relay.start, capabilities.folder, LOG, trace)
        self.organisation = read_gateway(relay.lower).organisation
        self._capabilities = capabilities
        self._changed = threading.Condition()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._open()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _open(self) -> None:
        files = self._capabilities.parties
        ground, police, hotline = (
            self._capabilities.ground,
            *(read_gateway(files[name]).organisation for name in ("police", "hotline")),
        )
        upper_key = upper_log_key(ground).resolve()
        lower_key = (ground / "bridge" / "log.key").resolve()
        logs = [lower_key.with_suffix(".vkey"), upper_key.with_suffix(".vkey")]
        below = Seat(
            name="kit-lower",
            further_logs=logs[1:],
            relays={self.organisation: [hotline]},
            profiles=[_own_profile(self._capabilities.folder)],
        )
        above = Seat(
            name="kit-upper",
            origin=UPPER_LOG_NAME,
            log_key=upper_key,
            further_logs=logs[:1],
            relays={self.organisation: [police]},
        )
        self.lower = self._side("lower", LOG_NAME, self.relay.lower, below, logs)
        self.upper = self._side("upper", UPPER_LOG_NAME, self.relay.upper, above, logs)
        self.police = self._party("police", files["police"], self.lower, logs)
        self.hotline = self._party("hotline", files["hotline"], self.upper, logs)
        # Optional in the file: without it, the cases that need it are skipped.
        self.county = self._party("county", files.get("county", files["police"]), self.lower, logs)
        self._stack.callback(self.process.stop)

    def _side(self, name: str, origin: str, config: Path, seat: Seat, logs: Sequence[Path]) -> Side:
        files, ground = read_gateway(config), self._capabilities.ground
        bridge = self._stack.enter_context(
            EmbeddedBridge(self._capabilities.folder, ground, files.trust, seat)
        )
        inside = f"127.0.0.1:{bridge.port}"
        relay = self._stack.enter_context(
            Party(f"relay at the {name} bridge", replace(files, log_verifiers=logs), inside, self.trace)
        )  # fmt: skip
        home, roots = ground / "bridge", files.bridge_roots.read_bytes()

        def behind(who: str) -> grpc.Channel:
            desk = ground / "desks" / who
            key, chain = (desk / f"gateway.{kind}" for kind in ("key", "pem"))
            return dial_behind(inside, roots, key.read_bytes(), chain.read_bytes())

        edge = Edge(
            key=(home / "bridge.key").read_bytes(),
            chain=(home / "bridge.pem").read_bytes(),
            trust=TrustStore.load(files.trust),
            behind=behind,
            trace=self.trace,
            changed=self._changed,
        )
        self._stack.callback(edge.stop)
        edge.start(files.target)
        return Side(name=name, origin=origin, edge=edge, address=files.target, relay=relay)

    def _party(self, name: str, config: Path, side: Side, logs: Sequence[Path]) -> Party:
        files = replace(read_gateway(config), log_verifiers=logs)
        return self._stack.enter_context(Party(name, files, side.relay.target, self.trace))

    @property
    def sides(self) -> tuple[Side, Side]:
        """Both bridges, the lower first."""
        return self.lower, self.upper

    def reset(self) -> None:
        """Clear hooks, empty the platforms' mailboxes, and let the relay run."""
        for side in self.sides:
            side.edge.clear()
            side.edge.asking.append(shorten)
        for party in (self.police, self.hotline, self.county):
            while deliveries := party.pull().deliveries:
                settle(party, deliveries)
        self.process.start()

    # -- what the platforms do

    def offer(self, matter: Matter | None = None) -> tuple[Matter, list[SealedMessage]]:
        """Let the police push a new matter for the hotline."""
        found = matter or new_matter("hotline")
        sealed = self.police.seal(found.opening, found.offer)
        self.push(self.police, sealed)
        return found, sealed

    def push(self, party: Party, sealed: Sequence[SealedMessage]) -> None:
        """Let *party* push; everything must be stored by its own bridge."""
        for outcome, message in zip(party.push(sealed), sealed, strict=True):
            party.stored(outcome, message.digest)

    def arrived(self, party: Party, ids: Sequence[str]) -> list[Delivered]:
        """Return the messages *ids* as they reach *party*, checked; they are acknowledged as written."""
        got = self.got(party, ids)
        settle(party, [one.delivery for one in got])
        return got

    def got(self, party: Party, ids: Sequence[str], *, receipts: bool = False) -> list[Delivered]:
        """Return what reaches *party* about the messages *ids*, checked; raises `Unmet`."""
        try:
            return collect(party, ids, receipts=receipts, seconds=self.patience)
        except Unmet:
            self.process.require_running()  # else nothing could come, which says more
            raise

    def left_behind(self, ids: Collection[str]) -> None:
        """Wait until none of the messages *ids* is in the lower bridge's mailbox; raises `Unmet`."""
        until = time.monotonic() + self.patience
        while self.lower.waiting() & set(ids):
            if time.monotonic() > until:
                self.process.require_running()
                raise unmet(
                    "Messages that were passed on still wait in the lower bridge's mailbox.",
                    "已转递的消息仍在下级网桥信箱中。",
                )
            told = len(self.lower.calls("AcknowledgeMessages"))
            self.lower.edge.wait_until(partial(self._told_more, told), 0.5)

    def _told_more(self, times: int) -> bool:
        return len(self.lower.calls("AcknowledgeMessages")) > times

    def wait(self, holds: Callable[[], bool], en: str, zh: str) -> None:
        """Return as soon as *holds()*; raises `Unmet` with the two sentences when patience ends."""
        if not self.lower.edge.wait_until(holds, self.patience):
            self.process.require_running()
            raise unmet(f"{en} ({self.patience:.0f} s).", f"{zh}（{self.patience:.0f} 秒）。")

    # -- faults

    @contextmanager
    def held(self, side: Side) -> Iterator[None]:
        """Let the relay fetch nothing at *side* meanwhile, so that what is pushed there waits together."""
        over, seen = threading.Event(), threading.Event()

        def hook(call: Call) -> None:
            if call.method == "PullMessages" and not over.is_set():
                seen.set()
                side.edge.wait_until(over.is_set, 0.2)
                if not over.is_set():
                    call.answer = pb.PullMessagesResponse()

        side.edge.asking.append(hook)
        self.wait(seen.is_set, "The relay pulled no more", "中继不再拉取")
        try:
            yield
        finally:
            over.set()

    def fail(
        self,
        side: Side,
        method: str,
        times: int,
        *,
        when: Callable[[Call], bool] = lambda _: True,
    ) -> None:
        """Let *side* be away for the relay's next *times* calls of *method* of which *when* holds."""
        left = times

        def hook(call: Call) -> None:
            nonlocal left
            if call.method == method and left > 0 and when(call):
                left -= 1
                raise Aborted(grpc.StatusCode.UNAVAILABLE, "a fault of the conformance kit")

        side.edge.asking.append(hook)

    @contextmanager
    def impostors(self) -> Iterator[list[Impostor]]:
        """Let somebody else answer in the place of either bridge."""
        with ExitStack() as stack:
            found = []
            for side in self.sides:
                side.edge.stop()
                stack.callback(side.edge.start, side.address)
                scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                found.append(stack.enter_context(Impostor(scratch / "set", side.address)))
            yield found


def brings(call: Call, message_id: str) -> bool:
    """Return whether one push of the relay brings a message."""
    return call.method == "PushMessages" and any(
        id_of(envelope) == message_id for envelope in call.request.envelopes
    )


def passes(call: Call, message_id: str) -> bool:
    """Return whether one acknowledge of the relay says that a message was passed on."""
    return call.method == "AcknowledgeMessages" and any(
        one.passed.message_id == message_id for one in call.request.acknowledgements
    )


def about(one: Signed) -> str:
    """Return the id of the message that a written or refused receipt in *one* is about, else ""."""
    if one.HasField("refused"):
        return receipt_pb2.RefusedStatement.FromString(one.refused.statement).message_id
    if not isinstance(one, pb.PushOutcome) and one.HasField("written"):
        return receipt_pb2.WrittenStatement.FromString(one.written.statement).message_id
    return ""


def bytes_of(one: Signed) -> bytes:
    """Return the statement and the signature of the receipt in *one*."""
    kind = (
        one.refused if isinstance(one, pb.PushOutcome) or one.HasField("refused") else one.written
    )
    return kind.statement + kind.signature.value


def _own_profile(folder: Path) -> Path:
    """Write the profile that the lower bridge alone has: the national one under another name."""
    text = package_data("profiles").joinpath("national.toml").read_text(encoding="utf-8")
    path = folder.resolve() / "kit-own-profile.toml"
    path.write_text(
        text.replace('name = "national"', f'name = "{OWN_PROFILE}"', 1), encoding="utf-8"
    )
    return path
