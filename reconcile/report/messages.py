"""Every text that a report shows, in Chinese and English: whole sentences with places, never glued from pieces."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal

from reconcile.report.duties import DUTIES

Language = Literal["zh", "en"]
LANGUAGES: tuple[Language, Language] = ("zh", "en")

# Each key with its Chinese and its English.
MESSAGES: dict[str, tuple[str, str]] = {
    "report": ("录音完整性日报", "Daily report on recordings"),
    "comparison": ("通话与录音比对", "Calls compared with recordings"),
    "as_of": ("业务日 {day}", "Business day {day}"),
    "generated": ("生成时间 {at}（{zone}）", "Made at {at} ({zone})"),
    "period": ("核对区间 {first} 至 {last}", "Reconciled from {first} to {last}"),
    "switch": ("English", "中文"),
    "good": ("完整", "Complete"),
    "attention": ("需要关注", "Needs attention"),
    "bad": ("存在严重问题", "Serious findings"),
    "no_data": ("没有数据", "No data"),
    "verdict": (
        "应有录音的通话共 {must} 通，其中 {complete} 通完整（{coverage}）。",
        "Of {must} calls that must have a recording, {complete} are complete ({coverage}).",
    ),
    "verdict_none": ("核对区间内没有应有录音的通话。", "No call in this period had to have a recording."),
    "verdict_open": (
        "未解决的问题：严重 {critical}，重要 {major}，一般 {minor}。",
        "Open findings: {critical} critical, {major} major, {minor} minor.",
    ),
    "verdict_clear": ("没有未解决的问题。", "There are no open findings."),
    "calls": ("通话", "Calls"),
    "kind_line": ("- {kind}（{severity}）：{n}", "- {kind} ({severity}): {n}"),
    "calls_expecting": ("应有录音", "Due a recording"),
    "recordings": ("录音", "Recordings"),
    "volume": ("数据量", "Volume"),
    "hours": ("录音时长（小时）", "Audio (hours)"),
    "coverage": ("完整率", "Coverage"),
    "open_findings": ("未解决问题", "Open findings"),
    "stations": ("录音经过的各站", "The recordings' way, station by station"),
    "stations_note": (
        "每一站都按实际数据核对。第一站数通话，其后数录音；检索只登记有对应通话的录音，无主录音不算丢失。",
        "Read from data: first calls, then recordings. Search links only those that have a call: others are not lost.",
    ),
    "station_called": ("应有录音", "Calls due"),
    "station_on_site": ("源磁盘", "On site"),
    "station_in_snapshot": ("快照", "In snapshot"),
    "station_restored": ("已恢复", "Restored"),
    "station_published": ("已发布", "Published"),
    "station_indexed": ("可检索", "Indexed"),
    "station_lost": ("丢失 {lost}", "{lost} lost"),
    "station_whole": ("无丢失", "none lost"),
    "station_unknown": ("未核对", "not looked at"),
    "calendar": ("完整率日历", "Calendar of coverage"),
    "calendar_said": (
        "{site}：{days} 天中，完整 {full} 天，不完整 {partly} 天，没有备份 {gap} 天，未核对 {unknown} 天。",
        "{site}: {days} days, of which {full} complete, {partly} not, {gap} without backup, {unknown} not looked at.",
    ),
    "calendar_worst": (
        "最低：{day}，{complete} / {must}（{coverage}）。",
        "The lowest: {day}, {complete} / {must} ({coverage}).",
    ),
    "level_full": ("100 %", "100 %"),
    "level_high": ("99 % 以上", "99 % or more"),
    "level_mid": ("90 % 以上", "90 % or more"),
    "level_low": ("低于 90 %", "below 90 %"),
    "level_none": ("无需录音", "none due"),
    "level_gap": ("没有备份", "no backup"),
    "level_unknown": ("未核对", "not looked at"),
    "month_1": ("1月", "Jan"),
    "month_2": ("2月", "Feb"),
    "month_3": ("3月", "Mar"),
    "month_4": ("4月", "Apr"),
    "month_5": ("5月", "May"),
    "month_6": ("6月", "Jun"),
    "month_7": ("7月", "Jul"),
    "month_8": ("8月", "Aug"),
    "month_9": ("9月", "Sep"),
    "month_10": ("10月", "Oct"),
    "month_11": ("11月", "Nov"),
    "month_12": ("12月", "Dec"),
    "weekday_0": ("一", "Mo"),
    "weekday_2": ("三", "We"),
    "weekday_4": ("五", "Fr"),
    "weekday_6": ("日", "Su"),
    "by_site": ("各站点每日完整率", "Coverage by site and day"),
    "whole_business": ("整个业务", "Whole business"),
    "whole_period": ("整个区间", "Whole period"),
    "columns_note": (
        "显示最近 {shown} 天，共 {total} 天；其余见日历。",
        "The last {shown} days of {total}; the calendar has the others.",
    ),
    "site": ("站点", "Site"),
    "day": ("日期", "Day"),
    "first_things": ("首先处理", "Look at these first"),
    "never_reported": ("从未上报", "never reported"),
    "trend": ("趋势：录音数量与完整率", "Trend: recordings and coverage"),
    "findings_by_kind": ("问题分类", "Findings by kind"),
    "kind": ("类型", "Kind"),
    "severity": ("级别", "Severity"),
    "open": ("未解决", "Open"),
    "meaning": ("含义", "Meaning"),
    "todo": ("处理办法", "What to do"),
    "top_findings": ("问题明细", "Findings"),
    "top_note": (
        "显示前 {shown} 条，共 {total} 条；其余见 findings.xlsx。",
        "The first {shown} of {total} are shown; findings.xlsx has the rest.",
    ),
    "link_workbook": ("全部问题（Excel）", "All findings (Excel)"),
    "link_csv": ("全部问题（CSV）", "All findings (CSV)"),
    "link_data_docs": ("预期的详细结果（Data Docs）", "Every expectation (Data Docs)"),
    "expectations": ("预期", "Expectations"),
    "expectations_met": ("共 {total} 项预期，{met} 项符合。", "{met} of {total} expectations are met."),
    "expectation": ("未符合的预期", "Not met"),
    "column": ("字段", "Figure"),
    "checks": ("留存检查", "Checks of what is kept"),
    "check": ("检查", "Check"),
    "check_packs": ("仓库数据", "Packs of the repository"),
    "check_snapshots": ("快照清单", "List of snapshots"),
    "check_objects": ("已发布的录音", "Published recordings"),
    "check_source": ("源磁盘抽查", "Sample of the source disk"),
    "check_locks": ("失效的锁", "Stale locks"),
    "check_last": ("最近检查", "Last checked"),
    "check_verdict": ("结论", "Verdict"),
    "check_sound": ("完好", "sound"),
    "check_damaged": ("已损坏", "damaged"),
    "check_removed": ("已清除", "removed"),
    "check_concerned": ("涉及录音", "Recordings concerned"),
    "check_share": ("每 {shares} 天轮完一遍", "all of it every {shares} days"),
    "check_alert": ("{title}：留存检查发现损坏", "{title}: a check found damage"),
    "check_line": (
        "- {kind}，站点 {site} {year}：{said}；涉及录音 {n} 份",
        "- {kind}, site {site} {year}: {said}; {n} recordings concerned",
    ),
    "check_todo": (
        "处理办法见运维手册“检查发现损坏时”。受影响的录音列在日报中。",
        "What to do: the operator's guide, “When a check finds damage”. The report lists the recordings concerned.",
    ),
    "observed": ("实际值", "Observed"),
    "subject": ("对象", "Subject"),
    "expected": ("应有", "Expected"),
    "actual": ("实际", "Actual"),
    "lost_at": ("丢失于", "Lost at"),
    "held_at": ("最后见于", "Last held at"),
    "held_time": ("最后见到的时间", "Held there at"),
    "size": ("字节数", "Bytes"),
    "sha256": ("SHA-256", "SHA-256"),
    "cause": ("原因", "Cause"),
    "held_there": ("最后见于{station}（{time}）", "last held at: {station} ({time})"),
    "held_there_once": ("最后见于{station}", "last held at: {station}"),
    "age_days": ("未解决天数", "Days open"),
    "age": ("已 {days} 天", "{days} days"),
    "first_seen": ("首次发现", "First seen"),
    "last_seen": ("最近发现", "Last seen"),
    "status": ("状态", "Status"),
    "status_open": ("未解决", "open"),
    "status_resolved": ("已解决", "resolved"),
    "waived_findings": ("已豁免的问题", "Waived findings"),
    "author": ("决定人", "Decided by"),
    "reason": ("理由", "Reason"),
    "until": ("豁免至", "Waived until"),
    "waived_at": ("决定时间", "Decided at"),
    "status_since": ("状态起始日", "Status since"),
    "status_waived": ("已豁免", "waived"),
    "resolution": ("解决方式", "Resolved by"),
    "business": ("业务", "Business"),
    "call_id": ("通话编号", "Call"),
    "recording_id": ("录音编号", "Recording"),
    "finding_id": ("问题编号", "Finding"),
    "no_findings": ("没有发现问题。", "Nothing was found."),
    "changes": ("与上次相比", "Since the last report"),
    "changes_counts": (
        "新增 {opened} 条，解决 {resolved} 条，重新出现 {reopened} 条，豁免 {waived} 条。",
        "New: {opened}; resolved: {resolved}; open again: {reopened}; waived: {waived}.",
    ),
    "changes_none": ("没有新的变化。", "No finding is new and none was resolved."),
    "changes_kinds": ("新增的是：{kinds}。", "What is new: {kinds}."),
    "changes_more": ("等", " and others"),
    "changes_by": ("解决方式：{ways}。", "What resolved them: {ways}."),
    "changes_carried": (
        "此前遗留 {carried} 条仍未解决，最早的已 {days} 天。",
        "Still open from before: {carried}; days that the oldest is open: {days}.",
    ),
    "changes_day": (
        "{day} 录音 {recordings} 份（前一日 {before} 份），完整率 {coverage}（前一日 {coverage_before}）。",
        "{day} has {recordings} recordings (the day before {before}) and a coverage of {coverage} ({coverage_before}).",
    ),
    "file_types": ("文件类型", "Kinds of files"),
    "container": ("封装", "Container"),
    "codec": ("编码", "Codec"),
    "state": ("状态", "State"),
    "state_ok": ("正常", "whole"),
    "state_empty": ("空文件", "empty"),
    "state_truncated": ("被截断", "truncated"),
    "state_undecodable": ("无法解码", "undecodable"),
    "state_in_progress": ("写入中", "still growing"),
    "state_unreadable": ("无法读取", "unreadable"),
    "lengths": ("录音时长分布", "Lengths of the recordings"),
    "length_seconds": ("{first}–{until} 秒", "{first}–{until} s"),
    "length_minutes": ("{first}–{until} 分钟", "{first}–{until} min"),
    "length_longest": ("{first} 小时以上", "{first} h and more"),
    "length_unknown": ("时长未知", "unknown"),
    "lengths_note": (
        "共 {recordings} 份，合计 {seconds} 秒，平均 {mean} 秒。下限含，上限不含。",
        "{recordings} recordings, {seconds} s in all, {mean} s on average. Each range includes its lower end only.",
    ),
    "backups": ("各站点备份", "Backups by site"),
    "last_snapshot": ("最近快照", "Last snapshot"),
    "taken_at": ("时间", "Taken at"),
    "snapshots": ("快照数", "Snapshots"),
    "covers": ("覆盖至", "Covers until"),
    "none": ("无", "none"),
    "coverage_complete": ("完整", "complete"),
    "coverage_partial": ("部分", "partial"),
    "coverage_missing": ("缺失", "missing"),
    "coverage_excluded": ("无需录音", "none needed"),
    "by_coverage": ("通话按完整程度", "Calls by coverage"),
    "severity_critical": ("严重", "critical"),
    "severity_major": ("重要", "major"),
    "severity_minor": ("一般", "minor"),
    "severity_info": ("提示", "info"),
    "masked": (
        "电话号码已脱敏。每个数字都来自目录中的 Parquet 数据，可用任何工具复核。",
        "Telephone numbers are masked. Every figure comes from the catalog's Parquet and can be checked with any tool.",
    ),
    "more_in_report": ("详见报告与 findings.xlsx。", "See the report and findings.xlsx."),
    "more_at": ("报告与 findings.xlsx 位于：{where}", "The report and findings.xlsx are in {where}"),
    "kinds_more": ("另有 {kinds} 类问题，共 {n} 条。", "{n} more, of {kinds} other kinds."),
    "findings_more": ("另有 {n} 条，见报告。", "{n} more are in the report."),
    "mail_attached": (
        "附件 report.html 是完整报告，可离线打开；findings.xlsx 含全部问题。",
        "Attached: report.html, the whole report, which opens offline, and findings.xlsx with every finding.",
    ),
    "summary_sheet": ("汇总", "Summary"),
    "cause_unreadable_on_site": ("源磁盘上无法读取", "unreadable at the source"),
    "cause_site_disk_purged": ("源磁盘已清理", "deleted at the source"),
    "cause_vanished_before_backup": ("备份前已消失", "vanished before the backup"),
    "cause_repository_damaged": (
        "仓库已损坏，任何快照都无法取回",
        "The repository is damaged: no snapshot gives it back",
    ),
    "cause_source_altered": ("源磁盘上的内容已变", "altered on the source disk"),
    "cause_restore_incomplete": ("恢复不完整", "restore incomplete"),
    "cause_restored_damaged": ("恢复的副本已损坏", "restored copy damaged"),
    "cause_publish_rejected": ("对象存储未接收", "refused by the object store"),
    "cause_object_removed": ("发布后对象被删除", "object removed after it was published"),
    "cause_object_damaged": ("对象内容已损坏", "object damaged"),
    "cause_index_rejected": ("检索拒绝写入", "refused by the call index"),
    "cause_index_waiting": ("检索未响应，等待写入", "call index did not answer, waiting"),
    "cause_backup_missing": ("当日没有备份", "no backup of the day"),
    "cause_never_recorded_at_site": (
        "疑似从未录音：该站点这一小时没有任何录音",
        "perhaps never recorded: the site recorded nothing in that hour",
    ),
    "cause_never_recorded_on_line": (
        "疑似从未录音：该分机这一小时没有任何录音",
        "perhaps never recorded: the line recorded nothing in that hour",
    ),
    "cause_never_recorded_too_short": (
        "疑似从未录音：通话不足一秒",
        "perhaps never recorded: talked less than a second",
    ),
    "resolution_recording_arrived": ("录音已到", "the recording arrived"),
    "resolution_call_arrived": ("话单已到", "the call record arrived"),
    "resolution_told_otherwise": ("已由另一问题说明", "told by another finding"),
    "resolution_backup_arrived": ("备份已到", "the backup arrived"),
    "resolution_corrected": ("来源已更正", "corrected at the source"),
    "resolution_not_expected": ("不再要求录音", "no recording is due any more"),
    "resolution_healed": ("已恢复正常", "right again"),
    "resolution_withdrawn": ("来源不再提供", "the source tells of it no more"),
    "kind_recording_lost": ("录音丢失", "Recording lost"),
    "mean_recording_lost": (
        "录音在前一站存在，在下一站不见了。",
        "It was at one station and is not at the next.",
    ),
    "do_recording_lost": (
        "从仍有它的站恢复：先查快照，再查源磁盘。",
        "Restore it from a station that has it: the snapshot first, then the source disk.",
    ),
    "kind_content_mismatch": ("内容不一致", "Content differs"),
    "mean_content_mismatch": ("某份副本与源文件不是同样的字节。", "A copy does not have the source's bytes."),
    "do_content_mismatch": (
        "不要使用该副本；从快照重新恢复，并检查磁盘。",
        "Do not use this copy; restore it from the snapshot and check the disk.",
    ),
    "kind_recording_empty": ("录音为空", "Recording empty"),
    "mean_recording_empty": ("文件中没有声音。", "The file has no audio in it."),
    "do_recording_empty": (
        "检查录音系统当时的状态与磁盘空间。",
        "Look at the recorder and its disk space at that time.",
    ),
    "kind_recording_truncated": ("录音被截断", "Recording cut off"),
    "mean_recording_truncated": ("文件比其头部声明的短。", "The file ends before its header says."),
    "do_recording_truncated": (
        "查看录音进程是否中断；源端若有完整文件则重新放置。",
        "See whether the recorder was interrupted; put the whole file in place if there is one.",
    ),
    "kind_recording_undecodable": ("无法解码", "Unknown format"),
    "mean_recording_undecodable": (
        "文件头不属于任何已知音频格式。",
        "Its header is of no audio format that is known.",
    ),
    "do_recording_undecodable": (
        "确认录音系统的编码设置，或文件是否已损坏。",
        "Check the recorder's format, or whether the file is damaged.",
    ),
    "kind_match_ambiguous": ("匹配不唯一", "Ambiguous match"),
    "mean_match_ambiguous": (
        "多个对象同样符合，系统不做猜测。",
        "Several partners fit equally well; none was chosen.",
    ),
    "do_match_ambiguous": (
        "人工确认，或让话单写明录音文件名。",
        "Decide by hand, or let the call record name its file.",
    ),
    "kind_recording_missing": ("缺少录音", "Recording missing"),
    "mean_recording_missing": ("应有录音的通话没有录音。", "A call that must have a recording has none."),
    "do_recording_missing": (
        "检查该分机的录音是否开启；晚到的文件会自动消除此问题。",
        "See whether recording was on for this line; a late file resolves this by itself.",
    ),
    "kind_recording_duplicate": ("录音重复", "Recording repeated"),
    "mean_recording_duplicate": ("与另一文件逐字节相同。", "It repeats another file byte for byte."),
    "do_recording_duplicate": ("通常无害；查明是谁复制了文件。", "Mostly harmless; find out who copied it."),
    "kind_recording_orphan": ("无主录音", "Recording without call"),
    "mean_recording_orphan": ("没有任何话单与之对应。", "No call record belongs to it."),
    "do_recording_orphan": (
        "检查话单抽取的时间窗口与匹配规则。",
        "Check the window of the extract and the matching rules.",
    ),
    "kind_not_indexed": ("未入索引", "Not searchable"),
    "mean_not_indexed": ("检索系统中没有该通话或其录音。", "Search does not know the call or its recording."),
    "do_not_indexed": ("重新运行入库，或重建索引。", "Run ingest again, or rebuild the index."),
    "kind_duration_mismatch": ("时长不符", "Length differs"),
    "mean_duration_mismatch": ("通话时长与录音时长相差过大。", "Talk time and recording differ too much."),
    "do_duration_mismatch": ("试听确认录音是否完整。", "Listen whether the recording is whole."),
    "kind_call_duplicate": ("话单重复", "Call repeated"),
    "mean_call_duplicate": ("同一通话被抽取了多次。", "The same call was extracted more than once."),
    "do_call_duplicate": ("检查 SQL 的连接条件。", "Look at the joins of the SQL."),
    "kind_row_quarantined": ("数据行无法读取", "Row set aside"),
    "mean_row_quarantined": (
        "该行无法解析，已隔离保存，未丢弃。",
        "The row could not be read; it is kept aside, not dropped.",
    ),
    "do_row_quarantined": ("在来源系统修正该行后重新抽取。", "Mend the row at its source and extract again."),
    "kind_extract_mismatch": ("抽取不一致", "Extract differs"),
    "mean_extract_mismatch": (
        "到达的文件与发送方声明的不一致。",
        "The file arrived otherwise than its sender says.",
    ),
    "do_extract_mismatch": ("请发送方重新提供文件。", "Ask the sender for the file again."),
    "kind_clock_skew": ("时钟偏差", "Clocks differ"),
    "mean_clock_skew": (
        "录音系统与话单系统的时钟相差过大。",
        "The recorder's clock and the call system's disagree.",
    ),
    "do_clock_skew": ("校准两端的 NTP。", "Set both by NTP."),
    "kind_backup_overdue": ("备份逾期", "Backup overdue"),
    "mean_backup_overdue": ("该站点当日没有任何备份。", "The site has no backup of this day."),
    "do_backup_overdue": (
        "检查站点的工作进程、网络与磁盘，然后运行备份。",
        "Check the site's worker, network and disk, then run its backup.",
    ),
    **DUTIES,
}


def say(key: str, language: Language, **places: object) -> str:
    """The text of this key in this language, with its places filled."""
    return MESSAGES[key][LANGUAGES.index(language)].format(**places)


# What findings say they expected and found (reconcile.findings), in English as the data has it, and in Chinese.
PHRASES: dict[str, str] = {
    "at the station before, sha256 {}, {} bytes": "在前一站，SHA-256 {}，{} 字节",
    "not at station {}": "不在“{}”站",
    "sha256 {}, {} bytes": "SHA-256 {}，{} 字节",
    "a copy has other bytes": "副本的字节不同",
    "a recording with audio": "有声音的录音",
    "{} bytes without audio": "{} 字节，没有声音",
    "as many bytes as the header says": "与文件头声明的长度一致",
    "the file ends after {} bytes": "文件在 {} 字节处结束",
    "a known audio format": "已知的音频格式",
    "{} bytes with no header that is known": "{} 字节，文件头无法识别",
    "{} bytes that could not be read": "{} 字节，无法读取",
    # The longer come first: a shorter one would take their commas for its value.
    "rows {}, bytes {}, sha256 {}": "{} 行，{} 字节，SHA-256 校验值 {}",
    "rows {}, bytes {}": "{} 行，{} 字节",
    "rows {}, sha256 {}": "{} 行，SHA-256 校验值 {}",
    "bytes {}, sha256 {}": "{} 字节，SHA-256 校验值 {}",
    "rows {}": "{} 行",
    "bytes {}": "{} 字节",
    "sha256 {}": "SHA-256 校验值 {}",
    "one partner that fits best": "唯一最符合的对象",
    "fits {} calls equally well: {}": "同样符合 {} 通通话：{}",
    "its row fits {} files: {}": "该行符合 {} 个文件：{}",
    "the file {}": "文件 {}",
    "a recording": "一份录音",
    "none on the source disk": "源磁盘上没有",
    "content of its own": "独有的内容",
    "the same bytes as recording {}": "与录音 {} 的字节相同",
    "a call that it belongs to": "对应的通话",
    "none that fits by any rule": "没有任何规则能匹配",
    "the call with its recording in the call index": "检索中有该通话及其录音",
    "not in the call index": "检索中没有",
    "{} s talked": "通话 {} 秒",
    "{} s recorded": "录音 {} 秒",
    "one row": "一行",
    "{} rows: {}": "{} 行：{}",
    "a row that can be read": "可读取的一行",
    "at most {} s apart": "最多相差 {} 秒",
    "{} s apart, by {} matches": "相差 {} 秒（依据 {} 次匹配）",
    "a backup that covers {}": "覆盖 {} 的备份",
    "none": "没有",
}


def phrase(text: str, language: Language) -> str:
    """What a finding says, in this language; a text of no known phrase stays as it is."""
    return text if language == "en" else translated(text, _patterns())


def subject(finding: Mapping[str, Any], language: Language) -> str:
    """What the finding is about: a path, a row or an id as it is; of a backup that is overdue the site, in words."""
    text = str(finding["subject"])
    is_site = finding["kind"] == "backup_overdue" and text.startswith("site ")
    return text.replace("site", say("site", language), 1) if is_site and language == "zh" else text


def _place(part: str) -> str:
    """A station by its Chinese name; anything else as it is."""
    return MESSAGES[f"station_{part}"][0] if f"station_{part}" in MESSAGES else part


@cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    return compiled(PHRASES)


def translated(text: str, patterns: list[tuple[re.Pattern[str], str]]) -> str:
    """The Chinese of the first pattern (`compiled`) that the text is of; a text of none stays as it is."""
    for pattern, chinese in patterns:
        found = pattern.fullmatch(text)
        if found:
            return chinese.format(*(_place(part) for part in found.groups()))
    return text


def compiled(phrases: dict[str, str]) -> list[tuple[re.Pattern[str], str]]:
    """English texts with places and their Chinese, to be found by `translated`."""
    return [
        (re.compile(re.escape(english).replace(r"\{\}", "(.*?)"), re.DOTALL), zh) for english, zh in phrases.items()
    ]
