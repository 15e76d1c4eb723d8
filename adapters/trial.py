"""
``python -m adapters.trial MODULE:FUNCTION …``: whether each loads, one JSON string a line.

An empty string says that it does; else it is the reason.  What an adapter prints while it is imported
goes nowhere, and threads that it leaves behind keep nobody waiting.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint


def reason_of(error: BaseException) -> str:
    """Return an error of somebody else's code on one line."""
    words = " ".join(str(error).split()).rstrip(".")
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def tried(target: str) -> str:
    """Import *target*; return why it cannot be started, empty where it can."""
    try:
        main = EntryPoint(name="adapter", value=target, group="exchange.adapters").load()
    except BaseException as error:  # noqa: BLE001 - an import may even call `sys.exit`
        return reason_of(error)
    return "" if callable(main) else f"{target} is not callable"


def main(targets: Sequence[str]) -> None:
    """Try *targets*, each answered before the next is begun."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    for target in targets:
        answers.write(json.dumps(tried(target)) + "\n")
        answers.flush()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
