"""
Every refusal: envelopes that are refused for their bytes, and stories that end in a refusal.

What is expected is written down here by hand, not taken from the program: code, fields, rules.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from vector_story import (
    COUNTY_POLICE,
    DONE,
    HOTLINE,
    MEASURES,
    OPENING,
    PHRASE,
    POLICE,
    STRANGER,
    TO_HOTLINE,
    WHY,
    Story,
    base64_of,
)

from exchange._proto.v1 import message_pb2 as pb
from exchange.acts import Group, Kind
from exchange.envelope import group_digest

BACK = {"grounds": {"text": "不属于本机构职责。"}, **MEASURES}
SETTLED = {"settlement": "SETTLEMENT_SETTLED"}


@dataclass(frozen=True, kw_only=True)
class Edge:
    """An envelope that is refused for its bytes alone, before anybody asks who signed it."""

    name: str
    about: str
    code: str
    #: (field, rule) of the violations, in order.
    faults: tuple[tuple[str, str], ...]
    envelope: bytes


def at_the_edge() -> list[Edge]:
    """Return the envelopes that need no bridge to be refused."""
    whole = Story(name="edge").opened().envelope
    return [*_malformed(whole), *_unfit_fields(whole), *_unfit_groups(whole)]


def _malformed(whole: bytes) -> list[Edge]:
    latin = whole.replace(b"XC.P.01.01", b"XC.P.01.\xff\xfe")
    group = _group(whole, Group.CONTENT, b"\x0a\xff")
    return [
        Edge(
            name="truncated",
            about="The last byte is missing.",
            code="MALFORMED",
            faults=(),
            envelope=whole[:-1],
        ),
        Edge(
            name="not-utf8",
            about="A string of the header is not UTF-8.",
            code="MALFORMED",
            faults=(),
            envelope=latin,
        ),
        Edge(
            name="broken-group",
            about="The bytes of the content group are no ContentGroup, though the digest fits.",
            code="MALFORMED",
            faults=(("groups.content", "malformed"),),
            envelope=group,
        ),
        Edge(
            name="too-large",
            about="65,537 bytes, one more than the limit; the padding is an unknown field.",
            code="TOO_LARGE",
            faults=(("envelope", "max_bytes"),),
            envelope=whole + _padding(65_537 - len(whole)),
        ),
        Edge(
            name="unknown-kind",
            about="The act is field 99 of the header.",
            code="UNKNOWN_KIND",
            faults=(("header.act", "UNKNOWN_KIND"),),
            envelope=_header(
                whole, lambda header: header.ClearField("open_ticket"), b"\x9a\x06\x00"
            ),
        ),
    ]


def _padding(size: int) -> bytes:
    """Return an unknown field 1000 of *size* bytes in all: two of tag, three of length."""
    length = size - 5
    return (
        b"\xc2\x3e"
        + bytes([length & 127 | 128, length >> 7 & 127 | 128, length >> 14])
        + b"\x20" * length
    )


def _unfit_fields(whole: bytes) -> list[Edge]:
    def several(header: pb.Header) -> None:
        header.message_id = "not-a-uuid"
        header.marker = pb.Header().marker
        header.open_ticket.region = "14"
        header.previous = b"short"

    def impossible_time(header: pb.Header) -> None:
        header.open_ticket.receive_time.seconds = 253_402_300_800

    story = Story(name="edge-offer")
    story.opened()
    offer = story.offered().envelope
    return [
        Edge(
            name="several-fields",
            about="Four faults at once; all are named.",
            code="FIELD_INVALID",
            faults=(
                ("header.message_id", "string.pattern"),
                ("header.marker", "enum.not_in"),
                ("header.open_ticket.region", "string.pattern"),
                ("header.previous", "header.shape"),
            ),
            envelope=_header(whole, several),
        ),
        Edge(
            name="no-recipient",
            about="An offer names no recipient.",
            code="FIELD_INVALID",
            faults=(("header.recipient", "header.shape"),),
            envelope=_header(offer, lambda header: header.ClearField("recipient")),
        ),
        Edge(
            name="impossible-time",
            about="A time after the year 9999.",
            code="FIELD_INVALID",
            faults=(("header.open_ticket.receive_time", "timestamp.range"),),
            envelope=_header(whole, impossible_time),
        ),
        Edge(
            name="u0000",
            about="A string of the content group holds U+0000.",
            code="FIELD_INVALID",
            faults=(("content.content", "string.no_nul"),),
            envelope=_group(whole, Group.CONTENT, b"\x0a\x03a\x00b"),
        ),
        Edge(
            name="too-long",
            about="A title of 257 characters; 256 are allowed.",
            code="FIELD_INVALID",
            faults=(("matter.title", "string.max_len"),),
            envelope=_group(whole, Group.MATTER, b"\x0a\x83\x06" + "题".encode() * 257),
        ),
    ]


def _unfit_groups(whole: bytes) -> list[Edge]:
    envelope = pb.Envelope.FromString(whole)
    twice = pb.Envelope.FromString(whole)
    twice.groups.add().CopyFrom(envelope.groups[0])
    changed = pb.Envelope.FromString(whole)
    changed.groups[2].content = changed.groups[2].content.replace("市民".encode(), "群众".encode())
    unbound = pb.Envelope.FromString(whole)
    unbound.groups.add(group=Group.GROUNDS, salt=bytes(16), content=b"\x12\x01a")
    salt = pb.Envelope.FromString(whole)
    salt.groups[1].salt = b"short"
    return [
        Edge(
            name="group-twice",
            about="A group travels twice.",
            code="FIELD_INVALID",
            faults=(("envelope.groups[3].group", "group.unique"),),
            envelope=twice.SerializeToString(deterministic=True),
        ),
        Edge(
            name="short-salt",
            about="A salt of 5 bytes; 16 to 32 are needed.",
            code="FIELD_INVALID",
            faults=(("envelope.groups[1].salt", "bytes.min_len"),),
            envelope=salt.SerializeToString(deterministic=True),
        ),
        Edge(
            name="group-changed",
            about="A word of the content group was changed on the way.",
            code="GROUP_DIGEST_MISMATCH",
            faults=(("groups.content", "group.digest"),),
            envelope=changed.SerializeToString(deterministic=True),
        ),
        Edge(
            name="group-unbound",
            about="A group travels that the header does not bind.",
            code="GROUP_DIGEST_MISMATCH",
            faults=(("groups.grounds", "group.bound"),),
            envelope=unbound.SerializeToString(deterministic=True),
        ),
    ]


def _header(whole: bytes, change: Callable[[pb.Header], None], more: bytes = b"") -> bytes:
    """Return the envelope with a changed header; its signature fits no more, nobody gets to ask."""
    envelope = pb.Envelope.FromString(whole)
    header = pb.Header.FromString(envelope.header)
    change(header)
    envelope.header = header.SerializeToString(deterministic=True) + more
    return envelope.SerializeToString(deterministic=True)


def _group(whole: bytes, number: Group, content: bytes) -> bytes:
    """Return the envelope with another *content* of a group, and its digest in the header."""
    salt = sha256(f"{PHRASE}edge/{number.name}".encode()).digest()[:16]

    def bind(header: pb.Header) -> None:
        for bound in header.groups:
            if bound.group == number:
                bound.digest = group_digest(number, salt, content)

    envelope = pb.Envelope.FromString(_header(whole, bind))
    for salted in envelope.groups:
        if salted.group == number:
            salted.salt, salted.content = salt, content
    return envelope.SerializeToString(deterministic=True)


# -- refusals that need a bridge

Scene = Callable[[Story], None]
_SCENES: dict[str, tuple[dict[str, str], Scene]] = {}


def _scene(code: str, **story: str) -> Callable[[Scene], Scene]:
    def keep(scene: Scene) -> Scene:
        _SCENES[code] = (story, scene)
        return scene

    return keep


def scenarios() -> dict[str, Story]:
    """Return for each code that a bridge decides the story whose last message is refused so."""
    found = {}
    for code, (settings, scene) in _SCENES.items():
        story = Story(name=code.lower(), about=(scene.__doc__ or "").strip(), **settings)
        scene(story)
        found[code] = story
    return found


@_scene("UNSIGNED")
def _unsigned(story: Story) -> None:
    """Nobody signed."""
    faults = (("envelope.signature", "UNSIGNED"),)
    story.opened(signer=None, expect="UNSIGNED", faults=faults)


@_scene("SIGNATURE_INVALID")
def _signature_invalid(story: Story) -> None:
    """The signature is of another header."""
    other = Story(name="other").opened()
    said = story.opened(expect="SIGNATURE_INVALID", faults=(("envelope.signature", "signature"),))
    envelope = pb.Envelope.FromString(said.envelope)
    envelope.signature.CopyFrom(pb.Envelope.FromString(other.envelope).signature)
    story.replace_last(envelope.SerializeToString(deterministic=True))


@_scene("SIGNER_NOT_TRUSTED")
def _signer_not_trusted(story: Story) -> None:
    """No certificate that the bridge trusts belongs to the signature's key."""
    faults = (("envelope.signature.key_id", "SIGNER_NOT_TRUSTED"),)
    story.opened(trusted=False, expect="SIGNER_NOT_TRUSTED", faults=faults)


