"""The restic repositories of one site: one a year, so that new years can lie on new storage."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any
from urllib.parse import urlsplit

import obstore
import polars as pl
from obstore import exceptions as refusal
from obstore.store import S3Store
from prefect.types import SecretDict
from pydantic import Field, SecretStr

from blocks.errors import OutOfTimeError, PermanentError, SettingsError, TransientError
from blocks.paths import UNPRINTABLE, escape_path
from blocks.restic import Call, run_restic
from blocks.saved_block import SavedBlock

NO_REPOSITORY = 10
LOCKED = 11
INCOMPLETE = 3
FOLDERS_A_CALL = 400
UNDECODABLE = "\ufffd"
# As Rust's regular expressions spell it.
_NEEDS_ESCAPE = "[" + re.sub(r"\\u([0-9a-f]{4})", r"\\x{\1}", UNPRINTABLE) + "]"

SNAPSHOT_SCHEMA = pl.Schema(
    {
        "snapshot_id": pl.String(),
        "taken_at": pl.Datetime("us", "UTC"),
        "host": pl.String(),
        "paths": pl.List(pl.String),
        "tags": pl.List(pl.String),
        "ended_at": pl.Datetime("us", "UTC"),
        "original": pl.String(),
    }
)
FILE_SCHEMA = pl.Schema({"path": pl.String(), "size": pl.Int64(), "mtime": pl.Datetime("us", "UTC")})
# What restic has told of a repository's snapshots (place, year, password). None of them ever changes, for its id is the
# digest of its bytes, and each call of restic takes half a second of a processor to open the repository.
_TOLD: dict[tuple[str, int, SecretStr], pl.DataFrame] = {}
_SNAPSHOT_ID = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Backup:
    """What a backup did: restic's snapshot id, counts, and whether every source file could be read."""

    snapshot_id: str
    files_new: int
    files_changed: int
    bytes_added: int
    complete: bool
    complaint: str


@dataclass(frozen=True)
class Restoring:
    """How a restore is done otherwise than usual.

    `only`: nothing but these files, by their paths below the folder; not for thousands of them. `cache`: an empty
    folder for restic's cache instead of its usual one, behind which damage of the repository can hide.
    `on_progress` hears what restic tells of its status.
    """

    only: tuple[bytes, ...] = ()
    cache: Path | None = None
    on_progress: Callable[[dict[str, Any]], None] | None = None


@dataclass(frozen=True)
class Pace:
    """How a backup goes: how fast it may send (None: as it can), when it is stopped (None: never), who hears of it."""

    kib_per_second: int | None = None
    stop_after_seconds: float | None = None
    on_progress: Callable[[dict[str, Any]], None] | None = None


@dataclass(frozen=True)
class _Way:
    """How a call of restic differs from others: folder of its cache, when it is stopped, what it copies from."""

    cache: Path | None = None
    stop_after_seconds: float | None = None
    source: "tuple[Repository, int] | None" = None


