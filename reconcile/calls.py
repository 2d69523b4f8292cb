"""Rows of a table, read as calls 话单 or notes 催记 by the rules of their dataset.

A row whose time or length cannot be read is set aside with the reason. Rows of one call_id are legs of one
call; rows that repeat a leg keep its call_uid, and all of them stay.
"""

from dataclasses import dataclass
from datetime import date

import polars as pl

from reconcile.columns import CALL_ALIASES, NOTE_ALIASES, check_columns, source_column, source_text, sources
from reconcile.encodings import bytes_shown
from reconcile.frames import CALLS, INSTANT, NOTES, QUARANTINE
from reconcile.ids import stable_ids
from reconcile.instants import check_zone, read_instants
from reconcile.rules import DatasetRules, Extracted, Source
from reconcile.tables import Table
from reconcile.text import filled

_FIELDS = (
    "call_id", "leg", "started_at", "talk_seconds", "extension", "caller", "callee", "display_number",
    "recording_path",
)  # fmt: skip
# Without a leg column, what tells the legs of one call apart; rows that are alike in all of it repeat one
# leg.
_OF_LEG = ("started_at", "extension", "caller", "callee", "talk_seconds", "recording_path")
_CLOCK = r"^(?:(\d+):)?(\d{1,3}):(\d{1,2}(?:\.\d+)?)$"


@dataclass(frozen=True)
class _Origin:
    """Whose rows they are, and where they stand."""

    business: str
    site: str
    dataset: str
    source_file: str
    day: date | None

    @property
    def prefix(self) -> tuple[str, str, str]:
        """What every id of these rows begins with."""
        return (self.business, self.site, self.dataset)

    @property
    def columns(self) -> list[pl.Expr]:
        """The columns that are the same for every row."""
        return [pl.lit(getattr(self, name)).alias(name) for name in ("business", "site", "dataset", "source_file")]


def read_calls(  # noqa: PLR0913
    table: Table, *, business: str, site: str, dataset: str, rules: DatasetRules, time_zone: str,
    source_file: str, day: date | None = None,
) -> tuple[pl.DataFrame, pl.DataFrame]:  # fmt: skip
    """CALLS, and QUARANTINE of the rows that the table or this function set aside.

    `day` is the extract's, of quarantined rows and of calls without a start. Columns that the rules do not
    map are found by their names (reconcile.columns.CALL_ALIASES); without any call id the recording's path is
    it, or else `<source_file>:<source_row>`.

    Raises:
        RuleError: a column that the rules name is not there, or the time zone, time format or a pattern is
        none.
    """
    origin = _Origin(business, site, dataset, source_file, day)
    columns = [name for name in table.rows.columns if name != "source_row"]
    found = sources(rules.columns, columns, CALL_ALIASES)
    check_columns(rules.expects_recording.where, columns, "expects_recording")
    frame = _typed(table, found, rules, time_zone)
    frame = frame.with_columns(_expects_recording(table, frame["talk_seconds"], rules))
    good, set_aside = _sorted_out(frame, table, origin)
    if good["call_id"].null_count():
        by_line = filled("{}:{}", pl.lit(source_file), "source_row")
        good = good.with_columns(pl.coalesce("call_id", "recording_path", by_line))
    own_day = pl.col("started_at").dt.convert_time_zone(time_zone).dt.date()
    good = good.with_columns(pl.coalesce(own_day, pl.lit(day)).alias("day"))
    good = good.with_columns(leg=_legs(good) if "leg" not in found else good["leg"].fill_null(""))
    call_uid = stable_ids(origin.prefix, [good["call_id"], good["leg"]])
    good = good.with_columns(origin.columns).with_columns(call_uid.alias("call_uid"))
    return good.select(list(CALLS.columns)), set_aside


