"""How a delimited file is laid out: its delimiter, its column names, and the line where its rows begin."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from reconcile.records import read_record

DELIMITERS = (",", ";", "\t", "|")
_SAMPLED_LINES = 100
_SAMPLED_CHARACTERS = 65_536
_QUOTED = re.compile(r'"[^"]*+(?:""[^"]*+)*+"')
# What stands in rows but in no header: numbers (also telephone numbers), dates and times, UUIDs, paths.
_DATUM = re.compile(r"[+-]?[\d.,:/\-\s]*\d[\d.,:/\-\sTZ+]*|[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|[./~]?/.+|[A-Za-z]:\\.+")
# Names that the frame itself has; a source column of this name gets a number.
_TAKEN = "source_row"


@dataclass(frozen=True)
class Layout:
    """Delimiter, column names, and the index of the first line after the header."""

    delimiter: str
    names: list[str]
    first_line: int


class HeaderError(Exception):
    """The line that should name the columns cannot be read."""


def find_layout(head: list[str], start: int, headers: list[list[str]], line_end: str) -> Layout:
    """The layout of a file from its first lines, the first that is not blank at `start`.

    Of several headers for a file without one, that whose length fits most of these lines holds. Without any,
    the first record names the columns unless it holds what only rows hold; then they are column_1,
    column_2, ….

    Raises:
        HeaderError: the first record is broken, and no header was given.
    """
    sample = _sample(head[start:])
    delimiter = _delimiter(sample, {len(header) for header in headers})
    first = read_record(head, start, delimiter, line_end)
    same = next((header for header in headers if _alike(header) == _alike(first.fields)), None)
    if same:
        return Layout(delimiter, unique_names(same), first.next_line)
    if headers:
        counts = Counter(line.count(delimiter) + 1 for line in sample)
        fitting = max(headers, key=lambda header: counts[len(header)])
        return Layout(delimiter, unique_names(fitting), start)
    if first.broken:
        raise HeaderError(first.broken)
    if any(field and _DATUM.fullmatch(field.strip()) for field in first.fields):
        return Layout(delimiter, unique_names([None] * len(first.fields)), start)
    return Layout(delimiter, unique_names(first.fields), first.next_line)


def unique_names(names: Sequence[str | None]) -> list[str]:
    """Each name once: `name`, `name_2`, …; one that is empty becomes `column_<place>`."""
    found: list[str] = []
    given = [(name or "").strip() or f"column_{place}" for place, name in enumerate(names, start=1)]
    for name in given:
        numbered = (f"{name}_{number}" for number in count(2))
        free = (other for other in numbered if other not in given and other not in found)
        found.append(next(free) if name in found or name == _TAKEN else name)
    return found


def _alike(names: Sequence[str | None]) -> list[str]:
    return [(name or "").strip().casefold() for name in names]


def _sample(lines: list[str]) -> list[str]:
    """The first lines, each without what is quoted: its delimiters are all between fields."""
    text = "\n".join(line for line in lines if line.strip(" \r"))[:_SAMPLED_CHARACTERS]
    return _QUOTED.sub("", text).split("\n")[:_SAMPLED_LINES]


def _delimiter(sample: list[str], lengths: set[int]) -> str:
    """The delimiter that gives the header's length, or else the same number of fields, in most lines."""

    def fitness(delimiter: str) -> tuple[int, int]:
        counts = Counter(line.count(delimiter) + 1 for line in sample)
        if lengths:
            return sum(counts[length] for length in lengths), 0
        fields, lines = max(counts.items(), key=lambda pair: (pair[1], pair[0]))
        # A column of text may hold one now and then.
        return (lines, fields) if fields > 1 else (0, 1)

    return max(DELIMITERS, key=fitness)
