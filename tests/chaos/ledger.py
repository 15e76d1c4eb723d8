"""
What must hold at the end: every party's own record against the bridge's, and every proof.

Nothing here asks a process: the files are opened as an auditor would.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from adapters.spool_records import refusal_of
from exchange import tables
from exchange.acts import NOTE_KINDS, Kind
from exchange.envelope import message_digest
from exchange.errors import RefusalCode
from exchange.log import StoredProof
from exchange.note import NoteVerifier
from exchange.proof import Trust, Verdict, prove
from exchange.query.evidence import EvidenceRoom
from exchange.states import STATES
from exchange.store.engines import connect
from exchange.store.engines import reading as reading_bridge
from exchange.ticket import TERMINAL_STATES, Side, State
from exchange.trust import TrustStore
from exchange.wire.receipt_files import LoggedStatement, ReceiptFile, envelope_parts, read_receipt
from tests.chaos.load import DeskDriver, Driver, reading, stays_open
from tests.chaos.place import POSTS, Post

if TYPE_CHECKING:
    from tests.chaos.town import Town

#: Receipts of one desk that are proved one by one; of more, so many at random.
MOST_PROVED = 200
#: Findings of one kind that are told.
_TOLD = 5


@dataclass(slots=True)
class Findings:
    """What broke, and how much was looked at."""

    broken: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def expect(self, found: Iterable[object], what: str) -> None:
        """Note that *what* broke where *found* has anything."""
        told = sorted(map(str, found))
        if told:
            more = f" and {len(told) - _TOLD} more" if len(told) > _TOLD else ""
            self.broken.append(f"{what}: {', '.join(told[:_TOLD])}{more}")


def mailbox(url: str) -> int:
    """Return how many deliveries wait at the bridge."""
    engines = connect(url)
    try:
        with reading_bridge(engines) as connection:
            query = select(func.count()).select_from(tables.mailbox)
            return int(connection.execute(query).scalar_one())
    finally:
        engines.close()


def rows(url: str, table: str, *columns: str) -> list[dict[str, Any]]:
    """Return columns of a bridge's table, in the order of its first key."""
    found = tables.metadata.tables[table]
    engines = connect(url)
    try:
        with reading_bridge(engines) as connection:
            query = select(*(found.c[name] for name in columns)).order_by(*found.primary_key)
            return [dict(row) for row in connection.execute(query).mappings()]
    finally:
        engines.close()


def examine(town: Town, chance: Random) -> Findings:
    """Hold every record against every other one; everything has come to rest."""
    found = Findings()
    url = town.database.direct
    trail = rows(
        url, "trail", "leaf_index", "kind", "message_id", "ticket_id", "handoff_id", "author",
        "recipient", "state", "answers",
    )  # fmt: skip
    # A bridge's own acts (the first says its rules) are leaves as well; nobody sends them, nobody gets them.
    acts = [row for row in trail if row["kind"] == "act"]
    said = [row for row in trail if row["kind"] not in {"written", "act"}]
    receipts = rows(url, "receipt", "leaf_index", "message_id", "organisation")
    handoffs = rows(
        url, "handoff", "id", "ticket_id", "sender", "receiver", "state", "answers", "own_duty"
    )
    stored = {row["message_id"] for row in said}
    found.counts["tickets"] = len({row["ticket_id"] for row in said})
    found.counts["messages"] = len(said)
    found.counts["written receipts"] = len(receipts)
    found.expect(_doubles(row["message_id"] for row in said), "stored twice by the bridge")
    found.expect(
        _doubles((row["message_id"], row["organisation"]) for row in receipts),
        "two written receipts of one receiver",
    )
    for post in POSTS:
        driver = town.drivers[post.name]
        given = {row["message_id"] for row in receipts if row["organisation"] == post.code}
        ours = {row["message_id"] for row in said if row["author"] == post.code}
        _hold_against(found, town, driver, ours, given, stored)
        _lanes(found, town, driver, said)
    _somebody_answers(found, trail, handoffs)
    _copies(found, town, handoffs)
    _log(found, town, len(said) + len(receipts) + len(acts))
    _proofs(found, town, chance)
    return found


def _doubles(names: Iterable[object]) -> list[object]:
    return [name for name, count in Counter(names).items() if count > 1]


