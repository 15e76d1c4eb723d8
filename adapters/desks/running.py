"""
A desk as a program: it works by itself, says each act on a line, and is linked as any platform is.

In its folder are ``desk.db``, its database, and ``map.toml``, a copy of the mapping that links it, which
may be changed; where it is linked, the adapter's ``spool.db`` and ``salt.key``, too.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from types import FrameType

from adapters.desks import hotline, police
from adapters.desks.workflow import Workflow
from adapters.desks.working import PACES, Deed, Desk, Plan
from adapters.mapping.parsing import load
from adapters.reminder import Reminder
from adapters.runner import Runner
from adapters.settings import open_sealer
from adapters.spool import Spool
from adapters.table.database import PlatformDatabase
from adapters.table.platform import TablePlatform
from adapters.telling import Telling, Voice
from exchange.client import ExchangeClient, GatewayFiles
from exchange.errors import StoreUnavailable
from exchange.text import Text

#: The desks there are.
DESKS: Mapping[str, Workflow] = {one.WORKFLOW.name: one.WORKFLOW for one in (hotline, police)}

#: Seconds between two looks of the desk's people at their screens, by pace.
_LOOKS: Mapping[str, float] = {"real": 1.0, "brisk": 0.25, "fast": 0.05}


def utc_now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


def mapping_in(folder: Path, workflow: Workflow) -> Path:
    """Return the desk's mapping in *folder*, which is written there where it is not yet."""
    path = folder / "map.toml"
    folder.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        text = files("adapters.desks").joinpath(f"{workflow.name}.map.toml").read_text("utf-8")
        path.write_text(text, "utf-8")
    return path


class Linked:
    """A desk's tables, linked to a bridge by the table adapter, in threads of its own."""

    def __init__(
        self,
        folder: Path,
        workflow: Workflow,
        gateway: GatewayFiles,
        voice: Voice,
        reminder: Reminder,
    ) -> None:
        """Open everything; raises `ExchangeError` naming what is wrong."""
        self._stack = ExitStack()
        with ExitStack() as stack:
            sealer = open_sealer(gateway, folder / "salt.key")
            document = load(mapping_in(folder, workflow))
            database = PlatformDatabase(document, f"sqlite:///{folder / 'desk.db'}")
            stack.callback(database.close)
            spool = stack.enter_context(Spool(folder / "spool.db", gateway.organisation))
            client = stack.enter_context(ExchangeClient.dial(gateway, sealer=sealer))
            spool.note(adapter="table", mapping=document.file)
            self._platform = platform = TablePlatform(
                database, gateway.organisation, remind=reminder
            )
            platform.note = lambda facts: spool.note(**facts)
            # The desk tells its own acts; of the link only what fails and comes back is told.
            telling = Telling(platform, voice)
            self.runner = Runner(platform, spool, client, notice=telling.notice, ring=reminder.due)
            platform.notice = self.runner.note_error
            platform.speak(voice)
            self._stack = stack.pop_all()
        self._thread = threading.Thread(target=self.runner.run, name="link")

    def start(self) -> None:
        """Let it run."""
        self._thread.start()

    def has_sent(self) -> bool:
        """Return whether the bridge has answered everything that was taken from the tables."""
        standing = self._platform.standing()
        return not standing.get("said_waiting", 0) + standing.get("said_kept", 0)

    def stop(self) -> None:
        """End it; nothing is lost by that."""
        self.runner.stop()
        if self._thread.ident is not None:
            self._thread.join()
        self._stack.close()


class Work:
    """Lets a desk work until `stop`, or until everything has come to its end."""

    def __init__(
        self, desk: Desk, voice: Callable[[Text], None], linked: Linked | None = None
    ) -> None:
        self._desk = desk
        self._voice = voice
        self._linked = linked
        self._stop = threading.Event()

    def stop(self) -> None:
        """Let `run` end after the act under way."""
        self._stop.set()

    def run(self, *, until_done: bool = False) -> bool:
        """Work; return whether everything has come to its end."""
        pause = _LOOKS[self._desk.plan.pace]
        failing = False
        while not self._stop.is_set():
            try:
                deeds = self._desk.turn()
                failing = False
            except StoreUnavailable as failure:
                deeds = []
                if not failing:
                    self._voice(failure.text)
                failing = True
            for deed in deeds:
                self._voice(line(deed))
            for table, row, why in self._desk.stopped():
                self._voice(_STOPPED.fill(table=table, row=row, why=why))
            if deeds and self._linked is not None:
                self._linked.runner.wake()
            if until_done and self._done():
                return True
            if not deeds:
                self._stop.wait(pause)
        return self._done()

    def _done(self) -> bool:
        """Whether everything has come to its end, and, where it is linked, the bridge has it all."""
        if not self._desk.done():
            return False
        return self._linked is None or (not self._desk.unsent() and self._linked.has_sent())


@contextmanager
def ended_by_signals(work: Work) -> Iterator[None]:
    """Let SIGTERM and Ctrl-C end *work* meanwhile; call it from the main thread."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        work.stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def line(deed: Deed) -> Text:
    """Return one deed for the console: ``→`` what was done here, ``←`` what came."""
    arrow = "←" if deed.came else "→"
    return Text(
        en=f"{arrow} {deed.record} {deed.who.en}: {deed.act.en} [{deed.leads}]",
        zh=f"{arrow} {deed.record} {deed.who.zh}：{deed.act.zh} [{deed.leads}]",
    )


_STOPPED = Text(
    en="✗ {table} {row} could not be sent, mend the row or the mapping: {why}",
    zh="✗ {table} {row} 未能发送，请修正该行或映射：{why}",
)

__all__ = ["DESKS", "PACES", "Linked", "Plan", "Work", "ended_by_signals", "line", "mapping_in"]
