"""The bytes of many files: their digests and headers, read by as many processes as there are processors.

Threads would hinder one another: a small file takes less time than handing over the interpreter's lock. So this
module is also a program, `python -m blocks.contents`, and imports nothing that is slow to import.
"""

import hashlib
import json
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from blocks.audio import AudioHeader, read_header

_CHUNK = 1 << 20
# Fewer files are read before another process has started.
_FEW = 64
_MOST_NS = 2**63 - 1


def mtime_ns(status: os.stat_result) -> int:
    """When a file's content was last changed, in ns since 1970: at most what 64 bits hold, which is in 2262."""
    return min(max(status.st_mtime_ns, -_MOST_NS), _MOST_NS)


class Contents(NamedTuple):
    """What a file was when it was read: size, mtime (ns), digests as hex, header, and whether it stood still.

    Where it did, `inode` and `ctime_ns` prove later that its bytes are still the ones that were hashed: whatever
    changes a file moves its ctime.
    """

    size: int
    mtime_ns: int
    sha256: str
    md5: str | None
    header: AudioHeader | None
    still: bool
    inode: int
    ctime_ns: int


def read_contents(files: list[bytes], *, recordings: bool) -> list[Contents | None]:
    """The contents of each file, None where it cannot be read or is no plain file; of recordings all, else SHA-256.

    Links are not followed.
    """
    if len(files) <= _FEW:
        buffer = bytearray(_CHUNK)
        return [read_content(file, buffer, recordings=recordings) for file in files]
    processes = os.cpu_count() or 1
    with ThreadPoolExecutor(processes) as threads:
        shares = [files[start::processes] for start in range(processes)]
        parts = list(threads.map(lambda share: _read_apart(share, recordings=recordings), shares))
    return [parts[place % processes][place // processes] for place in range(len(files))]


def _read_apart(files: list[bytes], *, recordings: bool) -> list[Contents | None]:
    """`read_contents` in a process of its own."""
    words = [sys.executable, "-P", "-m", "blocks.contents", "recordings" if recordings else "files"]
    run = subprocess.run(words, input=b"\0".join(files), stdout=subprocess.PIPE, check=True)
    return [_decoded(line) for line in run.stdout.splitlines()]


def _decoded(line: bytes) -> Contents | None:
    found = json.loads(line)
    if found is None:
        return None
    content = Contents(*found)
    return content._replace(header=AudioHeader(*content.header)) if content.header else content


def read_content(file: bytes, buffer: bytearray, *, recordings: bool) -> Contents | None:
    """The contents of one file, as `read_contents`; it is read into `buffer`: a new one costs as much as hashing."""
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    before = os.fstat(handle)
    if not stat.S_ISREG(before.st_mode):
        os.close(handle)
        return None
    with open(handle, "rb", buffering=0) as opened:  # noqa: PTH123
        try:
            size = opened.readinto(buffer)
            head = bytes(memoryview(buffer)[:size])
            sha256, md5 = hashlib.sha256(head), hashlib.md5(head, usedforsecurity=False) if recordings else None
            while size and before.st_size > _CHUNK:
                size = opened.readinto(buffer)
                piece = memoryview(buffer)[:size]
                sha256.update(piece)
                if md5:
                    md5.update(piece)
        except OSError:
            return None
        after = os.fstat(handle)
        extension = os.fsdecode(file.rpartition(b".")[2]).lower()
        header = read_header(head, after.st_size, opened, extension) if recordings else None
    still = (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
    return Contents(
        after.st_size, mtime_ns(after), sha256.hexdigest(), md5.hexdigest() if md5 else None, header, still,
        after.st_ino, after.st_ctime_ns,
    )  # fmt: skip


def _main() -> None:
    recordings, buffer = sys.argv[1] == "recordings", bytearray(_CHUNK)
    for file in sys.stdin.buffer.read().split(b"\0"):
        found = read_content(file, buffer, recordings=recordings)
        sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    _main()