class Repository(SavedBlock):
    """The restic repositories of one site.

    Every verb may be called twice, and after kill -9: restic writes its data first and the snapshot last.

    Attributes:
        location: Folder, or restic's URL of S3, below which each year has its repository.
        password: The password of the repositories.
        access_key: Access key of S3.
        secret_key: Secret key of S3.
        region: Region of S3.
        elsewhere: The years whose repository lies elsewhere, on other disks or another cluster, with its keys.
        deadline_seconds: How long one call of restic may take.

    Example:
        >>> Repository(location="/srv/voxkeep/meituan/restic/cq", password="…").snapshots(2021)
    """

    _block_type_name = "Voxkeep restic repository"
    _block_type_slug = "voxkeep-repository"

    location: str = Field(
        description="Folder, or s3:http://host:9000/bucket/prefix, below which each year has its repository."
    )
    password: SecretStr = Field(description="Password of the repositories.")
    access_key: SecretStr | None = Field(default=None, description="Access key, where the location is S3.")
    secret_key: SecretStr | None = Field(default=None, description="Secret key, where the location is S3.")
    region: str = Field(default="us-east-1", description="Region, where the location is S3.")
    elsewhere: SecretDict | None = Field(
        default=None,
        description="Year: location, access_key, secret_key and region of a repository that lies elsewhere.",
    )
    deadline_seconds: float = Field(
        default=6 * 3600.0, gt=0, description="Longest time for one call of restic, in seconds."
    )

    def create(self, year: int, *, like: "tuple[Repository, int] | None" = None) -> bool:
        """Make the year's repository; False when it was there already.

        It cuts large files as that of another place and year (`like`) does, so that what is copied from there, or
        to there, is not kept twice.

        Raises:
            PermanentError: the site's folder is not there.
        """
        if self.cutting(year):
            return False
        self._of(year)._check_folder()  # noqa: SLF001  # another one of ours
        self._run(year, ["init", "--json", *(["--copy-chunker-params"] if like else [])], way=_Way(source=like))
        return True

    def cutting(self, year: int) -> str | None:
        """Where the year's repository cuts large files (restic's chunker polynomial); None where there is none.

        Two that cut alike keep each part once, whichever it came from.
        """
        call = self._run(year, ["cat", "config", "--no-lock"], allowed=(0, NO_REPOSITORY))
        return None if call.code == NO_REPOSITORY else str(json.loads(call.output)["chunker_polynomial"])

    def check(self, year: int) -> None:
        """Check that snapshots, index and packs fit together; nothing is written, and no pack is read.

        Raises:
            PermanentError: they do not.
        """
        self._run(year, ["check", "--no-lock"])

    def copy_from(self, disk: "Repository", year: int, snapshot_ids: list[str]) -> None:
        """Copy these snapshots of the year from a disk, which is only read; those that are here are left alone.

        Each has a new id here, and its old one as `original`. What a killed run has copied is not copied again after
        `keep_sent`.
        """
        self._run(year, ["copy", "--no-lock", "--compression", "off", *snapshot_ids], way=_Way(source=(disk, year)))

    def make_folder(self) -> None:
        """Make the site's folder, once, when the site is set up: where it is gone later, a disk is not mounted."""
        if self._is_folder():
            Path(self.location).mkdir(parents=True, exist_ok=True)

    def _check_folder(self) -> None:
        if self._is_folder() and not Path(self.location).is_dir():
            raise PermanentError(
                operation="use the repositories",
                subject=self.location,
                cause="there is no such folder, and a new one would hide that the old one is gone",
                remedy="mount the disk; where nothing was ever backed up, make the folder",
            )

    def _of(self, year: int) -> "Repository":
        """The repositories among which this year's is: these, or those elsewhere."""
        return self._others().get(year, self)

    def _others(self) -> dict[int, "Repository"]:
        places = self.elsewhere.get_secret_value() if self.elsewhere else {}
        common = {"password": self.password, "deadline_seconds": self.deadline_seconds}
        return {int(year): Repository(**{**place, **common}) for year, place in places.items()}

    def years(self) -> list[int]:
        """The years that have a repository, in order.

        Raises:
            PermanentError: a folder of the site is not there, or S3 refuses the key.
            TransientError: S3 does not answer.
        """
        others = self._others()
        here = [year for year in self._years_here() if year not in others]
        away = [year for year, other in others.items() if year in other.years()]
        return sorted({*here, *away})

    def _years_here(self) -> list[int]:
        if not self._is_folder():
            return self._years_in_bucket()
        self._check_folder()
        root = Path(self.location)
        return sorted(int(found.parent.name) for found in root.glob("[0-9][0-9][0-9][0-9]/config"))

    def _years_in_bucket(self) -> list[int]:
        """Asked with short patience: with a wrong key or address restic itself would try for a quarter of an hour."""
        with self._patiently():
            below = obstore.list_with_delimiter(self._bucket(), None)["common_prefixes"]
        names = [prefix.rstrip("/").rpartition("/")[2] for prefix in below]
        return sorted(int(name) for name in names if re.fullmatch("[0-9]{4}", name))

    @contextmanager
    def _patiently(self) -> Iterator[None]:
        """What S3 refuses, told as an error of ours."""
        try:
            yield
        except (refusal.PermissionDeniedError, refusal.UnauthenticatedError, refusal.NotFoundError) as error:
            raise PermanentError(
                operation="use the repositories",
                subject=self.location,
                cause=f"the service refuses the bucket or the key: {_first_line(error)}",
                remedy="run `voxkeep apply` again, which makes the bucket and the keys, or correct them",
            ) from None
        except refusal.BaseError as error:
            raise TransientError(
                operation="use the repositories",
                subject=self.location,
                cause=f"the service does not answer: {_first_line(error)}",
                remedy="check that it runs and can be reached from here, then run it again",
            ) from None

    def _bucket(self) -> S3Store:
        address = urlsplit(self.location.removeprefix("s3:"))
        bucket, _, prefix = address.path.strip("/").partition("/")
        if not (self.location.startswith("s3:http") and bucket and self.access_key and self.secret_key):
            raise SettingsError(
                operation="use the repositories",
                subject=self.location,
                cause="it is neither a folder nor S3 with both keys",
                remedy="write /folder or s3:http://host:9000/bucket/prefix, and give both keys",
            )
        return S3Store(
            bucket,
            prefix=prefix or None,
            endpoint=f"{address.scheme}://{address.netloc}",
            access_key_id=self.access_key.get_secret_value(),
            secret_access_key=self.secret_key.get_secret_value(),
            region=self.region,
            virtual_hosted_style_request=False,
            client_options={"allow_http": True, "connect_timeout": "5s", "timeout": "20s"},
            retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=20)},
        )

    def marks(self, year: int) -> frozenset[str]:
        """The ids of the year's snapshots by one listing, which is quick and needs no password.

        Raises:
            PermanentError, TransientError: as `years`.
        """
        place = self._of(year)
        if place._is_folder():  # noqa: SLF001  # one of its own kind
            names = [file.name for file in Path(place.location, str(year), "snapshots").glob("*")]
            return frozenset(filter(_SNAPSHOT_ID.fullmatch, names))
        with place._patiently():  # noqa: SLF001
            pages = obstore.list(place._bucket(), f"{year}/snapshots/")  # noqa: SLF001
            names = [found["path"].rpartition("/")[2] for page in pages for found in page]
            return frozenset(filter(_SNAPSHOT_ID.fullmatch, names))

    def snapshots(self, year: int, *, anew: bool = False) -> pl.DataFrame:
        """The year's snapshots, oldest first (`SNAPSHOT_SCHEMA`); none where there is no repository.

        `original` is the id under which one was first taken, where it was copied or rewritten since. What is there is
        looked up each time; restic is asked only when there is one of which it has not told this process yet, or
        `anew`: for who wants to know whether they can still be read.
        """
        there = self.marks(year)
        known = (self._of(year).location, year, self.password)
        told = _TOLD.get(known)
        if anew or told is None or not there or not there.issubset(told["snapshot_id"]):
            _TOLD[known] = told = self._ask_snapshots(year)
            return told
        return told.filter(pl.col("snapshot_id").is_in(there))

    def _ask_snapshots(self, year: int) -> pl.DataFrame:
        call = self._run(year, ["snapshots", "--json", "--no-lock"], allowed=(0, NO_REPOSITORY))
        if call.code == NO_REPOSITORY:
            return SNAPSHOT_SCHEMA.to_frame()
        rows = [
            {
                "snapshot_id": found["id"],
                "taken_at": datetime.fromisoformat(found["time"]),
                "host": found["hostname"],
                "paths": found["paths"],
                "tags": found.get("tags") or [],
                "ended_at": _instant(found.get("summary", {}).get("backup_end")),
                "original": found.get("original"),
            }
            for found in json.loads(call.output or b"[]")
        ]
        return pl.DataFrame(rows, schema=SNAPSHOT_SCHEMA).sort("taken_at", "snapshot_id")

    def backup(
        self,
        year: int,
        sources: list[Path],
        *,
        host: str,
        tags: list[str],
        parent: str | None = None,
        pace: Pace = Pace(),
    ) -> Backup:
        """Take one snapshot of the sources, uncompressed; the year's repository is made where there is none yet.

        A source file that could not be read makes it incomplete, which is told and not fatal.

        Raises:
            OutOfTimeError: it was stopped in time; what it has sent is not sent again by the next.
        """
        arguments: list[str | bytes] = ["backup", "--json", "--compression", "off", "--host", host]
        arguments += ["--limit-upload", str(pace.kib_per_second)] if pace.kib_per_second else []
        arguments += [part for tag in tags for part in ("--tag", tag)]
        arguments += ["--parent", parent] if parent else []
        summary: dict[str, Any] = {}

        def hear(line: bytes) -> None:
            message = json.loads(line) if line.startswith(b"{") else {}
            if message.get("message_type") == "summary":
                summary.update(message)
            elif message.get("message_type") == "status" and pace.on_progress:
                pace.on_progress(message)

        arguments += ["--", *(bytes(source) for source in sources)]
        way = _Way(stop_after_seconds=pace.stop_after_seconds)
        try:
            call = self._run(year, arguments, allowed=(0, INCOMPLETE, NO_REPOSITORY), on_line=hear, way=way)
            if call.code == NO_REPOSITORY:
                self.create(year)
                call = self._run(year, arguments, allowed=(0, INCOMPLETE), on_line=hear, way=way)
        except OutOfTimeError:
            self.keep_sent(year)
            raise
        return Backup(
            snapshot_id=summary["snapshot_id"],
            files_new=summary["files_new"],
            files_changed=summary["files_changed"],
            bytes_added=summary["data_added"],
            complete=call.code == 0,
            complaint=call.complaint,
        )

    def keep_sent(self, year: int) -> None:
        """Enter into the index what a stopped or killed run has sent, so that the next one does not send it again.

        restic itself does so every ten minutes only. A key that cannot delete leaves old parts of the index beside
        the new (code 1), which is harmless; where others are at work (code 11) nothing is done. Locks of the dead go.
        """
        self._run(year, ["unlock"], allowed=(0, 1, NO_REPOSITORY))
        self._run(year, ["repair", "index"], allowed=(0, 1, NO_REPOSITORY, LOCKED))

    def restore(
        self, year: int, snapshot_id: str, folder: Path | bytes, target: Path, how: Restoring | None = None
    ) -> None:
        """Put the snapshot's `folder` into `target`; whatever is there already is left alone, as old as it may be."""
        how = how or Restoring()
        on_progress = how.on_progress

        def hear(line: bytes) -> None:
            message = json.loads(line) if on_progress and line.startswith(b"{") else {}
            if on_progress and message.get("message_type") == "status":
                on_progress(message)

        name = bytes(folder) if isinstance(folder, Path) else folder
        target.mkdir(parents=True, exist_ok=True)
        arguments: list[str | bytes] = ["restore", "--no-lock", "--json", snapshot_id.encode() + b":" + name]
        arguments += ["--target", bytes(target), "--overwrite", "never"]
        with NamedTemporaryFile() as patterns:  # names may hold numbers, which every process could read in a command
            # The last `/`, which restic ignores, keeps blanks of any kind at a name's end: restic would cut them off.
            patterns.write(b"".join(b"/" + _literal(path) + b"/\n" for path in how.only))
            patterns.flush()
            arguments += ["--include-file", patterns.name] if how.only else []
            self._run(year, arguments, on_line=hear, way=_Way(cache=how.cache))

    def lock_times(self, year: int) -> list[datetime]:
        """When each lock of the year's repository was last refreshed; a run holds one, and a dead one leaves it."""
        listed = self._run(year, ["list", "locks", "--no-lock"], allowed=(0, NO_REPOSITORY))
        times = []
        for name in listed.output.decode().split() if listed.code == 0 else []:
            found = self._run(year, ["cat", "lock", name, "--no-lock"], allowed=(0, 1))
            if found.code == 0:  # one that was released meanwhile is none
                times.append(datetime.fromisoformat(json.loads(found.output)["time"]))
        return times

    def files(self, year: int, snapshot_id: str, root: Path, folders: list[bytes]) -> pl.DataFrame:
        """The files that lie directly in these folders of the snapshot (`FILE_SCHEMA`), path below `root`.

        Names that are not UTF-8 are read from the tree itself, where restic escapes them without loss.
        """
        plain = [folder for folder in folders if _is_utf8(folder)]
        raw = [folder for folder in folders if not _is_utf8(folder)]
        frames = [FILE_SCHEMA.to_frame()]
        for start in range(0, len(plain), FOLDERS_A_CALL):
            wanted = plain[start : start + FOLDERS_A_CALL]
            found = self._list(year, snapshot_id, wanted)
            damaged = found.filter(pl.col("name").str.contains(UNDECODABLE))["folder"].unique().to_list()
            raw += [folder.encode() for folder in damaged]
            frames.append(_below(found.filter(~pl.col("folder").is_in(damaged)), root))
        frames += [self._tree(year, snapshot_id, folder, bytes(root)) for folder in raw]
        return pl.concat(frames).sort("path")

    def _list(self, year: int, snapshot_id: str, folders: list[bytes]) -> pl.DataFrame:
        """name, path, folder, size, mtime of the files directly in these folders."""
        call = self._run(year, ["ls", "--json", "--no-lock", snapshot_id, *folders])
        nodes = pl.read_ndjson(
            BytesIO(call.output),
            schema={
                "name": pl.String,
                "type": pl.String,
                "path": pl.String,
                "size": pl.Int64,
                "mtime": pl.String,
            },
        )
        text = [folder.decode() for folder in folders]
        return nodes.filter(pl.col("type") == "file").select(
            "name",
            "path",
            pl.col("path").str.head(-pl.col("name").str.len_chars().cast(pl.Int64) - 1).alias("folder"),
            pl.col("size").fill_null(0),
            pl.col("mtime").str.to_datetime(time_unit="us", time_zone="UTC", format="%+", exact=True),
        ).filter(pl.col("folder").is_in(text))  # fmt: skip

    def _tree(self, year: int, snapshot_id: str, folder: bytes, root: bytes) -> pl.DataFrame:
        """The files of one folder, read from its tree: there names are escaped as Go escapes strings."""
        call = self._run(year, ["cat", "tree", "--no-lock", snapshot_id.encode() + b":" + folder], allowed=(0, 1))
        if call.code:
            return FILE_SCHEMA.to_frame()
        nodes = [node for node in json.loads(call.output)["nodes"] if node["type"] == "file"]
        rows = [
            {
                "path": escape_path((folder + b"/" + unquote(node["name"])).removeprefix(root + b"/")),
                "size": node.get("size", 0),
                "mtime": datetime.fromisoformat(node["mtime"]),
            }
            for node in nodes
        ]
        return pl.DataFrame(rows, schema=FILE_SCHEMA)

    def call(self, year: int, arguments: list[str | bytes], *, allowed: tuple[int, ...] = (0,)) -> Call:
        """The finished call of restic on the year's repository, for the verbs of other modules.

        Raises:
            PermanentError, TransientError: restic ended with a code that is not in `allowed`, or ran too long.
        """
        return self._run(year, arguments, allowed=allowed)

    def _is_folder(self) -> bool:
        return self.location.startswith("/")

    def _run(
        self,
        year: int,
        arguments: list[str | bytes],
        *,
        allowed: tuple[int, ...] = (0,),
        on_line: Callable[[bytes], None] | None = None,
        way: "_Way | None" = None,
    ) -> Call:
        here = self._of(year)
        if here is not self:
            return here._run(year, arguments, allowed=allowed, on_line=on_line, way=way)  # noqa: SLF001  # one of ours
        keys, way = {}, way or _Way()
        if way.source:
            other, of_year = way.source
            keys["RESTIC_FROM_REPOSITORY"] = f"{other.location}/{of_year}"
            keys["RESTIC_FROM_PASSWORD"] = other.password.get_secret_value()
        if not self._is_folder():
            self._years_here()
            keys["AWS_DEFAULT_REGION"] = self.region
            keys["AWS_ACCESS_KEY_ID"] = self.access_key.get_secret_value() if self.access_key else ""
            keys["AWS_SECRET_ACCESS_KEY"] = self.secret_key.get_secret_value() if self.secret_key else ""
        # A cache of a folder on this machine would only double what is read.
        caching: list[str | bytes] = ["--no-cache"] if self._is_folder() else []
        caching = ["--cache-dir", bytes(way.cache)] if way.cache and not self._is_folder() else caching
        return run_restic(
            [*caching, *arguments],
            environment={
                "RESTIC_REPOSITORY": f"{self.location}/{year}",
                "RESTIC_PASSWORD": self.password.get_secret_value(),
                **keys,
            },
            deadline_seconds=self.deadline_seconds,
            allowed=allowed,
            on_line=on_line,
            stop_after_seconds=way.stop_after_seconds,
        )


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].strip()


