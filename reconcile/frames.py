"""The frames: what each column is called, holds and means.

Every frame that enters or leaves the engine has one entry here, and is checked against it where it enters
(`conform`). Instants are UTC; only `day` is local to the site. Ids and telephone numbers are text.
`docs/frames.md` is generated from this file.
"""

from dataclasses import dataclass

import polars as pl

from reconcile.errors import ContractError

INSTANT = pl.Datetime("us", "UTC")

# The six stations, in the order in which a recording passes them.
STATIONS = ("called", "on_site", "in_snapshot", "restored", "published", "indexed")


@dataclass(frozen=True)
class Column:
    """A column: its dtype, what it means (with its unit), and whether it may be null."""

    dtype: pl.DataType | type[pl.DataType]
    meaning: str
    nullable: bool = False


@dataclass(frozen=True)
class Frame:
    """A frame: its name, what a row is, and its columns in order."""

    name: str
    row: str
    columns: dict[str, Column]

    @property
    def schema(self) -> pl.Schema:
        """The Polars schema of this frame."""
        return pl.Schema({name: column.dtype for name, column in self.columns.items()})

    def empty(self) -> pl.DataFrame:
        """This frame without rows."""
        return pl.DataFrame(schema=self.schema)


def conform(frame: pl.DataFrame, contract: Frame) -> pl.DataFrame:
    """The same rows with exactly the contract's columns, in its order.

    Raises:
        ContractError: a column is missing, has another dtype, or holds nulls where none are allowed.
    """
    missing = [name for name in contract.columns if name not in frame.columns]
    if missing:
        raise ContractError(
            operation=f"read the frame {contract.name}",
            subject=", ".join(missing),
            cause="the column is not there" if len(missing) == 1 else "the columns are not there",
            remedy=f"it has {', '.join(frame.columns)}; docs/frames.md lists what {contract.name} needs",
        )
    for name, column in contract.columns.items():
        found = frame.schema[name]
        if found != column.dtype:
            raise ContractError(
                operation=f"read the frame {contract.name}",
                subject=name,
                cause=f"it is {found}, not {pl.Schema({name: column.dtype})[name]}",
                remedy="write the frame with the engine's own functions, or cast the column",
            )
        if not column.nullable and frame[name].null_count():
            raise ContractError(
                operation=f"read the frame {contract.name}",
                subject=name,
                cause=f"{frame[name].null_count()} of {frame.height} rows have no value",
                remedy="set these rows aside before they enter the frame",
            )
    return frame.select(list(contract.columns))


_KEYS = {
    "business": Column(pl.String, "the business 业务"),
    "site": Column(pl.String, "the site 站点"),
    "day": Column(pl.Date, "business day in the site's time zone"),
}

CALLS = Frame(
    "calls",
    "one CDR 话单: a call, or one leg of it",
    {
        "business": _KEYS["business"],
        "site": _KEYS["site"],
        "dataset": Column(pl.String, "the dataset the row was extracted by"),
        "day": Column(pl.Date, "business day of started_at in the site's time zone", nullable=True),
        "call_uid": Column(pl.String, "32 hex digits that name this leg for ever (reconcile.ids)"),
        "call_id": Column(pl.String, "the source system's id of the call; legs of one call share it"),
        "leg": Column(pl.String, "which leg of the call; empty where a call is one row"),
        "started_at": Column(INSTANT, "start of the call", nullable=True),
        "talk_seconds": Column(pl.Float64, "time talked, in seconds", nullable=True),
        "extension": Column(pl.String, "the agent's line", nullable=True),
        "caller": Column(pl.String, "calling number, as the source wrote it", nullable=True),
        "callee": Column(pl.String, "called number, as the source wrote it", nullable=True),
        "display_number": Column(pl.String, "number shown to the customer 外显号", nullable=True),
        "recording_path": Column(
            pl.String, "the file the row names; null, never empty, where it names none", nullable=True
        ),
        "expects_recording": Column(pl.Boolean, "whether a recording must exist"),
        "attributes": Column(pl.String, "JSON object of every other column, nothing dropped"),
        "source_file": Column(pl.String, "the extract the row came from"),
        "source_row": Column(pl.Int64, "line in that file where the row begins, from 1"),
    },
)

