"""A list of calls as people read and export it: one row a call, everything as plain text."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import polars as pl

_RECORDING = pl.element().struct.field


def call_list(documents: pl.DataFrame, time_zone: str) -> pl.DataFrame:
    """The calls (documents of reconcile.documents, in their order) as a list.

    Columns business, site, day, started_at (local time of `time_zone`, to the second), call_id, leg, extension, caller,
    callee, display_number, talk_seconds, recordings (how many), files (their paths, one a line), attributes and notes
    (`name: value`, one a line; a blank line between two notes), call_uid.
    """
    return documents.select(
        "business",
        "site",
        "day",
        pl.col("started_at").dt.convert_time_zone(time_zone).dt.to_string("%Y-%m-%d %H:%M:%S"),
        "call_id",
        "leg",
        "extension",
        "caller",
        "callee",
        "display_number",
        "talk_seconds",
        pl.col("recordings").list.len(),
        pl.col("recordings").list.eval(_RECORDING("path")).list.join("\n").alias("files"),
        _read(documents["attributes"], _attributes).alias("attributes"),
        _read(documents["notes"], lambda notes: "\n\n".join(map(_attributes, notes))).alias("notes"),
        "call_uid",
    )


def call_lists(documents: pl.DataFrame, time_zones: dict[str, str]) -> Iterator[pl.DataFrame]:
    """`call_list` of these documents, in parts of one business each, for each has its own time zone; at least one."""
    if documents.is_empty():
        yield call_list(documents, "UTC")
    runs = documents.with_columns(pl.col("business").rle_id().alias("run"))
    for _, calls in runs.group_by("run", maintain_order=True):
        yield call_list(calls, time_zones.get(calls["business"][0], "UTC"))


def _read(texts: pl.Series, readable: Callable[[Any], str]) -> pl.Series:
    return pl.Series([readable(json.loads(text)) if text else None for text in texts], dtype=pl.String)


def _attributes(attributes: dict[str, Any]) -> str:
    return "\n".join(f"{name}: {value}" for name, value in attributes.items() if value not in (None, ""))
