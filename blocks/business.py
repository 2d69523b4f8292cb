"""One business: its sites and rules, and where its things lie. No secrets: those are in blocks of their own."""

from datetime import date
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from blocks.carrying import Carrying
from blocks.exports import exports_folder, lock_file
from blocks.saved_block import SavedBlock

# The folder whose name tells a snapshot's staging folder from its recordings root, for ever.
STAGING = "voxkeep-staging"
# The file in it with recordings that were hashed again.
SAMPLE = "sample.parquet"


class SiteSettings(BaseModel):
    """One site of a business, as flows need it."""

    model_config = ConfigDict(extra="forbid")

    title: str = Field("", description="What people call the site.")
    recordings: str = Field(description="Folder of the recordings at the site.")
    staging: str = Field(description="Folder at the site for extracts on their way into the snapshot.")
    since: date | None = Field(None, description="First business day that is kept; backups are due from then on.")
    disk: str | None = Field(
        None,
        description="Folder of the repositories on a disk that is carried to the centre; None: there is a network.",
    )
    carry: Carrying = Field(default_factory=Carrying, description="How long its disks may be away.")
    sql: dict[str, str] = Field(default_factory=dict, description="Dataset: the SQL that extracts it.")
    dropped: dict[str, str] = Field(
        default_factory=dict,
        description="Dataset: the folder in which another system drops ready-made CSV files.",
    )
    timetable: dict[str, Any] = Field(
        default_factory=dict, description="When it may back up and how fast it may send (reconcile.hours.Timetable)."
    )
    time_zones: dict[str, str] = Field(default_factory=dict, description="Dataset: time zone of its source's clock.")
    pings: list[str] = Field(default_factory=list, description="Stages of which a dead man's switch is told.")


class Realtime(BaseModel):
    """How often what is new is taken between the daily runs."""

    model_config = ConfigDict(extra="forbid")

    every_seconds: float = Field(20, ge=1, description="A batch at most every so many seconds, where something is new.")
    quiet_period_seconds: float = Field(
        5,
        ge=0,
        description="A younger file is taken as still growing, in seconds, where the disk does not tell when a file is "
        "closed: on network shares.",
    )


class Business(SavedBlock):
    """A business, its sites and its rules.

    Attributes:
        business: Its name, as in buckets and folders.
        title: What people call it.
        sites: Its sites by name.
        realtime: How often what is new is taken between the daily runs.
        rules: How its rows are read and its recordings matched (reconcile.rules.Rules, as JSON).
        storage: Folder below which the embedded profile keeps everything.

    Example:
        >>> Business.load("meituan").sites["cq"].recordings
        '/home/meituan'
    """

    _block_type_name = "Voxkeep business"
    _block_type_slug = "voxkeep-business"

    business: str = Field(description="Name of the business, as in buckets and folders.")
    title: str = Field(description="What people call the business.")
    sites: dict[str, SiteSettings] = Field(description="Sites by name.")
    rules: dict[str, Any] = Field(description="How rows are read and recordings matched.")
    storage: str = Field(description="Folder below which restored files, reports and locks lie.")
    lookback_days: int = Field(default=2, ge=0, description="Days before the current one that every run takes again.")
    quiet_period_seconds: float = Field(
        default=60, ge=0, description="A younger file is taken as still growing, in seconds."
    )
    backup_due_hours: float = Field(
        default=6, ge=0, description="Hours after the end of a day until its backup is overdue."
    )
    check_days: int = Field(
        default=30, ge=1, le=256, description="Days in which the checks read every pack and every published recording."
    )
    spot_check_files: int = Field(
        default=50, ge=0, description="Recordings on the source disk that each backup hashes again."
    )
    coverage_target: float = Field(default=0.99, ge=0, le=1, description="Share of calls that must be complete.")
    expected: dict[str, Any] = Field(
        default_factory=dict, description="What is expected of each day (reconcile.expected.Expected)."
    )
    purge_after_days: int = Field(default=30, ge=0, description="Days after which a source may delete what is kept.")
    inspection: dict[str, Any] = Field(
        default_factory=dict, description="How it is inspected every morning (reconcile.inspection.InspectionRules)."
    )
    packs: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="What banks ask for (reconcile.pack.Pack), by name."
    )
    retention: dict[str, Any] = Field(
        default_factory=dict, description="How long everything is kept (reconcile.retention.Retention)."
    )
    has_workers: bool = Field(
        default=False, description="Whether Prefect's workers run its flows, on several machines."
    )
    realtime: Realtime | None = Field(default=None, description="How often what is new is taken; none: daily only.")
    language: str = Field(default="zh", description="Language of chat messages: zh or en.")

    def restored(self, site: str) -> Path:
        """The folder of the central disk that holds the site's recordings as restored."""
        return Path(self.storage) / "restored" / self.business / site

    def work(self, site: str) -> Path:
        """A folder for what an ingest needs for a while."""
        return Path(self.storage) / "work" / self.business / site

    def reports(self) -> Path:
        """The folder of the business's reports."""
        return Path(self.storage) / "reports" / self.business

    def exports(self, pack: str) -> Path:
        """The folder of all exports of one pack."""
        return exports_folder(Path(self.storage), self.business, pack)

    def lock(self, what: str) -> Path:
        """The lock file of one kind of work."""
        return lock_file(Path(self.storage), self.business, what)
