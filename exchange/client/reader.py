"""Who does nothing but read: a client that needs no signer key, for a machine that shall have none."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc

from exchange.client.calls import Calls, Patience
from exchange.client.channel import dial
from exchange.client.directory import Directory
from exchange.client.files import GatewayFiles, require_fitting, require_own
from exchange.client.renewing import RenewingChannel
from exchange.client.tickets import Tickets


class Reader:
    """One organisation's reading calls: `tickets` and `directory`, nothing that says or takes anything."""

    def __init__(
        self,
        channel: grpc.Channel,
        *,
        target: str = "bridge",
        file: Path | None = None,
        patience: Patience | None = None,
    ) -> None:
        """Take a channel; *target* and *file*, the configuration, are what sentences about a lost link name."""
        self._channel = channel
        call = Calls(target, patience or Patience(), file)
        self.tickets = Tickets(channel, call)
        self.directory = Directory(channel, call)

    @classmethod
    def dial(cls, files: GatewayFiles, patience: Patience | None = None) -> Self:
        """
        Return a reader from files; the signer's are not opened, and nothing is sent yet.

        Raises `ConfigurationError` naming the file that cannot be used, or that is another's.
        """
        require_own(files, signs=False)
        channel = RenewingChannel(
            partial(dial, files, signs=False),
            (files.gateway_key, files.gateway_chain, files.bridge_roots),
            partial(require_fitting, files.gateway_key, files.gateway_chain, files.gateway_pin),
        )
        return cls(channel, target=files.target, file=files.file, patience=patience)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up; calls under way fail as `BridgeUnavailable`."""
        self._channel.close()
