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

if TYPE_CHECKING:
    from exchange.client import ExchangeClient, GatewayFiles

_F = TypeVar("_F", bound=Callable[..., Any])

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
    from exchange.config import NO_CONFIGURATION
    from exchange.reading import Table

    try:
        table = Table.read(config)
    except DataError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            text = NO_CONFIGURATION.fill(file=config)
            raise ConfigurationError(text, file=str(config)) from error
        raise ConfigurationError(error.text, **error.facts) from error
    return any(key in table for key in ("target", "gateway_key", "gateway_chain"))


def read_gateway(config: Path) -> GatewayFiles:
    """Return the gateway's files; raises `ConfigurationError` naming the key at fault."""
    from exchange.client import read_gateway as read

    return read(config)


def dial(config: Path) -> ExchangeClient:
    """Return a client for the gateway's configuration; nothing is sent yet."""
    from exchange.client import ExchangeClient

    return ExchangeClient.dial(read_gateway(config))
