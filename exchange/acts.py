"""
What a message can say: its kinds, the field groups beside it, and the act of each kind.

The words are the contract's.  Acts hold codes, times and references only: what the rules and the
life cycle need to know.  Words about persons travel in the field groups' bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, IntEnum

from exchange.text import Text


class Kind(Enum):
    """What a message says; the value is its word in the contract (``Header.act``)."""

    OPEN_TICKET = "open_ticket"
    CLOSE_TICKET = "close_ticket"
    # -- state-moving
    OFFER = "offer"
    TAKE = "take"
    RETURN = "return"
    AGREE = "agree"
    REFUSE = "refuse"
    RULE = "rule"
    RESULT = "result"
    REOPEN = "reopen"
    CLOSE = "close"
    RELEASE = "release"
    # -- notes
    PROGRESS = "progress"
    POSITION = "position"
    SUPPLEMENT = "supplement"
    SUPERVISE = "supervise"
    VISIT = "visit"
    EVALUATE = "evaluate"
    CALL = "call"
    TAKE_OVER = "take_over"
    REQUEST_EXTENSION = "request_extension"
    GRANT_EXTENSION = "grant_extension"
    MARK_DANGER = "mark_danger"
    CLEAR_DANGER = "clear_danger"
    EMERGENCY = "emergency"

    # One object a member; the enum's own hash is a call into Python at every look into a table.
    __hash__ = object.__hash__

    @property
    def text(self) -> Text:
        """The word for people."""
        return KIND_TEXTS[self]


#: Kinds about the ticket as a whole; they name no hand-off and no recipient.
TICKET_KINDS = frozenset({Kind.OPEN_TICKET, Kind.CLOSE_TICKET})

#: Kinds that move a hand-off's state; all but the offer name their predecessor.
MOVING_KINDS = frozenset(
    {
        Kind.OFFER,
        Kind.TAKE,
        Kind.RETURN,
        Kind.AGREE,
        Kind.REFUSE,
        Kind.RULE,
        Kind.RESULT,
        Kind.REOPEN,
        Kind.CLOSE,
        Kind.RELEASE,
    }
)

#: Kinds that change no state and commute.
NOTE_KINDS = frozenset(Kind) - TICKET_KINDS - MOVING_KINDS

KIND_TEXTS: dict[Kind, Text] = {
    Kind.OPEN_TICKET: Text(en="ticket opened", zh="开单"),
    Kind.CLOSE_TICKET: Text(en="ticket closed", zh="结案"),
    Kind.OFFER: Text(en="offered", zh="移交转办"),
    Kind.TAKE: Text(en="taken", zh="签收"),
    Kind.RETURN: Text(en="return asked for", zh="申请退回"),
    Kind.AGREE: Text(en="return agreed", zh="同意退回"),
    Kind.REFUSE: Text(en="return refused", zh="不同意退回"),
    Kind.RULE: Text(en="ruled", zh="裁定"),
    Kind.RESULT: Text(en="result", zh="反馈办结"),
    Kind.REOPEN: Text(en="reopened", zh="重新办理"),
    Kind.CLOSE: Text(en="hand-off closed", zh="办结确认"),
    Kind.RELEASE: Text(en="released", zh="解除"),
    Kind.PROGRESS: Text(en="progress", zh="进展"),
    Kind.POSITION: Text(en="position", zh="协商意见"),
    Kind.SUPPLEMENT: Text(en="supplement", zh="数据同步"),
    Kind.SUPERVISE: Text(en="supervision", zh="督办催办"),
    Kind.VISIT: Text(en="visit", zh="回访"),
    Kind.EVALUATE: Text(en="evaluation", zh="评价"),
    Kind.CALL: Text(en="call", zh="通话转接"),
    Kind.TAKE_OVER: Text(en="taken over", zh="收回自办"),
    Kind.REQUEST_EXTENSION: Text(en="extension requested", zh="申请延期"),
    Kind.GRANT_EXTENSION: Text(en="extension answered", zh="延期答复"),
    Kind.MARK_DANGER: Text(en="danger marked", zh="标记危险"),
    Kind.CLEAR_DANGER: Text(en="danger cleared", zh="解除危险"),
    Kind.EMERGENCY: Text(en="emergency", zh="突发事件"),
}


class Group(IntEnum):
    """The field groups; the numbers are the contract's ``FieldGroup`` numbers."""

    IDENTITY = 1
    INTAKE = 2
    PERSON = 3
    RESPONDENT = 4
    MATTER = 5
    CONTENT = 6
    PLACE = 7
    DISPATCH = 8
    DEADLINE = 9
    HAZARD = 10
    PRIOR_DISPOSAL = 11
    REVIEW = 12
    SHARE_SCOPE = 13
    CALL = 14
    ATTACHMENT = 15
    POLICE = 16
    GROUNDS = 17
    MEASURES = 18
    DISPOSAL = 19
    REPLY = 20
    SUPERVISION = 21
    VISIT = 22
    EVALUATION = 23
    EMERGENCY = 24
    EXTENSION = 25


