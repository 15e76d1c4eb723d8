"""``exchange demo``: a city at work, in a minute, with nothing to set up."""

from __future__ import annotations

from pathlib import Path

import click

from exchange.cli.grammar import command, json_option, language, option, say
from exchange.cli.screen import show_json
from exchange.demo import PROFILES
from exchange.text import Text

_ENDED = Text(
    en="Interrupted: every process of the demo was ended and its temporary folder removed.",
    zh="已中断：演示的全部进程已结束，临时文件夹已删除。",
)
_ENDED_KEPT = Text(
    en="Interrupted: every process of the demo was ended; what there is is in {folder}.",
    zh="已中断：演示的全部进程已结束，已有内容保留于 {folder}。",
)


@command(
    "demo",
    en="Show a city at work: two networks, one bridge, real processes and certificates.\n"
    "Every matter crosses by its route; disputes, silence and a killed bridge included.\n"
    "Exit: 0 all as promised, 1 something was not, 2 misused, 130 interrupted.",
    zh="演示一座城市的运行：两个网络、一座网桥，真实进程与证书。\n"
    "各类事项按各自路径移交，含争议、失联与网桥被强行终止。\n"
    "退出码：0 全部符合承诺，1 有不符，2 用法有误，130 被中断。",
)
@option(
    "--profile", "profiles", multiple=True, type=click.Choice(PROFILES),
    en="Only this region; may be repeated.", zh="仅演示该地区，可多次给出。",
)  # fmt: skip
@option(
    "--messages", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    en="Real text instead of the invented matters: JSON lines with number, title, time, text.",
    zh="以真实文本代替虚构事项：JSON 行，含 number、title、time、text。",
)  # fmt: skip
@option(
    "--limit", type=click.IntRange(1, 10_000), default=60, show_default=True,
    en="Messages of the file that are used.", zh="取用文件中的消息条数。",
)  # fmt: skip
@option(
    "--keep", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
    en="Keep certificates, databases, configurations and logs there.",
    zh="将证书、数据库、配置与日志保留在该文件夹。",
)  # fmt: skip
@json_option
def demo(
    *,
    profiles: tuple[str, ...],
    messages: Path | None,
    limit: int,
    keep: Path | None,
    as_json: bool,
) -> None:
    """Run the demo."""
    # Loaded here, so that --help is quick.
    from exchange.demo import program  # noqa: PLC0415
    from exchange.demo.process import DemoFailed  # noqa: PLC0415
    from exchange.demo.teller import standard  # noqa: PLC0415

    wish = program.Wish(
        profiles=tuple(dict.fromkeys(profiles or PROFILES)),
        keep=keep,
        messages=messages,
        limit=limit,
    )
    try:
        ended = program.run(wish, standard(language(), as_data=as_json))
    except DemoFailed as failed:
        say(failed.text, err=True)
        raise click.exceptions.Exit(1) from failed
    except program.Interrupted:
        say(_ENDED if keep is None else _ENDED_KEPT.fill(folder=keep), err=True)
        raise click.exceptions.Exit(130) from None
    if as_json:
        show_json(ended.data)
    raise click.exceptions.Exit(0 if ended.holds else 1)
