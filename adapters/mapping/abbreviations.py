"""
The pinyin abbreviations that police and hotline systems use for their columns, and what they mean.

Each with its place in a message and its Chinese name; gathered from the fields of real records
(接警单、处警单、反馈单、工单).  A draft proposes them, a person confirms: the same letters can mean
something else elsewhere (XM is a name here, a project there).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What a column means: its *place* in a message and its name (*zh*)."""

    place: str
    zh: str


def _meanings(table: str) -> Mapping[str, Meaning]:
    found: dict[str, Meaning] = {}
    for line in table.split("\n"):
        if line.strip():
            place, zh, *names = line.split()
            for name in names:
                found[name.replace("_", "").lower()] = Meaning(place=place, zh=zh)
    return found


#: place, Chinese name, then the names that columns have; case and underscores do not count.
MEANINGS = _meanings(
    """
    identity.record_number 单号 JJDBH JJDH GDBH GDH ORDERNUM ORDERNO ORDERID RECORDNUMBER RECORDNO TICKETNO BH
    identity.related_record_numbers 关联单号 GLJJDBH GLGDBH YGDBH OLDORDERNUM
    identity.repeat_caller 重复来电 CFLD SFCFLD ISOLDCALLER
    identity.source_platform 来源平台 LYPT LYXT SOURCEPLATFORM
    police.incident_number 警情号 JQH JQBH
    act.region 行政区划代码 XZQHDM XZQH QHDM REGIONCODE AREACODE
    act.matter 事项编码 SXDM SXBM SXBH MATTERCODE
    intake.receiving_unit.code 接警单位代码 JJDWDM SLDWDM
    intake.receiving_unit.name 接警单位 JJDWMC SLDW SLDWMC
    intake.agent.number 接警员号 JJYGH JJYBH HWYGH SLRGH
    intake.agent.name 接警员 JJYXM HWYXM SLR SLRXM
    intake.position_number 台号 JJTBH TH
    intake.position_address 台IP JJTIP
    intake.call_start_time 呼入时间 HRSJ LDSJ CALLTIME
    intake.report_time 报警时间 BJSJ
    intake.receive_time 受理时间 JJSJ SLSJ JDSJ ACCEPTTIME RECEIVETIME RECEIVEDAT CREATETIME CREATEDAT
    intake.call_end_time 话终时间 HZSJ
    intake.ring_duration 呼入时长 HRSC
    intake.handling_duration 接警时长 JJSC
    intake.recording_id 录音号 JJLYH LYH LYBH RECORDINGID
    intake.call_id 话务编号 HWBH CALLID
    intake.channel_codes[0] 来话类型 LHLX LHLXDM LYQD SLQD BJFSDM SOURCETYPE CHANNEL
    intake.submit_time 提交时间 TJSJ SUBMITTIME
    intake.confidentiality_wanted 是否保密 SFBM ISSECRET
    intake.reply_wanted 是否回访 SFHF ISVISIT
    person.telephone 来电号码 BJDH LDHM LDDH ZJHM CALLERPHONE PHONE TELEPHONE TEL
    person.subscriber_name 机主 YHMC JZXM
    person.subscriber_address 装机地址 ZJDZ
    person.name 姓名 BJRXM SQRXM LXRXM XM LXR CALLERNAME NAME
    person.sex 性别 BJRXB SQRXB XB SEX GENDER
    person.birth_date 出生日期 BJRCSRQ CSRQ
    person.contact_telephone 联系电话 LXDH LXFS CONTACTPHONE MOBILE
    person.address 住址 BJRJZDZ ZZ JZDZ LXDZ
    person.document_number 证件号 ZJH SFZH SFZHM IDCARD
    person.company 工作单位 GZDW COMPANY
    person.mail 邮箱 YX DZYX EMAIL
    respondent.respondents[0].name 被反映对象 BFYR BFYDW REFLECTNAME
    respondent.respondents[0].telephone 被反映电话 BFYDH REFLECTPHONE
    police.alarm_category 报警类别 BJLBDM BJLB
    police.alarm_type 报警类型 BJLXDM BJLX
    police.alarm_subtype 报警细类 BJXLDM BJXL
    content.content 内容 BJNR SQNR GDNR FYNR LDNR NR CONTENT DESCRIPTION
    content.supplement 补充内容 BCJJNR BCNR
    content.remarks 备注 BZ BEIZHU REMARK REMARKS
    matter.grades[0] 级别 JQJB JQDJ URGENCYLEVEL
    header.urgency 紧急程度 JJCD PILOTLIGHT URGENCY
    matter.title 标题 JQMC BT GDBT TITLE SUBJECT
    matter.record_state 状态 AJZT GDZT JJDZT ORDERSTATE
    matter.occur_time 发生时间 AFSJ FSSJ SFSJ OCCURTIME
    matter.appeal_type 诉求类型 SQLX SQLXDM GDLX CALLERTYPE APPEALTYPE
    matter.categories[0] 问题分类 WTFL WTFLDM FLDM QUESTIONCODE CATEGORYCODE CATEGORY
    matter.involved_unit_name 涉事单位 SSDW SJDW
    matter.people_involved 涉及人数 SJRS
    place.address 地址 AFDD AFDZ SFDZ SFDD FSDZ DZ ADDRESS ADDR
    place.detail 详细位置 XXDZ XXWZ ADDRESSDETAIL
    place.point.longitude 经度 LON LNG JD ZDDWX LONGITUDE
    place.point.latitude 纬度 LAT WD ZDDWY LATITUDE
    police.number_plates[0].number 车牌号码 HPHM CPH
    police.number_plates[0].plate_kind 号牌种类 HPZL
    hazard.explosives 有无爆炸 YWBZXL
    hazard.people_trapped 有无被困人员 YWBKRY
    hazard.hazardous_substances 有无危险物质 YWWXWZ
    hazard.foreign_related 是否涉外 SFSW
    hazard.injured 受伤人数 SSRS
    hazard.dead 死亡人数 SWRS
    hazard.trapped 被困人数 BKRS
    hazard.weapon_description 作案工具 ZAGJ
    police.jurisdiction_unit.code 管辖单位代码 GXDWDM GXDW
    police.forwarding_unit.code 转警单位 TRANSMITUNIT ZJDWDM
    police.feedback_requirement 反馈要求 FKYQ
    dispatch.handling_codes[0] 处理类型 JJDCLLXDM HANDLEMODELTYPE BLFS
    dispatch.advice 派单意见 PDYJ NBYJ
    disposal.feedback_id 反馈编号 FKBH FKDBH FKID CJDBH FEEDBACKID
    disposal.content 反馈内容 FKNR BLQK CLQK CZQK FEEDBACK
    disposal.scene_account 出警情况 CJQK
    disposal.result_types[0] 处理结果类型 CLJGLX
    disposal.results[0] 处理结果 CLJG CLJGDM BLJG
    disposal.handler.name 反馈人 FKR FKRXM CJYXM BLR BLRXM CBR
    disposal.handler.number 反馈人警号 FKRJH CJYGH
    disposal.unit_name 承办单位 FKDW FKDWMC CJDWMC CBDW BLDW
    disposal.dispose_time 处置时间 CZSJ CLSJ BLSJ
    disposal.finish_time 办结时间 CLWBSJ WCSJ BJRQ
    disposal.involved_persons[0].name 当事人 DSRXM
    disposal.involved_persons[0].telephone 当事人电话 DSRDH
    reply.text 答复内容 DFNR GKDF REPLY
    reply.reply_time 答复时间 DFSJ
    grounds.text 理由 THYY THLY TGYY YJYY ZBYY REASON BACKREASON
    grounds.reasons[0] 理由代码 THYYDM THLYDM YJYYDM REASONCODE
    header.created 时间 FKSJ THSJ YJSJ ZBSJ PFSJ TIME
    visit.visit_time 回访时间 HFSJ VISITTIME
    visit.telephone 回访电话 HFDH
    visit.opinion 回访内容 HFNR HFYJ
    visit.satisfaction 满意度 MYD SMYD SATISFACTION
    deadline.due_time 办结时限 BLSX BJSX DEADLINEDATE DUETIME
    deadline.take_due_time 签收时限 QSSX
    act.local_number 对方单号 QSDH DFDH
    """
)

#: Columns that say how far a row is, a row's last change, and a row's meaning.
STATUS = frozenset(
    [
        "tszt",
        "sfts",
        "fszt",
        "sffs",
        "tsbz",
        "scbz",
        "fsbz",
        "istranslated",
        "syncflag",
        "syncstatus",
        "sendflag",
        "pushstatus",
        "zt",
        "state",
        "status",
    ]
)
CHANGED = frozenset(
    [
        "gxsj",
        "xgsj",
        "zhgxsj",
        "bdsj",
        "updatetime",
        "updatedat",
        "lastupdate",
        "lastmodified",
        "modifytime",
    ]
)
DECIDES = frozenset(
    ["yy", "fklx", "czlx", "lclx", "ywlx", "xxlx", "type", "feedbacktype", "action", "reason"]
)


def meaning(column: str) -> Meaning | None:
    """Return what *column* usually means, None where nobody knows."""
    name = column.rpartition(".")[2].replace("_", "").lower()
    return MEANINGS.get(name)


def plain(column: str) -> str:
    """Return a column's name as the sets here spell it."""
    return column.rpartition(".")[2].replace("_", "").lower()