@_scene("AUTHOR_MISMATCH")
def _author_mismatch(story: Story) -> None:
    """110 signs what the header says 12345 says."""
    faults = (("header.author", "signer"),)
    story.opened(signer=POLICE, caller=POLICE, expect="AUTHOR_MISMATCH", faults=faults)


@_scene("DIFFERENT_CONTENT")
def _different_content(story: Story) -> None:
    """The id of a stored message comes with other content."""
    first = story.opened()
    story.opened(
        TO_HOTLINE,
        header={"message_id": first.message_id},
        expect="DIFFERENT_CONTENT",
        faults=(("header.message_id", "DIFFERENT_CONTENT"),),
    )


@_scene("REGION_UNKNOWN")
def _region_unknown(story: Story) -> None:
    """There is no division 999999."""
    faults = (("open_ticket.region", "in_force"),)
    story.opened(act={"region": "999999"}, expect="REGION_UNKNOWN", faults=faults)


@_scene("ORGANISATION_UNKNOWN")
def _organisation_unknown(story: Story) -> None:
    """The first receiver's credit code has a wrong check character."""
    story.opened(
        act={"first_receiver": HOTLINE[:-1] + "0"},
        expect="ORGANISATION_UNKNOWN",
        faults=(("open_ticket.first_receiver", "registered"),),
    )


