"""A time as a person types it on a command line."""

from __future__ import annotations

import argparse
from datetime import datetime


def moment(given: str) -> datetime:
    """Return the time that *given* is; raises `argparse.ArgumentTypeError` that says the form."""
    try:
        found = datetime.fromisoformat(given)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise argparse.ArgumentTypeError(
            f"'{given}': write a time with its time zone, such as 2026-11-22T02:00:00+08:00 须为带时区的时间"
        )
    return found