NOTES = Frame(
    "notes",
    "one collection note 催记 or other row that belongs to a call",
    {
        "business": _KEYS["business"],
        "site": _KEYS["site"],
        "dataset": Column(pl.String, "the dataset the row was extracted by"),
        "day": Column(pl.Date, "business day of written_at in the site's time zone", nullable=True),
        "note_uid": Column(pl.String, "32 hex digits that name this row for ever"),
        "call_id": Column(pl.String, "the call it belongs to", nullable=True),
        "written_at": Column(INSTANT, "when it was written", nullable=True),
        "attributes": Column(pl.String, "JSON object of every column, nothing dropped"),
        "source_file": Column(pl.String, "the extract the row came from"),
        "source_row": Column(pl.Int64, "line in that file where the row begins, from 1"),
    },
)

QUARANTINE = Frame(
    "quarantine",
    "one row that could not be read, set aside",
    {
        "business": _KEYS["business"],
        "site": _KEYS["site"],
        "dataset": Column(pl.String, "the dataset the row belongs to"),
        "day": Column(pl.Date, "business day of the extract it came in", nullable=True),
        "source_file": Column(pl.String, "the file it stands in"),
        "source_row": Column(pl.Int64, "line where it begins, from 1"),
        "reason": Column(pl.String, "why it could not be read"),
        "raw": Column(pl.String, "the first 500 characters of the row as it stands"),
    },
)

# What reading one file off a disk yields (blocks.disk); the engine adds whose it is and what its name says.
DISK_FILES = Frame(
    "disk_files",
    "one file below a recordings root",
    {
        "path": Column(pl.String, "POSIX path below the root, percent-escaped without loss (blocks.paths)"),
        "size": Column(pl.Int64, "bytes"),
        "mtime": Column(INSTANT, "last change of the content"),
        "sha256": Column(pl.String, "SHA-256 of the content, hex; null where it was not read", nullable=True),
        "md5": Column(pl.String, "MD5 of the content, hex; null where it was not read", nullable=True),
        "container": Column(pl.String, "by its header: wav, mp3, amr, ogg, …", nullable=True),
        "codec": Column(pl.String, "by its header: pcm_s16le, pcm_alaw, gsm_ms, …", nullable=True),
        "sample_rate": Column(pl.Int32, "samples a second", nullable=True),
        "channels": Column(pl.Int32, "channels", nullable=True),
        "duration_ms": Column(pl.Int64, "length by its header, in milliseconds", nullable=True),
        "state": Column(pl.String, "ok, empty, truncated, undecodable, in_progress or unreadable"),
    },
)

INVENTORY = Frame(
    "inventory",
    "one recording on the source disk",
    {
        **_KEYS,
        "recording_id": Column(pl.String, "32 hex digits that name this recording for ever (reconcile.ids)"),
        **DISK_FILES.columns,
        "extension": Column(pl.String, "agent's line, from the file's name", nullable=True),
        "number": Column(pl.String, "telephone number, from the file's name", nullable=True),
        "call_id": Column(pl.String, "call id, from the file's name", nullable=True),
        "started_at": Column(INSTANT, "start, from the file's name", nullable=True),
    },
)

SNAPSHOT_FILES = Frame(
    "snapshot_files",
    "one recording in a restic snapshot",
    {
        **_KEYS,
        "recording_id": Column(pl.String, "the recording"),
        "snapshot_id": Column(pl.String, "restic's id of the snapshot, 64 hex digits"),
        "path": Column(pl.String, "POSIX path below the root, percent-escaped without loss"),
        "size": Column(pl.Int64, "bytes"),
        "mtime": Column(INSTANT, "last change of the content"),
    },
)

RESTORED = Frame(
    "restored",
    "one recording on the central disk",
    {
        **_KEYS,
        "recording_id": Column(pl.String, "the recording"),
        "snapshot_id": Column(pl.String, "the snapshot it was restored from"),
        "path": Column(pl.String, "POSIX path below the root, percent-escaped without loss"),
        "size": Column(pl.Int64, "bytes"),
        "mtime": Column(INSTANT, "last change of the content"),
        "sha256": Column(pl.String, "SHA-256 of the restored bytes, hex"),
        "published": Column(
            pl.Boolean, "the object store took it, or had it, when it was ingested; null: not told", nullable=True
        ),
    },
)

