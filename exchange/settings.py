"""
Parts of the bridge's settings: what it presents, what was taken back, what may be asked for; `exchange.config` reads them.

Every setting says here, once, what it is for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from exchange.keyring import RingFile
from exchange.text import Text


def setting(en: str, zh: str, default: Any = MISSING, **bounds: Any) -> Any:
    """Return a field with what the setting is for, for numbers ``least`` and ``most``."""
    metadata = {"text": Text(en=en, zh=zh), **bounds}
    if isinstance(default, dict):
        return field(default_factory=lambda: MappingProxyType(default), metadata=metadata)
    return field(default=default, metadata=metadata)


WITNESSES: Any = setting(
    "Network name to the file of its witnesses' verifier keys, one a line: who may co-sign the log.",
    "网络名称及其见证者验证公钥文件（每行一个）：谁可联署日志。",
    {},
)

ACTS: Any = setting(
    "Network name to a copy of its authority's journal (acts.jsonl): what the authority did is entered into the log, "
    "where both networks see it.",
    "网络名称及其认证机构操作记录（acts.jsonl）的副本：其操作记入日志，双方网络均可查看。",
    {},
)


SEALING_KEYS: Any = setting(
    "Folder of the sealing keys that organisations publish (*.sealing), looked at whenever somebody asks.",
    "各机构发布的封装公钥（*.sealing）所在文件夹，每次查询时读取。",
    Path("sealing-keys"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """What the bridge presents."""

    certificate: Path = setting(  # noqa: RUF009
        "PEM: the bridge's certificate, then its issuers. Its DNS names are what clients dial.",
        "PEM：网桥证书及其签发者证书；其中的 DNS 名称即客户端连接的名称。",
    )
    key: Path = setting(  # noqa: RUF009
        "The certificate's private key, P-256, for its owner's eyes alone. RSA is refused: with it, "
        "TLS 1.2 could not be shut out.",
        "证书私钥（P-256），仅所有者可读。不接受 RSA：否则无法禁用 TLS 1.2。",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """What the site knows beyond the tables of the package."""

    divisions: tuple[Path, ...] = setting(
        "CSV files with the columns code and name: divisions that the package's table lacks (new "
        "counties, zones and streets, 6 or 9 digits) and villages (12). A street with villages in "
        "them takes no others; without, it takes any.",
        "CSV 文件（列 code、name）：软件包区划表未收录的区划（新设县区、开发区、街道，6 或 9 位）及村级代码（12 位）。"
        "已列出村级代码的街道只接受所列代码，未列出的不限。",
        (),
    )
    holidays: tuple[Path, ...] = setting(
        "CSV files with the columns day, kind (rest or work) and name: the State Council's notices of "
        "years that the package does not know yet. Working days of such a year count without holidays.",
        "CSV 文件（列 day、kind（rest 或 work）、name）：软件包尚未收录年份的国务院放假安排。"
        "未收录的年份，工作日按普通周计算。",
        (),
    )
    codes: tuple[Path, ...] = setting(
        "TOML files of code tables (system, version, title_zh, title_en, closed, and codes: code, zh, "
        "en). A coded value of a table's system and version must stand in it, where the table is "
        "closed; without a version, in the last one named. Other systems are carried as they come.",
        "代码表 TOML 文件（system、version、title_zh、title_en、closed 及 codes：code、zh、en）。"
        "代码值属于其 system 与 version 且 closed 为 true 时须在表中；未写 version 的按最后列出的版本核对；其他代码体系原样传递。",
        (),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AtRest:
    """How what messages say, and attachments, are kept in the database."""

    key_ring: str = setting(
        "The file of the keys under which what messages say, and attachments, are encrypted in the database "
        "(exchange keys new); empty: they stand there as they came. Once on, it stays on.",
        "数据库中消息内容与附件加密所用的密钥环文件（exchange keys new）；为空则按原样保存。一经启用不可停用。",
        "",
    )
    passphrase_file: str = setting(
        "The file whose first line opens the key ring, where that is encrypted, for its owner's eyes "
        "alone; empty: it is not.",
        "密钥环加密时，其首行为口令的文件（仅所有者可读）；为空则密钥环未加密。",
        "",
    )
    keep_days: int = setting(
        "Days after the last word about a closed ticket before which what was said is not destroyed "
        "(exchange keys destroy).",
        "结案单最后一条记录之后内容须保留的天数，期满方可销毁（exchange keys destroy）。",
        730,
        least=0,
        most=36_500,
    )

    def ring(self) -> RingFile | None:
        """Return the key ring; None where nothing is encrypted.  Its file is not read yet."""
        if not self.key_ring:
            return None
        passphrase = Path(self.passphrase_file) if self.passphrase_file else None
        return RingFile(Path(self.key_ring), passphrase)


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """What was taken back, and for how long an old list of it counts."""

    deny: Path = setting(  # noqa: RUF009
        "The list of whom this bridge shuts out at once (exchange certs deny); nobody where no file is.",
        "禁止名单文件（exchange certs deny）；文件不存在即无人被禁止。",
        Path("deny.toml"),
    )
    crls: Mapping[str, Path] = setting(
        "Network name to the PEM file of its signed lists of revoked certificates (CRL); once it is "
        "named, the network's callers are refused without one.",
        "网络名称及其吊销列表（CRL）PEM 文件；一经配置，缺少列表时拒绝该网络的接入方。",
        {},
    )
    grace_hours: int = setting(
        "Hours for which a list still counts after its successor was due, with an alarm; then the "
        "network's callers are refused. A day is enough to mend what failed in the night.",
        "吊销列表逾期后仍可使用的小时数（期间告警），此后拒绝该网络的接入方；一天足以排除夜间故障。",
        24,
        least=0,
        most=720,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachments:
    """What is carried of the files that messages cite; the message crosses whatever is said here."""

    types: tuple[str, ...] = setting(
        "Media types that are carried: what a desk can look at without running anything. Programs, "
        "archives and office files with macros are handed over by other means. What travels encrypted "
        "(application/vnd.hotline-exchange.sealed-file) no bridge can look into: its receiver judges it.",
        "可传送的媒体类型：仅限查看时不执行任何内容的文件。程序、压缩包及含宏文档请以其他方式移交。"
        "加密传送的附件（application/vnd.hotline-exchange.sealed-file）网桥无法查看，由接收方判断。",
        (
            "image/jpeg", "image/png", "image/webp", "image/heic", "application/pdf", "application/ofd",
            "audio/mpeg", "audio/mp4", "audio/wav", "video/mp4", "text/plain",
            "application/vnd.hotline-exchange.sealed-file",
        ),
    )  # fmt: skip
    file_mib: int = setting(
        "Mebibytes of one file: some minutes of a telephone's video. It is hashed whole when its last "
        "chunk comes, a second for each 500 MiB or so.",
        "单个附件的大小上限（MiB），约为手机视频数分钟。末片到达时须计算整个文件的摘要，每 500 MiB 约一秒。",
        128,
        least=1,
        most=16_384,
    )
    chunks_of_one: int = setting(
        "Chunks of files that one organisation has cited and that are here: of 512 KiB each they are "
        "8 GiB, a quarter of all, so that one platform cannot take the others' room.",
        "单个机构引用的附件在网桥保存的分片数上限：按每片 512 KiB 计为 8 GiB，即总量的四分之一，单一平台不致占满空间。",
        16_384,
        least=1,
        most=10_000_000,
    )
    total_mib: int = setting(
        "Mebibytes of all chunks together, in the bridge's database; leave as much again on the disk for "
        "a backup.",
        "全部分片的总量上限（MiB），存于网桥数据库；磁盘上请另留同等空间供备份。",
        32_768,
        least=1,
        most=100_000_000,
    )
    keep_days: int = setting(
        "Days for which chunks are kept after their message was accepted: a receiver that was down for a "
        "holiday still gets them. The file itself is its author's and its receivers' to keep.",
        "消息受理后分片的保存天数：接收方停机一个长假仍可取得。文件本身由作者与接收方自行保存。",
        30,
        least=1,
        most=3650,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one organisation, or all together, may ask for; each with its reason."""

    request_bytes: int = setting(
        "Bytes of one request. 512 messages of usual size are 1 to 2 MiB; more would hold the "
        "event loop too long.",
        "单个请求的字节数上限。512 条常规消息约 1–2 MiB，更大的请求会占用事件循环过久。",
        4 * 1024 * 1024,
        least=131_072,
        most=67_108_864,
    )
    metadata_bytes: int = setting(
        "Bytes of a call's metadata. We need none; libraries add a few hundred.",
        "单次调用元数据字节数上限。本系统不需要元数据，客户端库通常附加数百字节。",
        4096,
        least=1024,
        most=8192,
    )
    calls_per_second: int = setting(
        "Calls a second of one organisation. Each costs its identity check, about 0.1 ms, whatever "
        "it asks; a batch of 128 is one call.",
        "单个机构每秒调用数上限。每次调用均须核验身份（约 0.1 毫秒）；128 条一批只算一次调用。",
        1000,
        least=1,
        most=100_000,
    )
    messages_per_second: int = setting(
        "Messages and acknowledgements a second of one organisation: about what two cores store, so "
        "that a runaway platform is slowed before it slows others.",
        "单个机构每秒消息与回执数上限，约为双核机器的存储能力；失控的平台会先被限速，不致拖慢他人。",
        30_000,
        least=1,
        most=1_000_000,
    )
    messages_in_flight: int = setting(
        "Messages of one organisation being stored at once: eight batches of 512 keep the writer "
        "busy, more only wait longer.",
        "单个机构同时待存储的消息数上限：八批 512 条足以使写入线程饱和，再多只会等待更久。",
        4096,
        least=512,
        most=65_536,
    )
    waiting_pulls: int = setting(
        "Pulls of one organisation waiting at once: two a gateway, one of them for urgent lanes, and room for "
        "reconnections.",
        "单个机构同时等待的拉取数上限：每个网关两个（其一专候紧急通道），另留重连余量。",
        16,
        least=2,
        most=1024,
    )
    lease_seconds: int = setting(
        "Seconds a receiver has to acknowledge before a lane is handed out again: long enough for a "
        "platform that writes slowly, short enough that a crashed one is not waited for.",
        "接收方确认投递的秒数上限，逾期该通道将重新投递：须容许写入较慢的平台，又不致久等已崩溃的平台。",
        30,
        least=1,
        most=3600,
    )
    queued_messages: int = setting(
        "Messages of all organisations waiting to be stored: one or two seconds' work, so that an "
        "answer never takes longer than a caller waits, and twice what one organisation may bring.",
        "全部机构待存储消息数上限：约一至两秒的工作量，使应答不超过调用方的等待时间，且为单一机构上限的两倍。",
        8_192,
        least=512,
        most=1_000_000,
    )
    calls_at_once: int = setting(
        "Calls of all organisations at once, waiting pulls included; each costs some memory.",
        "全部机构同时进行的调用数上限（含等待中的拉取），每个调用都占用内存。",
        1024,
        least=8,
        most=100_000,
    )
    calls_of_one: int = setting(
        "Calls of one organisation at once, from their first byte until their answer is taken: four full "
        "connections, and few enough that one that only opens calls leaves the others seven eighths.",
        "单个机构同时进行的调用数上限，自首字节起至应答被取走为止：约四条满载连接；"
        "即使某机构只占用而不使用调用，仍有八分之七留给其他机构。",
        128,
        least=4,
        most=100_000,
    )
    request_seconds: int = setting(
        "Seconds that a request may take to arrive, once its call is opened: 4 MiB in them are half a "
        "megabit a second.",
        "调用开始后请求到齐的秒数上限：在此时间内传完 4 MiB 约需每秒半兆比特。",
        60,
        least=1,
        most=600,
    )
    connections: int = setting(
        "Connections at once, counted from the moment TCP accepts them: those that have not yet shown "
        "a certificate count too (they have 10 seconds for the handshake), idle ones until 5 minutes "
        "without a call. One more is closed at once, without a word; who has a connection keeps it. "
        "Each costs some 100 kB before it has said who it is.",
        "同时连接数上限，自 TCP 接受连接时起计：尚未出示证书的连接（握手限 10 秒）与空闲连接（满 5 分钟无调用后关闭）"
        "均计入。超出的连接立即关闭，不作说明；已有连接不受影响。每个连接在表明身份之前约占 100 kB 内存。",
        512,
        least=2,
        most=100_000,
    )
    health_watches: int = setting(
        "Watches of the health service at once: anybody whom TLS lets in may open one.",
        "同时进行的健康监视数上限：凡通过 TLS 的一方均可发起。",
        32,
        least=1,
        most=1024,
    )
    stop_seconds: int = setting(
        "Seconds that calls inside may take to end when the bridge stops.",
        "网桥停止时，进行中的调用可用于完成的秒数。",
        20,
        least=1,
        most=600,
    )
