"""``roll``: a new root, a new issuing key, and the old root's end."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from certs.cli.grammar import (
    PATH,
    at_work,
    authority_options,
    chosen_by,
    encrypt_option,
    json_option,
    now,
    opened_by,
    option,
    report,
    root_key_option,
    say,
    show_json,
    text,
    token_of,
    token_options,
    written,
)
from certs.founding import retire_root, roll_issuing, roll_root
from certs.show import describe, fingerprint
from certs.speech import Group


@click.group(
    cls=Group,
    **text("Change an authority's keys, with overlap.", "更换认证机构密钥，新旧并行过渡。"),
)
def roll() -> None:
    """Change keys."""


@roll.command(
    name="root",
    **text(
        "Make the next root; the old one goes on.\n"
        "Then: trust export, every peer confirms, roll issuing, renew everything, roll retire.",
        "生成下一个根；旧根继续有效。\n随后：trust export，各对方确认，roll issuing，更新全部证书，roll retire。",
    ),
)
@authority_options
@encrypt_option
@root_key_option
@json_option
def root(
    *,
    authority: Path,
    passphrase_file: Path | None,
    operator: str | None,
    encrypt: bool,
    root_passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Make the next root."""
    locked = encrypt or root_passphrase_file is not None
    with at_work(authority, operator, passphrase_file) as office:
        key, certificate = roll_root(office, chosen_by(root_passphrase_file) if locked else None)
        if as_json:
            show_json({"root_key": str(key), "root": written(certificate)})
            return
        report(certificate)
        say(
            en=f"{key} is the new root's key: move it to an offline medium now, and make a second copy. "
            "Hand out a bundle with both roots before anything is issued under it: certs trust export",
            zh=f"{key} 为新根密钥，请立即移至离线介质并另备副本。在其下签发之前，请先分发含新旧两根的信任包：certs trust export",
        )


@roll.command(
    name="issuing",
    **text(
        "Put a new issuing key in office; the root's key is needed once.",
        "启用新的签发密钥；此次需要根密钥。",
    ),
)
@authority_options
@option("--root-key", type=PATH, required=True, metavar="FILE", en="The root's key, from its offline medium.",
        zh="根密钥（取自离线介质）。")  # fmt: skip
@root_key_option
@option(
    "--new-passphrase-file", type=PATH, metavar="FILE",
    en="Its first line encrypts the new issuing key.", zh="其首行为新签发密钥的口令。",
)  # fmt: skip
@encrypt_option
@token_options
@json_option
def issuing(
    *,
    authority: Path,
    passphrase_file: Path | None,
    operator: str | None,
    root_key: Path,
    root_passphrase_file: Path | None,
    new_passphrase_file: Path | None,
    encrypt: bool,
    token: str | None,
    token_module: Path | None,
    as_json: bool,
) -> None:
    """Make the next issuing key."""
    inside = token_of(token, token_module)
    locked = encrypt or new_passphrase_file is not None or inside is not None
    with at_work(authority, operator, passphrase_file) as office:
        certificate = roll_issuing(
            office, root_key, opened_by(root_passphrase_file),
            chosen_by(new_passphrase_file) if locked else None,
            inside,
        )  # fmt: skip
        if as_json:
            show_json({"issuing": written(certificate)})
            return
        report(certificate)
        say(
            en="The key before it stays: only it can sign the list of what it issued. Hand out a bundle: "
            "certs trust export",
            zh="前任签发密钥须保留：只有它能签发其所签证书的吊销列表。请分发信任包：certs trust export",
        )


@roll.command(
    name="retire",
    **text(
        "Take an old root out of the coming bundles, once nothing valid ends at it.",
        "不再有有效证书依赖旧根后，将其移出此后的信任包。",
    ),
)
@click.argument("sha256")
@authority_options
@json_option
def retire(
    *,
    sha256: str,
    authority: Path,
    passphrase_file: Path | None,
    operator: str | None,
    as_json: bool,
) -> None:
    """Retire a root."""
    with at_work(authority, operator, passphrase_file) as office:
        gone = retire_root(office, sha256)
        if as_json:
            show_json({"retired": asdict(describe(gone, now()))})
            return
        say(
            en=f"Retired {fingerprint(gone)}. Hand out a bundle without it: certs trust export",
            zh=f"已停用 {fingerprint(gone)}。请分发不含它的信任包：certs trust export",
        )
