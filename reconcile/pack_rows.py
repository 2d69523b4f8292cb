"""The rows of a pack: calls, notes and recordings, written as the bank wants them, and what breaks its rules."""

import re
from dataclasses import dataclass

import polars as pl

from reconcile.errors import RuleError
from reconcile.numbers import normalised
from reconcile.pack import CALL_FIELDS, SUMMARY_FIELDS, Column, Pack, template_fields, template_literals, used
from reconcile.rules import Rules

# What stays beside the texts of a row, so that it can be packed, recorded, and found again.
KEYS = pl.Schema(
    {
        "business": pl.String, "site": pl.String, "day": pl.Date, "call_uid": pl.String, "call_id": pl.String,
        "row_uid": pl.String, "recording_id": pl.String, "key": pl.String, "size": pl.Int64, "sha256": pl.String,
        "file": pl.String, "published": pl.Boolean,
    }
)  # fmt: skip
PROBLEMS = pl.Schema({"row": pl.Int64, "call_id": pl.String, "column": pl.String, "rule": pl.String})
RECORDING_NAME = "recordings.name"
# What Windows or Linux cannot have in a name, and the sign by which programs differ that read a bag's manifest.
_UNSAFE = r'[\x00-\x1f\x7f/\\:*?"<>|%]'
_LONGEST_NAME = 255
# https://support.microsoft.com/en-us/office/excel-specifications-and-limits
_LONGEST_CELL = 32_767
_INSTANT, _DAY = "%Y-%m-%d %H:%M:%S", "%Y-%m-%d"
_SUMS = (
    "calls", "legs", "notes", "recordings", "bytes", "seconds", "complete", "partial", "missing", "excluded"
)  # fmt: skip


@dataclass(frozen=True)
class PackRows:
    """The rows of a pack: `KEYS` and, by their place from 0, the texts of its columns; and `PROBLEMS`."""

    rows: pl.DataFrame
    problems: pl.DataFrame


def fields_of(pack: Pack, documents: pl.DataFrame, notes: pl.DataFrame, rules: Rules) -> pl.DataFrame:
    """What the pack's rows are made of (`FIELDS`, attributes, row_uid), from search documents and NOTES, in order."""
    calls = _calls(documents, rules)
    row_uid = {"recordings": "recording_id", "notes": "note_uid", "calls": "call_uid"}[pack.rows]
    if pack.rows == "recordings":
        rows = _recordings(calls, pack.recordings.suffix if pack.recordings else None)
        order = ["started_at", "call_uid", "path"]
    elif pack.rows == "notes":
        rows = _notes(calls, notes)
        order = ["written_at", "note_uid"]
    else:
        rows, order = calls, ["started_at", "call_uid"]
    wanted = used(pack)
    own = [_attributes(rows, source, wanted) for source in ("attribute", "note") if source in rows.columns]
    whole = pl.concat([rows.with_columns(pl.col(row_uid).alias("row_uid")), *own], how="horizontal")
    kept = whole.filter(pl.col("site").is_in(pack.sites)) if pack.sites else whole
    return kept.sort("business", "site", "day", *order, nulls_last=True).drop("attribute", "note", strict=False)


def _calls(documents: pl.DataFrame, rules: Rules) -> pl.DataFrame:
    parties = [
        pl.when(pl.col(side).ne_missing(pl.col("extension"))).then(normalised(pl.col(side), rules.numbers))
        for side in ("callee", "caller")
    ]
    return documents.with_columns(
        pl.coalesce(parties).alias("number"),
        (pl.col("started_at") + pl.duration(microseconds=pl.col("talk_seconds") * 1_000_000)).alias("ended_at"),
        pl.col("attributes").alias("attribute"),
    ).select(*CALL_FIELDS, "recordings", "attribute")


def _recordings(calls: pl.DataFrame, suffix_of_copies: str | None) -> pl.DataFrame:
    """A row for each recording that a call owns."""
    owned = calls.filter(pl.col("recordings").list.len() > 0).explode("recordings").unnest("recordings")
    if suffix_of_copies:
        return owned.with_columns(pl.lit(suffix_of_copies).alias("suffix"))
    suffix = pl.coalesce(pl.col("path").str.to_lowercase().str.extract(r"\.([0-9a-z]{1,8})$"), "container")
    return owned.with_columns(suffix.alias("suffix"))


def with_published(fields: pl.DataFrame, listing: pl.DataFrame) -> pl.DataFrame:
    """The fields of recordings, with `published`: whether the object store (LISTING) holds each with all its bytes."""
    held = listing.select("key", "size", pl.lit(value=True).alias("published"))
    joined = fields.join(held, on=["key", "size"], how="left", maintain_order="left")
    return joined.with_columns(pl.col("published").fill_null(value=False))


def not_sent(rows: pl.DataFrame, sent: pl.DataFrame, pack: str) -> pl.DataFrame:
    """The rows (`KEYS`) that were not sent (SENT) in this pack before."""
    return rows.join(sent.filter(pl.col("pack") == pack), on="row_uid", how="anti", maintain_order="left")