def _hold_against(  # noqa: PLR0917
    found: Findings, town: Town, driver: Driver, ours: set[str], given: set[str], stored: set[str]
) -> None:
    """One party's own record of what it said, was told and wrote, against the bridge's."""
    name = driver.post.name
    with reading(town.spool(driver.post)) as spool:
        outgoing = spool.execute("SELECT message_id, kind, state, refusal FROM outgoing").fetchall()
        incoming = spool.execute("SELECT message_id, refusal FROM incoming").fetchall()
    receipted = {row["message_id"] for row in outgoing if row["state"] == "stored"}
    not_taken = {
        row["message_id"]: f"{row['kind']} {row['message_id']} {row['state']} {row['refusal']}"
        for row in outgoing
        if row["state"] in {"refused", "dropped"}
    }
    answered = [row for row in outgoing if row["message_id"] in not_taken and _is_answer(town, row)]
    crossed = {row["message_id"] for row in answered}
    written = {row["message_id"] for row in incoming if row["refusal"] is None}
    declined = [row["message_id"] for row in incoming if row["refusal"] is not None]
    found.expect(
        (not_taken[name] for name in not_taken.keys() - crossed),
        f"{name}: a legal step was refused",
    )
    found.expect(declined, f"{name}: declined what came")
    found.expect(receipted - stored, f"{name}: a stored receipt, and nothing stored")
    found.expect(ours - receipted, f"{name}: stored, and its author has no receipt")
    found.expect(
        set(driver.said) - ours - crossed, f"{name}: its platform kept it, the bridge has it not"
    )
    found.expect(given - written, f"{name}: the bridge has its written receipt, it did not write")
    found.expect(written - given, f"{name}: wrote it, and the bridge knows nothing of it")
    platform = came(town, driver)
    found.expect(_doubles(platform), f"{name}: twice in the platform's own records")
    found.expect(set(platform) ^ written, f"{name}: the platform and its spool differ")
    told = "refused (a note that came too late, an ended signer)"
    found.counts[told] = found.counts.get(told, 0) + len(crossed)
    found.counts[f"{name} said"] = len(receipted)
    found.counts[f"{name} wrote"] = len(written)
    if isinstance(driver, DeskDriver):
        with reading(driver.home / "desk.db") as desk:
            own = {
                row["message_id"]
                for row in desk.execute(
                    "SELECT message_id FROM event WHERE author = ?", (driver.post.code,)
                )
            }
        found.expect(own ^ ours ^ crossed, f"{name}: said by the platform and the bridge's differ")


def _is_answer(town: Town, row: Mapping[str, Any]) -> bool:
    """
    Whether a refusal is the right answer to a legal step.

    A note may come when the hand-off has just ended; what was signed by a certificate that has
    ended is refused, and so is a ticket's closing that rests on such a step.
    """
    refusal = refusal_of(row["refusal"])
    if refusal is None:
        return False
    if refusal.code is RefusalCode.WRONG_STATE:
        return Kind(row["kind"]) in NOTE_KINDS
    if refusal.code is RefusalCode.SIGNER_NOT_TRUSTED:
        return town.signers_ended
    return town.signers_ended and row["kind"] == Kind.CLOSE_TICKET.value


def came(town: Town, driver: Driver) -> list[str]:
    """Return the ids of what a platform wrote, in the order in which it came."""
    if isinstance(driver, DeskDriver):
        query = "SELECT message_id FROM event WHERE author <> ? ORDER BY seq"
        with reading(driver.home / "desk.db") as desk:
            return [row["message_id"] for row in desk.execute(query, (driver.post.code,))]
    inbox = town.place.home(driver.post) / "inbox"
    files = [*inbox.glob("*.json"), *inbox.glob("done/*.json")]
    return [path.stem[-36:] for path in sorted(files, key=lambda path: path.stat().st_mtime_ns)]


def _lanes(found: Findings, town: Town, driver: Driver, said: list[dict[str, Any]]) -> None:
    """Within a hand-off everything came in the order in which the bridge stored it."""
    place = {row["message_id"]: (row["handoff_id"], row["leaf_index"]) for row in said}
    newest: dict[str, int] = defaultdict(lambda: -1)
    wrong = []
    for message in came(town, driver):
        lane, index = place.get(message, ("", -1))
        if lane and index < newest[lane]:
            wrong.append(message)
        newest[lane] = max(newest[lane], index)
    found.expect(wrong, f"{driver.post.name}: came out of its lane's order")


def _somebody_answers(
    found: Findings, trail: list[dict[str, Any]], handoffs: list[dict[str, Any]]
) -> None:
    """At every moment of the trail, and now, somebody answers for each open hand-off and ticket."""
    ended = {int(state) for state in TERMINAL_STATES}
    found.expect(
        (
            row["leaf_index"]
            for row in trail
            if row["state"] and row["state"] not in ended and not row["answers"]
        ),
        "a moment at which nobody answered",
    )
    duties = {row["ticket_id"] for row in handoffs if row["own_duty"]}
    found.expect(
        (
            row["id"]
            for row in handoffs
            if row["state"] == State.RETURNED and row["ticket_id"] not in duties
        ),
        "returned, and no own duty opened",
    )
    still = [row for row in handoffs if row["state"] not in ended]
    found.expect((row["id"] for row in still if not row["answers"]), "open, and nobody answers")
    found.counts["open hand-offs"] = len(still)
    left = {row["ticket_id"] for row in still}
    found.expect((t for t in left if not stays_open(t)), "not concluded by its desks")


