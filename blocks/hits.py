"""The calls of an answer while it is searched for: the newest that fit, of all partitions looked at so far."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from blocks.catalog import Partition
from blocks.narrow import NO_START, Narrow, Rows, instant
from blocks.query import CallQuery

Fitting = tuple[Partition, Narrow, Rows]


class Hit(NamedTuple):
    """A call that fits: its start (microseconds since 1970, or `NO_START`), its id, and where its document lies."""

    start: int
    call_uid: str
    partition: Partition
    narrow: Narrow
    row: int


def best(before: Sequence[Hit], found: Iterable[Fitting], query: CallQuery) -> list[Hit]:
    """The first calls of the page, and one more where there is one; newest first, then by call_uid."""
    most = query.limit + 1
    parts = [(partition, narrow, _last(narrow, _after(narrow, rows, query), most)) for partition, narrow, rows in found]
    placed = [(partition, narrow, rows, narrow.starts[rows]) for partition, narrow, rows in parts if len(rows)]
    if not placed:
        return list(before)
    starts = np.concatenate([starts for *_, starts in placed])
    oldest = int(np.partition(starts, len(starts) - most)[len(starts) - most]) if len(starts) > most else NO_START
    hits = [*before, *(hit for part in placed if part[3][-1] >= oldest for hit in _hits(*part, oldest))]
    return sorted(hits, key=lambda hit: (-hit.start, hit.call_uid))[:most]


def _hits(partition: Partition, narrow: Narrow, rows: Rows, starts: NDArray[np.int64], oldest: int) -> Iterable[Hit]:
    """The calls of a partition that are not older than this."""
    first = int(starts.searchsorted(oldest))
    uids = narrow.texts["call_uid"].gather(rows[first:].astype(np.uint32)).to_list()
    for row, start, uid in zip(rows[first:].tolist(), starts[first:].tolist(), uids, strict=True):
        yield Hit(start, uid, partition, narrow, row)


def _last(narrow: Narrow, rows: Rows, most: int) -> Rows:
    """So many of the newest of these, and all that began at the same instant as the oldest of them."""
    if len(rows) <= most:
        return rows
    starts = narrow.starts[rows]
    return rows[int(starts.searchsorted(starts[-most])) :]


def _after(narrow: Narrow, rows: Rows, query: CallQuery) -> Rows:
    """Those that come after the place where the page before ended."""
    if query.after is None or not len(rows):
        return rows
    started_at, call_uid = query.after
    place = NO_START if started_at is None else instant(started_at)
    starts = narrow.starts[rows]
    first, end = (int(starts.searchsorted(place, side)) for side in ("left", "right"))
    if first == end:
        return rows[:first]
    same = rows[first:end]
    is_later = narrow.texts["call_uid"].gather(same.astype(np.uint32)) > call_uid
    return np.concatenate([rows[:first], same[is_later.to_numpy()]])
