"""
Abuse of HTTP/2 and TLS on a live bridge, and how an honest peer fares meanwhile.

The honest peer pushes one matter after another, each durable when it is answered.  The hostile one is
a process of its own with the least claim to the processor, as its machine is not the bridge's.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median, quantiles

import grpc

from certs.development import Credential
from tests.attack.abuses import ABUSES
from tests.attack.hostile import Hostile
from tests.attack.process import BridgeProcess
from tests.judge.verdicts import Verdict, expect
from tests.pki import CITY_12345, COUNTY_12345, Pki
from tests.server.running import Caller, calling, matter

#: How many times its idle p99 the honest peer's may be (issue 4, "Outside judges").
CLAIM = 5.0
#: Beyond that list: what grpc reads whole, on the thread that answers everybody, before any limit of ours
#: counts.  Two calls in two hundred wait for it (ARCHITECTURE.md, Known limits).
LIMITED = {"long headers": 20.0, "unpacked headers": 20.0}
#: The honest peer's calls in each phase, the seconds between two of them, and those that nobody times.
CALLS, PAUSE, WARM = 200, 0.002, 100
#: A busy machine spoils a phase now and then: only what fails in all rounds fails.
ROUNDS = 2
#: Seconds that the hostile peer may take to have all its lines.
READY = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """The honest peer's calls: milliseconds of each, and how many failed."""

    took: list[float]
    failed: int

    @property
    def p99(self) -> float:
        """The 99th percentile."""
        return quantiles(self.took, n=100)[98]


def judged(pki: Pki, folder: Path) -> Iterator[Verdict]:
    """Abuse a bridge of its own in every way, each beside the idle phases before and after it."""
    bridge = BridgeProcess(pki, folder, settings={"EXCHANGE_KEEPER": "process"})
    bridge.start()
    try:
        with calling(pki, bridge.port, CITY_12345) as caller:
            measured(caller, WARM)
            idle = measured(caller)
            for name in ABUSES:
                idle, verdict = _judged(name, pki, bridge.port, caller, idle)
                yield verdict
    finally:
        bridge.close()


def _judged(name: str, pki: Pki, port: int, caller: Caller, before: Phase) -> tuple[Phase, Verdict]:
    """Return the idle phase after it, which is that before the next, and the verdict."""
    words, holds, after = "", False, before
    claim = LIMITED.get(name, CLAIM)
    for _ in range(ROUNDS):
        before = after
        under, came = attacked(name, pki, port, caller)
        after = measured(caller)
        idle = Phase(took=before.took + after.took, failed=before.failed + after.failed)
        ratio = under.p99 / idle.p99
        holds = ratio <= claim and not under.failed + idle.failed
        words = (
            f"p99 {under.p99:6.1f} ms, idle {idle.p99:6.1f} ms, {ratio:4.1f}x of {claim:.0f} (median {median(under.took):5.1f}, "
            f"idle {median(idle.took):5.1f}), {under.failed} of {CALLS} failed; {came}"
        )
        if holds:
            break
    return after, expect("abuse", f"{name:<24}", words, holds=holds)


def measured(caller: Caller, calls: int = CALLS) -> Phase:
    """Time pushes of one matter each."""
    took, failed = [], 0
    for _ in range(calls):
        sealed = caller.sealer.seal(matter())
        begun = time.perf_counter()
        try:
            kinds = [outcome.WhichOneof("outcome") for outcome in caller.push(sealed)]
        except grpc.RpcError:
            kinds = []
        took.append((time.perf_counter() - begun) * 1000)
        failed += kinds != ["stored", "stored"]
        time.sleep(PAUSE)
    return Phase(took=took, failed=failed)


def attacked(name: str, pki: Pki, port: int, caller: Caller) -> tuple[Phase, str]:
    """Time the same while the abuse goes on; return also what came of it."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    gateway, root = pki.gateway(COUNTY_12345), pki.development.bridge_trust
    process = spawn.Process(target=carry_out, args=(name, root, gateway, port, theirs))
    process.start()
    theirs.close()
    ours.recv()
    under = measured(caller)
    ours.send(None)
    came: str = ours.recv()
    process.join()
    return under, came


def carry_out(name: str, root: Path, gateway: Credential, port: int, orders: Connection) -> None:
    """Say when the abuse is under way, go on until told to stop, and say what came of it."""
    os.nice(19)
    with Hostile(ABUSES[name], root, gateway, port) as hostile:
        begun, told = time.monotonic(), False
        for ledger in hostile.turns():
            late = time.monotonic() - begun > READY
            if not told and (late or ledger.lines >= ABUSES[name].lines):
                orders.send(None)
                told = True
            if orders.poll():
                orders.send(str(ledger))
                return