@_scene("MATTER_UNKNOWN")
def _matter_unknown(story: Story) -> None:
    """The catalogue has no such matter."""
    faults = (("open_ticket.matter", "listed"),)
    story.opened("XC.P.99.99", expect="MATTER_UNKNOWN", faults=faults)


@_scene("PROFILE_UNKNOWN")
def _profile_unknown(story: Story) -> None:
    """No profile of that name is installed."""
    story.opened()
    faults = (("offer.profile", "installed"),)
    story.offered(act={"profile": "atlantis"}, expect="PROFILE_UNKNOWN", faults=faults)


@_scene("EDITION_UNKNOWN")
def _edition_unknown(story: Story) -> None:
    """The profile is installed in another edition."""
    story.opened()
    faults = (("offer.profile_edition", "installed"),)
    story.offered(act={"profile_edition": "1999.1"}, expect="EDITION_UNKNOWN", faults=faults)


@_scene("SECRET")
def _secret(story: Story) -> None:
    """A secret matter does not cross (R02)."""
    faults = (("classification", "SECRET"),)
    header = {"classification": "CLASSIFICATION_SECRET"}
    story.opened(header=header, expect="SECRET", faults=faults)


@_scene("MATTER_EXCLUDED")
def _matter_excluded(story: Story) -> None:
    """A matter that is settled in court is not handed to 12345 (R02, R03)."""
    excluded = "NM.H.EXCL.01"
    story.opened(excluded, by=POLICE)
    faults = (("offer.matter", "MATTER_EXCLUDED"),)
    story.offered(excluded, by=POLICE, to=HOTLINE, expect="MATTER_EXCLUDED", faults=faults)


