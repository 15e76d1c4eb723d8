"""
Stories that end in a refusal for what a message says, who says it or where the matter stands.

What is expected is written down here by hand, not taken from the program: code, fields, rules.
"""

from __future__ import annotations

import vector_profiles  # noqa: F401 - keeps its scenes, which `scenarios` returns too
from vector_story import (
    COUNTY_POLICE,
    DONE,
    HOTLINE,
    POLICE,
    SCENES,
    START,
    STRANGER,
    TO_HOTLINE,
    WHY,
    Story,
    base64_of,
    log_key,
    scene,
)

from exchange._proto.v1 import message_pb2 as pb
from exchange.acts import Kind

SETTLED = {"settlement": "SETTLEMENT_SETTLED"}


@scene("UNSIGNED")
def _unsigned(story: Story) -> None:
    """Nobody signed."""
    faults = (("envelope.signature", "UNSIGNED"),)
    story.opened(signer=None, expect="UNSIGNED", faults=faults)


@scene("SIGNATURE_INVALID")
def _signature_invalid(story: Story) -> None:
    """The signature is of another header."""
    other = Story(name="other").opened()
    said = story.opened(expect="SIGNATURE_INVALID", faults=(("envelope.signature", "signature"),))
    envelope = pb.Envelope.FromString(said.envelope)
    envelope.signature.CopyFrom(pb.Envelope.FromString(other.envelope).signature)
    story.replace_last(envelope.SerializeToString(deterministic=True))


@scene("SIGNER_NOT_TRUSTED")
def _signer_not_trusted(story: Story) -> None:
    """No certificate that the bridge trusts belongs to the signature's key."""
    faults = (("envelope.signature.key_id", "SIGNER_NOT_TRUSTED"),)
    story.opened(trusted=False, expect="SIGNER_NOT_TRUSTED", faults=faults)


@scene("AUTHOR_MISMATCH")
def _author_mismatch(story: Story) -> None:
    """110 signs what the header says 12345 says."""
    faults = (("header.author", "signer"),)
    story.opened(signer=POLICE, caller=POLICE, expect="AUTHOR_MISMATCH", faults=faults)


@scene("DIFFERENT_CONTENT")
def _different_content(story: Story) -> None:
    """The id of a stored message comes with other content."""
    first = story.opened()
    story.opened(
        TO_HOTLINE,
        header={"message_id": first.message_id},
        expect="DIFFERENT_CONTENT",
        faults=(("header.message_id", "DIFFERENT_CONTENT"),),
    )


@scene("RELAY_LOOP")
def _relay_loop(story: Story) -> None:
    """An offer that this bridge handed on once comes back to it."""
    story.opened()
    said = story.offered(expect="RELAY_LOOP", faults=(("envelope.hops", "RELAY_LOOP"),))
    hop = pb.Hop(by=log_key().name)
    hop.time.FromDatetime(START)
    story.replace_last(said.envelope + pb.Envelope(hops=[hop]).SerializeToString())


@scene("REGION_UNKNOWN")
def _region_unknown(story: Story) -> None:
    """There is no division 999999."""
    faults = (("header.open_ticket.region", "in_force"),)
    story.opened(act={"region": "999999"}, expect="REGION_UNKNOWN", faults=faults)


@scene("ORGANISATION_UNKNOWN")
def _organisation_unknown(story: Story) -> None:
    """The first receiver's credit code has a wrong check character."""
    story.opened(
        act={"first_receiver": HOTLINE[:-1] + "0"},
        expect="ORGANISATION_UNKNOWN",
        faults=(("header.open_ticket.first_receiver", "registered"),),
    )


@scene("MATTER_UNKNOWN")
def _matter_unknown(story: Story) -> None:
    """The catalogue has no such matter."""
    faults = (("header.open_ticket.matter", "listed"),)
    story.opened("XC.P.99.99", expect="MATTER_UNKNOWN", faults=faults)


@scene("PROFILE_UNKNOWN")
def _profile_unknown(story: Story) -> None:
    """No profile of that name is installed."""
    story.opened()
    faults = (("header.offer.profile", "installed"),)
    story.offered(act={"profile": "atlantis"}, expect="PROFILE_UNKNOWN", faults=faults)


