"""Which source column fills which column of a frame: as the rules say, else by names that sources use."""

import re
from collections.abc import Iterable
from difflib import get_close_matches

import polars as pl

from reconcile.errors import RuleError
from reconcile.rules import ColumnMap, Extracted, Source

# Names that sources use, the first that a file has holds; case, spaces, `_` and `-` do not matter.
CALL_ALIASES: dict[str, tuple[str, ...]] = {
    "call_id": (
        "call_id", "linkedid", "uniqueid", "xml_cdr_uuid", "call_uuid", "uuid", "callsid", "session_id",
        "flowno",
        "通话ID", "通话编号", "通话唯一标识", "呼叫ID", "话单ID", "话单编号", "流水号", "会话ID",
    ),
    "started_at": (
        "started_at", "start", "start_time", "start_stamp", "calldate", "call_date", "call_time",
        "begin_time", "begin",
        "start_at", "start_epoch", "开始时间", "通话开始时间", "呼叫时间", "拨打时间", "通话时间", "起始时间",
    ),
    "talk_seconds": (
        "talk_seconds", "billsec", "talk_time", "duration_sec", "duration_seconds", "bill_seconds",
        "holdtime",
        "talk_duration", "通话时长", "通话秒数", "通话时长(秒)", "计费时长", "duration", "时长",
    ),
    "extension": ("extension", "agent_extension", "agent_ext", "ext", "分机", "分机号", "坐席分机",
    "分机号码"),
    "caller": (
        "caller", "src", "caller_number", "caller_id_number", "calling_number", "callere164", "ani",
        "from_number",
        "主叫", "主叫号码",
    ),
    "callee": (
        "callee", "dst", "destination", "destination_number", "callee_number", "called_number", "called",
        "calleee164",
        "to_number", "被叫", "被叫号码", "客户号码",
    ),
    "display_number": ("display_number", "outbound_cnum", "display_no", "外显号", "外显号码", "显示号码",
    "透传号码"),
    "recording_path": (
        "recording_path", "recordingfile", "recording_file", "record_file", "record_path", "recordpath",
        "recordfile",
        "recording", "record_url", "recording_url", "file_path", "file", "path", "filename", "file_name",
        "录音文件", "录音路径", "录音地址", "录音文件名", "录音",
    ),
}  # fmt: skip
NOTE_ALIASES: dict[str, tuple[str, ...]] = {
    "call_id": CALL_ALIASES["call_id"],
    "started_at": (
        "written_at", "noted_at", "created_at", "create_time", "created", "note_time", "record_time",
        "催记时间", "创建时间",
        "记录时间", "跟进时间", "录入时间", *CALL_ALIASES["started_at"],
    ),
}  # fmt: skip


def sources(mapped: ColumnMap, columns: list[str], aliases: dict[str, tuple[str, ...]]) -> dict[str, Source]:
    """The source of each column of the frame that has one.

    Raises:
        RuleError: a mapped column is not there.
    """
    given = {field: source for field in type(mapped).model_fields if (source := getattr(mapped, field)) is not None}
    found = {field: _present(source, field, columns) for field, source in given.items()}
    taken = {source_column(source) for source in found.values()}
    by_name = {_folded(name): name for name in reversed(columns) if name not in taken}
    for field, names in aliases.items():
        name = next((by_name[_folded(alias)] for alias in names if _folded(alias) in by_name), None)
        if field not in found and name:
            found[field] = name
            del by_name[_folded(name)]
    return found


def source_column(source: Source) -> str:
    """The column that the source reads."""
    return source.column if isinstance(source, Extracted) else source


def source_text(source: Source) -> pl.Expr:
    """What the source reads, as text; what an Extracted does not find is null."""
    if isinstance(source, Extracted):
        return pl.col(source.column).str.extract(source.pattern, 1)
    return pl.col(source)


def check_columns(wanted: Iterable[str], columns: list[str], purpose: str) -> None:
    """Nothing, if all of them are there.

    Raises:
        RuleError: one is not; it names the nearest and all that are.
    """
    for name in wanted:
        if name in columns:
            continue
        folded = {column.casefold(): column for column in columns}
        near = get_close_matches(name.casefold(), folded, n=1, cutoff=0.5)
        advice = f"did you mean {folded[near[0]]}? " if near else ""
        raise RuleError(
            operation=f"read {purpose}", subject=name, cause="the table has no such column",
            remedy=f"{advice}it has: {', '.join(columns)}",
        )  # fmt: skip


def _present(source: Source, field: str, columns: list[str]) -> Source:
    check_columns([source_column(source)], columns, f"{field} from the column that the rules name")
    if isinstance(source, Extracted):
        try:
            pl.Series([""]).str.extract(source.pattern, 1)
        except pl.exceptions.ComputeError as error:
            raise RuleError(
                operation=f"read {field}", subject=source.pattern,
                cause=f"it is no regular expression: {error}",
                remedy="write a regular expression with one group, without look-around",
            ) from error  # fmt: skip
    return source


def _folded(name: str) -> str:
    return re.sub(r"[\s_\-]", "", name).casefold().replace("（", "(").replace("）", ")")
