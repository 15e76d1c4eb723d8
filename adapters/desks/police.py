"""
A 110 desk at work: 接警 → 指令 → 处置 → 反馈 (S3).

Its own matters here are the hotline's, so it hands them over; what 12345 hands to it, it takes,
sends somebody, and tells what they did.
"""

from __future__ import annotations

from types import MappingProxyType

from adapters.desks.workflow import SCRIPTED, Rows, Step, Workflow
from exchange.text import Text

_TAKER = Text(en="call taker", zh="接警员")
_CHIEF = Text(en="duty chief", zh="值班长")
_DISPATCHER = Text(en="dispatcher", zh="调度员")
_OFFICER = Text(en="officer", zh="民警")

_STEPS = (
    # -- its own call, handed to 12345
    Step(state="接警中", act=Text(en="takes the call", zh="接警"), who=_TAKER, minutes=(1, 3),
         leads="待移交", writes=("accept",)),
    Step(state="待移交", act=Text(en="hands it to 12345", zh="审核移交"), who=_CHIEF, minutes=(1, 10),
         leads="已移交待签收", writes=("hand_over",),
         words=("属非警务类诉求，请12345办理。", "经核实无现实危险，属政务服务事项。")),
    Step(state="退回待审", act=Text(en="agrees to the return", zh="同意退回"), who=_CHIEF, minutes=(5, 30),
         leads="自办待指令", chance=60, says="31", words=("同意退回，由110派警处置。",)),
    Step(state="退回待审", act=Text(en="refuses the return", zh="不同意退回"), who=_CHIEF, minutes=(5, 30),
         leads="争议协商中", chance=40, says="32", words=("不属公安机关职责，请12345继续办理。",)),
    Step(state="待裁定续办", act=Text(en="rules: 12345 goes on", zh="裁定由承办方续办"), who=_CHIEF,
         minutes=(5, 60), leads="对方办理中", says="33", code="K", words=("双方协商一致，由12345办理。",)),
    Step(state="待裁定首接", act=Text(en="rules: the first receiver does it", zh="裁定由首接方办理"), who=_CHIEF,
         minutes=(5, 60), leads="自办待指令", says="33", code="F",
         words=("协商不成，按首接负责由110先行处置。",)),
    Step(state="自办待指令", act=Text(en="sends officers itself", zh="指令（自办）"), who=_DISPATCHER, minutes=(1, 5),
         leads="自办处置中", says="42", code="02", writes=("dispatch",), words=("已指令就近警力前往。",)),
    Step(state="自办处置中", act=Text(en="has settled it", zh="处置反馈（自办）"), who=_OFFICER, minutes=(10, 90),
         leads="自办待办结", says="43", code="01", writes=("arrive", "finish"), words=("民警到场处置完毕。",)),
    Step(state="自办待办结", act=Text(en="tells the caller", zh="回告（自办）"), who=_TAKER, minutes=(5, 60),
         leads="自办待结束", says="44", writes=("reply",), words=("已将处置结果回告报警人。",)),
    Step(state="自办待结束", act=Text(en="ends the incident", zh="结束警情"), who=_CHIEF, minutes=(5, 30),
         leads="自办待回访", says="52", writes=("close",), words=("警情结束。",)),
    Step(state="自办待回访", act=Text(en="asks the caller", zh="回访"), who=_TAKER, minutes=(60, 1440),
         leads="已归档", says="45", code="1", writes=("visit",), words=("报警人表示满意。",)),
    Step(state="待回告", act=Text(en="tells the caller, who agrees", zh="回告"), who=_TAKER, minutes=(5, 60),
         leads="待结束", chance=85, says="51", writes=("reply",), words=("已回告报警人，报警人认可。",)),
    Step(state="待回告", act=Text(en="tells the caller, who is not content", zh="回告未认可，退回重办"), who=_TAKER,
         minutes=(5, 60), leads="对方办理中", chance=15, says="34", words=("报警人反映问题仍在，请继续办理。",)),
    Step(state="待结束", act=Text(en="ends the incident", zh="结束警情"), who=_CHIEF, minutes=(5, 30),
         leads="待回访", says="52", writes=("close",), words=("警情结束。",)),
    Step(state="待回访", act=Text(en="asks the caller: satisfied", zh="回访：满意"), who=_TAKER,
         minutes=(60, 1440), leads="已归档", chance=85, says="53", code="1", writes=("visit",),
         words=("报警人表示满意。",)),
    Step(state="待回访", act=Text(en="does not reach the caller", zh="回访：未接通"), who=_TAKER,
         minutes=(60, 1440), leads="已归档", chance=15, says="53", code="4", writes=("visit",),
         words=("未接通。",)),
    # -- 12345's matter, handed to 110
    Step(state="来警待签收", act=Text(en="takes it", zh="签收"), who=_TAKER, minutes=(1, 5),
         leads="待指令", says="01", words=("已签收。",)),
    Step(state="待指令", act=Text(en="sends officers", zh="指令"), who=_DISPATCHER, minutes=(1, 5),
         leads="待到场", chance=80, says="02", code="02", writes=("dispatch",), words=("已指令辖区派出所出警。",)),
    Step(state="待指令", act=Text(en="asks to return it", zh="申请退回"), who=_DISPATCHER, minutes=(5, 30),
         leads="退回待确认", chance=20, says="04", code="01",
         words=("已派警先行查看并劝导，现场无危险；属部门管理事项，建议由12345办理。",)),
    Step(state="待表态", act=Text(en="agrees to go on", zh="表态：同意续办"), who=_CHIEF, minutes=(5, 60),
         leads="待对方裁定", chance=60, says="05", code="K", words=("经协商，同意由110继续办理。",)),
    Step(state="待表态", act=Text(en="keeps to its view", zh="表态：维持意见"), who=_CHIEF, minutes=(5, 60),
         leads="待对方裁定", chance=40, says="05", code="F", words=("仍认为属部门管理事项，请按首接负责办理。",)),
    Step(state="续办待指令", act=Text(en="sends officers", zh="指令（续办）"), who=_DISPATCHER, minutes=(1, 5),
         leads="待到场", says="02", code="02", writes=("dispatch",), words=("已指令辖区派出所出警。",)),
    Step(state="待到场", act=Text(en="is on the scene", zh="到达现场"), who=_OFFICER, minutes=(5, 15),
         leads="处置中", says="02", code="03", writes=("arrive",), words=("民警已到现场。",)),
    Step(state="处置中", act=Text(en="gives the result", zh="处置反馈"), who=_OFFICER, minutes=(10, 120),
         leads="已反馈待确认", says="03", code="01", writes=("finish",), words=SCRIPTED),
)  # fmt: skip

