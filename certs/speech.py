"""
How a command line speaks Chinese and English: its language, its help pages, its complaints.

It stands here because `certs` works alone; the command ``exchange`` speaks through it too.  What a
sentence is does not matter here: anything that can `say` itself in a language will do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import click

from certs.errors import Sentence
from certs.screen import columns, screen_width, width, wrapped

Language = Literal["en", "zh"]

_USAGE = Sentence(en="Usage: ", zh="用法：")
_OPTIONS = Sentence(en="Options:", zh="选项：")
_COMMANDS = Sentence(en="Commands:", zh="命令：")
_HELP = Sentence(en="Show this help.", zh="显示本帮助。")
_WRONG = Sentence(en="{said}", zh="用法有误：{said}")
_SEE_HELP = Sentence(en="See: {path} --help", zh="请参阅：{path} --help")

#: What click itself says, as patterns, and the same in Chinese.
_CLICK_SAYS: tuple[tuple[str, str], ...] = (
    (r"Invalid value for (.+?): (.*)", "{0} 的值有误：{1}"),
    (r"Invalid value: (.*)", "值有误：{0}"),
    (r"'(.*)' is not one of (.*?)\.?", "“{0}”不在可选值之中；可选：{1}。"),
    (r"'(.*)' is not a valid (?:integer|int)(?: range)?\.?", "“{0}”不是整数。"),
    (r"'(.*)' is not a valid float(?: range)?\.?", "“{0}”不是数。"),
    (r"(\S+) is not in the range (.*?)\.?", "{0} 不在允许范围（{1}）内。"),
    (r"(?:File|Directory|Path) '(.*)' does not exist\.?", "“{0}”不存在。"),
    (r"(?:File|Path) '(.*)' is a directory\.?", "“{0}”是文件夹，应为文件。"),
    (r"(?:Directory|Path) '(.*)' is a file\.?", "“{0}”是文件，应为文件夹。"),
    (r"(?:File|Directory|Path) '(.*)' is not readable\.?", "无权读取“{0}”。"),
    (r"(?:File|Directory|Path) '(.*)' is not writable\.?", "无权写入“{0}”。"),
    (r"Got unexpected extra arguments? \((.*)\)\.?", "多余的参数：{0}。"),
    (r"Option '(.*)' requires an argument\.?", "选项 {0} 后须给出值。"),
    (r"Option '(.*)' requires (\d+) arguments\.?", "选项 {0} 后须给出 {1} 个值。"),
    (r"Option '(.*)' does not take a value\.?", "选项 {0} 不带值。"),
    (r"Takes (\d+) values but (\d+) (?:was|were) given\.?", "应有 {0} 个值，实有 {1} 个。"),
    (r"Argument '(.*)' takes (\d+) values\.?", "参数 {0} 应有 {1} 个值。"),
    (r"Missing command\.?", "缺少命令。"),
    (r"x>=(\d+)", "不小于 {0}"),
    (r"(\d+)<=x<=(\d+)", "{0} 至 {1}"),
)

#: Of help pages: pieces of click's own wording, and the same in Chinese.
_HELP_SAYS: tuple[tuple[str, str], ...] = (
    (r"\[OPTIONS\]", "[选项]"), (r"\bCOMMAND \[ARGS\]\.\.\.", "命令 [参数]..."),
    (r"\bINTEGER(?: RANGE)?\b", "整数"), (r"\bFLOAT(?: RANGE)?\b", "数"), (r"\bTEXT\b", "文本"),
    (r"\bDIRECTORY\b", "文件夹"), (r"\bPATH\b", "路径"), (r"\bFILE\b", "文件"), (r"\bDIR\b", "文件夹"),
    (r"\bTICKET_ID\b", "单编号"), (r"\bMATTER\b", "事项"), (r"\bPREFIX\b", "编号前缀"),
    (r"\bWORDS\b", "文字"), (r"\bFILES\b", "文件"), (r"\bNETWORK\b", "网络"),
    (r"\bHOST:PORT\b", "主机:端口"), (r"\bSHELL\b", "命令行"), (r"\bBUNDLE\b", "信任包"),
    (r"\bCERTIFICATE\b", "证书"), (r"\bSERIAL\b", "序列号"), (r"\bDIGITS\b", "数字"), (r"\bNUMBER\b", "编号"),
    (r"\bADDRESS\b", "地址"), (r"\bREQUEST\b", "申请文件"), (r"\bFOLDER\b", "文件夹"), (r"\bSTEM\b", "文件名"),
    (r"\bSECONDS\b", "秒数"), (r"\bREGION\b", "行政区划"), (r"\bORGANISATION\b", "机构"), (r"\bTIME\b", "时间"), (r"\bCODE\b", "代码"), (r"\bNAME\b", "名称"), (r"\bID\b", "编号"),
    (r"\[default: ", "[默认："), (r"\brequired\]", "必填]"), (r"; x>=(\d+)", r"；不小于 \1"),
    (r"; (\d+)<=x<=(\d+)", r"；\1 至 \2"), (r"\[x>=(\d+)\]", r"[不小于 \1]"),
    (r"\[(\d+)<=x<=(\d+)\]", r"[\1 至 \2]"),
)  # fmt: skip


class Said(Protocol):
    """A sentence in both languages."""

    def say(self, language: Language, /) -> str:
        """Return it in *language*."""


class Misused(click.UsageError):
    """The command line is wrong; said in both languages."""

    def __init__(self, text: Said, context: click.Context | None = None) -> None:
        super().__init__(text.say("en"), context)
        self.text = text


def spoken(
    arguments: Sequence[str], environment: Mapping[str, str]
) -> tuple[Language, Sequence[str]]:
    """
    Return the language of a command line, and the line without a ``--lang`` that names one.

    It is read before everything else, so that ``--lang`` may stand anywhere and ``--help`` and
    usage errors are in that language too.  Of a wrong value only that much is left, for click to
    name it.
    """
    locale = next(filter(None, map(environment.get, ("LC_ALL", "LC_MESSAGES", "LANG"))), "")
    wish = environment.get("EXCHANGE_LANG") or locale
    lang: Language = "zh" if wish.lower().startswith("zh") else "en"
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--":
            rest += [word, *words]
            break
        name, equals, value = word.partition("=")
        if name != "--lang":
            rest.append(word)
            continue
        value = value if equals else next(words, "")
        if value not in ("zh", "en"):
            return lang, ["--lang", value] if value else ["--lang"]
        lang = "zh" if value == "zh" else "en"
    return lang, rest


def language() -> Language:
    """Return the language of this run."""
    context = click.get_current_context(silent=True)
    chosen = (context.obj or {}).get("lang", "en") if context is not None else "en"
    return "zh" if chosen == "zh" else "en"


class Option(click.Option):
    """An option whose help is in both languages."""

    def __init__(self, *args: Any, text: Said, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.text = text

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the option's line for the help page."""
        self.help = self.text.say(language())
        record = super().get_help_record(ctx)
        if record is None or language() == "en":
            return record
        name, said = record
        return help_in_chinese(name), self.help + help_in_chinese(said.removeprefix(self.help))


