"""The vectors' sealed group: key, ciphertext, and a wrapped key that was made once."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from exchange._proto.v1 import message_pb2 as pb
from exchange.envelope import group_digest
from exchange.sealing import SUITE, Place, close_group, group_key, key_id, unwrap

READER = "140400000000"
PLACE = Place(
    digest=sha256(b"a message").digest(), ticket_id="6f1ab5ac-1c0f-4d0e-8f0a-2b8a3d1f9c01", group=6
)
#: HPKE takes a fresh key each time, so this is one that it made; whoever changes PLACE makes another.
WRAPPED = bytes.fromhex(
    "8adb5d372c3c15156ff76fcc32d3f771eaab5e91422090e098d1c1dd8e474d470b88bf37e7b6afe5"
    "6e76281d7d981e00997740ebe4b43dc959ccd45b507a8851e90767a0efadfa3cc997ba5c030c7a97"
)


def sealed() -> dict[str, Any]:
    """Return a sealed group with all that opens it; everybody knows the private key."""
    private = X25519PrivateKey.from_private_bytes(
        sha256(b"a private key that everybody knows").digest()
    )
    salt, content = bytes(range(16)), "井盖缺失".encode()
    salted = pb.SaltedGroup(group=PLACE.group, salt=salt, content=content)  # type: ignore[arg-type]
    plain = salted.SerializeToString(deterministic=True)
    key = group_key(PLACE, salt)
    if unwrap(PLACE, WRAPPED, READER, private) != key:
        raise ValueError("the wrapped key is of another place")
    return {
        "suite": SUITE,
        "message_digest": PLACE.digest.hex(),
        "ticket_id": PLACE.ticket_id,
        "group": PLACE.group,
        "recipient": READER,
        "salt": salt.hex(),
        "content": content.hex(),
        "digest": group_digest(PLACE.group, salt, content).hex(),
        "salted_group": plain.hex(),
        "group_key": key.hex(),
        "ciphertext": close_group(PLACE, key, plain).hex(),
        "private_key": private.private_bytes_raw().hex(),
        "public_key": private.public_key().public_bytes_raw().hex(),
        "key_id": key_id(private.public_key()).hex(),
        "wrapped": WRAPPED.hex(),
    }
