"""
Who we are to the platform, and it to us.

No secret stands in a mapping file: where one is needed it says ``env:NAME`` or ``file:PATH`` (beside
the mapping).
"""

from __future__ import annotations

import os
import re
import ssl
from dataclasses import dataclass
from pathlib import Path

from adapters.http.document import Proof
from exchange.errors import ConfigurationError
from exchange.reading import Table
from exchange.text import Text

#: A header's name, or a scheme's (RFC 9110 §5.6.2).
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


#: Headers that are the adapter's own affair, or that say who we are.
_OURS = frozenset(
    {
        "accept", "authorization", "connection", "content-length", "content-type", "cookie", "host",
        "idempotency-key", "if-match", "proxy-authorization", "transfer-encoding", "webhook-id",
        "webhook-signature", "webhook-timestamp",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """Where secrets are: beside the mapping in *folder*, or in the environment."""

    folder: Path
    #: Where given: the places of those that are not here, which are then no failure.
    missing: list[Text] | None = None

    def find(self, given: Table, key: str) -> str:
        """Return the secret whose place stands at *key*, empty where none does."""
        where = given.text(key, "")
        kind, _, name = where.partition(":")
        if not where:
            return ""
        if kind == "env" and name:
            found = os.environ.get(name, "")
        elif kind == "file" and name:
            try:
                found = (self.folder / name).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError):
                found = ""
        else:
            raise given.fault(key, _NO_SECRET_PLACE)
        if found:
            return found
        text = _NO_SECRET.fill(key=given.at(key), where=where)
        if self.missing is None:
            raise ConfigurationError(text)
        self.missing.append(text)
        return "missing"


def proof(given: Table, secrets: Secrets) -> Proof:
    """Return what is shown, or asked for; raises `DataError`, `ConfigurationError`."""
    return Proof(
        token=secrets.find(given, "token"),
        scheme=_word(given, "scheme", "Bearer"),
        user=given.text("user", ""),
        password=secrets.find(given, "password"),
        signature=secrets.find(given, "signature"),
    )


def headers(given: Table, secrets: Secrets) -> dict[str, str]:
    """Return the headers of every call; a value may be a secret's place."""
    found = {}
    for name in given:
        value = given.text(name)
        if name.lower() in _OURS:
            raise given.fault(name, _NOT_YOURS)
        if value.startswith(("env:", "file:")):
            value = secrets.find(given, name)
        if not _TOKEN.fullmatch(name) or not value.isprintable() or not value.isascii():
            raise given.fault(name, _NO_HEADER)
        found[name] = value
    given.done()
    return found


def client_tls(given: Table, folder: Path) -> ssl.SSLContext | None:
    """Return how a call is made over TLS, None where the system's own authorities do."""
    files = [given.text(key, "") for key in ("ca", "certificate", "key")]
    if not any(files):
        return None
    ca, certificate, key = (str(folder / one) if one else None for one in files)
    try:
        context = ssl.create_default_context(cafile=ca)
        if certificate is not None:
            context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise given.fault("certificate", _NO_CERTIFICATE) from error
    return context


def server_tls(given: Table, folder: Path) -> ssl.SSLContext | None:
    """Return how the interface is offered over TLS, None where it is not."""
    files = [given.text(key, "") for key in ("certificate", "key", "client_ca")]
    if not any(files):
        return None
    certificate, key, ca = (str(folder / one) if one else None for one in files)
    if certificate is None:
        given.text("certificate")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=ca)
    try:
        context.load_cert_chain(str(certificate), key)
    except (OSError, ssl.SSLError) as error:
        raise given.fault("certificate", _NO_CERTIFICATE) from error
    if ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _word(given: Table, key: str, default: str) -> str:
    found = given.text(key, default)
    if not _TOKEN.fullmatch(found):
        raise given.fault(key, _NO_HEADER)
    return found


_NO_HEADER = Text(
    en="is no header: a name without spaces, and printable ASCII.",
    zh="不是合法的 HTTP 标头（可打印 ASCII）。",
)
_NO_SECRET_PLACE = Text(
    en="a secret stands in no mapping: write env:NAME or file:PATH.",
    zh="密钥不得写入映射文件：请写 env:变量名 或 file:文件路径。",
)
_NO_SECRET = Text(
    en="'{key}': nothing is found at {where}. Set the variable, or put the file beside the mapping.",
    zh="“{key}”：{where} 处没有内容。请设置环境变量，或将文件放在映射文件旁。",
)
_NO_CERTIFICATE = Text(
    en="the certificate, its key or the authority's file cannot be read, or do not belong together.",
    zh="证书、私钥或 CA 文件无法读取或不匹配。",
)
_NOT_YOURS = Text(
    en="is a header that the adapter sets itself; for who we are see token, user, signature.",
    zh="该标头由适配器设置；身份信息请用 token、user 或 signature。",
)
