"""A business's YAML: what stands in it, read with the line of every mistake."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from blocks.carrying import Carrying
from reconcile.expected import Expected
from reconcile.hours import Timetable
from reconcile.inspection import InspectionRules
from reconcile.retention import Retention
from reconcile.rules import DatasetRules, MatchingRules, NumberRules, Rules
from voxkeep.pack_settings import load_pack
from voxkeep.secret import Secret
from voxkeep.settings_checks import check_business, check_rules, check_sql
from voxkeep.settings_fields import Place
from voxkeep.settings_mistakes import Content, read_model, refusal

# S3 bucket names have 3 to 63 characters, and `<business>-audio` is one of ours.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
# Single hyphens only, so that `<business>--<site>` names one block and no other.
_NAME = r"^[a-z0-9]+(-[a-z0-9]+)*$"
BusinessName = Annotated[str, StringConstraints(pattern=_NAME, min_length=3, max_length=57)]
Year = Annotated[str, StringConstraints(pattern="^[0-9]{4}$")]
SiteName = Annotated[str, StringConstraints(pattern=_NAME, max_length=40)]


Stage = Literal["backup", "ingest", "reconcile"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class OtherPlace(_Strict):
    """Where the repository of one year lies, when it is not with the site's others."""

    location: str = Field(
        pattern="^(/|s3:https?://)",
        description="Folder, or s3:http://host:9000/bucket/prefix, in which the year's repository is a folder.",
    )
    access_key: Secret | None = Field(None, description="Access key, where it is S3.")
    secret_key: Secret | None = Field(None, description="Secret key, where it is S3.")
    region: str = Field("us-east-1", description="Region, where it is S3.")


class Site(_Strict):
    """One place where recordings come from."""

    title: str = Field("", description="What people call the site.")
    recordings: str = Field(description="Folder of the recordings at the site; only read.")
    staging: str | None = Field(None, description="Folder at the site for extracts on their way into the snapshot.")
    password: Secret = Field(
        description="Password of the site's restic repositories. Without it nothing can be restored."
    )
    database: Secret | None = Field(
        None,
        description="URL of the source database, e.g. sqlite:////srv/calls.db or postgresql+psycopg://reader:…@host/calls.",
    )
    repository: str | None = Field(
        None,
        description="Folder of the restic repositories on a disk of a site without network, which is carried to the "
        "centre (docs/carry.md); otherwise they are centrally kept.",
    )
    carry: Carrying = Field(default_factory=Carrying, description="How long the disks of a site may be away.")
    elsewhere: dict[Year, OtherPlace] = Field(
        default_factory=dict,
        description="Year, in quotes: where its repository lies, when not with the others; moved, or on a new cluster.",
    )
    since: date | None = Field(None, description="First business day that is kept; backups are due from then on.")
    timetable: Timetable | None = Field(
        None, description="When this site may back up, and how fast it may send; the business's, where not given."
    )
    dropped: dict[str, str] = Field(
        default_factory=dict,
        description="Dataset: folder in which another system drops ready-made CSV files.",
    )
    pings: dict[Stage, Secret] = Field(
        default_factory=dict,
        description="Stage (backup, ingest, reconcile): URL of its check in Healthchecks or the like, which is told of "
        "start, success and failure, and alarms when nothing comes.",
    )


class Dataset(DatasetRules):
    """One kind of row: where it comes from and how it is read."""

    sql: str | None = Field(
        None,
        description="File with the SQL, beside this YAML; it binds :start and :end. "
        "`{day:%Y%m%d}` in it becomes the business day.",
    )
    sites: list[SiteName] | None = Field(
        None, description="Sites whose database has it; all with a database, where not given."
    )


class S3(_Strict):
    """The S3 service (MinIO or another) that keeps repositories, recordings and the catalog.

    The keys are an administrator's: `voxkeep apply` makes the keys of sites and centre with them, and nothing else
    ever uses them.
    """

    endpoint: str = Field(pattern=r"^https?://[^/]+$", description="URL of the service, e.g. http://minio:9000.")
    region: str = Field("us-east-1", description="Region of the service.")
    access_key: Secret = Field(description="Access key of an administrator.")
    secret_key: Secret = Field(description="Secret key of an administrator.")
    object_lock_days: int | None = Field(
        None, strict=True, ge=1, description="Days for which no recording can be deleted by anybody."
    )
    event_target: str | None = Field(
        None,
        pattern="^arn:",
        description="ARN of the web hook that is told of new snapshots, e.g. arn:minio:sqs::VOXKEEP:webhook.",
    )