class Command(click.Command):
    """A command whose help is in both languages; its first sentence stands in the lists."""

    def __init__(self, *args: Any, text: Said, **attributes: Any) -> None:
        super().__init__(*args, **{**attributes, "help": text.say("en")})
        self.text = text

    def get_help(self, ctx: click.Context) -> str:
        """Return the help page."""
        return page(self, ctx, self.text, ())


class Group(click.Group):
    """A group whose help is in both languages, and which knows near misses of its commands."""

    command_class = Command

    def __init__(self, *args: Any, text: Said, **attributes: Any) -> None:
        super().__init__(*args, **{**attributes, "help": text.say("en")})
        self.text = text

    def get_help(self, ctx: click.Context) -> str:
        """Return the help page."""
        return page(self, ctx, self.text, self.lines(ctx))

    def lines(self, ctx: click.Context) -> Sequence[tuple[str, Said]]:
        """Return each command's name and text."""
        found: list[tuple[str, Said]] = []
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


def page(
    command: click.Command, ctx: click.Context, text: Said, commands: Sequence[tuple[str, Said]]
) -> str:
    """Return a help page: usage, what it does, commands, options; as wide as the screen."""
    lang, room = language(), screen_width()
    usage = " ".join((ctx.command_path, *command.collect_usage_pieces(ctx)))
    if lang == "zh":
        usage = help_in_chinese(usage)
    about = [line for said in text.say(lang).split("\n") for line in wrapped(said, room - 2)]
    parts = [_USAGE.say(lang) + usage, "\n".join(f"  {line}" for line in about)]
    if commands:
        rows = [(name, _first(each.say(lang))) for name, each in commands]
        parts.append(_COMMANDS.say(lang) + "\n" + _definitions(rows, room))
    rows = []
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx)
        if record is not None and not isinstance(parameter, click.Argument):
            is_help = parameter.name in ("help", "_click_default_help")
            rows.append((record[0], _HELP.say(lang)) if is_help else record)
    parts.append(_OPTIONS.say(lang) + "\n" + _definitions(rows, room))
    return "\n\n".join(parts)