@_scene("NOT_A_PARTY")
def _not_a_party(story: Story) -> None:
    """A third organisation takes the hand-off."""
    story.opened()
    story.offered()
    faults = (("author", "NOT_A_PARTY"),)
    story.say(STRANGER, Kind.TAKE, to=HOTLINE, expect="NOT_A_PARTY", faults=faults)


@_scene("WRONG_STATE")
def _wrong_state(story: Story) -> None:
    """A result before the hand-off was taken."""
    story.opened()
    story.offered()
    faults = (("result", "WRONG_STATE"),)
    story.say(POLICE, Kind.RESULT, SETTLED, DONE, to=HOTLINE, expect="WRONG_STATE", faults=faults)


@_scene("SUPERSEDED")
def _superseded(story: Story) -> None:
    """A second result names the take, which the first result already followed; it was reopened."""
    story.taken()
    taken = story.said[-1].digest
    story.say(POLICE, Kind.RESULT, SETTLED, DONE, to=HOTLINE)
    story.say(HOTLINE, Kind.REOPEN, {}, WHY, to=POLICE)
    story.say(
        POLICE,
        Kind.RESULT,
        SETTLED,
        DONE,
        to=HOTLINE,
        header={"previous": base64_of(taken)},
        expect="SUPERSEDED",
        faults=(("previous", "SUPERSEDED"),),
    )


@_scene("ALREADY_EXISTS")
def _already_exists(story: Story) -> None:
    """Another message opens the same ticket."""
    story.opened()
    story.opened(expect="ALREADY_EXISTS", faults=(("header.ticket_id", "ALREADY_EXISTS"),))


@_scene("TICKET_CLOSED")
def _ticket_closed(story: Story) -> None:
    """An offer on a concluded ticket."""
    story.opened()
    story.say(HOTLINE, Kind.CLOSE_TICKET)
    story.offered(expect="TICKET_CLOSED", faults=(("ticket_id", "TICKET_CLOSED"),))


@_scene("NOT_ORIGIN")
def _not_origin(story: Story) -> None:
    """The receiver concludes the sender's ticket."""
    story.taken()
    story.say(POLICE, Kind.CLOSE_TICKET, expect="NOT_ORIGIN", faults=(("author", "NOT_ORIGIN"),))


@_scene("HANDOFF_OPEN")
def _handoff_open(story: Story) -> None:
    """The ticket is concluded while its hand-off is open."""
    story.taken()
    faults = ((f"handoff/{story.handoff('h1')}", "closed"),)
    story.say(HOTLINE, Kind.CLOSE_TICKET, expect="HANDOFF_OPEN", faults=faults)


@_scene("ONWARD_OPEN")
def _onward_open(story: Story) -> None:
    """A result while the receiver waits for what it handed on."""
    story.taken()
    story.offered(by=POLICE, to=COUNTY_POLICE, handoff="h2", act={"onward_of": story.handoff("h1")})
    faults = (("result", "ONWARD_OPEN"),)
    story.say(POLICE, Kind.RESULT, SETTLED, DONE, to=HOTLINE, expect="ONWARD_OPEN", faults=faults)


@_scene("MARKER_MISMATCH")
def _marker_mismatch(story: Story) -> None:
    """An exercise's offer on an actual ticket."""
    story.opened()
    faults = (("marker", "MARKER_MISMATCH"),)
    story.offered(header={"marker": "MARKER_EXERCISE"}, expect="MARKER_MISMATCH", faults=faults)


@_scene("DANGER_PRESENT")
def _danger_present(story: Story) -> None:
    """110 returns a dangerous matter before it stated its disposal (R31)."""
    story.opened()
    story.offered(act={"danger": True})
    story.say(POLICE, Kind.TAKE, to=HOTLINE)
    story.say(
        POLICE,
        Kind.RETURN,
        {"ground": "RETURN_GROUND_NOT_MY_SCOPE"},
        BACK,
        to=HOTLINE,
        expect="DANGER_PRESENT",
        faults=(("return", "DANGER_PRESENT"),),
    )


