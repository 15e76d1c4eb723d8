"""A probe of a gateway's sealing keys: whether there is one, and whether others may seal to it for a while."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from certs.screen import shown_time
from exchange.doctor.findings import Finding, Status, failed, fine, wrong
from exchange.errors import ExchangeError
from exchange.text import Text

if TYPE_CHECKING:
    from exchange.client.files import GatewayFiles

#: A key that ends within this time is to have a successor now: its file has to travel.
SOON = timedelta(days=30)

_WHAT = Text(en="Sealing keys", zh="封装密钥")
_MAKE = Text(
    en="Make one, and give its .sealing file to the bridge's operator: exchange sealing make",
    zh="请生成并将其 .sealing 文件交给网桥运营方：exchange sealing make",
)


def own_keys(gateway: GatewayFiles, now: datetime) -> Iterator[Finding]:
    """Look at the folder that ``[sealing]`` names; nothing is said where there is no such table."""
    from exchange.client.keys import OwnKeys  # noqa: PLC0415 - a wrong library must not silence the doctor

    if gateway.sealing is None:
        return
    try:
        keys = OwnKeys(gateway.organisation, gateway.sealing.keys)
        current = keys.current(now)
        ends = max((said.ends for said in keys.statements()), default=None)
    except ExchangeError as error:
        yield failed("sealing", _WHAT, error)
        return
    if current is None or ends is None:
        none = Text(en="There is no sealing key of our own", zh="没有本机构的封装密钥")
        why = Text(
            en=f"{keys.folder} holds no pair of .key and .sealing.",
            zh=f"{keys.folder} 中没有成对的 .key 与 .sealing 文件。",
        )
        yield wrong("sealing", none, why, _MAKE)
        return
    if ends < now + SOON:
        late = Text(
            en=f"Nobody seals to us from {shown_time(ends)} on",
            zh=f"{shown_time(ends)} 起无法向本机构封装",
        )
        why = Text(en="The newest sealing key ends then.", zh="最新的封装密钥届时到期。")
        yield wrong("sealing", late, why, _MAKE, Status.WARN)
        return
    until = shown_time(ends)
    yield fine("sealing", f"Others may seal to us until {until}", f"他方可向本机构封装至 {until}")
