"""The golden vectors, read back with the program and, where it matters, without it."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from google.protobuf.json_format import MessageToDict, ParseDict

from exchange import profile
from exchange._proto.v1 import message_pb2, receipt_pb2
from exchange.acts import Group, Kind
from exchange.bridge import Policy
from exchange.catalog import catalog
from exchange.divisions import divisions
from exchange.envelope import (
    MESSAGE_TYPE,
    REFUSED_TYPE,
    SUITES,
    WRITTEN_TYPE,
    Verifier,
    VerifyingKey,
    group_digest,
    message_digest,
    signed_bytes,
)
from exchange.errors import RefusalCode
from exchange.facts import Site
from exchange.log import Checkpoint, LeafKind, StoredProof, TrustedLogs, parse_leaf
from exchange.merkle import leaf_hash, root_from_path, verify_consistency
from exchange.note import LogKey, NoteVerifier, split_note
from exchange.organisations import Register
from exchange.sealing import Place, group_key, open_group, unwrap
from exchange.store import Store, migrate
from exchange.submission import Author, Outcome, Pushed, Refused, Stored
from exchange.ticket import derived_id, own_duty_id
from exchange.wire.calls import pack_signature
from exchange.wire.content import decode_group, encode_group
from exchange.wire.headers import read_envelope, signature_from_proto
from exchange.wire.receipts import read_refused, read_written, refusal_of, refused_statement
from exchange.workdays import calendar
from tests.bridge.whole import Bridge

VECTORS = Path(__file__).resolve().parent.parent / "proto" / "vectors"


def names(folder: str) -> list[str]:
    """Return the vectors of *folder*, by name."""
    return sorted(path.stem for path in (VECTORS / folder).glob("*.json"))


def told(name: str) -> Any:
    """Return what the JSON file *name* tells."""
    return json.loads((VECTORS / f"{name}.json").read_text("utf-8"))


def raw(name: str) -> bytes:
    """Return the bytes of the binary file *name*."""
    return (VECTORS / f"{name}.binpb").read_bytes()


def public_keys() -> dict[bytes, tuple[str, VerifyingKey]]:
    """Return owner and key by key id."""
    keys = told("keys")
    listed = [(one["organisation"], one) for one in keys["authors"]]
    found = {}
    for owner, one in [*listed, (keys["log"]["origin"], keys["log"])]:
        key = serialization.load_der_public_key(bytes.fromhex(one["spki"]))
        public = VerifyingKey.from_public_key(key)  # type: ignore[arg-type]
        found[bytes.fromhex(one["key_id"])] = owner, public
    return found


KEYS = public_keys()


class TestMessages:
    def test_there_is_one_of_each_kind_with_all_groups_among_them(self) -> None:
        """A vendor finds every kind and every field group in the vectors."""
        groups = {
            group["group"]
            for kind in names("messages")
            for group in told(f"messages/{kind}")["groups"]
        }

        assert {kind.value for kind in Kind} == set(names("messages"))
        assert {group.name.lower() for group in Group} == groups

    @pytest.mark.parametrize("folder", ["messages", "batch"])
    def test_binary_and_json_say_the_same(self, folder: str) -> None:
        """Header, groups, digests and signature in the JSON are those of the binary."""
        for name in names(folder):
            facts, envelope = told(f"{folder}/{name}"), message_pb2.Envelope()
            envelope.ParseFromString(raw(f"{folder}/{name}"))
            header = message_pb2.Header.FromString(envelope.header)

            assert facts["header"] == MessageToDict(header, preserving_proto_field_name=True)
            assert envelope.header == ParseDict(
                facts["header"], message_pb2.Header()
            ).SerializeToString(deterministic=True)
            assert facts["header_bytes"] == envelope.header.hex()
            assert facts["message_digest"] == message_digest(envelope.header).hex()
            bound = {int(one.group): one.digest for one in header.groups}
            for group, salted in zip(facts["groups"], envelope.groups, strict=True):
                number, content = encode_group(group["group"], group["fields"])
                assert (int(number), content) == (int(salted.group), salted.content)
                assert group["content"] == content.hex()
                assert group["fields"] == decode_group(number, content)
                assert group["digest"] == bound[int(number)].hex()
                assert bound[int(number)] == group_digest(number, salted.salt, content)
            signature = facts["signature"]
            path = [bytes.fromhex(step) for step in signature["path"]]
            size, index = signature["batch_size"], signature["batch_index"]
            root = root_from_path(message_digest(envelope.header), index, size, path)
            assert signature["root"] == root.hex()
            assert signature["signed_bytes"] == signed_bytes(MESSAGE_TYPE, size, root).hex()
            assert signature["value"] == envelope.signature.value.hex()

    @pytest.mark.parametrize("folder", ["messages", "batch"])
    def test_every_message_is_read_and_its_signature_holds(self, folder: str) -> None:
        """The edge reads each one, and the author's key signed it."""
        verifier = Verifier()
        for name in names(folder):
            received = read_envelope(raw(f"{folder}/{name}"))

            assert received.message is not None, received.refusal
            assert received.signature is not None
            owner, key = KEYS[received.signature.key_id]
            assert owner == received.message.author
            verifier.verify(
                MESSAGE_TYPE,
                received.message.header,
                received.signature,
                key,
                allowed={"p256-sha256"},
            )

    def test_the_batch_is_one_signature(self) -> None:
        """Five messages share the value and the root, each with its own path."""
        signatures = [told(f"batch/{place}")["signature"] for place in range(5)]

        assert 1 == len({(one["value"], one["root"]) for one in signatures})
        assert 5 == len({tuple(one["path"]) for one in signatures})

    def test_a_withheld_group_stays_bound(self) -> None:
        """The message without one of its groups is read, and still says that the group exists."""
        received = read_envelope(raw("batch/group-withheld"))

        assert received.message is not None
        assert set(received.message.groups) > {
            group["number"] for group in told("batch/group-withheld")["groups"]
        }


