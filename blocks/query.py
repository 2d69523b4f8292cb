"""What can be asked of a call index, and what it answers: the same for every kind of index."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

import polars as pl

# Where a page ended: start and call_uid of its last call.
Place = tuple[datetime | None, str]


@dataclass(frozen=True)
class CallQuery:
    """What somebody looks for; a field that is None does not narrow the search, and all others must fit.

    An empty tuple of businesses, sites or calls is not "all" but "none": who may see nothing finds nothing.

    Attributes:
        businesses: Of one of these.
        sites: At one of these.
        call_uids: One of these calls.
        call_id: Every leg of this call.
        number: Part of any of the call's numbers, as `reconcile.numbers.searched` makes it comparable.
        display_number: Part of the number shown to the customer, likewise.
        extension: The agent's line, exactly.
        attributes: Name and exact value of columns that only this business has: case, customer, agent.
        words: What stands in the notes, in any order: words, and Chinese phrases, separated by blanks. Case, width and
            punctuation do not count.
        start: Started at or after.
        end: Started before.
        min_seconds: Talked at least so long.
        max_seconds: Talked at most so long.
        has_recording: Whether it has one.
        recording_state: A recording of it is `ok`, `empty`, `truncated`, …, as the inventory of its site says.
        after: Only what comes after this place: the `after` of the page before.
        limit: So many calls of those that fit.
        count_to: Count so many of those that fit; of more it is only said that there are more.
    """

    businesses: tuple[str, ...] | None = None
    sites: tuple[str, ...] | None = None
    call_uids: tuple[str, ...] | None = None
    call_id: str | None = None
    number: str | None = None
    display_number: str | None = None
    extension: str | None = None
    attributes: tuple[tuple[str, str], ...] = ()
    words: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    min_seconds: float | None = None
    max_seconds: float | None = None
    has_recording: bool | None = None
    recording_state: str | None = None
    after: Place | None = None
    limit: int = 100
    count_to: int = 10_000


@dataclass(frozen=True)
class Found:
    """A page of what fits.

    Attributes:
        calls: The documents (`DOCUMENT_SCHEMA`), newest first, then by call_uid; those without a start come last.
        total: How many fit, over all pages.
        exact: False: more than `total` fit.
        after: Where the next page begins; None when this is the last.
    """

    calls: pl.DataFrame
    total: int
    exact: bool
    after: Place | None


class CallIndex(Protocol):
    """A call index that can be searched."""

    def search(self, query: CallQuery) -> Found:
        """The page of calls that the query asks for."""


def newest(calls: pl.LazyFrame, limit: int) -> pl.LazyFrame:
    """The first calls in the order of every answer: newest first, then by call_uid, those without a start last."""
    return calls.sort("started_at", "call_uid", descending=[True, False], nulls_last=True).head(limit)


def page_of(calls: pl.DataFrame, query: CallQuery, fitting: int, *, goes_on: bool) -> Found:
    """The answer: a page of calls in order, how many fit (at most one more than it counts to), whether more follow."""
    after = (calls["started_at"][-1], calls["call_uid"][-1]) if goes_on and calls.height else None
    return Found(calls, min(fitting, query.count_to), fitting <= query.count_to, after)


def search_all(asked: Sequence[tuple[CallIndex, CallQuery]]) -> Found:
    """One answer from several indices, each asked its own query; `after` and `limit` must be the same.

    Each index serves its own businesses: what stands in two of them is found twice.
    """
    founds = [index.search(query) for index, query in asked]
    if len(founds) == 1:
        return founds[0]
    page = newest(pl.concat([found.calls.lazy() for found in founds]), asked[0][1].limit).collect()
    goes_on = page.height < sum(found.calls.height for found in founds) or any(found.after for found in founds)
    after = (page["started_at"][-1], page["call_uid"][-1]) if goes_on and page.height else None
    return Found(page, sum(found.total for found in founds), all(found.exact for found in founds), after)


def every_page(asked: Sequence[tuple[CallIndex, CallQuery]]) -> Iterator[Found]:
    """Page after page until the last, for example to export a whole list of results; at least one.

    All tell the same total. A call whose start changes meanwhile may come twice or not at all; every other comes once.
    """
    first = found = search_all(asked)
    yield first
    while found.after is not None:
        asked = [(index, replace(query, after=found.after, count_to=0)) for index, query in asked]
        found = search_all(asked)
        yield replace(found, total=first.total, exact=first.exact)
