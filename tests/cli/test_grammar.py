"""How the command speaks: languages, help, near misses, ways of ending."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from certs.speech import Command, Group, Option, spoken
from exchange.cli.root import root
from exchange.cli.screen import clean, columns, width
from tests.cli.town import Shell, Town

NOUNS = [
    "serve", "migrate", "push", "pull", "ticket", "catalog", "profile", "receipt", "log",
    "status", "backup", "archive", "doctor", "certs", "config",
]  # fmt: skip

#: What a list of commands has no use for; each costs a tenth of a second.
HEAVY = ("grpc", "google", "sqlalchemy", "cryptography", "alembic", "protovalidate", "structlog")


def _python(code: str, *words: str, **settings: object) -> subprocess.CompletedProcess[str]:
    done: subprocess.CompletedProcess[str] = subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True,
        text=True,
        check=False,
        **settings,
    )  # type: ignore[call-overload]
    return done


@pytest.mark.parametrize("words", [["--help"], ["ticket", "--help"], ["push", "--help"], []])
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    """Help is there at once: none of the libraries that do the work is imported for it."""
    code = (
        "import sys\nfrom exchange.cli.root import run\nrun(sys.argv[1:])\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)"
    )
    done = _python(code, *words)

    assert done.stderr.splitlines()[-1] == "[]"


def test_every_noun_is_there(exchange: Shell) -> None:
    """The commands that the documentation names exist, and each can be imported."""
    listed = exchange("--help").out
    for noun in NOUNS:
        assert f"\n  {noun} " in listed
        assert exchange(noun, "--help").code == 0


@pytest.mark.parametrize(
    ("words", "environment", "zh"),
    [
        (["--help"], {}, False),
        (["--help"], {"LANG": "zh_CN.UTF-8"}, True),
        (["--help"], {"LANG": "en_US", "LC_ALL": "zh_CN"}, True),
        (["--help"], {"LANG": "zh_CN", "EXCHANGE_LANG": "en"}, False),
        (["--help", "--lang", "zh"], {}, True),
        (["ticket", "list", "--help", "--lang=zh"], {}, True),
        (["--lang", "en", "ticket", "--help"], {"LANG": "zh_CN"}, False),
    ],
)
def test_the_language_is_chosen_by_option_then_variable_then_locale(
    exchange: Shell, words: list[str], environment: dict[str, str], zh: bool
) -> None:
    """``--lang`` may stand anywhere, and rules; then EXCHANGE_LANG, then the locale."""
    assert exchange(*words, **environment).out.startswith("用法：" if zh else "Usage:")


#: Commands whose answer is no data, and why.
PLAIN = {
    ("serve",): "runs until it is stopped; its journal is JSON, a line an event",
    ("adapter", "run"): "likewise",
    ("desk", "run"): "likewise",
    ("witness", "run"): "likewise; `witness status --json` says what it has seen",
}


def every_command(
    found: click.Command = root, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield each command and group with the words that lead to it."""
    yield path, found
    if isinstance(found, click.Group):
        context = click.Context(found)
        for name in found.list_commands(context):
            below = found.get_command(context, name)
            assert below is not None
            yield from every_command(below, (*path, name))


def test_every_help_page_is_in_both_languages() -> None:
    """No command, group or option of ours is without its Chinese."""
    for path, found in every_command():
        assert isinstance(found, Command | Group), path
        for said in (found, *(one for one in found.params if isinstance(one, click.Option))):
            assert isinstance(said, Command | Group | Option), (path, said)
            assert any("一" <= letter for letter in said.text.say("zh")), (path, said)


def test_every_command_speaks_to_programs() -> None:
    """Each command has ``--json``, in one sense, or stands in `PLAIN` with its reason."""
    leaves = {path: one for path, one in every_command() if not isinstance(one, click.Group)}
    options = {
        path: [p for p in one.params if "--json" in p.opts and p.name == "as_json"]
        for path, one in leaves.items()
    }

    assert PLAIN.keys() == {path for path, found in options.items() if not found}
    assert all(
        isinstance(p, click.Option) and p.is_flag for found in options.values() for p in found
    )


def test_a_misspelt_command_is_met_with_the_nearest(exchange: Shell) -> None:
    """Did you mean, in both languages, at the root and in a group; exit code 2."""
    assert exchange("tickte").err == "There is no command 'tickte'. Did you mean: ticket?\n"
    assert "是否要输入：list" in exchange("ticket", "lst", "--lang", "zh").err
    assert exchange("ticket", "lst").code == 2


def test_misuse_is_exit_code_2_and_says_where_to_read_on(exchange: Shell) -> None:
    """A missing argument, an unknown option, a wrong language: named, never a traceback."""
    missing = exchange("catalog", "find")
    assert (missing.code, missing.err.splitlines()[-1]) == (2, "See: exchange catalog find --help")
    assert "--jsno" in exchange("catalog", "find", "x", "--jsno", "--lang", "zh").err
    assert "'fr' is not one of" in exchange("ticket", "list", "--lang", "fr").err