_HEARD = {
    ("已移交待签收", "take", ""): "对方办理中",
    ("对方办理中", "result", ""): "待回告",
    ("对方办理中", "return", ""): "退回待审",
    ("争议协商中", "position", "K"): "待裁定续办",
    ("争议协商中", "position", "F"): "待裁定首接",
    ("退回待确认", "agree", ""): "已退回",
    ("退回待确认", "refuse", ""): "待表态",
    ("待对方裁定", "rule", "K"): "续办待指令",
    ("待对方裁定", "rule", "F"): "已退回",
    ("已反馈待确认", "close", ""): "对方已办结",
    ("已反馈待确认", "reopen", ""): "待到场",
    ("对方已办结", "close_ticket", ""): "已归档",
}

_ROWS = {
    Rows.COUNT: "SELECT count(*) FROM JJD WHERE LYDH = ''",
    Rows.BEGIN: (
        "INSERT INTO JJD (JJDBH, JQMC, BJNR, BJRXM, BJDH, AFDD, XZQHDM, SXDM, JQJB, BJSJ, JJSJ, JSDWDM, JJDZT, XBSJ) "
        "VALUES (:number, :title, :content, :name, :telephone, :place, :region, :matter, '4', :now, :now, :peer, "
        ":state, :due)"
    ),
    Rows.DUE: "SELECT JJDBH, LYDH, JJDZT, SXDM FROM JJD WHERE coalesce(XBSJ, 0) <= :now ORDER BY XBSJ, JJDBH",
    Rows.MOVE: "UPDATE JJD SET JJDZT = :state, XBSJ = :due WHERE JJDBH = :record",
    Rows.SAY: (
        "INSERT INTO CJFK (FKBH, JJDBH, FKLX, FKNR, CLJG, FKRXM, FKSJ) "
        "VALUES (:number, :record, :says, :words, :code, :who, :now)"
    ),
    Rows.SAID: "SELECT count(*) FROM CJFK WHERE JJDBH = :record",
    Rows.CAME: (
        "SELECT w.LSID, w.JJDBH, j.JJDZT, w.LWLX, coalesce(w.LWCS, ''), coalesce(w.DFDH, '') "
        "FROM LWLS w JOIN JJD j ON j.JJDBH = w.JJDBH WHERE w.CLBZ = 0 ORDER BY w.rowid LIMIT 1"
    ),
    Rows.SEEN: "UPDATE LWLS SET CLBZ = 1 WHERE LSID = :number",
    Rows.LINK: "UPDATE JJD SET DFDH = :there WHERE JJDBH = :record",
    Rows.STOPPED: (
        "SELECT 'CJFK', FKBH, coalesce(TSXX, '') FROM CJFK WHERE TSZT = 9 "
        "UNION ALL SELECT 'JJD', JJDBH, coalesce(TSXX, '') FROM JJD WHERE TSZT = 9"
    ),
    Rows.UNSENT: (
        "SELECT (SELECT count(*) FROM CJFK WHERE TSZT = 0) + "
        "(SELECT count(*) FROM JJD WHERE YJBZ = 1 AND TSZT = 0)"
    ),
    Rows.STANDING: "SELECT JJDZT, count(*) FROM JJD GROUP BY JJDZT ORDER BY JJDZT",
}

