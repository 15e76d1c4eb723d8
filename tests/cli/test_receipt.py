"""Receipt files prove what they hold, and nothing more: every obligation is seen to fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from certs.development import Desk
from exchange.client.messages import OutgoingMessage, Sealer
from exchange.envelope import REFUSED_TYPE, WRITTEN_TYPE, SigningKey, message_digest, sign
from exchange.errors import InvalidRequest, RefusalCode, refuse
from exchange.log import LeafKind, StoredProof, advance, leaf_bytes
from exchange.merkle import Frontier
from exchange.note import LogKey
from exchange.proof import Trust, Verdict, prove
from exchange.submission import Statement
from exchange.wire.receipt_files import (
    LoggedStatement,
    ReceiptFile,
    envelope_parts,
    read_receipt_file,
    write_receipt_file,
)
from exchange.wire.receipts import refused_statement, written_statement
from tests.cli.town import Shell
from tests.pki import CITY_110, CITY_12345, COUNTY_12345, Pki
from tests.server.running import chain_of, matter

# Later than the certificates, which are made when the first test asks for them.
NOW = datetime.now(UTC) + timedelta(hours=1)


def _signer(pki: Pki, desk: Desk) -> SigningKey:
    files = pki.signer(desk)
    return SigningKey.load(files.key, files.certificate)


def _statement(pki: Pki, desk: Desk, message_id: str, digest: bytes) -> Statement:
    raw = written_statement(message_id, digest, desk.organisation, NOW, "P-7")
    (signature,) = sign(WRITTEN_TYPE, [raw], _signer(pki, desk))
    return Statement(
        message_id=message_id,
        message_digest=digest,
        organisation=desk.organisation,
        time=NOW,
        local_number="P-7",
        statement=raw,
        signature=signature,
    )


def _log(key: LogKey, *entries: tuple[LeafKind, bytes], time: datetime = NOW) -> list[StoredProof]:
    leaves = [leaf_bytes(kind, digest, time) for kind, digest in entries]
    return list(advance(Frontier(), leaves, key).proofs)


class World:
    """One offer that crossed: what the parties hold of it."""

    def __init__(self, pki: Pki) -> None:
        self.pki = pki
        self.key = LogKey.load(pki.development.log_key)
        sealer = Sealer(CITY_12345.organisation, _signer(pki, CITY_12345))
        offer: OutgoingMessage = matter()[1]
        (self.sealed,) = sealer.seal([offer])
        self.written = _statement(pki, CITY_110, self.sealed.message_id, self.sealed.digest)
        stored, logged = _log(
            self.key,
            (LeafKind.MESSAGE, self.sealed.digest),
            (LeafKind.WRITTEN, message_digest(self.written.statement)),
        )
        self.file = ReceiptFile(
            **envelope_parts(self.sealed.envelope),
            stored=stored,
            written=(LoggedStatement(statement=self.written, proof=logged),),
            chains=tuple(
                tuple(chain_of(_signer(pki, desk))) for desk in (CITY_12345, CITY_110, COUNTY_12345)
            ),
        )
        self.trust = Trust(networks=pki.trust(), logs=(self.key.verifier,))

    def refused(self, by: str, signer: SigningKey) -> Statement:
        """Return a refusal in the name of *by*."""
        raw = refused_statement(
            self.sealed.message_id, self.sealed.digest, by, refuse(RefusalCode.SECRET), NOW
        )
        (signature,) = sign(REFUSED_TYPE, [raw], signer)
        return Statement(
            message_id=self.sealed.message_id,
            message_digest=self.sealed.digest,
            organisation=by,
            time=NOW,
            code=RefusalCode.SECRET,
            statement=raw,
            signature=signature,
        )

    def verdicts(self, file: ReceiptFile, trust: Trust | None = None) -> list[Verdict]:
        """Return the verdicts, in order: message, stored, author, then receipt by receipt."""
        return [one.verdict for one in prove(file, trust or self.trust).obligations]


@pytest.fixture(scope="module")
def world(pki: Pki) -> World:
    """One world for the module."""
    return World(pki)


H, B, N = Verdict.HOLDS, Verdict.BROKEN, Verdict.NOT_SHOWN


def test_a_whole_file_holds_and_survives_the_file(world: World) -> None:
    """All five obligations hold, and what is written is read back the same."""
    assert world.verdicts(world.file) == [H, H, H, H, H]
    assert read_receipt_file(write_receipt_file(world.file)) == world.file


def _flip(data: bytes, at: int = -1) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


def _author_swapped(w: World) -> ReceiptFile:
    sealer = Sealer(CITY_12345.organisation, _signer(w.pki, COUNTY_12345))
    (other,) = sealer.seal([matter()[1]])
    (proof,) = _log(w.key, (LeafKind.MESSAGE, other.digest))
    return replace(w.file, **envelope_parts(other.envelope), stored=proof, written=())


def _written_by_another(w: World) -> ReceiptFile:
    other = _statement(w.pki, COUNTY_12345, w.sealed.message_id, w.sealed.digest)
    return replace(w.file, written=(LoggedStatement(statement=other),))


def _written_elsewhere(w: World) -> ReceiptFile:
    other = _statement(w.pki, CITY_110, w.sealed.message_id, bytes(32))
    return replace(w.file, written=(LoggedStatement(statement=other),))


def _written_forged(w: World) -> ReceiptFile:
    signature = replace(w.written.signature, value=_flip(w.written.signature.value))
    forged = replace(w.written, signature=signature)
    return replace(w.file, written=(LoggedStatement(statement=forged),))


def _stored(w: World) -> StoredProof:
    assert w.file.stored is not None
    return w.file.stored


def _late(w: World) -> ReceiptFile:
    """The log says that it was accepted when the author's certificate had long expired."""
    time = NOW + timedelta(days=4000)
    (proof,) = _log(w.key, (LeafKind.MESSAGE, w.sealed.digest), time=time)
    return replace(w.file, stored=proof, written=())


