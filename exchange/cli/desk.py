"""``exchange desk``: a simulated 12345 or 110 desk, to try a link with."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import click

from exchange.cli.grammar import group, json_option, option, say
from exchange.cli.screen import show_json, show_table
from exchange.errors import InvalidRequest
from exchange.text import Text

desk = group(
    "desk",
    en="A simulated 12345 or 110 desk that works by itself, to try a link with.",
    zh="模拟 12345 或 110 坐席，自行运转，用于试对接。",
)

_NAMES = ("hotline", "police")
_PACES = ("real", "brisk", "fast")
#: One call every so many of the desk's minutes.
_EVERY = 20


@desk.command(
    "run",
    text=Text(
        en="Run a desk until Ctrl-C: people call, its staff work by its table of work, each act is a line. In the "
        "folder are its database desk.db and map.toml, the mapping that links it (yours to change). With --config "
        "it is linked to that bridge; without, your own adapter links its tables.\n"
        "Exit 0: ended by you, or with --until-done everything came to its end.",
        zh="运行坐席，直到 Ctrl-C：群众来电，坐席人员按流程表办理，每一步一行。文件夹内有数据库 desk.db 与映射 map.toml"
        "（可修改）。给出 --config 则对接该网桥，否则由贵方适配器对接其数据表。\n"
        "退出码 0：人为结束，或用 --until-done 时全部办结。",
    ),
)
@click.argument("name", type=click.Choice(_NAMES))
@option(
    "--folder", type=click.Path(path_type=Path), required=True,
    en="Of the desk, made where it is missing.", zh="坐席文件夹，不存在则创建。",
)  # fmt: skip
@option(
    "--config", type=click.Path(path_type=Path),
    en="The gateway's configuration; without it the desk is not linked.", zh="网关配置；不给则不对接。",
)  # fmt: skip
@option(
    "--peer", required=True, metavar="CODE",
    en="The organisation that it hands its matters to.", zh="移交对象的机构代码。",
)  # fmt: skip
@option(
    "--region",
    required=True,
    metavar="CODE",
    en="The division of its matters.",
    zh="事项所在区划代码。",
)
@option(
    "--matters", type=click.IntRange(0, 9999), default=10, show_default=True,
    en="How many people call in all; 0 only answers the other side.", zh="来电总数；0 仅办理对方移交。",
)  # fmt: skip
@option(
    "--seed", type=int, default=1, show_default=True,
    en="Decides who calls, what is returned and what is disputed; the same again for a seed.",
    zh="决定来电、退回与争议；同一种子结果相同。",
)  # fmt: skip
@option(
    "--pace", type=click.Choice(_PACES), default="brisk", show_default=True,
    en="A minute of work takes a minute (real), a second (brisk), or no time (fast).",
    zh="一分钟的工作用时：real 一分钟、brisk 一秒、fast 不等待。",
)  # fmt: skip
@option(
    "--until-done",
    is_flag=True,
    en="End when every matter has come to its end.",
    zh="全部办结后结束。",
)
@option(
    "--remind",
    default="",
    metavar="COMMAND",
    en="A command run for each message that came.",
    zh="收到消息时执行的命令。",
)
@option(
    "--ring",
    default="",
    metavar="URL",
    en="A webhook called for each message that came.",
    zh="收到消息时调用的 webhook。",
)
def run(
    *,
    name: str,
    folder: Path,
    config: Path | None,
    peer: str,
    region: str,
    matters: int,
    seed: int,
    pace: str,
    until_done: bool,
    remind: str,
    ring: str,
) -> None:
    """Run a desk."""
    from adapters.desks.running import (
        DESKS,
        Linked,
        Plan,
        Work,
        ended_by_signals,
        mapping_in,
        utc_now,
    )
    from adapters.desks.working import Desk
    from adapters.reminder import RING_SECRET, Reminder
    from adapters.settings import read_gateway
    from adapters.telling import Voice
    from exchange.cli.grammar import language
    from exchange.divisions import divisions
    from exchange.organisations import code_problem

    today = utc_now().date()
    wrong = code_problem(peer, today) or divisions().problem(region, today)
    if wrong is not None:
        raise InvalidRequest(wrong)
    workflow = DESKS[name]
    plan = Plan(seed=seed, pace=pace, matters=matters, every=_EVERY, peer=peer, region=region)
    voice = Voice(sys.stdout, language(), utc_now)
    files = read_gateway(config) if config is not None else None
    if files is not None and files.organisation == peer:
        raise InvalidRequest(_ITSELF.fill(peer=peer))
    at_work = Desk(folder / "desk.db", workflow, plan, utc_now)
    linked = None
    try:
        mapping = mapping_in(folder, workflow)
        if files is not None:
            reminder = Reminder(
                None,
                command=shlex.split(remind),
                language=language(),
                webhook=ring,
                secret=os.environ.get(RING_SECRET, ""),
            )
            linked = Linked(folder, workflow, files, voice, reminder)
        work = Work(at_work, voice, linked)
        voice(_STARTS.fill(en=workflow.title.en, zh=workflow.title.zh, folder=folder))
        voice(
            _LINKED.fill(target=files.target) if files is not None else _ALONE.fill(mapping=mapping)
        )
        with ended_by_signals(work):
            if linked is not None:
                linked.start()
            done = work.run(until_done=until_done)
        voice(_DONE if done else _ENDED)
    finally:
        if linked is not None:
            linked.stop()
        at_work.close()


@desk.command(
    "status",
    text=Text(
        en="Show how many of a desk's matters are in which state. Exit 0: all came to their end. Exit 1: some are open.",
        zh="显示坐席各状态的事项数。退出码 0：全部办结；1：尚有未结。",
    ),
)
@click.argument("name", type=click.Choice(_NAMES))
@option(
    "--folder", type=click.Path(path_type=Path, exists=True), required=True,
    en="Of the desk.", zh="坐席文件夹。",
)  # fmt: skip
@json_option
@click.pass_context
def status(context: click.Context, *, name: str, folder: Path, as_json: bool) -> None:
    """Show how a desk stands."""
    from adapters.desks.running import DESKS, utc_now
    from adapters.desks.working import Desk, Plan
    from exchange.cli.grammar import language

    workflow = DESKS[name]
    if not (folder / "desk.db").exists():
        raise InvalidRequest(_NO_DESK.fill(folder=folder))
    at_work = Desk(folder / "desk.db", workflow, Plan(peer="", region=""), utc_now)
    try:
        found = at_work.standing()
    finally:
        at_work.close()
    open_ = set(found) - workflow.ends
    if as_json:
        show_json(found)
    else:
        heads = Text(en="state|matters", zh="状态|事项").say(language())
        show_table(heads.split("|"), [(state, str(count)) for state, count in found.items()])
    if open_:
        say(_OPEN.fill(count=sum(found[state] for state in open_)), err=True)
    context.exit(1 if open_ else 0)


_STARTS = Text(
    en="The {en} begins its shift, in {folder}. Ctrl-C ends it; it goes on where it was.",
    zh="{zh}开始值班，文件夹 {folder}。按 Ctrl-C 结束，下次从原处继续。",
)
_LINKED = Text(en="linked with the bridge at {target}", zh="对接网桥 {target}")
_ALONE = Text(
    en="not linked: link its tables with your adapter; {mapping} says what they mean",
    zh="未对接：请用贵方适配器对接其数据表，含义见 {mapping}",
)
_ITSELF = Text(
    en="{peer} is this desk's own organisation; --peer names the one that it hands its matters to.",
    zh="{peer} 是本坐席自己的机构；--peer 应为移交对象。",
)
_DONE = Text(en="every matter has come to its end", zh="全部事项已办结")
_ENDED = Text(en="ended; open matters go on at the next start", zh="已结束；未结事项下次继续")
_OPEN = Text(en="{count} matters are open.", zh="尚有 {count} 件未结。")
_NO_DESK = Text(
    en="In {folder} is no desk.db: run the desk there first, or name its folder.",
    zh="{folder} 中没有 desk.db：请先运行该坐席，或指定其文件夹。",
)
