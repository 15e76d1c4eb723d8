"""HTTP/2 and TLS abused by hand: the bridge cuts or bounds it, keeps nothing of it, and serves on."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from tests.attack.abuses import ABUSES, PUSH
from tests.attack.evidence import counts, findings, grown
from tests.attack.frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    RST_STREAM,
    Wire,
    fields,
    frame,
)
from tests.attack.hostile import Hostile, Ledger
from tests.attack.process import BridgeProcess
from tests.attack.test_connections import serves
from tests.pki import CITY_110, CITY_12345, COUNTY_12345, Pki
from tests.server.running import Caller, calling, failure, running

HEALTH = "/grpc.health.v1.Health/Check"
#: How much more memory the bridge may have needed at its worst, in bytes, over all abuses together.
MEMORY = 256 << 20
#: What the honest desk pushes while each abuse goes on: matters.
MATTERS = 12
#: Turns of all the hostile lines between two of the honest desk's calls.
TURNS = 4

#: What the bridge must have said to each (the beginning of it), where it says anything.
ANSWERS = {
    "rapid reset": "RST_STREAM ENHANCE_YOUR_CALM",
    "rapid reset, whole calls": "RST_STREAM ENHANCE_YOUR_CALM",
    "made to reset": "HEADERS",
    "continuation flood": "HEADERS",
    "empty continuations": "RST_STREAM INTERNAL_ERROR",
    "ping flood": "GOAWAY ENHANCE_YOUR_CALM too_many_pings",
    "window shut": "RST_STREAM ENHANCE_YOUR_CALM",
    "window by bytes": "HEADERS",
    "streams without end": "RST_STREAM ENHANCE_YOUR_CALM",
    "streams on many lines": "HEADERS",
    "long headers": "RST_STREAM ENHANCE_YOUR_CALM",
    "unpacked headers": "RST_STREAM ENHANCE_YOUR_CALM",
    "gzip bombs": "HEADERS",
    "half a message": "RST_STREAM ENHANCE_YOUR_CALM",
    "calls without end": "RST_STREAM ENHANCE_YOUR_CALM",
    "calls on many lines": "HEADERS",
    "noise": "closed",
}


@pytest.fixture(scope="module")
def bridge(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BridgeProcess]:
    """A bridge that suffers all of it, one after the other."""
    made = BridgeProcess(pki, tmp_path_factory.mktemp("abuses") / "bridge")
    made.start()
    yield made
    made.close()


@pytest.fixture(scope="module")
def hotline(pki: Pki, bridge: BridgeProcess) -> Iterator[Caller]:
    """The honest desk, on one connection for all that time."""
    with calling(pki, bridge.port, CITY_12345) as caller:
        serves(caller)
        yield caller


def peak(bridge: BridgeProcess) -> int:
    """Return the most memory that the bridge ever had, in bytes."""
    status = Path(f"/proc/{bridge.pid}/status").read_text("ascii")
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def descriptors(bridge: BridgeProcess) -> int:
    """Return how many files and connections it has open."""
    return len(list(Path(f"/proc/{bridge.pid}/fd").iterdir()))


@pytest.fixture(scope="module")
def first(bridge: BridgeProcess, hotline: Caller) -> tuple[int, int]:
    """Return peak memory and descriptors of a bridge that has served and was not attacked."""
    for _ in range(MATTERS):
        serves(hotline)
    return peak(bridge), descriptors(bridge)


@pytest.mark.parametrize("name", ABUSES)
def test_an_honest_desk_is_served_all_the_while(
    pki: Pki, bridge: BridgeProcess, hotline: Caller, first: tuple[int, int], name: str
) -> None:
    """Every call of its is answered; the abuse is cut or bounded, and nothing of it is stored."""
    abuse, (memory, open_before) = ABUSES[name], first
    before = counts(bridge.database)
    gateway, root = pki.gateway(COUNTY_12345), pki.development.bridge_trust
    with Hostile(abuse, root, gateway, bridge.port) as hostile:
        turns = hostile.turns()
        served = 0
        while served < MATTERS or not done(hostile.ledger, name):
            for _ in range(TURNS):
                next(turns)
            serves(hotline)
            served += 1
        assert descriptors(bridge) <= open_before + abuse.lines + 40
    counted = counts(bridge.database)
    assert counted["contact"] <= CONTACTS
    after = grown(before, counted)
    assert after.pop("drain") <= served
    assert after == {name: rows * served for name, rows in OF_ONE_MATTER.items()}
    assert peak(bridge) - memory < MEMORY


#: When two desks last pushed, pulled and acknowledged: that somebody called is known, not what was said.
CONTACTS = 6
#: The rows that one pushed matter makes.
OF_ONE_MATTER = {"ticket": 1, "handoff": 1, "message": 2, "trail": 2, "mailbox": 2}


def done(ledger: Ledger, name: str) -> bool:
    """Return whether lines enough said something twice, and the bridge said what is expected of it."""
    answer = ANSWERS.get(name, "")
    lines = min(ABUSES[name].lines, 100)
    return (
        ledger.lines >= lines
        and ledger.bursts >= 2 * lines
        and (not answer or any(said.startswith(answer) for said in ledger.came))
    )


def test_it_lets_go_of_everything(
    pki: Pki, bridge: BridgeProcess, hotline: Caller, first: tuple[int, int]
) -> None:
    """When the attackers are gone their descriptors are, too, and the same process stops in good order."""
    while descriptors(bridge) > first[1] + 8:  # the test's own time is the limit
        serves(hotline)
    written = bridge.journal.read_text("utf-8")
    assert bridge.end(signal.SIGTERM) == 0
    assert '"unexpected"' not in written
    assert "Traceback" not in written
    assert not findings(bridge.database, pki)


def test_who_only_opens_calls_keeps_nobody_out(pki: Pki, tmp_path: Path) -> None:
    """Eight of one desk's may be open, a request or none: its ninth is turned away, another's is served."""
    with (
        running(pki, tmp_path, calls_of_one=8, calls_at_once=16) as found,
        calling(pki, found.port, CITY_110) as police,
        calling(pki, found.port, CITY_12345) as hotline,
        Wire(pki, found.port, pki.gateway(CITY_110)) as wire,
    ):
        wire.send(*(frame(HEADERS, END_HEADERS, 2 * n + 1, fields(PUSH)) for n in range(9)))
        _, refused, _ = wire.wait_for(HEADERS)
        assert refused == 17
        with pytest.raises(grpc.RpcError) as raised:
            police.pull()
        assert failure(raised)[:2] == (grpc.StatusCode.RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED")
        serves(hotline)
        wire.send(frame(RST_STREAM, 0, 1, (8).to_bytes(4)))
        while not {"CANCELLED", "INVALID_ARGUMENT"} & {e["code"] for e in found.events("call")}:
            hotline.pull()  # until its end was heard of
        assert police.pull()


def test_a_request_that_does_not_come_is_waited_for_so_long(pki: Pki, tmp_path: Path) -> None:
    """An opened call is ended after the seconds that are set, and says why."""
    with (
        running(pki, tmp_path, request_seconds=1) as found,
        Wire(pki, found.port, pki.gateway(CITY_110)) as wire,
    ):
        wire.send(frame(HEADERS, END_HEADERS, 1, fields(PUSH)), frame(DATA, 0, 1, b"\0\0\0"))
        wire.wait_for(HEADERS)
        (told,) = found.events("call")
        assert (told["code"], told["reason"]) == ("RESOURCE_EXHAUSTED", "LIMIT_EXCEEDED")


@pytest.mark.parametrize("method", [PUSH, HEALTH])
def test_a_call_without_a_request_is_told(pki: Pki, tmp_path: Path, method: str) -> None:
    """It ends at once instead of being left without any answer."""
    with (
        running(pki, tmp_path) as found,
        Wire(pki, found.port, pki.gateway(CITY_110)) as wire,
    ):
        wire.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, fields(method)))
        assert wire.wait_for(HEADERS, RST_STREAM)[0] == HEADERS
        (told,) = [*found.events("call"), *found.events("refused")]
        assert told["reason"] == "INVALID_REQUEST"
