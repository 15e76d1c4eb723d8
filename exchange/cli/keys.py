"""``exchange keys``: the keys under which what messages say is encrypted at rest; destroying it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from exchange.cli.destroying import destroy
from exchange.cli.gateway import config_option
from exchange.cli.grammar import group, json_option, language, say
from exchange.cli.ring_passphrase import change
from exchange.cli.root import telling
from exchange.cli.screen import show_json, show_table
from exchange.text import Text

if TYPE_CHECKING:
    from exchange.config import Settings
    from exchange.keyring import KeyRing
    from exchange.store.engines import Engines

keys = group(
    "keys",
    en="Encryption at rest: the key ring, its rotation, and destroying what closed tickets said.",
    zh="静态加密：密钥环、密钥轮换，以及销毁结案单的内容。",
)

_OFF = Text(
    en="Encryption at rest is off: {config} names no key ring. Set key_ring under [at_rest].",
    zh="未启用静态加密：{config} 未指定密钥环。请在 [at_rest] 中设置 key_ring。",
)
_LOST = Text(
    en="There is no key ring {file}, and data keys of this database are wrapped by key {numbers}. Put the "
    "ring back from its copy; a new one would open none of them.",
    zh="没有密钥环文件 {file}，而本数据库的数据密钥由 {numbers} 号密钥保护。请从副本恢复；新密钥环无法打开它们。",
)
_NEW = Text(
    en="Key {number} is in the key ring {file}, and current: a bridge that serves takes it up with its next "
    "message. Copy the file now, to where no backup of the database is kept. {next_en}",
    zh="{number} 号密钥已加入密钥环 {file} 并成为当前密钥，运行中的网桥自下一条消息起使用。请立即备份该文件，"
    "且不得与数据库备份存放一处。{next_zh}",
)
_FIRST = Text(
    en="Restart the bridge; what it stored before: exchange keys encrypt",
    zh="请重启网桥；此前保存的内容请执行：exchange keys encrypt",
)
_THEN = Text(
    en="Then wrap the data keys anew: exchange keys rewrap",
    zh="随后重新封装数据密钥：exchange keys rewrap",
)
_RING = Text(
    en="The key ring {file}; key {current} is current.",
    zh="密钥环 {file}，当前密钥为 {current} 号。",
)
_LACKS = Text(
    en="Data keys are wrapped by key {numbers}, which this ring lacks: what is under them cannot be read. "
    "Put back the ring that has it.",
    zh="有数据密钥由 {numbers} 号密钥保护，而本密钥环没有：相应内容无法读取。请放回含该密钥的密钥环。",
)
_HEADS = Text(en="key|made|data keys|", zh="密钥|生成时间|数据密钥数|")
_CURRENT = Text(en="current", zh="当前")
_CLEAR = Text(
    en="{count} messages and {chunks} pieces of attachments stand in clear: exchange keys encrypt",
    zh="有 {count} 条消息、{chunks} 个附件分片未加密，请执行：exchange keys encrypt",
)
_DESTROYED_SO_FAR = Text(
    en="What was said was destroyed {count} times.", zh="已销毁内容 {count} 次。"
)
_ENTERED = Text(en="Entry {leaf} of the log says so.", zh="日志第 {leaf} 条记载此事。")
_NOT_ENTERED = Text(
    en="Not in the log yet: the bridge enters it while it runs.",
    zh="尚未记入日志：网桥运行时自动记入。",
)
_REWRAPPED = Text(
    en="{count} data keys were wrapped anew; all are under key {current}. A key that is no longer needed: "
    "exchange keys remove NUMBER",
    zh="已重新封装 {count} 个数据密钥，现均由 {current} 号密钥保护。不再需要的密钥可移除：exchange keys remove 编号",
)
_ENCRYPTED = Text(
    en="{count} messages and {chunks} pieces of attachments were encrypted; none stands in clear. {rest_en}",
    zh="已加密 {count} 条消息、{chunks} 个附件分片，现无明文。{rest_zh}",
)
_VACUUM = Text(
    en="Former rows stay in PostgreSQL's files until: VACUUM FULL message, attachment_chunk. Backups and write-ahead logs "
    "from before keep them.",
    zh="旧数据仍留在 PostgreSQL 文件中，直至执行 VACUUM FULL message, attachment_chunk；此前的备份与预写日志中仍有明文。",
)
_COPIES = Text(en="Backups from before still have it in clear.", zh="此前的备份中仍为明文。")
_STOPPED = Text(
    en="Interrupted: {count} are done and stay. Run the same again: it goes on.",
    zh="已中断：已完成的 {count} 项有效，重新执行即可继续。",
)
_NO_KEY = Text(
    en="The key ring {file} has no key {number}.", zh="密钥环 {file} 中没有 {number} 号密钥。"
)
_IS_CURRENT = Text(
    en="Key {number} is the current one. First: exchange keys new, then exchange keys rewrap",
    zh="{number} 号为当前密钥。请先执行 exchange keys new，再执行 exchange keys rewrap",
)
_NEEDED = Text(
    en="{count} data keys are wrapped by key {number}; nothing was removed. First: exchange keys rewrap",
    zh="有 {count} 个数据密钥由 {number} 号密钥保护，未移除。请先执行：exchange keys rewrap",
)
_REMOVED = Text(
    en="Key {number} is out of the key ring {file}. Backups of the database in which data keys are wrapped by "
    "it can be read only with a copy of the ring from before: keep that with those that must stay readable, "
    "destroy it with the rest.",
    zh="{number} 号密钥已移出密钥环 {file}。数据密钥由其保护的数据库备份，仅凭此前的密钥环副本才能读取："
    "须保持可读的备份请一并保管该副本，其余请将副本销毁。",
)


@keys.command(
    "new",
    text=Text(
        en="Put a new key into the key ring and make it the current one; the ring is made if there is none.",
        zh="向密钥环加入新密钥并设为当前密钥；没有密钥环时新建。",
    ),
)
@config_option
@json_option
def new(*, config: Path, as_json: bool) -> None:
    """Add a key."""
    from exchange.errors import ConfigurationError
    from exchange.keyring import SIZE, changing, empty, load_ring, save_ring

    settings, file, passphrase = _ring_of(config)
    with changing(file):
        first = not file.exists()
        if first and (numbers := _needed(settings)):
            shown = ", ".join(map(str, numbers))
            raise ConfigurationError(_LOST.fill(file=file, numbers=shown))
        before = empty(file) if first else load_ring(file, passphrase)
        ring = before.with_new(datetime.now(UTC), os.urandom(SIZE))
        save_ring(ring, passphrase)
    if as_json:
        show_json({"file": str(file), "current": ring.current})
        return
    then = _FIRST if first else _THEN
    say(_NEW.fill(number=ring.current, file=file, next_en=then.en, next_zh=then.zh))


keys.command(
    "passphrase",
    text=Text(
        en="Encrypt the key ring under another passphrase, the first line of the file NEW, and put that into the "
        "file that at_rest.passphrase_file names; the bridge serves on. Then delete NEW, and copies of the ring "
        "from before: they open with the passphrase from before.",
        zh="以文件 NEW 首行为新口令重新加密密钥环，并写入 at_rest.passphrase_file 所指文件，网桥照常运行。"
        "之后请删除 NEW 及此前的密钥环副本（旧口令仍可打开旧副本）。",
    ),
)(change)


@keys.command(
    "show",
    text=Text(
        en="Show the ring's keys, never their secrets, and what each is needed for. Exit: 1 where a key that "
        "is needed is missing.",
        zh="显示密钥环中的密钥（不含密钥本身）及各自的用途。退出码：缺少所需密钥时为 1。",
    ),
)
@config_option
@json_option
@click.pass_context
def show(context: click.Context, *, config: Path, as_json: bool) -> None:
    """Show the ring."""
    from exchange.keyring import load_ring
    from exchange.store.rewrapping import inventory

    settings, file, passphrase = _ring_of(config)
    ring = load_ring(file, passphrase)
    with _engines(settings) as engines:
        found = inventory(engines)
    lacking = sorted(found.wrapped.keys() - ring.keys.keys())
    if as_json:
        show_json(
            {
                "file": str(file),
                "current": ring.current,
                "keys": [
                    {
                        "number": one.number,
                        "made": one.made.isoformat(),
                        "data_keys": found.wrapped.get(one.number, 0),
                    }
                    for one in ring.keys.values()
                ],
                "lacking": lacking,
                "clear": found.clear,
                "clear_chunks": found.clear_chunks,
                "destroyed": found.destroyed,
            }
        )
    else:
        say(_RING.fill(file=file, current=ring.current))
        show_table(_HEADS.say(language()).split("|"), _lines(ring, found.wrapped))
        if found.clear or found.clear_chunks:
            say(_CLEAR.fill(count=found.clear, chunks=found.clear_chunks))
        if found.destroyed:
            say(_DESTROYED_SO_FAR.fill(count=found.destroyed))
        if lacking:
            say(_LACKS.fill(numbers=", ".join(map(str, lacking))), err=True)
    context.exit(1 if lacking else 0)


def _lines(ring: KeyRing, wrapped: dict[int, int]) -> list[tuple[str, ...]]:
    return [
        (
            str(one.number), one.made.isoformat(timespec="seconds"), str(wrapped.get(one.number, 0)),
            _CURRENT.say(language()) if one.number == ring.current else "",
        )
        for one in ring.keys.values()
    ]  # fmt: skip


@keys.command(
    "rewrap",
    text=Text(
        en="Wrap every data key by the current key, in batches, while the bridge serves; content stays as "
        "it is.",
        zh="用当前密钥分批重新封装全部数据密钥，网桥可照常运行；内容本身不变。",
    ),
)
@config_option
@json_option
def rewrap(*, config: Path, as_json: bool) -> None:
    """Wrap the data keys anew."""
    from exchange.store.rewrapping import rewrap as work

    settings, *_ = _ring_of(config)
    with _engines(settings) as engines:
        done = _worked(work(engines))
        current = engines.at_rest.ring().current
    if as_json:
        show_json({"rewrapped": done, "current": current})
    else:
        say(_REWRAPPED.fill(count=done, current=current))


@keys.command(
    "encrypt",
    text=Text(
        en="Encrypt what was stored before encryption was turned on, in batches, while the bridge serves. "
        "First turn it on and restart the bridge.",
        zh="分批加密启用静态加密之前保存的内容，网桥可照常运行。请先启用并重启网桥。",
    ),
)
@config_option
@json_option
def encrypt(*, config: Path, as_json: bool) -> None:
    """Encrypt what stands in clear."""
    from exchange.store.engines import SQLITE
    from exchange.store.rewrapping import encrypt as work
    from exchange.store.rewrapping import encrypt_chunks

    settings, *_ = _ring_of(config)
    with _engines(settings) as engines:
        done = _worked(work(engines, now=datetime.now(UTC)))
        chunks = _worked(encrypt_chunks(engines, now=datetime.now(UTC)))
        rest = _COPIES if engines.url.get_backend_name() == SQLITE else _VACUUM
    if as_json:
        show_json({"encrypted": done, "chunks": chunks})
    else:
        say(_ENCRYPTED.fill(count=done, chunks=chunks, rest_en=rest.en, rest_zh=rest.zh))


@keys.command(
    "remove",
    text=Text(
        en="Take a key out of the ring that wraps nothing of this database any more.",
        zh="将不再保护本数据库任何内容的密钥移出密钥环。",
    ),
)
@click.argument("number", type=click.IntRange(1))
@config_option
@json_option
def remove(*, number: int, config: Path, as_json: bool) -> None:
    """Remove a key."""
    from exchange.errors import InvalidRequest
    from exchange.keyring import changing, load_ring, save_ring
    from exchange.store.rewrapping import inventory

    settings, file, passphrase = _ring_of(config)
    with changing(file), _engines(settings) as engines:
        ring = load_ring(file, passphrase)
        if number not in ring.keys:
            raise InvalidRequest(_NO_KEY.fill(file=file, number=number))
        if number == ring.current:
            raise InvalidRequest(_IS_CURRENT.fill(number=number))
        if count := inventory(engines).wrapped.get(number, 0):
            raise InvalidRequest(_NEEDED.fill(number=number, count=count))
        save_ring(ring.without(number), passphrase)
    if as_json:
        show_json({"file": str(file), "removed": number, "current": ring.current})
    else:
        say(_REMOVED.fill(number=number, file=file))


keys.command(
    "destroy",
    text=Text(
        en="Destroy for good what was said about a closed TICKET, by destroying its data key; what happened "
        "stays provable. Without --confirm it only says what would go.",
        zh="销毁数据密钥，从而永久销毁一张结案单的内容；经过仍可证明。不加 --confirm 时仅说明将销毁的内容。",
    ),
)(destroy)


@keys.command(
    "destroyed",
    text=Text(
        en="Print the signed statement of everything that was destroyed: what, when, by whom, why; and which "
        "entry of the log says so.",
        zh="打印历次销毁的签名声明：何内容、何时、何人决定、何依据，以及记载它的日志条目。",
    ),
)
@config_option
@json_option
def destroyed(*, config: Path, as_json: bool) -> None:
    """Print the statements."""
    from exchange.config import load_settings
    from exchange.erasure import erasure_act
    from exchange.query.acts import ActsRoom
    from exchange.store.erasing import statements

    settings = load_settings(config, os.environ)
    with _engines(settings) as engines:
        notes = statements(engines)
        entered = ActsRoom(engines).destroyed()
    leaves = [entered.get(erasure_act(note)["statement"]) for note in notes]
    if as_json:
        show_json({"statements": [note.decode() for note in notes], "entries": leaves})
        return
    for note, leaf in zip(notes, leaves, strict=True):
        click.echo(note.decode(), nl=False)
        say(_NOT_ENTERED if leaf is None else _ENTERED.fill(leaf=leaf))
        click.echo()


def _worked(batches: Iterator[int]) -> int:
    """Return how many were done, batch by batch; what was done stays, whatever happens."""
    done = 0

    def progress() -> Text:
        return _STOPPED.fill(count=done)

    with telling(progress):
        for count in batches:
            done += count
    return done


def _ring_of(config: Path) -> tuple[Settings, Path, Path | None]:
    """Return the settings, the key ring's file, and its passphrase's if it has one."""
    from exchange.config import load_settings
    from exchange.errors import ConfigurationError

    settings = load_settings(config, os.environ)
    at_rest = settings.at_rest
    if not at_rest.key_ring:
        raise ConfigurationError(_OFF.fill(config=config))
    passphrase = Path(at_rest.passphrase_file) if at_rest.passphrase_file else None
    return settings, Path(at_rest.key_ring), passphrase


@contextmanager
def _engines(settings: Settings) -> Iterator[Engines]:
    from exchange.store.engines import connect
    from exchange.store.schema import check_version

    engines = connect(settings.database, ring=settings.at_rest.ring())
    try:
        check_version(engines)
        yield engines
    finally:
        engines.close()


def _needed(settings: Settings) -> list[int]:
    """Return the keys that the database needs; none where it was not begun yet."""
    from exchange.errors import StoreMismatch
    from exchange.store.rewrapping import inventory

    try:
        with _engines(settings) as engines:
            return sorted(inventory(engines).wrapped)
    except StoreMismatch:
        return []
