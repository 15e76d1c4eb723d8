"""Run the tool: ``python -m certs``."""

from __future__ import annotations

from certs.cli import main

if __name__ == "__main__":
    main()
