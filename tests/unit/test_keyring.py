"""The key ring: its file, its limits, and what stands in an erasure's statement."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

import exchange.keyring
from exchange.erasure import WORDS_MOST, Erasure, hash_of, open_erasure, sign_erasure
from exchange.errors import ConfigurationError, InvalidRequest, VerificationError
from exchange.keyring import (
    KEYS_MOST,
    SIZE,
    DataKey,
    RingFile,
    change_passphrase,
    changing,
    data_key_of,
    empty,
    load_ring,
    save_ring,
)
from exchange.note import LogKey

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
KEY = LogKey.from_seed("bridge.example/log", bytes(range(32)))
ID = "0b9bd6a5-3a17-4f0e-9a55-6f6f5a6a1a11"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return the file of a ring of one key."""
    path = tmp_path / "bridge.ring"
    save_ring(empty(path).with_new(NOW, bytes(SIZE)))
    return path


def test_it_is_for_its_owner_alone_and_full_at_its_limit(file: Path) -> None:
    """Mode 0600 whatever the umask; the hundredth key fits, one more is refused with the mend."""
    ring = load_ring(file)
    while len(ring.keys) < KEYS_MOST:
        ring = ring.with_new(NOW, os.urandom(SIZE))
    save_ring(ring)

    assert (0o600, ring) == (file.stat().st_mode & 0o777, load_ring(file))
    with pytest.raises(ConfigurationError, match="exchange keys remove"):
        ring.with_new(NOW, bytes(SIZE))
    file.chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        load_ring(file)


@pytest.mark.parametrize("cuts", [{1}, {3}, {2, 4}])
def test_a_passphrase_is_changed_and_opens_wherever_that_is_cut(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cuts: set[int]
) -> None:
    """Before any of the three files is put in place, and in each of several tries: a bridge then has its ring."""
    passphrase, new = tmp_path / "passphrase", tmp_path / "new"
    for path, words in (
        (passphrase, "the first of all passphrases"),
        (new, "another one, and longer"),
    ):
        path.write_text(words + "\n")
        path.chmod(0o600)
    ring = load_ring(file)
    save_ring(ring, passphrase)
    served, put = RingFile(file, passphrase), exchange.keyring._put
    served.now()
    calls = iter(range(1, 99))

    def interrupted(path: Path, content: bytes) -> None:
        if next(calls) in cuts:
            raise KeyboardInterrupt
        put(path, content)

    monkeypatch.setattr(exchange.keyring, "_put", interrupted)
    for _ in cuts:
        with pytest.raises(KeyboardInterrupt):
            change_passphrase(load_ring(file, passphrase), passphrase, new)
        assert ring == load_ring(file, passphrase) == served.now()
    change_passphrase(load_ring(file, passphrase), passphrase, new)

    assert ring == load_ring(file, passphrase) == served.now()
    assert new.read_text() == passphrase.read_text()
    assert 0o600 == passphrase.stat().st_mode & 0o777
    assert ring == load_ring(file, new)


def test_a_passphrase_that_is_too_short_changes_nothing(file: Path, tmp_path: Path) -> None:
    """The sentence names the file; ring and passphrase are as they were."""
    passphrase, new = tmp_path / "passphrase", tmp_path / "new"
    for path, words in ((passphrase, "the first of all passphrases"), (new, "short")):
        path.write_text(words)
        path.chmod(0o600)
    save_ring(load_ring(file), passphrase)
    before = file.read_bytes(), passphrase.read_bytes()
    with pytest.raises(ConfigurationError, match="fewer than 15"):
        change_passphrase(load_ring(file, passphrase), passphrase, new)

    assert before == (file.read_bytes(), passphrase.read_bytes())


def test_a_number_is_never_given_twice(file: Path) -> None:
    """Also after keys were removed: the newest is current and stays."""
    ring = load_ring(file).with_new(NOW, bytes(SIZE)).with_new(NOW, bytes(SIZE))

    assert 4 == ring.without(1).without(2).with_new(NOW, bytes(SIZE)).current


