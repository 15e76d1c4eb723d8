"""Sealed on the way, opened at the receiver: neither the bridge nor its database holds a word of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from certs.development import Desk
from exchange.acts import Classification, Group, Kind
from exchange.cli.root import run
from exchange.client import (
    ExchangeClient,
    IncomingFault,
    IncomingMessage,
    OutgoingMessage,
    read_gateway,
)
from exchange.config import load_settings
from exchange.doctor.findings import Status
from exchange.doctor.sealing import own_keys
from exchange.errors import ConfigurationError, RefusalCode
from exchange.sealing import PublicKey
from exchange.ticket import State
from exchange.wire.sealing import seal_groups
from tests.adapters.linked import ONCE, Link
from tests.mtls.need_to_know import (
    HANDED,
    ORIGIN,
    RECEIVER,
    SAME_NETWORK,
    SUPERVISOR,
    pinned,
    register_further,
    with_further,
)
from tests.pki import Pki
from tests.server.running import Running, matter, write_settings

WORDS = ("马三立", "13900008888", "南京路九号井盖缺失", "已派员现场处置")
GROUPS = {
    "open_ticket": ["person", "content"],
    "offer": ["grounds"],
    "supplement": ["person", "content"],
    "result": ["disposal"],
}


class Town:
    """A bridge and gateways that seal."""

    def __init__(self, pki: Pki, folder: Path) -> None:
        self.pki = with_further(pki, folder / "further")
        self.folder = folder
        path = write_settings(self.pki, folder)
        register_further(folder)
        self.bridge = Running(load_settings(path))
        self.bridge.start()
        self.link = Link(pki=self.pki, bridge=self.bridge, folder=folder / "desks")
        self.link.folder.mkdir()

    def config(self, desk: Desk, groups: dict[str, list[str]] | None = None) -> Path:
        """Write the configuration of a gateway that seals *groups* and has its keys in a folder of its own."""
        path = self.link.config(desk)
        lines = "\n".join(f"{kind} = {names}" for kind, names in (groups or {}).items())
        text = path.read_text("utf-8")
        text += f'\n[sealing]\nkeys = "{desk.organisation}-keys"\n[sealing.groups]\n{lines}\n'
        path.write_text(text, "utf-8")
        return path

    def client(self, desk: Desk, *, key: bool = True) -> ExchangeClient:
        """Return a client of a gateway that seals; with *key* its sealing key is made and published."""
        config = self.config(desk, GROUPS)
        if key and not list(config.parent.glob(f"{desk.organisation}-keys/*")):
            self.publish(config)
        return ExchangeClient.dial(read_gateway(config), patience=ONCE)

    def publish(self, config: Path) -> None:
        """Make a key as an officer does, and put its statement where the bridge's operator does."""
        assert run(["sealing", "make", "--config", str(config)], {}) == 0
        folder = self.bridge.settings.sealing_keys
        folder.mkdir(exist_ok=True)
        for path in read_gateway(config).sealing.keys.glob("*.sealing"):  # type: ignore[union-attr]
            shutil.copy(path, folder)

    def stored(self) -> bytes:
        """Return all bytes of the database's files, and of the journal."""
        files = [path.read_bytes() for path in self.folder.glob("bridge.db*")]
        assert files
        return b"".join(files) + self.bridge.journal.getvalue().encode()


