"""The contract and what follows from it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import protovalidate

from exchange._proto.v1 import message_pb2

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


def test_field_rules_are_found_in_the_generated_code() -> None:
    """Validation reads the rules through our own copy of buf.validate, not none at all."""
    found = protovalidate.collect_violations(message_pb2.Header())

    assert "message_id" in {v.proto.field.elements[0].field_name for v in found if v.proto.field}
