"""
Hold the contract against the one before it: what was sent yesterday must be read today.

Compares with the descriptor set ``proto/exchange.binpb`` as committed where this branch left main,
or on main itself, one commit ago.  A checkout without that history has nothing to compare with,
and says so.  What counts as breaking stands in ``buf.yaml``.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUF = Path(sys.executable).parent / "buf"
IMAGE = "proto/exchange.binpb"
MAIN = ("origin/main", "main")


def git(*arguments: str) -> bytes | None:
    """Return what git says, or ``None`` where it knows nothing (no such commit, no repository)."""
    try:
        done = subprocess.run(["git", *arguments], check=False, cwd=ROOT, capture_output=True)
    except FileNotFoundError:  # a checkout may come without git
        return None
    return done.stdout if done.returncode == 0 else None


def baseline() -> str:
    """Return the commit to compare with."""
    head = git("rev-parse", "HEAD")
    for branch in MAIN:
        fork = git("merge-base", "HEAD", branch)
        if fork is not None and fork != head:
            return fork.decode().strip()
    return "HEAD^"


def main() -> None:
    """Compare; exit with buf's findings."""
    commit = baseline()
    image = git("show", f"{commit}:{IMAGE}")
    if image is None:
        print(f"No earlier contract to compare with: {commit} has no {IMAGE}.")
        return
    with tempfile.TemporaryDirectory() as scratch:
        before = Path(scratch) / "before.binpb"
        before.write_bytes(image)
        done = subprocess.run(
            [BUF, "breaking", "proto", "--against", before],
            check=False,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
    if done.returncode:
        print(done.stdout, end="")
        sys.exit(f"The contract does not go on from the one of {commit[:12]} (see above).")


if __name__ == "__main__":
    main()
