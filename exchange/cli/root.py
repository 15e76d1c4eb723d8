"""The root of the commands: the language, and how every way of ending is said."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import click

from certs.speech import Language, Said, spoken, usage_text
from exchange.causes import cause
from exchange.cli.grammar import LazyGroup, Option, say
from exchange.errors import ConfigurationError, ExchangeError
from exchange.text import Text

FAILED, MISUSED, INTERRUPTED = 1, 2, 130
#: What a shell reports of a program that SIGPIPE ended: 128 + 13.
UNREAD = 141

_COMMANDS: dict[str, tuple[str, Text]] = {
    "demo": (
        "exchange.demo.command:demo",
        Text(en="Show a city at work: two networks, one bridge", zh="演示：两个网络、一座网桥"),
    ),
    "serve": ("exchange.cli.serve:serve", Text(en="Run a bridge", zh="运行网桥")),
    "migrate": (
        "exchange.cli.serve:migrate",
        Text(en="Create the database or bring it up to date", zh="创建或升级数据库"),
    ),
    "push": (
        "exchange.cli.push:push",
        Text(en="Sign messages and push them to the bridge", zh="签名并向网桥推送消息"),
    ),
    "pull": (
        "exchange.cli.pull:pull",
        Text(en="Take what waits for your organisation", zh="领取本机构待收的消息"),
    ),
    "ticket": (
        "exchange.cli.ticket:ticket",
        Text(en="Look at tickets: show, list, trail, export", zh="查单：详情、列表、追溯链、导出"),
    ),
    "catalog": (
        "exchange.cli.catalog:catalog",
        Text(en="Look up matters: find, show, list", zh="查事项清单：查找、详情、列表"),
    ),
    "profile": (
        "exchange.cli.profile:profile",
        Text(en="Look at regions' rules: list, show, check", zh="查方案：列表、详情、检查"),
    ),
    "mapping": (
        "exchange.cli.mapping:mapping",
        Text(
            en="A platform's records as messages: check, try, draft",
            zh="平台记录与消息的映射：检查、试用、起草",
        ),
    ),
    "adapter": (
        "exchange.cli.adapter:adapter",
        Text(
            en="Adapters: list, run, make a new one, how they stand, reconcile",
            zh="适配器：列出、启动、新建、现状、校核",
        ),
    ),
    "desk": (
        "exchange.cli.desk:desk",
        Text(
            en="A simulated desk to try a link with: run, status",
            zh="模拟坐席，用于试对接：运行、现状",
        ),
    ),
    "lane": (
        "exchange.cli.lane:lane",
        Text(
            en="Lanes that stand still: list, show, retry, skip",
            zh="停滞的通道：列表、详情、重试、搁置",
        ),
    ),
    "receipt": (
        "exchange.cli.receipt:receipt",
        Text(en="Prove a receipt offline: show, verify", zh="离线验证回执：查看、验证"),
    ),
    "witness": (
        "exchange.cli.witness:witness",
        Text(en="Watch a log for a network and co-sign it", zh="见证：查验日志并联署"),
    ),
    "log": (
        "exchange.cli.log:log",
        Text(en="Check everything stored against the log", zh="对照日志核验全部存储"),
    ),
    "status": (
        "exchange.cli.status:status",
        Text(en="Show how a bridge or a gateway stands", zh="查看网桥或网关的现状"),
    ),
    "backup": (
        "exchange.cli.backup:backup",
        Text(
            en="Copy the bridge's SQLite database while it serves", zh="在线备份网桥 SQLite 数据库"
        ),
    ),
    "archive": (
        "exchange.cli.archive:archive",
        Text(en="Move old closed tickets' contents into files", zh="将旧结案单内容移入归档文件"),
    ),
    "keys": (
        "exchange.cli.keys:keys",
        Text(
            en="Encryption at rest: new, show, rewrap, destroy",
            zh="静态加密：新建、查看、重新封装、销毁",
        ),
    ),
    "doctor": (
        "exchange.cli.doctor:doctor",
        Text(en="Find what is wrong with a setup, and its mend", zh="诊断配置与环境，给出解决办法"),
    ),
    "conformance": (
        "exchange.cli.conformance:conformance",
        Text(en="Judge a bridge or an adapter", zh="检验网桥或适配器是否符合"),
    ),
    "certs": (
        "exchange.cli.certs:certs",
        Text(en="Certificates, revocation, trust between networks", zh="证书、吊销与网络间信任"),
    ),
    "sealing": (
        "exchange.cli.sealing:sealing",
        Text(en="Keys to seal field groups to: make, show", zh="字段组封装密钥：生成、查看"),
    ),
    "config": (
        "exchange.cli.config:config",
        Text(en="Show or check the configuration", zh="查看或检查配置"),
    ),
}

_ABOUT = Text(
    en="The bridge between a city's 12345 hotline and its 110 police desk.",
    zh="城市 12345 热线与 110 报警服务台之间的对接桥。",
)


@contextmanager
def _pipe() -> Iterator[None]:
    """End quietly when whoever reads our output has read enough."""
    try:
        yield
    except BrokenPipeError:
        # What is still buffered would be complained about at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(UNREAD) from None


class _Root(LazyGroup):
    """The root; click would end a closed pipe as a failure."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command."""
        with _pipe():
            return super().invoke(ctx)


@click.group(cls=_Root, name="exchange", lazy=_COMMANDS, text=_ABOUT)
@click.option(
    "--lang",
    cls=Option,
    type=click.Choice(["en", "zh"]),
    text=Text(
        en="Language of the output; else EXCHANGE_LANG, else the locale.",
        zh="输出语言；默认取 EXCHANGE_LANG，再取区域设置。",
    ),
)
@click.version_option(
    package_name="hotline-exchange",
    message="%(version)s",
    cls=Option,
    text=Text(en="Show the version.", zh="显示版本。"),
)
def root(lang: str | None) -> None:
    """Take part in every command line; `spoken` has read the language before this."""
    del lang


def run(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> int:
    """Run one command line; return its exit code."""
    lang, rest = spoken(arguments, environment)
    try:
        with _pipe():
            code = root.main(
                list(rest), prog_name="exchange", standalone_mode=False, obj={"lang": lang}
            )
            sys.stdout.flush()
            return code if isinstance(code, int) else 0
    except click.UsageError as error:
        return _end(usage_text(error, "exchange"), lang, MISUSED)
    except click.ClickException as error:
        said = error.format_message()
        return _end(Text(en=said, zh=said), lang, FAILED)
    except click.Abort:
        return _end(_INTERRUPTED, lang, INTERRUPTED)
    except ExchangeError as error:
        return _end(error.text, lang, MISUSED if isinstance(error, ConfigurationError) else FAILED)
    except OSError as error:
        if error.filename is None:
            raise
        name, why = os.fsdecode(error.filename), cause(error)
        text = Text(en=f"{name}: {why.en}.", zh=f"{name}：{why.zh}。")
        return _end(text, lang, FAILED)


@contextmanager
def telling(progress: Callable[[], Text]) -> Iterator[None]:
    """On Ctrl-C say what *progress()* (a `Text`) says was and was not done, and end."""
    try:
        yield
    except KeyboardInterrupt:
        say(progress(), err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None


def _end(text: Said, lang: Language, code: int) -> int:
    click.echo(text.say(lang), err=True)
    return code


_INTERRUPTED = Text(
    en="Interrupted: this command had changed nothing yet.", zh="已中断：本命令尚未作任何改动。"
)