def group_word(group: int) -> str:
    """Return the group's word, such as ``content``; its number where it is not known here."""
    return _GROUP_WORDS.get(group) or str(group)


_GROUP_WORDS = {int(group): group.name.lower() for group in Group}


class Marker(IntEnum):
    """Whether a ticket is real."""

    ACTUAL = 1
    EXERCISE = 2
    TEST = 3


class Classification(IntEnum):
    """Who may know of a ticket."""

    ORDINARY = 1
    CONFIDENTIAL = 2
    SECRET = 3
    LEGAL_CHANNEL = 4


class Urgency(IntEnum):
    """How urgent a delivery is; greater is more urgent."""

    ROUTINE = 1
    URGENT = 2
    IMMEDIATE = 3


class TicketKind(IntEnum):
    """What a ticket is at its origin."""

    WORK_ORDER = 1
    POLICE_TICKET = 2


class RulingOutcome(IntEnum):
    """How a dispute ends (R30)."""

    HANDLER_KEEPS = 1
    JOINT = 2
    FIRST_RECEIVER = 3


# -- acts: what the domain needs to know of each kind.  Kinds that need nothing have `Plain`.


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    """An act whose kind says everything the rules need."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenTicket:
    """The act of ``open_ticket``."""

    kind: TicketKind
    region: str
    matter: str = ""
    catalogue_edition: str = ""
    first_receiver: str = ""
    cites_ticket_id: str = ""
    level: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """
    What a hand-off shows, and to whom (知悉范围).

    Its receiver is shown all groups but `withheld`; `knowers` are organisations beside the two sides,
    each with the groups it is shown.
    """

    withheld: frozenset[int] = frozenset()
    knowers: tuple[tuple[str, frozenset[int]], ...] = ()


#: The receiver is shown everything, nobody else knows.
BOTH_SIDES = Scope()


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """The act of ``offer``; `form` is the contract's ``HandoffForm`` number."""

    form: int = 0
    matter: str = ""
    catalogue_edition: str
    profile: str
    profile_edition: str
    onward_of: str = ""
    cites_handoff_id: str = ""
    danger: bool = False
    case_opened: bool = False
    level: int = 0
    take_due: datetime | None = None
    result_due: datetime | None = None
    prior_disposal_message_id: str = ""
    parallel_duty: bool = False
    scope: Scope = BOTH_SIDES


@dataclass(frozen=True, slots=True, kw_only=True)
class Return:
    """The act of ``return``; `ground` is the contract's ``ReturnGround`` number."""

    ground: int
    suggested_owner: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """The act of ``rule``."""

    outcome: RulingOutcome
    position_digest: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """The act of ``release``."""

    take_over_digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """
    The act of ``progress``; `phase` is the contract's ``Phase`` number.

    `mark_digests` are of the messages that marked a danger whose disposal it states (R31).
    """

    phase: int = 0
    mark_digests: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """The act of ``position``."""

    agrees_to: RulingOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearDanger:
    """The act of ``clear_danger``."""

    mark_digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervise:
    """The act of ``supervise``; `due` None leaves it to the profile."""

    due: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantExtension:
    """The act of ``grant_extension``."""

    request_digest: bytes
    granted: bool
    new_due: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluate:
    """The act of ``evaluate``."""

    assessed_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Emergency:
    """The act of ``emergency``."""

    level: int


Act = (
    Plain
    | OpenTicket
    | Offer
    | Return
    | Rule
    | Release
    | Progress
    | Position
    | ClearDanger
    | Supervise
    | GrantExtension
    | Evaluate
    | Emergency
)

#: The one stateless act.
PLAIN = Plain()