def _notes(calls: pl.DataFrame, notes: pl.DataFrame) -> pl.DataFrame:
    """A row for each note, with the first leg of its call where there is one."""
    first = calls.sort("leg").unique(["business", "site", "call_id"], keep="first", maintain_order=True)
    of_call = first.drop("recordings", "day", "dataset")
    return notes.select(
        "business", "site", "day", "dataset", "note_uid", "call_id", "written_at", pl.col("attributes").alias("note")
    ).join(of_call, on=["business", "site", "call_id"], how="left")


def _attributes(rows: pl.DataFrame, source: str, wanted: list[str]) -> pl.DataFrame:
    """The attributes that are wanted, as texts named `<source>.<name>`."""
    names = [name.removeprefix(f"{source}.") for name in wanted if name.startswith(f"{source}.")]
    if not names:
        return pl.DataFrame(height=rows.height)
    values = rows[source].fill_null("{}").str.json_decode(pl.Struct(dict.fromkeys(names, pl.String)))
    return values.struct.unnest().rename(lambda name: f"{source}.{name}")


def summary_fields(pack: Pack, summary: pl.DataFrame) -> pl.DataFrame:
    """What the rows of a summary are made of: SUMMARY added up by what the pack says, in order."""
    by = ["business", *pack.by]
    month = pl.col("day").dt.strftime("%Y-%m").alias("month")
    kept = summary.drop_nulls("day").with_columns(month)
    kept = kept.filter(pl.col("site").is_in(pack.sites)) if pack.sites else kept
    must = pl.col("complete") + pl.col("partial") + pl.col("missing")
    added = kept.group_by(by).agg(pl.col(_SUMS).sum()).sort(by)
    absent = {"site": pl.String, "day": pl.Date, "month": pl.String}
    return added.with_columns(
        pl.when(must == 0).then(1.0).otherwise(pl.col("complete") / must).alias("coverage"),
        *(pl.lit(None, dtype).alias(name) for name, dtype in absent.items() if name not in added.columns),
    ).select(SUMMARY_FIELDS)


def pack_rows(pack: Pack, fields: pl.DataFrame, time_zone: str) -> PackRows:
    """The rows of the pack, and what breaks the bank's rules; local times are of this zone.

    Raises:
        RuleError: a condition or computed value is no SQL over the fields.
    """
    if pack.where is not None:
        fields = fields.filter(_of_sql(fields, pack.where, "where"))
    fields = fields.with_row_index("row", 1)
    if pack.recordings:
        fields = fields.with_columns(_safe_name(pack.recordings.name, fields, time_zone).alias("file"))
    raw = fields.select(_raw(column, fields, time_zone).alias(str(place)) for place, column in enumerate(pack.columns))
    texts = raw.select(_coded(column, pl.col(str(place))) for place, column in enumerate(pack.columns))
    rows = pl.concat([_keys(fields), texts], how="horizontal")
    return PackRows(rows, _problems(pack, raw, rows))


def _of_sql(fields: pl.DataFrame, text: str, where: str) -> pl.Series:
    """The values of the SQL expression, one a row."""
    try:
        values = fields.select(pl.sql_expr(text).alias("value")).to_series()
    except pl.exceptions.PolarsError as error:
        raise RuleError(
            operation="make the rows of a pack", subject=f"{where}: {text}",
            cause=" ".join(str(error).split())[:300],
            remedy=f"write SQL over the fields {', '.join(fields.columns)}; names with other signs stand in quotes",
        ) from None  # fmt: skip
    return values if values.len() == fields.height else values.new_from_index(0, fields.height)