@pytest.mark.parametrize(
    ("line", "zh"),
    [
        ("ticket show", "缺少参数：单编号。"),
        ("ticket show a b", "多余的参数：b。"),
        ("ticket list --limit 0", "--limit 的值有误：0 不在允许范围（不小于 1）内。"),
        ("pull --max 513", "--max 的值有误：513 不在允许范围（1 至 512）内。"),
        ("ticket list --state x", "--state 的值有误：“x”不在可选值之中；可选：offered,"),
        ("ticket list --state", "选项 --state 后须给出值。"),
        ("ticket list --limit x", "--limit 的值有误：“x”不是整数。"),
        ("ticket list --opne", "没有 --opne 选项。是否要输入：--open"),
        ("ticket list --open=1", "选项 --open 不带值。"),
        ("certs issue x", "缺少选项：--"),
    ],
)
def test_what_the_library_complains_of_is_said_in_chinese(
    exchange: Shell, line: str, zh: str
) -> None:
    """Nothing of its English is left on the first line."""
    said = exchange(*line.split(), "--lang", "zh")
    assert (said.code, said.out) == (2, "")
    first = said.err.splitlines()[0]
    assert zh in first
    assert not any(word in first for word in ("Invalid", "Missing", "option", "argument", "'"))


def test_help_pages_fit_the_terminal(exchange: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """On 80 columns no line is longer, in either language."""
    monkeypatch.setenv("COLUMNS", "80")
    for path, _ in every_command():
        for lang in ("en", "zh"):
            said = exchange(*path, "--help", "--lang", lang).out
            assert max(map(width, said.splitlines()[1:])) <= 80, (path, lang)


def test_a_configuration_that_is_not_there_is_one_sentence(exchange: Shell, tmp_path: Path) -> None:
    """Every command that needs a configuration names the file it did not find."""
    for words in (
        ["ticket", "list"],
        ["push"],
        ["pull"],
        ["serve"],
        ["log", "verify"],
        ["migrate"],
    ):
        gone = exchange(*words, "--config", tmp_path / "gone.toml")
        assert gone.code == 2
        assert "gone.toml" in gone.err
        assert len(gone.err.splitlines()) == 1


def test_an_unknown_key_of_a_gateway_is_named(exchange: Shell, town: Town, tmp_path: Path) -> None:
    """A misspelt key comes with the nearest right one."""
    text = town.hotline.read_text(encoding="utf-8").replace("signer_chain", "signer_chian")
    path = tmp_path / "gateway.toml"
    path.write_text(text, encoding="utf-8")
    checked = exchange("config", "check", "--config", path)

    assert checked.code == 2
    assert "signer_chian" in checked.err
    assert "'signer_chain'" in checked.err


def test_both_kinds_of_configuration_are_shown_and_checked(exchange: Shell, town: Town) -> None:
    """A bridge's and a gateway's are told apart; `show --json` gives keys and values."""
    assert "of a bridge" in exchange("config", "check", "--config", town.operator).out
    assert "网关配置" in exchange("config", "check", "--config", town.hotline, "--lang", "zh").out
    assert "listen" in exchange("config", "show", "--json", "--config", town.operator).data
    assert "target" in exchange("config", "show", "--json", "--config", town.hotline).data


@pytest.mark.parametrize("words", [["catalog", "list"], ["catalog", "list", "--lang", "zh"]])
def test_a_closed_pipe_is_quiet(words: list[str]) -> None:
    """Whoever has read enough hangs up: exit code 141 as SIGPIPE gives, nothing on standard error."""
    code = "from exchange.cli import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", code, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(1)
        process.stdout.close()
        said = process.stderr.read()
        assert (process.wait(), said) == (141, b"")


def test_control_c_says_what_was_not_done(town: Town) -> None:
    """An interrupted pull says what comes again, with exit code 130 and no traceback."""
    code = "from exchange.cli import main; main()"
    command = [sys.executable, "-c", code, "pull", "--wait", "60", "--config", str(town.hotline)]
    command += ["--to", str(town.folder / "interrupted")]
    before = len(town.bridge.journal.getvalue())
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "LANG": "C"}
    ) as process:
        assert process.stderr is not None
        town_is_called(town, before, process)
        process.send_signal(signal.SIGINT)
        said = process.stderr.read().decode()
        assert process.wait() == 130
    assert said == "Interrupted: 0 were written and acknowledged; everything else comes again.\n"


def town_is_called(town: Town, before: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until the bridge holds a waiting pull."""
    assert town.bridge.server is not None
    bells = town.bridge.server._bells
    while not len(bells):
        assert process.poll() is None, (process.stderr and process.stderr.read(), before)


def test_tables_are_aligned_for_chinese() -> None:
    """A Chinese character takes two columns, a combining mark none."""
    assert width("单a\u0301") == 3
    assert columns("事项", 6) == "事项  "


def test_what_others_wrote_moves_no_cursor() -> None:
    """Control characters and line breaks in a table's cell become spaces."""
    assert clean("a\x1b[31mb\nc\u202e") == "a [31mb c "


def test_everything_after_two_dashes_is_an_argument() -> None:
    """``--lang`` after ``--`` is data."""
    assert spoken(["catalog", "find", "--", "--lang"], {}) == (
        "en",
        ["catalog", "find", "--", "--lang"],
    )