class Elasticsearch(_Strict):
    """The Elasticsearch that holds the call index."""

    url: str = Field(pattern="^https?://", description="URL of the service, e.g. https://elastic:9200.")
    user: str | None = Field(None, description="User, where the service asks for one.")
    password: Secret | None = Field(None, description="Password of the user.")
    ca_file: str | None = Field(None, description="File with the certificate authority of the service.")


class Schedules(_Strict):
    """When Prefect's workers run the flows, as cron in the business's time zone.

    Each site has a work pool `<business>--<site>`, the centre has the pool `central`.
    """

    backup: str = Field("15 1 * * *", description="Backup of each site.")
    ingest: str = Field("*/15 * * * *", description="The sweep for new snapshots, which events only make earlier.")
    reconcile: str = Field("30 7 * * *", description="Reconciliation and report.")
    drill: str = Field("0 3 1 * *", description="Restore drill of each site.")
    retain: str = Field("30 3 * * *", description="Removal of what has been kept for its time; locks, and holds.")
    maintain: str = Field("0 4 * * *", description="Checks of what is kept.")
    inspect: str = Field(
        "0 8-18 * * *", description="The daily inspection: the first run of a day opens it, later ones remind."
    )


class Inspection(InspectionRules):
    """The daily inspection 巡检: what a person looks at every morning and signs (docs/inspection.md)."""

    escalate_to: dict[str, Secret] = Field(
        default_factory=dict,
        description="Route: Apprise URL of those who are told when nobody has signed; the `alerts`, where not given.",
    )


class Realtime(_Strict):
    """Near-real-time: `voxkeep watch` takes what is new in batches, between the daily runs."""

    every_seconds: float = Field(
        20, strict=True, ge=1, le=3600, description="A batch at most every so many seconds, where something is new."
    )
    quiet_period_seconds: float = Field(
        5,
        strict=True,
        ge=0,
        le=3600,
        description="A younger file is taken as still growing, in seconds, where the disk does not tell when a file is "
        "closed: on network shares.",
    )


