"""
Every field, every identity: nobody reads what a hand-off's scope does not show it, wherever it looks.

Each field of each group that takes words has a mark of its own.  What every identity gets (mail, ticket,
list, trail, export, refusals, failures) is searched for all of them, and so is the journal.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from certs.development import GOVERNMENT, Credential, Desk
from exchange._proto.v1 import directory_service_pb2 as directory_pb
from exchange._proto.v1 import ticket_service_pb2 as pb
from exchange.acts import Classification, Group, Kind
from exchange.cli.root import run
from exchange.config import load_settings
from exchange.errors import RefusalCode
from exchange.identity import METHODS, CallerKind
from exchange.submission import Statement
from exchange.wire.receipts import read_refused
from tests.mtls.handshake import dial
from tests.mtls.marked import marks_in, redacted
from tests.mtls.need_to_know import (
    HANDED,
    IN_THE_MAIL,
    ON_LOOKING,
    ORIGIN,
    OTHER_NETWORK,
    RECEIVER,
    SAME_NETWORK,
    SUPERVISOR,
    Told,
    elsewhere,
    register_further,
    with_further,
)
from tests.pki import Pki
from tests.server.running import Caller, Running, calling, write_settings
from tests.witness.place import credential

IDENTITIES: dict[str, Desk] = {
    "origin": ORIGIN,
    "receiver": RECEIVER,
    "handed-on receiver": HANDED,
    "supervisor": SUPERVISOR,
    "same network": SAME_NETWORK,
    "other network": OTHER_NETWORK,
    "receiver, another region": RECEIVER,
}


@dataclass
class Stage:
    """A bridge, everybody's certificates, and what was said: openly, and confidentially."""

    pki: Pki
    bridge: Running
    folder: Path
    elsewhere: Credential
    told: Told
    confidential: Told

    @contextlib.contextmanager
    def calling(self, identity: str) -> Iterator[Caller]:
        """Dial as *identity*."""
        credential = self.elsewhere if "region" in identity else None
        with calling(self.pki, self.bridge.port, IDENTITIES[identity], credential) as caller:
            yield caller


