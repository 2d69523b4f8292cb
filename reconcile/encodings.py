r"""What a file's bytes say as text: encoding recognised, no line lost to a byte that cannot be decoded.

UTF-8 (with or without BOM), UTF-16 with BOM and GB18030 (GBK, GB2312) are told apart. A byte that its line's
encoding does not allow is shown as `\xNN`. In such a line, and only there, a backslash of the source that
stands before `xNN` is shown as `\x5c`, so that `bytes_shown` can tell the two apart.
"""

import codecs
import re
from dataclasses import dataclass

import polars as pl

_UTF_16 = ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
# Enough lines to tell two encodings apart, few enough to be quick.
_SAMPLED_LINES = 20_000
# A character of two or four bytes, and one of the everyday ones (GB 2312), in GB18030.
_GB_CHARACTER = re.compile(rb"[\x81-\xfe](?:[\x40-\x7e\x80-\xfe]|[\x30-\x39][\x81-\xfe][\x30-\x39])")
_GB_EVERYDAY = re.compile(rb"[\xa1-\xf7][\xa1-\xfe]")
_LITERAL = re.compile(r"\\(?=x[0-9a-f]{2})")
_UNDECODED = re.compile("[\udc80-\udcff]")
_SHOWN = re.compile(r"\\x([0-9a-f]{2})")


@dataclass(frozen=True)
class Text:
    r"""A file as UTF-8 without BOM, what it was encoded in, and what ends its lines.

    `damaged_lines`: the physical lines, from 1, that show bytes as `\xNN`.
    """

    data: bytes
    encoding: str
    line_end: bytes
    damaged_lines: frozenset[int] = frozenset()


def decode(data: bytes) -> Text:
    """The bytes as text; never fails, never drops a byte."""
    for mark, encoding in _UTF_16:
        if data.startswith(mark):
            return _from_utf_16(data[len(mark) :], encoding)
    encoding = "utf-8-sig" if data.startswith(codecs.BOM_UTF8) else "utf-8"
    data = data.removeprefix(codecs.BOM_UTF8)
    line_end = _line_end(data)
    if _is_whole_utf_8(data):
        return Text(data, encoding, line_end)
    if encoding == "utf-8" and _looks_like_gb18030(data.split(line_end)):
        return _from_gb18030(data, line_end)
    return _mended(data, encoding, line_end)


def bytes_shown(text: str) -> list[str | int]:
    r"""The pieces of a text from a damaged line: plain text, and the value of each byte that it shows.

    >>> bytes_shown(r"Jos\xe9 a")
    ['Jos', 233, ' a']
    """
    pieces: list[str | int] = []
    for place, piece in enumerate(_SHOWN.split(text)):
        byte = int(piece, 16) if place % 2 else None
        if byte is None or byte == ord("\\"):
            pieces.append("\\" if byte else piece)
        else:
            pieces.append(byte)
    return [piece for piece in pieces if piece != ""]


def _line_end(data: bytes) -> bytes:
    r"""`\r` where carriage returns alone end the lines, else `\n` (a `\r` before it is part of it)."""
    returns = data.count(b"\r")
    if not returns:
        return b"\n"
    feeds = data.count(b"\n")
    alone = returns - (data.count(b"\r\n") if feeds else 0)
    return b"\r" if alone > feeds else b"\n"


def _is_utf_8(data: bytes) -> bool:
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_whole_utf_8(data: bytes) -> bool:
    # Polars needs a tenth of the time, and of the memory.
    try:
        pl.Series([data], dtype=pl.Binary).cast(pl.String)
    except pl.exceptions.ComputeError:
        return False
    return True


def _looks_like_gb18030(lines: list[bytes]) -> bool:
    """Whether more of the lines with other than ASCII are everyday GB18030 than are UTF-8."""
    telling = [line for line in lines if not line.isascii()]
    telling = telling[:: len(telling) // _SAMPLED_LINES + 1]
    return sum(map(_is_everyday_gb18030, telling)) > sum(map(_is_utf_8, telling))


def _is_everyday_gb18030(line: bytes) -> bool:
    """Valid, and mostly of everyday characters: a Latin-1 letter and an ASCII letter are valid too."""
    try:
        line.decode("gb18030")
    except UnicodeDecodeError:
        return False
    characters: list[bytes] = _GB_CHARACTER.findall(line)
    everyday = sum(_GB_EVERYDAY.fullmatch(character) is not None for character in characters)
    return everyday * 2 >= len(characters)


def _from_gb18030(data: bytes, line_end: bytes) -> Text:
    try:
        return Text(data.decode("gb18030").encode(), "gb18030", line_end)
    except UnicodeDecodeError:
        return _mended(data, "gb18030", line_end)


def _from_utf_16(data: bytes, encoding: str) -> Text:
    try:
        whole = data.decode(encoding).encode()
        return Text(whole, encoding, _line_end(whole))
    except UnicodeDecodeError:
        shown = _LITERAL.sub(r"\\x5c", data.decode(encoding, "surrogatepass" if len(data) % 2 == 0 else "replace"))
        whole = re.sub("[\ud800-\udfff]", _surrogate_shown, shown).encode()
        line_end = _line_end(whole)
        lines = enumerate(whole.split(line_end), start=1)
        return Text(whole, encoding, line_end, frozenset(number for number, line in lines if b"\\x" in line))


def _surrogate_shown(found: re.Match[str]) -> str:
    high, low = divmod(ord(found.group()), 256)
    return f"\\x{high:02x}\\x{low:02x}"


def _mended(data: bytes, encoding: str, line_end: bytes) -> Text:
    lines = data.split(line_end)
    codec = encoding.removesuffix("-sig")
    damaged = []
    for number, line in enumerate(lines, start=1):
        if line.isascii():
            continue
        try:
            lines[number - 1] = line.decode(codec).encode()
        except UnicodeDecodeError:
            lines[number - 1] = _shown(line, codec)
            damaged.append(number)
    return Text(line_end.join(lines), encoding, line_end, frozenset(damaged))


def _shown(line: bytes, codec: str) -> bytes:
    text = _LITERAL.sub(r"\\x5c", line.decode(codec, "surrogateescape"))
    return _UNDECODED.sub(lambda found: f"\\x{ord(found.group()) - 0xDC00:02x}", text).encode()