CASES: dict[str, tuple[Callable[[World], ReceiptFile], list[Verdict]]] = {
    "no receipt at all": (lambda w: replace(w.file, stored=None, written=()), [B, N, N]),
    "no message": (
        lambda w: replace(w.file, header=b"", signature=None, author="", recipient=""),
        [N, H, H, H],
    ),
    "no stored receipt": (lambda w: replace(w.file, stored=None), [H, N, N, H, H]),
    "no leaf of the written": (
        lambda w: replace(w.file, written=(LoggedStatement(statement=w.written),)),
        [H, H, H, N, H],
    ),
    "header changed": (lambda w: replace(w.file, header=_flip(w.file.header)), [H, B, N, H, B]),
    "author's signature left out": (lambda w: replace(w.file, signature=None), [H, H, B, H, H]),
    "author's key not the author's": (_author_swapped, [H, H, B]),
    "certificates left out": (lambda w: replace(w.file, chains=()), [H, H, B, H, B]),
    "path changed": (
        lambda w: replace(w.file, stored=replace(_stored(w), path=(bytes(32),))),
        [H, B, N, H, H],
    ),
    "index changed": (
        lambda w: replace(w.file, stored=replace(_stored(w), index=1)),
        [H, B, N, H, H],
    ),
    "checkpoint changed": (
        lambda w: replace(w.file, stored=replace(_stored(w), note=_flip(_stored(w).note, 40))),
        [H, B, N, H, H],
    ),
    "certificate not valid then": (_late, [H, H, B]),
    "written by who is not the receiver": (_written_by_another, [H, H, H, N, B]),
    "written about another message": (_written_elsewhere, [H, H, H, N, B]),
    "written with a forged signature": (_written_forged, [H, H, H, N, B]),
}


@pytest.mark.parametrize("case", CASES)
def test_each_obligation_fails_by_itself(world: World, case: str) -> None:
    """Whatever is changed or left out is told at its own obligation."""
    make, expected = CASES[case]
    assert world.verdicts(make(world)) == expected


def test_a_log_key_of_others_is_not_believed(world: World) -> None:
    """A log whose key the reader does not trust proves nothing."""
    stranger = LogKey.from_seed(world.key.name, bytes(32)).verifier
    trust = Trust(networks=world.trust.networks, logs=(stranger,))
    assert world.verdicts(world.file, trust) == [H, B, N, B, H]


def test_the_register_binds_an_organisation_to_its_network(world: World) -> None:
    """With the register at hand, another network's authority cannot speak for the police."""
    registered = {
        CITY_12345.organisation: CITY_12345.network,
        CITY_110.organisation: "else.example",
    }
    trust = replace(world.trust, registered=registered)
    assert world.verdicts(world.file, trust) == [H, H, H, H, B]


def test_refusals_hold_by_the_bridge_or_the_receiver_alone(world: World) -> None:
    """The bridge's log key, or the receiver's signer: nobody else's no counts."""
    bridge = world.refused(world.key.name, world.key.signing_key)
    police = world.refused(CITY_110.organisation, _signer(world.pki, CITY_110))
    county = world.refused(COUNTY_12345.organisation, _signer(world.pki, COUNTY_12345))
    posing = world.refused(world.key.name, _signer(world.pki, CITY_110))
    file = replace(world.file, stored=None, written=())

    for statement, verdict in ((bridge, H), (police, H), (county, B), (posing, B)):
        assert world.verdicts(replace(file, refused=(statement,)))[-1] is verdict


