"""Run the tool: ``python -m certs``."""

from __future__ import annotations

import sys

from certs.cli import run

if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