GONE = Frame(
    "gone",
    "one recording that was on the source disk, and that a later inventory of its day does not have",
    {
        **_KEYS,
        "recording_id": Column(pl.String, "the recording"),
        "last_on_site": Column(INSTANT, "time of the last snapshot whose inventory has it", nullable=True),
        "gone_since": Column(INSTANT, "time of the first snapshot whose inventory does not"),
        "list_id": Column(
            pl.String, "the purge list as which allowed it was deleted; null: nobody told", nullable=True
        ),
    },
)

LISTING = Frame(
    "listing",
    "one object in the object store",
    {
        "key": Column(pl.String, "the object's key"),
        "size": Column(pl.Int64, "bytes"),
        "etag": Column(pl.String, "the store's tag; the MD5 of the content where it has 32 hex digits", nullable=True),
        "last_modified": Column(INSTANT, "when it was put"),
    },
)

INDEXED = Frame(
    "indexed",
    "one link of a call to a recording, as the call index holds it",
    {
        "call_uid": Column(pl.String, "the leg"),
        "recording_id": Column(pl.String, "the recording; null for a call without one", nullable=True),
    },
)

REJECTED = Frame(
    "rejected",
    "one search document that the call index refused",
    {
        **_KEYS,
        "call_uid": Column(pl.String, "the leg"),
        "reason": Column(pl.String, "why, in the index's own words"),
        "document": Column(pl.String, "the document as it was sent, as JSON"),
    },
)

UNINDEXED = Frame(
    "unindexed",
    "one day that waits to be indexed, because the call index did not answer",
    {
        **_KEYS,
        "since": Column(INSTANT, "when it was tried first"),
    },
)

UNTRACED = Frame(
    "untraced",
    "one day that has got something since it was last traced; the next reconciliation takes it, too",
    {
        **_KEYS,
        "snapshot_id": Column(pl.String, "the snapshot that brought it"),
    },
)

LISTENABLE = Frame(
    "listenable",
    "one call that could be found and heard, and since when",
    {
        **_KEYS,
        "call_uid": Column(pl.String, "the leg"),
        "ended_at": Column(INSTANT, "when it ended: its start and the time talked", nullable=True),
        "listenable_at": Column(INSTANT, "when it was first in the call index with a published recording"),
    },
)

RUNS = Frame(
    "runs",
    "the last success of one stage of backup, ingest or reconciliation on that day",
    {
        **_KEYS,
        "stage": Column(pl.String, "the stage"),
        "started_at": Column(INSTANT, "when it began"),
        "ended_at": Column(INSTANT, "when it had succeeded"),
    },
)

EXTRACTS = Frame(
    "extracts",
    "one extract or ready-made file of a dataset, as it arrived",
    {
        **_KEYS,
        "dataset": Column(pl.String, "the dataset"),
        "source_file": Column(pl.String, "the file"),
        "expected_rows": Column(pl.Int64, "rows by its datapackage.json", nullable=True),
        "expected_bytes": Column(pl.Int64, "bytes by its datapackage.json", nullable=True),
        "expected_sha256": Column(pl.String, "SHA-256 by its datapackage.json", nullable=True),
        "rows_in": Column(pl.Int64, "rows found in the file"),
        "rows_ok": Column(pl.Int64, "rows read"),
        "rows_quarantined": Column(pl.Int64, "rows set aside"),
        "bytes": Column(pl.Int64, "bytes found"),
        "sha256": Column(pl.String, "SHA-256 of the file as it arrived"),
    },
)

SNAPSHOTS = Frame(
    "snapshots",
    "one snapshot that was ingested whole",
    {
        **_KEYS,
        "snapshot_id": Column(pl.String, "restic's id of the snapshot, 64 hex digits"),
        "repository_year": Column(pl.Int32, "the year of the repository that holds it"),
        "taken_at": Column(INSTANT, "when it was taken, by the site's clock"),
        "first_day": Column(pl.Date, "first business day that its extracts cover"),
        "files": Column(pl.Int64, "recordings restored from it"),
        "bytes": Column(pl.Int64, "bytes restored from it"),
        "inventory_whole": Column(
            pl.Boolean, "its inventory could look into every folder; null: not told", nullable=True
        ),
    },
)