def _keys(fields: pl.DataFrame) -> pl.DataFrame:
    return fields.select(
        (pl.col(name) if name in fields.columns else pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in KEYS.items()
    )


def _raw(column: Column, fields: pl.DataFrame, time_zone: str) -> pl.Expr | pl.Series:
    """The column's values as text, before its code table; null where there is none."""
    if column.template is not None:
        return _filled(column.template, fields, time_zone)
    if column.computed is not None:
        values = _of_sql(fields, column.computed, column.name)
        return pl.select(_text(pl.lit(values), values.dtype, column, time_zone)).to_series()
    if column.field is not None:
        return _text(pl.col(column.field), fields.schema[column.field], column, time_zone)
    return pl.lit(column.fixed)


def _text(value: pl.Expr, dtype: pl.DataType, column: Column, time_zone: str) -> pl.Expr:
    """The value as the column writes it."""
    if isinstance(dtype, pl.Datetime):
        return value.dt.convert_time_zone(time_zone).dt.strftime(column.format or _INSTANT)
    if dtype == pl.Date:
        return value.dt.strftime(column.format or _DAY)
    if column.decimals is not None:
        rounded = value.round(column.decimals, mode="half_away_from_zero") if dtype.is_float() else value
        exact = rounded.cast(pl.Decimal(38, column.decimals), strict=False).cast(pl.String)
        return pl.coalesce(exact, value.cast(pl.String))
    if dtype.is_float():
        whole = value.cast(pl.Int64, strict=False)
        return pl.when(value == whole).then(whole.cast(pl.String)).otherwise(value.cast(pl.String))
    return value.cast(pl.String)


def _filled(template: str, fields: pl.DataFrame, time_zone: str, unsafe: str | None = None) -> pl.Expr:
    """The template with the fields' texts in it; what matches `unsafe` in them becomes `_`."""
    literals = template_literals(template)
    parts = [pl.lit(literals[0])]
    for (name, form), literal in zip(template_fields(template), literals[1:], strict=True):
        text = _text(pl.col(name), fields.schema[name], Column(name=name, field=name, format=form), time_zone)
        parts += [text.str.replace_all(unsafe, "_") if unsafe else text, pl.lit(literal)]
    return pl.concat_str([part.fill_null("") for part in parts])


def _safe_name(template: str, fields: pl.DataFrame, time_zone: str) -> pl.Expr:
    """A path below the pack: no part of it is empty, `.` or `..`, whatever the fields hold."""
    name = _filled(template, fields, time_zone, _UNSAFE)
    parts = name.str.strip_chars("/").str.split("/")
    return parts.list.eval(pl.element().str.replace(r"^\.*$", "_")).list.join("/")


def _coded(column: Column, value: pl.Expr) -> pl.Expr:
    """The value as its code table says; what is empty has no code, and is never null."""
    if column.codes is not None:
        rest = value if column.otherwise is None else pl.lit(column.otherwise)
        value = pl.when(value != "").then(value.replace_strict(column.codes, default=rest))
    return value.fill_null("")


def _problems(pack: Pack, raw: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """`PROBLEMS`: rule by rule, with the row from 1."""
    broken = [
        (column.name, rule, condition)
        for place, column in enumerate(pack.columns)
        for rule, condition in _rules(pack, column, pl.col(f"raw.{place}"), pl.col(str(place))).items()
    ]
    if pack.recordings:
        broken += [(RECORDING_NAME, rule, condition) for rule, condition in _rules_of_names().items()]
    both = pl.concat([rows, raw.rename(lambda name: f"raw.{name}")], how="horizontal").with_row_index("row", 1)
    found = [
        both.filter(condition).select(
            pl.col("row").cast(pl.Int64), "call_id", pl.lit(name).alias("column"), pl.lit(rule).alias("rule")
        )
        for name, rule, condition in broken
    ]
    return pl.concat([PROBLEMS.to_frame(), *found]).sort("row", "column", "rule")


def _rules(pack: Pack, column: Column, raw: pl.Expr, text: pl.Expr) -> dict[str, pl.Expr]:
    """The column's rules, each with what breaks it."""
    given = text != ""
    rules: dict[str, pl.Expr] = {}
    if column.required:
        rules["it is empty"] = ~given
    if column.decimals is not None and column.codes is None:
        rules["it is no number"] = given & ~text.str.contains(r"^-?\d+(\.\d+)?$")
    if column.codes is not None and column.otherwise is None:
        rules["the code table lacks it"] = given & ~raw.is_in(list(column.codes))
    if column.unique:
        rules["another row has the same"] = given & text.is_duplicated()
    if column.max_length is not None:
        rules[f"it is longer than {column.max_length} characters"] = text.str.len_chars() > column.max_length
    if column.pattern is not None:
        rules[f"it does not fit {column.pattern}"] = given & ~text.str.contains(f"^(?:{column.pattern})$")
    return rules | _rules_of_file(pack, column, text)


def _rules_of_file(pack: Pack, column: Column, text: pl.Expr) -> dict[str, pl.Expr]:
    """What the file's form cannot hold."""
    file, rules = pack.file, {}
    if file.kind == "xlsx":
        return {"it is longer than the 32,767 characters of a cell": text.str.len_chars() > _LONGEST_CELL}
    if file.encoding == "gbk":
        rules["gbk has no sign for it"] = text.map_elements(lambda value: not _fits(value, "gbk"), pl.Boolean)
    if file.kind == "fixed" and column.width is not None:
        length = text.map_elements(lambda value: len(value.encode(file.encoding, "replace")), pl.Int64)
        rules[f"it is longer than {column.width} bytes"] = length > column.width
        rules["it holds a line end"] = text.str.contains(r"[\r\n]")
    if file.kind == "csv" and file.quotes == "never":
        signs = f"[\r\n{re.escape(file.delimiter)}]"
        rules["it holds a delimiter or a line end, and nothing is quoted"] = text.str.contains(signs)
    return rules


def _fits(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _rules_of_names() -> dict[str, pl.Expr]:
    """What a pack cannot have as names of recordings; case and normal form do not tell two names apart."""
    name = pl.col("file")
    longest = name.str.split("/").list.eval(pl.element().str.len_bytes()).list.max()
    return {
        "two recordings would have this name": name.str.normalize("NFC").str.to_lowercase().is_duplicated(),
        f"a part of the name is longer than {_LONGEST_NAME} bytes": longest > _LONGEST_NAME,
        "the object store does not hold it whole": ~pl.col("published"),
    }
