"""
Refusals and failures: the two ways in which something is not done.

A **refusal** is an answer: data, recorded, repeatable, with a code and every field at fault
(`Refusal`).  A **failure** is an exception: nothing was decided; perhaps try again.  Their tree::

    ExchangeError
     ├─ ConfigurationError      a file or setting is wrong            (never retryable)
     ├─ DataError               package or site data is wrong         (never retryable)
     ├─ NotAuthenticated        who calls is not established          (never retryable)
     ├─ …                       it was taken back: `exchange.withdrawn`
     ├─ NotAuthorized           the caller may not do this            (never retryable)
     ├─ InvalidRequest          the call as a whole is malformed      (never retryable)
     ├─ LimitExceeded           over a limit; try again later         (retryable)
     ├─ NotFound                no such ticket, or not yours to see   (never retryable)
     ├─ PredecessorUnknown      an earlier message has not arrived    (retryable)
     ├─ StoreUnavailable        the database cannot be reached        (retryable)
     ├─ StoreMismatch           the database is of another version    (never retryable)
     ├─ StoreUnusable           the database must first be mended     (never retryable)
     ├─ BridgeUnavailable       the bridge cannot be reached          (retryable)
     ├─ VerificationError       a signature or proof does not hold    (never retryable)
     └─ TamperingFound          stored history was changed            (never retryable)

Each class fixes its ``reason`` (``ErrorInfo.reason`` on the wire, AIP-193) and whether to try again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import ClassVar

from exchange.text import Text


class RefusalCode(IntEnum):
    """Why a message was refused; of several the first is given.  The contract's numbers."""

    # -- the bytes
    TOO_LARGE = 1
    MALFORMED = 2
    UNKNOWN_KIND = 3
    FIELD_INVALID = 4
    GROUP_DIGEST_MISMATCH = 5
    # -- who says it
    UNSIGNED = 10
    SIGNER_NOT_TRUSTED = 11
    SIGNATURE_INVALID = 12
    AUTHOR_MISMATCH = 13
    DIFFERENT_CONTENT = 14
    RELAY_LOOP = 15
    # -- the words it uses
    REGION_UNKNOWN = 20
    ORGANISATION_UNKNOWN = 21
    MATTER_UNKNOWN = 22
    PROFILE_UNKNOWN = 23
    EDITION_UNKNOWN = 24
    SECRET = 25
    MATTER_EXCLUDED = 26
    # -- where it stands
    NOT_A_PARTY = 30
    WRONG_STATE = 31
    SUPERSEDED = 32
    ALREADY_EXISTS = 33
    TICKET_CLOSED = 34
    NOT_ORIGIN = 35
    HANDOFF_OPEN = 36
    ONWARD_OPEN = 37
    MARKER_MISMATCH = 38
    # -- the rules (guards), each citing its R-number
    DANGER_PRESENT = 50
    ROUTE_NOT_ALLOWED = 51
    RELAY_REQUIRED = 52
    REASON_REQUIRED = 53
    REVIEW_REQUIRED = 54
    PRIOR_DISPOSAL_REQUIRED = 55
    CASE_OPENED = 56
    MEASURES_REQUIRED = 57
    NEW_GROUND_REQUIRED = 58
    FIRST_RECEIVER_KEEPS = 59
    NO_NEGOTIATION = 60
    POSITION_REQUIRED = 61
    LEVEL_REQUIRES_110 = 62
    GROUP_REQUIRED = 63
    PARALLEL_DUTY_REQUIRED = 64
    ASSESSOR_MISMATCH = 65

    @property
    def text(self) -> Text:
        """The refusal's sentence for people."""
        return REFUSAL_TEXTS[self]