CHECKS = Frame(
    "checks",
    "one check of what is kept; `day` is the day on which it ran",
    {
        **_KEYS,
        "kind": Column(pl.String, "what was looked at (reconcile.checks.KINDS)"),
        "repository_year": Column(pl.Int32, "the year of the repository, of checks of one", nullable=True),
        "share": Column(pl.Int32, "which share of all there is, from 1", nullable=True),
        "shares": Column(pl.Int32, "shares that make a rotation; one is due a day", nullable=True),
        "verdict": Column(pl.String, "sound or damaged; of locks removed"),
        "looked_at": Column(pl.Int64, "recordings, objects, files, snapshots or locks looked at", nullable=True),
        "bytes": Column(pl.Int64, "bytes read; null: restic does not tell", nullable=True),
        "concerned": Column(pl.Int64, "recordings of which a copy was found damaged or gone"),
        "said": Column(pl.String, "what was found: packs, snapshots, locks; empty where nothing was"),
        "seconds": Column(pl.Float64, "how long it took"),
        "checked_at": Column(INSTANT, "when it ended"),
    },
)

DAMAGED = Frame(
    "damaged",
    "one copy of a recording that a check found damaged or gone; it stays until a check finds it sound",
    {
        **_KEYS,
        "recording_id": Column(pl.String, "the recording"),
        "station": Column(pl.String, "whose copy: on_site, in_snapshot or published"),
        "repository_year": Column(pl.Int32, "the year of the repository, of a copy in a snapshot", nullable=True),
        "path": Column(pl.String, "POSIX path below the root, percent-escaped without loss"),
        "size": Column(pl.Int64, "bytes, as the inventory has them"),
        "mtime": Column(INSTANT, "last change of the content, as the inventory has it"),
        "reason": Column(pl.String, "unreachable: no snapshot can be read that has it; other_bytes; unreadable; gone"),
        "found_at": Column(INSTANT, "when a check found it first"),
    },
)

TRACE = Frame(
    "trace",
    "one recording with its call, or a call without a recording, or a recording without a call",
    {
        "business": _KEYS["business"],
        "site": _KEYS["site"],
        "day": Column(pl.Date, "business day of the call, or of the recording where there is no call", nullable=True),
        "dataset": Column(pl.String, "the call's dataset", nullable=True),
        "call_uid": Column(pl.String, "the leg that was matched, or the call's first leg", nullable=True),
        "call_id": Column(pl.String, "the call", nullable=True),
        "legs": Column(pl.UInt32, "legs of the call", nullable=True),
        "recording_id": Column(pl.String, "the recording", nullable=True),
        "path": Column(pl.String, "the recording's path, or the path the call names", nullable=True),
        "started_at": Column(INSTANT, "start of the call, or of the recording", nullable=True),
        "extension": Column(pl.String, "the agent's line", nullable=True),
        "number": Column(
            pl.String,
            "the other party's number, normalised: callee or else caller, that is one and not the agent's own line",
            nullable=True,
        ),
        "talk_seconds": Column(pl.Float64, "time talked by the call, in seconds", nullable=True),
        "duration_ms": Column(pl.Int64, "length of the recording, in milliseconds", nullable=True),
        "size": Column(pl.Int64, "bytes of the recording", nullable=True),
        "sha256": Column(pl.String, "SHA-256 of the recording at the source", nullable=True),
        "container": Column(pl.String, "the recording's container", nullable=True),
        "codec": Column(pl.String, "the recording's codec", nullable=True),
        "state": Column(pl.String, "the recording's state", nullable=True),
        "key": Column(pl.String, "the key of its object, where it is to be published", nullable=True),
        "expects_recording": Column(pl.Boolean, "whether the call must have a recording", nullable=True),
        "called": Column(pl.Boolean, "a CSV row stands for it"),
        "on_site": Column(pl.Boolean, "it was on the source disk", nullable=True),
        "in_snapshot": Column(pl.Boolean, "a restic snapshot holds it; null: not looked at", nullable=True),
        "restored": Column(
            pl.Boolean, "this version of it, or its bytes, is on the central disk; null: not looked at", nullable=True
        ),
        "published": Column(pl.Boolean, "the object store holds it; null: not looked at", nullable=True),
        "indexed": Column(pl.Boolean, "the call index links call and recording; null: not looked at", nullable=True),
        "content_ok": Column(pl.Boolean, "every copy has the source's bytes; null: nothing to compare", nullable=True),
        "match": Column(pl.String, "the rule that tied them: path, key or nearest", nullable=True),
        "score": Column(pl.Float64, "certainty of the match, 0 to 1", nullable=True),
        "reason": Column(pl.String, "why they belong together", nullable=True),
        "ambiguous": Column(pl.Boolean, "several partners fit equally well, so none was chosen"),
        "duplicate_of": Column(pl.String, "the recording with the same bytes that this one repeats", nullable=True),
        "lost_at": Column(pl.String, "first station that no longer has what the one before had", nullable=True),
        "coverage": Column(pl.String, "of the call: complete, partial, missing or excluded", nullable=True),
    },
)