class TestRefusals:
    @pytest.mark.parametrize("name", names("edge"))
    def test_the_edge_refuses_exactly_so(self, name: str) -> None:
        """Code, fields and rules are those stated, and each has both languages."""
        received, expect = read_envelope(raw(f"edge/{name}")), told(f"edge/{name}")["expect"]

        assert received.message is None
        assert received.refusal is not None
        assert expect["code"] == received.refusal.code.name
        assert expect["violations"] == [
            {"field": one.field, "rule": one.rule} for one in received.refusal.violations
        ]
        assert all(one.text.en and one.text.zh for one in received.refusal.violations)

    def test_each_code_has_a_scenario_or_an_envelope(self) -> None:
        """No refusal goes without a way to provoke it."""
        provoked = {told(f"edge/{name}")["expect"]["code"] for name in names("edge")}
        for name in names("scenarios"):
            provoked.add(told(f"scenarios/{name}")["steps"][-1]["expect"].get("code"))

        assert {code.name for code in RefusalCode} <= provoked

    @pytest.mark.parametrize("code", RefusalCode, ids=lambda code: code.name.lower())
    def test_a_refused_receipt_is_read_and_its_signature_holds(self, code: RefusalCode) -> None:
        """Binary and JSON agree, the code is the file's, the log key signed the statement."""
        name = f"refusals/{code.name.lower()}"
        receipt = receipt_pb2.Receipt.FromString(raw(name))

        check_statement(name, receipt.refused, receipt, REFUSED_TYPE)
        statement = read_refused(receipt.refused)
        assert code is getattr(statement, "code", None), statement
        assert code is refusal_of(receipt.refused).code

    def test_there_is_no_other_refusal(self) -> None:
        """A code that was withdrawn leaves no vector behind."""
        assert {code.name.lower() for code in RefusalCode} == set(names("refusals"))


def check_statement(
    name: str,
    inner: receipt_pb2.WrittenReceipt | receipt_pb2.RefusedReceipt,
    receipt: receipt_pb2.Receipt,
    payload_type: str,
) -> None:
    """Check the JSON of a signed receipt and its signature, which has no path."""
    facts = told(name)

    assert facts["receipt"] == MessageToDict(receipt, preserving_proto_field_name=True)
    assert facts["statement_bytes"] == inner.statement.hex()
    assert bytes.fromhex(facts["signature"]["signed_bytes"]) == signed_bytes(
        payload_type, 1, message_digest(inner.statement)
    )
    signature = signature_from_proto(inner.signature)
    _, key = KEYS[signature.key_id]
    Verifier().verify(payload_type, inner.statement, signature, key, allowed=SUITES)


