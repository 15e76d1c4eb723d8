"""
Commands, groups and options that speak both languages and load late.

How a command line speaks is `certs.speech`, because `certs` works alone; here are the exchange's
own sentences (`exchange.text.Text`) and groups whose commands are imported when they are run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, TypeVar

import click

from certs.speech import Command, Group, Misused, Option, Said, language
from exchange.text import Text

__all__ = [
    "Command", "Group", "LazyGroup", "Misused", "Option", "command", "group", "json_option",
    "language", "option", "say",
]  # fmt: skip

_F = TypeVar("_F", bound=Callable[..., Any])


def say(text: Text, *, err: bool = False) -> None:
    """Print one sentence in the language of this run."""
    click.echo(text.say(language()), err=err)


def option(*names: str, en: str, zh: str, **attributes: Any) -> Callable[[_F], _F]:
    """Declare an option with its help in both languages."""
    return click.option(*names, cls=Option, text=Text(en=en, zh=zh), **attributes)


def json_option(function: _F) -> _F:
    """Declare ``--json``, given to the function as ``as_json``."""
    return option("--json", "as_json", is_flag=True, en="The same as data.", zh="以 JSON 输出。")(
        function
    )


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

    def lines(self, ctx: click.Context) -> Sequence[tuple[str, Said]]:  # noqa: ARG002
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
