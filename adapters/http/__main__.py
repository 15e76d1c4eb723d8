"""``python -m adapters.http run FOLDER --config … --mapping …``: a JSON interface as a platform."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from adapters.http.parsing import read_http
from adapters.staging.process import Making, serve
from exchange.errors import ConfigurationError
from exchange.text import Text

if TYPE_CHECKING:
    from adapters.http.platform import HttpPlatform


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the adapter, show what is put aside, or have it tried again; return the exit status."""
    return serve("http", _DESCRIPTION, _made, arguments)


def _made(making: Making) -> HttpPlatform:
    try:
        from adapters.http.platform import HttpPlatform  # noqa: PLC0415  # an extra brings it
    except ModuleNotFoundError as missing:
        raise ConfigurationError(_EXTRA.fill(name=missing.name or "aiohttp")) from missing
    http = read_http(making.document)
    return HttpPlatform(http, making.records, making.organisation, remind=making.remind)


_EXTRA = Text(
    en="The HTTP adapter needs the package {name}, which comes with the extra: "
    "pip install 'hotline-exchange[http]'",
    zh="HTTP 适配器需要软件包 {name}，请安装附加组件：pip install 'hotline-exchange[http]'",
)
_DESCRIPTION = Text(
    en="A platform's JSON interface, linked by a mapping file.",
    zh="以映射文件对接平台的 JSON 接口。",
)

if __name__ == "__main__":
    sys.exit(main())
