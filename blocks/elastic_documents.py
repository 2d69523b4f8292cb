"""How a document of the call index stands in Elasticsearch: its mapping, its JSON, and how it is looked for.

Beside the columns of `DOCUMENT_SCHEMA` a stored document has `attributes_json`, the attributes letter for letter (in
`attributes` they are an object, for searching); `started_us`, the exact instant, for Elasticsearch's dates end at
milliseconds; `number_parts` and `display_parts`, every ending of every number, so that a part of a number is the
beginning of one of them; `note_words`, the words of the notes (blocks.words); and `content`, a hash by which an
unchanged document is known.
"""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl

from blocks.index import DOCUMENT_SCHEMA
from blocks.query import CallQuery, Place
from blocks.searchable import display_digits
from blocks.words import phrases, set_apart, words_apart

# As many characters of each ending are kept; a longer part of a number is looked for letter by letter.
_PART = 32
# Counted up when the stored form changes, so that every document is written again.
_FORM = 2
_KEYWORD = {"type": "keyword"}
_LONG = {"type": "long"}
_KEPT = {"type": "keyword", "index": False, "doc_values": False}
_PROPERTIES: dict[str, Any] = {
    **dict.fromkeys(("call_uid", "business", "site", "dataset", "call_id", "leg", "content"), _KEYWORD),
    **dict.fromkeys(("extension", "caller", "callee", "display_number", "numbers"), _KEYWORD),
    **dict.fromkeys(("number_parts", "display_parts", "display_digits"), _KEYWORD),
    "day": {"type": "date", "format": "strict_date"},
    "started_at": {"type": "date"},
    "started_us": _LONG,
    "talk_seconds": {"type": "double"},
    # One field whatever the number of names: a value is found by `attributes.<name>`.
    "attributes": {"type": "flattened", "ignore_above": 8191},
    "attributes_json": _KEPT,
    "notes": _KEPT,
    "note_words": {"type": "text", "analyzer": "whitespace"},
    "recordings": {
        "properties": {
            **dict.fromkeys(("recording_id", "container", "codec", "state"), _KEYWORD),
            **dict.fromkeys(("key", "path", "sha256"), _KEPT),
            **dict.fromkeys(("duration_ms", "size"), _LONG),
        }
    },
}
MAPPING: dict[str, Any] = {
    "dynamic": "false",
    "_source": {"excludes": ["number_parts", "display_parts", "display_digits", "note_words"]},
    "properties": _PROPERTIES,
}
# What is read back of a document, as it stands in its JSON.
READ_SCHEMA = pl.Schema(
    {name: {"day": pl.String(), "started_at": pl.Int64()}.get(name, dtype) for name, dtype in DOCUMENT_SCHEMA.items()}
)
_STORED_AS = {"started_at": "started_us", "attributes": "attributes_json"}
READ = [_STORED_AS.get(name, name) for name in DOCUMENT_SCHEMA]
_STORED = pl.Struct(dict(zip(READ, READ_SCHEMA.values(), strict=True)))


def encoded(documents: pl.DataFrame) -> pl.DataFrame:
    """call_uid, content and lines of each document (`DOCUMENT_SCHEMA`): its hash, and what `_bulk` is sent for it.

    All three are String. The lines are two, each with its end: the action and the document. To encode some thousand
    at a time is cheapest.
    """
    plain = pl.struct(
        *(name for name in DOCUMENT_SCHEMA if name not in {"day", "started_at", "attributes"}),
        pl.col("day").dt.to_string("%Y-%m-%d"),
        pl.col("started_at").dt.to_string("%Y-%m-%dT%H:%M:%S%.6fZ"),
        pl.col("started_at").dt.timestamp("us").alias("started_us"),
        pl.col("attributes").alias("attributes_json"),
    )
    action = pl.struct(pl.col("call_uid").alias("_id"))
    # The hash is of the document alone, not of what follows from it.
    return (
        documents.select(
            "call_uid",
            plain.struct.json_encode().alias("plain"),
            action.struct.json_encode().alias("action"),
            _searchable("attributes"),
        )
        .with_columns(
            pl.concat_str(pl.lit(f"{_FORM}-"), pl.col("plain").hash()).alias("content"),
            _derived(documents).struct.json_encode().alias("derived"),
        )
        .select("call_uid", "content", _lines().alias("lines"))
    )


def document_of(lines: pl.Expr) -> pl.Expr:
    """The JSON of the document in the lines of `encoded`."""
    return lines.str.splitn("\n", 2).struct.field("field_1").str.strip_suffix("\n")


def _derived(documents: pl.DataFrame) -> pl.Series:
    """What is looked for and never read back."""
    shown = documents.select(display_digits().alias("digits"))
    # A business shows few numbers of its own.
    distinct = shown.unique()
    parts = distinct.with_columns(_parts(distinct.select(pl.concat_list("digits").list.drop_nulls())["digits"]))
    return pl.DataFrame(
        [
            _parts(documents["numbers"]).alias("number_parts"),
            *shown.join(parts, on="digits", how="left", maintain_order="left").select(
                pl.col("text").alias("display_parts"), pl.col("digits").alias("display_digits")
            ),
            words_apart(documents["notes"]).alias("note_words"),
        ]
    ).to_struct()


