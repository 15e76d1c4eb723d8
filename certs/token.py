"""
Keys in a PKCS #11 token (a smart card, an HSM): they sign there and never leave it.

Where a key file would stand, ``NAME.token`` stands instead: a small JSON file that says which module,
token and key to use, and holds no secret.  The token's PIN comes from where a passphrase comes from.
Needs the extra ``hsm`` (python-pkcs11).
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_der_public_key

from certs import pem
from certs.errors import Refused
from certs.files import read
from certs.passphrase import Passphrase

SUFFIX = ".token"


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """Which key of which token, through which module (a shared library)."""

    module: str
    token: str
    key: str

    def text(self) -> bytes:
        """Return what stands in the ``.token`` file."""
        return json.dumps(asdict(self), ensure_ascii=False).encode() + b"\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token to make a key in: its module and its label."""

    module: Path
    label: str


class TokenKey(ec.EllipticCurvePrivateKey):
    """
    A P-256 key in a token, in the form that cryptography signs certificates with.

    Only what signing needs is there: the private part cannot be had, and nothing else is asked of it.
    """

    def __init__(self, slot: Slot, pin: str, public: ec.EllipticCurvePublicKey) -> None:
        self._slot, self._pin, self._public = slot, pin, public

    @property
    def curve(self) -> ec.EllipticCurve:
        """Return the curve."""
        return self._public.curve

    @property
    def key_size(self) -> int:
        """Return the curve's size in bits."""
        return self._public.key_size

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """Return the public part, which the token gives out."""
        return self._public

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        """Let the token sign *data*; return an ASN.1 ECDSA signature.  Raises `Refused`."""
        algorithm = signature_algorithm.algorithm
        if isinstance(algorithm, Prehashed):
            digest = bytes(data)
        else:
            state = hashes.Hash(algorithm)
            state.update(bytes(data))
            digest = state.finalize()
        with _session(self._slot, self._pin) as (session, pkcs11):
            private = session.get_key(
                object_class=pkcs11.ObjectClass.PRIVATE_KEY, label=self._slot.key
            )
            raw = private.sign(digest, mechanism=pkcs11.Mechanism.ECDSA)
        half = len(raw) // 2
        return encode_dss_signature(int.from_bytes(raw[:half]), int.from_bytes(raw[half:]))

    def sign_sha256(self, data: bytes) -> bytes:
        """Let the token sign *data*, hashed with SHA-256, as TLS asks of a P-256 key.  Raises `Refused`."""
        return self.sign(data, ec.ECDSA(hashes.SHA256()))

    def exchange(self, *_: object, **__: object) -> NoReturn:
        """Refuse: an authority's key agrees on no secrets."""
        raise self._inside()

    def private_numbers(self) -> NoReturn:
        """Refuse: they do not leave the token."""
        raise self._inside()

    def private_bytes(self, *_: object, **__: object) -> NoReturn:
        """Refuse: they do not leave the token."""
        raise self._inside()

    def __copy__(self) -> TokenKey:
        return self

    def __deepcopy__(self, memo: object) -> TokenKey:
        return self

    def _inside(self) -> Refused:
        return Refused(
            en=f"The key {self._slot.key} stays in its token; it can sign and nothing else.",
            zh=f"密钥 {self._slot.key} 不离开令牌，只能用于签名。",
        )


def create_key(token: Token, label: str, passphrase: Passphrase) -> tuple[Slot, TokenKey]:
    """
    Make a P-256 key in *token*; return where it is, and the key.

    Its name there is *label* and some random digits: a key that an interrupted command left behind is
    in nobody's way.  Raises `Refused`.
    """
    name = f"{label} {secrets.token_hex(4)}"
    slot = Slot(module=str(token.module), token=token.label, key=name)
    pin = passphrase.of(Path(token.label)).decode()
    with _session(slot, pin) as (session, pkcs11):
        from pkcs11.util.ec import (  # noqa: PLC0415 - the extra may not be installed
            encode_named_curve_parameters,
        )

        curve = {pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")}
        parameters = session.create_domain_parameters(pkcs11.KeyType.EC, curve, local=True)
        inside = {pkcs11.Attribute.SENSITIVE: True, pkcs11.Attribute.EXTRACTABLE: False}
        public, _ = parameters.generate_keypair(store=True, label=slot.key, private_template=inside)
        return slot, TokenKey(slot, pin, _public(public))


def open_key(path: Path, passphrase: Passphrase) -> TokenKey:
    """Return the key that the ``.token`` file *path* points to, or refuse."""
    try:
        found = json.loads(read(path))
        slot = Slot(module=str(found["module"]), token=str(found["token"]), key=str(found["key"]))
    except (ValueError, KeyError, TypeError) as error:
        raise Refused(
            en=f"{path} does not say which key of which token to use ({error}). Restore it from its backup.",
            zh=f"{path} 未载明使用哪个令牌的哪把密钥（{error}）。请从备份恢复。",
        ) from error
    pin = passphrase.of(path).decode()
    with _session(slot, pin) as (session, pkcs11):
        public = session.get_key(object_class=pkcs11.ObjectClass.PUBLIC_KEY, label=slot.key)
        return TokenKey(slot, pin, _public(public))


def fits(key: TokenKey, chain: bytes) -> bool:
    """Return whether *key* is that of the first certificate in *chain* (PEM), or refuse other bytes."""
    leaf, *_ = pem.certificates("the certificate", chain)
    return bool(leaf.public_key() == key.public_key())


def _public(key: Any) -> ec.EllipticCurvePublicKey:
    from pkcs11.util.ec import encode_ec_public_key  # noqa: PLC0415 - likewise

    public = load_der_public_key(encode_ec_public_key(key))
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise Refused(
            en="The token's key is of another kind than P-256. Make one with `certs init --token`.",
            zh="令牌中的密钥不是 P-256。请用 `certs init --token` 生成。",
        )
    return public


@contextmanager
def _session(slot: Slot, pin: str) -> Iterator[tuple[Any, Any]]:
    """Log in to the token; everything that can go wrong there is a refusal."""
    try:
        import pkcs11  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise Refused(
            en="Keys in a token need the extra 'hsm': pip install 'hotline-exchange[hsm]'",
            zh="使用令牌中的密钥需安装附加组件 hsm：pip install 'hotline-exchange[hsm]'",
        ) from error
    try:
        found = pkcs11.lib(slot.module).get_token(token_label=slot.token)
        with found.open(user_pin=pin, rw=True) as session:
            yield session, pkcs11
    except (pkcs11.PKCS11Error, OSError, RuntimeError) as error:
        what = type(error).__name__
        raise Refused(
            en=f"The token {slot.token!r} does not serve ({what}). Check that it is plugged in, that its PIN "
            f"is right, that {slot.module} is its module, and that it holds the key {slot.key!r}.",
            zh=f"令牌“{slot.token}”不可用（{what}）。请检查是否已插入、PIN 是否正确、{slot.module} 是否为其模块，"
            f"以及其中是否有密钥“{slot.key}”。",
        ) from error
