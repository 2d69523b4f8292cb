"""Whose data it is: every call, note and recording that belongs to a number, a call, a case or a range of days.

Legal holds keep what is found here, erasures remove it. What names the subject is sought in the rows themselves; what
belongs to what was found follows: all legs of a call, its notes, its recordings.
"""

import re
from dataclasses import dataclass
from datetime import date
from typing import Literal

import polars as pl

from reconcile.errors import RuleError
from reconcile.frames import HELD
from reconcile.ids import stable_id
from reconcile.numbers import normalised
from reconcile.rules import NumberRules

Kind = Literal["call", "number", "attribute", "range"]
EVERY_SITE = "_"
CALL_KEYS = pl.Schema(
    {"site": pl.String, "day": pl.Date, "dataset": pl.String, "call_id": pl.String, "call_uid": pl.String}
)
NOTE_KEYS = pl.Schema(
    {"site": pl.String, "day": pl.Date, "dataset": pl.String, "note_uid": pl.String, "call_id": pl.String}
)
RECORDING_KEYS = pl.Schema({"site": pl.String, "day": pl.Date, "recording_id": pl.String, "path": pl.String})
_NUMBERS = ("caller", "callee", "display_number")


@dataclass(frozen=True)
class Subject:
    """What is meant: a call, a number, an attribute with its value, or a range of days; of one site or of all."""

    kind: Kind
    value: str | None = None
    name: str | None = None
    site: str = EVERY_SITE
    since: date | None = None
    until: date | None = None

    def __post_init__(self) -> None:
        """Refuse what means nothing, or everything."""
        has_value = bool(self.value and self.value.strip())
        is_range = self.since is not None and self.until is not None and self.since <= self.until
        good = is_range if self.kind == "range" else has_value
        if not good or (self.kind == "attribute") != bool(self.name):
            raise RuleError(
                operation="find what belongs together",
                subject=self.kind,
                cause="it does not say whose data is meant",
                remedy="give a call's id, a number, an attribute with its value, or a first and a last day",
            )

    @property
    def hold_id(self) -> str:
        """12 hex digits over what is meant: the same again is the same hold."""
        parts = (self.kind, self.name, self.value, self.site, self.since, self.until)
        return stable_id(*(str(part if part is not None else "") for part in parts), digits=12)

    def of_site(self, site: str) -> bool:
        """Whether it means anything of this site."""
        return self.site in (EVERY_SITE, site)


@dataclass(frozen=True)
class Belongings:
    """All that belongs to a subject: `CALL_KEYS`, `NOTE_KEYS`, `RECORDING_KEYS`."""

    calls: pl.DataFrame
    notes: pl.DataFrame
    recordings: pl.DataFrame

    def days(self) -> list[date]:
        """Every day of which there is something, in order."""
        parts = [frame["day"] for frame in (self.calls, self.notes, self.recordings)]
        return pl.concat(parts).drop_nulls().unique().sort().to_list()

    def count(self) -> int:
        """How many calls' legs, notes and recordings there are."""
        return self.calls.height + self.notes.height + self.recordings.height


def calls_of(calls: pl.LazyFrame, subject: Subject, rules: NumberRules) -> pl.LazyFrame:
    """The rows (CALLS) that name the subject themselves."""
    if subject.kind == "call":
        return calls.filter(pl.col("call_id") == subject.value)
    if subject.kind == "number":
        wanted = _number(subject, rules)
        return calls.filter(pl.any_horizontal(normalised(pl.col(name), rules) == wanted for name in _NUMBERS))
    return calls.filter(_has_attribute(subject))


def notes_of(notes: pl.LazyFrame, subject: Subject) -> pl.LazyFrame:
    """The rows (NOTES) that name the subject themselves; a number is never sought in what people wrote."""
    if subject.kind == "call":
        return notes.filter(pl.col("call_id") == subject.value)
    return notes.filter(_has_attribute(subject) if subject.kind == "attribute" else pl.lit(value=False))


def recordings_of(inventory: pl.LazyFrame, subject: Subject, rules: NumberRules) -> pl.LazyFrame:
    """The recordings (INVENTORY) whose names name the subject."""
    if subject.kind == "call":
        return inventory.filter(pl.col("call_id") == subject.value)
    if subject.kind == "number":
        return inventory.filter(normalised(pl.col("number"), rules) == _number(subject, rules))
    return inventory.filter(pl.lit(value=False))


