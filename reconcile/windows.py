"""Long periods in pieces: as many business days at a time as memory holds."""

from collections.abc import Iterator, Mapping
from datetime import date, timedelta

# Bytes of memory that a trace takes at its peak for each byte of the Parquet it is made of: 14 where rows name their
# files, 20 where the nearest are sought (`make bench-engine`).
MEMORY_OF_A_BYTE = 20


def windows(sizes: Mapping[date, int], days: list[date], memory: int) -> Iterator[list[date]]:
    """The days, which follow each other, in windows that fit into `memory` bytes; each has one day at least.

    `sizes`: bytes of Parquet of each day, and of the two around them, that a trace reads. A window is traced with
    the day before and the day behind it, so those count in it, too.
    """
    step = timedelta(days=1)
    window: list[date] = []
    for day in days:
        read = [window[0] - step, *window, day, day + step] if window else []
        if sum(sizes.get(one, 0) for one in read) * MEMORY_OF_A_BYTE > memory:
            yield window
            window = []
        window.append(day)
    if window:
        yield window
