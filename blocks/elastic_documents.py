"""How a document of the call index stands in Elasticsearch: its mapping, its JSON, and how it is looked for.

Beside the columns of `DOCUMENT_SCHEMA` a stored document has `attributes_json`, the attributes letter for letter (in
`attributes` they are an object, for searching); `started_us`, the exact instant, for Elasticsearch's dates end at
milliseconds; `number_parts`, every ending of every number, so that a part of a number is the beginning of one of
them; and `content`, a hash by which an unchanged document is known.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl

from blocks.index import DOCUMENT_SCHEMA, CallQuery

# As many characters of each ending are kept; a longer part of a number is looked for letter by letter.
_PART = 32
# Counted up when the stored form changes, so that every document is written again.
_FORM = 1
_KEYWORD = {"type": "keyword"}
_LONG = {"type": "long"}
_KEPT = {"type": "keyword", "index": False, "doc_values": False}
_PROPERTIES: dict[str, Any] = {
    **dict.fromkeys(("call_uid", "business", "site", "dataset", "call_id", "leg", "content"), _KEYWORD),
    **dict.fromkeys(("extension", "caller", "callee", "display_number", "numbers", "number_parts"), _KEYWORD),
    "day": {"type": "date", "format": "strict_date"},
    "started_at": {"type": "date"},
    "started_us": _LONG,
    "talk_seconds": {"type": "double"},
    # One field whatever the number of names: a value is found by `attributes.<name>`.
    "attributes": {"type": "flattened", "ignore_above": 8191},
    "attributes_json": _KEPT,
    # The standard analyzer cuts Han text into characters, so a phrase of it is found by match_phrase.
    "notes": {"type": "text"},
    "recordings": {
        "properties": {
            **dict.fromkeys(("recording_id", "container", "codec"), _KEYWORD),
            **dict.fromkeys(("key", "path", "sha256"), _KEPT),
            **dict.fromkeys(("duration_ms", "size"), _LONG),
        }
    },
}
MAPPING: dict[str, Any] = {
    "dynamic": "false",
    "_source": {"excludes": ["number_parts"]},
    "properties": _PROPERTIES,
}
# What is read back of a document, as it stands in its JSON.
READ_SCHEMA = pl.Schema(
    {name: {"day": pl.String(), "started_at": pl.Int64()}.get(name, dtype) for name, dtype in DOCUMENT_SCHEMA.items()}
)
_STORED_AS = {"started_at": "started_us", "attributes": "attributes_json"}
READ = [_STORED_AS.get(name, name) for name in DOCUMENT_SCHEMA]


def encoded(documents: pl.DataFrame) -> pl.DataFrame:
    """call_uid, content and line of each document (`DOCUMENT_SCHEMA`): its hash, and its JSON on one line."""
    plain = pl.struct(
        *(name for name in DOCUMENT_SCHEMA if name not in {"day", "started_at", "attributes"}),
        pl.col("day").dt.to_string("%Y-%m-%d"),
        pl.col("started_at").dt.to_string("%Y-%m-%dT%H:%M:%S%.6fZ"),
        pl.col("started_at").dt.timestamp("us").alias("started_us"),
        pl.col("attributes").alias("attributes_json"),
    )
    # The hash is of the document alone, not of what follows from it.
    return (
        documents.select("call_uid", plain.struct.json_encode().alias("plain"), _searchable("attributes"))
        .with_columns(
            pl.concat_str(pl.lit(f"{_FORM}-"), pl.col("plain").hash()).alias("content"),
            pl.struct(_number_parts(documents["numbers"])).struct.json_encode().alias("parts"),
        )
        .select("call_uid", "content", _line().alias("line"))
    )


def _line() -> pl.Expr:
    """One JSON object of content, attributes and the members of parts and plain."""
    parts = pl.col("parts").str.strip_prefix("{").str.strip_suffix("}")
    plain = pl.col("plain").str.strip_prefix("{")
    named = (('{"content":"', "content"), ('","attributes":', "attributes"), (",", parts), (",", plain))
    return pl.concat_str(*(part for name, value in named for part in (pl.lit(name), value)))


def _searchable(name: str) -> pl.Expr:
    """The JSON object in this text, on one line; a JSON string, which Elasticsearch will refuse, where it is none."""
    text = pl.col(name)
    is_object = text.str.strip_chars_start().str.starts_with("{")
    whole = pl.when(is_object).then(text).str.json_path_match("$")
    as_string = pl.struct(text).struct.json_encode().str.strip_prefix(f'{{"{name}":').str.strip_suffix("}")
    return pl.coalesce(whole, as_string).fill_null("null").alias(name)


def _number_parts(numbers: pl.Series) -> pl.Series:
    """Every ending of every number, cut at `_PART` characters."""
    texts = numbers.to_frame("text").with_row_index("row").explode("text", empty_as_null=True)
    starts = pl.int_ranges(0, pl.col("text").str.len_chars().fill_null(0)).alias("start")
    endings = texts.select("row", "text", starts).explode("start", empty_as_null=True).drop_nulls()
    found = (
        endings.select("row", pl.col("text").str.slice(pl.col("start"), _PART))
        .group_by("row", maintain_order=True)
        .agg("text")
    )
    rows = numbers.to_frame("numbers").with_row_index("row").join(found, on="row", how="left", maintain_order="left")
    return rows["text"].alias("number_parts")


def decoded(sources: list[dict[str, Any]]) -> pl.DataFrame:
    """The documents (`DOCUMENT_SCHEMA`) of what Elasticsearch gives back of them."""
    rows = [[source.get(stored) for stored in READ] for source in sources]
    read = pl.DataFrame(rows, schema=READ_SCHEMA, orient="row")
    return read.with_columns(pl.col("day").str.to_date("%Y-%m-%d"), pl.col("started_at").cast(_instant()))


def _instant() -> pl.DataType:
    return DOCUMENT_SCHEMA["started_at"]


def filters(query: CallQuery) -> list[dict[str, Any]]:
    """What a document must fulfil, as Elasticsearch is asked for it."""
    names = ("business", "site", "call_uid", "call_id", "display_number", "extension")
    found: list[dict[str, Any]] = [
        {"term": {name: value}} for name in names if (value := getattr(query, name)) is not None
    ]
    if query.number:
        found.append(_holds(query.number))
    if query.start is not None:
        found.append({"range": {"started_us": {"gte": _microseconds(query.start)}}})
    if query.end is not None:
        found.append({"range": {"started_us": {"lt": _microseconds(query.end)}}})
    if query.has_recording is not None:
        has = {"exists": {"field": "recordings.recording_id"}}
        found.append(has if query.has_recording else {"bool": {"must_not": has}})
    return found


def _holds(part: str) -> dict[str, Any]:
    if len(part) <= _PART:
        return {"prefix": {"number_parts": part}}
    literal = "".join(f"\\{letter}" if letter in "\\*?" else letter for letter in part)
    return {"wildcard": {"numbers": f"*{literal}*"}}


def in_partition(business: str, site: str, days: list[date]) -> list[dict[str, Any]]:
    """What a document of these partitions fulfils."""
    return [
        {"term": {"business": business}},
        {"term": {"site": site}},
        {"terms": {"day": [day.isoformat() for day in days]}},
    ]


def _microseconds(instant: datetime) -> int:
    return (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