FINDINGS = Frame(
    "findings",
    "one discrepancy, kept over days",
    {
        "finding_id": Column(pl.String, "16 hex digits over kind, business, site and what it is about"),
        "kind": Column(pl.String, "what is wrong (reconcile.findings.KINDS)"),
        "severity": Column(pl.String, "critical, major, minor or info"),
        "business": _KEYS["business"],
        "site": _KEYS["site"],
        "day": Column(pl.Date, "business day it belongs to", nullable=True),
        "call_uid": Column(pl.String, "the call's leg, if it is about one", nullable=True),
        "call_id": Column(pl.String, "the call, if it is about one", nullable=True),
        "recording_id": Column(pl.String, "the recording, if it is about one", nullable=True),
        "subject": Column(pl.String, "what it is about, as people name it: a path, a call, a file and line"),
        "expected": Column(pl.String, "what should have been there"),
        "actual": Column(pl.String, "what was there"),
        "lost_at": Column(pl.String, "the station where it was lost", nullable=True),
        "held_at": Column(
            pl.String,
            "the last station that has it with the source's bytes; called: only the call is known",
            nullable=True,
        ),
        "held_time": Column(
            INSTANT,
            "when `held_at` had it, for all that is known: the time of the call, inventory, snapshot or object",
            nullable=True,
        ),
        "size": Column(pl.Int64, "bytes of the recording, as the source had it", nullable=True),
        "sha256": Column(pl.String, "SHA-256 of the recording, as the source had it", nullable=True),
        "cause": Column(
            pl.String, "what led to it (reconcile.evidence.CAUSES); null: the data do not tell", nullable=True
        ),
        "first_seen": Column(pl.Date, "day of the first reconciliation that saw it"),
        "last_seen": Column(pl.Date, "day of the last reconciliation that saw it"),
        "status": Column(pl.String, "open, resolved or waived"),
        "status_since": Column(pl.Date, "day of the reconciliation that gave it this status"),
        "resolution": Column(
            pl.String,
            "of a resolved one, by what (reconcile.ledger.RESOLUTIONS); null: not resolved, or not told",
            nullable=True,
        ),
    },
)
WAIVERS = Frame(
    "waivers",
    "one decision about a finding; the newest counts",
    {
        "business": _KEYS["business"],
        "site": _KEYS["site"],
        "day": Column(pl.Date, "business day of the finding", nullable=True),
        "finding_id": Column(pl.String, "the finding"),
        "author": Column(pl.String, "who decided"),
        "reason": Column(pl.String, "why"),
        "waived_at": Column(INSTANT, "when"),
        "until": Column(pl.Date, "last day on which it holds; one before `waived_at`: withdrawn"),
    },
)

HOLDS = Frame(
    "holds",
    "one decision about a legal hold; the newest counts",
    {
        "business": _KEYS["business"],
        "site": Column(pl.String, "the only site that is held; _ where all are"),
        "day": Column(pl.Date, "business day on which it was decided"),
        "hold_id": Column(pl.String, "12 hex digits over what is held"),
        "decision": Column(pl.String, "placed or withdrawn"),
        "kind": Column(pl.String, "call, number, attribute or range"),
        "name": Column(pl.String, "the attribute's name", nullable=True),
        "value": Column(pl.String, "the call's id, the number or the attribute's value", nullable=True),
        "since": Column(pl.Date, "first business day of a range", nullable=True),
        "until": Column(pl.Date, "last business day of a range", nullable=True),
        "author": Column(pl.String, "who decided"),
        "reason": Column(pl.String, "why"),
        "decided_at": Column(INSTANT, "when"),
    },
)

