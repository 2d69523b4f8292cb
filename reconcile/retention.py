"""Retention: what may go, what a floor or a legal hold keeps, and the permits without which nothing can be removed.

Nothing here knows a clock: `today` is always given. A day's time is over on the first day that lies wholly behind the
day and the span together: of 31 January 2021 with a floor of three years that is 1 February 2024.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from reconcile.errors import RuleError

Purpose = Literal["retention", "erasure"]
SpanText = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,4}[dy]$")]
_DAYS_OF_YEAR, _LEAP = 365, 4
# What the law asks of most of our users; a shorter floor wants a reason.
SHORTEST_FLOOR = "3y"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DatasetSpans(_Strict):
    """How long the rows of one dataset are kept, where that is not as long as everything else."""

    floor: SpanText | None = Field(None, description="Least time; the business's where not given.")
    ceiling: SpanText | None = Field(None, description="Longest time; the business's where not given.")


class Retention(_Strict):
    """How long a business keeps what it has."""

    floor: SpanText = Field(
        SHORTEST_FLOOR, description="Least time for which nothing can be removed, in days or years: 1095d, 3y."
    )
    ceiling: SpanText | None = Field(
        None, description="Time after which everything that is not held is removed; never, where not given."
    )
    short_floor_reason: str | None = Field(
        None, min_length=1, description="Why the floor is shorter than three years; without it such a floor is refused."
    )
    snapshots_within: SpanText | None = Field(
        None,
        description="Older snapshots, of days beyond the floor, are forgotten where newer ones hold the same; "
        "all are kept, where not given.",
    )
    erasure_beats_floor: bool = Field(
        False, description="Whether a person's data may be erased before the floor is over; a legal hold always wins."
    )
    datasets: dict[str, DatasetSpans] = Field(
        default_factory=dict, description="Other times for the rows of single datasets."
    )

    def spans(self, dataset: str | None = None) -> "Spans":
        """Floor and ceiling of a dataset's rows; of recordings and all else, where none is named."""
        own = self.datasets.get(dataset, DatasetSpans()) if dataset else DatasetSpans()
        return Spans(own.floor or self.floor, own.ceiling or self.ceiling)

    def longest(self) -> "Spans":
        """What holds for a repository, which has rows of every dataset: the longest floor, the longest ceiling."""
        every = [self.spans(), *(self.spans(name) for name in self.datasets)]
        ceilings = [one.ceiling for one in every if one.ceiling]
        return Spans(
            max((one.floor for one in every), key=_most_days),
            max(ceilings, key=_most_days) if len(ceilings) == len(every) else None,
        )


@dataclass(frozen=True)
class Spans:
    """A floor, and a ceiling where there is one."""

    floor: str
    ceiling: str | None = None


@dataclass(frozen=True)
class Verdict:
    """What is to become of something: whether it goes, why, and the first day on which that may be otherwise."""

    goes: bool
    why: Literal["hold", "floor", "ceiling", "over", "erasure"]
    until: date | None = None


def over_on(day: date, span: str) -> date:
    """The first day on which this time is over for what belongs to `day`.

    >>> over_on(date(2021, 1, 31), "3y")
    datetime.date(2024, 2, 1)
    """
    count, unit = _read(span)
    if unit == "d":
        return day + timedelta(days=count + 1)
    try:
        last = day.replace(year=day.year + count)
    except ValueError:  # 29 February: there is none, so one day longer
        last = date(day.year + count, 3, 1)
    return last + timedelta(days=1)


def is_over(day: date, span: str, today: date) -> bool:
    """Whether what belongs to `day` has been kept for this time."""
    return today >= over_on(day, span)


def at_least(span: str, other: str) -> bool:
    """Whether the first time is never shorter than the second, from whatever day they count."""
    (count, unit), (least, least_unit) = _read(span), _read(other)
    if unit == least_unit:
        return count >= least
    return _fewest_days(span) >= (_fewest_days(other) if least_unit == "y" else _most_days(other))