@_scene("ROUTE_NOT_ALLOWED")
def _route_not_allowed(story: Story) -> None:
    """A criminal case goes to 12345 (R04)."""
    story.opened(by=POLICE)
    faults = (("offer.matter", "ROUTE_NOT_ALLOWED"),)
    story.offered(by=POLICE, to=HOTLINE, expect="ROUTE_NOT_ALLOWED", faults=faults)


@_scene("RELAY_REQUIRED", profile="changzhi")
def _relay_required(story: Story) -> None:
    """A county's 110 offers to 12345 without the city's 110 (R05, Changzhi)."""
    story.opened(TO_HOTLINE, by=COUNTY_POLICE)
    story.offered(
        TO_HOTLINE,
        by=COUNTY_POLICE,
        to=HOTLINE,
        expect="RELAY_REQUIRED",
        faults=(("recipient", "RELAY_REQUIRED"),),
    )


@_scene("REASON_REQUIRED")
def _reason_required(story: Story) -> None:
    """An offer without grounds (R15)."""
    story.opened()
    faults = (("groups", "GROUNDS"),)
    story.offered(groups={}, expect="REASON_REQUIRED", faults=faults)


@_scene("REVIEW_REQUIRED", profile="xiangcheng", region="320507")
def _review_required(story: Story) -> None:
    """110 offers to 12345 without its internal review (R14, Xiangcheng)."""
    story.opened(TO_HOTLINE, by=POLICE)
    faults = (("groups", "REVIEW"),)
    story.offered(TO_HOTLINE, by=POLICE, to=HOTLINE, expect="REVIEW_REQUIRED", faults=faults)


@_scene("PRIOR_DISPOSAL_REQUIRED", profile="inner-mongolia", region="150102")
def _prior_disposal_required(story: Story) -> None:
    """110 hands over traffic signs without saying what it did first (R12, Inner Mongolia)."""
    matter = "NM.F.01.01"
    story.opened(matter, by=POLICE)
    faults = (("groups", "PRIOR_DISPOSAL"),)
    story.offered(matter, by=POLICE, to=HOTLINE, expect="PRIOR_DISPOSAL_REQUIRED", faults=faults)


@_scene("CASE_OPENED", profile="xiangcheng", region="320507")
def _case_opened(story: Story) -> None:
    """A dispute on which a case was opened goes to 12345 (R13, Xiangcheng)."""
    matter = "XC.H.07.01"
    story.opened(matter, by=POLICE)
    reviewed = {
        "steps": [
            {
                "decision": "REVIEW_DECISION_APPROVED",
                "reviewer": {"name": "值班长"},
                "decide_time": "2026-03-02T08:00:30Z",
            }
        ]
    }
    disposed = {"disposed": True, "content": "已到场调解。", "no_case": False}
    story.offered(
        matter,
        by=POLICE,
        to=HOTLINE,
        groups={**WHY, "review": reviewed, "prior_disposal": disposed},
        act={"case_opened": True},
        expect="CASE_OPENED",
        faults=(("offer.case_opened", "CASE_OPENED"),),
    )


@_scene("MEASURES_REQUIRED")
def _measures_required(story: Story) -> None:
    """A return that does not state the measures taken (R21)."""
    story.taken()
    story.say(
        POLICE,
        Kind.RETURN,
        {"ground": "RETURN_GROUND_NOT_MY_SCOPE"},
        {"grounds": BACK["grounds"]},
        to=HOTLINE,
        expect="MEASURES_REQUIRED",
        faults=(("groups", "MEASURES"),),
    )


