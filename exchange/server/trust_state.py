"""What the running bridge says of the trust in force, in a file that `exchange status` reads."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from exchange.causes import cause
from exchange.errors import DataError
from exchange.server.journal import Journal
from exchange.text import Text

_UNREADABLE = Text(
    en="The state file {file} cannot be read: {why}. The bridge writes it anew when it is started.",
    zh="无法读取状态文件 {file}：{why}。网桥启动时会重新写入。",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Why what a file says now is not taken, which one is wrong, and since when."""

    text: Text
    file: str
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustState:
    """
    The trust in force at a bridge.

    *lists* is when each network's list of revoked certificates is due to be followed by a newer one;
    *denied* counts the entries of the deny list.
    """

    generation: int
    digest: str
    lists: dict[str, datetime]
    grace: timedelta
    denied: int
    refused: Refused | None
    #: Networks whose journal of acts is refused, and why.
    journals: Mapping[str, Refused] = field(default_factory=dict)
    #: The process that said it; 0 for this one.
    process: int = 0


class StateFile:
    """The file, written whenever the trust changes; a bridge whose file cannot be written serves on."""

    def __init__(self, path: Path, journal: Journal) -> None:
        self._path = path
        self._journal = journal
        self._state: TrustState | None = None
        self._journals: dict[str, Refused] = {}

    def refuse(self, network: str, refused: Refused | None) -> None:
        """Note that *network*'s journal of acts is refused, or is not any more."""
        before = dict(self._journals)
        self._journals.pop(network, None)
        if refused is not None:
            self._journals[network] = refused
        if self._journals != before and self._state is not None:
            self.write(self._state)

    def write(self, state: TrustState) -> None:
        """Put *state* into the file, as a whole, with the journals that are refused."""
        self._state = state = replace(state, journals=dict(self._journals))
        data = {
            "process": os.getpid(),
            "generation": state.generation,
            "digest": state.digest,
            "lists": {network: ends.isoformat() for network, ends in state.lists.items()},
            "grace_hours": state.grace / timedelta(hours=1),
            "denied": state.denied,
            "refused": _said(state.refused),
            "journals": {network: _said(one) for network, one in state.journals.items()},
        }
        beside = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            beside.write_text(json.dumps(data, ensure_ascii=False, indent=2), encoding="utf-8")
            beside.replace(self._path)
        except OSError as error:
            self._journal.warning("state-unwritten", file=str(self._path), said=cause(error).en)


def _said(refused: Refused | None) -> dict[str, str] | None:
    if refused is None:
        return None
    return {
        "en": refused.text.en,
        "zh": refused.text.zh,
        "file": refused.file,
        "since": refused.since.isoformat(),
    }


def _read(data: Mapping[str, str] | None) -> Refused | None:
    if data is None:
        return None
    text = Text(en=data["en"], zh=data["zh"])
    return Refused(text=text, file=data["file"], since=datetime.fromisoformat(data["since"]))


def read_state(path: Path) -> TrustState | None:
    """Return what the bridge said last, None where it said nothing yet; raises `DataError`."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return TrustState(
            process=int(data["process"]),
            generation=int(data["generation"]),
            digest=str(data["digest"]),
            lists={net: datetime.fromisoformat(ends) for net, ends in data["lists"].items()},
            grace=timedelta(hours=data["grace_hours"]),
            denied=int(data["denied"]),
            refused=_read(data["refused"]),
            # A bridge of before says nothing of them.
            journals={
                net: one for net, why in data.get("journals", {}).items() if (one := _read(why))
            },
        )
    except FileNotFoundError:
        return None
    except OSError as error:
        why = cause(error)
    except (ValueError, KeyError, TypeError, AttributeError):
        why = Text(en="it is not what a bridge writes", zh="内容不是网桥所写")
    text = Text(
        en=_UNREADABLE.en.format(file=path, why=why.en),
        zh=_UNREADABLE.zh.format(file=path, why=why.zh),
    )
    raise DataError(text, file=str(path))
