"""``exchange demo``: a city at work, in two minutes, with nothing to set up."""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import click

from exchange.cli.grammar import command, json_option, language, option, say
from exchange.text import Text

PROFILES = ("changzhi", "shanghai", "wuyang", "xiangcheng", "inner-mongolia", "national")

_STOPPED = Text(
    en="Interrupted: every process of the demo was ended, its folder removed.",
    zh="已中断：演示的全部进程已结束，临时文件夹已删除。",
)


@command(
    "demo",
    en="Show a city at work: two networks, one bridge, real processes and certificates.\n"
    "Every matter crosses by its route; disputes, silence and a killed bridge included.\n"
    "Exit: 0 everything came as promised, 1 something did not, 2 misused.",
    zh="演示一座城市的运行：两个网络、一座网桥，真实进程与证书。\n"
    "各类事项按各自路径移交，含争议、失联与网桥被强行终止。\n"
    "退出码：0 全部符合承诺，1 有不符，2 用法有误。",
)
@option(
    "--profile", "profiles", multiple=True, type=click.Choice(PROFILES),
    en="Only this region; may be repeated.", zh="仅演示该地区，可多次给出。",
)  # fmt: skip
@json_option
def demo(*, profiles: tuple[str, ...], as_json: bool) -> None:
    """Run the demo."""
    del as_json
    from datetime import UTC, datetime

    from exchange.demo import daily, disputes, incidents
    from exchange.demo.city import load_cities
    from exchange.demo.performance import perform
    from exchange.demo.process import DemoFailed, Leash
    from exchange.demo.stage import Stage
    from exchange.demo.teller import standard

    teller = standard(language(), as_data=False)
    cities = load_cities()
    leash = Leash()
    holds = True
    with _folder(None) as folder, _terminable():
        try:
            for name in profiles or PROFILES:
                with Stage(
                    folder / name, cities[name], leash, datetime.now(UTC), teller.rang
                ) as stage:
                    stage.open()
                    stage.await_open()
                    holds &= perform(
                        stage,
                        [
                            *disputes.scenes(stage.city),
                            *incidents.scenes(stage.city),
                            *daily.scenes(stage.city),
                        ],
                        teller,
                    ).holds
        except DemoFailed as failed:
            say(failed.text, err=True)
            raise click.exceptions.Exit(1) from failed
        finally:
            leash.let_go()
    raise click.exceptions.Exit(0 if holds else 1)


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """Give the demo's folder: *keep*, or one that is removed however the demo ends."""
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep
        return
    folder = Path(tempfile.mkdtemp(prefix="exchange-demo-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end the demo as Ctrl-C does: in good order."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        say(_STOPPED, err=True)
        sys.stdout.flush()
        raise click.exceptions.Exit(130) from None
    finally:
        signal.signal(signal.SIGTERM, before)
