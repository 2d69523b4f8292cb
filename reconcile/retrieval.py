"""What a list asks for: which recordings it is, what each is called, and for what was not found the reason.

Rows of what was found are those of a pack (reconcile.pack_rows), so that names and columns are made in one place.
"""

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from pathlib import PurePosixPath

import polars as pl
from pydantic import ValidationError

from reconcile.errors import RuleError
from reconcile.frames import INSTANT, NOTES
from reconcile.numbers import normalised
from reconcile.pack import Column, File, Pack, Recordings, template_literals
from reconcile.pack_rows import KEYS, fields_of, pack_rows
from reconcile.rules import NumberRules, Rules

DEFAULT_NAME = "{number}/{started_at:%Y%m%d_%H%M%S}_{call_id}.{suffix}"
# So many calls of one entry are more than anybody means.
MOST_CALLS = 1000
# Why something is not there: each with its Chinese and its English.
REASONS = {
    "no_number": ("不是电话号码", "it is no telephone number"),
    "no_call": ("没有符合的通话", "no call of this business fits"),
    "too_many": ("符合的通话超过 1000 通，请缩小日期范围", "more than 1,000 calls fit: narrow the days"),
    "not_expected": ("通话不应有录音（如未接通）", "the call has no recording, and none is expected (not answered, …)"),
    "missing": ("应有录音，但源磁盘上没有", "a recording is expected, and the source disk has none"),
    "ambiguous": ("有几段录音同样符合，未作猜测", "several recordings fit equally well, so none was chosen"),
    "not_traced": ("没有录音，当天尚未核对", "it has no recording, and its day has not been reconciled yet"),
    "not_indexed": ("录音已找到，尚未进入检索", "its recording is known, but not in the call index yet"),
    "lost": ("录音已丢失，对象存储中没有", "the recording is lost: the object store does not have it"),
    "damaged": ("存储的副本与源文件不一致", "the stored copy does not have the source's bytes"),
    "refused": ("对象存储不允许读取", "the object store does not allow reading it"),
}
UNFOUND = pl.Schema(
    [
        ("entry", pl.Int32()), ("asked", pl.String()), ("reason", pl.String()), ("site", pl.String()),
        ("call_id", pl.String()), ("started_at", INSTANT), ("lost_at", pl.String()), ("recording_id", pl.String()),
    ]
)  # fmt: skip
# What a name may not hold beside its fields.
_UNSAFE_LITERAL = re.compile(r'[\x00-\x1f\x7f\\:*?"<>|%{}]')
# https://learn.microsoft.com/en-us/windows/win32/fileio/naming-a-file
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
_LONGEST_PART, _LONGEST_PATH = 200, 800
_COLUMNS = (
    ("站点", "site", {"field": "site"}), ("通话编号", "call id", {"field": "call_id"}),
    ("分段", "leg", {"field": "leg"}), ("通话开始", "started", {"field": "started_at"}),
    ("通话时长(秒)", "talked (s)", {"field": "talk_seconds", "decimals": 0}),
    ("坐席分机", "extension", {"field": "extension"}), ("客户号码", "number", {"field": "number"}),
    ("外显号", "display number", {"field": "display_number"}),
    ("录音时长(秒)", "recorded (s)", {"computed": "duration_ms / 1000.0", "decimals": 1}),
    ("字节", "bytes", {"field": "size", "decimals": 0}), ("SHA-256", "SHA-256", {"field": "sha256"}),
    ("原文件", "source file", {"field": "path"}),
)  # fmt: skip


@dataclass(frozen=True)
class Selection:
    """What was found and what was not.

    Attributes:
        rows: One row a recording and entry: `entry`, `asked`, `KEYS` of a pack, and its columns by their place from 0.
        unfound: `UNFOUND`.
    """

    rows: pl.DataFrame
    unfound: pl.DataFrame


def pack_of(name: str, index: str, field: str, language: str) -> Pack:
    """The form of a retrieval: its columns and names.

    Raises:
        RuleError: there is no such field, or the name cannot be one.
    """
    bad = next(filter(_UNSAFE_LITERAL.search, template_literals(name)), None)
    if bad is not None:
        raise _no_name(name, f"no name can have {bad!r}")
    own = [Column(name=field, field=f"attribute.{field}")] if field not in ("number", "call") else []
    columns = [Column(name=zh if language == "zh" else en, **source) for zh, en, source in _COLUMNS]
    try:
        return Pack(
            pack="retrieval", title="录音调取" if language == "zh" else "Recordings", rows="recordings",
            columns=[*own, *columns], file=File(name=f"index.{index}", kind="xlsx" if index == "xlsx" else "csv"),
            recordings=Recordings(name=name),
        )  # fmt: skip
    except ValidationError as error:
        raise _no_name(name, error.errors()[0]["msg"].removeprefix("Value error, ")) from None


def _no_name(name: str, cause: str) -> RuleError:
    return RuleError(
        operation="name recordings", subject=name, cause=cause,
        remedy=f"write a name such as {DEFAULT_NAME}; `/` makes folders",
    )  # fmt: skip


def of_entry(documents: pl.DataFrame, entry: str, rules: NumberRules) -> pl.DataFrame:
    """Those of these search documents that have this very number, not only a part of it."""
    return documents.filter(pl.col("numbers").list.contains(pl.select(normalised(pl.lit(entry), rules)).item()))


