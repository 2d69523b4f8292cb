"""The lists that go with retrieved recordings: what is in the ZIP file, and what was not found and why."""

import polars as pl

from reconcile.frames import STATIONS
from reconcile.pack import Pack
from reconcile.retrieval import REASONS
from reconcile.spreadsheets import csv_for_people, workbook

FOLDER = "recordings"
_FOUND = {"zh": ("查询内容", "录音文件"), "en": ("asked for", "file")}
_UNFOUND = {
    "zh": ("序号", "查询内容", "原因", "站点", "通话编号", "通话开始"),
    "en": ("entry", "asked for", "reason", "site", "call id", "started"),
}
_STATIONS = dict(zip(STATIONS, ("话单", "源磁盘", "加密快照", "中心磁盘", "对象存储", "检索"), strict=True))
_SHEETS = {"zh": ("录音", "未找到"), "en": ("recordings", "not found")}


def index_files(
    pack: Pack, rows: pl.DataFrame, unfound: pl.DataFrame, language: str, time_zone: str
) -> dict[str, bytes]:
    """Names and contents of the lists: one workbook, or two CSV files for a spreadsheet; none runs a formula."""
    found = rows.select(
        "asked", pl.concat_str(pl.lit(f"{FOLDER}/"), "file").alias("file"), *map(str, range(len(pack.columns)))
    )
    found = found.rename(_headings(found.columns, [*_FOUND[language], *(column.name for column in pack.columns)]))
    rest = readable(unfound, language, time_zone)
    if pack.file.kind == "xlsx":
        sheets = dict(zip(_SHEETS[language], (found, rest), strict=True))
        return {"index.xlsx": workbook(sheets, pack.title)}
    return {"index.csv": csv_for_people(found), "not-found.csv": csv_for_people(rest)}


def _headings(columns: list[str], names: list[str]) -> dict[str, str]:
    """A heading for each column; an attribute that is called like another column gets a star."""
    headings: list[str] = []
    for name in names:
        headings.append(f"{name} *" if name in headings else name)
    return dict(zip(columns, headings, strict=True))


def readable(unfound: pl.DataFrame, language: str, time_zone: str) -> pl.DataFrame:
    """What was not found, as people read it: the entry, what was asked, why, and of which call."""
    side = 0 if language == "zh" else 1
    why = pl.col("reason").replace_strict({code: words[side] for code, words in REASONS.items()}, default="")
    at = pl.col("lost_at").replace(_STATIONS) if side == 0 else pl.col("lost_at")
    started = pl.col("started_at").dt.convert_time_zone(time_zone).dt.to_string("%Y-%m-%d %H:%M:%S")
    reason = pl.when(at.is_null()).then(why).otherwise(pl.concat_str(why, pl.lit(" · "), at)).alias("reason")
    told = unfound.select("entry", "asked", reason, "site", "call_id", started)
    return told.rename(dict(zip(told.columns, _UNFOUND[language], strict=True)))
