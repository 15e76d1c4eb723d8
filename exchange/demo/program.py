"""The whole demo: city after city on a folder of its own, which goes when the demo goes."""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from exchange.demo import daily, disputes, incidents
from exchange.demo.city import City, load_cities
from exchange.demo.performance import Performance, Programme, perform
from exchange.demo.process import DemoFailed, Leash
from exchange.demo.realtext import Real, Sorted, read_real, sort_real
from exchange.demo.report import (
    as_data,
    table_rows,
    table_title,
    trail_lines,
    trail_of,
    trail_title,
)
from exchange.demo.routes import crossings
from exchange.demo.stage import Stage
from exchange.demo.teller import Teller
from exchange.demo.trail import Line
from exchange.demo.words import NOTHING, filled
from exchange.text import Text

_BEGIN = Text(
    en="Two networks that do not trust each other, one bridge between them. Everything below is "
    "real: certificates, TLS, processes, databases; only the matters are invented.",
    zh="两个互不信任的网络，一座网桥。以下证书、TLS、进程、数据库均为真实，仅事项为虚构。",
)
_REAL = Text(
    en="Of {of} messages in {file} the first {count} are used{more}; each is taken to have reached the "
    "desk that it is not for. Only their numbers are shown.",
    zh="{file} 共 {of} 条，取前 {count} 条{more}；均按“拨错平台”处理。仅显示编号，不显示内容。",
)
_MORE = Text(en=" (--limit {of} for all)", zh="（全部请用 --limit {of}）")
_SORTED = Text(
    en="  {count} cross, {unlisted} of them on no list (R33); {stay} the hotline does not take and "
    "explains (R02).",
    zh="  {count} 条移交（其中清单外 {unlisted} 条，R33）；{stay} 条不予受理并作解释（R02）。",
)
_ALL = Text(
    en="Everything came as promised in {seconds:.0f} s: nothing lost, nothing doubled, all receipts and "
    "the log verify.",
    zh="{seconds:.0f} 秒内全部符合承诺：无丢失、无重复，全部回执与日志验证通过。",
)
_NOT_ALL = Text(
    en="Not everything came as promised: see ✗ above. Run it again with --keep DIR and look at the logs.",
    zh="并非全部符合承诺，见上文 ✗。请用 --keep DIR 重新运行并查看日志。",
)
_NEXT = Text(
    en="Next: the same with your own text, exchange demo --messages FILE; one region as data, exchange "
    "demo --profile changzhi --json; to look inside, exchange demo --keep DIR.",
    zh="下一步：用自己的文本 exchange demo --messages 文件；单个地区输出数据 exchange demo --profile "
    "changzhi --json；查看内部 exchange demo --keep 目录。",
)
_KEPT = Text(
    en="Kept in {folder}. The bridge is stopped; its database can be read as it stands:\n"
    "  exchange ticket list --config {bridge}\n"
    "  exchange ticket trail {ticket} --config {bridge}\n"
    "  exchange log verify --config {bridge}\n"
    "Start it again, and look with the hotline's eyes:\n"
    "  exchange serve --config {bridge}\n"
    "  exchange ticket list --config {gateway}\n"
    "  exchange doctor --config {gateway}",
    zh="已保留于 {folder}。网桥已停止，数据库可直接查看：\n"
    "  exchange ticket list --config {bridge}\n"
    "  exchange ticket trail {ticket} --config {bridge}\n"
    "  exchange log verify --config {bridge}\n"
    "重新启动网桥，以 12345 身份查看：\n"
    "  exchange serve --config {bridge}\n"
    "  exchange ticket list --config {gateway}\n"
    "  exchange doctor --config {gateway}",
)
_TAKEN = Text(
    en="{folder} is there already. Name a folder that is not, so that nothing is overwritten.",
    zh="{folder} 已存在。请指定尚不存在的文件夹，以免覆盖。",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is asked of the demo; *keep* None leaves nothing behind."""

    profiles: Sequence[str]
    keep: Path | None = None
    messages: Path | None = None
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How the demo ended: whether all came as promised, and the same as *data*."""

    holds: bool
    data: Mapping[str, Any]


class Interrupted(Exception):
    """Ctrl-C or SIGTERM: everything was ended in good order."""


def run(wish: Wish, teller: Teller) -> Ended:
    """
    Run the demo.

    Raises `DemoFailed` where it cannot go on, `DataError` for a bad file of messages, `Interrupted`.
    """
    real = read_real(wish.messages) if wish.messages is not None else None
    began = time.monotonic()
    cities, leash = load_cities(), Leash()
    data: list[dict[str, Any]] = []
    found: list[tuple[Performance, list[Line]]] = []
    with _terminable(), _folder(wish.keep) as folder:
        try:
            _introduce(wish, real, teller)
            for name in wish.profiles:
                stage = Stage(folder / name, cities[name], leash, datetime.now(UTC), teller.rang)
                performance = _play(stage, wish, real, teller)
                found.append((performance, trail_of(performance)))
                data.append(as_data(*found[-1]))
        finally:
            leash.let_go()
        holds = all(one.holds for one, _ in found)
        _conclude(found, teller)
        if wish.keep is not None:
            _tell_kept(found[-1][0], teller)
    seconds = time.monotonic() - began
    teller.line((_ALL if holds else _NOT_ALL).fill(seconds=seconds))
    if holds and wish.keep is None and real is None:
        teller.line(_NEXT)
    return Ended(holds=holds, data={"holds": holds, "seconds": round(seconds, 1), "profiles": data})


def _introduce(wish: Wish, real: list[Real] | None, teller: Teller) -> None:
    teller.line(_BEGIN)
    if real is None:
        return
    more = _MORE.fill(of=len(real)) if len(real) > wish.limit else NOTHING
    count = min(len(real), wish.limit)
    teller.line(filled(_REAL, of=len(real), file=wish.messages, count=count, more=more))


def _programmes(city: City, wish: Wish, real: list[Real] | None) -> tuple[Programme, Sorted | None]:
    """Return what is played in *city*, and what became of real messages, where there are."""
    if real is not None:
        found = sort_real(city, real[: wish.limit])
        return Programme(crossings=found.crossing, scenes=[], silence=False), found
    scenes = [*disputes.scenes(city), *incidents.scenes(city), *daily.scenes(city)]
    return Programme(crossings=list(crossings(city)), scenes=scenes, silence=True), None


def _play(stage: Stage, wish: Wish, real: list[Real] | None, teller: Teller) -> Performance:
    """Play one city; its processes are gone when this returns."""
    programme, found = _programmes(stage.city, wish, real)
    with stage:
        stage.open()
        stage.await_open()
        performance = perform(stage, programme, teller)
    if found is not None:
        performance.stayed = found.stay
        count, stay = len(found.crossing), len(found.stay)
        teller.line(_SORTED.fill(count=count, unlisted=found.unlisted, stay=stay))
    return performance


def _conclude(found: Sequence[tuple[Performance, list[Line]]], teller: Teller) -> None:
    for performance, lines in found:
        if lines:
            teller.line()
            teller.line(trail_title(performance))
            for said in trail_lines(lines, teller.language):
                teller.line(Text(en=said, zh=said))
            break
    teller.line()
    teller.line(table_title())
    teller.table(list(table_rows([one for one, _ in found], teller.language)))
    teller.line()


def _tell_kept(performance: Performance, teller: Teller) -> None:
    ground = performance.stage.ground
    told = [played.told for played in (*performance.scenes, *performance.crossed) if played.told]
    hotline = next(iter(ground.city.platforms.values()))
    teller.line(
        _KEPT.fill(
            folder=ground.folder.parent, bridge=ground.bridge_config,
            gateway=ground.gateway_config(hotline),
            ticket=told[0].tickets[0] if told else "TICKET",
        )
    )  # fmt: skip


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """Give the demo's folder: *keep*, or one that is removed however the demo ends."""
    if keep is not None:
        try:
            keep.mkdir(parents=True)
        except FileExistsError:
            raise DemoFailed(_TAKEN.fill(folder=keep)) from None
        yield keep.resolve()
        return
    folder = Path(tempfile.mkdtemp(prefix="exchange-demo-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _terminable() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the demo in good order, once; while it ends, neither disturbs."""
    numbers = (signal.SIGINT, signal.SIGTERM)

    def stop(_number: int, _frame: FrameType | None) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
