"""What was erased stays away: ids as salted hashes, by which a later snapshot's rows and recordings are known again.

A salt is new for each erasure, so the hashes of one cannot be compared with those of another, nor with a list made
beforehand. The ids themselves are kept nowhere.
"""

from collections.abc import Collection, Iterable
from datetime import date, datetime
from hashlib import sha256

import polars as pl

from reconcile.frames import ERASED

IDS = {"recording": "recording_id", "call": "call_id", "note": "note_uid", "row": "raw"}


def digest(salt: str, *parts: str) -> str:
    """SHA-256 over the salt and the parts, joined by NUL."""
    return sha256("\0".join((salt, *parts)).encode()).hexdigest()


def erased_rows(
    where: tuple[str, str, date], kind: str, ids: Iterable[str], salt: str, order: tuple[str, datetime]
) -> pl.DataFrame:
    """ERASED of these ids; `where` is business, site and day, `order` the removal's id and time."""
    (business, site, day), (removal_id, erased_at) = where, order
    rows = [
        {
            "business": business, "site": site, "day": day, "kind": kind, "salt": salt,
            "digest": digest(salt, kind, name), "removal_id": removal_id, "erased_at": erased_at,
        }
        for name in sorted(set(ids))
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=ERASED.schema)


def without_erased(rows: pl.DataFrame, kind: str, erased: pl.DataFrame) -> pl.DataFrame:
    """The rows (day, and the id of this kind) that were not erased (ERASED); only those days are looked at."""
    ours = erased.filter(pl.col("kind") == kind)
    if ours.is_empty() or rows.is_empty():
        return rows
    salts = dict(ours.group_by("day").agg(pl.col("salt").unique()).iter_rows())
    known = set(ours["digest"])
    is_gone = [
        name is not None and any(digest(salt, kind, name) in known for salt in salts.get(day, ()))
        for day, name in rows.select("day", IDS[kind]).iter_rows()
    ]
    return rows.filter(~pl.Series(is_gone, dtype=pl.Boolean))


def erased_anywhere(names: pl.DataFrame, kind: str, erased: pl.DataFrame) -> set[str]:
    """Of these ids, those that were erased (ERASED) on whatever day."""
    ours = erased.filter(pl.col("kind") == kind)
    salts, known = ours["salt"].unique().to_list(), set(ours["digest"])
    ids = names[IDS[kind]].to_list() if salts else []
    return {name for name in ids if any(digest(salt, kind, name) in known for salt in salts)}


def without_records(data: bytes, begins: Collection[int], gone: Collection[int], line_end: bytes = b"\n") -> bytes:
    """The file without the records that begin on the lines `gone`; `begins`: where each record begins, from line 1.

    Every other byte stays as it is.
    """
    lines = data.split(line_end)
    starts = sorted({*begins, *gone})
    ends = [*(start - 1 for start in starts[1:]), len(lines)]
    wanted = set(gone)
    spans = [range(start, end + 1) for start, end in zip(starts, ends, strict=True) if start in wanted]
    drop = {line for span in spans for line in span}
    kept = [line for number, line in enumerate(lines, start=1) if number not in drop]
    # The last line's end stays the file's.
    return line_end.join([*kept, b""] if lines[-1] == b"" and kept and kept[-1] != b"" else kept)
