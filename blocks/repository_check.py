"""What a check reads of a restic repository: is it sound, what is in it, and what can really be had back.

Everything is read without a lock, so that no check stands in the way of a backup, and without a cache, behind which
damage hides. restic's `find --pack` is of no use here: of a cut pack it gives up, and a damaged tree spoils its JSON.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from blocks.errors import PermanentError
from blocks.paths import escape_path, unescape_path
from blocks.repository import NO_REPOSITORY, SNAPSHOT_SCHEMA, Repository, unquote

# Damaged keys end with 1, as other damage does; a key that is gone, with the code of a wrong password.
_FAILED, _WRONG_PASSWORD = 1, 12
_ANY = (0, _FAILED, NO_REPOSITORY, _WRONG_PASSWORD)
_QUIET = ["--no-lock", "--no-cache"]
_PACK = re.compile(r"\bpack ([0-9a-f]{64})\b")
# Calls of restic at a time: each waits for the store most of the time.
_AT_A_TIME = 4
# What restic says of the repair, and what follows from what was said before.
_ADVICE = re.compile(r"restic repair|troubleshooting|issues/new|repository contains errors|^\s*$")

CONTENT_SCHEMA = pl.Schema(
    {"path": pl.String(), "size": pl.Int64(), "mtime": pl.Datetime("us", "UTC"), "blobs": pl.List(pl.String)}
)


@dataclass(frozen=True)
class Checked:
    """What restic's check found: nothing, or its complaints and the packs that it named."""

    complaints: tuple[str, ...]
    packs: frozenset[str]


@dataclass(frozen=True)
class Blobs:
    """The ids of the pieces of files: those in packs that are not known to be damaged, and all that an index has."""

    sound: frozenset[str]
    known: frozenset[str]


@dataclass(frozen=True)
class Lock:
    """A lock in a repository: its id, who made it, and when it was last refreshed."""

    lock_id: str
    host: str
    pid: int
    time: datetime
    exclusive: bool


def check(repository: Repository, year: int, share: int, shares: int) -> Checked:
    """Look through index, snapshots and trees, and read the packs of this share (1 to `shares`), all their bytes.

    Raises:
        TransientError: the store does not answer: that says nothing about the repository.
    """
    call = repository.call(year, ["check", "--json", *_QUIET, f"--read-data-subset={share}/{shares}"], allowed=_ANY)
    if call.code == 0:
        return Checked((), frozenset())
    said = [line for line in call.complaints if not _ADVICE.search(line)]
    named = [pack for message in call.messages() for pack in message.get("broken_packs") or []]
    repository.years()
    packs = {*named, *(pack for line in said for pack in _PACK.findall(line))}
    return Checked(tuple(dict.fromkeys(said)) or (call.complaint,), frozenset(packs))


def blobs(repository: Repository, year: int, damaged: frozenset[str]) -> Blobs:
    """What the index has, with these packs as damaged; nothing where any part of the index cannot be read.

    One part that is damaged is enough: restic then refuses to restore anything.
    """
    sound: set[str] = set()
    known: set[str] = set()
    listed, packs = (repository.call(year, ["list", kind, *_QUIET], allowed=_ANY) for kind in ("index", "packs"))
    names, there = listed.output.decode().split(), set(packs.output.decode().split())
    calls = _each(lambda name: repository.call(year, ["cat", "index", name, *_QUIET], allowed=_ANY), names)
    if any(call.code for call in (listed, packs, *calls)):
        return Blobs(frozenset(), frozenset())
    for call in calls:
        for pack in json.loads(call.output).get("packs") or []:
            ids = [blob["id"] for blob in pack["blobs"]]
            known.update(ids)
            if pack["id"] in there and pack["id"] not in damaged:
                sound.update(ids)
    return Blobs(frozenset(sound), frozenset(known))


def snapshots_left(repository: Repository, year: int) -> pl.DataFrame:
    """The year's snapshots as `Repository.snapshots` gives them, newest first; none where it cannot be opened."""
    try:
        return repository.snapshots(year, anew=True).reverse()
    except PermanentError:
        return SNAPSHOT_SCHEMA.to_frame()


