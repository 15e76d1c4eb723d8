"""Which probes are run, in which order: what is needed first is looked at first."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from exchange.doctor import files, network, storage, surroundings
from exchange.doctor.findings import Finding, Status, failed, fine, run
from exchange.errors import ExchangeError
from exchange.note import LogKey
from exchange.text import Text

if TYPE_CHECKING:
    from exchange.client import GatewayFiles
    from exchange.config import Settings


def examine_surroundings() -> Iterator[Finding]:
    """Look at the program itself."""
    yield from run("python", surroundings.versions)
    yield from run("packages", surroundings.packages)


def examine_gateway(gateway: GatewayFiles, now: datetime) -> Iterator[Finding]:
    """Look at everything a gateway needs, up to a real call; findings come as they are made."""
    yield from examine_surroundings()
    yield from run("key", partial(files.private_keys, (gateway.gateway_key, gateway.signer_key)))
    for name, key, chain in (
        ("gateway", gateway.gateway_key, gateway.gateway_chain),
        ("signer", gateway.signer_key, gateway.signer_chain),
    ):
        yield from run("pair", partial(files.pair, name, key, chain))
    dated = {
        Text(en="The gateway's certificate", zh="网关证书"): gateway.gateway_chain,
        Text(en="The signer's certificate", zh="签名证书"): gateway.signer_chain,
        Text(en="The bridge's root", zh="网桥根证书"): gateway.bridge_roots,
    }
    yield from run("certificate", partial(files.validity, dated, now))
    yield from run("trust", partial(files.trusted, gateway.trust))
    for chain, signer in ((gateway.gateway_chain, False), (gateway.signer_chain, True)):
        look = partial(
            files.identity, chain, gateway.trust, gateway.organisation, now, signer=signer
        )
        yield from run("signer" if signer else "gateway", look)
    credentials = network.Credentials(
        chain=gateway.gateway_chain, key=gateway.gateway_key, roots=gateway.bridge_roots
    )
    reached = run("port", partial(network.reach, gateway.target, credentials, now))
    yield from reached
    if all(finding.status is Status.OK for finding in reached):
        yield from run("call", partial(_call, gateway))


def _call(gateway: GatewayFiles) -> Iterator[Finding]:
    """Ask the bridge for one ticket: only a real call shows whether we are registered there."""
    # Late: a library of the wrong version must not keep the doctor from saying so.
    from exchange.client import ExchangeClient, Patience  # noqa: PLC0415

    patience = Patience(deadline=timedelta(seconds=network.STEP), attempts=1)
    what = Text(en="A call to the bridge", zh="调用网桥")
    try:
        with ExchangeClient.dial(gateway, patience=patience) as client:
            next(client.tickets.list(page_size=1), None)
    except ExchangeError as error:
        yield failed("call", what, error)
    else:
        yield fine("call", "The bridge answers our calls", "网桥应答正常")


def _standing(settings: Settings, now: datetime) -> Iterator[Finding]:
    from exchange.doctor import standing  # noqa: PLC0415 - as in `_call`

    yield from standing.examine(settings, now)


def examine_bridge(settings: Settings, now: datetime) -> Iterator[Finding]:
    """Look at everything a bridge needs, up to its database and its port."""
    from exchange.server.known import open_directory  # noqa: PLC0415 - as in `_call`

    yield from examine_surroundings()
    yield from run("key", partial(files.private_keys, (settings.tls.key, settings.log_key)))
    yield from run(
        "pair", partial(files.pair, "bridge", settings.tls.key, settings.tls.certificate)
    )
    dated = {Text(en="The bridge's certificate", zh="网桥证书"): settings.tls.certificate}
    for name, path in settings.networks.items():
        dated[Text(en=f"The root of {name}", zh=f"{name} 根证书")] = path
    yield from run("certificate", partial(files.validity, dated, now))
    yield from run("trust", partial(files.trusted, settings.networks))

    def directory() -> Iterator[Finding]:
        what = Text(en="Register and profiles", zh="机构名录与方案")
        try:
            register = open_directory(settings, now).register
        except ExchangeError as error:
            yield failed("register", what, error)
        else:
            yield fine(
                "register",
                f"The register has {len(register)} organisations",
                f"机构名录共 {len(register)} 个机构",
            )

    yield from run("register", directory)
    try:
        verifier = LogKey.load(settings.log_key).verifier
    except ExchangeError as error:
        yield failed("log", Text(en="The log's key", zh="日志密钥"), error)
        verifier = None
    stored = run("database", partial(storage.database, settings.database, verifier))
    yield from stored
    if all(finding.status is not Status.FAIL for finding in stored):
        yield from run("waiting", partial(_standing, settings, now))
    ours = network.Ours(
        certificate=settings.tls.certificate,
        served_by=partial(storage.served, settings.database),
    )
    yield from run("port", partial(network.listening, settings.listen, ours))
