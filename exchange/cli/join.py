"""``exchange log join``: let a bridge share the database of another, with a log of its own."""

from __future__ import annotations

import os
from pathlib import Path

from exchange.cli.gateway import config_option
from exchange.cli.grammar import json_option, say
from exchange.cli.screen import show_json
from exchange.text import Text

_JOINED = Text(
    en="The log {origin} has joined the database; it is its log no. {number}. The logs there: {logs}.\n"
    "Now: 1. start every bridge again, each with its own configuration: exchange serve\n"
    "2. Give every gateway this log's verifier key beside the others (log_verifiers):\n"
    "   {verifier}\n"
    "3. Let the gateways reach every bridge: several addresses in 'target', one DNS name with several "
    "addresses, or a TCP balancer (deploy/haproxy.cfg).",
    zh="日志 {origin} 已加入数据库，为其第 {number} 号日志。库中的日志：{logs}。\n"
    "接下来：1. 分别用各自的配置重新启动每个网桥：exchange serve\n"
    "2. 将本日志的验证公钥连同其他公钥一并配置到每个网关（log_verifiers）：\n   {verifier}\n"
    "3. 使网关可达每个网桥：在 target 中列出多个地址、使用解析到多个地址的域名，或 TCP 负载均衡（deploy/haproxy.cfg）。",
)  # fmt: skip
_BEFORE = Text(
    en="The log {origin} is one of this database's already, no. {number}; nothing was changed.",
    zh="日志 {origin} 已在该数据库中，编号 {number}，未作改动。",
)


@config_option
@json_option
def join(*, config: Path, as_json: bool) -> None:
    """Let the configured log join those of its database."""
    from exchange.config import load_settings
    from exchange.note import LogKey
    from exchange.server.known import require_own_key
    from exchange.store.logs import join as join_database

    settings = load_settings(config, os.environ)
    key = LogKey.load(settings.log_key)
    require_own_key(settings, key)
    joined = join_database(settings.database, key)
    names = [one.origin for one in joined.logs]
    if as_json:
        facts = {"origin": key.name, "number": joined.number, "verifier": str(key.verifier)}
        show_json({**facts, "joined": joined.new, "logs": names})
        return
    text = _JOINED if joined.new else _BEFORE
    say(
        text.fill(
            origin=key.name,
            number=joined.number,
            verifier=key.verifier,
            logs=", ".join(names),
        )
    )