class TestReceipts:
    def test_the_written_receipt(self) -> None:
        """The receiver's key signed it."""
        receipt = receipt_pb2.Receipt.FromString(raw("receipts/written"))

        check_statement("receipts/written", receipt.written, receipt, WRITTEN_TYPE)
        assert "J-000017" == getattr(read_written(receipt.written), "local_number", None)

    def test_the_receivers_refusal(self) -> None:
        """The receiver's key signed it, not the log's."""
        name = "receipts/refused-by-receiver"
        receipt = receipt_pb2.Receipt.FromString(raw(name))

        check_statement(name, receipt.refused, receipt, REFUSED_TYPE)
        assert KEYS[receipt.refused.signature.key_id][0] == told(name)["statement"]["refused_by"]

    def test_what_sets_a_message_aside_is_a_refusal_with_its_reason(self) -> None:
        """Signed as a refusal; who knows no better hears one."""
        name = "receipts/set-aside"
        receipt = receipt_pb2.Receipt.FromString(raw(name))
        said = read_refused(receipt.refused)

        check_statement(name, receipt.refused, receipt, REFUSED_TYPE)
        assert "平台无此记录" == getattr(said, "set_aside", None)
        assert (
            told("receipts/refused-by-receiver")["statement"].keys()
            < told(name)["statement"].keys()
        )

    def test_a_leaf_of_each_kind(self) -> None:
        """Version, kind, digest and microseconds, as the README says."""
        for one, kind in zip(told("log")["kinds"], LeafKind, strict=True):
            leaf = bytes.fromhex(one["bytes"])

            assert (1, one["kind"], one["digest"]) == (leaf[0], leaf[1], leaf[2:34].hex())
            assert (kind, kind.name.lower()) == (parse_leaf(leaf).kind, one["name"])

    def test_the_stored_receipt_proves_the_offer(self) -> None:
        """The offer's leaf leads to a checkpoint that the log signed."""
        facts = told("receipts/stored")
        receipt = receipt_pb2.Receipt.FromString(raw("receipts/stored")).stored
        proof = StoredProof.parse(facts["proof"])
        logs = TrustedLogs([NoteVerifier.parse(told("keys")["log"]["verifier_key"])])

        offer = bytes.fromhex(told("messages/offer")["message_digest"])
        leaf, checkpoint = proof.verify(LeafKind.MESSAGE, offer, logs)
        assert receipt.message_digest == offer
        assert leaf.time == parse_leaf(bytes.fromhex(facts["leaf"])).time
        assert (tuple(receipt.path), receipt.checkpoint) == (proof.path, proof.note.decode())
        assert receipt.leaf_index == proof.index < checkpoint.size


class TestDigests:
    def test_group_digests(self) -> None:
        """By the formula of the README, without the program."""
        for one in told("digests")["group_digests"]:
            salt, content = bytes.fromhex(one["salt"]), bytes.fromhex(one["content"])
            whole = b"hotline-exchange/group/v1" + one["group"].to_bytes(4)
            whole += bytes([len(salt)]) + salt + len(content).to_bytes(8) + content

            assert one["digest"] == hashlib.sha256(whole).hexdigest()

    def test_a_sealed_group(self) -> None:
        """The wrapped key opens it for its reader, and what it holds is what the digest binds."""
        words = {"suite", "ticket_id", "group", "recipient"}
        one = {n: bytes.fromhex(v) for n, v in told("sealed").items() if n not in words}
        private = X25519PrivateKey.from_private_bytes(one["private_key"])
        place = Place(
            digest=one["message_digest"],
            ticket_id=told("sealed")["ticket_id"],
            group=told("sealed")["group"],
        )

        key = unwrap(place, one["wrapped"], told("sealed")["recipient"], private)

        assert key == one["group_key"] == group_key(place, one["salt"])
        assert one["salted_group"] == open_group(place, key, one["ciphertext"])
        assert one["digest"] == group_digest(place.group, one["salt"], one["content"])

    def test_message_digests(self) -> None:
        """By the formula of the README, without the program."""
        for one in told("digests")["message_digests"]:
            data = bytes.fromhex(one["bytes"])

            assert one["digest"] == hashlib.sha256(b"\0" + data).hexdigest()

    def test_derived_ids(self) -> None:
        """By the formula of the README, without the program, and with it."""
        for one in told("digests")["derived_ids"]:
            parts = [part.encode() for part in one["parts"]]

            assert one["id"] == derived(parts) == derived_id(*one["parts"])
            assert 8 == uuid.UUID(one["id"]).version

    def test_own_duty_ids(self) -> None:
        """By the formula of the README, without the program, and with it."""
        for one in told("digests")["own_duty_ids"]:
            opened_by = bytes.fromhex(one["opened_by"])

            assert one["id"] == derived([b"own-duty", one["handoff_id"].encode(), opened_by])
            assert one["id"] == own_duty_id(one["handoff_id"], opened_by)


