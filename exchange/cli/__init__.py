"""
The command ``exchange``: one module per noun, imported when its noun is used.

`exchange.cli.grammar` is how commands are declared in two languages, `exchange.cli.screen` how
answers are shown; both rest on `certs.speech` and `certs.screen`.  ``exchange --help`` imports
click and these, nothing else.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit: 0 done, 1 not done, 2 misused, 130 interrupted, 141 unread."""
    from exchange.cli.root import run

    sys.exit(run(sys.argv[1:]))
