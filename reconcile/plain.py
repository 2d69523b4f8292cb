"""Plain pairs: a call of one leg and the file that its row names, where neither can have to do with anything else.

Nearly every call is one of these. They are found by hashes of their keys and proved by the keys themselves; what
matching asks for each other row is left out for them. A hash that meets another by chance costs time and no truth: its
rows are not plain.
"""

from dataclasses import dataclass

import polars as pl

from reconcile.rules import MatchingRules


@dataclass(frozen=True)
class Split:
    """`legs` (CALLS) and `files` (INVENTORY): the n-th names the n-th; all other rows of the two frames."""

    legs: pl.DataFrame
    files: pl.DataFrame
    other_legs: pl.DataFrame
    other_files: pl.DataFrame


def split_plain(calls: pl.DataFrame, files: pl.DataFrame, rules: MatchingRules) -> Split:
    """Set the plain pairs apart from all other calls and recordings.

    The row names the file by its whole path, and no other row does; the file has one version and its bytes are nobody
    else's; the call is one row; and no file that is not plain could find the call by its key.
    """
    by = _fields_of_keys(rules)
    names_none = calls["recording_path"].null_count() == calls.height
    if rules.order[0] != "path" or by is None or names_none:
        return Split(calls.clear(), files.clear(), calls, files)
    naming = calls.lazy().select(
        _hash("site", "recording_path").alias("path"),
        _once("site", "dataset", "call_id").alias("once"),
    )
    naming = naming.with_row_index("leg").filter(pl.col("once") & pl.col("path").is_unique()).drop_nulls("path")
    holding = files.lazy().select(
        _hash("site", "path").alias("path"),
        (_once("business", "site", "sha256") | pl.col("sha256").is_null()).alias("once"),
    )
    holding = holding.with_row_index("file").filter(pl.col("once") & pl.col("path").is_unique())
    named, held = pl.collect_all([naming, holding])
    # In the order of the calls: what lies side by side in memory is fetched sooner.
    pairs = named.join(held, on="path", how="inner", maintain_order="left").select("leg", "file")
    same = [calls[mine][pairs["leg"]] == files[theirs][pairs["file"]] for mine, theirs in _SAME]
    pairs = pairs.filter(pl.all_horizontal(pl.lit(column) for column in same))
    for field in by:
        others = files.select(_key(field).alias("key"))["key"][_others(files, pairs["file"])].drop_nulls().unique()
        sought = calls.select(_key(field).alias("key"))["key"][pairs["leg"]].is_in(others.implode())
        pairs = pairs.filter(~sought.fill_null(value=False))
    return Split(
        calls[pairs["leg"]],
        files[pairs["file"]],
        calls[_others(calls, pairs["leg"])],
        files[_others(files, pairs["file"])],
    )


_SAME = (("business", "business"), ("site", "site"), ("recording_path", "path"))


def _fields_of_keys(rules: MatchingRules) -> tuple[str, ...] | None:
    """One field of each set that the rule `key` compares; None where a set has no field that tells calls apart."""
    if "key" not in rules.order:
        return ()
    if rules.key is None:
        return ("call_id", "start")
    telling = [field for field in ("call_id", "start") if field in rules.key]
    return (telling[0],) if telling else None


def _key(field: str) -> pl.Expr:
    if field == "call_id":
        return _hash("site", "call_id")
    return _hash("site", pl.col("started_at").dt.truncate("1s"))


def _hash(*columns: str | pl.Expr) -> pl.Expr:
    """A hash of the columns together; null where the last is null."""
    parts = [pl.col(column) if isinstance(column, str) else column for column in columns]
    mixed = parts[0].hash(0)
    for place, part in enumerate(parts[1:], start=1):
        mixed = mixed * _ODD + part.hash(place)
    return pl.when(parts[-1].is_not_null()).then(mixed)


# Any odd number keeps every bit of what it multiplies.
_ODD = pl.lit(0x9E3779B97F4A7C15, pl.UInt64)


def _once(*columns: str) -> pl.Expr:
    """Whether no other row has these values."""
    return _hash(*columns).is_unique()


def _others(frame: pl.DataFrame, rows: pl.Series) -> pl.Series:
    """The numbers of the frame's rows that are not among these."""
    return pl.repeat(value=True, n=frame.height, eager=True).scatter(rows, values=False).arg_true()