def _read(span: str) -> tuple[int, str]:
    if not re.fullmatch(r"[1-9][0-9]{0,4}[dy]", span):
        raise RuleError(
            operation="read a time for which something is kept",
            subject=repr(span),
            cause="it is no number of days or years",
            remedy="write 1095d or 3y",
        )
    return int(span[:-1]), span[-1]


def _fewest_days(span: str) -> int:
    count, unit = _read(span)
    return count if unit == "d" else count * _DAYS_OF_YEAR


def _most_days(span: str) -> int:
    count, unit = _read(span)
    return count if unit == "d" else count * _DAYS_OF_YEAR + count // _LEAP + 1


def verdict(
    purpose: Purpose, day: date, today: date, spans: Spans, *, held: bool, erasure_beats_floor: bool = False
) -> Verdict:
    """What becomes of something of this day: the first that holds of hold, floor, ceiling.

    A hold beats everything. Retention takes nothing before floor and ceiling are over; an erasure wants only the
    floor over, or settings that let the law beat it.
    """
    if held:
        return Verdict(goes=False, why="hold")
    if not is_over(day, spans.floor, today) and not (purpose == "erasure" and erasure_beats_floor):
        return Verdict(goes=False, why="floor", until=over_on(day, spans.floor))
    if purpose == "erasure":
        return Verdict(goes=True, why="erasure")
    if spans.ceiling is None:
        return Verdict(goes=False, why="ceiling")
    if not is_over(day, spans.ceiling, today):
        return Verdict(goes=False, why="ceiling", until=over_on(day, spans.ceiling))
    return Verdict(goes=True, why="over")


@dataclass(frozen=True)
class Thing:
    """One thing that may be removed: a day's recordings (`objects`) or rows, or a year's repository.

    `day` decides: of a repository it is the last day of which it holds anything. `names` are the objects' keys.
    """

    what: Literal["objects", "rows", "repository", "snapshots"]
    site: str
    subject: str
    day: date
    dataset: str | None = None
    names: frozenset[str] = field(default_factory=frozenset, repr=False)
    held: bool = False


@dataclass(frozen=True)
class Permit:
    """Leave to remove these things and no others, for this purpose; only `permit` makes one.

    What removes something asks for it, and looks itself whether the floor is over and nothing is held by now.
    """

    purpose: Purpose
    business: str
    things: frozenset[tuple[str, str, str]]
    names: frozenset[str] = field(default_factory=frozenset, repr=False)

    def covers(self, what: str, site: str, subject: str) -> bool:
        """Whether this thing may go."""
        return (what, site, subject) in self.things


def permit(purpose: Purpose, business: str, rules: Retention, things: Collection[Thing], today: date) -> Permit:
    """Leave to remove all of these things.

    Raises:
        RuleError: one of them is held, under the floor or, for retention, not beyond the ceiling.
    """
    for thing in things:
        if thing.what == "snapshots":  # nothing is lost with them: others hold all that they hold
            continue
        spans = rules.longest() if thing.what == "repository" else rules.spans(thing.dataset)
        said = verdict(purpose, thing.day, today, spans, held=thing.held, erasure_beats_floor=rules.erasure_beats_floor)
        if not said.goes:
            raise RuleError(
                operation=f"remove ({purpose})",
                subject=f"{thing.what} of {business}/{thing.site}, {thing.subject}",
                cause=_WHY[said.why] + (f" until {said.until}" if said.until else ""),
                remedy="let it stay; `voxkeep retention preview` tells what may go and when",
            )
    return Permit(
        purpose,
        business,
        frozenset((thing.what, thing.site, thing.subject) for thing in things),
        frozenset(name for thing in things for name in thing.names),
    )


_WHY = {
    "hold": "a legal hold keeps it",
    "floor": "it is under the floor",
    "ceiling": "its time is not over",
}


def days_over(days: Iterable[date], spans: Spans, today: date) -> list[date]:
    """Of these days, those whose ceiling is over."""
    return [day for day in sorted(days) if verdict("retention", day, today, spans, held=False).goes]


def last_day(year: int, days: Iterable[date]) -> date:
    """The day that decides about a year's repository: the year's last, or a later one of which it holds something."""
    return max([date(year, 12, 31), *days])
