"""
``python -m adapters.sqlite_desk FOLDER --config FILE …``: a desk's platform as a process of its own.

It reads commands from standard input and answers on standard output (`adapters.sqlite_desk.commands`);
end of input, SIGTERM or ``{"stop": {}}`` end it, and nothing is lost by SIGKILL.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from adapters.reminder import Reminder, add_reminding, reminding
from adapters.runner import Runner
from adapters.settings import open_sealer, read_gateway
from adapters.spool import Spool
from adapters.sqlite_desk.commands import Commands
from adapters.sqlite_desk.desk import Desk, Office
from adapters.telling import spoken_language
from exchange.client import ExchangeClient
from exchange.errors import ExchangeError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the desk; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m adapters.sqlite_desk", description=__doc__)
    # Every adapter runs by that word (`exchange adapter run`); this one does nothing else.
    parser.add_argument(
        "command", nargs="?", choices=["run"], default="run", help="may be left out"
    )
    parser.add_argument("folder", type=Path, help="where desk.db, spool.db and salt.key live")
    parser.add_argument("--config", type=Path, required=True, help="the gateway's configuration")
    parser.add_argument("--service", choices=["12345", "110"], required=True)
    parser.add_argument("--region", required=True, help="the desk's division")
    parser.add_argument("--profile", required=True, metavar="NAME@EDITION")
    parser.add_argument("--catalogue", required=True, metavar="EDITION")
    parser.add_argument("--prefix", default="W", help="what its own numbers begin with")
    parser.add_argument("--bell", action="store_true", help="ring and write on standard error")
    add_reminding(parser)
    given = parser.parse_args(arguments)
    profile, _, edition = given.profile.partition("@")
    office = Office(
        service=given.service,
        region=given.region,
        profile=profile,
        profile_edition=edition,
        catalogue_edition=given.catalogue,
        prefix=given.prefix,
    )
    try:
        stream = sys.stderr if given.bell else None
        reminder = reminding(given, stream, spoken_language(os.environ))
        _run(given.folder, given.config, office, reminder)
    except ExchangeError as error:
        sys.stderr.write(f"{error.text.en}\n{error.text.zh}\n")
        return 1
    return 0


def _run(folder: Path, config: Path, office: Office, reminder: Reminder) -> None:
    files = read_gateway(config)
    sealer = open_sealer(files, folder / "salt.key")
    with (
        Spool(folder / "spool.db", files.organisation) as spool,
        ExchangeClient.dial(files, sealer=sealer) as client,
    ):
        desk = Desk(folder / "desk.db", sealer, office, remind=reminder)
        runner = Runner(desk, spool, client, ring=reminder.due)
        desk.wake = runner.wake
        loops = threading.Thread(target=runner.run, name="runner")
        signal.signal(signal.SIGTERM, _end)
        signal.signal(signal.SIGINT, _end)
        loops.start()
        try:
            _converse(Commands(desk, runner))
        finally:
            runner.stop()
            loops.join()
            desk.close()


def _converse(commands: Commands) -> None:
    for line in sys.stdin:
        if not line.strip():
            continue
        answer = commands.answer(line)
        sys.stdout.write(json.dumps(answer, ensure_ascii=False) + "\n")
        sys.stdout.flush()
        if '"stop"' in line and answer["ok"]:
            return


def _end(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)  # out of the read of standard input, through every `finally`


if __name__ == "__main__":
    sys.exit(main())
