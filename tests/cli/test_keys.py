"""``exchange keys`` beside a bridge that serves: made, rotated, destroyed; what is wrong is named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from exchange.config import load_settings
from exchange.errors import StoreUnusable
from exchange.note import LogKey
from exchange.store import Store
from tests.cli.test_archiving import closed
from tests.cli.town import Shell, Town, cross, open_town
from tests.pki import Pki
from tests.server.running import write_settings

AT_REST = '[at_rest]\nkey_ring = "bridge.ring"\nkeep_days = 0\n'


@pytest.fixture
def sealed(pki: Pki, tmp_path: Path, exchange: Shell) -> Iterator[Town]:
    """Yield a town whose bridge encrypts what it stores, with a ring that the command made."""
    config = write_settings(pki, tmp_path, tables=AT_REST)
    made = exchange("keys", "new", "--config", config, "--json")
    assert (made.code, made.data["current"]) == (0, 1), made
    with open_town(pki, tmp_path, AT_REST) as opened:
        yield opened


def test_from_the_first_key_to_what_is_destroyed(
    exchange: Shell, sealed: Town, tmp_path: Path
) -> None:
    """Rotation and destruction while the bridge serves; the log, lists and receipts hold all the while."""
    config = ("--config", sealed.operator)
    ring = tmp_path / "bridge.ring"
    assert ring.stat().st_mode & 0o777 == 0o600
    ticket, first = closed(exchange, sealed, tmp_path)
    pushed = exchange("push", first, "--config", sealed.hotline, "--json")
    for file in (Path(sealed.database), Path(f"{sealed.database}-wal")):
        assert "示例内容".encode() not in file.read_bytes()

    refused = exchange("keys", "remove", 1, *config)
    assert (refused.code, "Key 1 is the current one" in refused.err) == (1, True)
    exchange("keys", "new", *config)
    refused = exchange("keys", "remove", 1, *config)
    assert "1 data keys are wrapped by key 1" in refused.err
    assert {"rewrapped": 1, "current": 2} == exchange("keys", "rewrap", *config, "--json").data
    assert exchange("keys", "remove", 1, *config).code == 0
    shown = exchange("keys", "show", *config, "--json").data
    assert [(2, 1)] == [(one["number"], one["data_keys"]) for one in shown["keys"]]
    assert (0, []) == (shown["clear"], shown["lacking"])

    words = ("keys", "destroy", ticket, "--by", "档案管理员", "--ground", "保管期满", *config)
    dry = exchange(*words)
    assert (dry.code, f"--confirm {ticket}" in dry.out) == (0, True), dry
    assert exchange(*words, "--confirm", "another").code == 1
    open_one = cross(exchange, sealed, tmp_path)
    said = exchange("keys", "destroy", open_one, "--by", "x", "--ground", "y", *config)
    assert (said.code, "is open" in said.err) == (1, True)
    done = exchange(*words, "--confirm", ticket)
    assert (done.code, "hotline.exchange/erasure/v1" in done.out) == (0, True), done

    (statement,) = exchange("keys", "destroyed", *config, "--json").data["statements"]
    assert f"ticket {ticket}" in statement.splitlines()
    assert "by 档案管理员" in exchange("keys", "destroyed", *config).out

    for eyes in (sealed.hotline, sealed.operator):
        assert exchange("ticket", "show", ticket, "--config", eyes, "--json").data["erased"]
        assert "destroyed on" in exchange("ticket", "show", ticket, "--config", eyes).out
        assert ", erased" in exchange("ticket", "list", "--config", eyes).out
        assert "content destroyed" in exchange("ticket", "trail", ticket, "--config", eyes).out
    assert pushed.out == exchange("push", first, "--config", sealed.hotline, "--json").out
    verified = exchange("log", "verify", *config)
    assert verified.code == 0, verified
    left = tmp_path / "receipts"
    exchange("ticket", "trail", ticket, "--receipts", left, *config)
    for one in left.iterdir():
        assert exchange("receipt", "verify", one, *sealed.trust).code == 0

    named = f"sqlite:///{sealed.database}"
    elsewhere = ("--config", tmp_path / "none.toml")
    said = exchange("ticket", "trail", open_one, "--database", named, *elsewhere)
    assert (said.code, "no key ring is configured" in said.err) == (1, True), said
    ring.rename(tmp_path / "away")
    for again in (("keys", "new"), ("log", "verify")):
        said = exchange(*again, *config)
        assert "There is no key ring" in said.err, said
    assert not ring.exists()
    (tmp_path / "away").rename(ring)


def test_it_is_off_unless_it_is_configured(exchange: Shell, pki: Pki, tmp_path: Path) -> None:
    """The commands say so, and how it is turned on."""
    config = write_settings(pki, tmp_path)

    said = exchange("keys", "show", "--config", config)
    assert (said.code, "Set key_ring under [at_rest]" in said.err) == (2, True)
    assert "静态加密" in exchange("keys", "show", "--config", config, "--lang", "zh").err


def test_a_ring_behind_a_passphrase(exchange: Shell, pki: Pki, tmp_path: Path) -> None:
    """The file shows no key; the wrong passphrase, one that others may read, and none are named."""
    secret = tmp_path / "passphrase"
    table = '[at_rest]\nkey_ring = "bridge.ring"\npassphrase_file = "passphrase"\n'
    config = write_settings(pki, tmp_path, tables=table)
    new = ("keys", "new", "--config", config)
    secret.write_text("short\n")
    secret.chmod(0o600)
    assert "fewer than 15 characters" in exchange(*new).err
    secret.write_text("一句足够长的口令，用来打开密钥环。\n")
    assert exchange(*new, "--json").data["current"] == 1
    assert exchange(*new, "--json").data["current"] == 2
    assert b'"keys"' not in (tmp_path / "bridge.ring").read_bytes()
    (other := tmp_path / "other").write_text("又一句足够长的口令，换给密钥环。\n")
    other.chmod(0o600)
    changed = exchange("keys", "passphrase", other, "--config", config, "--json")
    files = {"key_ring": tmp_path / "bridge.ring", "passphrase_file": secret}
    assert {name: str(file) for name, file in files.items()} == changed.data
    assert (0, other.read_text()) == (changed.code, secret.read_text())
    assert exchange(*new, "--json").data["current"] == 3

    secret.write_text("另一句足够长的口令，打不开密钥环。\n")
    assert "does not open the key ring" in exchange(*new).err
    secret.chmod(0o640)
    assert "chmod 600" in exchange(*new).err
    write_settings(pki, tmp_path, tables='[at_rest]\nkey_ring = "bridge.ring"\n')
    assert (
        "names no at_rest.passphrase_file"
        in exchange("keys", "passphrase", other, "--config", config).err
    )
    assert "no passphrase file is configured" in exchange(*new).err
    settings = load_settings(config)
    exchange("migrate", "--create", "--config", config)
    with pytest.raises(StoreUnusable, match="no passphrase file is configured"):
        Store.open(settings.database, LogKey.load(settings.log_key), ring=settings.at_rest.ring())
