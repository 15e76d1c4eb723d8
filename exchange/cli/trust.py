"""Whom an offline check trusts: options that receipts and the log share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from exchange.cli.grammar import Misused, option
from exchange.text import Text

if TYPE_CHECKING:
    from exchange.note import NoteVerifier
    from exchange.proof import Trust

_F = TypeVar("_F", bound=Callable[..., Any])

_NO_TRUST = Text(
    en="Nobody is trusted: give each network's roots as --trust NETWORK=FILE.pem and the bridge's "
    "log verifier key as --log FILE.vkey, or --config FILE with both.",
    zh="尚未指定信任对象：请用 --trust 网络=文件.pem 给出各网络根证书、用 --log 文件.vkey 给出网桥日志"
    "验证公钥，或用 --config 给出含二者的配置。",
)
_NOT_A_PAIR = Text(
    en="--trust takes NETWORK=FILE.pem or a folder of NETWORK.pem files, not '{given}'.",
    zh="--trust 应为“网络=文件.pem”或含“网络.pem”文件的文件夹，而非“{given}”。",
)


def trust_options(function: _F) -> _F:
    """Declare ``--trust``, ``--log``, ``--register`` and ``--config``."""
    for declare in (
        option(
            "--config", type=click.Path(path_type=Path), envvar="EXCHANGE_CONFIG",
            en="A configuration that names roots and log keys.", zh="载有根证书与日志公钥的配置文件。",
        ),
        option(
            "--register", type=click.Path(path_type=Path),
            en="The site register: an organisation must sign from its own network.",
            zh="本地机构名录：机构须以其所属网络的证书签名。",
        ),
        option(
            "--log", "logs", multiple=True, type=click.Path(path_type=Path), metavar="FILE.vkey",
            en="A bridge's log verifier key; may be repeated.", zh="网桥日志验证公钥，可多次给出。",
        ),
        option(
            "--trust", "roots", multiple=True, metavar="NETWORK=FILE",
            en="A network's roots, or a folder of NETWORK.pem files; may be repeated.",
            zh="某网络的根证书，或含“网络.pem”文件的文件夹，可多次给出。",
        ),
    ):  # fmt: skip
        function = declare(function)
    return function


def read_trust(
    roots: tuple[str, ...], logs: tuple[Path, ...], register: Path | None, config: Path | None
) -> Trust:
    """Return whom to trust; raises `Misused` when nobody is, `ConfigurationError` for bad files."""
    from exchange.proof import Trust
    from exchange.trust import TrustStore

    files = root_files(roots)
    verifiers = [read_verifier(path) for path in logs]
    if config is not None and not (files and verifiers):
        configured, keys = _configured(config)
        files = files or configured
        verifiers = verifiers or keys
    if not (files and verifiers):
        raise Misused(_NO_TRUST, click.get_current_context(silent=True))
    return Trust(
        networks=TrustStore.load(files), logs=tuple(verifiers), registered=_registered(register)
    )


def root_files(roots: tuple[str, ...]) -> Mapping[str, Path]:
    """Return the files that ``--trust`` names, by network; raises `Misused`."""
    files: dict[str, Path] = {}
    for given in roots:
        network, equals, path = given.partition("=")
        if equals:
            files[network] = Path(path)
        elif Path(given).is_dir():
            # Beside a network's roots may stand its revocation lists, NETWORK.crl.pem.
            found = [
                one for one in sorted(Path(given).glob("*.pem")) if one.suffixes[-2:-1] != [".crl"]
            ]
            files |= {one.stem: one for one in found}
        else:
            raise Misused(_NOT_A_PAIR.fill(given=given), click.get_current_context(silent=True))
    return files


def read_verifier(path: Path) -> NoteVerifier:
    """Return the log verifier key in *path*; raises `ConfigurationError`."""
    from exchange.note import NoteVerifier

    return NoteVerifier.load(path)


def _configured(config: Path) -> tuple[Mapping[str, Path], list[NoteVerifier]]:
    """Return roots and log keys of a gateway's configuration, or of a bridge's."""
    from exchange.cli.gateway import is_gateway, read_gateway

    if is_gateway(config):
        files = read_gateway(config)
        return files.trust, [read_verifier(path) for path in files.log_verifiers]
    import os

    from exchange.config import load_settings
    from exchange.note import LogKey

    settings = load_settings(config, os.environ)
    further = [read_verifier(path) for path in settings.further_logs]
    return settings.networks, [LogKey.load(settings.log_key).verifier, *further]


def _registered(register: Path | None) -> Mapping[str, str] | None:
    if register is None:
        return None
    from datetime import UTC, datetime

    from exchange.organisations import load_register

    return {one.code: one.network for one in load_register(register, on=datetime.now(UTC).date())}
