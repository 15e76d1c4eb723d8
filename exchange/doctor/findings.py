"""What a probe finds, and how a probe is run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from exchange.errors import ConfigurationError, ExchangeError
from exchange.text import Text

#: Seconds that one probe may take.
LIMIT = 10.0


class Status(StrEnum):
    """How grave a finding is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """
    One thing looked at.

    *probe* is its stable name for scripts, *what* what was found, *cause* and *fix* (a command
    where one helps) are given unless all is well.
    """

    probe: str
    status: Status
    what: Text
    cause: Text | None = None
    fix: Text | None = None


Probe = Callable[[], Iterator[Finding]]


def fine(probe: str, en: str, zh: str) -> Finding:
    """Return that all is well."""
    return Finding(probe=probe, status=Status.OK, what=Text(en=en, zh=zh))


def wrong(probe: str, what: Text, cause: Text, fix: Text, status: Status = Status.FAIL) -> Finding:
    """Return what is not well."""
    return Finding(probe=probe, status=status, what=what, cause=cause, fix=fix)


def failed(probe: str, what: Text, error: ExchangeError) -> Finding:
    """Return a failure whose own sentence says cause and mend."""
    fix = _SEE_CONFIG if isinstance(error, ConfigurationError) else _SEE_CAUSE
    return wrong(probe, what, error.text, fix)


def run(name: str, probe: Probe, limit: float = LIMIT) -> list[Finding]:
    """
    Run one probe in a thread of its own and return its findings, or that it took too long.

    An `ExchangeError` or `OSError` that a probe does not explain itself is a finding too.
    """
    found: list[Finding] = []
    crashed: list[BaseException] = []

    def work() -> None:
        try:
            found.extend(probe())
        except ExchangeError as error:
            found.append(failed(name, _COULD_NOT, error))
        except OSError as error:
            said = f"{error.filename or ''} {error.strerror or error}".strip()
            found.append(wrong(name, _COULD_NOT, Text(en=f"{said}.", zh=f"{said}。"), _SEE_CAUSE))
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            crashed.append(error)

    thread = threading.Thread(target=work, name=f"probe-{name}", daemon=True)
    thread.start()
    thread.join(limit)
    if crashed:
        raise crashed[0]
    if thread.is_alive():
        return [*found, wrong(name, _SLOW.fill(seconds=limit), _SLOW_CAUSE, _SLOW_FIX)]
    return found


_COULD_NOT = Text(en="This could not be looked at.", zh="无法检查此项。")
_SEE_CAUSE = Text(en="Mend what the cause names, then run the doctor again.",
                  zh="请按原因处理后重新诊断。")  # fmt: skip
_SEE_CONFIG = Text(
    en="Mend what the cause names; see: exchange config show",
    zh="请按原因处理；参阅：exchange config show",
)
_SLOW = Text(en="No answer within {seconds:g} s.", zh="{seconds:g} 秒内无响应。")
_SLOW_CAUSE = Text(
    en="Something between here and there takes packets without answering, or is overloaded.",
    zh="中间某处丢弃报文而不应答，或负载过高。",
)
_SLOW_FIX = Text(
    en="Ask the network's operator whether a firewall drops this connection.",
    zh="请向网络管理方确认防火墙是否丢弃了该连接。",
)
