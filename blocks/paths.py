"""File names as text without loss: two different files never share a path, and a path is one printable line."""

import os
import re
from pathlib import Path

from blocks.errors import PermanentError

# Escaped: `%` itself, control characters, and what ends a line or turns the direction of reading; beside bytes that
# are not UTF-8, which are surrogates here.
UNPRINTABLE = r"%\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069"
_ESCAPED = re.compile(f"[\udc80-\udcff{UNPRINTABLE}]")
_ESCAPE = re.compile(rb"%([0-9A-F]{2})")


def escape_path(raw: bytes) -> str:
    r"""The path as text; bytes that are not UTF-8, `%` and what does not print become `%XX`.

    >>> escape_path(b"caf\xe9 100%.wav")
    'caf%E9 100%25.wav'
    """
    text = raw.decode(errors="surrogateescape")
    return _ESCAPED.sub(lambda found: "".join(f"%{byte:02X}" for byte in os.fsencode(found.group())), text)


def unescape_path(text: str) -> bytes:
    """The bytes of which `escape_path` has made this text."""
    return _ESCAPE.sub(lambda found: bytes([int(found.group(1), 16)]), text.encode())


def join_below(root: Path, text: str) -> bytes:
    """The file below `root` that an escaped path names.

    Raises:
        PermanentError: the path would leave the root.
    """
    name = unescape_path(text) if "%" in text else text.encode()
    if name.startswith(b"/") or b".." in name.split(b"/"):
        raise PermanentError(
            operation="open a file", subject=text, cause=f"its path leaves {root}",
            remedy="look where this path comes from: no file on a disk can have it",
        )  # fmt: skip
    return bytes(root) + b"/" + name
