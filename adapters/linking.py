"""Links an adapter to its bridge for as long as the process runs: what every adapter's ``run`` does."""

from __future__ import annotations

from pathlib import Path

from adapters.dues import Ring
from adapters.platform import Adapter
from adapters.runner import Runner, stop_on_signals
from adapters.settings import open_sealer
from adapters.spool import Spool
from adapters.telling import Voice, telling
from exchange.client import ExchangeClient, GatewayFiles
from exchange.text import Text

_STARTS = Text(
    en="{organisation} runs against the bridge {target}: {what}. Ctrl-C ends it; nothing is lost by that.",
    zh="{organisation} 已启动，网桥 {target}：{what}。按 Ctrl-C 结束，不会丢失内容。",
)


def run_until_signal(
    adapter: Adapter,
    folder: Path,
    files: GatewayFiles,
    voice: Voice,
    *,
    name: str,
    what: str,
    ring: Ring | None = None,
) -> None:
    """
    Run *adapter* until SIGTERM or Ctrl-C, saying with *voice* what comes and goes.

    In *folder* are, made where they are missing, ``spool.db`` and ``salt.key``.  *name* is the
    adapter's, as ``exchange adapter status`` shows it; *what* is what it links: a file, an address;
    *ring* reminds of what is due (`adapters.reminder.Reminder.due`).
    Call it from the main thread.  Raises `ExchangeError` where a file is wrong.
    """
    sealer = open_sealer(files, folder / "salt.key")
    with (
        Spool(folder / "spool.db", files.organisation) as spool,
        ExchangeClient.dial(files, sealer=sealer) as client,
    ):
        spool.note(adapter=name)
        told = telling(adapter, voice)
        runner = Runner(told, spool, client, notice=told.notice, ring=ring)
        stop_on_signals(runner)
        voice(_STARTS.fill(organisation=client.organisation, target=files.target, what=what))
        runner.run()
        told.summary(spool.status().waiting)