HELD = Frame(
    "held",
    "what a legal hold keeps of a site's day: one call, note or recording; where none is named, all of the day",
    {
        **_KEYS,
        "hold_id": Column(pl.String, "the hold"),
        "call_uid": Column(pl.String, "the leg", nullable=True),
        "note_uid": Column(pl.String, "the note", nullable=True),
        "recording_id": Column(pl.String, "the recording", nullable=True),
        "repository_year": Column(pl.Int32, "the year of the repository that has the recording", nullable=True),
    },
)

REMOVALS = Frame(
    "removals",
    "one thing that was removed, by whose order; no name, number or path of anybody stands in it",
    {
        "business": _KEYS["business"],
        "site": _KEYS["site"],
        "day": Column(pl.Date, "business day on which it was ordered"),
        "removal_id": Column(pl.String, "12 hex digits that name the order"),
        "purpose": Column(pl.String, "retention or erasure"),
        "what": Column(pl.String, "repository, snapshots, objects, rows or subject"),
        "subject": Column(pl.String, "the year, year/snapshot, the business day, or a keyed hash of whom it is about"),
        "count": Column(pl.Int64, "repositories, snapshots, objects or rows"),
        "bytes": Column(pl.Int64, "their bytes, as far as they are known"),
        "digest": Column(pl.String, "SHA-256 over the sorted names of all that goes; salted where a person is erased"),
        "kept": Column(pl.Int64, "what stayed, because of a hold, of a lock of the store, or of other rules by then"),
        "author": Column(pl.String, "by whose order"),
        "reason": Column(pl.String, "why"),
        "begun_at": Column(INSTANT, "when it was begun"),
        "done_at": Column(INSTANT, "when all of it was gone; null: it was killed and will be continued", nullable=True),
    },
)

ERASED = Frame(
    "erased",
    "one call, note, row or recording that was erased, so that no later snapshot brings it back",
    {
        **_KEYS,
        "kind": Column(pl.String, "recording, call, note or row"),
        "salt": Column(pl.String, "32 hex digits, new for each erasure"),
        "digest": Column(pl.String, "SHA-256 over the salt and the id"),
        "removal_id": Column(pl.String, "the erasure"),
        "erased_at": Column(INSTANT, "when"),
    },
)

LOCKED = Frame(
    "locked",
    "one day of which every object was locked in the store",
    {
        **_KEYS,
        "until": Column(INSTANT, "nobody can remove them before"),
        "objects": Column(pl.Int64, "how many there were"),
        "locked_at": Column(INSTANT, "when"),
    },
)

SUMMARY = Frame(
    "summary",
    "one business, site and day",
    {
        "business": _KEYS["business"],
        "site": _KEYS["site"],
        "day": Column(pl.Date, "business day in the site's time zone", nullable=True),
        "rows_in": Column(pl.Int64, "rows in the extracts"),
        "rows_ok": Column(pl.Int64, "rows read"),
        "rows_quarantined": Column(pl.Int64, "rows set aside"),
        "legs": Column(pl.Int64, "CDR rows"),
        "calls": Column(pl.Int64, "calls (legs of one call counted once)"),
        "calls_expecting": Column(pl.Int64, "calls that must have a recording"),
        "notes": Column(pl.Int64, "notes 催记 and other rows"),
        "recordings": Column(pl.Int64, "recordings on the source disk"),
        "bytes": Column(pl.Int64, "their bytes"),
        "seconds": Column(pl.Float64, "their length, in seconds"),
        "in_snapshot": Column(pl.Int64, "recordings in a snapshot"),
        "restored": Column(pl.Int64, "recordings on the central disk"),
        "published": Column(pl.Int64, "recordings in the object store"),
        "indexed": Column(pl.Int64, "recordings linked in the call index"),
        **{
            f"lost_{name}": Column(pl.Int64, f"rows of the trace that were lost at station {name}")
            for name in STATIONS[1:]
        },
        "complete": Column(pl.Int64, "calls with every recording whole at every station"),
        "partial": Column(pl.Int64, "calls with a recording that is not whole or not at every station"),
        "missing": Column(pl.Int64, "calls whose recording is nowhere"),
        "excluded": Column(pl.Int64, "calls that need no recording and have none"),
        "coverage": Column(pl.Float64, "complete / (complete + partial + missing); 1 where there is none"),
        "open_critical": Column(pl.Int64, "open findings, critical"),
        "open_major": Column(pl.Int64, "open findings, major"),
        "open_minor": Column(pl.Int64, "open findings, minor"),
        "open_info": Column(pl.Int64, "open findings, info"),
    },
)

