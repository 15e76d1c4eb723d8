"""
The key that signs a bridge's log: Ed25519, in the text forms of C2SP signed notes.

Private: ``PRIVATE+KEY+<name>+<key id>+<base64 of 0x01 and the 32-byte seed>``, one line.
Public (the verifier key, for the trust bundle): ``<name>+<key id>+<base64 of 0x01 and the key>``.
The key id is the first four bytes of SHA-256(name, newline, 0x01, public key) in hexadecimal.
See https://c2sp.org/signed-note.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ed25519

from certs.errors import Refused
from certs.files import require_absent, write_new

_ED25519 = b"\x01"


def note_keys(name: str, key: ed25519.Ed25519PrivateKey) -> tuple[str, str]:
    """
    Return *key* as private key line and verifier key line under *name*.

    A name has neither spaces nor a plus sign; else this function raises `Refused`.
    """
    if not name or "+" in name or any(character.isspace() for character in name):
        raise Refused(
            en=f"{name!r} is no log name: it takes no spaces and no plus sign. Use one like "
            "bridge.example/log/1.",
            zh=f"{name!r} 不能作为日志名称：不得含空格或加号。请使用类似 bridge.example/log/1 的名称。",
        )
    public = _ED25519 + key.public_key().public_bytes_raw()
    key_id = hashlib.sha256(name.encode() + b"\n" + public).hexdigest()[:8]
    secret = _ED25519 + key.private_bytes_raw()
    return (
        f"PRIVATE+KEY+{name}+{key_id}+{base64.b64encode(secret).decode()}",
        f"{name}+{key_id}+{base64.b64encode(public).decode()}",
    )


def create_log_key(stem: Path, name: str) -> tuple[Path, Path]:
    """Write ``<stem>.key`` (mode 0600) and ``<stem>.vkey``; return both paths."""
    key_path = stem.with_name(stem.name + ".key")
    verifier_path = stem.with_name(stem.name + ".vkey")
    require_absent(key_path, verifier_path)
    private, verifier = note_keys(name, ed25519.Ed25519PrivateKey.generate())
    write_new(key_path, f"{private}\n".encode(), private=True)
    write_new(verifier_path, f"{verifier}\n".encode())
    return key_path, verifier_path