class Settings(_Strict):
    """One business."""

    business: BusinessName = Field(
        description="Name of the business: lower case, digits and hyphens, 3 to 57 characters."
    )
    title: str = Field(description="What people call the business.")
    language: Literal["zh", "en"] = Field("zh", description="Language of chat messages; reports have both.")
    time_zone: str = Field("Asia/Shanghai", description="IANA time zone of the business days.")
    storage: str = Field(
        description="Folder of the centre for restored files, reports and, without `s3`, for everything else."
    )
    s3: S3 | None = Field(None, description="The S3 service that keeps everything durable.")
    elasticsearch: Elasticsearch | None = Field(None, description="The call index, where it is not in `storage`.")
    schedules: Schedules | None = Field(
        None, description="When Prefect's workers run the flows; by hand or by cron, where not given."
    )
    sites: dict[SiteName, Site] = Field(min_length=1, description="The sites by name.")
    datasets: dict[SiteName, Dataset] = Field(min_length=1, description="The datasets by name.")
    name_templates: list[str] = Field(
        default_factory=list, description=Rules.model_fields["name_templates"].description
    )
    numbers: NumberRules = Field(default_factory=NumberRules, description="How telephone numbers are compared.")
    matching: MatchingRules = Field(default_factory=MatchingRules, description="How recordings find their calls.")
    lookback_days: int = Field(
        2, strict=True, ge=0, le=366, description="Days before the current one that every run takes again."
    )
    quiet_period_seconds: float = Field(
        60, strict=True, ge=0, le=86400, description="A younger file is taken as still growing, in seconds."
    )
    realtime: Realtime | None = Field(
        None, description="Calls are to be heard a minute after they ended; daily, where not given."
    )
    backup_due_hours: float = Field(
        6, strict=True, ge=0, le=8784, description="Hours after the end of a day until its backup is overdue."
    )
    timetable: Timetable = Field(
        default_factory=Timetable, description="When sites may back up, and how fast they may send."
    )
    check_days: int = Field(
        30,
        strict=True,
        ge=1,
        le=256,
        description="Days in which the checks read every pack of the repositories and every published recording.",
    )
    spot_check_files: int = Field(
        50, strict=True, ge=0, le=100_000, description="Recordings on the source disk that each backup hashes again."
    )
    coverage_target: float = Field(0.99, strict=True, ge=0, le=1, description="Share of calls that must be complete.")
    expectations: Expected = Field(
        default_factory=Expected, description="What each day of each site is expected to be."
    )
    retention: Retention = Field(default_factory=Retention, description="How long everything is kept, and why.")
    packs: list[str] = Field(
        default_factory=list, description="Files, beside this YAML, of the packs that banks ask for (docs/packs.md)."
    )
    alerts: dict[str, Secret] = Field(default_factory=dict, description="Route: Apprise URL to which alerts go.")
    purge_after_days: int = Field(
        30, strict=True, ge=0, description="Days after which `voxkeep purge-list` lets a source delete what is kept."
    )
    inspection: Inspection = Field(
        default_factory=Inspection, description="The daily inspection 巡检, which a person signs."
    )
    certificate_key: Secret | None = Field(
        None,
        description="Ed25519 private key (PEM) that signs certificates: `openssl genpkey -algorithm ed25519`.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> "Settings":
        found = list(check_business(self.model_dump(mode="json", exclude_none=True)))
        if found:
            raise refusal("Settings", found)
        return self

    def rules(self) -> Rules:
        """The engine's part of the settings."""
        datasets = {
            name: DatasetRules(**dataset.model_dump(exclude={"sql", "sites"}))
            for name, dataset in self.datasets.items()
        }
        return Rules(
            time_zone=self.time_zone, name_templates=self.name_templates, datasets=datasets,
            numbers=self.numbers, matching=self.matching,
        )  # fmt: skip


def load_settings(file: Path) -> Settings:
    """The settings in this YAML file; relative folders, SQL files and packs count from the file's own folder.

    Raises:
        SettingsError: the file, or a pack, cannot be read, or something in it cannot be; every mistake with its line.
    """
    folder = file.resolve().parent

    def check(content: Content) -> Iterator[tuple[Place, str]]:
        yield from check_business(content)
        yield from check_sql(content, folder)

    settings = read_model(
        file,
        Settings,
        operation="read the settings",
        remedy="docs/settings.md lists what may stand there",
        check=check,
    )
    whole = _absolute(settings, folder)
    for pack in whole.packs:
        load_pack(Path(pack))
    return whole


def load_rules(file: Path) -> Rules:
    """The engine's rules in this YAML file, as `voxkeep compare --rules` takes them.

    Raises:
        SettingsError: the file cannot be read, or something in it cannot be; every mistake with its line.
    """
    return read_model(
        file,
        Rules,
        operation="read the rules",
        remedy="docs/rules.md lists what may stand there",
        check=check_rules,
    )


def _absolute(settings: Settings, folder: Path) -> Settings:
    """The same settings with every folder and file absolute."""

    def whole(path: str) -> str:
        return str(folder / path)

    storage = whole(settings.storage)
    sites = {
        name: site.model_copy(
            update={
                "recordings": whole(site.recordings),
                "staging": whole(site.staging) if site.staging else f"{storage}/staging/{settings.business}/{name}",
                "dropped": {dataset: whole(path) for dataset, path in site.dropped.items()},
                "repository": whole(site.repository) if site.repository else None,
                "password": _absolute_secret(site.password, folder),
                "database": _absolute_secret(site.database, folder) if site.database else None,
                "pings": {stage: _absolute_secret(secret, folder) for stage, secret in site.pings.items()},
                "elsewhere": {year: _absolute_secrets(place, folder) for year, place in site.elsewhere.items()},
            }
        )
        for name, site in settings.sites.items()
    }
    datasets = {
        name: dataset.model_copy(update={"sql": whole(dataset.sql) if dataset.sql else None})
        for name, dataset in settings.datasets.items()
    }
    alerts = {route: _absolute_secret(secret, folder) for route, secret in settings.alerts.items()}
    answering = {route: _absolute_secret(secret, folder) for route, secret in settings.inspection.escalate_to.items()}
    services = {
        name: _absolute_secrets(section, folder)
        for name in ("s3", "elasticsearch")
        if (section := getattr(settings, name))
    }
    key = _absolute_secret(settings.certificate_key, folder) if settings.certificate_key else None
    return settings.model_copy(
        update={
            "storage": storage, "sites": sites, "datasets": datasets, "alerts": alerts,
            "packs": list(map(whole, settings.packs)), "certificate_key": key,
            "inspection": settings.inspection.model_copy(update={"escalate_to": answering}),
            **services,
        }
    )  # fmt: skip


Section = TypeVar("Section", bound=_Strict)


def _absolute_secrets(section: Section, folder: Path) -> Section:
    """The section with the files of its secrets absolute."""
    fields = {name: getattr(section, name) for name in type(section).model_fields}
    return section.model_copy(
        update={name: _absolute_secret(found, folder) for name, found in fields.items() if isinstance(found, Secret)}
    )


def _absolute_secret(secret: Secret, folder: Path) -> Secret:
    return secret.model_copy(update={"file": str(folder / secret.file)}) if secret.file else secret