def usage_text(error: click.UsageError, program: str) -> Sentence:
    """Return a usage error in both languages, with where to read on; *program* had no context."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        return Sentence(en=error.format_message(), zh=error.format_message())
    if isinstance(error, Misused):
        return Sentence(en=error.text.say("en"), zh=error.text.say("zh"))
    path = error.ctx.command_path if error.ctx is not None else program
    said = error.format_message()
    zh = _WRONG.zh.format(said=click_in_chinese(said))
    if isinstance(error, click.MissingParameter) and error.param is not None:
        hint = error.param.get_error_hint(error.ctx or click.Context(click.Command("")))
        kind = "选项" if isinstance(error.param, click.Option) else "参数"
        zh = f"缺少{kind}：{help_in_chinese(str(hint)).replace(chr(39), '')}。"
    elif isinstance(error, click.NoSuchOption):
        near = "、".join(error.possibilities or ())
        zh = f"没有 {error.option_name} 选项。" + (f"是否要输入：{near}？" if near else "")
    return Sentence(
        en=f"{said}\n{_SEE_HELP.en.format(path=path)}", zh=f"{zh}\n{_SEE_HELP.zh.format(path=path)}"
    )


def click_in_chinese(said: str) -> str:
    """Return a complaint of click in Chinese; what it never said before stays as it is."""
    for pattern, chinese in _CLICK_SAYS:
        found = re.fullmatch(pattern, said, re.DOTALL)
        if found is not None:
            parts = [click_in_chinese(part) for part in found.groups()]
            return chinese.format(*parts).replace("'", "") if parts else chinese
    return said


def help_in_chinese(said: str) -> str:
    """Return a usage line, an option's form or its addenda with click's own words in Chinese."""
    for pattern, chinese in _HELP_SAYS:
        said = re.sub(pattern, chinese, said)
    return said


def _unknown(name: str, names: Sequence[str], path: str) -> Sentence:
    from difflib import get_close_matches  # noqa: PLC0415 - only after a mistake

    en, zh = f"There is no command '{name}'. ", f"没有“{name}”命令。"
    near = get_close_matches(name, names, n=3, cutoff=0.5)
    if near:
        return Sentence(
            en=f"{en}Did you mean: {', '.join(near)}?", zh=f"{zh}是否要输入：{'、'.join(near)}？"
        )
    return Sentence(en=en + _SEE_HELP.en.format(path=path), zh=zh + _SEE_HELP.zh.format(path=path))


def _first(text: str) -> str:
    """Return the first sentence."""
    line = text.partition("\n")[0]
    return line.partition("。")[0] if "。" in line else line.removesuffix(".")


def _definitions(rows: Sequence[tuple[str, str]], room: int) -> str:
    left = min(28, max((width(name) for name, _ in rows), default=0))
    lines = []
    for name, said in rows:
        first, *rest = wrapped(said, max(room - left - 4, 20))
        if width(name) > left and room < width(name) + width(first) + 4:
            cut = wrapped(name.replace("|", "| "), room - 2)
            lines += ["  " + line.replace("| ", "|") for line in cut]
            rest = [first, *rest]
        else:
            lines.append(f"  {columns(name, left)}  {first}".rstrip())
        lines += [" " * (left + 4) + line for line in rest]
    return "\n".join(lines)
