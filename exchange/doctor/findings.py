"""What a probe finds, and how a probe is run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from exchange.causes import cause
from exchange.errors import (
    BridgeUnavailable,
    ConfigurationError,
    ExchangeError,
    LimitExceeded,
    NotAuthenticated,
    NotAuthorized,
    StoreUnavailable,
)
from exchange.text import Text

#: Seconds that one probe may take.
LIMIT = 10.0


class Status(StrEnum):
    """How grave a finding is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """
    One thing looked at.

    *probe* is its stable name for scripts, *what* what was found, *cause* and *fix* (a command
    where one helps) are given unless all is well.
    """

    probe: str
    status: Status
    what: Text
    cause: Text | None = None
    fix: Text | None = None


Probe = Callable[[], Iterator[Finding]]


def fine(probe: str, en: str, zh: str) -> Finding:
    """Return that all is well."""
    return Finding(probe=probe, status=Status.OK, what=Text(en=en, zh=zh))


def wrong(probe: str, what: Text, cause: Text, fix: Text, status: Status = Status.FAIL) -> Finding:
    """Return what is not well."""
    return Finding(probe=probe, status=status, what=what, cause=cause, fix=fix)


def failed(probe: str, what: Text, error: ExchangeError) -> Finding:
    """Return a failure whose own sentence is the cause; the fix is its probe's or its kind's."""
    of_kind = (fix for kind, fix in _OF_KIND.items() if isinstance(error, kind))
    fix = next(of_kind, None) if probe == "call" else None
    return wrong(probe, what, error.text, fix or _FIXES.get(probe, _LOOK_AGAIN))


def run(name: str, probe: Probe, limit: float = LIMIT) -> list[Finding]:
    """
    Run one probe in a thread of its own and return its findings, or that it took too long.

    An `ExchangeError` or `OSError` that a probe does not explain itself is a finding too.
    """
    found: list[Finding] = []
    crashed: list[BaseException] = []

    def work() -> None:
        try:
            found.extend(probe())
        except ExchangeError as error:
            found.append(failed(name, _COULD_NOT, error))
        except OSError as error:
            why, file = cause(error), f"{error.filename}: " if error.filename else ""
            said = Text(en=f"{file}{why.en}.", zh=f"{file}{why.zh}。")
            found.append(wrong(name, _COULD_NOT, said, _FIXES.get(name, _LOOK_AGAIN)))
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            crashed.append(error)

    thread = threading.Thread(target=work, name=f"probe-{name}", daemon=True)
    thread.start()
    thread.join(limit)
    if crashed:
        raise crashed[0]
    if thread.is_alive():
        return [*found, wrong(name, _SLOW.fill(seconds=limit), _SLOW_CAUSE, _SLOW_FIX)]
    return found