@pytest.mark.parametrize(
    "harm",
    [
        {"format": "other"},
        {"current": 2},
        {"keys": []},
        {"keys": [{"number": 1, "made": "2026-03-01T08:00:00+00:00", "key": "AAAA"}]},
        {"keys": [{"number": 0, "made": "2026-03-01T08:00:00+00:00", "key": "A" * 43 + "="}]},
        {"keys": [{"number": 1, "made": "x", "key": "A" * 43 + "="}]},
        {"keys": None},
    ],
)
def test_a_damaged_ring_is_named_and_shows_no_secret(file: Path, harm: dict[str, object]) -> None:
    """Every part that is not as it is written."""
    file.write_text(json.dumps(json.loads(file.read_text()) | harm))

    with pytest.raises(ConfigurationError, match=r"is no key ring.*from its copy") as raised:
        load_ring(file)
    assert "AAAA" not in str(raised.value)
    assert "副本" in raised.value.text.zh


def test_a_full_disk_leaves_the_ring_as_it_was(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing half-written, no draft; a process that reads it goes on."""

    def full(_: int) -> None:
        raise OSError(28, os.strerror(28))

    before = file.read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigurationError, match="Nothing was changed"):
        save_ring(load_ring(file).with_new(NOW, bytes(SIZE)))

    assert (before, [file]) == (file.read_bytes(), list(file.parent.iterdir()))


def test_one_operator_at_a_time(file: Path) -> None:
    """Two that made a key at once would lose one of them."""
    with (
        changing(file),
        pytest.raises(ConfigurationError, match="Another operator"),
        changing(file),
    ):
        pass
    with changing(file):
        pass


def test_who_serves_takes_up_a_new_key(file: Path) -> None:
    """And keeps what it holds where the file cannot be read meanwhile."""
    serving = RingFile(file)
    assert 1 == serving.now().current
    save_ring(load_ring(file).with_new(NOW, os.urandom(SIZE)))
    assert 2 == serving.now().current
    file.unlink()

    with pytest.raises(ConfigurationError, match="There is no key ring"):
        serving.now()
    assert 2 == serving.holding(1).current


def test_any_flipped_bit_is_found(file: Path) -> None:
    """In what is encrypted, and in a data key's wrapping; no two ciphertexts are alike."""
    ring, key = load_ring(file), DataKey(ID, "t", bytes(SIZE))
    wrapped, stored = ring.wrap(bytes(SIZE)), key.encrypt("m", b"said")
    assert (ID, b"said") == (data_key_of(stored), key.decrypt("m", stored))
    assert stored != key.encrypt("m", b"said")
    for place in range(18 * 8, len(stored) * 8):
        harmed = bytearray(stored)
        harmed[place // 8] ^= 1 << place % 8
        with pytest.raises(ValueError, match="not what was encrypted"):
            key.decrypt("m", bytes(harmed))
    for place in range(len(wrapped) * 8):
        harmed = bytearray(wrapped)
        harmed[place // 8] ^= 1 << place % 8
        with pytest.raises(VerificationError):
            ring.unwrap(1, bytes(harmed))
    with pytest.raises(ValueError, match="does not know"):
        data_key_of(b"\x00\x02" + stored[2:])


def test_words_of_a_statement_stand_in_one_line(file: Path) -> None:
    """At most two hundred characters, and nothing that would begin another line."""
    del file
    said = Erasure(
        origin=KEY.name, ticket_id=ID, time=NOW, by="档" * WORDS_MOST, ground="y", count=1,
        hash=hash_of([bytes(32)]),
    )  # fmt: skip
    assert said == open_erasure(sign_erasure(said, KEY), [KEY.verifier])
    for by in ("", " ", "档" * (WORDS_MOST + 1), "a\nmessages 0 x"):
        with pytest.raises(InvalidRequest, match="'by' must be 1 to 200"):
            sign_erasure(
                Erasure(
                    origin=KEY.name, ticket_id=ID, time=NOW, by=by, ground="y", count=1,
                    hash=hash_of([]),
                ),
                KEY,
            )  # fmt: skip