FILE_TYPES = Frame(
    "file_types",
    "one business, site, day and kind of file",
    {
        "business": _KEYS["business"],
        "site": _KEYS["site"],
        "day": Column(pl.Date, "business day in the site's time zone", nullable=True),
        "container": Column(pl.String, "by the header"),
        "codec": Column(pl.String, "by the header"),
        "state": Column(pl.String, "ok, empty, truncated, …"),
        "recordings": Column(pl.Int64, "recordings"),
        "bytes": Column(pl.Int64, "their bytes"),
        "seconds": Column(pl.Float64, "their length, in seconds"),
    },
)

DURATIONS = Frame(
    "durations",
    "one business, site, day and range of length",
    {
        "business": _KEYS["business"],
        "site": _KEYS["site"],
        "day": Column(pl.Date, "business day in the site's time zone", nullable=True),
        "from_seconds": Column(pl.Int64, "not shorter than this; null: of unknown length", nullable=True),
        "until_seconds": Column(pl.Int64, "shorter than this; null: no upper end, or of unknown length", nullable=True),
        "recordings": Column(pl.Int64, "recordings"),
    },
)

SENT = Frame(
    "sent",
    "one row of a pack that a bank was sent",
    {
        **_KEYS,
        "pack": Column(pl.String, "the pack"),
        "row_uid": Column(pl.String, "the recording, note or leg that the row is of"),
        "call_uid": Column(pl.String, "the leg", nullable=True),
        "export": Column(pl.String, "the export, by its period"),
        "part": Column(pl.Int32, "the part of the export, from 1"),
        "sent_at": Column(INSTANT, "when it had arrived and was compared"),
    },
)

DRILLS = Frame(
    "drills",
    "one restore drill: a day and a sample of recordings, restored from the backup into an empty place",
    {
        "business": _KEYS["business"],
        "site": _KEYS["site"],
        "day": Column(pl.Date, "business day on which it was made"),
        "drill_id": Column(pl.String, "`<site>-<seed>`, which also names its report"),
        "began_at": Column(INSTANT, "when it began"),
        "seed": Column(pl.Int64, "of the random choice: the same seed over the same days chooses the same"),
        "restored_day": Column(pl.Date, "the business day that was restored; null: there is none", nullable=True),
        "recordings": Column(pl.Int64, "recordings that were to be restored: of that day, and the sample"),
        "sampled": Column(pl.Int64, "those of other days"),
        "bytes": Column(pl.Int64, "bytes that were restored"),
        "same": Column(pl.Int64, "restored with the SHA-256 of the inventory"),
        "differing": Column(pl.Int64, "restored with another SHA-256"),
        "absent": Column(pl.Int64, "not restored"),
        "played": Column(pl.Int64, "decoded from beginning to end"),
        "silent": Column(pl.Int64, "whole at the source, and not to be decoded"),
        "restore_seconds": Column(pl.Float64, "time until everything was restored"),
        "recovery_seconds": Column(pl.Float64, "time until all of it was restored and proved: the recovery time"),
        "whole_seconds": Column(
            pl.Float64, "the same for all recordings of the site, at the measured speed; null: not known", nullable=True
        ),
        "recovery_point_seconds": Column(
            pl.Float64, "age of the newest snapshot when it began: the recovery point; null: none", nullable=True
        ),
        "good": Column(pl.Boolean, "everything was restored, the same, and could be heard"),
        "trouble": Column(pl.String, "what kept it from being carried out; null: nothing", nullable=True),
    },
)

