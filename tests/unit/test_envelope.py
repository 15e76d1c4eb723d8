"""What is signed, by whom, and that no other bytes pass for it."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given
from hypothesis import strategies as st

from exchange.envelope import (
    ED25519,
    MAX_BATCH,
    MESSAGE_TYPE,
    P256_SHA256,
    REFUSED_TYPE,
    WRITTEN_TYPE,
    Signature,
    SigningKey,
    Verifier,
    VerifyingKey,
    group_digest,
    message_digest,
    sign,
    signed_bytes,
)
from exchange.errors import VerificationError
from exchange.merkle import Frontier, root_from_path
from tests.unit.signers import AUTHOR, KEY, certificate

BOTH = frozenset({P256_SHA256, ED25519})
SALT = bytes(range(16))


BRIDGE = SigningKey.from_private_key(ed25519.Ed25519PrivateKey.generate())
PAYLOADS = [b"header %d" % n for n in range(11)]
SIGNED = sign(MESSAGE_TYPE, PAYLOADS, AUTHOR)


def holds(
    payload: bytes,
    signature: Signature,
    key: VerifyingKey = AUTHOR.public,
    payload_type: str = MESSAGE_TYPE,
    allowed: frozenset[str] = BOTH,
) -> bool:
    """Whether a fresh verifier accepts it."""
    try:
        Verifier().verify(payload_type, payload, signature, key, allowed=allowed)
    except VerificationError:
        return False
    return True


class TestDigests:
    def test_group_digest_layout(self) -> None:
        """The digest is SHA-256 over the documented layout."""
        expected = sha256(
            b"hotline-exchange/group/v1\x00\x00\x00\x03\x10"
            + SALT
            + b"\x00\x00\x00\x00\x00\x00\x00\x04text"
        ).digest()

        assert expected == group_digest(3, SALT, b"text")

    def test_group_digest_is_unambiguous(self) -> None:
        """Moving bytes between salt, content and number gives another digest."""
        digests = {
            group_digest(3, SALT, b"text"),
            group_digest(4, SALT, b"text"),
            group_digest(3, SALT + b"t", b"ext"),
            group_digest(3, SALT, b"text\x00"),
            group_digest(3, SALT, b""),
        }

        assert len(digests) == 5

    @pytest.mark.parametrize("salt", [b"", bytes(15), bytes(65)])
    def test_salt_of_a_wrong_length(self, salt: bytes) -> None:
        """A salt too short to hide anything, or absurdly long, is refused."""
        with pytest.raises(VerificationError):
            group_digest(1, salt, b"text")

    @pytest.mark.parametrize("group", [-1, 1 << 32])
    def test_no_such_group(self, group: int) -> None:
        """A group number that does not fit is refused."""
        with pytest.raises(VerificationError):
            group_digest(group, SALT, b"text")

    def test_message_digest(self) -> None:
        """A message's digest is the RFC 9162 leaf hash of its header."""
        assert sha256(b"\x00header").digest() == message_digest(b"header")

    def test_signed_bytes(self) -> None:
        """The key signs the DSSE encoding of type, batch size and root."""
        expected = b"DSSEv1 1 t 40 " + b"\x00\x00\x00\x00\x00\x00\x00\x02" + bytes(32)

        assert expected == signed_bytes("t", 2, bytes(32))


class TestSign:
    @pytest.mark.parametrize("signer", [AUTHOR, BRIDGE], ids=[P256_SHA256, ED25519])
    @pytest.mark.parametrize("count", [1, 2, 3, 64, 129])
    def test_every_message_of_a_batch(self, signer: SigningKey, count: int) -> None:
        """Each message of a batch of any size verifies, alone and with its neighbours."""
        payloads = [b"header %d" % n for n in range(count)]
        signatures = sign(WRITTEN_TYPE, payloads, signer)
        verifier = Verifier()

        assert count == len(signatures)
        assert {64} == {len(signature.value) for signature in signatures}
        for payload, signature in zip(payloads, signatures, strict=True):
            verifier.verify(WRITTEN_TYPE, payload, signature, signer.public, allowed=BOTH)
            assert holds(payload, signature, signer.public, WRITTEN_TYPE)

    def test_alone(self) -> None:
        """A message signed alone is a batch of one, with an empty path."""
        [signature] = sign(MESSAGE_TYPE, [b"header"], AUTHOR)

        assert (signature.batch_size, signature.batch_index, signature.path) == (1, 0, ())
        assert AUTHOR.public.key_id == signature.key_id
        assert AUTHOR.chain[0].fingerprint(hashes.SHA256()) == signature.key_id

    def test_nothing(self) -> None:
        """Nothing to sign is no signature."""
        assert sign(MESSAGE_TYPE, [], AUTHOR) == []

    def test_too_many(self) -> None:
        """A batch beyond the limit is refused before it is signed."""
        with pytest.raises(ValueError, match="4096"):
            sign(MESSAGE_TYPE, [b""] * (MAX_BATCH + 1), AUTHOR)

    def test_a_foreign_implementation_could_check_it(self) -> None:
        """Checked with the library alone: path to root, DSSE bytes, DER signature."""
        signature = SIGNED[7]
        root = root_from_path(sha256(b"\x00header 7").digest(), 7, 11, signature.path)
        body = (11).to_bytes(8, "big") + root
        r, s = (
            int.from_bytes(part, "big") for part in (signature.value[:32], signature.value[32:])
        )
        der = ec_der(r, s)

        KEY.public_key().verify(
            der,
            b"DSSEv1 %d %b 40 %b" % (len(MESSAGE_TYPE), MESSAGE_TYPE.encode(), body),
            ec.ECDSA(hashes.SHA256()),
        )