def derived(parts: list[bytes]) -> str:
    """Return the id that the README's formula gives."""
    whole = b"".join(len(part).to_bytes(8) + part for part in parts)
    raw_id = bytearray(hashlib.sha256(whole).digest()[:16])
    raw_id[6] = raw_id[6] & 15 | 128
    raw_id[8] = raw_id[8] & 63 | 128
    return str(uuid.UUID(bytes=bytes(raw_id)))


class TestLog:
    def test_checkpoints_inclusion_and_consistency(self) -> None:
        """Every checkpoint is signed, every leaf is included, every later tree begins as before."""
        facts = told("log")
        logs = TrustedLogs([NoteVerifier.parse(facts["verifier_key"])])
        roots = {0: bytes.fromhex(facts["empty_root"])}
        for one in facts["checkpoints"]:
            checkpoint = logs.checkpoint(one["note"].encode())
            assert (one["size"], one["root"]) == (checkpoint.size, checkpoint.root.hex())
            assert checkpoint == Checkpoint.parse(split_note(one["note"].encode())[0])
            roots[checkpoint.size] = checkpoint.root
        for leaf, one in zip(facts["leaves"], facts["inclusion"], strict=True):
            data = bytes.fromhex(leaf["bytes"])
            entry = parse_leaf(data)
            proof = StoredProof.parse(one["tlog_proof"])
            assert leaf["leaf_hash"] == leaf_hash(data).hex()
            assert data == proof.leaf
            assert one["path"] == [step.hex() for step in proof.path]
            proof.verify(entry.kind, entry.digest, logs)
        for one in facts["consistency"]:
            steps = [bytes.fromhex(step) for step in one["proof"]]
            first, second = one["from"], one["to"]
            verify_consistency(first, roots[first], second, roots[second], steps)


class TestKeys:
    def test_everybody_can_make_the_private_keys(self) -> None:
        """The README's derivation gives the public keys, so they protect nothing."""
        keys = told("keys")
        seed = hashlib.sha256((keys["phrase"] + keys["log"]["origin"]).encode()).digest()

        assert keys["log"]["verifier_key"] == str(
            LogKey.from_seed(keys["log"]["origin"], seed).verifier
        )


@pytest.fixture
def bridge(tmp_path: Path) -> Iterator[Bridge]:
    """Yield an empty bridge with the packaged profiles and catalogue, and no register."""
    url = f"sqlite:///{tmp_path / 'bridge.db'}"
    migrate(url)
    whole, key = catalog(), LogKey.from_seed("bridge.example/test", bytes(32))
    site = Site(
        profiles={(one.name, one.edition): one for one in profile.installed().values()},
        catalogues={whole.edition: whole},
        register=Register(),
        divisions=divisions(),
    )
    store = Store.open(url, key)
    yield Bridge(
        store=store,
        policy=Policy(site=site, calendar=calendar(), relays={}, origin="bridge.example/vectors"),
        key=key.signing_key,
        origin=key.name,
        encode_refusal=refused_statement,
        encode_signature=pack_signature,
    )
    store.close()


@pytest.mark.parametrize("name", names("scenarios"))
def test_a_bridge_answers_as_the_scenario_says(bridge: Bridge, name: str) -> None:
    """Every step of the story gets the stated answer: outcome, code, fields and rules."""
    for place, step in enumerate(told(f"scenarios/{name}")["steps"]):
        received = read_envelope(bytes.fromhex(step["envelope"]))
        key_id = received.signature.key_id if received.signature else b""
        author = None
        if step["signer_trusted"] and key_id in KEYS:
            owner, key = KEYS[key_id]
            author = Author(organisation=owner, key=key, chain=())
        pushed = Pushed(received=received, caller=step["caller"], author=author)
        now = datetime.fromisoformat(step["time"]) + timedelta(seconds=1)

        (outcome,) = bridge.drain([pushed], now).outcomes

        assert step["message_id"] == received.message_id
        assert step["expect"] == answer(outcome), (place, step["kind"])


def answer(outcome: Outcome) -> dict[str, Any]:
    """Return *outcome* as the vectors tell it."""
    if isinstance(outcome, Refused):
        violations = [{"field": one.field, "rule": one.rule} for one in outcome.refusal.violations]
        return {
            "outcome": "refused",
            "code": outcome.refusal.code.name,
            "violations": violations,
        }
    return {"outcome": "stored" if isinstance(outcome, Stored) else "retry"}
