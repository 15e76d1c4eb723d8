"""Who is who: certificates, passwords, secrets that stand in no file, and what a mapping may not leave open."""

from __future__ import annotations

import dataclasses
import ssl
import urllib.error
from pathlib import Path

import pytest

from adapters.http.document import Proof
from adapters.http.judging import BUSY, LONGEST_BUSY, Answer, Verdict, judge, retry_after
from adapters.http.offering import _known
from adapters.http.parsing import read_http
from adapters.mapping.parsing import load
from exchange.errors import ConfigurationError, DataError
from tests.adapters.http.city import linked, mapping, offered, post
from tests.adapters.http.desk import Desk
from tests.adapters.linked import Link, exchange_once
from tests.pki import CITY_110, CITY_12345


def test_both_sides_show_certificates(link: Link, platform: Desk) -> None:
    """The desk asks for ours and is checked; who calls us without one gets no answer."""
    made = link.pki.development
    gateway = link.pki.gateway(CITY_110)
    context = ssl.create_default_context(
        ssl.Purpose.CLIENT_AUTH, cafile=str(made.trust[CITY_110.network])
    )
    context.load_cert_chain(str(made.bridge.certificate), str(made.bridge.key))
    context.verify_mode = ssl.CERT_REQUIRED
    platform.socket = context.wrap_socket(platform.socket, server_side=True)
    changes = {
        "http://127": "https://127",
        "timeout = 5": f'timeout = 5\nca = "{made.bridge_trust}"\ncertificate = "{gateway.certificate}"\n'
        f'key = "{gateway.key}"',
        "waiting = 20": f'waiting = 20\ncertificate = "{made.bridge.certificate}"\nkey = "{made.bridge.key}"\n'
        f'client_ca = "{made.trust[CITY_110.network]}"',
    }
    hotline, first = link.linked(CITY_12345)
    with linked(link, platform, changes) as police:
        offered(hotline, first)
        exchange_once(police.runner)
        assert 1 == len(platform.tickets)

        caller = ssl.create_default_context(cafile=str(made.bridge_trust))
        action = {"seq": 1, "ticket": "J0001", "what": "x", "at": ""}
        with pytest.raises((urllib.error.URLError, OSError)):
            post(police.platform.port, {"List": [action]}, tls=caller)
        caller.load_cert_chain(str(gateway.certificate), str(gateway.key))
        assert 200 == post(police.platform.port, {"List": [action]}, tls=caller)[0]


def test_a_desk_whose_certificate_nobody_vouches_for_is_told_nothing(
    link: Link, platform: Desk
) -> None:
    """No record leaves; the failure is noted."""
    made = link.pki.development
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(str(made.bridge.certificate), str(made.bridge.key))
    platform.socket = context.wrap_socket(platform.socket, server_side=True)
    hotline, first = link.linked(CITY_12345)
    with linked(link, platform, {"http://127": "https://127"}) as police:
        offered(hotline, first)
        police.runner.pull()
        assert "Certificate" in police.runner.spool.status().notes["platform_error"]
    assert [] == platform.requests


@dataclasses.dataclass
class _Request:
    headers: dict[str, str]


@pytest.mark.parametrize(
    ("given", "known"),
    [
        ("Basic ZGVzazpwdw==", True),
        ("Basic ZGVzazp3cm9uZw==", False),
        ("Bearer ", False),
        ("", False),
        ("Basic \u00e9", False),
    ],
)
def test_a_name_and_password_are_asked_for(given: str, known: bool) -> None:
    """Basic authentication, compared in constant time; an empty one is none."""
    proof = Proof(user="desk", password="pw")
    assert known is _known(_Request({"Authorization": given}), proof)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('token = "env:TEST_OUR_TOKEN"\nsignature = "env:TEST_OUR_SECRET"\n', "", "anybody could send"),
        ('token = "env:TEST_OUR_TOKEN"\nsignature', 'files = "http://adapter.example:1/files"\nsignature', "who gets a file sends nothing"),
        ('token = "env:TEST_DESK_TOKEN"', 'token = "abc"', "env:NAME or file:PATH"),
        ('token = "env:TEST_DESK_TOKEN"', 'token = "env:TEST_NOT_SET"', "nothing is found at"),
        ('token = "env:TEST_DESK_TOKEN"', 'token = "file:nowhere"', "nothing is found at"),
        ('base = "', 'base = "ftp:', "must be a URL"),
        ("timeout = 5", "timeout = 0", "must be a number"),
        ("timeout = 5", "time_out = 5", "not known"),
        ('path = "/tickets/{key}"', 'path = "tickets/{key}"', "begins with '/'"),
        ('path = "/tickets/{key}"', 'path = "/tickets/{id}"', "may hold"),
        ('sheet = "jjd"\nwrite = "update"\npath', 'sheet = "action"\nwrite = "update"\npath', "no [[http.call]]"),
        ('cursor = "Data.Next"\n', "", "say where the next one stands"),
        ('number = "Data.BillNo"\nid_field', 'number = "Data..BillNo"\nid_field', "no place in a record"),
        ('success = { ResultCode = 1 }', 'success = "answer.ResultCode ="', "CEL"),
        ('address = "127.0.0.1:0"', 'address = "8080"', "HOST:PORT"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_section_is_named(
    link: Link, platform: Desk, old: str, new: str, said: str
) -> None:
    """File, key and what to write instead."""
    path: Path = mapping(link, platform, {old: new})
    with pytest.raises((DataError, ConfigurationError)) as wrong:
        read_http(load(path))
    assert said in str(wrong.value)
    assert "http" in str(wrong.value)


def test_what_an_answer_means_may_be_an_expression(link: Link, platform: Desk) -> None:
    """CEL over the answer and its status, where a table is not enough; what it cannot tell is no success."""
    text = 'success = "answer.code in [0, 200] && status == 200"'
    http = read_http(load(mapping(link, platform, {"success = { ResultCode = 1 }": text})))
    meaning = http.polls[0].meaning
    assert Verdict.DONE is judge(Answer(status=200, body=b'{"code": 200}'), meaning)[0]
    for body in (b'{"code": 500}', b"{}", b"[]", b"", b'{"code": NaN}', b"[" * 100_000):
        assert Verdict.AGAIN is judge(Answer(status=200, body=body), meaning)[0]


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ("7", 7.0), ("0", 0.0), ("999999999", LONGEST_BUSY), ("", BUSY), ("soon", BUSY), ("-5", BUSY),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("Wed, 21 Oct 2415 07:28:00 GMT", LONGEST_BUSY),
    ],
)  # fmt: skip
def test_how_long_a_busy_platform_is_left_alone_is_bounded(given: str, seconds: float) -> None:
    """Seconds or a date; nonsense is the usual pause, and no answer silences us for longer than an hour."""
    assert seconds == retry_after(given)
