"""A call that waits is moved by who waits for it: one answer, none, two, a failure, and broken off."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import grpc
import pytest

from exchange.client import Patience
from exchange.client.calls import Calls
from exchange.client.waiting import OPTION, Waiting, WaitingChannel
from exchange.errors import BridgeUnavailable


class Answering(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic in the stubs only
    """Answers ``/one``, ``/none``, ``/two`` as they are called, ``/never`` once it is let go."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.let_go = threading.Event()
        self.calls = 0

    def service(self, handler_call_details: Any) -> Any:
        """Return the handler of whatever is called."""
        return grpc.unary_stream_rpc_method_handler(
            getattr(self, handler_call_details.method.removeprefix("/"))
        )

    def one(self, request: bytes, context: Any) -> Iterator[bytes]:
        """Answer with the request."""
        context.set_trailing_metadata((("said", "behind"),))
        yield request

    def none(self, _request: bytes, _context: Any) -> Iterator[bytes]:
        """End well and say nothing."""
        self.calls += 1
        yield from ()

    def two(self, request: bytes, _context: Any) -> Iterator[bytes]:
        """Answer twice."""
        yield request
        yield request

    def never(self, request: bytes, _context: Any) -> Iterator[bytes]:
        """Answer when nobody waits any more."""
        self.asked.set()
        self.let_go.wait(60)
        yield request

    def failing(self, _request: bytes, context: Any) -> Iterator[bytes]:
        """Fail."""
        context.abort(grpc.StatusCode.NOT_FOUND, "not here")
        yield b""


@pytest.fixture
def answering() -> Iterator[tuple[WaitingChannel, Answering]]:
    """Serve on loopback; yield a channel to it."""
    handler = Answering()
    server = grpc.server(ThreadPoolExecutor(2), options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with WaitingChannel(
            grpc.insecure_channel(f"127.0.0.1:{port}", options=[OPTION])
        ) as channel:
            yield channel, handler
    finally:
        handler.let_go.set()
        server.stop(None).wait()


def test_the_answer_and_what_stands_behind_it(
    answering: tuple[WaitingChannel, Answering],
) -> None:
    """One answer is returned, its trailing metadata can be read, and who asked for it is told of the end."""
    channel, _ = answering
    ended: list[Waiting] = []

    call = channel.unary_unary("/one").future(b"ask", timeout=30)
    call.add_done_callback(ended.append)

    assert b"ask" == call.result()
    assert [call] == ended
    assert ("said", "behind") in [tuple(one) for one in call.trailing_metadata()]
    assert (False, None) == (call.cancelled(), call.exception())


def test_who_waits_takes_the_answer_off_the_wire(
    answering: tuple[WaitingChannel, Answering],
) -> None:
    """No other thread has to wake the one that waits."""
    channel, _ = answering
    threads = []

    def read(raw: bytes) -> bytes:
        threads.append(threading.get_ident())
        return raw

    channel.unary_unary("/one", response_deserializer=read).future(b"ask", timeout=30).result()

    assert [threading.get_ident()] == threads


@pytest.mark.parametrize("method", ["/none", "/two"])
def test_not_just_one_answer_is_no_answer(
    answering: tuple[WaitingChannel, Answering], method: str
) -> None:
    """A call that ends well without an answer, or with a second one, has given none."""
    channel, _ = answering

    assert channel.unary_unary(method).future(b"ask", timeout=30).result() is None


@pytest.mark.parametrize("longer", [timedelta(0), timedelta(seconds=1)])
def test_a_call_without_an_answer_is_said_to_be_none(
    answering: tuple[WaitingChannel, Answering], longer: timedelta
) -> None:
    """It is tried again, then it is the bridge that is not available; waiting or not."""
    channel, handler = answering
    call = Calls("a:1", Patience(attempts=3, sleep=lambda _: None))

    with pytest.raises(BridgeUnavailable, match="without one answer"):
        call(channel.unary_unary("/none"), b"ask", longer=longer)

    assert 3 == handler.calls


def test_a_failure_is_grpc_s_own(answering: tuple[WaitingChannel, Answering]) -> None:
    """What the server says of a call that fails is raised, and kept for who asks later."""
    channel, _ = answering
    call = channel.unary_unary("/failing").future(b"ask", timeout=30)

    with pytest.raises(grpc.RpcError) as failed:
        call.result()

    assert (grpc.StatusCode.NOT_FOUND, "not here") == (failed.value.code(), failed.value.details())
    assert (failed.value, False) == (call.exception(), call.cancelled())


def test_another_thread_breaks_a_wait_off(answering: tuple[WaitingChannel, Answering]) -> None:
    """Who waits is told at once, whether it waited before or begins after."""
    channel, handler = answering
    ended: list[Waiting] = []

    with ThreadPoolExecutor(1) as threads:
        call = channel.unary_unary("/never").future(b"ask", timeout=300)
        call.add_done_callback(ended.append)
        waiting = threads.submit(call.result)
        assert handler.asked.wait(30)
        call.cancel()
        with pytest.raises(grpc.FutureCancelledError):
            waiting.result(timeout=30)

    late = channel.unary_unary("/never").future(b"ask", timeout=300)
    late.add_done_callback(ended.append)
    late.cancel()
    with pytest.raises(grpc.FutureCancelledError):
        late.result()
    assert [call, late] == ended
    assert call.cancelled()
    assert late.cancelled()
