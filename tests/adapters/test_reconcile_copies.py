"""``exchange adapter reconcile``: platform, spool and bridge agree again after one of them was put back."""

from __future__ import annotations

import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from adapters.comparing import FAULTS, MENDED, Difference, Fault, lasting
from certs.development import Desk as Party
from exchange._proto.v1.ticket_service_pb2 import TrailEntry
from exchange.acts import Kind
from exchange.client.copying import read_copy
from exchange.client.tickets import Tickets
from exchange.config import load_settings
from exchange.ticket import State
from tests.adapters.linked import exchange_once
from tests.adapters.table.city import WORK_ORDER, insert, tables, until_quiet
from tests.attack.city import City, Keeping, LinkWithLogs, lose, told
from tests.cli.town import Answer, Shell
from tests.pki import CITY_110, CITY_12345, Pki
from tests.server.running import Running, write_settings

HOTLINE, POLICE = CITY_12345, CITY_110


@pytest.fixture
def exchange(capsys: pytest.CaptureFixture[str]) -> Shell:
    """The command."""
    return Shell(capsys)


@pytest.fixture
def city(pki: Pki, tmp_path: Path) -> Iterator[City]:
    """A bridge whose database can be put back, and two desks."""
    folder, desks = tmp_path / "bridge", tmp_path / "desks"
    folder.mkdir()
    desks.mkdir()
    bridge = Running(load_settings(write_settings(pki, folder), {}))
    bridge.start()
    keeping = Keeping(folder, f"sqlite:///{folder / 'bridge.db'}")
    with LinkWithLogs(pki=pki, bridge=bridge, folder=desks) as link:
        made = City(pki, folder, keeping, bridge, link, link.desk(HOTLINE), link.desk(POLICE))
        made.dial()
        try:
            yield made
        finally:
            made.bridge.stop()


def reconcile(exchange: Shell, city: City, party: Party, *words: str) -> Answer:
    """Run the command beside *party*'s adapter."""
    config = city.link.config(party)
    return exchange("adapter", "reconcile", "--config", config, "--json", *words)


def faults(answer: Answer) -> dict[str, int]:
    """Return how many differences of each kind there are."""
    return dict(Counter(one["what"] for one in answer.data["differences"]))


def keep(path: Path) -> bytes:
    """Return a whole copy of an SQLite file that is in use."""
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(":memory:")) as copy:
        source.backup(copy)
        return bytes(copy.serialize())


def put_back(path: Path, kept: bytes) -> None:
    """Put a copy in the place of the file, which nobody has open."""
    for end in ("", "-wal", "-shm"):
        Path(f"{path}{end}").unlink(missing_ok=True)
    path.write_bytes(kept)


def reopened(city: City, party: Party, name: str, kept: bytes | None) -> None:
    """Put *party*'s ``desk.db`` or ``spool.db`` back while it is stopped, and start it afresh."""
    number = 0 if party is HOTLINE else 1
    desk, runner = (city.hotline, city.police)[number], city.runners[number]
    for one in city.runners:
        one.spool.close()
    desk.close()
    path = city.link.folder / party.organisation / name
    put_back(path, kept or b"")
    if kept is None:
        path.unlink()
    del runner
    again = city.link.desk(party)
    if number:
        city.police = again
    else:
        city.hotline = again
    city.dial()


def resolve(city: City) -> None:
    """Let the police take and resolve every matter that was offered to them."""
    offered = city.police.db.rows("SELECT handoff_id FROM handoff WHERE state = 1")
    for row in offered:
        city.police.say(Kind.TAKE, row["handoff_id"])
        city.police.say(Kind.RESULT, row["handoff_id"], "已劝止。")
    assert offered


@pytest.mark.parametrize("party", [HOTLINE, POLICE])
def test_copies_agree_after_a_whole_course(exchange: Shell, city: City, party: Party) -> None:
    """Offered, taken, resolved, closed: nothing differs on either side, and a person is told so."""
    city.say(1)
    city.say(2)
    city.settle()
    resolve(city)
    city.settle()
    ticket = city.hotline.db.rows("SELECT * FROM handoff")[0]
    city.hotline.say(Kind.CLOSE, ticket["handoff_id"], "满意。")
    city.hotline.close_ticket(ticket["ticket_id"], "满意。")
    city.settle()
    found = reconcile(exchange, city, party)
    config = city.link.config(party)
    said = exchange("--lang", "zh", "adapter", "reconcile", "--config", config)

    assert (0, []) == (found.code, found.data["differences"])
    assert ("sqlite_desk", 2) == (found.data["platform"], found.data["tickets"])
    assert 0 == said.code
    assert "三方一致。" in said.out


