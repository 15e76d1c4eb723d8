"""The stage of the profiles `receiver` and `sender`: one adapter before a bridge that the kit plays."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc

from exchange._proto.v1 import exchange_service_pb2 as pb
from exchange._proto.v1 import receipt_pb2
from exchange.acts import Urgency
from exchange.client.files import read_gateway
from exchange.client.messages import OutgoingMessage, SealedMessage
from exchange.conformance.adapter import AdapterProcess, Desk
from exchange.conformance.capabilities import AdapterUnderTest, Capabilities
from exchange.conformance.cases import Unmet, unmet
from exchange.conformance.edge import Aborted, Call, Edge, dial_behind
from exchange.conformance.embedded import EmbeddedBridge
from exchange.conformance.impostor import Impostor
from exchange.conformance.matter import Matter, new_matter
from exchange.conformance.party import Party, digest_of, id_of
from exchange.conformance.stage import Delivered, collect, settle
from exchange.conformance.trace import Trace
from exchange.trust import TrustStore

#: A pull of the adapter waits no longer than this at the edge, so that faults find it soon.
_SHORT_WAIT_MS = 500


class DeskStage:
    """
    What the cases of `receiver` and `sender` play on.

    The adapter dials `edge`; behind it is a real bridge, and beside it the kit's own platform, the
    *peer*, to whom and from whom the adapter's messages go.
    """

    def __init__(
        self,
        capabilities: Capabilities,
        adapter: AdapterUnderTest,
        trace: Trace,
        process: Desk | None = None,
    ) -> None:
        """Take *process* in place of the program that *adapter* names, where it is given."""
        self.adapter = adapter
        #: Seconds an adapter is given for what it has to do, its own pauses after a failure included.
        self.patience = float(adapter.patience_seconds)
        #: Seconds for which it is watched whether a refused message comes again, later and later.
        self.watched = 5.0
        self.trace = trace
        self._stack = ExitStack()
        files = read_gateway(adapter.config)
        self.organisation = files.organisation
        self.address = files.target
        self._folder, self.certificates = capabilities.folder, capabilities.ground
        self._networks = files.trust
        self._trust = TrustStore.load(files.trust)
        self.process = process or AdapterProcess(adapter, capabilities.folder, trace)
        self._peer_file = capabilities.parties["police"]

    def __enter__(self) -> Self:
        try:
            self._open()
        except BaseException:
            self._stack.close()  # a bridge that goes on would keep the whole program from ending
            raise
        return self

    def _open(self) -> None:
        bridge = self._stack.enter_context(
            EmbeddedBridge(self._folder, self.certificates, self._networks)
        )
        inside = f"127.0.0.1:{bridge.port}"
        self.peer = self._stack.enter_context(
            Party.read("police", self._peer_file, self.trace, inside)
        )
        home = self.certificates / "bridge"
        roots = self.peer.files.bridge_roots.read_bytes()

        def behind(who: str) -> grpc.Channel:
            desk = self.certificates / "desks" / who
            return dial_behind(
                inside,
                roots,
                (desk / "gateway.key").read_bytes(),
                (desk / "gateway.pem").read_bytes(),
            )

        self.edge = Edge(
            key=(home / "bridge.key").read_bytes(),
            chain=(home / "bridge.pem").read_bytes(),
            trust=self._trust,
            behind=behind,
            trace=self.trace,
        )
        self._stack.callback(self.edge.stop)
        self.edge.start(self.address)
        self._stack.callback(self.process.stop)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def reset(self) -> None:
        """Clear hooks, empty the peer's mailbox, and let the adapter run."""
        self.edge.clear()
        self.edge.asking.append(shorten)
        while deliveries := self.peer.pull().deliveries:
            settle(self.peer, deliveries)
        self.process.start()

    # -- the bridge's side

    def offer(
        self, *, urgency: Urgency = Urgency.ROUTINE, content: str = "示例内容。"
    ) -> tuple[Matter, list[SealedMessage]]:
        """Let the peer push a new matter to the adapter's organisation."""
        matter = new_matter("hotline", urgency=urgency, content=content)
        sealed = self.peer.seal(matter.opening, matter.offer)
        self.push(sealed)
        return matter, sealed

    def push(self, sealed: Sequence[SealedMessage]) -> None:
        """Let the peer push; everything must be stored by the kit's bridge."""
        for outcome, message in zip(self.peer.push(sealed), sealed, strict=True):
            self.peer.stored(outcome, message.digest)

    def receipts(self, ids: Sequence[str]) -> list[Delivered]:
        """Return the adapter's receipts for the peer's messages *ids*, checked; raises `Unmet`."""
        return self._collect(ids, receipts=True)

    def arrived(self, ids: Sequence[str]) -> list[Delivered]:
        """Return the adapter's messages as they reach the peer, checked, and acknowledge them."""
        got = self._collect(ids, receipts=False)
        settle(self.peer, [one.delivery for one in got])
        return got

    def _collect(self, ids: Sequence[str], *, receipts: bool) -> list[Delivered]:
        try:
            return collect(self.peer, ids, receipts=receipts, seconds=self.patience)
        except Unmet:
            self.process.require_running()  # else nothing could come, which says more
            raise

    # -- what the edge has seen

    def calls(self, method: str) -> list[Call]:
        """Return the adapter's calls of *method* since the case began."""
        return [c for c in self.edge.calls if c.method == method and c.who == self.organisation]

    def written(self, message_id: str) -> list[receipt_pb2.WrittenStatement]:
        """Return the 'written' statements about one message that the adapter has made."""
        return [s for call in self.calls("AcknowledgeMessages") for s in statements(call)
                if s.message_id == message_id]  # fmt: skip

    def deliveries(self, message_id: str) -> int:
        """Return how often one message was handed to the adapter."""
        return sum(
            d.WhichOneof("content") == "envelope" and id_of(d.envelope) == message_id
            for call in self.calls("PullMessages")
            if call.answer is not None
            for d in call.answer.deliveries
        )

    def pushed(self, message_id: str) -> list[bytes]:
        """Return the digests of the pushes of one message."""
        return [
            digest_of(envelope)
            for call in self.calls("PushMessages")
            for envelope in call.request.envelopes
            if id_of(envelope) == message_id
        ]

    def wait(self, holds: Callable[[], bool], en: str, zh: str) -> None:
        """Return as soon as *holds()*; raises `Unmet` with the two sentences when patience ends."""
        if not self.edge.wait_until(holds, self.patience):
            self.process.require_running()
            raise unmet(f"{en} ({self.patience:.0f} s).", f"{zh}（{self.patience:.0f} 秒）。")

    @contextmanager
    def impostor(self) -> Iterator[Impostor]:
        """Let somebody else answer in the bridge's place."""
        self.edge.stop()
        try:
            with (
                tempfile.TemporaryDirectory() as scratch,
                Impostor(Path(scratch) / "set", self.address) as other,
            ):
                yield other
        finally:
            self.edge.start(self.address)

    # -- faults

    def fail_once(self, method: str, code: grpc.StatusCode, times: int = 1) -> None:
        """Fail the adapter's next *times* calls of *method* before the bridge hears of them."""
        left = times

        def hook(call: Call) -> None:
            nonlocal left
            if call.method == method and call.who == self.organisation and left > 0:
                left -= 1
                raise Aborted(code, "a fault of the conformance kit")

        self.edge.asking.append(hook)