@pytest.fixture(scope="module")
def town(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """A bridge whose parties seal."""
    found = Town(pki, tmp_path_factory.mktemp("sealed"))
    yield found
    found.bridge.stop()


def told(scope: Mapping[str, object] | None = None, to: Desk = RECEIVER) -> list[OutgoingMessage]:
    """Return a new ticket with words about persons, and its offer."""
    opening, offer = matter(to=to)
    name, telephone, content, _ = WORDS
    groups = {
        **opening.groups,
        "person": {"name": name, "telephone": telephone},
        "content": {"content": content},
    }
    act = {**offer.act, **({"scope": scope} if scope else {})}
    return [replace(opening, groups=groups), replace(offer, act=act)]


def said(items: Iterable[object]) -> set[str]:
    """Return the words that came."""
    text = "".join(str(item.groups) for item in items if isinstance(item, IncomingMessage))
    return {word for word in WORDS if word in text}


def pulled(client: ExchangeClient, ticket: str) -> list[IncomingMessage]:
    """Return the messages of *ticket* that wait for *client*, every one of them sound."""
    items = client.pull(limit=500)
    assert not [item for item in items if isinstance(item, IncomingFault)]
    return of_ticket(items, ticket)


def of_ticket(items: Iterable[object], ticket: str) -> list[IncomingMessage]:
    """Return the messages of *ticket* among *items*."""
    return [i for i in items if isinstance(i, IncomingMessage) and i.message.ticket_id == ticket]


def test_words_reach_those_they_are_for_and_nobody_else(town: Town) -> None:
    """
    Opened by the receiver, handed on to a third, its result sealed to the sender; a knower is handed its part.

    The bridge's database and journal hold none of the words; routing, deadlines and lists work.
    """
    with (
        town.client(ORIGIN) as origin,
        town.client(RECEIVER) as receiver,
        town.client(HANDED) as handed,
        town.client(SUPERVISOR) as supervisor,
    ):
        scope = {"knowers": [{"organisation": SUPERVISOR.organisation, "groups": [6]}]}
        messages = told(scope)
        results = origin.push(messages)
        assert all(one.stored for one in results)
        ticket, handoff = messages[0].ticket_id, messages[1].handoff_id

        came = pulled(receiver, ticket)
        assert [one.message.kind.value for one in came] == ["open_ticket", "offer"]
        assert said(came) == set(WORDS[:3])
        assert "identity" in came[0].groups
        assert came[1].groups["grounds"]

        take = reply("take", messages[0], handoff, ORIGIN, came[-1].digest)
        onward = replace(
            messages[1],
            message_id="",
            record="onward",
            handoff_id="0b0b0b0b-0000-4000-8000-00000000000b",
            recipient=HANDED.organisation,
            act={**pinned(), "onward_of": handoff, "scope": {"withheld_groups": [3]}},
        )
        assert all(one.stored for one in receiver.push([take, onward]))
        below = pulled(handed, ticket)
        assert said(below) == {WORDS[2]}
        assert set(below[0].groups) == {"identity", "matter", "content"}
        assert below[0].withheld == ["person"]

        known = supervisor.tickets.get(ticket)
        content = [supervisor.opened(envelope) for envelope in known.envelopes]
        assert [word for word in WORDS if word.encode() in b"".join(content)] == [WORDS[2]]

        done = reply("result", messages[0], onward.handoff_id, RECEIVER, below[-1].digest)
        taken = reply("take", messages[0], onward.handoff_id, RECEIVER, below[-1].digest)
        (result,) = handed.push([taken])
        assert result.stored
        done = replace(
            done,
            previous=result.digest,
            act={"settlement": "SETTLEMENT_SETTLED"},
            groups={"disposal": {"content": WORDS[3]}},
        )
        assert handed.push([done])[0].stored
        assert WORDS[3] in said(pulled(receiver, ticket))

        listed = next(one for one in origin.tickets.list() if one.ticket_id == ticket)
        assert {State(one.state) for one in listed.handoffs} == {State.TAKEN, State.RESOLVED}
        assert all(one.HasField("due_time") for one in listed.handoffs[:1])
        own = [origin.opened(envelope) for envelope in origin.tickets.get(ticket).envelopes]
        assert all(word.encode() in b"".join(own) for word in WORDS[:3])
    held = town.stored()
    assert ticket.encode() in held
    assert [word for word in WORDS if word.encode() in held] == []


def test_who_may_know_of_a_hand_off_reads_its_supplements(town: Town) -> None:
    """As far as the scope shows them, from either side; of what is confidential nothing is sealed to it."""
    scope = {"knowers": [{"organisation": SUPERVISOR.organisation, "groups": [6]}]}
    with (
        town.client(ORIGIN) as origin,
        town.client(RECEIVER) as receiver,
        town.client(SUPERVISOR) as supervisor,
    ):
        messages = told(scope)
        assert all(one.stored for one in origin.push(messages))
        more = supplement(messages, RECEIVER, ORIGIN)
        pulled(receiver, messages[0].ticket_id)
        assert receiver.push([more])[0].stored
        (came,) = pulled(origin, messages[0].ticket_id)
        assert {WORDS[0], WORDS[3]} <= said([came])
        *_, last = supervisor.tickets.get(messages[0].ticket_id).envelopes
        known = supervisor.opened(last)
        assert [True, False] == [word.encode() in known for word in (WORDS[3], WORDS[0])]

        secret = [replace(one, classification=Classification.CONFIDENTIAL) for one in told(scope)]
        more = replace(
            supplement(secret, ORIGIN, RECEIVER), classification=Classification.CONFIDENTIAL
        )
        assert all(one.stored for one in origin.push([*secret, more]))
        raw = b"".join(origin.tickets.get(secret[0].ticket_id).envelopes)
        assert SUPERVISOR.organisation.encode() not in raw
    assert [word for word in WORDS if word.encode() in town.stored()] == []


def supplement(messages: list[OutgoingMessage], by: Desk, to: Desk) -> OutgoingMessage:
    """Return what *by* adds about persons to a hand-off's matter."""
    return OutgoingMessage(
        kind=Kind.SUPPLEMENT,
        ticket_id=messages[0].ticket_id,
        handoff_id=messages[1].handoff_id,
        recipient=to.organisation,
        created=datetime.now(UTC),
        record=f"supplement {by.organisation} {messages[0].ticket_id}",
        groups={"person": {"name": WORDS[0]}, "content": {"content": WORDS[3]}},
    )


def reply(
    kind: str, opening: OutgoingMessage, handoff: str, to: Desk, previous: bytes
) -> OutgoingMessage:
    """Return a state-moving message."""
    return OutgoingMessage(
        kind=Kind(kind),
        ticket_id=opening.ticket_id,
        handoff_id=handoff,
        recipient=to.organisation,
        created=datetime.now(UTC),
        record=f"{kind} {handoff}",
        previous=previous,
    )


def test_a_repeat_after_the_answer_was_lost_still_opens(town: Town) -> None:
    """The opening alone came through; by a new client both are pushed again, and what is handed on fits."""
    messages = told()
    with town.client(ORIGIN) as origin, town.client(RECEIVER) as receiver:
        sealed = origin.sealer.seal(messages)
        assert origin.push_sealed(sealed[:1])[0].stored
        with town.client(ORIGIN) as again:
            assert all(one.stored for one in again.push_sealed(sealed))
        later = told()
        late = origin.sealer.seal(later)
        assert origin.push_sealed(late[:1])[0].stored
        # One that does not remember the opening asks the bridge for it.
        with town.client(ORIGIN) as forgetful:
            assert forgetful.push_sealed(late[1:])[0].stored
        items = receiver.pull(limit=500)
        for one in (messages, later):
            assert said(of_ticket(items, one[0].ticket_id)) == set(WORDS[:3])


def test_who_has_published_no_key_is_named_and_the_rest_goes_on(town: Town) -> None:
    """
    The message waits with a sentence that says whose key is missing; its neighbour is stored.

    So is one of which that organisation may only know: a third office holds up nobody.
    """
    with town.client(ORIGIN) as origin:
        fine = told({"knowers": [{"organisation": SAME_NETWORK.organisation, "groups": [6]}]})
        waits = told(to=SAME_NETWORK)
        waits[1] = replace(waits[1], act={**waits[1].act, "matter": ""})
        results = origin.push([*waits, *fine])
        assert [one.stored is not None for one in results] == [True, False, True, True]
        failure = results[1].failure
        assert isinstance(failure, ConfigurationError)
        assert SAME_NETWORK.organisation in failure.text.en
        assert results[1].delay > timedelta(0)
        with town.client(SAME_NETWORK):  # it publishes one now
            assert origin.push(waits[1:])[0].stored


def test_a_key_that_is_not_here_is_no_fault_of_the_message(town: Town, tmp_path: Path) -> None:
    """It comes again, and is opened once the key's file is back; no restart."""
    messages = told()
    config = town.config(RECEIVER, GROUPS)
    with town.client(ORIGIN) as origin, town.client(RECEIVER):
        assert all(one.stored for one in origin.push(messages))
    keys = config.parent / f"{RECEIVER.organisation}-keys"
    moved = tmp_path / "moved"
    shutil.move(keys, moved)
    keys.mkdir()
    with ExchangeClient.dial(read_gateway(config), patience=ONCE) as receiver:
        faults = [one for one in receiver.pull(limit=500) if isinstance(one, IncomingFault)]
        assert faults
        assert {one.refusal for one in faults} == {None}
        assert "does not hold" in str(faults[0].failure)
        for path in moved.iterdir():
            shutil.move(path, keys)
        assert WORDS[0] in receiver.opened(
            receiver.tickets.get(messages[0].ticket_id).envelopes[0]
        ).decode("utf-8", "replace")


def test_the_doctor_looks_at_our_keys(town: Town, tmp_path: Path) -> None:
    """Without a pair it says what to make; with one, until when others may seal to it."""
    config = town.config(SAME_NETWORK, GROUPS)
    bare = tmp_path / "bare.toml"
    bare.write_text(config.read_text("utf-8").replace("-keys", "-none"), "utf-8")
    now = datetime.now(UTC)
    town.client(SAME_NETWORK).close()

    none = list(own_keys(read_gateway(bare), now))
    good = list(own_keys(read_gateway(config), now))
    late = list(own_keys(read_gateway(config), now + timedelta(days=350)))

    assert [one.status for one in (*none, *good, *late)] == [Status.FAIL, Status.OK, Status.WARN]
    assert list(own_keys(read_gateway(town.link.config(SAME_NETWORK)), now)) == []


def test_a_key_is_rotated_and_what_was_sealed_before_still_opens(
    town: Town, tmp_path: Path
) -> None:
    """The newest in force is sealed to; both open; one that another's signer signed is never taken."""
    before = told()
    with town.client(ORIGIN) as origin, town.client(RECEIVER) as receiver:
        assert all(one.stored for one in origin.push(before))
        keys = town.config(RECEIVER, GROUPS).parent / f"{RECEIVER.organisation}-keys"
        (old,) = keys.glob("*.sealing")
        for path in list(keys.iterdir()):
            path.rename(path.with_stem(f"old-{path.stem}"))
        town.publish(town.config(RECEIVER, GROUPS))
        forged = town.bridge.settings.sealing_keys / "forged.sealing"
        raw = (town.bridge.settings.sealing_keys / old.name).read_bytes()
        theirs = next(
            town.bridge.settings.sealing_keys.glob(f"{ORIGIN.organisation}-*")
        ).read_bytes()
        forged.write_bytes(
            raw.replace(RECEIVER.organisation.encode(), RECEIVER.organisation.encode()[::-1], 1)
        )
        (town.bridge.settings.sealing_keys / "junk.sealing").write_bytes(theirs[:40])
        after = told()
        with town.client(ORIGIN) as fresh:
            assert all(one.stored for one in fresh.push(after))
        assert said(pulled(receiver, after[0].ticket_id)) == set(WORDS[:3])
        opened = receiver.opened(receiver.tickets.get(before[0].ticket_id).envelopes[0])
        assert WORDS[0].encode() in opened


def test_the_bridge_refuses_what_it_must_read(town: Town) -> None:
    """A client that seals what is never sealed learns which group; the configuration says so before."""
    path = town.config(ORIGIN, {"open_ticket": ["identity"]})
    with pytest.raises(ConfigurationError) as raised:
        read_gateway(path)
    assert "identity" in raised.value.text.en
    key = X25519PrivateKey.generate().public_key()
    with town.client(ORIGIN) as origin:
        (sealed,) = origin.sealer.seal(told()[:1])
        reader = PublicKey(organisation=ORIGIN.organisation, public=key)
        spoilt = replace(sealed, envelope=seal_groups(sealed.envelope, {Group.IDENTITY}, [reader]))
        (result,) = origin.push_sealed([spoilt])
    assert result.refusal is not None
    assert result.refusal.code is RefusalCode.FIELD_INVALID
    assert [one.field for one in result.refusal.violations] == ["groups.identity"]