_STATEMENTS = {
    "accept": "UPDATE JJD SET JJYXM = :who, HZSJ = :now WHERE JJDBH = :record",
    "hand_over": "UPDATE JJD SET YJBZ = 1, YJYY = :words, YJSJ = :now WHERE JJDBH = :record",
    "dispatch": (
        "INSERT INTO CJD (CJDBH, JJDBH, CJDWBH, CJYXM, CZSJ, CDRY, CDCL) "
        "VALUES (:number, :record, :unit, :who, :now, '2', '1')"
    ),
    "arrive": "UPDATE CJD SET DDXCSJ = :now WHERE JJDBH = :record AND DDXCSJ IS NULL",
    "finish": "UPDATE CJD SET CLWBSJ = :now, CLJG = :words WHERE JJDBH = :record AND CLWBSJ IS NULL",
    "reply": "UPDATE JJD SET HGNR = :words WHERE JJDBH = :record",
    "close": "UPDATE JJD SET JSSJ = :now WHERE JJDBH = :record",
    "visit": (
        "INSERT INTO HFJL (HFBH, JJDBH, HFRXM, HFSJ, MYD, HFNR) "
        "VALUES (:number, :record, :who, :now, :code, :words)"
    ),
}

WORKFLOW = Workflow(
    name="police",
    title=Text(en="110 desk", zh="110 接处警"),
    prefix="JJ",
    time="%Y%m%d%H%M%S",
    lists=("NM.H.", "XC.H."),
    first="接警中",
    ends=frozenset({"已归档", "已退回"}),
    steps=_STEPS,
    heard=MappingProxyType(_HEARD),
    rows=MappingProxyType(_ROWS),
    statements=MappingProxyType(_STATEMENTS),
    units=("城东派出所", "城西派出所", "巡特警一中队"),
)
