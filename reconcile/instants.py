"""Times as sources write them, made instants."""

from zoneinfo import ZoneInfo

import polars as pl

from reconcile.errors import RuleError
from reconcile.frames import INSTANT
from reconcile.text import filled

# Most sources write this; it is tried first because it is the fastest.
_USUAL = "%Y-%m-%d %H:%M:%S"
_PARTS = (
    r"^(?P<year>\d{4})[-/.年](?P<month>\d{1,2})[-/.月](?P<day>\d{1,2})日?"
    r"(?:[T ]*(?P<hour>\d{1,2})[:时](?P<minute>\d{1,2})[:分]?"
    r"(?P<second>\d{1,2})?秒?(?:[.,](?P<fraction>\d{1,9}))?)?"
    r" ?(?:(?P<zulu>[Zz]|UTC)|(?P<sign>[+-])(?P<offset_hours>\d{2}):?(?P<offset_minutes>\d{2})?)?$"
)
# 14 digits: 20210131114129, as far from any Unix time that a call has as from a telephone number.
_COMPACT = r"^\d{14}$"
_UNIX = {r"^\d{9,10}(?:\.\d*)?$": 1_000_000, r"^\d{12,13}$": 1_000, r"^\d{15,16}$": 1}


def read_instants(text: pl.Series, time_format: str | None, time_zone: str) -> pl.Series:
    """The instants (Datetime us, UTC); null where the text is none.

    With a `time_format` (strptime) only that is read; without, ISO 8601 and its common variants (`/`, `T`,
    fractions, offsets, 年月日), `20210131114129`, and Unix seconds, milliseconds and microseconds by their
    number of digits. A time without offset is local to `time_zone`: of one that comes twice the first is
    taken, one that does not exist is null.

    Raises:
        RuleError: there is no such time zone, or the format cannot be one.
    """
    check_zone(time_zone)
    text = text.str.strip_chars()
    if time_format:
        return _by_format(text, time_format, time_zone)
    found = _local(text.str.to_datetime(_USUAL, time_unit="us", strict=False), time_zone)
    for reading in (_unix, _compact, _iso):
        missing = (found.is_null() & text.is_not_null()).arg_true()
        if missing.len():
            found = found.scatter(missing, reading(text.gather(missing), time_zone))
    return found


def check_zone(time_zone: str) -> None:
    """Nothing, if there is such a time zone.

    Raises:
        RuleError: there is none.
    """
    try:
        ZoneInfo(time_zone)
    except (KeyError, OSError, ValueError) as error:
        raise RuleError(
            operation="read times", subject=time_zone, cause="there is no such time zone",
            remedy="name one of the IANA time zones, such as Asia/Shanghai",
        ) from error  # fmt: skip


def _by_format(text: pl.Series, time_format: str, time_zone: str) -> pl.Series:
    try:
        found = text.str.to_datetime(time_format, time_unit="us", strict=False)
    except pl.exceptions.PolarsError as error:
        raise RuleError(
            operation="read times", subject=time_format, cause=f"it is no format of a time: {error}",
            remedy="write it as for strptime, such as %Y-%m-%d %H:%M:%S",
        ) from error  # fmt: skip
    if found.dtype == INSTANT:
        return found
    return _local(found, "UTC" if "%s" in time_format else time_zone)


def _local(naive: pl.Series, time_zone: str) -> pl.Series:
    aware = naive.dt.replace_time_zone(time_zone, ambiguous="earliest", non_existent="null")
    return aware.dt.convert_time_zone("UTC")


def _unix(text: pl.Series, _time_zone: str) -> pl.Series:
    """Through whole numbers: a float does not hold every microsecond."""
    microseconds = pl.lit(None, pl.Int64)
    for pattern, factor in _UNIX.items():
        whole = pl.col("text").str.extract(r"^(\d+)").cast(pl.Int64, strict=False) * factor
        fraction = pl.col("text").str.extract(r"\.(\d{1,6})").str.pad_end(6, "0").cast(pl.Int64).fill_null(0)
        fits = pl.col("text").str.contains(pattern)
        microseconds = pl.when(fits).then(whole + fraction).otherwise(microseconds)
    return pl.DataFrame({"text": text}).select(microseconds.cast(INSTANT)).to_series()


def _compact(text: pl.Series, time_zone: str) -> pl.Series:
    # Polars wants a separator before the time.
    spaced = pl.DataFrame({"text": text}).select(
        pl.when(pl.col("text").str.contains(_COMPACT)).then(
            pl.concat_str(pl.col("text").str.head(8), pl.lit(" "), pl.col("text").str.tail(6))
        )
    )
    return _local(spaced.to_series().str.to_datetime("%Y%m%d %H%M%S", time_unit="us", strict=False), time_zone)


def _iso(text: pl.Series, time_zone: str) -> pl.Series:
    parts = text.str.extract_groups(_PARTS).struct.unnest()
    clock = [pl.col(name).fill_null("0") for name in ("hour", "minute", "second")]
    fraction = pl.col("fraction").str.head(6).fill_null("").str.pad_end(6, "0")
    written = filled("{}-{}-{} {}:{}:{}.{}", "year", "month", "day", *clock, fraction)
    naive = parts.select(written).to_series().str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us", strict=False)
    seconds = pl.col("offset_hours").cast(pl.Int64) * 3600 + pl.col("offset_minutes").cast(pl.Int64).fill_null(0) * 60
    offset = pl.when(pl.col("sign") == "-").then(-seconds).otherwise(seconds)
    offset = pl.when(pl.col("zulu").is_not_null()).then(0).otherwise(offset)
    known = naive - parts.select(pl.duration(seconds=offset)).to_series()
    found = pl.DataFrame({"known": known.dt.replace_time_zone("UTC"), "local": _local(naive, time_zone)})
    return found.select(pl.coalesce("known", "local")).to_series()
