"""
Acts of authorities and bridges, as they stand in the log: signed lines, each naming the one before it.

A line is JSON: ``type``, ``payload`` (base64 of JSON in UTF-8), ``key_id`` and ``signature``, what is signed
being the DSSE pre-authentication encoding of a batch of one, as for messages.  A payload holds ``act``,
``number`` (from 1), ``at`` (UTC), ``network`` (a bridge's act: ``log``) and ``previous``, the SHA-256 of the
line before it in hexadecimal, 64 zeros for the first.  An authority's chain is the journal that it keeps
(`certs.journal`), signed by its issuing keys; a bridge's own is signed by its log's key.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any

from exchange.envelope import ED25519, Signature, SigningKey, Verifier, sign
from exchange.errors import VerificationError
from exchange.note import NoteVerifier
from exchange.text import Text

AUTHORITY_ACT = "application/vnd.hotline-exchange.act.v1"
BRIDGE_ACT = "application/vnd.hotline-exchange.bridge-act.v1"
#: What a bridge's act about whom it trusts, which lists count and whom it denies is called.
IN_FORCE = "trust"
#: What the first line of a chain names as the one before it.
FIRST = "0" * 64
#: Bytes of one line at most: an act holds two certificates at the most.
MAX_LINE = 65_536
#: What of a bridge's act is only about when it was written down.
_OCCASION = frozenset({"number", "at", "previous", "salt", "generation"})

_NO_ACT = Text(en="This is no act of a chain.", zh="这不是操作链中的记录。")
_UNSIGNED = Text(en="This act is not signed by the log {log}.", zh="该记录未由日志 {log} 签名。")


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One line, taken apart; nothing of it is verified."""

    type: str
    number: int
    previous: str
    act: str
    at: datetime
    #: The network of the authority, or the log of the bridge.
    source: str
    facts: Mapping[str, Any] = field(repr=False)
    payload: bytes = field(repr=False)
    key_id: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    line: bytes = field(repr=False)

    @property
    def digest(self) -> str:
        """Return by which name the next line knows this one."""
        return sha256(self.line).hexdigest()


def read_act(line: bytes) -> Act:
    """Return the act in *line*; raises `VerificationError` where it holds none, or one too long."""
    try:
        if len(line) > MAX_LINE:
            raise ValueError("too long")
        found = json.loads(line)
        payload = base64.b64decode(found["payload"], validate=True)
        facts = json.loads(payload)
        at, number = datetime.fromisoformat(facts["at"]), facts["number"]
        if at.tzinfo is None or not isinstance(number, int) or number < 1:
            raise ValueError("no number, or no zone")
        return Act(
            type=str(found["type"]),
            number=number,
            previous=str(facts["previous"]),
            act=str(facts["act"]),
            at=at,
            source=str(facts["network"] if "network" in facts else facts["log"]),
            facts=facts,
            payload=payload,
            key_id=bytes.fromhex(found["key_id"]),
            signature=base64.b64decode(found["signature"], validate=True),
            line=line,
        )
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise VerificationError(_NO_ACT) from error


def bridge_act(
    facts: Mapping[str, Any], log: str, after: tuple[int, bytes], now: datetime, *,
    salt: str, key: SigningKey,
) -> bytes:  # fmt: skip
    """Return the line of a bridge's own act, signed by its log's *key*; *after*: number and line before."""
    number, before = after
    said = {
        **facts,
        "log": log,
        "number": number + 1,
        "at": now.isoformat(),
        "previous": sha256(before).hexdigest() if number else FIRST,
        "salt": salt,
    }
    payload = json.dumps(said, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    (signature,) = sign(BRIDGE_ACT, [payload], key)
    line = {
        "type": BRIDGE_ACT,
        "payload": base64.b64encode(payload).decode(),
        "key_id": signature.key_id.hex(),
        "signature": base64.b64encode(signature.value).decode(),
    }
    return json.dumps(line, separators=(",", ":")).encode()


def says_the_same(facts: Mapping[str, Any], line: bytes) -> bool:
    """Return whether a bridge's act in *line* says *facts*, whenever it was."""
    known = read_act(line).facts.items()
    said = {key: value for key, value in known if key not in _OCCASION | {"log"}}
    return said == {key: value for key, value in facts.items() if key not in _OCCASION}


def verify_bridge_act(act: Act, log: NoteVerifier) -> None:
    """Raise `VerificationError` unless *log*'s key signed *act* as its own bridge's."""
    signature = Signature(suite=ED25519, key_id=act.key_id, value=act.signature)
    if act.type != BRIDGE_ACT or act.source != log.name:
        raise VerificationError(_UNSIGNED.fill(log=log.name))
    Verifier().verify(BRIDGE_ACT, act.payload, signature, log.key, allowed={ED25519})
