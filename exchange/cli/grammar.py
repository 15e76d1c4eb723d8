"""Commands, groups and options that speak both languages and load late."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, TypeVar

import click

from exchange.cli.screen import columns, width
from exchange.text import Language, Text

_F = TypeVar("_F", bound=Callable[..., Any])

_USAGE = Text(en="Usage: ", zh="用法：")
_OPTIONS = Text(en="Options:", zh="选项：")
_COMMANDS = Text(en="Commands:", zh="命令：")
_HELP = Text(en="Show this help.", zh="显示本帮助。")
_REQUIRED = Text(en="[required]", zh="[必填]")
_NO_COMMAND = Text(en="There is no command '{name}'. {hint}", zh="没有“{name}”命令。{hint}")
_MEANT = Text(en="Did you mean: {names}?", zh="是否要输入：{names}？")
_SEE_HELP = Text(en="See: {path} --help", zh="请参阅：{path} --help")


class Misused(click.UsageError):
    """The command line is wrong; said in both languages."""

    def __init__(self, text: Text, context: click.Context | None = None) -> None:
        super().__init__(text.en, context)
        self.text = text


def language() -> Language:
    """Return the language of this run."""
    context = click.get_current_context(silent=True)
    chosen = (context.obj or {}).get("lang", "en") if context is not None else "en"
    return "zh" if chosen == "zh" else "en"


def say(text: Text, *, err: bool = False) -> None:
    """Print one sentence in the language of this run."""
    click.echo(text.say(language()), err=err)


class Option(click.Option):
    """An option whose help is a `Text`."""

    def __init__(self, *args: Any, text: Text, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.text = text

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the option's line for the help page."""
        self.help = self.text.say(language())
        record = super().get_help_record(ctx)
        if record is None:
            return None
        return record[0], record[1].replace("[required]", _REQUIRED.say(language()))


def option(*names: str, en: str, zh: str, **attributes: Any) -> Callable[[_F], _F]:
    """Declare an option with its help in both languages."""
    return click.option(*names, cls=Option, text=Text(en=en, zh=zh), **attributes)


def json_option(function: _F) -> _F:
    """Declare ``--json``, given to the function as ``as_json``."""
    return option("--json", "as_json", is_flag=True, en="The same as data.", zh="以 JSON 输出。")(
        function
    )


class Command(click.Command):
    """A command whose help is a `Text`; the first sentence stands in the list of commands."""

    def __init__(self, *args: Any, text: Text, **attributes: Any) -> None:
        super().__init__(*args, **{**attributes, "help": text.en})
        self.text = text

    def get_help(self, ctx: click.Context) -> str:
        """Return the help page."""
        return page(self, ctx, self.text, ())


class Group(click.Group):
    """A group whose help is a `Text`, and which knows near misses of its commands' names."""

    command_class = Command

    def __init__(self, *args: Any, text: Text, **attributes: Any) -> None:
        super().__init__(*args, **{**attributes, "help": text.en})
        self.text = text

    def get_help(self, ctx: click.Context) -> str:
        """Return the help page."""
        return page(self, ctx, self.text, self.lines(ctx))

    def lines(self, ctx: click.Context) -> Sequence[tuple[str, Text]]:
        """Return each command's name and text."""
        found = []
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if isinstance(command, (Command, Group)):
                found.append((name, command.text))
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; else name the nearest ones."""
        if not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            raise Misused(_unknown(args[0], self.list_commands(ctx), ctx.command_path), ctx)
        return super().resolve_command(ctx, args)


class LazyGroup(Group):
    """
    A group whose commands are imported when they are run, never for the list of commands.

    *lazy* names each as ``module:attribute`` with its text; one whose module is not installed is
    left out.
    """

    def __init__(self, *args: Any, lazy: Mapping[str, tuple[str, Text]], **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.lazy = {
            name: entry
            for name, entry in lazy.items()
            if find_spec(entry[0].partition(":")[0].rpartition(".")[0]) is not None
            and find_spec(entry[0].partition(":")[0]) is not None
        }

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names, in the order declared."""
        return list(self.lazy)

    def lines(self, ctx: click.Context) -> Sequence[tuple[str, Text]]:  # noqa: ARG002
        """Return each command's name and text without importing any."""
        return [(name, text) for name, (_, text) in self.lazy.items()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the command."""
        if cmd_name not in self.lazy:
            return None
        module, _, attribute = self.lazy[cmd_name][0].partition(":")
        found: click.Command = getattr(import_module(module), attribute)
        return found


def command(name: str, *, en: str, zh: str) -> Callable[[Callable[..., Any]], Command]:
    """Declare a command with its help in both languages."""
    return click.command(name, cls=Command, text=Text(en=en, zh=zh))


def group(name: str, *, en: str, zh: str) -> Group:
    """Return a group of commands with its help in both languages."""
    return Group(name, text=Text(en=en, zh=zh))


def page(
    command: click.Command, ctx: click.Context, text: Text, commands: Sequence[tuple[str, Text]]
) -> str:
    """Return a help page: usage, what it does, commands, options."""
    lang = language()
    usage = " ".join((ctx.command_path, *command.collect_usage_pieces(ctx)))
    parts = [_USAGE.say(lang) + usage, "  " + text.say(lang).replace("\n", "\n  ")]
    if commands:
        rows = [(name, _first(each.say(lang))) for name, each in commands]
        parts.append(_COMMANDS.say(lang) + "\n" + _definitions(rows))
    rows = []
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx)
        if record is not None and not isinstance(parameter, click.Argument):
            is_help = parameter.name in ("help", "_click_default_help")
            rows.append((record[0], _HELP.say(lang)) if is_help else record)
    parts.append(_OPTIONS.say(lang) + "\n" + _definitions(rows))
    return "\n\n".join(parts)


def usage_text(error: click.UsageError) -> Text:
    """Return a usage error as a sentence in both languages, with where to read on."""
    path = error.ctx.command_path if error.ctx is not None else "exchange"
    if isinstance(error, Misused):
        return error.text
    said = error.format_message()
    zh = f"用法有误：{said}"
    if isinstance(error, click.MissingParameter) and error.param is not None:
        zh = (
            f"缺少参数：{error.param.get_error_hint(error.ctx or click.Context(click.Command('')))}"
        )
    elif isinstance(error, click.NoSuchOption):
        near = "、".join(error.possibilities or ())
        zh = f"没有 {error.option_name} 选项。" + (f"是否要输入：{near}？" if near else "")
    see = _SEE_HELP.fill(path=path)
    return Text(en=f"{said}\n{see.en}", zh=f"{zh}\n{see.zh}")


def _unknown(name: str, names: Sequence[str], path: str) -> Text:
    from difflib import get_close_matches

    near = get_close_matches(name, names, n=3, cutoff=0.5)
    hint = _MEANT.fill(names=", ".join(near)) if near else _SEE_HELP.fill(path=path)
    return Text(
        en=_NO_COMMAND.en.format(name=name, hint=hint.en),
        zh=_NO_COMMAND.zh.format(name=name, hint=hint.zh),
    )


def _first(text: str) -> str:
    """Return the first sentence."""
    line = text.partition("\n")[0]
    return line.partition("。")[0] if "。" in line else line.removesuffix(".")


def _definitions(rows: Sequence[tuple[str, str]]) -> str:
    room = min(28, max((width(name) for name, _ in rows), default=0))
    return "\n".join(f"  {columns(name, room)}  {said}".rstrip() for name, said in rows)