def read_notes(  # noqa: PLR0913
    table: Table, *, business: str, site: str, dataset: str, rules: DatasetRules, time_zone: str,
    source_file: str, day: date | None = None,
) -> tuple[pl.DataFrame, pl.DataFrame]:  # fmt: skip
    """NOTES, and QUARANTINE of the rows that the table or this function set aside.

    `started_at` of the rules is written_at. A note's uid is that of its content: rows that are alike in all
    columns are told apart by their order in the file.

    Raises:
        RuleError: a column that the rules name is not there, or the time zone, time format or a pattern is
        none.
    """
    origin = _Origin(business, site, dataset, source_file, day)
    columns = [name for name in table.rows.columns if name != "source_row"]
    found = sources(rules.columns, columns, NOTE_ALIASES)
    found = {field: source for field, source in found.items() if field in NOTE_ALIASES}
    frame = _typed(table, found, rules, time_zone, keep=set(columns))
    good, set_aside = _sorted_out(frame, table, origin)
    repeat = good.select(pl.int_range(pl.len()).over("attributes")).to_series().cast(pl.String).replace("0", "")
    note_uid = stable_ids(origin.prefix, [good["attributes"], repeat])
    own_day = pl.col("started_at").dt.convert_time_zone(time_zone).dt.date()
    good = good.with_columns(origin.columns).with_columns(
        pl.col("started_at").alias("written_at"),
        note_uid.alias("note_uid"),
        pl.coalesce(own_day, pl.lit(day)).alias("day"),
    )
    return good.select(list(NOTES.columns)), set_aside


def _typed(
    table: Table,
    found: dict[str, Source],
    rules: DatasetRules,
    time_zone: str,
    keep: frozenset[str] | set[str] = frozenset(),
) -> pl.DataFrame:
    """The frame's columns that a row tells, attributes, source_row, and `reason` where a value is none."""
    check_zone(time_zone)
    rows = table.rows
    texts = rows.select(
        "source_row",
        *((_text(found[field]) if field in found else pl.lit(None, pl.String)).alias(field) for field in _FIELDS),
    )
    path = _paths(texts["recording_path"], table, rules.path_prefix)
    started_at, no_time = _started_at(texts["started_at"], "started_at" in found, rules, time_zone)
    talk_seconds, no_length = _talk_seconds(texts["talk_seconds"])
    kept = _attributes(rows.columns, found, keep, path_changed=not path.equals(texts["recording_path"]))
    attributes = rows.select(pl.struct(kept).struct.json_encode()).to_series() if kept else pl.lit("{}")
    return texts.with_columns(
        started_at,
        talk_seconds,
        path,
        attributes.alias("attributes"),
        pl.coalesce(no_time, no_length).alias("reason"),
    )


def _text(source: Source) -> pl.Expr:
    """What the source reads, without the spaces that pad it; null where it is empty."""
    text = source_text(source).str.strip_chars()
    return pl.when(text != "").then(text)


def _attributes(
    columns: list[str], found: dict[str, Source], keep: frozenset[str] | set[str], *, path_changed: bool
) -> list[str]:
    """The source columns that are not told by a column of the frame, in their order."""
    told = {source for source in found.values() if not isinstance(source, Extracted)}
    if path_changed:
        told.discard(source_column(found["recording_path"]))
    return [name for name in columns if name != "source_row" and (name in keep or name not in told)]


def _started_at(text: pl.Series, mapped: bool, rules: DatasetRules, time_zone: str) -> tuple[pl.Series, pl.Series]:
    """The instants, and why a row has none although the table has a column for it."""
    zone = rules.time_zone or time_zone
    found = read_instants(text, rules.time_format, zone) if mapped else text.cast(INSTANT)
    return found.alias("started_at"), _reasons(text, found, f"started_at is no time (time zone {zone})", mapped)


def _talk_seconds(text: pl.Series) -> tuple[pl.Series, pl.Series]:
    """The seconds (Float64), and why a row that names a length has none."""
    seconds = text.cast(pl.Float64, strict=False)
    missing = (seconds.is_null() & text.is_not_null()).arg_true()
    if missing.len():
        clock = text.gather(missing).str.extract_groups(_CLOCK).struct.unnest()
        hours, minutes, rest = (pl.col(name).cast(pl.Float64) for name in clock.columns)
        seconds = seconds.scatter(missing, clock.select(hours.fill_null(0) * 3600 + minutes * 60 + rest).to_series())
    seconds = seconds.set(seconds.is_infinite() | seconds.is_nan(), None)
    return seconds.alias("talk_seconds"), _reasons(text, seconds, "talk_seconds is no length", mapped=False)


def _reasons(text: pl.Series, found: pl.Series, what: str, mapped: bool) -> pl.Series:
    """Why a row is set aside; null where it is not. With `mapped`, a row without text is, too."""
    reason = filled("{}: {}", pl.lit(what), pl.col("text").str.slice(0, 60))
    empty = pl.lit(f"{what}: it is empty") if mapped else pl.lit(None, pl.String)
    frame = pl.DataFrame({"text": text, "found": found})
    is_wrong = pl.col("found").is_null()
    return frame.select(
        pl.when(is_wrong).then(pl.when(pl.col("text").is_null()).then(empty).otherwise(reason))
    ).to_series()


