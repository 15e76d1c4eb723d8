"""
Write the golden vectors: ``python proto/vectors.py DIR``, which `make proto` does.

They let an implementation in any language prove its encoder, decoder, digests, signatures and
answers without a bridge.  The same contract and the same package data give the same bytes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message as Protobuf
from vector_edges import at_the_edge
from vector_log import drains, log_told
from vector_samples import every_kind
from vector_scenarios import scenarios
from vector_sealed import sealed
from vector_story import (
    ORGANISATIONS,
    PHRASE,
    START,
    Said,
    Story,
    author_key,
    log_key,
    sign_always_alike,
)

from exchange._proto.v1 import message_pb2 as pb
from exchange._proto.v1 import receipt_pb2
from exchange.envelope import (
    MESSAGE_TYPE,
    REFUSED_TYPE,
    WRITTEN_TYPE,
    Signature,
    group_digest,
    message_digest,
    signed_bytes,
)
from exchange.errors import Refusal, RefusalCode, Violation
from exchange.merkle import (
    root_from_path,
)
from exchange.ticket import derived_id, own_duty_id
from exchange.wire.content import decode_group, group_name
from exchange.wire.headers import envelope_groups, seal_envelope
from exchange.wire.receipts import (
    refused_receipt,
    refused_statement,
    stored_receipt,
    written_receipt,
    written_statement,
)

_STORY = every_kind()


class Folder:
    """The folder the vectors go into, and the list of what was written."""

    def __init__(self, top: Path) -> None:
        self.top = top

    def write(self, name: str, told: Mapping[str, Any], binary: bytes | None = None) -> None:
        """Write ``name.json`` and, if given, the bytes themselves as ``name.binpb``."""
        path = self.top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(told, ensure_ascii=False, indent=1) + "\n"
        path.with_name(f"{path.name}.json").write_text(text, "utf-8")
        if binary is not None:
            path.with_name(f"{path.name}.binpb").write_bytes(binary)


def told(message: Protobuf) -> dict[str, Any]:
    """Return *message* in the contract's JSON form, in proto names."""
    fields: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    return fields


# -- messages


def envelope_told(envelope: bytes) -> dict[str, Any]:
    """Return an envelope taken apart: header, groups with digests, what was signed."""
    whole = pb.Envelope.FromString(envelope)
    groups = [
        {
            "group": group_name(salted.group),
            "number": int(salted.group),
            "salt": salted.salt.hex(),
            "content": salted.content.hex(),
            "digest": group_digest(salted.group, salted.salt, salted.content).hex(),
            "fields": decode_group(salted.group, salted.content),
        }
        for salted in whole.groups
    ]
    found: dict[str, Any] = {
        "header": told(pb.Header.FromString(whole.header)),
        "header_bytes": whole.header.hex(),
        "message_digest": message_digest(whole.header).hex(),
        "groups": groups,
    }
    if whole.HasField("signature"):
        found["signature"] = signature_told(whole.signature, MESSAGE_TYPE, whole.header)
    return found


def signature_told(signature: pb.Signature, payload_type: str, payload: bytes) -> dict[str, Any]:
    """Return a signature and what its key signed."""
    size = signature.batch_size
    leaf = message_digest(payload)
    root = root_from_path(leaf, signature.batch_index, size, tuple(signature.path))
    return {
        "suite": signature.suite,
        "key_id": signature.key_id.hex(),
        "value": signature.value.hex(),
        "batch_size": size,
        "batch_index": signature.batch_index,
        "path": [step.hex() for step in signature.path],
        "payload_type": payload_type,
        "root": root.hex(),
        "signed_bytes": signed_bytes(payload_type, size, root).hex(),
    }


def write_messages(folder: Folder) -> None:
    """Write one accepted message of each kind: the first that the story says."""
    written: set[str] = set()
    for said in _STORY.said:
        if said.kind.value not in written:
            written.add(said.kind.value)
            facts = {"kind": said.kind.value, **envelope_told(said.envelope)}
            folder.write(f"messages/{said.kind.value}", facts, said.envelope)


