"""What a ferry says of its work."""

from __future__ import annotations

from exchange.text import Text

SENT = Text(en="out: bundle {number} with {count} things", zh="发出：第 {number} 包，{count} 件")
APPLIED = Text(
    en="in: bundle {number} with {count} things is at the bridge",
    zh="收到：第 {number} 包，{count} 件已送达网桥",
)
ASKED = Text(en="asked for again: bundles {numbers}", zh="请求重发：第 {numbers} 包")
LOST = Text(
    en="LOST: bundles {numbers} never came, and over a one-way link nobody can be asked. Their messages "
    "wait in the mailbox beyond: put the link right and remove that ferry's journal, or carry them by hand.",
    zh="丢失：第 {numbers} 包始终未到，单向链路无法请求重发。其消息仍在对端网桥信箱中：请修复链路后删除对端摆渡日志重新发送，或另行转递。",
)
FOREIGN = Text(
    en="{name} is left alone: it is no bundle by its name", zh="{name} 不作处理：文件名不是摆渡包"
)
ASIDE = Text(
    en="SET ASIDE: {name}: {why} It is in {place}, and asked for again.",
    zh="已隔离：{name}：{why}文件在 {place}，将请求重发。",
)
UNREADABLE = Text(
    en="{name} is no regular file, or larger than any bundle.",
    zh="{name} 不是普通文件，或超过摆渡包大小上限。",
)
FORKED = Text(
    en="Bundle {number} is another than the one that was applied under its number: the other ferry was "
    "put back from a backup. It is told to begin another stream.",
    zh="第 {number} 包与此前同号的包不同：对端摆渡由备份恢复。已通知其开始新的序列。",
)
CHUNK_REFUSED = Text(
    en="A chunk of an attachment was not kept by the bridge: {code}: {why}",
    zh="网桥未保存附件分片：{code}：{why}",
)
CHUNK_TOO_LARGE = Text(
    en="A chunk of {size} bytes does not fit into a file of bundle_bytes = {limit}: its attachment does not "
    "cross. Raise bundle_bytes to 655360, if the gap takes such files.",
    zh="分片为 {size} 字节，超出 bundle_bytes = {limit}，该附件无法摆渡。若网闸允许，请将 bundle_bytes 调至 655360。",
)