def _paths(text: pl.Series, table: Table, prefix: str | None) -> pl.Series:
    r"""The paths as the inventory writes them: `/` between folders, `%` as `%25`, undecodable bytes as `%NN`.

    Without the prefix, where it stands on a folder's edge, and without a leading `./`.
    """
    plain = _replaced(text, "%", "%25")
    if table.damaged_rows:
        damaged = table.rows["source_row"].is_in(list(table.damaged_rows)).arg_true()
        escaped = text.gather(damaged).map_elements(_percent_escaped, return_dtype=pl.String)
        plain = plain.scatter(damaged, escaped)
    plain = _replaced(plain, "\\", "/")
    if prefix:
        start = prefix.replace("%", "%25").replace("\\", "/")
        edge = "/" if start[-1].isalnum() else ""
        inside = plain.str.starts_with(start + edge).fill_null(value=False)
        plain = plain.zip_with(~inside, plain.str.strip_prefix(start).str.strip_chars_start("/"))
    if plain.str.starts_with("./").any():
        plain = plain.str.replace(r"^(?:\./+)+", "")
    return plain.set(plain == "", None).alias("recording_path")


def _replaced(text: pl.Series, old: str, new: str) -> pl.Series:
    # Looking is a tenth of the work, and most paths have nothing to replace.
    return text.str.replace_all(old, new, literal=True) if text.str.contains(old, literal=True).any() else text


def _percent_escaped(path: str) -> str:
    pieces = bytes_shown(path)
    return "".join(f"%{piece:02X}" if isinstance(piece, int) else piece.replace("%", "%25") for piece in pieces)


def _expects_recording(table: Table, talk_seconds: pl.Series, rules: DatasetRules) -> pl.Series:
    expects = rules.expects_recording
    conditions = [pl.col(name).is_in(values) for name, values in expects.where.items()]
    if expects.min_talk_seconds is not None:
        conditions.append(pl.lit(talk_seconds >= expects.min_talk_seconds))
    everything = pl.repeat(value=True, n=pl.len(), dtype=pl.Boolean)
    return table.rows.select(
        pl.all_horizontal(everything, *(condition.fill_null(value=False) for condition in conditions)).alias(
            "expects_recording"
        )
    ).to_series()


def _legs(calls: pl.DataFrame) -> pl.Series:
    """Empty for the first leg of a call, then 2, 3, …, in the order of their starts."""
    leg = pl.Series("leg", [""], dtype=pl.String).new_from_index(0, calls.height)
    several = calls["call_id"].is_duplicated().arg_true()
    if not several.len():
        return leg
    rows = calls.with_row_index("place").select("place", "call_id", "source_row", *_OF_LEG)[several]
    rows = rows.sort("started_at", "source_row", nulls_last=True).with_row_index("order")
    first = rows.select("place", "call_id", pl.col("order").min().over("call_id", *_OF_LEG).alias("first"))
    number = pl.col("first").rank("dense").over("call_id")
    text = pl.when(number == 1).then(pl.lit("")).otherwise(number.cast(pl.String))
    numbered = first.select("place", text.alias("leg"))
    return leg.scatter(numbered["place"], numbered["leg"])


def _sorted_out(frame: pl.DataFrame, table: Table, origin: _Origin) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows that are right, and QUARANTINE of the others and of those that the table set aside."""
    wrong = frame["reason"].is_not_null()
    values = [pl.col(name).fill_null("") for name in table.rows.columns if name != "source_row"]
    raw = pl.concat_str([*values, pl.lit("")], separator=",").str.strip_suffix(",").str.slice(0, 500)
    set_aside = table.rows.filter(wrong).select("source_row", raw.alias("raw"))
    set_aside = set_aside.with_columns(frame["reason"].filter(wrong)).select("source_row", "reason", "raw")
    both = pl.concat([table.quarantined, set_aside]).sort("source_row")
    both = both.with_columns(*origin.columns, pl.lit(origin.day, pl.Date).alias("day"))
    return frame.filter(~wrong) if set_aside.height else frame, both.select(list(QUARANTINE.columns))