REFUSAL_TEXTS: dict[RefusalCode, Text] = {
    RefusalCode.TOO_LARGE: Text(
        en="The message is larger than the limit; send attachments by reference.",
        zh="报文超过大小上限，附件请以引用方式发送。",
    ),
    RefusalCode.MALFORMED: Text(
        en="The bytes are not a message of this contract; encode it again with the published schema.",
        zh="报文字节不符合本接口规范，请按公布的协议重新编码。",
    ),
    RefusalCode.UNKNOWN_KIND: Text(
        en="This kind of message is not known to this bridge; check the contract's version.",
        zh="本桥不认识该消息种类，请核对接口版本。",
    ),
    RefusalCode.FIELD_INVALID: Text(
        en="One or more fields break the contract's field rules; mend the fields named.",
        zh="一个或多个字段不符合字段规则，请修改所列字段。",
    ),
    RefusalCode.GROUP_DIGEST_MISMATCH: Text(
        en="A field group does not fit its digest in the signed header; send the group as it was signed.",
        zh="字段组与已签名报头中的摘要不符，请按签名时的内容发送。",
    ),
    RefusalCode.UNSIGNED: Text(
        en="The message carries no signature; sign it with its author's signer key.",
        zh="消息未签名，请用作者的签名密钥签名。",
    ),
    RefusalCode.SIGNER_NOT_TRUSTED: Text(
        en="The signer's certificate is not trusted here; use a valid signer certificate of the network.",
        zh="签名证书不被信任，请使用本网络签发的有效签名证书。",
    ),
    RefusalCode.SIGNATURE_INVALID: Text(
        en="The signature does not fit the message's bytes; sign the exact header bytes that are sent.",
        zh="签名与消息字节不符，请对所发送的报头原始字节签名。",
    ),
    RefusalCode.AUTHOR_MISMATCH: Text(
        en="The author is not the organisation that signs or sends; send as yourself or register a relay.",
        zh="作者与签名方或发送方不一致，请以本机构身份发送或登记中继。",
    ),
    RefusalCode.DIFFERENT_CONTENT: Text(
        en="This message id was accepted before with other content; use a new id for new content.",
        zh="该消息编号已用于其他内容并被接受，新内容请用新编号。",
    ),
    RefusalCode.RELAY_LOOP: Text(
        en="The message came back to a bridge it had passed: its relays go round; mend their tables.",
        zh="消息经中继绕回了已经过的网桥，请更正中继配置。",
    ),
    RefusalCode.REGION_UNKNOWN: Text(
        en="The administrative division code is not valid on this date.",
        zh="行政区划代码在该日期无效。",
    ),
    RefusalCode.ORGANISATION_UNKNOWN: Text(
        en="The organisation code is malformed or not in the site register.",
        zh="机构代码格式错误或未在本地名录登记。",
    ),
    RefusalCode.MATTER_UNKNOWN: Text(
        en="The matter is not in the catalogue edition that the message cites.",
        zh="该事项不在所引用版本的事项清单中。",
    ),
    RefusalCode.PROFILE_UNKNOWN: Text(
        en="The profile is not installed on this bridge.", zh="本桥未安装该方案。"
    ),
    RefusalCode.EDITION_UNKNOWN: Text(
        en="This edition of the profile or catalogue is not installed on this bridge.",
        zh="本桥未安装该版本的方案或事项清单。",
    ),
    RefusalCode.SECRET: Text(
        en="Secret matters and matters in a legal channel do not cross this bridge (R02).",
        zh="涉密事项及已进入法定渠道的事项不得经本桥流转（R02）。",
    ),
    RefusalCode.MATTER_EXCLUDED: Text(
        en="The hotline does not take this matter; explain and guide the citizen instead (R02, R03).",
        zh="该事项不属于热线受理范围，请做好解释引导（R02、R03）。",
    ),
    RefusalCode.NOT_A_PARTY: Text(
        en="The author is not the side of this hand-off that may say this.",
        zh="作者不是该移交中有权作出此行为的一方。",
    ),
    RefusalCode.WRONG_STATE: Text(
        en="The hand-off's state does not allow this message.", zh="该移交的当前状态不允许此消息。"
    ),
    RefusalCode.SUPERSEDED: Text(
        en="Another message already followed the predecessor that this one names.",
        zh="所引用的前一消息已有后续消息。",
    ),
    RefusalCode.ALREADY_EXISTS: Text(
        en="A ticket or hand-off with this id already exists.", zh="该编号的单或移交已存在。"
    ),
    RefusalCode.TICKET_CLOSED: Text(
        en="The ticket is closed; bring the matter back as a new ticket or hand-off that cites it.",
        zh="该单已结案，请以引用原单的新单或新移交重新提出。",
    ),
    RefusalCode.NOT_ORIGIN: Text(
        en="Only the organisation that opened the ticket may close it.",
        zh="只有开单机构可以结案。",
    ),
    RefusalCode.HANDOFF_OPEN: Text(
        en="The ticket still has an open hand-off or own duty; finish it first.",
        zh="该单仍有未办结的移交或自办，请先办结。",
    ),
    RefusalCode.ONWARD_OPEN: Text(
        en="The receiver's own onward hand-off is still open; its result must come first.",
        zh="受理方的后续移交尚未办结，应先取得其结果。",
    ),
    RefusalCode.MARKER_MISMATCH: Text(
        en="Exercise and test messages may not touch an actual ticket, nor the other way round.",
        zh="演练、测试消息不得作用于真实单，反之亦然。",
    ),
    RefusalCode.DANGER_PRESENT: Text(
        en="Danger is marked: 110 first says what it did about each mark, in offer or progress (R31).",
        zh="已标记危险：110 须先在移交或进展消息中逐项说明处置情况（R31）。",
    ),
    RefusalCode.ROUTE_NOT_ALLOWED: Text(
        en="The catalogue does not send this matter in this direction (R04).",
        zh="事项清单不允许该事项按此方向流转（R04）。",
    ),
    RefusalCode.RELAY_REQUIRED: Text(
        en="This region hands such matters on through the city desk (R05).",
        zh="本地区此类事项须经市级平台流转（R05）。",
    ),
    RefusalCode.REASON_REQUIRED: Text(
        en="State the reason for this message (R14, R15).", zh="请说明理由（R14、R15）。"
    ),
    RefusalCode.REVIEW_REQUIRED: Text(
        en="This region requires the sender's internal review before the hand-off (R14).",
        zh="本地区要求移交前完成内部审核（R14）。",
    ),
    RefusalCode.PRIOR_DISPOSAL_REQUIRED: Text(
        en="110 disposes of this matter first and states what it did before it hands it over (R12, R13).",
        zh="该事项须由 110 先期处置并说明处置情况后再移交（R12、R13）。",
    ),
    RefusalCode.CASE_OPENED: Text(
        en="A dispute that became a criminal or administrative case stays with the police (R13).",
        zh="已立刑事或行政案件的纠纷不得移交 12345（R13）。",
    ),
    RefusalCode.MEASURES_REQUIRED: Text(
        en="A return states the emergency measures taken (R21, R32).",
        zh="退回时须说明已采取的应急措施（R21、R32）。",
    ),
    RefusalCode.NEW_GROUND_REQUIRED: Text(
        en="A second return of the same hand-off needs a new ground.",
        zh="同一移交再次退回须有新的理由。",
    ),
    RefusalCode.FIRST_RECEIVER_KEEPS: Text(
        en="The first receiver may not return the matter in this region (R30).",
        zh="本地区首接单位不得退回（R30）。",
    ),
    RefusalCode.NO_NEGOTIATION: Text(
        en="This region has no negotiation step: a return to the first receiver is agreed (R30).",
        zh="本地区无协商环节：退回首接单位的应予同意（R30）。",
    ),
    RefusalCode.POSITION_REQUIRED: Text(
        en="This ruling cites the handler's agreeing position; get it first (R30).",
        zh="该裁定须引用承办方的同意意见，请先取得（R30）。",
    ),
    RefusalCode.LEVEL_REQUIRES_110: Text(
        en="In an emergency of this level 110 acts first and tells 12345 at the same time (R40).",
        zh="该等级的突发事件须由 110 先行处置，同时通知 12345（R40）。",
    ),
    RefusalCode.GROUP_REQUIRED: Text(
        en="A field group that this message needs is missing; add the groups named.",
        zh="缺少该消息必需的字段组，请补充所列字段组。",
    ),
    RefusalCode.PARALLEL_DUTY_REQUIRED: Text(
        en="This matter goes to 110 at once and is dispatched in parallel: set parallel_duty (R24).",
        zh="该事项须第一时间移交 110 并同时自行转办：请设置 parallel_duty（R24）。",
    ),
    RefusalCode.ASSESSOR_MISMATCH: Text(
        en="Another side assesses hand-offs of this kind in this region; name that side (R51).",
        zh="本地区此类移交由另一方考核，请填写该方（R51）。",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One field at fault: its path (as ``FieldViolation.field`` says), the rule, the mend."""

    field: str
    rule: str
    text: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An answer of no: the first code that holds and every field at fault."""

    code: RefusalCode
    violations: tuple[Violation, ...] = field(default=())

    @property
    def text(self) -> Text:
        """The whole refusal for people: the code's sentence, then each field's."""
        parts = [self.code.text, *(v.text for v in self.violations)]
        return Text(en=" ".join(p.en for p in parts), zh="".join(p.zh for p in parts))


def refuse(code: RefusalCode, field: str = "", rule: str = "", text: Text | None = None) -> Refusal:
    """Return a refusal with at most one field at fault."""
    violation = Violation(field=field, rule=rule or code.name, text=text or code.text)
    return Refusal(code=code, violations=(violation,) if field else ())


class ExchangeError(Exception):
    """The base of every failure; never raised itself."""

    reason: ClassVar[str]
    retryable: ClassVar[bool] = False

    def __init__(self, text: Text, **facts: str) -> None:
        super().__init__(text.en)
        self.text = text
        self.facts = facts


class ConfigurationError(ExchangeError):
    """A configuration file, option or path is wrong; the text names it and the mend."""

    reason = "CONFIGURATION_INVALID"


class DataError(ExchangeError):
    """A catalogue, profile, register or division table is wrong; the text names key and file."""

    reason = "DATA_INVALID"


class NotAuthenticated(ExchangeError):
    """The caller's certificate does not establish who calls."""

    reason = "NOT_AUTHENTICATED"


class NotAuthorized(ExchangeError):
    """The caller is known and may not do this."""

    reason = "NOT_AUTHORIZED"


class InvalidRequest(ExchangeError):
    """The call as a whole is malformed."""

    reason = "INVALID_REQUEST"


class LimitExceeded(ExchangeError):
    """The caller is over a limit of size, rate or concurrency; later it may pass."""

    reason = "LIMIT_EXCEEDED"
    retryable = True


class NotFound(ExchangeError):
    """There is no such thing, or the caller is no party to it."""

    reason = "NOT_FOUND"


class PredecessorUnknown(ExchangeError):
    """A message names an earlier one, a ticket or a hand-off that has not arrived yet."""

    reason = "PREDECESSOR_UNKNOWN"
    retryable = True


class StoreUnavailable(ExchangeError):
    """The database cannot be reached, is full or failed; nothing was written."""

    reason = "STORE_UNAVAILABLE"
    retryable = True


class StoreMismatch(ExchangeError):
    """The database belongs to another version of the program or to another log."""

    reason = "STORE_MISMATCH"


class StoreUnusable(ExchangeError):
    """The database is damaged, incomplete, read-only or another's; somebody must mend that first."""

    reason = "STORE_UNUSABLE"


class BridgeUnavailable(ExchangeError):
    """The bridge cannot be reached, or is stopping."""

    reason = "BRIDGE_UNAVAILABLE"
    retryable = True


class VerificationError(ExchangeError):
    """A signature, digest, proof or certificate does not hold."""

    reason = "VERIFICATION_FAILED"


class TamperingFound(ExchangeError):
    """Stored history does not fit the log; the text names every row at fault."""

    reason = "TAMPERING_FOUND"

    @classmethod
    def from_findings(cls, findings: Iterable[Text]) -> TamperingFound:
        """Return one error that names all *findings*."""
        listed = list(findings)
        en, zh = "; ".join(t.en for t in listed), "；".join(t.zh for t in listed)
        return cls(Text(en=f"The stored history was changed: {en}", zh=f"存储的历史被改动：{zh}"))