@_scene("NEW_GROUND_REQUIRED")
def _new_ground_required(story: Story) -> None:
    """A second return on the ground that a ruling has already answered."""
    story.taken()
    ground = {"ground": "RETURN_GROUND_NOT_MY_SCOPE"}
    story.say(POLICE, Kind.RETURN, ground, BACK, to=HOTLINE)
    story.say(HOTLINE, Kind.REFUSE, {}, WHY, to=POLICE)
    keeps = "RULING_OUTCOME_HANDLER_KEEPS"
    agreed = story.say(POLICE, Kind.POSITION, {"agrees_to": keeps}, to=HOTLINE)
    ruling = {"outcome": keeps, "position_digest": base64_of(agreed.digest)}
    story.say(HOTLINE, Kind.RULE, ruling, to=POLICE)
    story.say(
        POLICE,
        Kind.RETURN,
        ground,
        BACK,
        to=HOTLINE,
        expect="NEW_GROUND_REQUIRED",
        faults=(("return.ground", "NEW_GROUND_REQUIRED"),),
    )


@_scene("FIRST_RECEIVER_KEEPS", profile="shanghai", region="310115")
def _first_receiver_keeps(story: Story) -> None:
    """The first receiver returns the matter (R30, Shanghai)."""
    story.opened(act={"first_receiver": POLICE})
    story.offered()
    story.say(POLICE, Kind.TAKE, to=HOTLINE)
    story.say(
        POLICE,
        Kind.RETURN,
        {"ground": "RETURN_GROUND_NOT_MY_SCOPE"},
        BACK,
        to=HOTLINE,
        expect="FIRST_RECEIVER_KEEPS",
        faults=(("return", "FIRST_RECEIVER_KEEPS"),),
    )


@_scene("NO_NEGOTIATION", profile="shanghai", region="310115")
def _no_negotiation(story: Story) -> None:
    """The first receiver refuses a return to itself (R30, Shanghai)."""
    story.taken()
    ground = {"ground": "RETURN_GROUND_NOT_MY_SCOPE"}
    story.say(POLICE, Kind.RETURN, ground, BACK, to=HOTLINE)
    faults = (("refuse", "NO_NEGOTIATION"),)
    story.say(HOTLINE, Kind.REFUSE, {}, WHY, to=POLICE, expect="NO_NEGOTIATION", faults=faults)


@_scene("POSITION_REQUIRED")
def _position_required(story: Story) -> None:
    """A ruling that the handler keeps it, without the handler's agreement (R30)."""
    story.taken()
    ground = {"ground": "RETURN_GROUND_NOT_MY_SCOPE"}
    story.say(POLICE, Kind.RETURN, ground, BACK, to=HOTLINE)
    story.say(HOTLINE, Kind.REFUSE, {}, WHY, to=POLICE)
    story.say(
        HOTLINE,
        Kind.RULE,
        {"outcome": "RULING_OUTCOME_HANDLER_KEEPS"},
        to=POLICE,
        expect="POSITION_REQUIRED",
        faults=(("rule.position_digest", "POSITION_REQUIRED"),),
    )


@_scene("LEVEL_REQUIRES_110", profile="changzhi")
def _level_requires_110(story: Story) -> None:
    """A substantial emergency goes to another hotline desk before 110 has it (R40, Changzhi)."""
    story.opened("NM.H.01.10", act={"level": "EMERGENCY_LEVEL_SUBSTANTIAL"})
    story.offered(
        "NM.H.01.10",
        to=STRANGER,
        expect="LEVEL_REQUIRES_110",
        faults=(("recipient", "LEVEL_REQUIRES_110"),),
    )


@_scene("GROUP_REQUIRED")
def _group_required(story: Story) -> None:
    """A ticket is opened without saying what it is about."""
    identity = {"identity": OPENING["identity"]}
    faults = (("groups.MATTER", "required"), ("groups.CONTENT", "required"))
    story.opened(groups=identity, expect="GROUP_REQUIRED", faults=faults)


@_scene("PARALLEL_DUTY_REQUIRED", profile="inner-mongolia", region="150102")
def _parallel_duty_required(story: Story) -> None:
    """An immediate kind goes to 110 without the sender's own duty (R24, Inner Mongolia)."""
    matter = "NM.I.01.01"
    story.opened(matter)
    story.offered(
        matter,
        expect="PARALLEL_DUTY_REQUIRED",
        faults=(("offer.parallel_duty", "PARALLEL_DUTY_REQUIRED"),),
    )