def contents(repository: Repository, year: int, snapshot_id: str, root: Path, paths: Iterable[str]) -> pl.DataFrame:
    """The files in the folders of these paths below `root`, as far as this snapshot reaches them (`CONTENT_SCHEMA`).

    What lies below a folder whose tree cannot be read is not among them. A call of restic for each folder.
    """
    wanted = {folder for path in paths for folder in _folders(unescape_path(path))}
    top = repository.call(year, ["cat", "tree", *_QUIET, snapshot_id.encode() + b":" + bytes(root)], allowed=_ANY)
    rows: list[dict[str, Any]] = []
    level = [(b"", top.output if top.code == 0 else b"")]
    while level:
        folders: list[tuple[bytes, str]] = []
        for folder, tree in level:
            for node in json.loads(tree)["nodes"] if tree else []:
                path = folder + unquote(node["name"])
                if node["type"] == "dir" and path in wanted:
                    folders.append((path + b"/", node["subtree"]))
                elif node["type"] == "file":
                    rows.append(_file(path, node))
        trees = _each(lambda one: repository.call(year, ["cat", "blob", one[1], *_QUIET], allowed=_ANY), folders)
        level = [
            (folder, call.output if call.code == 0 else b"") for (folder, _), call in zip(folders, trees, strict=True)
        ]
    return pl.DataFrame(rows, schema=CONTENT_SCHEMA)


def _folders(path: bytes) -> list[bytes]:
    """The folders on the way to the path."""
    parts = path.split(b"/")[:-1]
    return [b"/".join(parts[: count + 1]) for count in range(len(parts))]


def _file(path: bytes, node: dict[str, Any]) -> dict[str, Any]:
    return {
        "path": escape_path(path),
        "size": node.get("size", 0),
        "mtime": datetime.fromisoformat(node["mtime"]),
        "blobs": node.get("content") or [],
    }


def digests(repository: Repository, year: int, root: Path, files: list[tuple[str, str]]) -> list[str | None]:
    """SHA-256 of what restic gives back of each (snapshot_id, path below `root`); None where it gives nothing."""

    def digest(file: tuple[str, str]) -> str | None:
        snapshot_id, path = file
        name = bytes(root) + b"/" + unescape_path(path)
        call = repository.call(year, ["dump", *_QUIET, snapshot_id, name], allowed=_ANY)
        return hashlib.sha256(call.output).hexdigest() if call.code == 0 else None

    return _each(digest, files)


def locks(repository: Repository, year: int) -> list[Lock]:
    """The locks in the year's repository; one that vanishes meanwhile is none, and one that nobody can read."""
    listed = repository.call(year, ["list", "locks", *_QUIET], allowed=_ANY)
    names = listed.output.decode().split() if listed.code == 0 else []
    calls = [(name, repository.call(year, ["cat", "lock", name, *_QUIET], allowed=_ANY)) for name in names]
    found = [(name, json.loads(call.output)) for name, call in calls if call.code == 0]
    return [
        Lock(name, lock["hostname"], lock["pid"], datetime.fromisoformat(lock["time"]), lock["exclusive"])
        for name, lock in found
    ]


def remove_stale_locks(repository: Repository, year: int) -> list[Lock]:
    """Remove the locks that restic itself judges stale, and return them.

    Those are the ones that were not refreshed for half an hour, or whose process on this very host is no more.
    """
    before = locks(repository, year)
    if not before:
        return []
    repository.call(year, ["unlock", "--no-cache"])
    kept = {lock.lock_id for lock in locks(repository, year)}
    return [lock for lock in before if lock.lock_id not in kept]


def age(lock: Lock, now: datetime) -> str:
    """The lock as people say it: host, process, age."""
    minutes = int((now - lock.time.astimezone(UTC)).total_seconds() // 60)
    return f"{lock.lock_id[:8]} of process {lock.pid} on {lock.host}, refreshed {minutes} min ago"


def _each(work: Any, items: Iterable[Any]) -> list[Any]:  # noqa: ANN401
    with ThreadPoolExecutor(_AT_A_TIME) as threads:
        return list(threads.map(work, items))