def test_the_command_ends_with_0_1_or_2(world: World, exchange: Shell, tmp_path: Path) -> None:
    """0 holds, 1 does not, 2 misused; each in one sentence at the end."""
    made = world.pki.development
    good, bad = tmp_path / "good.receipt.json", tmp_path / "bad.receipt.json"
    good.write_bytes(write_receipt_file(world.file))
    bad.write_bytes(write_receipt_file(_written_forged(world)))
    trust = [f"--trust={made.folder / 'trust'}", f"--log={made.log_verifier}"]

    held = exchange("receipt", "verify", good, *trust, "--lang", "zh")
    assert (held.code, held.out.splitlines()[-1]) == (
        0,
        f"消息 {world.sealed.message_id} 的回执成立。",
    )
    broken = exchange("receipt", "verify", bad, *trust)
    assert (broken.code, broken.out.count("✗ 5.")) == (1, 1)
    short = tmp_path / "short.receipt.json"
    bare = replace(world.file, written=(LoggedStatement(statement=world.written),))
    short.write_bytes(write_receipt_file(bare))
    partly = exchange("receipt", "verify", short, *trust)
    assert (partly.code, "Nothing contradicts" in partly.out) == (0, True)
    police = CITY_110.organisation
    assert f"5. {police} signed that it wrote it.\n" in partly.out
    assert (
        f"NOT shown, so do not rely on it: 4. The receipt of {police} is in the log." in partly.out
    )
    alone = replace(bare, header=b"", signature=None, stored=None)
    short.write_bytes(write_receipt_file(alone))
    signed = exchange("receipt", "verify", short, *trust).out.splitlines()[-2:]
    assert signed[0].endswith(f"this much is proved: 4. {police} signed that it wrote it.")
    assert "1. The message the receipts are for; 2. The bridge stored it" in signed[1]
    assert "不可依赖" in exchange("receipt", "verify", short, *trust, "--lang", "zh").out
    short.write_bytes(write_receipt_file(bare))
    assert "also where part of it is" in exchange("receipt", "verify", "--help").out
    assert exchange("receipt", "verify", short, "--json", *trust).data["not_shown"] == 1
    assert exchange("receipt", "verify", good).code == 2
    assert exchange("receipt", "verify", good, "--trust", "nonsense").code == 2


def test_a_message_kept_elsewhere_completes_a_file(
    world: World, exchange: Shell, tmp_path: Path
) -> None:
    """A file without the message is proved together with the envelope."""
    made = world.pki.development
    file, envelope = tmp_path / "one.receipt.json", tmp_path / "envelope"
    bare = replace(world.file, header=b"", signature=None)
    file.write_bytes(write_receipt_file(bare))
    envelope.write_bytes(world.sealed.envelope)
    trust = [f"--trust={made.folder / 'trust'}", f"--log={made.log_verifier}"]

    proved = exchange("receipt", "verify", file, "--message", envelope, "--json", *trust)
    assert {one["verdict"] for one in proved.data["obligations"]} == {"holds"}
    shown = exchange("receipt", "show", file, "--json").data
    assert shown["written"][0]["organisation"] == CITY_110.organisation


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{", b'{"header": "AA"}', b'{"unknown": 1}', b"\xff", b'{"stored":{}}',
                b'{"written":[{}]}']
)  # fmt: skip
def test_what_is_no_receipt_file_is_said_to_be_none(
    content: bytes, exchange: Shell, tmp_path: Path
) -> None:
    """Malformed files are one sentence, never a traceback."""
    file = tmp_path / "broken.json"
    file.write_bytes(content)
    with pytest.raises(InvalidRequest):
        read_receipt_file(content)
    said = exchange("receipt", "show", file)
    assert (said.code, said.out) == (1, "")


@pytest.mark.parametrize(
    ("content", "en", "zh"),
    [
        (b"# Readme", "line 1, column 1 is not JSON: a value is missing or unquoted here.",
         "第 1 行第 1 列不符合 JSON 语法：此处缺少值，或字符串未加引号。"),
        ("回执".encode("gbk"), "byte 1 is not UTF-8; save the file as UTF-8 (it may be GBK or UTF-16).",
         "第 1 字节不是 UTF-8 编码，请将文件另存为 UTF-8（原文件可能为 GBK 或 UTF-16）。"),
        (b"{}", "This file holds no receipt.", "文件中没有回执。"),
        (b"[" * 100_000, "maximum recursion depth", "内容不符合格式"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_receipt_file_is_said_in_both_languages(
    content: bytes, en: str, zh: str
) -> None:
    """Where in the file and what, in a sentence that ends once."""
    with pytest.raises(InvalidRequest) as raised:
        read_receipt_file(content)
    text = raised.value.text
    assert en in text.en
    assert zh in text.zh
    assert ".." not in text.en.replace("...", "")
    assert "。。" not in text.zh
