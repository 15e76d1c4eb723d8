"""A ticket in which everybody says everything, with marks in every field, and all who might read it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from certs.authority import open_authority
from certs.development import GOVERNMENT, POLICE, Credential, Desk, DeskFiles, _enrol
from exchange import profile
from exchange.acts import Classification, Group, Kind
from exchange.client.messages import OutgoingMessage
from exchange.guards import HOMES
from exchange.server.serving import utc_now
from tests.mtls.marked import Marker, marks_in
from tests.pki import CITY_110, CITY_12345, COUNTY_12345, Pki
from tests.server.running import Caller

ORIGIN, RECEIVER, SUPERVISOR = CITY_12345, CITY_110, COUNTY_12345
HANDED = Desk(network=POLICE, region="140423", organisation="140423000000")
SAME_NETWORK = Desk(network=GOVERNMENT, region="140400", organisation="11140400MB1X000112")
OTHER_NETWORK = Desk(network=POLICE, region="140400", organisation="140400010000")
FURTHER = (HANDED, SAME_NETWORK, OTHER_NETWORK)

#: What each hand-off withholds from its receiver, and what the supervisor is shown of the first.
WITHHELD = frozenset({Group.PERSON, Group.RESPONDENT, Group.POLICE})
WITHHELD_ON = WITHHELD | {Group.CONTENT, Group.INTAKE, Group.CALL}
SUPERVISED = frozenset({Group.CONTENT, Group.PLACE, Group.DISPOSAL})

_EVERY = frozenset(Group)
#: The groups that each message says.
SAID: Mapping[str, frozenset[Group]] = {
    "opening": frozenset(g for g in _EVERY if Kind.OPEN_TICKET in HOMES.get(g, {Kind.OPEN_TICKET}))
    - {Group.POLICE},
    "offer": frozenset({Group.GROUNDS, Group.PERSON, Group.REVIEW, Group.CONTENT}),
    "to receiver": _EVERY - {Group.POLICE},
    "to origin": _EVERY,
    "onward": frozenset({Group.GROUNDS, Group.PERSON, Group.CONTENT}),
    "to handed": _EVERY,
}

#: Of which messages each identity is shown which groups: by a look at the ticket, and by its mailbox.
Sees = Mapping[str, frozenset[Group]]
ON_LOOKING: Mapping[str, Sees] = {
    "origin": {name: SAID[name] for name in ("opening", "to receiver", "to origin")},
    "receiver": {
        "opening": SAID["opening"] - WITHHELD,
        "to receiver": SAID["to receiver"] - WITHHELD,
        "to origin": SAID["to origin"],
        "to handed": SAID["to handed"],
    },
    "handed-on receiver": {
        "opening": SAID["opening"] - WITHHELD_ON,
        "to handed": SAID["to handed"] - WITHHELD_ON,
    },
    "supervisor": {
        name: SAID[name] & SUPERVISED for name in ("opening", "to receiver", "to origin")
    },
}
IN_THE_MAIL: Mapping[str, Sees] = {
    "origin": {"to origin": SAID["to origin"]},
    "receiver": {name: SAID[name] - WITHHELD for name in ("opening", "offer", "to receiver")},
    "handed-on receiver": {
        name: SAID[name] - WITHHELD_ON for name in ("opening", "onward", "to handed")
    },
}
#: A certificate for another region narrows what is looked at; what is said to somebody still reaches it.
IN_THE_MAIL = {**IN_THE_MAIL, "receiver, another region": IN_THE_MAIL["receiver"]}


def with_further(pki: Pki, folder: Path) -> Pki:
    """Return *pki* with the certificates of `FURTHER`."""
    desks = dict(pki.development.desks)
    for desk in FURTHER:
        authority, home = (
            open_authority(pki.development.authorities[desk.network]),
            folder / desk.organisation,
        )
        desks[desk.organisation] = DeskFiles(
            desk=desk,
            gateway=_enrol(authority, "gateway-tls", desk.name("gw"), home / "gateway", utc_now()),
            signer=_enrol(authority, "signer", desk.name("signer"), home / "signer", utc_now()),
        )
    return replace(pki, development=replace(pki.development, desks=desks))


def elsewhere(pki: Pki, folder: Path) -> Credential:
    """Issue the receiver a gateway for another city of its province."""
    desk = replace(RECEIVER, region="140500")
    authority = open_authority(pki.development.authorities[desk.network])
    return _enrol(authority, "gateway-tls", desk.name("gw"), folder / "elsewhere", utc_now())


def register_further(folder: Path) -> None:
    """Enter `FURTHER` into the register in *folder*, and let the receiver answer for the province."""
    path = folder / "register.toml"
    head, mark, tail = path.read_text("utf-8").partition(f'code = "{RECEIVER.organisation}"')
    whole = head + mark + tail.replace('region = "140400"', 'region = "140000"', 1)
    for number, desk in enumerate(FURTHER):
        service = "110" if desk.network == POLICE else "12345"
        whole += (
            f'\n[[organisation]]\ncode = "{desk.organisation}"\nname_zh = "另一 {number}"\n'
            f'name_en = "Further {number}"\nregion = "{desk.region}"\nnetwork = "{desk.network}"\n'
            f'service = "{service}"\n'
        )
    path.write_text(whole, "utf-8")


@dataclass
class Told:
    """One ticket, in which everything was said, and where its marks stand."""

    ticket: str = field(default_factory=lambda: str(uuid.uuid4()))
    handoff: str = field(default_factory=lambda: str(uuid.uuid4()))
    onward: str = field(default_factory=lambda: str(uuid.uuid4()))
    marker: Marker = field(default_factory=Marker)
    marks: dict[tuple[str, Group], frozenset[str]] = field(default_factory=dict)

    def tell(
        self,
        origin: Caller,
        receiver: Caller,
        classification: Classification = Classification.ORDINARY,
    ) -> None:
        """Say everything; the last message is of *classification*."""
        self._say(origin, "opening", Kind.OPEN_TICKET, None, _OPENING)
        scope = {
            "withheld_groups": sorted(map(int, WITHHELD)),
            "knowers": [
                {"organisation": SUPERVISOR.organisation, "groups": sorted(map(int, SUPERVISED))}
            ],
        }
        offer = self._say(origin, "offer", Kind.OFFER, RECEIVER, {**pinned(), "scope": scope})
        self._say(origin, "to receiver", Kind.SUPPLEMENT, RECEIVER, {})
        self._say(receiver, "", Kind.TAKE, ORIGIN, {}, previous=offer)
        self._say(receiver, "to origin", Kind.SUPPLEMENT, ORIGIN, {})
        onward = {
            **pinned(),
            "onward_of": self.handoff,
            "scope": {"withheld_groups": sorted(map(int, WITHHELD_ON))},
        }
        self._say(receiver, "onward", Kind.OFFER, HANDED, onward)
        self._say(receiver, "to handed", Kind.SUPPLEMENT, HANDED, {}, classification=classification)

    def expected(self, sees: Sees) -> frozenset[str]:
        """Return the marks that *sees* shows."""
        return frozenset().union(
            *(self.marks[name, g] for name, groups in sees.items() for g in groups)
        )

    def wheres(self, marks: Collection[str]) -> list[str]:
        """Return where *marks* were put, for people."""
        said = {mark: name for (name, _), found in self.marks.items() for mark in found}
        return sorted(f"{said.get(mark, '?')}: {self.marker.places[mark]}" for mark in marks)

    def message(
        self,
        kind: Kind,
        to: Desk | None,
        act: Mapping[str, object],
        groups: Mapping[str, Mapping[str, Any]],
        previous: bytes = b"",
    ) -> OutgoingMessage:
        """Return one message of the ticket; in the hand-off to whom it was handed on, or the first."""
        handoff = self.onward if to is HANDED else self.handoff
        return OutgoingMessage(
            kind=kind,
            ticket_id=self.ticket,
            handoff_id=handoff if to is not None else "",
            recipient=to.organisation if to is not None else "",
            created=datetime.now(UTC),
            message_id=str(uuid.uuid4()),
            previous=previous,
            act=act,
            groups=groups,
        )

    def _say(
        self,
        by: Caller,
        name: str,
        kind: Kind,
        to: Desk | None,
        act: Mapping[str, object],
        *,
        previous: bytes = b"",
        classification: Classification = Classification.ORDINARY,
    ) -> bytes:
        groups = {}
        for group in sorted(SAID.get(name, ())):
            values = self.marker.group(group)
            self.marks[name, group] = marks_in(json.dumps(values))
            groups[group.name.lower()] = values
        message = self.message(kind, to, act, groups, previous)
        (sealed,) = by.sealer.seal([replace(message, classification=classification)])
        (outcome,) = by.push([sealed])
        assert outcome.HasField("stored"), outcome
        return sealed.digest


def pinned() -> dict[str, object]:
    """Return what an offer pins."""
    national = profile.load("national")
    return {
        "form": 1,
        "matter": "NM.P.01.02",
        "catalogue_edition": national.catalogue.edition,
        "profile": national.name,
        "profile_edition": national.edition,
    }


_OPENING = {
    "kind": 1,
    "region": ORIGIN.region,
    "matter": "NM.P.01.02",
    "catalogue_edition": profile.load("national").catalogue.edition,
    "first_receiver": ORIGIN.organisation,
}
