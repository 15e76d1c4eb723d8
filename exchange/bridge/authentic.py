"""Who says it: a pushed message is signed by its author and brought by somebody who may bring it."""

from __future__ import annotations

from exchange.bridge.policy import Policy
from exchange.envelope import MESSAGE_TYPE, P256_SHA256, Verifier
from exchange.errors import Refusal, RefusalCode, VerificationError, refuse
from exchange.submission import Pushed
from exchange.text import Text
from exchange.ticket import Message

#: The suites an author may sign with; allowed here, never negotiated.
AUTHOR_SUITES = frozenset({P256_SHA256})

_NOT_SIGNER = Text(
    en="The message says {author}, but {signer} signed it.",
    zh="消息作者为 {author}，签名者却是 {signer}。",
)
_NOT_CALLER = Text(
    en="{caller} is neither the author {author} nor its registered relay.",
    zh="{caller} 既不是作者 {author}，也不是其登记的中继。",
)


def authenticate(
    pushed: Pushed, message: Message, verifier: Verifier, policy: Policy
) -> Refusal | None:
    """Return why *message* is not its author's word, or not its caller's to bring; else None."""
    signature, author = pushed.received.signature, pushed.author
    if signature is None:
        return refuse(RefusalCode.UNSIGNED, "envelope.signature")
    if author is None:
        return refuse(RefusalCode.SIGNER_NOT_TRUSTED, "envelope.signature.key_id")
    try:
        verifier.verify(
            MESSAGE_TYPE,
            message.header,
            signature,
            author.key,
            allowed=AUTHOR_SUITES,
            digest=message.digest,
        )
    except VerificationError as error:
        return refuse(RefusalCode.SIGNATURE_INVALID, "envelope.signature", "signature", error.text)
    if message.author != author.organisation:
        text = _NOT_SIGNER.fill(author=message.author, signer=author.organisation)
        return refuse(RefusalCode.AUTHOR_MISMATCH, "header.author", "signer", text)
    if not policy.may_speak(pushed.caller, message.author):
        text = _NOT_CALLER.fill(caller=pushed.caller, author=message.author)
        return refuse(RefusalCode.AUTHOR_MISMATCH, "header.author", "caller", text)
    return None