def _lines() -> pl.Expr:
    """The action, and one JSON object of content, attributes and the members of derived and plain."""
    members = pl.col("derived").str.strip_prefix("{").str.strip_suffix("}")
    plain = pl.col("plain").str.strip_prefix("{")
    named = (
        ('{"index":', "action"), ('}\n{"content":"', "content"), ('","attributes":', "attributes"), (",", members),
        (",", plain),
    )  # fmt: skip
    return pl.concat_str(*(part for name, value in named for part in (pl.lit(name), value)), pl.lit("\n"))


def _searchable(name: str) -> pl.Expr:
    """The JSON object in this text, on one line; a JSON string, which Elasticsearch will refuse, where it is none."""
    text = pl.col(name)
    is_object = text.str.strip_chars_start().str.starts_with("{")
    whole = pl.when(is_object).then(text).str.json_path_match("$")
    as_string = pl.struct(text).struct.json_encode().str.strip_prefix(f'{{"{name}":').str.strip_suffix("}")
    return pl.coalesce(whole, as_string).fill_null("null").alias(name)


def _parts(numbers: pl.Series) -> pl.Series:
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
    return rows["text"]


def decoded(sources: list[dict[str, Any]]) -> pl.DataFrame:
    """The documents (`DOCUMENT_SCHEMA`) of what Elasticsearch gives back of them."""
    # Polars takes them as JSON in half of the time that it takes for Python's own values.
    lines = pl.Series("line", [json.dumps(source, ensure_ascii=False) for source in sources], dtype=pl.String)
    read = lines.str.json_decode(_STORED).struct.unnest()
    named = read.select(pl.col(stored).alias(name) for name, stored in zip(DOCUMENT_SCHEMA, READ, strict=True))
    return named.with_columns(pl.col("day").str.to_date("%Y-%m-%d"), pl.col("started_at").cast(_instant()))


def _instant() -> pl.DataType:
    return DOCUMENT_SCHEMA["started_at"]


def filters(query: CallQuery) -> list[dict[str, Any]]:
    """What a document must fulfil, as Elasticsearch is asked for it."""
    return [*_of_the_call(query), *_of_its_texts(query), *_of_its_recordings(query)]


def _of_the_call(query: CallQuery) -> list[dict[str, Any]]:
    among = {"business": query.businesses, "site": query.sites, "call_uid": query.call_uids}
    found: list[dict[str, Any]] = [
        {"terms": {name: list(values)}} for name, values in among.items() if values is not None
    ]
    exact = {"call_id": query.call_id, "extension": query.extension}
    found += [{"term": {name: value}} for name, value in exact.items() if value is not None]
    seconds = _range("talk_seconds", gte=query.min_seconds, lte=query.max_seconds)
    instants = _range("started_us", gte=_microseconds(query.start), lt=_microseconds(query.end))
    return [*found, *seconds, *instants]


def _of_its_texts(query: CallQuery) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [{"term": {f"attributes.{name}": value}} for name, value in query.attributes]
    if query.number:
        found.append(_holds("number_parts", "numbers", query.number))
    if query.display_number is not None:
        found.append(_holds("display_parts", "display_digits", query.display_number))
    looked_for = [] if query.words is None else phrases(query.words)
    if looked_for is None:
        return [{"match_none": {}}]
    return [*found, *({"match_phrase": {"note_words": _set_apart(phrase)}} for phrase in looked_for)]


def _of_its_recordings(query: CallQuery) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if query.has_recording is not None:
        has = {"exists": {"field": "recordings.recording_id"}}
        found.append(has if query.has_recording else {"bool": {"must_not": has}})
    if query.recording_state is not None:
        found.append({"term": {"recordings.state": query.recording_state}})
    return found


def _range(name: str, **bounds: float | None) -> list[dict[str, Any]]:
    given = {bound: value for bound, value in bounds.items() if value is not None}
    return [{"range": {name: given}}] if given else []


def _holds(parts: str, whole: str, part: str) -> dict[str, Any]:
    """The condition that `part` stands in one of the values of the field `whole`, of which `parts` has the endings."""
    if not part:
        return {"exists": {"field": whole}}
    if len(part) <= _PART:
        return {"prefix": {parts: part}}
    literal = "".join(f"\\{letter}" if letter in "\\*?" else letter for letter in part)
    return {"wildcard": {whole: f"*{literal}*"}}


def _set_apart(phrase: str) -> str:
    return str(pl.select(set_apart(pl.lit(phrase))).item())


# The order of every answer, and the place in it where a page ended.
ORDER = [
    {"started_us": {"order": "desc", "missing": "_last", "unmapped_type": "long"}},
    {"call_uid": {"order": "asc", "unmapped_type": "keyword"}},
]
# What Elasticsearch takes for the start of a call that has none.
_NO_START = -(2**63)


def sort_values(after: Place) -> list[Any]:
    """The place as Elasticsearch knows it."""
    started_at, call_uid = after
    return [_NO_START if started_at is None else _microseconds(started_at), call_uid]


def in_partition(business: str, site: str, days: list[date]) -> list[dict[str, Any]]:
    """What a document of these partitions fulfils."""
    return [
        {"term": {"business": business}},
        {"term": {"site": site}},
        {"terms": {"day": [day.isoformat() for day in days]}},
    ]


def _microseconds(instant: datetime | None) -> int | None:
    if instant is None:
        return None
    return (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
