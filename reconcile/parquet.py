"""The columns of a Parquet file as the text that a CSV export of them would hold, without loss."""

import polars as pl

from reconcile.encodings import decode
from reconcile.layouts import unique_names

# Up to here every whole number has a float of its own.
_EXACT = 2**53
_ISO = "%Y-%m-%dT%H:%M:%S%.f"


def as_text(frame: pl.DataFrame) -> pl.DataFrame:
    """The same rows, every column as String, and source_row (Int64): the row's number, from 1.

    Instants become ISO 8601 with their offset, durations seconds, whole floats whole numbers (an id that
    became a float because the column has nulls), lists and structs JSON, bytes UTF-8 (reconcile.encodings for
    those that are not).
    """
    frame = frame.rename(dict(zip(frame.columns, unique_names(list(frame.columns)), strict=True)))
    texts = [_text(pl.col(name), dtype).alias(name) for name, dtype in frame.schema.items()]
    rows = frame.select(texts)
    return rows.with_columns(pl.int_range(1, rows.height + 1, dtype=pl.Int64, eager=True).alias("source_row"))


def _text(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """The column as String."""
    if isinstance(dtype, pl.Datetime):
        return column.dt.to_string(f"{_ISO}%:z" if dtype.time_zone else _ISO)
    if isinstance(dtype, pl.Duration):
        return _whole_as_integer(column.dt.total_microseconds() / 1_000_000)
    if dtype.is_float():
        return _whole_as_integer(column)
    if isinstance(dtype, pl.Binary):
        return column.map_elements(lambda value: decode(value).data.decode(), return_dtype=pl.String)
    if dtype.is_nested():
        json = pl.struct(column.alias("v")).struct.json_encode().str.strip_prefix('{"v":').str.strip_suffix("}")
        return pl.when(column.is_not_null()).then(json)
    return column.cast(pl.String)


def _whole_as_integer(column: pl.Expr) -> pl.Expr:
    is_whole = column.is_finite() & (column == column.floor()) & (column.abs() <= _EXACT)
    return pl.when(is_whole).then(column.cast(pl.Int64, strict=False).cast(pl.String)).otherwise(column.cast(pl.String))