def is_number(entry: str, rules: NumberRules) -> bool:
    """Whether the entry can be a telephone number."""
    return pl.select(normalised(pl.lit(entry), rules)).item() is not None


def select(found: pl.DataFrame, failed: pl.DataFrame, trace: pl.DataFrame, pack: Pack, rules: Rules) -> Selection:
    """The recordings of the documents found, and for every other call the reason.

    `found`: search documents with `entry` (from 1) and `asked`; `failed`: `UNFOUND` of entries without calls; `trace`:
    TRACE of the days of those calls.
    """
    calls = found.unique(["entry", "call_uid"], keep="first", maintain_order=True)
    owned = calls.explode("recordings").drop_nulls("recordings")
    links = owned.select("entry", "asked", pl.col("recordings").struct.field("recording_id"))
    links = links.unique(["entry", "recording_id"], keep="first", maintain_order=True)
    documents = calls.drop("entry", "asked").unique("call_uid", keep="first", maintain_order=True)
    fields = fields_of(pack, documents, NOTES.empty(), rules).unique("recording_id", keep="first", maintain_order=True)
    rows = pack_rows(pack, fields, rules.time_zone).rows
    rows = rows.with_columns(pl.Series("file", distinct(rows["file"].to_list(), rows["recording_id"].to_list())))
    of_entries = links.join(rows, on="recording_id", how="inner", maintain_order="right").sort(
        "entry", maintain_order=True
    )
    unfound = pl.concat([failed, _without(calls, trace)]).sort("entry", "started_at", nulls_last=True)
    return Selection(of_entries.select("entry", "asked", *KEYS, *map(str, range(len(pack.columns)))), unfound)


def _without(calls: pl.DataFrame, trace: pl.DataFrame) -> pl.DataFrame:
    """`UNFOUND` of calls none of whose legs has a recording."""
    call = ["entry", "site", "call_id"]
    silent = calls.group_by(call, maintain_order=True).agg(
        pl.col("asked").first(), pl.col("started_at").min(), pl.col("recordings").list.len().sum().alias("count")
    )
    known = trace.group_by("site", "call_id").agg(
        pl.col("ambiguous").any(), pl.col("recording_id").is_not_null().any().alias("known"),
        pl.col("expects_recording").fill_null(value=False).any(),
    )  # fmt: skip
    reason = (
        pl.when(pl.col("known").is_null()).then(pl.lit("not_traced"))
        .when(pl.col("ambiguous")).then(pl.lit("ambiguous"))
        .when(pl.col("known")).then(pl.lit("not_indexed"))
        .when(pl.col("expects_recording")).then(pl.lit("missing"))
        .otherwise(pl.lit("not_expected"))
    )  # fmt: skip
    joined = silent.filter(pl.col("count") == 0).join(known, on=["site", "call_id"], how="left", maintain_order="left")
    nothing = [pl.lit(None, pl.String).alias(name) for name in ("lost_at", "recording_id")]
    return joined.with_columns(reason.alias("reason"), *nothing).match_to_schema(UNFOUND, extra_columns="ignore")


def refused_files(rows: pl.DataFrame, reasons: dict[str, tuple[str, str | None]]) -> pl.DataFrame:
    """`UNFOUND` of recordings (by their ids) that were selected and could not be had: the reason, and where lost."""
    gone = rows.filter(pl.col("recording_id").is_in(list(reasons)))
    told = pl.DataFrame(
        [(recording_id, reason, lost_at) for recording_id, (reason, lost_at) in reasons.items()],
        schema={"recording_id": pl.String, "reason": pl.String, "lost_at": pl.String}, orient="row",
    )  # fmt: skip
    without_start = pl.lit(None, INSTANT).alias("started_at")
    joined = gone.join(told, on="recording_id", how="inner", maintain_order="left").with_columns(without_start)
    return joined.match_to_schema(UNFOUND, extra_columns="ignore")


def distinct(names: list[str], ids: list[str]) -> list[str]:
    """The names, made such that every system can have them, and no two are one, whatever case they are in.

    >>> distinct(["a/CON.wav", "b.wav", "B.wav"], ["1" * 32, "2" * 32, "3" * 32])
    ['a/_CON.wav', 'b_22222222.wav', 'B_33333333.wav']
    """
    safe = [_safe(name) for name in names]
    plain = [unicodedata.normalize("NFC", name).casefold() for name in safe]
    counts = Counter(plain)
    return [
        _with(name, f"_{one[:8]}") if counts[key] > 1 else name for name, key, one in zip(safe, plain, ids, strict=True)
    ]


def _safe(name: str) -> str:
    """No part of it is empty, reserved, too long, or ends with a dot or a blank."""
    parts = [part.strip(" ").rstrip(". ") or "_" for part in name.split("/")]
    parts = [f"_{part}" if _RESERVED.match(part) else part for part in parts]
    whole = "/".join(_cut(part, _LONGEST_PART) for part in parts if part)
    return whole if len(whole.encode()) <= _LONGEST_PATH else _cut(parts[-1], _LONGEST_PART)


def _cut(part: str, longest: int) -> str:
    """At most so many bytes, with its suffix."""
    if len(part.encode()) <= longest:
        return part
    suffix = PurePosixPath(part).suffix[:12]
    return part.encode()[: longest - len(suffix.encode())].decode(errors="ignore") + suffix


def _with(name: str, more: str) -> str:
    path = PurePosixPath(name)
    return str(path.with_name(f"{path.stem}{more}{path.suffix}"))
