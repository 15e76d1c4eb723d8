"""Cases of a bridge: who may call, and who may sign."""

from __future__ import annotations

from functools import partial

from exchange._proto.v1 import message_pb2
from exchange.conformance.cases import Case, require, unmet
from exchange.conformance.matter import new_matter
from exchange.conformance.party import CallFailed, Party
from exchange.conformance.stage import BridgeStage
from exchange.errors import RefusalCode
from exchange.text import Text

#: What a call that TLS or the bridge turns away may fail with.
TURNED_AWAY = frozenset({"UNAUTHENTICATED", "UNAVAILABLE", "PERMISSION_DENIED"})


def _turned_away(party: Party) -> CallFailed:
    try:
        party.pull()
    except CallFailed as failed:
        require(
            failed.code in TURNED_AWAY,
            f"A caller who must be turned away got {failed.code}.",
            f"本应被拒绝的调用方得到 {failed.code}。",
        )
        return failed
    raise unmet(
        f"{party.name} was let in; it must be turned away.", f"{party.name} 被放行，本应被拒绝。"
    )


def gateway_cases() -> list[Case]:
    """Return a case for each bad gateway certificate."""
    return [
        Case(
            id=f"bridge.identity.{defect}",
            rests="R50a · ExchangeService: UNAUTHENTICATED",
            text=text,
            play=partial(_gateway, defect=defect),
            needs=frozenset({"defects"}),
        )
        for defect, text in _GATEWAYS.items()
    ]


def _gateway(stage: BridgeStage, defect: str) -> None:
    with stage.fresh(stage.hotline, stage.defect(defect)) as caller:
        _turned_away(caller)


_GATEWAYS = {
    "expired": Text(
        en="A gateway whose certificate has expired is turned away.",
        zh="网关证书过期的调用被拒绝。",
    ),
    "not-yet-valid": Text(
        en="A gateway whose certificate is not valid yet is turned away.",
        zh="网关证书尚未生效的调用被拒绝。",
    ),
    "wrong-network": Text(
        en="A gateway whose name was issued by another network's authority is turned away.",
        zh="证书由其他网络的认证机构签发的网关被拒绝。",
    ),
    "unknown-root": Text(
        en="A gateway of an unknown authority with the right name is turned away.",
        zh="由未知认证机构签发、名称正确的网关被拒绝。",
    ),
    "signer-name": Text(
        en="A signer's certificate opens no connection: a gateway's does.",
        zh="签名证书不得用于建立连接，只有网关证书可以。",
    ),
}


def unregistered(stage: BridgeStage) -> None:
    """A trusted network's organisation that is in no register is turned away."""
    failed = _turned_away(stage.party("outsider"))
    require(
        failed.code == "PERMISSION_DENIED" and failed.reason == "NOT_AUTHORIZED",
        f"An unregistered organisation got {failed.code} {failed.reason}, not PERMISSION_DENIED "
        "NOT_AUTHORIZED.",
        f"未登记机构得到 {failed.code} {failed.reason}，而非 PERMISSION_DENIED NOT_AUTHORIZED。",
    )


def private(stage: BridgeStage) -> None:
    """Who is no party to a ticket learns nothing of it."""
    crossed = stage.cross()
    try:
        stage.party("stranger").ticket(crossed.matter.ticket)
    except CallFailed as failed:
        require(
            failed.code == "NOT_FOUND",
            f"A stranger who asks for a ticket got {failed.code}, not NOT_FOUND.",
            f"非当事机构查单得到 {failed.code}，而非 NOT_FOUND。",
        )
    else:
        raise unmet(
            "A ticket was shown to an organisation that is no party to it.",
            "向非当事机构出示了该单。",
        )
    stage.hotline.ticket(crossed.matter.ticket)


# -- signatures


def unsigned(stage: BridgeStage) -> None:
    """A message without a signature is refused."""
    (sealed,) = stage.hotline.seal(new_matter().opening)
    envelope = message_pb2.Envelope.FromString(sealed.envelope)
    envelope.ClearField("signature")
    (outcome,) = stage.hotline.push([envelope.SerializeToString()])
    stage.hotline.refused(outcome, RefusalCode.UNSIGNED)


def bad_signature(stage: BridgeStage) -> None:
    """A signature over another header is refused, and its neighbour stored."""
    sealed = [stage.hotline.seal(new_matter().opening)[0] for _ in range(2)]
    envelope, other = (message_pb2.Envelope.FromString(one.envelope) for one in sealed)
    envelope.signature.CopyFrom(other.signature)
    outcomes = stage.hotline.push([envelope.SerializeToString(), sealed[1]])
    stage.hotline.refused(outcomes[0], RefusalCode.SIGNATURE_INVALID)
    stage.hotline.stored(outcomes[1], sealed[1].digest)


def bad_path(stage: BridgeStage) -> None:
    """A message with another's place in the batch is refused."""
    sealed = stage.hotline.seal(*(new_matter().opening for _ in range(4)))
    envelope = message_pb2.Envelope.FromString(sealed[0].envelope)
    envelope.signature.batch_index = 1
    (outcome,) = stage.hotline.push([envelope.SerializeToString()])
    stage.hotline.refused(outcome, RefusalCode.SIGNATURE_INVALID)


def other_author(stage: BridgeStage) -> None:
    """Nobody speaks for another organisation."""
    hotline, police = stage.hotline, stage.police
    (sealed,) = hotline.seal(new_matter().opening)
    (outcome,) = police.push([sealed], chains=[hotline.certificates])
    police.refused(outcome, RefusalCode.AUTHOR_MISMATCH)


def signer_cases() -> list[Case]:
    """Return a case for each bad signer certificate."""
    return [
        Case(
            id=f"bridge.{defect.replace('-', '.', 1)}",
            rests="R50a · RefusalCode SIGNER_NOT_TRUSTED",
            text=text,
            play=partial(_signer, defect=defect),
            needs=frozenset({"defects"}),
        )
        for defect, text in _SIGNERS.items()
    ]


def _signer(stage: BridgeStage, defect: str) -> None:
    with stage.fresh(stage.hotline, stage.defect(defect), signer=True) as party:
        (sealed,) = party.seal(new_matter().opening)
        (outcome,) = party.push([sealed])
        stage.hotline.refused(outcome, RefusalCode.SIGNER_NOT_TRUSTED)


_SIGNERS = {
    "signer-expired": Text(
        en="What an expired signer certificate signed is refused.",
        zh="过期签名证书所签消息被拒绝。",
    ),
    "signer-wrong-network": Text(
        en="What a signer of another network's authority signed is refused.",
        zh="由其他网络认证机构签发的签名证书所签消息被拒绝。",
    ),
    "signer-unknown-root": Text(
        en="What a signer of an unknown authority signed is refused.",
        zh="由未知认证机构签发的签名证书所签消息被拒绝。",
    ),
    "signer-gateway-usage": Text(
        en="A gateway's certificate signs no message.", zh="网关证书不得用于签署消息。"
    ),
}
