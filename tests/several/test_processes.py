"""Real bridge processes on one database: they, or a node of it, are killed under load, and none is missed."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from exchange._proto.v1 import exchange_service_pb2 as pb
from tests.attack.evidence import column
from tests.galera import Cluster
from tests.pki import CITY_110, CITY_12345, Pki
from tests.server.running import calling, matter
from tests.several.conftest import ON_GALERA
from tests.several.province import FREE_SECONDS, Province, ProvinceTown

PUSHERS = 3
pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def province(pki: Pki, tmp_path: Path, own_url: str) -> Iterator[Province]:
    """Give three bridges, not started."""
    made = Province(pki, tmp_path, own_url)
    yield made
    made.close()


def at_work(town: ProvinceTown) -> list[threading.Thread]:
    """Let desks push and write, until the town is closed."""
    desks = [threading.Thread(target=town.push_on, daemon=True) for _ in range(PUSHERS)]
    desks += [threading.Thread(target=town.write_on, daemon=True) for _ in range(2)]
    for desk in desks:
        desk.start()
    return desks


def crosses(province: Province) -> set[str]:
    """Push here what is pulled there, its written receipt coming by a third bridge; return the ids."""
    ports = [bridge.port for bridge in province.bridges]
    found: list[pb.Delivery] = []
    with (
        calling(province.pki, ports[0], CITY_12345) as hotline,
        calling(province.pki, ports[1], CITY_110) as police,
    ):
        waiting = threading.Thread(target=lambda: found.extend(police.pull(wait=30)))
        waiting.start()
        sealed = hotline.sealer.seal(matter())
        hotline.push(sealed)
        waiting.join(60)
        assert [one.envelope for one in sealed] == [one.envelope for one in found]
        with calling(province.pki, ports[2], CITY_110) as elsewhere:
            elsewhere.acknowledge(
                *(
                    elsewhere.written(delivery, one.message_id)
                    for delivery, one in zip(found, sealed, strict=True)
                )
            )
        told = hotline.pull(wait=30)
        assert all(one.receipt.HasField("written") for one in told)
        hotline.acknowledge(*(pb.Acknowledgement(receipt_position=one.position) for one in told))
    return {one.message_id for one in sealed}


@pytest.mark.slow
def test_bridges_that_are_killed_lose_and_double_nothing(province: Province) -> None:
    """Each is killed in turn while the others serve; receipts and books agree, on every bridge."""
    province.begin()
    crossed = crosses(province)
    town = ProvinceTown(province)
    desks = at_work(town)
    for bridge in province.bridges:
        town.wait_for_answers(60)
        town.kill(bridge)
        town.wait_for_answers(60)  # the others go on
        town.back(bridge)
    end(town, desks)
    hold_against(province, town, crossed)


@pytest.mark.parametrize("own_url", [ON_GALERA], indirect=True)
@pytest.mark.parametrize("frozen", [False, True])
def test_a_node_that_is_lost_loses_and_doubles_nothing(
    province: Province, cluster: Cluster, frozen: bool
) -> None:
    """Its bridge goes on at another node, as the others go on; it comes back, and has what they have."""
    province.begin()
    crossed = crosses(province)
    town = ProvinceTown(province)
    desks = at_work(town)
    town.wait_for_answers(60)
    node = cluster.nodes[1]
    if frozen:
        node.freeze()
    else:
        node.kill()
    town.wait_for_answers(120)
    if frozen:
        node.thaw()
    else:
        cluster.restart(1)
    town.wait_for_answers(60)
    end(town, desks)
    cluster.settle()
    hold_against(province, town, crossed)


def end(town: ProvinceTown, desks: list[threading.Thread]) -> None:
    """Let the desks finish what they are at."""
    town.wait_for_answers(20)
    town.close()
    for desk in desks:
        desk.join(60)
    assert not town.broken


def hold_against(province: Province, town: ProvinceTown, crossed: set[str]) -> None:
    """Compare what the desks were told with what is stored, and is said again by each bridge."""
    pushed = set(town.receipts)
    with town.desk([0], "110") as police:  # what a killed bridge handed out comes again
        while delivered := police.pull(wait=FREE_SECONDS):
            town._write(police, delivered)

    assert town.written == pushed
    stored = sorted(pushed | crossed)
    assert stored == sorted(map(str, column(province.url, "message", "id")))
    assert stored == sorted(map(str, column(province.url, "receipt", "message_id")))
    names = list(town.sealed)
    for bridge in province.bridges:  # whichever is asked, the receipt is the first one's
        with calling(town.pki, bridge.port, CITY_12345) as hotline:
            for at in range(0, len(names), 128):
                some = names[at : at + 128]
                again = hotline.push([town.sealed[name] for name in some])
                found = [one.SerializeToString(deterministic=True) for one in again]
                assert [town.receipts[name] for name in some] == found
    told = 0
    with calling(town.pki, province.bridges[1].port, CITY_12345) as hotline:
        while delivered := hotline.pull(max_deliveries=512, wait=FREE_SECONDS):
            told += len(delivered)
            noted = (pb.Acknowledgement(receipt_position=one.position) for one in delivered)
            hotline.acknowledge(*noted)
    assert len(pushed) == told
    options = [word for file in province.verifiers for word in ("--log", str(file))]
    code, said = province.bridges[0].run("log", "verify", "--json", *options)
    verified = json.loads(said)
    assert (0, True, []) == (code, verified["holds"], verified["findings"])
    logs = verified["shared_by"]
    assert not any(one["key_from_database"] for one in logs)
    assert all(one["size"] for one in logs)
    # Each bridge also says by which rules it reckons.
    assert 2 * len(stored) + len(logs) == sum(one["size"] for one in logs)


def test_joining_says_what_it_did_and_what_comes_next(province: Province) -> None:
    """In both languages: to wait for the lone bridge, the new log and key, and that it was done before."""
    first, second = province.bridges[:2]
    first.start()
    code, said = second.run("log", "join")
    assert (1, True) == (code, f"served by PID {first.pid}" in said or "served by PID" in said)
    first.close()
    code, said = second.run("log", "join", EXCHANGE_LANG="zh")
    assert 0 == code
    assert "已加入数据库" in said
    assert province.verifiers[1].read_text("utf-8").strip() in said
    code, said = second.run("log", "join", "--json")

    assert (0, False) == (code, json.loads(said)["joined"])
    code, said = second.run("log", "verify")
    assert 0 == code
    assert "2 logs" in said
    assert "--log FILE.vkey" in said
