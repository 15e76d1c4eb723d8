"""``python -m exchange`` is the command ``exchange``."""

from __future__ import annotations

from exchange.cli import main

if __name__ == "__main__":
    main()
