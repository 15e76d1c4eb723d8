"""A receipt with its co-signatures: what one offline command proves, and what it does not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from exchange.cosignature import WitnessKey, cosign, with_lines
from exchange.envelope import message_digest
from exchange.log import LeafKind, StoredProof, advance, leaf_bytes
from exchange.merkle import Frontier
from exchange.note import LogKey, split_note
from exchange.proof import Proof, Verdict, prove
from exchange.wire.receipt_files import ReceiptFile, read_receipt_file, write_receipt_file
from tests.cli.test_receipt import NOW, World
from tests.cli.town import Shell, cross
from tests.pki import Pki
from tests.witness.place import Place

H, B, N = Verdict.HOLDS, Verdict.BROKEN, Verdict.NOT_SHOWN
GOVERNMENT = LogKey.from_seed("hotline12345.example/witness/1", bytes([1] * 32))
POLICE = LogKey.from_seed("police110.example/witness/1", bytes([2] * 32))


@pytest.fixture(scope="module")
def world(pki: Pki) -> World:
    """One offer that crossed."""
    return World(pki)


def signed(world: World, proof: StoredProof, *by: tuple[LogKey, timedelta]) -> StoredProof:
    """Return *proof* with co-signatures of its checkpoint, each so long after the log's time."""
    text = split_note(proof.note)[0]
    lines = [cosign(text, key, NOW + later).line for key, later in by]
    return replace(proof, note=with_lines(proof.note, lines))


def cosigned(world: World, *by: tuple[LogKey, timedelta]) -> ReceiptFile:
    """Return the world's file with its entries under a later head, co-signed."""
    (written,) = world.file.written
    leaves = [
        leaf_bytes(LeafKind.MESSAGE, world.sealed.digest, NOW),
        leaf_bytes(LeafKind.WRITTEN, message_digest(written.statement.statement), NOW),
        leaf_bytes(LeafKind.MESSAGE, bytes(32), NOW),
    ]
    proofs = [signed(world, one, *by) for one in advance(Frontier(), leaves, world.key).proofs]
    return replace(
        world.file,
        cosigned=(proofs[0],),
        written=(replace(written, cosigned=(proofs[1],)),),
    )


def proved(world: World, file: ReceiptFile, *keys: LogKey) -> Proof:
    """Prove *file* for who trusts the witnesses *keys*."""
    return prove(file, replace(world.trust, witnesses=tuple(map(WitnessKey.of, keys))))


def last(proof: Proof, count: int) -> Sequence[Verdict]:
    """Return the verdicts on the witnesses: the last *count*."""
    return [one.verdict for one in proof.obligations[-count:]]


MINUTE = timedelta(minutes=1)
DAYS = timedelta(days=4000)


def test_two_witnesses_cover_message_and_receipt(world: World) -> None:
    """Each witness answers for both entries; the author's certificate held when they saw it."""
    file = cosigned(world, (GOVERNMENT, MINUTE), (POLICE, 2 * MINUTE))
    assert read_receipt_file(write_receipt_file(file)) == file
    proof = proved(world, file, GOVERNMENT, POLICE)

    assert [one.verdict for one in proof.obligations] == [H] * 9
    assert proof.witnesses == (GOVERNMENT.name, POLICE.name)
    assert f"when {GOVERNMENT.name} had seen" in proof.obligations[2].found.en


def test_a_certificate_that_ended_before_the_witness_saw_it_is_told(world: World) -> None:
    """Co-signed years later: the entry is covered, the certificate rests on the log's word alone."""
    proof = proved(world, cosigned(world, (POLICE, DAYS)), POLICE)

    assert proof.holds
    assert "the log's word alone" in proof.obligations[2].found.en
    assert last(proof, 2) == [H, H]


def test_who_did_not_sign_is_not_shown(world: World) -> None:
    """A witness without a line, and one of the same name with another key, cover nothing."""
    file = cosigned(world, (GOVERNMENT, MINUTE))
    other = LogKey.from_seed(GOVERNMENT.name, bytes([3] * 32))
    for key in (POLICE, other):
        proof = proved(world, file, key)
        assert last(proof, 2) == [N, N]
        assert proof.witnesses == ()
    assert [one.verdict for one in proved(world, world.file, POLICE).obligations[-2:]] == [N, N]


def test_a_clock_that_was_set_back_proves_no_time(world: World) -> None:
    """Co-signed before the log accepted it: five minutes are clocks, more is a contradiction."""
    for early, verdict in ((5, H), (6, N)):
        proof = proved(world, cosigned(world, (POLICE, -early * MINUTE)), POLICE)
        assert last(proof, 2) == [verdict, verdict]


def test_what_is_forged_is_broken(world: World) -> None:
    """A changed signature, a path to elsewhere, and another log's head each break the obligation."""
    file = cosigned(world, (POLICE, MINUTE))
    (good,) = file.cosigned
    text, lines = split_note(good.note)
    forged = lines[-1].replace(lines[-1][-8:-4], "AAAA")
    stranger = LogKey.from_seed(world.key.name, bytes(32))
    (elsewhere,) = advance(Frontier(), [good.leaf], stranger).proofs
    cases = {
        "signature": replace(good, note=with_lines(f"{text}\n{lines[0]}\n".encode(), [forged])),
        "path": replace(good, path=(bytes(32), *good.path[1:])),
        "index": replace(good, index=1),
        "log": signed(world, elsewhere, (POLICE, MINUTE)),
    }
    for name, bad in cases.items():
        proof = proved(world, replace(file, cosigned=(bad,)), POLICE)
        assert last(proof, 2) == [B, H], name
        assert not proof.holds


def test_years_later_in_one_command(place: Place, exchange: Shell, tmp_path: Path) -> None:
    """From the bridge to a folder of files: operator and gateway get the same, and it verifies offline."""
    ticket = cross(exchange, place, tmp_path)  # type: ignore[arg-type]  # it takes what a town has
    for one in place.witnesses:
        assert exchange("witness", "begin", "--config", one.config).code == 0
        assert exchange("witness", "run", "--once", "--config", one.config).code == 0
    folders = []
    for config in (place.operator, place.hotline):
        folder = tmp_path / config.stem
        shown = exchange("ticket", "trail", ticket, "--receipts", folder, "--config", config)
        assert shown.code == 0, shown
        folders.append(folder)
    names = sorted(file.name for file in folders[0].iterdir())
    made = place.pki.development
    trust = [f"--trust={network}={root}" for network, root in made.trust.items()]
    keys = [f"--witness={one.verifier}" for one in place.witnesses]
    assert names == sorted(file.name for file in folders[1].iterdir())
    for name in names:
        mine, theirs = (json.loads((folder / name).read_text()) for folder in folders)
        assert mine["cosigned"] == theirs["cosigned"]
        words = ("receipt", "verify", folders[0] / name, *trust, f"--log={place.log}", *keys)
        found = exchange(*words, "--json")
        assert found.code == 0, found
        assert found.data["witnesses"] == [one.key.name for one in place.witnesses]
        assert found.data["not_shown"] == 0
        assert "Excluded, unless" in exchange(*words).out
        assert "已排除" in exchange("--lang", "zh", *words).out
