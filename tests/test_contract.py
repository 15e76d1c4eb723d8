"""The contract and what follows from it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import protovalidate
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from exchange._proto.v1 import message_pb2
from exchange.identity import METHODS

ROOT = Path(__file__).resolve().parent.parent


def test_generated_files_are_what_the_contract_gives() -> None:
    """`make proto` would change nothing: code, descriptor set and vectors fit the .proto files."""
    done = subprocess.run(
        [sys.executable, ROOT / "proto" / "generate.py", "--check"],
        check=False,
        capture_output=True,
        text=True,
    )

    assert "" == done.stderr
    assert 0 == done.returncode


def test_the_descriptor_set_is_all_that_another_language_needs() -> None:
    """Read back by itself, without our code: every service and method, and a golden message in every field."""
    published = FileDescriptorSet.FromString((ROOT / "proto" / "exchange.binpb").read_bytes())
    pool = DescriptorPool()
    services = set()
    for file in published.file:  # each after those that it imports
        pool.AddSerializedFile(file.SerializeToString())
        services |= {
            f"/{file.package}.{service.name}/{method.name}"
            for service in file.service
            for method in service.method
        }
    vector = (ROOT / "proto" / "vectors" / "messages" / "offer.binpb").read_bytes()
    package = "hotline.exchange.v1"
    envelope = GetMessageClass(pool.FindMessageTypeByName(f"{package}.Envelope")).FromString(vector)
    header = GetMessageClass(pool.FindMessageTypeByName(f"{package}.Header")).FromString(
        envelope.header  # type: ignore[attr-defined]
    )
    ours = message_pb2.Header.FromString(message_pb2.Envelope.FromString(vector).header)

    assert {name for name in METHODS if name.startswith(f"/{package}.")} == services
    assert header.WhichOneof("act") == "offer"
    assert str(ours) == str(header)


def test_field_rules_are_found_in_the_generated_code() -> None:
    """Validation reads the rules through our own copy of buf.validate, not none at all."""
    found = protovalidate.collect_violations(message_pb2.Header())

    assert "message_id" in {v.proto.field.elements[0].field_name for v in found if v.proto.field}
