"""
Refusals that are no answer to what a person said, and one that the spool gives itself.

What is refused for this gateway's own certificate waits until that is renewed: such a refusal says
nothing about the message, and nobody at the platform could mend it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from adapters.spool import Spool
from adapters.spool_records import Decision
from exchange.client import PushResult, SealedMessage, Sealer
from exchange.errors import ConfigurationError, RefusalCode, refuse
from exchange.text import Text

#: How long what the bridge does not trust the signer of waits before it is asked again.
UNTRUSTED_PAUSE = timedelta(seconds=30)


def withhold(
    sealer: Sealer, spool: Spool, batch: Sequence[SealedMessage], results: Sequence[PushResult]
) -> tuple[list[PushResult], bool]:
    """
    Return what became of *batch*, and whether the bridge trusts the certificate of now.

    A refusal of our own signer becomes a failure that passes.  What an earlier certificate signed is
    signed anew in *spool*, and may be pushed again a second later.  Another author's message, which a
    relay carries, stays refused.
    """
    found: list[PushResult] = []
    anew: list[SealedMessage] = []
    trusted = True
    for message, result in zip(batch, results, strict=True):
        refusal = result.refusal
        if refusal is None or refusal.code is not RefusalCode.SIGNER_NOT_TRUSTED:
            found.append(result)
            continue
        renewed = sealer.sign_anew(message)
        if renewed is None:
            found.append(result)
            continue
        delay = timedelta(0)
        if renewed is message:
            trusted, delay = False, UNTRUSTED_PAUSE
        else:
            anew.append(renewed)
        failure = ConfigurationError(_UNTRUSTED)
        found.append(replace(result, refusal=None, receipt=b"", failure=failure, delay=delay))
    if anew:
        spool.sign_anew(anew)
    return found, trusted


def number_used(message: SealedMessage) -> Decision:
    """Return why *message* is not kept: its id is another content's, which was signed first."""
    return Decision(
        message_id=message.message_id,
        kind=message.kind,
        ticket_id=message.ticket_id,
        handoff_id=message.handoff_id,
        digest=message.digest,
        refusal=refuse(RefusalCode.DIFFERENT_CONTENT, "header.message_id", "used", _USED),
        dropped=True,
    )


_UNTRUSTED = Text(
    en="The bridge does not trust this gateway's signer certificate: it has expired, or its authority or "
    "organisation is not registered there. Nothing is lost: messages wait here. See `exchange doctor`, "
    "renew the certificate and restart the adapter; they are then signed anew and sent.",
    zh="网桥不信任本网关的签名证书：证书已过期，或其签发机构、机构代码未在网桥登记。消息均在此等候，不会丢失。"
    "请运行 exchange doctor 检查，更新证书并重启适配器，之后将自动重新签名并发送。",
)
_USED = Text(
    en="Under this number another message was sent before, as happens when the platform's records were "
    "put back from a backup. Say it again under a new number.",
    zh="该编号此前已用于发送另一条消息（平台数据从备份恢复后可能出现）。请以新编号重新提交。",
)
