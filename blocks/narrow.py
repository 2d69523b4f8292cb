"""What searches look at of one partition, as it lies in memory: its calls in the order of time.

What a search knows whole (a case, an extension, …) leads to its calls by a hash, a part of a number by its pieces of
four bytes; only what is left is compared text by text.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from blocks.lines import Lines
from blocks.query import CallQuery
from blocks.searchable import TEXTS, values, wanted_values

# Places of calls in their partition, in order.
Rows = NDArray[np.unsignedinteger[Any]]
# The start of a call that has none: before all others.
NO_START = int(np.iinfo(np.int64).min)
_PIECE = 4
# So many of a number's pieces are looked up, its last ones; the text decides about what is left.
_MOST_PIECES = 3
_LINE_END = 10
_MOST_SHORT = 1 << 16


@dataclass(frozen=True)
class Postings:
    """Which calls have which key: each key once, in order, and the rows of all keys one after the other."""

    keys: NDArray[np.unsignedinteger[Any]]
    ends: NDArray[np.uint32]
    rows: Rows

    def of(self, key: np.unsignedinteger[Any]) -> Rows:
        """The rows that have this key."""
        place = int(self.keys.searchsorted(key))
        if place == len(self.keys) or self.keys[place] != key:
            return self.rows[:0]
        return self.rows[self.ends[place - 1] if place else 0 : self.ends[place]]

    def size(self) -> int:
        """Bytes in memory."""
        return self.keys.nbytes + self.ends.nbytes + self.rows.nbytes


@dataclass(frozen=True)
class Wanted:
    """A query, as it is put to each partition; times in microseconds since 1970, in UTC."""

    values: list[list[np.uint64]]
    pieces: list[np.uint32]
    start: int | None
    end: int | None
    min_seconds: float | None
    max_seconds: float | None
    has_recording: bool | None


def wanted(query: CallQuery) -> Wanted:
    """The query, as it is put to each partition."""
    return Wanted(
        values=[[np.uint64(key) for key in keys] for keys in wanted_values(query)],
        pieces=_last_pieces((query.number or "").encode()),
        start=None if query.start is None else instant(query.start),
        end=None if query.end is None else instant(query.end),
        min_seconds=query.min_seconds,
        max_seconds=query.max_seconds,
        has_recording=query.has_recording,
    )


def instant(at: datetime) -> int:
    """Microseconds since 1970, in UTC."""
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


@dataclass(frozen=True)
class Narrow:
    """The calls of a partition, by start and call_uid; null is `NO_START`, and for a length not a number.

    `lines` is where its documents lie, None where they must be searched for.
    """

    starts: NDArray[np.int64]
    seconds: NDArray[np.float64]
    is_recorded: NDArray[np.bool_]
    texts: pl.DataFrame
    values: Postings
    pieces: Postings
    lines: Lines | None

    def fitting(self, wanted: Wanted) -> Rows:
        """The calls that fit, as far as can be told without their texts."""
        low, high = self._between(wanted)
        rows = self._having(wanted)
        if rows is None:
            rows = np.arange(low, high, dtype=self.values.rows.dtype)
        elif low or high < len(self.starts):
            rows = rows[(rows >= low) & (rows < high)]
        if wanted.min_seconds is not None:
            rows = rows[self.seconds[rows] >= wanted.min_seconds]
        if wanted.max_seconds is not None:
            rows = rows[self.seconds[rows] <= wanted.max_seconds]
        if wanted.has_recording is not None:
            rows = rows[self.is_recorded[rows] == wanted.has_recording]
        return rows

    def _between(self, wanted: Wanted) -> tuple[int, int]:
        """The first row that is not too early, and the first that is too late."""
        low, high = 0, len(self.starts)
        if wanted.start is not None or wanted.end is not None:
            low = int(self.starts.searchsorted(wanted.start if wanted.start is not None else NO_START + 1))
        if wanted.end is not None:
            high = int(self.starts.searchsorted(wanted.end))
        return low, max(low, high)

    def _having(self, wanted: Wanted) -> Rows | None:
        """The calls that have every value that is wanted, and perhaps the number; None where none is wanted."""
        if not wanted.values and not wanted.pieces:
            return None
        found = [self._any(keys) for keys in wanted.values]
        found += [self.pieces.of(piece) for piece in wanted.pieces]
        rows, *others = sorted(found, key=len)
        for other in others:
            if not len(rows):
                break
            rows = np.intersect1d(rows, other, assume_unique=True)
        return rows

    def _any(self, keys: list[np.uint64]) -> Rows:
        if len(keys) == 1:
            return self.values.of(keys[0])
        return np.unique(np.concatenate([self.values.rows[:0], *(self.values.of(key) for key in keys)]))

    def texts_of(self, rows: Rows, names: list[str]) -> pl.DataFrame:
        """These texts of these calls."""
        texts = self.texts[names]
        return texts if len(rows) == len(self.starts) else texts[rows.astype(np.uint32)]

    def size(self) -> int:
        """Bytes in memory, roughly."""
        arrays = self.starts.nbytes + self.seconds.nbytes + self.is_recorded.nbytes
        postings = self.values.size() + self.pieces.size()
        return int(self.texts.estimated_size()) + arrays + postings + (self.lines.ends.nbytes if self.lines else 0)


def narrow(columns: pl.DataFrame, lines: Lines | None) -> Narrow:
    """What a search looks at, of its columns (`OWN` and `DERIVED_SCHEMA` of blocks.searchable)."""
    # Lines are in the order of the file, which is already this one.
    rows = columns if lines else columns.sort("started_at", "call_uid")
    found = values(rows)
    # A call may have the same value twice.
    is_first = (pl.col("hash") != pl.col("hash").shift()) | (pl.col("row") != pl.col("row").shift())
    found = found.filter(is_first.fill_null(value=True))
    return Narrow(
        starts=rows["started_at"].dt.timestamp("us").fill_null(NO_START).to_numpy(),
        seconds=rows["talk_seconds"].fill_null(float("nan")).to_numpy(),
        is_recorded=rows["state_lines"].is_not_null().to_numpy(),
        texts=rows.select("call_uid", *TEXTS).rechunk(),
        values=_postings(found["hash"].to_numpy(), found["row"].to_numpy(), rows.height),
        pieces=_number_pieces(rows["number_lines"].fill_null("")),
        lines=lines,
    )


def _number_pieces(numbers: pl.Series) -> Postings:
    """Which call has which piece of a number."""
    text = np.frombuffer(numbers.str.join("\n").item().encode(), np.uint8)
    of_row = np.repeat(np.arange(len(numbers), dtype=np.uint64), numbers.str.len_bytes().to_numpy() + 1)
    pieces = _pieces(text)
    is_end = text == _LINE_END
    is_cut = np.logical_or.reduce([is_end[place : place + len(pieces)] for place in range(_PIECE)])
    both = np.sort((pieces.astype(np.uint64) << np.uint64(32) | of_row[: len(pieces)])[~is_cut])
    both = both[np.append(True, both[1:] != both[:-1])] if len(both) else both
    return _postings((both >> np.uint64(32)).astype(np.uint32), both.astype(np.uint32), len(numbers))


def _last_pieces(number: bytes) -> list[np.uint32]:
    """The last pieces of a number, beside one another."""
    ends = range(len(number), _PIECE - 1, -_PIECE)
    return [np.uint32(int.from_bytes(number[end - _PIECE : end], "little")) for end in ends[:_MOST_PIECES]]


def _pieces(text: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Each four bytes of the text that follow one another, as one number."""
    if len(text) < _PIECE:
        return np.empty(0, np.uint32)
    wide = text.astype(np.uint32)
    count = len(text) - _PIECE + 1
    pieces = np.zeros(count, np.uint32)
    for place in range(_PIECE):
        pieces |= wide[place : place + count] << np.uint32(8 * place)
    return pieces


def _postings(keys: NDArray[Any], rows: NDArray[np.uint32], height: int) -> Postings:
    """The postings of keys in order, with the row of each."""
    ends = np.flatnonzero(np.append(keys[1:] != keys[:-1], [True] * min(len(keys), 1))) + 1
    return Postings(
        keys[ends - 1], ends.astype(np.uint32), rows.astype(np.uint16 if height <= _MOST_SHORT else np.uint32)
    )