def write_batch(folder: Folder) -> None:
    """Write five messages under one signature, as they are pushed together."""
    key = author_key(_STORY.said[0].caller)
    drafts = [said.draft for said in _STORY.said if said.caller == _STORY.said[0].caller][:5]
    signatures = sign_always_alike(MESSAGE_TYPE, [draft.header for draft in drafts], key)
    for place, (draft, signature) in enumerate(zip(drafts, signatures, strict=True)):
        envelope = seal_envelope(draft, signature)
        folder.write(f"batch/{place}", envelope_told(envelope), envelope)
    withheld = pb.Envelope.FromString(_STORY.said[0].envelope)
    del withheld.groups[2]
    envelope = withheld.SerializeToString(deterministic=True)
    folder.write("batch/group-withheld", envelope_told(envelope), envelope)


# -- refusals


def write_edge(folder: Folder) -> None:
    """Write the envelopes that are refused for their bytes."""
    for edge in at_the_edge():
        facts = {"about": edge.about, "expect": expected(edge.code, edge.faults)}
        folder.write(f"edge/{edge.name}", facts, edge.envelope)


def expected(outcome: str, faults: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """Return what is to be answered."""
    if outcome in ("stored", "retry"):
        return {"outcome": outcome}
    violations = [{"field": field, "rule": rule} for field, rule in faults]
    return {"outcome": "refused", "code": outcome, "violations": violations}


def write_scenarios(folder: Folder) -> None:
    """Write the stories that end in a refusal, and the one in which all is stored."""
    for story in [_STORY, *scenarios().values()]:
        steps = [step_told(story, place, said) for place, said in enumerate(story.said)]
        facts = {"about": story.about, "organisations": list(ORGANISATIONS), "steps": steps}
        folder.write(f"scenarios/{story.name}", facts)


def step_told(story: Story, place: int, said: Said) -> dict[str, Any]:
    """Return one push of a story."""
    return {
        "time": story.time(place).isoformat().replace("+00:00", "Z"),
        "caller": said.caller,
        "signer_trusted": said.trusted,
        "kind": said.kind.value,
        "message_id": said.message_id,
        "envelope": said.envelope.hex(),
        "groups": [group_name(number) for number, _ in envelope_groups(said.envelope)],
        "expect": expected(said.expect, said.faults),
    }


def write_refusals(folder: Folder) -> None:
    """Write one signed refusal of each code: the bridge's answer, which is recorded."""
    faults = {edge.code: edge.faults for edge in at_the_edge()}
    faults |= {code: story.said[-1].faults for code, story in scenarios().items()}
    key = log_key()
    missing = [code.name for code in RefusalCode if code.name not in faults]
    if missing:
        sys.exit(
            f"proto/vector_edges.py and vector_scenarios.py have no vector for: {', '.join(missing)}"
        )
    for code in RefusalCode:
        refusal = Refusal(
            code=code,
            violations=tuple(
                Violation(field=field, rule=rule, text=code.text)
                for field, rule in faults[code.name]
            ),
        )
        said = _STORY.said[0]
        statement = refused_statement(said.message_id, said.digest, key.name, refusal, START)
        (signature,) = sign_always_alike(REFUSED_TYPE, [statement], key.signing_key)
        receipt = receipt_pb2.Receipt(refused=refused_receipt(statement, signature))
        facts = receipt_told(receipt, REFUSED_TYPE, receipt_pb2.RefusedStatement)
        folder.write(f"refusals/{code.name.lower()}", facts, binary(receipt))


# -- receipts, log, digests


def receipt_told(
    receipt: receipt_pb2.Receipt, payload_type: str, statement_type: type[Protobuf]
) -> dict[str, Any]:
    """Return a receipt and the statement in it."""
    kind = receipt.WhichOneof("receipt") or ""
    inner = getattr(receipt, kind)
    return {
        "receipt": told(receipt),
        "statement": told(statement_type.FromString(inner.statement)),
        "statement_bytes": inner.statement.hex(),
        "signature": signature_told(inner.signature, payload_type, inner.statement),
    }


def binary(message: Protobuf) -> bytes:
    """Return the bytes of *message*."""
    return message.SerializeToString(deterministic=True)


def write_receipts(folder: Folder) -> None:
    """Write the bridge's stored and the receiver's written receipt, and a receiver's refusal."""
    offer = next(said for said in _STORY.said if said.kind.value == "offer")
    receiver = next(said.caller for said in _STORY.said if said.kind.value == "take")
    for said, proof in zip(
        _STORY.said, [p for d in drains(_STORY) for p in d.proofs], strict=False
    ):
        if said is offer:
            stored = receipt_pb2.Receipt(stored=stored_receipt(said.message_id, proof))
            facts = {"receipt": told(stored), "leaf": proof.leaf.hex(), "proof": str(proof)}
            folder.write("receipts/stored", facts, binary(stored))
    statement = written_statement(offer.message_id, offer.digest, receiver, START, "J-000017")
    signature = one_signature(WRITTEN_TYPE, statement, receiver)
    written = receipt_pb2.Receipt(written=written_receipt(statement, signature))
    facts = receipt_told(written, WRITTEN_TYPE, receipt_pb2.WrittenStatement)
    folder.write("receipts/written", facts, binary(written))
    refusal = Refusal(code=RefusalCode.FIELD_INVALID)
    statement = refused_statement(offer.message_id, offer.digest, receiver, refusal, START)
    signature = one_signature(REFUSED_TYPE, statement, receiver)
    refused = receipt_pb2.Receipt(refused=refused_receipt(statement, signature))
    facts = receipt_told(refused, REFUSED_TYPE, receipt_pb2.RefusedStatement)
    folder.write("receipts/refused-by-receiver", facts, binary(refused))
    statement = refused_statement(
        offer.message_id, offer.digest, receiver, refusal, START, set_aside="平台无此记录"
    )
    signature = one_signature(REFUSED_TYPE, statement, receiver)
    aside = receipt_pb2.Receipt(refused=refused_receipt(statement, signature))
    facts = receipt_told(aside, REFUSED_TYPE, receipt_pb2.RefusedStatement)
    folder.write("receipts/set-aside", facts, binary(aside))


def one_signature(payload_type: str, payload: bytes, organisation: str) -> Signature:
    """Return the organisation's signature over one payload."""
    return sign_always_alike(payload_type, [payload], author_key(organisation))[0]


def write_log(folder: Folder) -> None:
    """Write leaves, checkpoints, inclusion and consistency proofs."""
    folder.write("log", log_told(_STORY))


def write_digests(folder: Folder) -> None:
    """Write group digests, message digests and derived ids."""
    groups = [(1, bytes(16), b""), (6, bytes(range(32)), "正文".encode()), (99, b"s" * 16, b"?")]
    parts = [["11140400MB1X00010Y", "W20260302000001", "1", "open_ticket"], ["记录", ""], [""]]
    over = next(said for said in _STORY.said if said.kind.value == "take_over")
    folder.write(
        "digests",
        {
            "group_digests": [
                {
                    "group": number,
                    "salt": salt.hex(),
                    "content": content.hex(),
                    "digest": group_digest(number, salt, content).hex(),
                }
                for number, salt, content in groups
            ],
            "message_digests": [
                {"bytes": data.hex(), "digest": message_digest(data).hex()}
                for data in (b"", b"header", over.draft.header)
            ],
            "derived_ids": [{"parts": some, "id": derived_id(*some)} for some in parts],
            "own_duty_ids": [
                {
                    "handoff_id": over.handoff_id,
                    "opened_by": over.digest.hex(),
                    "id": own_duty_id(over.handoff_id, over.digest),
                }
            ],
        },
    )


def write_keys(folder: Folder) -> None:
    """Write the public keys; everybody can make the private ones, so nobody must trust them."""
    authors = [
        {
            "organisation": organisation,
            "suite": key.public.suite,
            "key_id": key.public.key_id.hex(),
            "spki": key.public.spki.hex(),
        }
        for organisation in ORGANISATIONS
        for key in [author_key(organisation)]
    ]
    log = log_key()
    public = log.verifier.key
    folder.write(
        "keys",
        {
            "warning": "Test only. Everybody can derive the private keys. Never trust them.",
            "phrase": PHRASE,
            "authors": authors,
            "log": {
                "origin": log.name,
                "verifier_key": str(log.verifier),
                "suite": public.suite,
                "key_id": public.key_id.hex(),
                "spki": public.spki.hex(),
            },
        },
    )


def write_sealed(folder: Folder) -> None:
    """Write one sealed group and what opens it."""
    folder.write("sealed", sealed())


README = Path(__file__).with_name("vectors.md")


def main() -> None:
    """Write everything below the folder named on the command line."""
    folder = Folder(Path(sys.argv[1]))
    folder.top.mkdir(parents=True, exist_ok=True)
    for write in (
        write_keys,
        write_digests,
        write_sealed,
        write_messages,
        write_batch,
        write_edge,
        write_scenarios,
        write_refusals,
        write_receipts,
        write_log,
    ):
        write(folder)
    (folder.top / "README.md").write_text(README.read_text("utf-8"), "utf-8")


if __name__ == "__main__":
    main()