def ids_of(sealed: Sequence[SealedMessage]) -> list[str]:
    """Return the ids of messages."""
    return [one.message_id for one in sealed]


def shorten(call: Call) -> None:
    """Let a pull wait but shortly, so that a case's faults find the next one soon."""
    if call.method == "PullMessages" and call.request.wait.ToMilliseconds() > _SHORT_WAIT_MS:
        call.request.wait.FromMilliseconds(_SHORT_WAIT_MS)


def statements(call: Call) -> list[receipt_pb2.WrittenStatement]:
    """Return the 'written' statements of one acknowledge."""
    return [
        receipt_pb2.WrittenStatement.FromString(one.written.statement)
        for one in call.request.acknowledgements
        if one.WhichOneof("acknowledgement") == "written"
    ]


def declined(call: Call) -> list[str]:
    """Return the ids that one acknowledge refuses."""
    return [
        receipt_pb2.RefusedStatement.FromString(one.refused.statement).message_id
        for one in call.request.acknowledgements
        if one.WhichOneof("acknowledgement") == "refused"
    ]


def acknowledged_as(call: Call, reason: str) -> pb.AcknowledgeMessagesResponse:
    """Return an answer in which every acknowledgement is to be tried again."""
    answer = pb.AcknowledgeMessagesResponse()
    for _ in call.request.acknowledgements:
        answer.outcomes.add().retry.CopyFrom(retry(reason))
    return answer


def pushed_as(call: Call, reason: str) -> pb.PushMessagesResponse:
    """Return an answer in which every message is to be tried again."""
    answer = pb.PushMessagesResponse()
    for _ in call.request.envelopes:
        answer.outcomes.add().retry.CopyFrom(retry(reason))
    return answer


def retry(reason: str) -> pb.Retry:
    """Return a retry after a tenth of a second."""
    found = pb.Retry(reason=reason)
    found.text.en, found.text.zh = "a fault of the conformance kit", "符合性工具注入的故障"
    found.delay.FromMilliseconds(100)
    return found


def line(message: OutgoingMessage) -> dict[str, Any]:
    """Return *message* as the JSON line that an adapter is told."""
    told: dict[str, Any] = {
        "kind": message.kind.value,
        "ticket_id": message.ticket_id,
        "handoff_id": message.handoff_id,
        "recipient": message.recipient,
        "created": message.created.isoformat(),
        "urgency": message.urgency.name.lower(),
        "message_id": message.message_id,
        "record": message.record,
        "revision": message.revision,
        "act": dict(message.act),
        "groups": {name: dict(values) for name, values in message.groups.items()},
    }
    if message.previous:
        told["previous"] = message.previous.hex()
    return {key: value for key, value in told.items() if value not in ("", {})}
