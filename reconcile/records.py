"""One record of a delimited file, read exactly (RFC 4180): the parser for lines that are not plain."""

import re
from dataclasses import dataclass

# What follows an opening quote, up to the quote that closes: doubled quotes stand for one.
_QUOTED = re.compile(r'[^"]*+(?:""[^"]*+)*+"')
_ENOUGH = 500


@dataclass(frozen=True)
class Record:
    """A record: its fields (None: NULL, an unquoted empty one), or why it has none, and the line after."""

    fields: list[str | None]
    broken: str | None
    next_line: int


def read_record(lines: list[str], start: int, delimiter: str, line_end: str = "\n") -> Record:
    r"""The record that begins at `lines[start]`; the lines hold no line ends, but may keep a `\r` at theirs.

    A quote inside an unquoted field is text. A quoted field that is never closed, or goes on after its
    closing quote, breaks the record: then only its first line is consumed.
    """
    fields: list[str | None] = []
    value: str | None
    line, text, at = start, lines[start].removesuffix("\r"), 0
    while True:
        if text.startswith('"', at):
            closed = _close(lines, line, at + 1, line_end)
            if closed is None:
                return Record([], "a quote is never closed", start + 1)
            value, line, at = closed
            text = lines[line].removesuffix("\r")
            if at < len(text) and not text.startswith(delimiter, at):
                return Record([], "text follows a closing quote", start + 1)
        else:
            end = text.find(delimiter, at)
            end = len(text) if end < 0 else end
            value, at = text[at:end] or None, end
        fields.append(value)
        if at >= len(text):
            return Record(fields, None, line + 1)
        at += len(delimiter)


def _close(lines: list[str], line: int, at: int, line_end: str) -> tuple[str, int, int] | None:
    """The value quoted from there on, the line where it ends, and the place after its closing quote."""
    pieces = []
    for number in range(line, len(lines)):
        text = lines[number]
        found = _QUOTED.match(text, at)
        if found:
            pieces.append(text[at : found.end() - 1])
            return line_end.join(pieces).replace('""', '"'), number, found.end()
        pieces.append(text[at:])
        at = 0
    return None


def as_it_stands(lines: list[str], start: int, end: int, line_end: str = "\n") -> str:
    r"""The first 500 characters of these lines; a NUL is shown as `\x00`."""
    pieces, length = [], 0
    for line in lines[start:end]:
        pieces.append(line[:_ENOUGH])
        length += len(line) + 1
        if length > _ENOUGH:
            break
    return line_end.join(pieces).removesuffix("\r")[:_ENOUGH].replace("\0", "\\x00")[:_ENOUGH]