def ec_der(r: int, s: int) -> bytes:
    """ASN.1 SEQUENCE of two INTEGERs, by hand."""

    def integer(value: int) -> bytes:
        raw = value.to_bytes(value.bit_length() // 8 + 1, "big")
        return bytes((2, len(raw))) + raw

    body = integer(r) + integer(s)
    return bytes((0x30, len(body))) + body


class TestRefused:
    @given(st.data())
    def test_any_flipped_bit(self, data: st.DataObject) -> None:
        """One flipped bit in payload, value, key id or any path entry is refused."""
        index = data.draw(st.integers(0, 10))
        payload, good = PAYLOADS[index], SIGNED[index]
        part = data.draw(st.integers(-3, len(good.path) - 1))
        if part == -3:
            assert not holds(flipped(data, payload), good)
        elif part == -2:
            assert not holds(payload, replace(good, value=flipped(data, good.value)))
        elif part == -1:
            assert not holds(payload, replace(good, key_id=flipped(data, good.key_id)))
        else:
            path = list(good.path)
            path[part] = flipped(data, path[part])
            assert not holds(payload, replace(good, path=tuple(path)))

    @given(size=st.integers(-2, 5000), index=st.integers(-2, 5000))
    def test_other_place(self, size: int, index: int) -> None:
        """A signature holds at its own place in its own batch only."""
        moved = replace(SIGNED[3], batch_size=size, batch_index=index)

        assert holds(PAYLOADS[3], moved) == ((size, index) == (11, 3))

    @pytest.mark.parametrize(
        "change",
        [
            pytest.param({"value": b""}, id="no-value"),
            pytest.param({"value": bytes(64)}, id="zeros"),
            pytest.param({"value": b"\xff" * 64}, id="ones"),
            pytest.param({"value": SIGNED[3].value + b"\x00"}, id="byte-more"),
            pytest.param({"value": SIGNED[3].value[:-1]}, id="byte-less"),
            pytest.param(
                {"value": SIGNED[3].value[:32] + b"\x00" + SIGNED[3].value[32:]}, id="byte-within"
            ),
            pytest.param({"path": ()}, id="no-path"),
            pytest.param({"path": (*SIGNED[3].path, bytes(32))}, id="node-more"),
            pytest.param({"path": SIGNED[3].path[:-1]}, id="node-less"),
            pytest.param(
                {"path": (SIGNED[3].path[0] + b"\x00", *SIGNED[3].path[1:])}, id="long-node"
            ),
            pytest.param({"path": (bytes(32),) * 65}, id="path-of-65"),
            pytest.param({"path": (bytes(32),) * 100_000}, id="endless-path"),
            pytest.param({"batch_size": 1 << 40}, id="huge-batch"),
            pytest.param({"batch_size": 0}, id="no-batch"),
            pytest.param({"key_id": b""}, id="no-key"),
            pytest.param({"suite": ED25519}, id="other-suite"),
            pytest.param({"suite": "rsa-sha1"}, id="unknown-suite"),
            pytest.param({"suite": ""}, id="no-suite"),
            pytest.param({"suite": "x" * 100_000}, id="endless-suite"),
        ],
    )
    def test_malformed(self, change: dict[str, Any]) -> None:
        """Truncated, oversized and foreign parts are refused."""
        assert holds(PAYLOADS[3], SIGNED[3])
        assert not holds(PAYLOADS[3], replace(SIGNED[3], **change))

    def test_too_large_a_batch(self) -> None:
        """A batch beyond the limit is refused although its one signature is good."""
        count = MAX_BATCH + 1
        growth = Frontier().append([message_digest(b"%d" % n) for n in range(count)])
        value = AUTHOR.sign_bytes(signed_bytes(MESSAGE_TYPE, count, growth.frontier.root()))
        large = Signature(
            suite=P256_SHA256,
            key_id=AUTHOR.public.key_id,
            value=value,
            batch_size=count,
            path=growth.path(0),
        )

        assert not holds(b"0", large)

    def test_as_another_type(self) -> None:
        """A message's signature is no statement that it was written or refused."""
        assert not holds(PAYLOADS[0], SIGNED[0], payload_type=WRITTEN_TYPE)
        assert not holds(PAYLOADS[0], SIGNED[0], payload_type=REFUSED_TYPE)

    def test_suite_not_allowed(self) -> None:
        """A suite that the peer is not allowed is refused although it is known and holds."""
        assert holds(PAYLOADS[0], SIGNED[0], allowed=frozenset({P256_SHA256}))
        assert not holds(PAYLOADS[0], SIGNED[0], allowed=frozenset({ED25519}))
        assert not holds(PAYLOADS[0], SIGNED[0], allowed=frozenset())

    def test_other_key_under_the_same_name(self) -> None:
        """A key that merely claims the signer's identifier verifies nothing."""
        other = VerifyingKey.from_certificate(certificate(ec.generate_private_key(ec.SECP256R1())))

        assert not holds(PAYLOADS[0], SIGNED[0], replace(other, key_id=AUTHOR.public.key_id))

    def test_remembered_for_its_own_key_only(self) -> None:
        """What one verifier has accepted under one key it does not accept under another."""
        other = VerifyingKey.from_certificate(certificate(ec.generate_private_key(ec.SECP256R1())))
        verifier = Verifier()
        verifier.verify(MESSAGE_TYPE, PAYLOADS[0], SIGNED[0], AUTHOR.public, allowed=BOTH)

        with pytest.raises(VerificationError):
            verifier.verify(
                MESSAGE_TYPE,
                PAYLOADS[0],
                SIGNED[0],
                replace(other, key_id=AUTHOR.public.key_id),
                allowed=BOTH,
            )

    def test_a_bad_neighbour(self) -> None:
        """A message changed under way does not cost its neighbours their signature."""
        verifier = Verifier()
        with pytest.raises(VerificationError):
            verifier.verify(MESSAGE_TYPE, b"changed", SIGNED[4], AUTHOR.public, allowed=BOTH)

        for payload, signature in zip(PAYLOADS, SIGNED, strict=True):
            verifier.verify(MESSAGE_TYPE, payload, signature, AUTHOR.public, allowed=BOTH)


def flipped(data: st.DataObject, good: bytes) -> bytes:
    """*good* with one bit flipped."""
    bit = data.draw(st.integers(0, len(good) * 8 - 1))
    return (int.from_bytes(good, "big") ^ 1 << bit).to_bytes(len(good), "big")


@ec.EllipticCurvePublicKey.register
class CountingKey:
    """A public key that counts its verifications; a token's key would be made the same way."""

    def __init__(self, key: ec.EllipticCurvePublicKey) -> None:
        self.inner = key
        self.count = 0

    def verify(self, signature: bytes, data: bytes, algorithm: ec.ECDSA) -> None:
        """Count and pass on."""
        self.count += 1
        self.inner.verify(signature, data, algorithm)


class TestCost:
    def test_one_verification_a_batch(self) -> None:
        """However many of a batch are checked, in whatever order, the key is used once."""
        key = CountingKey(KEY.public_key())
        public = replace(AUTHOR.public, key=cast(ec.EllipticCurvePublicKey, key))
        verifier = Verifier()
        for index in (5, 0, 5, *range(11)):
            verifier.verify(MESSAGE_TYPE, PAYLOADS[index], SIGNED[index], public, allowed=BOTH)

        assert key.count == 1

    def test_bad_batches_cost_no_more(self) -> None:
        """A whole batch under one bad signature costs one verification, each message refused."""
        key = CountingKey(KEY.public_key())
        public = replace(AUTHOR.public, key=cast(ec.EllipticCurvePublicKey, key))
        verifier = Verifier()
        for payload, signature in zip(PAYLOADS, SIGNED, strict=True):
            with pytest.raises(VerificationError):
                verifier.verify(WRITTEN_TYPE, payload, signature, public, allowed=BOTH)

        assert key.count == 1