def test_a_bridge_from_last_nights_backup_gets_back_what_it_lost(
    exchange: Shell, city: City
) -> None:
    """Each side sends its own again, says again what it wrote, and nothing is doubled."""
    lose(city)
    ours = told(city.hotline), told(city.police)
    city.begin_anew()
    before = {party: reconcile(exchange, city, party, "--send") for party in (HOTLINE, POLICE)}
    waiting = [runner.spool.status().waiting for runner in city.runners]
    city.dial()
    city.settle()
    exchange_once(*city.runners)
    after = {party: reconcile(exchange, city, party) for party in (HOTLINE, POLICE)}

    hotline, police = faults(before[HOTLINE]), faults(before[POLICE])
    assert {HOTLINE: 1, POLICE: 1} == {party: one.code for party, one in before.items()}
    assert (4, 2) == (hotline["bridge_lacks"], police["bridge_lacks"])
    assert [4, 2] == waiting
    assert hotline["author_must_send"] == police["bridge_lacks"]
    assert 2 == police["author_must_send"]  # the new ticket's opening and offer
    assert [(0, {}), (0, {})] == [(one.code, faults(one)) for one in after.values()]
    assert ours == (told(city.hotline), told(city.police))
    assert [] == city.findings()


def test_a_platform_from_last_nights_backup_gets_what_came_since(
    exchange: Shell, city: City
) -> None:
    """What was acknowledged and is gone comes again, once, in order; comparing alone changed nothing."""
    city.say(1)
    city.say(2)
    city.settle()
    path = city.link.folder / HOTLINE.organisation / "desk.db"
    kept = keep(path)
    resolve(city)
    city.settle()
    ours = told(city.hotline)
    reopened(city, HOTLINE, "desk.db", kept)
    looked = [reconcile(exchange, city, HOTLINE) for _ in range(2)]
    waits = city.runners[0].pull()
    sent = reconcile(exchange, city, HOTLINE, "--send")
    city.settle()
    after = reconcile(exchange, city, HOTLINE)

    assert [(1, {"lost_here": 4})] * 2 == [(one.code, faults(one)) for one in looked]
    assert 0 == waits
    assert (1, 2) == (sent.code, sent.data["sent"]["asked_for"])
    assert (0, {}) == (after.code, faults(after))
    assert [row[:3] for row in ours] == [row[:3] for row in told(city.hotline)]


def test_a_bridge_that_lost_more_than_the_spool_remembers_does_not_set_it_back(
    exchange: Shell, city: City
) -> None:
    """Where the message itself was pruned, the step is named, and the spool keeps what it knows."""
    lose(city)
    city.begin_anew()
    spool = city.runners[0].spool
    heads = spool.heads()
    with spool._transaction():
        spool._db.execute("DELETE FROM outgoing")
        spool._db.execute("DELETE FROM incoming")
    event = city.hotline.db.row("SELECT * FROM event WHERE kind = 'take'")
    with city.hotline.db.transaction():  # and the platform does not tell either
        city.hotline.db.run("DELETE FROM event WHERE kind IN ('take', 'progress')")
    found = reconcile(exchange, city, HOTLINE, "--send")

    assert event is not None
    behind = [
        one["handoff_id"] for one in found.data["differences"] if one["what"] == "bridge_behind"
    ]
    assert [event["handoff_id"]] == behind
    assert heads == city.runners[0].spool.heads()


