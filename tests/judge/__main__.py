"""
Let outside judges look at what the tool makes and at a live bridge: ``make judge``.

``make judge ARGS=abuse`` (or ``papers``, ``wire``) lets one of them alone.  Ends with 1 when one
complains and the complaint is not explained in `tests.judge.verdicts`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.attack.process import BridgeProcess
from tests.judge import abuse, papers, wire
from tests.judge.verdicts import Verdict
from tests.pki import make_pki


def on_papers(folder: Path) -> Iterator[Verdict]:
    """Yield what is said of certificates and lists."""
    folder.joinpath("papers").mkdir()
    yield from papers.judged(papers.made(folder / "papers"))


def on_the_wire(folder: Path) -> Iterator[Verdict]:
    """Yield what is said of a bridge's TLS."""
    pki = make_pki(folder / "pki")
    bridge = BridgeProcess(pki, folder / "bridge")
    bridge.start()
    try:
        yield from wire.judged(pki, bridge.port, folder)
    finally:
        bridge.close()


def on_abuse(folder: Path) -> Iterator[Verdict]:
    """Yield how an honest peer fares while a bridge is abused."""
    yield from abuse.judged(make_pki(folder / "pki"), folder / "bridge")


JUDGES: dict[str, Callable[[Path], Iterator[Verdict]]] = {
    "papers": on_papers,
    "wire": on_the_wire,
    "abuse": on_abuse,
}


def main() -> int:
    """Judge, and show every verdict."""
    parser = argparse.ArgumentParser(prog="make judge")
    parser.add_argument("judges", nargs="*", metavar="judge", help=f"{', '.join(JUDGES)}; or all")
    chosen = parser.parse_args().judges or list(JUDGES)
    if unknown := set(chosen) - set(JUDGES):
        parser.error(
            f"there is no judge {', '.join(sorted(unknown))}; there are {', '.join(JUDGES)}"
        )
    complaints = 0
    for name in chosen:
        with tempfile.TemporaryDirectory() as folder:
            for one in JUDGES[name](Path(folder)):
                mark = "✓" if one.content else "✗"
                said = f"{': ' if one.said else ''}{one.said}"
                print(f"{mark} {one.judge:<8} {one.subject}{said}", flush=True)
                complaints += not one.content
    print("Every judge is content." if not complaints else f"{complaints} complaints.")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