INSPECTIONS = Frame(
    "inspections",
    "one act of a day's inspection 巡检 of a business: opened, reminded, escalated or signed",
    {
        "business": _KEYS["business"],
        "site": Column(pl.String, "`-`: an inspection is of all sites"),
        "day": Column(pl.Date, "business day of the inspection"),
        "act": Column(pl.String, "opened, reminded, escalated or signed; of several signatures the newest counts"),
        "at": Column(INSTANT, "when"),
        "author": Column(pl.String, "who signed; null for what voxkeep did", nullable=True),
        "verdict": Column(pl.String, "of a signature: ok, remarks or rejected", nullable=True),
        "comment": Column(pl.String, "what was said", nullable=True),
        "heard": Column(pl.Int64, "recordings of the sample that were listened to", nullable=True),
        "figures_sha256": Column(
            pl.String,
            "SHA-256 of the figures that it is about: inspection.json in the reports, or inspection-<12 digits>.json",
        ),
    },
)

PURGED = Frame(
    "purged",
    "one recording that the source disk has deleted, as a signed list allowed",
    {
        **_KEYS,
        "recording_id": Column(pl.String, "the recording"),
        "list_id": Column(pl.String, "the list that allowed it, 16 hex digits"),
        "purged_at": Column(INSTANT, "when it was deleted, by the site's clock"),
    },
)

MEASURED = Frame(
    "measured",
    "one business, site and day, as expectations look at it",
    {
        **SUMMARY.columns,
        "rows_unaccounted": Column(pl.Int64, "rows neither read nor set aside"),
        "calls_unaccounted": Column(pl.Int64, "calls neither complete, partial, missing nor excluded"),
        "not_in_snapshot": Column(pl.Int64, "recordings on the source disk that no snapshot holds"),
        "not_restored": Column(pl.Int64, "recordings in a snapshot that are not on the central disk"),
        "not_published": Column(pl.Int64, "recordings on the central disk that the object store does not hold"),
        "orphans": Column(pl.Int64, "recordings of no call"),
        "orphan_share": Column(pl.Float64, "orphans / recordings"),
        "other_types": Column(pl.Int64, "recordings of a kind that is not expected"),
        "bytes_a_recording": Column(pl.Float64, "mean size of a recording, in bytes", nullable=True),
        "usual": Column(pl.Float64, "median of the recordings on this weekday in the four weeks before", nullable=True),
        "growth": Column(pl.Float64, "recordings / usual", nullable=True),
    },
)

DISKS = Frame(
    "disks",
    "a disk of a site without network: that it was prepared (no departure), or one way of it to the centre",
    {
        **_KEYS,
        "disk_id": Column(pl.String, "32 hex digits that name the disk for ever"),
        "label": Column(pl.String, "what people call the disk, as it stands on its sticker"),
        "serial": Column(pl.String, "serial number of the device; the disk's id where it could not be known"),
        "prepared_at": Column(INSTANT, "when it was prepared"),
        "departed_at": Column(INSTANT, "when it left the site", nullable=True),
        "expected": Column(pl.List(pl.String), "first 16 digits of the snapshot ids that no earlier way has told of"),
        "arrived_at": Column(INSTANT, "when all of it was taken in at the centre", nullable=True),
    },
)

CARRIED = Frame(
    "carried",
    "a snapshot that came on a disk: under which id it was taken at the site, and which it has at the centre",
    {
        **_KEYS,
        "snapshot_id": Column(pl.String, "id at the centre, as in `snapshots`"),
        "original": Column(pl.String, "id on the disk; it is never taken in again"),
        "repository_year": Column(pl.Int32, "year of the repository"),
        "disk_id": Column(pl.String, "the disk, as in `disks`"),
        "carried_at": Column(INSTANT, "when it was copied"),
    },
)

FRAMES = (
    CALLS, NOTES, QUARANTINE, DISK_FILES, INVENTORY, GONE, SNAPSHOT_FILES, RESTORED, LISTING, INDEXED,
    REJECTED, UNINDEXED, UNTRACED, LISTENABLE, RUNS, EXTRACTS, SNAPSHOTS, CHECKS, DAMAGED, TRACE, FINDINGS,
    WAIVERS, SUMMARY, FILE_TYPES, DURATIONS, SENT, DRILLS, INSPECTIONS, PURGED, HOLDS, HELD, REMOVALS, ERASED,
    LOCKED, MEASURED, DISKS, CARRIED,
)  # fmt: skip
# What also lies together by month, for readers of long periods.
GATHERED = (SUMMARY, FILE_TYPES, FINDINGS)
