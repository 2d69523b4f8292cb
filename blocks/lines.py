"""Whole documents as lines of JSON, packed some together, so that any of them is read without its whole partition.

They lie in the partition's Parquet file itself, between the rows and the footer, where readers of Parquet, who go by
the footer's offsets, do not look: so rows and lines are always of one version. Before the footer stand how many bytes
each pack has, how many packs there are, and a mark.
"""

import os
import struct
import zlib
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

# Lines of a pack: few enough that unpacking them for one costs little, many enough to pack well.
_TOGETHER = 32
_MARK = b"VOXLINE1"
_TAIL = struct.Struct("<I8s")
_FOOTER = struct.Struct("<I4s")
_PARQUET = b"PAR1"


@dataclass(frozen=True)
class Lines:
    """Where the packs of a file end, the first beginning at `begins`."""

    begins: int
    ends: NDArray[np.int64]


def packed(lines: list[str]) -> bytes:
    """The lines as they lie in a file; the same lines give the same bytes."""
    starts = range(0, len(lines), _TOGETHER)
    packs = [zlib.compress("\n".join(lines[start : start + _TOGETHER]).encode(), 1) for start in starts]
    sizes = np.array([len(pack) for pack in packs], "<u4").tobytes()
    return b"".join([*packs, sizes, _TAIL.pack(len(packs), _MARK)])


def lines_in(handle: int) -> Lines | None:
    """Where the lines of an open Parquet file are; None where it has none."""
    size = os.fstat(handle).st_size
    length, mark = _FOOTER.unpack(_at(handle, size - _FOOTER.size, _FOOTER.size))
    end = size - _FOOTER.size - length - _TAIL.size
    if mark != _PARQUET or end < 0:
        return None
    count, mark = _TAIL.unpack(_at(handle, end, _TAIL.size))
    if mark != _MARK:
        return None
    sizes = np.frombuffer(_at(handle, end - 4 * count, 4 * count), "<u4")
    ends = sizes.cumsum(dtype=np.int64)
    return Lines(end - 4 * count - (int(ends[-1]) if count else 0), ends)


def read_lines(handle: int, lines: Lines, rows: list[int]) -> list[str]:
    """The lines of these rows of the file, which are in order."""
    found: list[str] = []
    for pack, group in groupby(rows, key=lambda row: row // _TOGETHER):
        start = int(lines.ends[pack - 1]) if pack else 0
        content = zlib.decompress(_at(handle, lines.begins + start, int(lines.ends[pack]) - start))
        texts = content.decode().split("\n")
        found += [texts[row % _TOGETHER] for row in group]
    return found


def _at(handle: int, place: int, count: int) -> bytes:
    content = os.pread(handle, count, max(place, 0))
    if len(content) != count:
        raise OSError(f"the file ends before byte {place + count}")
    return content