def test_comparing_while_everything_runs_finds_only_what_is_crossing(
    exchange: Shell, city: City
) -> None:
    """Nothing that is on its way looks lost, whenever one looks; when it has come, all agree."""
    running = [threading.Thread(target=runner.run) for runner in city.runners]
    for one in running:
        one.start()
    seen: set[str] = set()
    try:
        for number in range(6):
            city.say(number)
            for runner in city.runners:
                runner.wake()
            seen |= faults(reconcile(exchange, city, (HOTLINE, POLICE)[number % 2])).keys()
            for row in city.police.db.rows("SELECT handoff_id FROM handoff WHERE state = 1"):
                city.police.say(Kind.TAKE, row["handoff_id"])
        pause, codes = threading.Event(), {1}
        for _ in range(300):
            codes = {reconcile(exchange, city, party).code for party in (HOTLINE, POLICE)}
            if codes == {0}:
                break
            pause.wait(0.1)
    finally:
        for runner in city.runners:
            runner.stop()
        for one in running:
            one.join(60)

    assert {0} == codes
    assert seen <= {"waiting", "not_fetched", "unacknowledged"}


class Moving(Tickets):
    """The bridge's reading calls; before the first trail is read, everything that waits crosses."""

    def __init__(self, city: City) -> None:
        self.__dict__.update(vars(city.runners[1].client.tickets))
        self.city = city

    def trail(self, ticket_id: str, *, page_size: int = 200) -> Iterator[TrailEntry]:
        """Let it cross, then read."""
        if any(runner.spool.status().waiting for runner in self.city.runners):
            self.city.settle()
        return super().trail(ticket_id, page_size=page_size)


def test_what_moves_between_the_list_and_its_trail_is_read_again(city: City) -> None:
    """A hand-off's state is never older than the messages that it is compared with."""
    city.say(1)
    city.settle()
    (row,) = city.police.db.rows("SELECT handoff_id FROM handoff")
    city.police.say(Kind.TAKE, row["handoff_id"])
    city.runners[1].collect()
    copy = read_copy(Moving(city), POLICE.organisation, None, ())

    assert [State.TAKEN] == [one.state for one in copy.handoffs.values()]
    assert [Kind.OPEN_TICKET, Kind.OFFER, Kind.TAKE] == [
        Kind(one.kind) for one in copy.messages.values()
    ]


def test_what_a_restored_platform_said_itself_is_named(exchange: Shell, city: City) -> None:
    """Nobody can give it back: a person is told which message, and where to read it."""
    city.say(1)
    city.settle()
    kept = keep(city.link.folder / POLICE.organisation / "desk.db")
    resolve(city)
    city.settle()
    reopened(city, POLICE, "desk.db", kept)
    found = reconcile(exchange, city, POLICE, "--send")

    assert {"forgotten": 2} == faults(found)
    assert {"take", "result"} == {one["kind"] for one in found.data["differences"]}
    assert "exchange ticket trail" in found.data["differences"][0]["do"]
    assert not found.data["differences"][0]["send_mends"]


@pytest.mark.parametrize("lost", [False, True])
def test_a_spool_from_last_nights_backup_learns_where_hand_offs_stand(
    exchange: Shell, city: City, lost: bool
) -> None:
    """Put back or lost whole: it names the right step to build on again, and nothing is doubled."""
    city.say(1)
    city.settle()
    kept = keep(city.link.folder / POLICE.organisation / "spool.db")
    city.say(2)
    city.settle()
    resolve(city)
    city.settle()
    heads, ours = city.runners[1].spool.heads(), told(city.police)
    reopened(city, POLICE, "spool.db", None if lost else kept)
    before = reconcile(exchange, city, POLICE, "--send")
    learnt = city.runners[1].spool.heads()
    city.settle()
    after = reconcile(exchange, city, POLICE)

    assert {"spool_behind": 2} == faults(before)
    assert heads == learnt
    assert (0, {}) == (after.code, faults(after))
    assert ours == told(city.police)


def test_what_waits_or_was_not_acknowledged_is_told_apart(exchange: Shell, city: City) -> None:
    """Said and not sent; stored and not written; written and not acknowledged: each by its name."""
    hotline, police = city.runners
    city.say(1)
    hotline.collect()
    unsent = faults(reconcile(exchange, city, HOTLINE))
    hotline.push()
    stored = reconcile(exchange, city, POLICE)
    for item in police.client.pull():
        police._hand_over(item)
    written = reconcile(exchange, city, POLICE)
    police.acknowledge()
    city.settle()

    assert {"waiting": 2} == unsent
    assert {"not_fetched": 2} == faults(stored)
    assert {"unacknowledged": 2} == faults(written)
    assert 0 == reconcile(exchange, city, POLICE).code
    assert 0 == reconcile(exchange, city, HOTLINE).code


