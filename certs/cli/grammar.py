"""What the commands share: options, the language of their answers, and how a refusal ends them."""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from certs.errors import Refused, Sentence
from certs.files import read_certificates
from certs.office import Office, office
from certs.passphrase import Passphrase, passphrase
from certs.screen import shown_time
from certs.show import describe, fingerprint
from certs.speech import Misused, Option, language
from certs.token import Token

FAILED, MISUSED, INTERRUPTED = 1, 2, 130

PATH = click.Path(path_type=Path)

_F = TypeVar("_F", bound=Callable[..., Any])


def option(*names: str, en: str, zh: str, **attributes: Any) -> Callable[[_F], _F]:
    """Declare an option whose help is in both languages."""
    return click.option(*names, cls=Option, text=Sentence(en=en, zh=zh), **attributes)


def text(en: str, zh: str) -> dict[str, Any]:
    """Return a command's help, as the keyword that it takes."""
    return {"text": Sentence(en=en, zh=zh)}


json_option = option("--json", "as_json", is_flag=True, en="The same as data.", zh="以 JSON 输出。")
trust_option = option(
    "--trust", "folder", type=PATH, required=True, metavar="DIR",
    en="Folder of whom we trust.", zh="信任文件夹。",
)  # fmt: skip
days_option = option(
    "--days", type=click.IntRange(1, 30), default=7, show_default=True,
    en="For how many days a revocation list is good.", zh="吊销列表有效天数。",
)  # fmt: skip


def authority_options(function: _F) -> _F:
    """Declare what every act of an authority takes."""
    for declare in (
        option(
            "--operator", metavar="NAME",
            en="Who acts, for the journal; else the system's user.", zh="操作人，记入记录；默认为系统用户。",
        ),
        passphrase_option,
        option(
            "--authority", type=PATH, required=True, metavar="DIR",
            en="Folder that `certs init` wrote.", zh="certs init 写出的文件夹。",
        ),
    ):  # fmt: skip
        function = declare(function)
    return function


passphrase_option = option(
    "--passphrase-file", type=PATH, metavar="FILE",
    en="Its first line opens the issuing key; else CERTS_PASSPHRASE_FILE names it, else you are asked.",
    zh="其首行为签发密钥的口令；否则取 CERTS_PASSPHRASE_FILE 所指文件，再否则当场询问。",
)  # fmt: skip
root_key_option = option(
    "--root-passphrase-file", type=PATH, metavar="FILE",
    en="Its first line opens the root key; else you are asked.", zh="其首行为根密钥的口令；否则当场询问。",
)  # fmt: skip
encrypt_option = option(
    "--encrypt", is_flag=True, en="Encrypt the new keys with a passphrase.", zh="以口令加密新密钥。",
)  # fmt: skip


def token_options(function: _F) -> _F:
    """Declare where a key is made when it is made in a token."""
    for declare in (
        option(
            "--token-module", type=PATH, metavar="FILE",
            en="The token's PKCS #11 module (a shared library).", zh="令牌的 PKCS #11 模块（共享库文件）。",
        ),
        option(
            "--token", metavar="NAME",
            en="Make the key in the token of this label; it never leaves it.", zh="在此标签的令牌中生成密钥，不离开令牌。",
        ),
    ):  # fmt: skip
        function = declare(function)
    return function


def token_of(token: str | None, module: Path | None) -> Token | None:
    """Return the token that the options name, or None; raises `Misused` for half of it."""
    if token is None and module is None:
        return None
    if token is None or module is None:
        raise Misused(_HALF, click.get_current_context(silent=True))
    return Token(module=module, label=token)


_INTERRUPTED = Sentence(
    en="Interrupted. What an authority did is in its journal (certs acts list); anything else was not done.",
    zh="已中断。认证机构已完成的操作见其记录（certs acts list），其余均未执行。",
)
_HALF = Sentence(
    en="--token and --token-module go together.", zh="--token 与 --token-module 须同时给出。"
)


@contextmanager
def at_work(
    authority: Path, operator: str | None, passphrase_file: Path | None
) -> Iterator[Office]:
    """Open the authority for one act; a refusal ends the command."""
    with (
        refusals(),
        office(
            authority,
            now=now(),
            by=operator or system_user(),
            passphrase=opened_by(passphrase_file),
        ) as found,
    ):
        yield found


def opened_by(file: Path | None) -> Passphrase:
    """Return where an existing key's passphrase is found."""
    return passphrase(file, lambda key: _typed(key, again=False))


def chosen_by(file: Path | None) -> Passphrase:
    """Return where a new key's passphrase is found; at the keyboard it is typed twice."""
    return passphrase(file, lambda key: _typed(key, again=True))


def _typed(key: Path, *, again: bool) -> str | None:
    if not sys.stdin.isatty():
        return None
    wish = Sentence(en=f"Passphrase of {key}", zh=f"{key} 的口令").say(language())
    repeat = Sentence(en="Once more", zh="再次输入").say(language())
    return str(click.prompt(wish, hide_input=True, confirmation_prompt=repeat if again else False))


def system_user() -> str:
    """Return the name of who runs this."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in a container
        return "-"


def now() -> datetime:
    """Return the time by this machine's clock."""
    return datetime.now(UTC)


def say(*, en: str, zh: str) -> None:
    """Say a sentence in the language of this run."""
    click.echo(Sentence(en=en, zh=zh).say(language()))


def show_json(data: object) -> None:
    """Print *data* as JSON."""
    click.echo(json.dumps(data, ensure_ascii=False, indent=2))


def both(sentence: Sentence | None) -> dict[str, str] | None:
    """Return a sentence as data: in both languages."""
    return None if sentence is None else {"en": sentence.en, "zh": sentence.zh}


def written(path: Path) -> dict[str, Any]:
    """Return what was written as data: the file, and what its first certificate says."""
    return {"file": str(path), **asdict(describe(read_certificates(path)[0], now()))}


def report(path: Path) -> None:
    """Say what was written, its fingerprint, and until when it holds."""
    leaf = read_certificates(path)[0]
    until = shown_time(leaf.not_valid_after_utc)
    say(
        en=f"Wrote {path}, valid until {until}\n  SHA-256 {fingerprint(leaf)}",
        zh=f"已写入 {path}，有效期至 {until}\n  SHA-256 {fingerprint(leaf)}",
    )


@contextmanager
def refusals() -> Iterator[None]:
    """
    Turn a refusal into its sentence on standard error and exit code 1.

    Ctrl-C ends it with a sentence of its own: ``exchange`` says of an interrupted command that it had
    changed nothing, which of an authority only its journal can say.
    """
    try:
        yield
    except KeyboardInterrupt:
        click.echo(_INTERRUPTED.say(language()), err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None
    except Refused as refused:
        raise click.ClickException(refused.sentence.say(language())) from refused