def mentions(raw: pl.Series, subject: Subject, rules: NumberRules) -> pl.Series:
    """Which of these rows, as they stand in a file that could not be read, have the subject in them.

    A number is found however it is written, another value where no letter or digit goes on before or behind it.
    """
    if subject.kind != "number":
        value = f"(^|[^0-9A-Za-z]){re.escape(subject.value or '')}($|[^0-9A-Za-z])"
        return raw.str.contains(value) if subject.value else pl.repeat(value=False, n=len(raw), eager=True)
    rows = raw.to_frame("raw").with_row_index()
    # With blanks two neighbours may look like one number, without them one number like two.
    written = pl.concat_list(pl.col("raw").str.extract_all(one) for one in (r"\+?[0-9()-]+", r"\+?[0-9(][0-9() .-]+"))
    numbers = rows.select("index", written.alias("number")).explode("number").drop_nulls()
    ours = numbers.filter(normalised(pl.col("number"), rules) == _number(subject, rules))
    return rows.select(pl.col("index").is_in(ours["index"].implode())).to_series()


def _number(subject: Subject, rules: NumberRules) -> str:
    found = pl.select(normalised(pl.lit(subject.value), rules)).item()
    if not found or "*" in found:
        raise RuleError(
            operation="find what belongs to a number",
            subject="the number that was given",
            cause="it has no digits, or not all of them",
            remedy="give the whole number, or name the case or the call instead",
        )
    return str(found)


def _has_attribute(subject: Subject) -> pl.Expr:
    """Whether the attribute has this value, as text."""
    fields = pl.col("attributes").str.json_path_match(f"$['{(subject.name or '').replace(chr(39), '')}']")
    return (fields == subject.value).fill_null(value=False)


def held_rows(found: Belongings, business: str, hold_id: str, years: pl.DataFrame) -> pl.DataFrame:
    """HELD of all that belongs to a subject; `years` has the repository_year of each site, day and recording_id.

    A row of `years` without recording_id is that of the day's rows.
    """
    parts = [
        found.calls.select("site", "day", "call_uid"),
        found.notes.select("site", "day", "note_uid"),
        found.recordings.select("site", "day", "recording_id"),
    ]
    rows = pl.concat(
        [HELD.empty().select("site", "day", "call_uid", "note_uid", "recording_id"), *parts], how="diagonal"
    )
    rows = rows.join(years, on=["site", "day", "recording_id"], how="left", nulls_equal=True)
    return _as_held(rows, business, hold_id)


def held_days(site: str, days: list[date], business: str, hold_id: str, years: pl.DataFrame) -> pl.DataFrame:
    """HELD of whole days: a row for each year whose repository has something of the day."""
    rows = pl.DataFrame({"site": site, "day": days}, schema={"site": pl.String, "day": pl.Date})
    some = years.select("site", "day", "repository_year").unique()
    rows = rows.join(some, on=["site", "day"], how="left")
    nothing = [pl.lit(None, pl.String).alias(name) for name in ("call_uid", "note_uid", "recording_id")]
    return _as_held(rows.with_columns(nothing), business, hold_id)


def _as_held(rows: pl.DataFrame, business: str, hold_id: str) -> pl.DataFrame:
    named = rows.with_columns(pl.lit(business).alias("business"), pl.lit(hold_id).alias("hold_id"))
    columns = list(HELD.columns)
    return named.select(columns).drop_nulls("day").unique().sort(columns, nulls_last=True)


def active_holds(decisions: pl.DataFrame) -> list[tuple[str, Subject]]:
    """The holds (HOLDS) whose newest decision is that they hold, by hold_id."""
    newest = decisions.sort("decided_at", "decision").unique("hold_id", keep="last", maintain_order=True)
    return [
        (row["hold_id"], Subject(row["kind"], row["value"], row["name"], row["site"], row["since"], row["until"]))
        for row in newest.filter(pl.col("decision") == "placed").sort("hold_id").iter_rows(named=True)
    ]