def test_what_no_spool_has_yet_is_said_once(exchange: Shell, city: City) -> None:
    """A step that the platform has taken and still offers waits; its state is no second difference."""
    city.say(1)
    city.settle()
    row = city.police.db.rows("SELECT handoff_id FROM handoff")[0]
    city.police.say(Kind.TAKE, row["handoff_id"])
    found = faults(reconcile(exchange, city, POLICE))

    assert {"waiting": 1} == found


def test_tables_from_last_nights_backup_get_what_came_since(
    exchange: Shell, city: City, tmp_path: Path
) -> None:
    """The rows come again with their markers, once; the database is looked at through its URL."""
    paths = {party: tmp_path / f"{party.organisation}.db" for party in (HOTLINE, POLICE)}
    hotline = tables(city.link, HOTLINE, f"sqlite:///{paths[HOTLINE]}")
    police = tables(city.link, POLICE, f"sqlite:///{paths[POLICE]}")
    kept = keep(paths[POLICE])
    insert(hotline, "T_GD", WORK_ORDER)
    until_quiet(hotline, police)
    came = police.row("SELECT BT, BJNR, LYDH FROM JJD")
    url = ("--database", f"sqlite:///{paths[POLICE]}")
    agreed = reconcile(exchange, city, POLICE, *url)
    police.database.close()
    put_back(paths[POLICE], kept)
    sent = reconcile(exchange, city, POLICE, *url, "--send")
    until_quiet(hotline, police)
    after = reconcile(exchange, city, POLICE, *url)

    assert (0, "table") == (agreed.code, agreed.data["platform"])
    assert {"lost_here": 2} == faults(sent)
    assert (0, {}) == (after.code, faults(after))
    assert [came] == police.rows("SELECT BT, BJNR, LYDH FROM JJD")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--since", "yesterday"), "time zone"),
        (("--database", "sqlite:///nowhere.db"), "nowhere.db"),
        (("--database", "no-url"), "URL"),
        (("--folder", "nowhere"), "nowhere"),
    ],
)
def test_what_cannot_be_compared_is_said_why(
    exchange: Shell, city: City, words: tuple[str, ...], said: str
) -> None:
    """Exit 2, which no difference gives; a misspelt database is not made."""
    answer = reconcile(exchange, city, POLICE, *words)

    assert (2, True) == (answer.code, said in answer.data["failure"])
    assert not Path("nowhere.db").exists()


def test_a_bridge_that_is_away_and_its_own_configuration(exchange: Shell, city: City) -> None:
    """Neither can be compared with."""
    own = exchange("adapter", "reconcile", "--config", city.folder / "exchange.toml")
    city.bridge.stop()
    away = reconcile(exchange, city, POLICE)

    assert (2, 2) == (own.code, away.code)
    assert "gateway's" in own.err
    assert f"127.0.0.1:{city.bridge.port}" in away.data["failure"]


def test_since_leaves_out_what_ended_before(exchange: Shell, city: City) -> None:
    """What is open stays in; what was closed before the moment is not asked for."""
    city.say(1)
    alone = city.hotline.open_ticket("未移交", "示例内容。", matter="NM.P.01.02")
    city.hotline.close_ticket(alone.ticket_id, "自行办结。")
    city.settle()
    found = [
        reconcile(exchange, city, HOTLINE, "--since", moment).data["tickets"]
        for moment in ("2020-01-01T00:00:00+08:00", "2100-01-01T00:00:00+08:00")
    ]

    assert [2, 1] == found


def test_what_was_crossing_between_two_readings_is_no_difference() -> None:
    """Only what both readings have is believed, as the second has it."""
    one, two = Difference(fault=Fault.LOST_HERE, message_id="a"), Difference(fault=Fault.WAITING)

    assert [one] == lasting([one, two], [one])
    assert [] == lasting([], [one])


def test_every_fault_says_what_to_do() -> None:
    """In both languages; what --send mends says so."""
    assert set(Fault) == set(FAULTS)
    assert MENDED == {fault for fault, (_, do) in FAULTS.items() if "--send" in do.en} - {
        Fault.AUTHOR_MUST_SEND
    }