@pytest.fixture(scope="module")
def stage(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A bridge on which everything was said."""
    folder = tmp_path_factory.mktemp("need-to-know")
    wider = with_further(pki, folder)
    path = write_settings(wider, folder)
    register_further(folder)
    bridge = Running(load_settings(path))
    bridge.start()
    told, confidential = Told(), Told()
    try:
        with (
            calling(wider, bridge.port, ORIGIN) as origin,
            calling(wider, bridge.port, RECEIVER) as receiver,
        ):
            told.tell(origin, receiver)
            confidential.tell(origin, receiver, Classification.CONFIDENTIAL)
        yield Stage(wider, bridge, folder, elsewhere(wider, folder), told, confidential)
    finally:
        bridge.stop()


def outcome(ask: object, request: object) -> tuple[bytes, str]:
    """Return the answer's bytes, or nothing and the failure with all that it says."""
    try:
        return ask(request, timeout=20).SerializeToString(), ""  # type: ignore[operator]
    except grpc.RpcError as error:
        return b"", f"{error.details()} {error!r} {error.trailing_metadata()!r}"


def test_the_marks_are_in_every_field_for_words(stage: Stage) -> None:
    """Every field that the contract marks as personal has one, but those that take no words: a day, a key."""
    marked = {
        stage.told.marker.places[mark] for found in stage.told.marks.values() for mark in found
    }
    personal = frozenset[str]().union(*map(redacted, Group))

    no_words = {"person.birth_date", "attachment.attachments.file.encrypted.key"}
    assert personal - marked == no_words
    assert len(marked) > 400


@pytest.mark.parametrize("identity", IDENTITIES)
def test_a_look_at_the_ticket_shows_what_the_scope_shows(stage: Stage, identity: str) -> None:
    """Exactly that: nothing more is there, nothing that is shown is missing, and every digest still is."""
    told = stage.told
    with stage.calling(identity) as caller:
        found, failure = outcome(
            caller.tickets.GetTicket, pb.GetTicketRequest(ticket_id=told.ticket)
        )

    expected = told.expected(ON_LOOKING.get(identity, {}))
    assert told.wheres(marks_in(found) - expected) == []
    assert told.wheres(expected - marks_in(found)) == []
    assert marks_in(failure) == frozenset()
    assert bool(found) is (identity in ON_LOOKING)


@pytest.mark.parametrize("identity", IDENTITIES)
def test_the_mail_brings_what_the_scope_shows(stage: Stage, identity: str) -> None:
    """Leased or read on: what was said to somebody without what its hand-off withholds; to others nothing."""
    told, other = stage.told, stage.confidential
    expected = told.expected(IN_THE_MAIL.get(identity, {}))
    hidden = other.expected(IN_THE_MAIL.get(identity, {}))
    marks = {mark for one in (told, other) for found in one.marks.values() for mark in found}
    with stage.calling(identity) as caller:
        for fields in ({"max_deliveries": 100, "after_position": 0}, {"max_deliveries": 100}):
            got = frozenset[str]()
            for one in caller.pull(**fields):
                got |= marks_in(one.SerializeToString())
            if got or "after_position" in fields:  # another identity may have the lane out on lease
                assert got & marks == expected | hidden, told.wheres(got ^ (expected | hidden))


@pytest.mark.parametrize("identity", IDENTITIES)
def test_lists_trails_exports_and_failures_hold_no_words(
    stage: Stage, identity: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Codes, times and digests alone, over the wire and on the command line."""
    told = stage.told
    with stage.calling(identity) as caller:
        answers = [
            outcome(caller.tickets.ListTickets, pb.ListTicketsRequest()),
            outcome(caller.tickets.GetTrail, pb.GetTrailRequest(ticket_id=told.ticket)),
            outcome(caller.tickets.GetTicket, pb.GetTicketRequest(ticket_id="0" * 36)),
            outcome(caller.directory.ListOrganisations, directory_pb.ListOrganisationsRequest()),
        ]
    config = gateway_config(stage, identity)
    codes = [
        run(["ticket", *words, "--config", str(config)], {})
        for words in (
            ["show", told.ticket],
            ["list"],
            ["trail", told.ticket],
            ["export"],
            ["export", "--format", "jsonl"],
        )
    ]
    said = capsys.readouterr()

    for found, failure in answers:
        assert marks_in(found) | marks_in(failure) == frozenset()
    assert marks_in(said.out) | marks_in(said.err) == frozenset()
    sees = identity in ON_LOOKING
    assert (told.ticket in said.out) is sees
    assert (codes[0], codes[2]) == ((0, 0) if sees else (1, 1))
    assert (told.ticket.encode() in answers[0][0]) is sees


def test_the_operators_tools_show_no_words(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who runs the bridge sees codes, and of a confidential ticket neither matter nor region."""
    database = ["--database", stage.bridge.settings.database]
    for ticket in (stage.told.ticket, stage.confidential.ticket):
        assert run(["ticket", "show", ticket, *database], {}) == 0
        assert run(["ticket", "trail", ticket, *database], {}) == 0
    assert run(["ticket", "export", *database], {}) == 0
    said = capsys.readouterr()

    assert marks_in(said.out) | marks_in(said.err) == frozenset()
    assert stage.told.ticket in said.out


def test_of_a_confidential_ticket_a_knower_reads_nothing(stage: Stage) -> None:
    """Not its content, not its matter and region, and it is not found by asking for these; parties go on."""
    ticket = stage.confidential.ticket
    with stage.calling("supervisor") as caller:
        found = caller.tickets.GetTicket(pb.GetTicketRequest(ticket_id=ticket), timeout=20)
        listed = [
            {one.ticket_id for one in caller.tickets.ListTickets(asked, timeout=20).tickets}
            for asked in (
                pb.ListTicketsRequest(),
                pb.ListTicketsRequest(matter="NM.P.01.02"),
                pb.ListTicketsRequest(region="140400"),
            )
        ]
    with stage.calling("origin") as caller:
        own = caller.tickets.GetTicket(pb.GetTicketRequest(ticket_id=ticket), timeout=20)

    assert marks_in(found.SerializeToString()) == frozenset()
    assert (found.ticket.matter, found.ticket.region.code) == ("", "")
    assert {one.matter for one in found.ticket.handoffs} == {""}
    assert listed == [{ticket, stage.told.ticket}, {stage.told.ticket}, {stage.told.ticket}]
    assert marks_in(own.SerializeToString()) == stage.confidential.expected(ON_LOOKING["origin"])
    assert own.ticket.matter == "NM.P.01.02"


def test_a_witness_and_nobody_read_nothing_at_all(stage: Stage) -> None:
    """Every method that a gateway may call is closed to them, and the refusal says nothing of anybody."""
    witness = credential(stage.pki, GOVERNMENT, stage.folder / "witness")
    closed = [method for method, kind in METHODS.items() if kind is CallerKind.GATEWAY]
    request = pb.GetTicketRequest(ticket_id=stage.told.ticket).SerializeToString()
    anonymous = grpc.secure_channel(
        f"127.0.0.1:{stage.bridge.port}",
        grpc.ssl_channel_credentials(stage.pki.development.bridge_trust.read_bytes()),
    )
    for channel, codes in (
        (dial(stage.pki, stage.bridge.port, witness), {grpc.StatusCode.PERMISSION_DENIED}),
        (anonymous, {grpc.StatusCode.UNAVAILABLE}),  # TLS lets nobody in without a certificate
    ):
        with channel as opened:
            for method in closed:
                ask = opened.unary_unary(
                    method, request_serializer=bytes, response_deserializer=bytes
                )
                with pytest.raises(grpc.RpcError) as raised:
                    ask(request, timeout=20)
                assert raised.value.code() in codes, method
                assert marks_in(str(raised.value)) == frozenset()


def test_a_refusal_names_fields_and_quotes_nobody(stage: Stage) -> None:
    """What is wrong with words is said without them: to the author, and in the journal."""
    told = Told()
    refused = 0
    with stage.calling("origin") as caller:
        for group in Group:
            values = told.marker.group(group)
            long = {
                name: value * 2000
                for name, value in values.items()
                if marks_in(str(value)) == frozenset({str(value)})
            }
            if not long:
                continue
            long = dict([*long.items()][:1])
            message = told.message(
                Kind.SUPPLEMENT, RECEIVER, {}, {group.name.lower(): values | long}
            )
            (found,) = caller.push(caller.sealer.seal([message]))
            refusal = read_refused(found.refused)
            assert isinstance(refusal, Statement)
            assert refusal.code is RefusalCode.FIELD_INVALID, group
            assert marks_in(found.SerializeToString()) == frozenset()
            refused += 1
    assert refused > 20


def test_the_journal_holds_no_words(stage: Stage) -> None:
    """Whatever was asked and refused before this, at the most talkative level."""
    assert stage.bridge.events("call")
    assert marks_in(stage.bridge.journal.getvalue()) == frozenset()


def gateway_config(stage: Stage, identity: str) -> Path:
    """Write the configuration with which *identity* runs commands."""
    made, desk = stage.pki.development, IDENTITIES[identity]
    gateway = stage.elsewhere if "region" in identity else stage.pki.gateway(desk)
    signer = stage.pki.signer(desk)
    trust = "\n".join(f'"{network}" = "{path}"' for network, path in made.trust.items())
    path = stage.folder / f"{identity}.toml"
    path.write_text(
        f"""
target = "127.0.0.1:{stage.bridge.port}"
organisation = "{desk.organisation}"
bridge_roots = "{made.bridge_trust}"
gateway_key = "{gateway.key}"
gateway_chain = "{gateway.certificate}"
signer_key = "{signer.key}"
signer_chain = "{signer.certificate}"
log_verifiers = ["{made.log_verifier}"]

[trust]
{trust}
""",
        encoding="utf-8",
    )
    return path
