"""The place that is measured: certificates, register and settings of one bridge and two desks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from certs.development import GOVERNMENT, LOG_NAME, POLICE
from exchange.client import ExchangeClient, GatewayFiles, Patience, Sealer
from exchange.envelope import SigningKey
from exchange.store import migrate
from tests.pki import CITY_110, CITY_12345, COUNTY_12345, Pki, make_pki

SENDER = CITY_12345
RECEIVER = CITY_110
#: A desk that has few tickets.
FEW = COUNTY_12345

_REGISTER = f"""\
[[organisation]]
code = "{SENDER.organisation}"
name_zh = "长治市 12345 热线（测试）"
name_en = "Changzhi 12345 hotline (test)"
region = "140400"
network = "{GOVERNMENT}"
service = "12345"

[[organisation]]
code = "{RECEIVER.organisation}"
name_zh = "长治市公安局 110（测试）"
name_en = "Changzhi 110 desk (test)"
region = "140400"
network = "{POLICE}"
service = "110"

[[organisation]]
code = "{FEW.organisation}"
name_zh = "县级 12345 热线（测试）"
name_en = "County 12345 hotline (test)"
region = "140400"
network = "{GOVERNMENT}"
service = "12345"
"""

# The limits are the bridge's usual ones, except where the rate of messages is what is measured.
_SETTINGS = """\
listen = "127.0.0.1:{port}"
database = "{database}"
origin = "{origin}"
log_key = "{log_key}"
register = "{register}"
journal = "warning"
keeper = "{keeper}"

[tls]
certificate = "{certificate}"
key = "{key}"

[networks]
{networks}

[limits]
messages_per_second = {messages_per_second}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Everything on disk in one folder."""

    folder: Path
    pki: Pki

    @classmethod
    def make(cls, folder: Path) -> Place:
        """Make certificates and a register in *folder*."""
        return cls.at(folder, make_pki(folder / "pki"))

    @classmethod
    def at(cls, folder: Path, pki: Pki) -> Place:
        """Make a register in *folder* for desks whose certificates are there."""
        place = cls(folder=folder, pki=pki)
        place.register.write_text(_REGISTER, encoding="utf-8")
        return place

    @property
    def register(self) -> Path:
        """The site register."""
        return self.folder / "register.toml"

    @property
    def log_key(self) -> Path:
        """The key of the bridge's log."""
        return self.pki.development.log_key

    def settings(
        self,
        name: str,
        database: str,
        port: int,
        *,
        keeper: str = "process",
        messages_per_second: int = 1_000_000,
    ) -> Path:
        """Write the settings of a bridge over *database*, whose tables are made; return the file."""
        migrate(database)
        development = self.pki.development
        path = self.folder / f"{name}.toml"
        path.write_text(
            _SETTINGS.format(
                port=port,
                database=database,
                keeper=keeper,
                messages_per_second=messages_per_second,
                origin=LOG_NAME,
                log_key=self.log_key,
                register=self.register,
                certificate=development.bridge.certificate,
                key=development.bridge.key,
                networks="\n".join(
                    f'"{network}" = "{path}"' for network, path in development.trust.items()
                ),
            ),
            encoding="utf-8",
        )
        return path

    def files(self, organisation: str, port: int) -> GatewayFiles:
        """Return what a desk's gateway dials, signs and checks with."""
        development = self.pki.development
        desk = development.desks[organisation]
        return GatewayFiles(
            target=f"127.0.0.1:{port}",
            organisation=organisation,
            bridge_roots=development.bridge_trust,
            gateway_key=desk.gateway.key,
            gateway_chain=desk.gateway.certificate,
            signer_key=desk.signer.key,
            signer_chain=desk.signer.certificate,
            trust=development.trust,
            log_verifiers=[development.log_verifier],
        )

    def sealer(self, organisation: str) -> Sealer:
        """Return what signs for a desk."""
        signer = self.pki.development.desks[organisation].signer
        return Sealer(organisation, SigningKey.load(signer.key, signer.certificate))

    def client(self, organisation: str, port: int, *, attempts: int = 1) -> ExchangeClient:
        """Return a desk's client; unless it has more *attempts*, a failed call is an error here."""
        patience = Patience(attempts=attempts)
        return ExchangeClient.dial(self.files(organisation, port), patience=patience)