@scene("EDITION_UNKNOWN")
def _edition_unknown(story: Story) -> None:
    """The profile is installed in another edition."""
    story.opened()
    faults = (("header.offer.profile_edition", "installed"),)
    story.offered(act={"profile_edition": "1999.1"}, expect="EDITION_UNKNOWN", faults=faults)


@scene("SECRET")
def _secret(story: Story) -> None:
    """A secret matter does not cross (R02)."""
    faults = (("header.classification", "SECRET"),)
    header = {"classification": "CLASSIFICATION_SECRET"}
    story.opened(header=header, expect="SECRET", faults=faults)


@scene("MATTER_EXCLUDED")
def _matter_excluded(story: Story) -> None:
    """A matter that is settled in court is not handed to 12345 (R02, R03)."""
    excluded = "NM.H.EXCL.01"
    story.opened(excluded, by=POLICE)
    faults = (("header.offer.matter", "MATTER_EXCLUDED"),)
    story.offered(excluded, by=POLICE, to=HOTLINE, expect="MATTER_EXCLUDED", faults=faults)


@scene("NOT_A_PARTY")
def _not_a_party(story: Story) -> None:
    """A third organisation takes the hand-off."""
    story.opened()
    story.offered()
    faults = (("header.author", "NOT_A_PARTY"),)
    story.say(STRANGER, Kind.TAKE, to=HOTLINE, expect="NOT_A_PARTY", faults=faults)


@scene("WRONG_STATE")
def _wrong_state(story: Story) -> None:
    """A result before the hand-off was taken."""
    story.opened()
    story.offered()
    faults = (("header.result", "WRONG_STATE"),)
    story.say(POLICE, Kind.RESULT, SETTLED, DONE, to=HOTLINE, expect="WRONG_STATE", faults=faults)


@scene("SUPERSEDED")
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
        faults=(("header.previous", "SUPERSEDED"),),
    )


@scene("ALREADY_EXISTS")
def _already_exists(story: Story) -> None:
    """Another message opens the same ticket."""
    story.opened()
    story.opened(expect="ALREADY_EXISTS", faults=(("header.ticket_id", "ALREADY_EXISTS"),))


@scene("TICKET_CLOSED")
def _ticket_closed(story: Story) -> None:
    """An offer on a concluded ticket."""
    story.opened()
    story.say(HOTLINE, Kind.CLOSE_TICKET)
    story.offered(expect="TICKET_CLOSED", faults=(("header.ticket_id", "TICKET_CLOSED"),))


@scene("NOT_ORIGIN")
def _not_origin(story: Story) -> None:
    """The receiver concludes the sender's ticket."""
    story.taken()
    story.say(
        POLICE, Kind.CLOSE_TICKET, expect="NOT_ORIGIN", faults=(("header.author", "NOT_ORIGIN"),)
    )


@scene("HANDOFF_OPEN")
def _handoff_open(story: Story) -> None:
    """The ticket is concluded while its hand-off is open."""
    story.taken()
    faults = (("header.ticket_id", "handoff_open"),)
    story.say(HOTLINE, Kind.CLOSE_TICKET, expect="HANDOFF_OPEN", faults=faults)


@scene("ONWARD_OPEN")
def _onward_open(story: Story) -> None:
    """A result while the receiver waits for what it handed on."""
    story.taken()
    story.offered(by=POLICE, to=COUNTY_POLICE, handoff="h2", act={"onward_of": story.handoff("h1")})
    faults = (("header.result", "ONWARD_OPEN"),)
    story.say(POLICE, Kind.RESULT, SETTLED, DONE, to=HOTLINE, expect="ONWARD_OPEN", faults=faults)


@scene("MARKER_MISMATCH")
def _marker_mismatch(story: Story) -> None:
    """An exercise's offer on an actual ticket."""
    story.opened()
    faults = (("header.marker", "MARKER_MISMATCH"),)
    story.offered(header={"marker": "MARKER_EXERCISE"}, expect="MARKER_MISMATCH", faults=faults)


def scenarios() -> dict[str, Story]:
    """Return for each code that a bridge decides the story whose last message is refused so."""
    found = {}
    for code, (settings, told) in SCENES.items():
        story = Story(name=code.lower(), about=(told.__doc__ or "").strip(), **settings)
        told(story)
        found[code] = story
    return found