_COULD_NOT = Text(en="This could not be looked at.", zh="无法检查此项。")
_REINSTALL = Text(
    en="Install the program anew into an environment of its own: python3 -m venv hotline && "
    "hotline/bin/pip install hotline-exchange",
    zh="请在独立环境中重新安装：python3 -m venv hotline && hotline/bin/pip install hotline-exchange",
)
_RENEW = Text(
    en="Name the right file in the configuration; if it is lost or spoilt, ask your network's authority "
    "for a new certificate: exchange certs csr, then exchange certs issue",
    zh="请在配置中指定正确的文件；如已丢失或损坏，请向本网络认证机构重新申请证书："
    "exchange certs csr，再 exchange certs issue",
)
_DATABASE = Text(
    en="See that the database runs and that 'database' names it: for PostgreSQL try psql with the "
    "same URL, for MariaDB mariadb with its parts, for SQLite look whether the file's folder is there and can be written",
    zh="请确认数据库正在运行且 database 配置无误：PostgreSQL 可用 psql 连接同一地址，MariaDB 可用 mariadb，"
    "SQLite 请检查文件所在文件夹是否存在且可写",
)
_FIXES: dict[str, Text] = {
    "adapter": Text(
        en="See which adapter it is: exchange adapter list; install it anew, or remove it with pip",
        zh="请先执行 exchange adapter list 查明是哪个适配器，再用 pip 重新安装或移除",
    ),
    "python": _REINSTALL,
    "packages": _REINSTALL,
    "key": Text(
        en="Name the right key in the configuration, and let only the user that runs this read it: "
        "chmod 600 KEY. A lost key is not made again: make a new one with exchange certs csr",
        zh="请在配置中指定正确的密钥，并仅允许运行本程序的用户读取：chmod 600 密钥文件。"
        "密钥丢失须新建：exchange certs csr",
    ),
    "pair": _RENEW,
    "certificate": _RENEW,
    "gateway": _RENEW,
    "signer": _RENEW,
    "trust": Text(
        en="Get the root of the network named from its authority, compare its SHA-256 by telephone, and "
        "name its file in the configuration ([trust] of a gateway, [networks] of a bridge)",
        zh="请向所列网络的认证机构索取根证书，电话核对 SHA-256，并在配置中指定"
        "（网关为 [trust]，网桥为 [networks]）",
    ),
    "revocation": Text(
        en="Mend the file that the cause names: a network's list comes from its authority, the deny list is "
        "written by exchange certs deny",
        zh="请修正原因中所指的文件：吊销列表由该网络认证机构提供，禁止名单由 exchange certs deny 写入",
    ),
    "keys": Text(
        en="Let the bridge's user read the key ring (at_rest.key_ring) and the database; see: exchange keys show",
        zh="请确保网桥用户可读密钥环（at_rest.key_ring）与数据库；可查：exchange keys show",
    ),
    "sealing": Text(
        en="Put the sealing keys back from their backup, or make new ones: exchange sealing make",
        zh="请从备份恢复封装密钥，或新建：exchange sealing make",
    ),
    "register": Text(
        en="Correct the entry named in the register or profile file, then: exchange config check",
        zh="请更正名录或方案文件中所指的条目，再执行：exchange config check",
    ),
    "log": Text(
        en="Put back the log key that this database began with ('log_key'), from its backup; a new one "
        "(exchange certs log-key) is only for a bridge's first start",
        zh="请从备份恢复本数据库最初使用的日志密钥（log_key）；新建密钥（exchange certs log-key）"
        "仅用于网桥首次启动",
    ),
    "database": _DATABASE,
    "waiting": _DATABASE,
    "port": Text(
        en="Correct 'target' (a gateway) or 'listen' (a bridge) in the configuration",
        zh="请更正配置中的 target（网关）或 listen（网桥）",
    ),
    "call": Text(
        en="Send this cause to the bridge's operator, who finds the call in the bridge's journal",
        zh="请将此原因告知网桥运营方，由其在网桥日志中查找该次调用",
    ),
}
#: Of a call to the bridge the kind of failure says who mends it.
_OF_KIND: dict[type[ExchangeError], Text] = {
    ConfigurationError: Text(
        en="Correct this gateway's configuration as the cause says; the bridge was not asked",
        zh="请按原因所述更正本网关的配置；并未向网桥发出调用",
    ),
    NotAuthenticated: Text(
        en="Ask the bridge's operator whether your network's root is among its [networks], and look at "
        "your certificate: exchange certs show FILE",
        zh="请向网桥运营方确认其 [networks] 含贵方网络的根证书，并检查贵方证书：exchange certs show 文件",
    ),
    NotAuthorized: Text(
        en="Ask the bridge's operator to enter your organisation, with its network, in the register",
        zh="请网桥运营方在机构名录中登记贵方机构及其所属网络",
    ),
    LimitExceeded: Text(
        en="Wait a minute and look again; if it stays, ask the bridge's operator about its [limits]",
        zh="请稍候一分钟再诊断；如仍如此，请向网桥运营方询问 [limits] 设置",
    ),
    BridgeUnavailable: Text(
        en="Ask the bridge's operator whether it is running: exchange doctor on the bridge",
        zh="请网桥运营方确认网桥正在运行：在网桥上执行 exchange doctor",
    ),
    StoreUnavailable: Text(
        en="Tell the bridge's operator that the bridge cannot reach its database; nothing is lost",
        zh="请告知网桥运营方：网桥无法访问其数据库；已存数据不会丢失",
    ),
}
_LOOK_AGAIN = Text(
    en="Do what the cause says, then look again: exchange doctor",
    zh="请按原因所述处理，再执行：exchange doctor",
)
_SLOW = Text(en="No answer within {seconds:g} s.", zh="{seconds:g} 秒内无响应。")
_SLOW_CAUSE = Text(
    en="Something between here and there takes packets without answering, or is overloaded.",
    zh="中间某处丢弃报文而不应答，或负载过高。",
)
_SLOW_FIX = Text(
    en="Ask the network's operator whether a firewall drops this connection.",
    zh="请向网络管理方确认防火墙是否丢弃了该连接。",
)
