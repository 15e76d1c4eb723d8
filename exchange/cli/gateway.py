"""
A gateway's configuration: what `push`, `pull` and `ticket` dial a bridge with.

One TOML file; its keys are the fields of `exchange.client.GatewayFiles`, its paths relative to its
folder::

    target = "bridge.example:5110"
    organisation = "11140400MB1X00010Y"
    bridge_roots = "bridge.example.pem"
    gateway_key = "gateway.key"
    gateway_chain = "gateway.pem"
    signer_key = "signer.key"
    signer_chain = "signer.pem"
    log_verifiers = ["log.vkey"]

    [trust]
    "hotline12345.example" = "hotline12345.example.pem"
    "police110.example" = "police110.example.pem"
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from exchange.cli.grammar import option
from exchange.errors import ConfigurationError, DataError
from exchange.text import Text

if TYPE_CHECKING:
    from exchange.client import ExchangeClient, GatewayFiles
    from exchange.reading import Table

_F = TypeVar("_F", bound=Callable[..., Any])

_UNKNOWN_KEY = Text(en="this key is not known; {en}", zh="未定义的键；{zh}")
_GATEWAY_KEYS = (
    "target", "organisation", "bridge_roots", "gateway_key", "gateway_chain", "signer_key",
    "signer_chain", "trust", "log_verifiers",
)  # fmt: skip

#: Read where no ``--config`` and no ``EXCHANGE_CONFIG`` names another.
USUAL = Path("exchange.toml")


def config_option(function: _F) -> _F:
    """Declare ``--config``."""
    return option(
        "--config", type=click.Path(path_type=Path), envvar="EXCHANGE_CONFIG", default=USUAL,
        show_default=True, metavar="FILE", en="Configuration file; else EXCHANGE_CONFIG.",
        zh="配置文件；默认取 EXCHANGE_CONFIG。",
    )(function)  # fmt: skip


def is_gateway(config: Path) -> bool:
    """Return whether *config* is a gateway's configuration, not a bridge's."""
    table = _table(config)
    return any(key in table for key in ("target", "gateway_key", "gateway_chain"))


def read_gateway(config: Path) -> GatewayFiles:
    """Return the gateway's files; raises `ConfigurationError` naming the key at fault."""
    from exchange.client import GatewayFiles
    from exchange.reading import nearest

    table, folder = _table(config), config.resolve().parent
    try:
        for key in table:
            if key not in _GATEWAY_KEYS:
                hint = nearest(key, _GATEWAY_KEYS)
                raise table.fault(key, _UNKNOWN_KEY.fill(en=hint.en, zh=hint.zh))
        trust = table.table("trust")
        return GatewayFiles(
            target=table.text("target"),
            organisation=table.text("organisation"),
            bridge_roots=folder / table.text("bridge_roots"),
            gateway_key=folder / table.text("gateway_key"),
            gateway_chain=folder / table.text("gateway_chain"),
            signer_key=folder / table.text("signer_key"),
            signer_chain=folder / table.text("signer_chain"),
            trust={network: folder / trust.text(network) for network in trust},
            log_verifiers=[folder / name for name in table.words("log_verifiers")],
        )
    except DataError as error:
        raise ConfigurationError(error.text, **error.facts) from error


def dial(config: Path) -> ExchangeClient:
    """Return a client for the gateway's configuration; nothing is sent yet."""
    from exchange.client import ExchangeClient

    return ExchangeClient.dial(read_gateway(config))


def _table(config: Path) -> Table:
    from exchange.reading import Table

    try:
        return Table.read(config)
    except DataError as error:
        raise ConfigurationError(error.text, **error.facts) from error
