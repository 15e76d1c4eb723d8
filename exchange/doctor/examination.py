"""Which probes are run, in which order: what is needed first is looked at first."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from certs.token import SUFFIX
from exchange.doctor import files, network, sealing, storage, surroundings, trusting
from exchange.doctor.findings import Finding, Status, failed, fine, run, wrong
from exchange.errors import ExchangeError, VerificationError
from exchange.note import LogKey
from exchange.text import Text

if TYPE_CHECKING:
    from exchange.client import ExchangeClient, GatewayFiles
    from exchange.config import Settings


_LOG = Text(en="What the bridge shows of its log does not hold", zh="网桥所示日志证明不成立")
_LOG_KEY = Text(
    en="Get the log's verifier key from the bridge's operator, out of band, and name its file in 'log_verifiers'",
    zh="请通过其他渠道向网桥运营方索取日志验证公钥，并在 log_verifiers 中指定该文件",
)


def examine_surroundings() -> Iterator[Finding]:
    """Look at the program itself."""
    yield from run("python", surroundings.versions)
    yield from run("packages", surroundings.packages)


def examine_gateway(gateway: GatewayFiles, now: datetime) -> Iterator[Finding]:
    """Look at everything a gateway needs, up to a real call; findings come as they are made."""
    yield from examine_surroundings()
    yield from run("adapter", surroundings.adapters, limit=surroundings.LOADING)
    held = gateway.gateway_key.suffix == SUFFIX
    own = (gateway.signer_key,) if held else (gateway.gateway_key, gateway.signer_key)
    yield from run("key", partial(files.private_keys, own))
    if held:
        yield from run("pair", partial(files.token, gateway), limit=surroundings.LOADING)
    for name, key, chain in (
        ("gateway", gateway.gateway_key, gateway.gateway_chain),
        ("signer", gateway.signer_key, gateway.signer_chain),
    ):
        if key.suffix != SUFFIX:
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
    yield from run("sealing", partial(sealing.own_keys, gateway, now))
    credentials = network.Credentials(
        chain=gateway.gateway_chain, key=gateway.gateway_key, roots=gateway.bridge_roots
    )
    # Python's own TLS cannot let a token sign: then the call alone shows how the bridge takes us.
    reached = [] if held else run("port", partial(network.reach, gateway.target, credentials, now))
    yield from reached
    if all(finding.status is Status.OK for finding in reached):
        yield from run("call", partial(_call, gateway, now))


def _call(gateway: GatewayFiles, now: datetime) -> Iterator[Finding]:
    """Ask the bridge for one ticket: only a real call shows whether we are registered there."""
    # Late: a library of the wrong version must not keep the doctor from saying so.
    from exchange.client import ExchangeClient, Patience  # noqa: PLC0415

    began = datetime.now(UTC)
    patience = Patience(
        deadline=timedelta(seconds=network.STEP),
        attempts=1,
        clock=lambda: now + (datetime.now(UTC) - began),
    )
    what = Text(en="A call to the bridge", zh="调用网桥")
    try:
        with ExchangeClient.dial(gateway, patience=patience) as client:
            newest = next(client.tickets.list(page_size=1), None)
            told = client.time()
            yield fine("call", "The bridge answers our calls", "网桥应答正常")
            if told is not None:
                yield network.clocks(told.ahead)
            if newest is not None:
                yield from _proved(client, newest.ticket_id)
    except ExchangeError as error:
        yield failed("call", what, error)


def _proved(client: ExchangeClient, ticket_id: str) -> Iterator[Finding]:
    """Look whether the log that the bridge writes is one whose key this gateway trusts."""
    page = next(client.tickets.trail_pages(ticket_id, page_size=1))
    try:
        if not any(client.proves(entry) for entry in page.entries):
            return  # it was archived; what is said next will show it
    except VerificationError as error:
        yield wrong("log", _LOG, error.text, _LOG_KEY)
    else:
        yield fine("log", "The bridge's log is one that we trust", "网桥日志可用本机信任的公钥验证")


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
    yield from run("revocation", partial(trusting.readable, settings, now))

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
    stored = run(
        "database",
        partial(storage.database, settings.database, verifier, ring=settings.at_rest.ring()),
    )
    yield from stored
    if all(finding.status is not Status.FAIL for finding in stored):
        yield from run("waiting", partial(_standing, settings, now))
    ours = network.Ours(
        certificate=settings.tls.certificate,
        served_by=partial(storage.served, settings.database),
    )
    yield from run("port", partial(network.listening, settings.listen, ours))