def _literal(path: bytes) -> bytes:
    """The path as a line of restic's file of patterns; what would end the line is any character."""
    return re.sub(rb"[\\*?\[\]]", rb"\\\g<0>", path).replace(b"$", b"$$").replace(b"\n", b"?").replace(b"\r", b"?")


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def _below(nodes: pl.DataFrame, root: Path) -> pl.DataFrame:
    """Nodes with absolute paths as files with escaped paths below `root`."""
    relative = nodes.with_columns(pl.col("path").str.strip_prefix(f"{root}/"))
    odd = relative["path"].str.contains(_NEEDS_ESCAPE)
    plain = relative.filter(~odd)
    escaped = relative.filter(odd).with_columns(
        pl.col("path").map_elements(lambda path: escape_path(path.encode()), return_dtype=pl.String)
    )
    return pl.concat([plain, escaped]).select(FILE_SCHEMA.names())


# The short escapes of Go's strconv.Quote, with which restic writes the names in a tree.
_GO_ESCAPES = {
    "a": b"\a",
    "b": b"\b",
    "f": b"\f",
    "n": b"\n",
    "r": b"\r",
    "t": b"\t",
    "v": b"\v",
    "\\": b"\\",
    '"': b'"',
}
_GO_ESCAPE = re.compile(r"\\(x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}|.)", re.DOTALL)


def unquote(name: str) -> bytes:
    """The bytes of a file's name that Go's strconv.Quote has written."""
    raw, last = b"", 0
    for match in _GO_ESCAPE.finditer(name):
        raw += name[last : match.start()].encode()
        escape = match.group(1)
        if escape[0] == "x":
            raw += bytes([int(escape[1:], 16)])
        elif escape[0] in "uU":
            raw += chr(int(escape[1:], 16)).encode()
        else:
            raw += _GO_ESCAPES[escape]
        last = match.end()
    return raw + name[last:].encode()