def answers(state: State, sender: str, receiver: str) -> str:
    """Return who answers for a hand-off in *state*, as the README's table has it."""
    if state in TERMINAL_STATES:
        return ""
    return sender if STATES[state].answers is Side.SENDER else receiver


def _copies(found: Findings, town: Town, handoffs: list[dict[str, Any]]) -> None:
    """Every desk's copy has the bridge's state and, by the table, the same one who answers."""
    for post in POSTS:
        if post.kind != "desk":
            continue
        with reading(town.place.home(post) / "desk.db") as desk:
            query = "SELECT handoff_id, sender, receiver, state FROM handoff"
            own = {row["handoff_id"]: row for row in desk.execute(query)}
        ours = {row["id"]: row for row in handoffs if post.code in {row["sender"], row["receiver"]}}
        found.expect(own.keys() ^ ours.keys(), f"{post.name}: hand-offs in one copy alone")
        differing = []
        for name in own.keys() & ours.keys():
            mine, theirs = own[name], ours[name]
            state = State(mine["state"])
            who = answers(state, mine["sender"], mine["receiver"])
            if state != theirs["state"] or who != theirs["answers"]:
                there = State(theirs["state"]).name
                differing.append(f"{name} {state.name} here, {there} at the bridge")
        found.expect(differing, f"{post.name}: its copy and the bridge's differ")


def _log(found: Findings, town: Town, expected: int) -> None:
    done = town.exchange("log", "verify", "--json", "--database", town.database.direct)
    try:
        said: Mapping[str, Any] = json.loads(done.stdout)
    except ValueError:
        found.broken.append(f"exchange log verify: {done.stdout} {done.stderr}")
        return
    found.counts["log entries"] = said["size"]
    found.expect((one["en"] for one in said["findings"]), "exchange log verify")
    if said["size"] != expected:
        found.broken.append(f"the log has {said['size']} entries, the trail {expected}")


# -- receipts


def _proofs(found: Findings, town: Town, chance: Random) -> None:
    """Prove what the desks hold in their spools, with roots and the log's key alone."""
    made = town.place.made
    verifier = NoteVerifier.parse(made.log_verifier.read_text("ascii").strip())
    trust = Trust(
        networks=TrustStore.load(made.trust),
        logs=(verifier,),
        registered={post.code: post.desk.network for post in POSTS},
    )
    room = EvidenceRoom.open(town.database.direct)
    proved = 0
    try:
        for post in POSTS:
            for file in _receipts(town, post, room, chance):
                proved += 1
                found.expect(
                    (
                        f"{file.message_id}: {one.what.en}: {one.found.en}"
                        for one in prove(file, trust).obligations
                        if one.verdict is not Verdict.HOLDS
                    ),
                    f"{post.name}: a receipt does not prove what it should",
                )
    finally:
        room.close()
    found.counts["receipts proved"] = proved


def _receipts(town: Town, post: Post, room: EvidenceRoom, chance: Random) -> Iterator[ReceiptFile]:
    with reading(town.spool(post)) as spool:
        kept = spool.execute(
            "SELECT ticket_id, message_id, envelope, receipt FROM outgoing WHERE state = 'stored'"
        ).fetchall()
        held: dict[str, list[bytes]] = defaultdict(list)
        for name, receipt in spool.execute("SELECT message_id, receipt FROM answer"):
            held[name].append(receipt)
    if len(kept) > MOST_PROVED:
        kept = chance.sample(kept, MOST_PROVED)
    tickets: dict[str, tuple[dict[bytes, StoredProof], tuple[tuple[bytes, ...], ...]]] = {}
    for ticket_id, message_id, envelope, receipt in kept:
        if ticket_id not in tickets:
            tickets[ticket_id] = _of_ticket(room, ticket_id)
        leaves, chains = tickets[ticket_id]
        file = ReceiptFile(**envelope_parts(envelope), chains=chains)
        for raw in (receipt, *held[message_id]):
            file = _with(file, raw, leaves)
        yield file


def _of_ticket(
    room: EvidenceRoom, ticket_id: str
) -> tuple[dict[bytes, StoredProof], tuple[tuple[bytes, ...], ...]]:
    from exchange.cli.receipts_out import from_evidence  # noqa: PLC0415 - a command's own module

    leaves: dict[bytes, StoredProof] = {}
    chains: list[tuple[bytes, ...]] = []
    for evidence in room.of_ticket(ticket_id):
        leaves |= {message_digest(one.statement): proof for one, proof in evidence.written}
        chains += from_evidence(evidence, room).chains
    return leaves, tuple(dict.fromkeys(chains))


def _with(file: ReceiptFile, raw: bytes, leaves: Mapping[bytes, StoredProof]) -> ReceiptFile:

    found = read_receipt(raw)
    if isinstance(found, StoredProof):
        return replace(file, stored=found)
    if found.code is None:
        proof = leaves.get(message_digest(found.statement))
        logged = LoggedStatement(statement=found, proof=proof)
        return replace(file, written=(*file.written, logged))
    return replace(file, refused=(*file.refused, found))
