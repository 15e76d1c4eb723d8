"""A message's trace id follows from its id; what a caller names is read as the standard says."""

from __future__ import annotations

import pytest

from exchange.tracing import read_traceparent, trace_of, traceparent

ID = "0af76519-16cd-43dd-8448-eb211c80319c"
TRACE = "0af7651916cd43dd8448eb211c80319c"


def test_a_message_s_trace_is_its_id() -> None:
    """Without the hyphens; there and back through the header."""
    assert trace_of(ID) == TRACE
    assert read_traceparent(traceparent(TRACE, bytes(range(1, 9)))) == TRACE
    assert traceparent(TRACE, bytes(range(1, 9)), sampled=True) == f"00-{TRACE}-0102030405060708-01"


@pytest.mark.parametrize("message_id", ["", "W-1", ID.upper(), ID + "0", "00000000" + ID[8:] + "\n",
                                        "00000000-0000-0000-0000-000000000000"])  # fmt: skip
def test_what_is_no_id_has_no_trace(message_id: str) -> None:
    """Nothing else may stand where a trace id is expected."""
    assert trace_of(message_id) == ""


@pytest.mark.parametrize(
    ("header", "trace"),
    [
        (f"00-{TRACE}-b7ad6b7169203331-01", TRACE),
        (f"cc-{TRACE}-b7ad6b7169203331-01-what-comes-later", TRACE),
        (f"00-{TRACE}-b7ad6b7169203331-01-more", ""),
        (f"ff-{TRACE}-b7ad6b7169203331-01", ""),
        (f"00-{'0' * 32}-b7ad6b7169203331-01", ""),
        (f"00-{TRACE}-{'0' * 16}-01", ""),
        (f"00-{TRACE.upper()}-b7ad6b7169203331-01", ""),
        (f"00-{TRACE}-b7ad6b7169203331", ""),
        ("张三", ""),
    ],
)
def test_a_traceparent_is_read_as_the_standard_says(header: str, trace: str) -> None:
    """W3C Trace Context, section 3.2: later versions may add, an invalid one is ignored."""
    assert read_traceparent(header) == trace
