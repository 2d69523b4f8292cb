"""A business's YAML: what stands in it, read with the line of every mistake."""

import difflib
import os
import subprocess
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from blocks.errors import SettingsError
from reconcile.names import compile_template
from reconcile.rules import DatasetRules, MatchingRules, NumberRules, Rules

# S3 bucket names have 3 to 63 characters, and `<business>-audio` is one of ours.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
# Single hyphens only, so that `<business>--<site>` names one block and no other.
_NAME = r"^[a-z0-9]+(-[a-z0-9]+)*$"
BusinessName = Annotated[str, StringConstraints(pattern=_NAME, min_length=3, max_length=57)]
SiteName = Annotated[str, StringConstraints(pattern=_NAME, max_length=40)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Secret(_Strict):
    """Where a secret comes from: exactly one of an environment variable, a file, or a command's output."""

    env: str | None = Field(None, description="Environment variable that holds it.")
    file: str | None = Field(None, description="File whose content it is; a line end behind it is dropped.")
    command: list[str] | None = Field(None, description="Program with arguments that prints it.")

    @model_validator(mode="after")
    def _one_source(self) -> "Secret":
        if sum(source is not None for source in (self.env, self.file, self.command)) != 1:
            raise ValueError("give exactly one of env, file and command")
        return self

    def fetch(self, what: str) -> str:
        """The secret itself.

        Raises:
            SettingsError: there is no such variable or file, the command fails, or what it gives is empty.
        """
        if self.env is not None:
            value, source = os.environ.get(self.env, ""), f"the environment variable {self.env} is not set"
        elif self.file is not None:
            path = Path(self.file)
            value = path.read_text().rstrip("\r\n") if path.is_file() else ""
            source = f"the file {path} is empty or not there"
        else:
            run = subprocess.run(self.command or [], capture_output=True, text=True, check=False, timeout=60)
            value = run.stdout.rstrip("\r\n") if run.returncode == 0 else ""
            source = f"the command {(self.command or [''])[0]} gave nothing (exit code {run.returncode})"
        if not value:
            raise SettingsError(operation="fetch a secret", subject=what, cause=source, remedy="provide it and apply again")
        return value


class Site(_Strict):
    """One place where recordings come from."""

    title: str = Field("", description="What people call the site.")
    recordings: str = Field(description="Folder of the recordings at the site; only read.")
    staging: str | None = Field(None, description="Folder at the site for extracts on their way into the snapshot.")
    password: Secret = Field(description="Password of the site's restic repositories. Without it nothing can be restored.")
    database: Secret | None = Field(
        None, description="URL of the source database, e.g. sqlite:////srv/calls.db or postgresql+psycopg://reader:…@host/calls."
    )
    since: date | None = Field(None, description="First business day that is kept; backups are due from then on.")
    dropped: dict[str, str] = Field(
        default_factory=dict, description="Dataset: folder in which another system drops ready-made CSV files."
    )


class Dataset(DatasetRules):
    """One kind of row: where it comes from and how it is read."""

    sql: str | None = Field(None, description="File with the SQL, beside this YAML; it binds :start and :end.")
    sites: list[SiteName] | None = Field(None, description="Sites whose database has it; all with a database, where not given.")


class Settings(_Strict):
    """One business."""

    business: BusinessName = Field(description="Name of the business: lower case, digits and hyphens, 3 to 57 characters.")
    title: str = Field(description="What people call the business.")
    language: Literal["zh", "en"] = Field("zh", description="Language of chat messages; reports have both.")
    time_zone: str = Field("Asia/Shanghai", description="IANA time zone of the business days.")
    storage: str = Field(description="Folder below which the embedded profile keeps everything.")
    sites: dict[SiteName, Site] = Field(min_length=1, description="The sites by name.")
    datasets: dict[SiteName, Dataset] = Field(min_length=1, description="The datasets by name.")
    name_templates: list[str] = Field(default_factory=list, description=Rules.model_fields["name_templates"].description)
    numbers: NumberRules = Field(default_factory=NumberRules, description="How telephone numbers are compared.")
    matching: MatchingRules = Field(default_factory=MatchingRules, description="How recordings find their calls.")
    lookback_days: int = Field(2, ge=0, le=366, description="Days before the current one that every run takes again.")
    quiet_period_seconds: float = Field(60, ge=0, description="A younger file is taken as still growing, in seconds.")
    backup_due_hours: float = Field(6, ge=0, description="Hours after the end of a day until its backup is overdue.")
    coverage_target: float = Field(0.99, ge=0, le=1, description="Share of calls that must be complete.")
    alerts: dict[str, Secret] = Field(default_factory=dict, description="Route: Apprise URL to which alerts go.")

    @model_validator(mode="after")
    def _consistent(self) -> "Settings":
        if self.business.endswith("-audio"):
            raise ValueError(f"business {self.business} would share a bucket with the recordings of another; end it otherwise")
        _known_time_zone(self.time_zone)
        for template in self.name_templates:
            compile_template(template)
        for name, site in self.sites.items():
            for dataset in site.dropped:
                if dataset not in self.datasets:
                    raise ValueError(f"site {name} drops the dataset {dataset}, which is not among datasets{_nearest(dataset, self.datasets)}")
        for name, dataset in self.datasets.items():
            for site_name in dataset.sites or []:
                if site_name not in self.sites:
                    raise ValueError(f"dataset {name} names the site {site_name}, which is not among sites{_nearest(site_name, self.sites)}")
            if dataset.time_zone:
                _known_time_zone(dataset.time_zone)
        return self

    def rules(self) -> Rules:
        """The engine's part of the settings."""
        datasets = {name: DatasetRules(**dataset.model_dump(exclude={"sql", "sites"})) for name, dataset in self.datasets.items()}
        return Rules(
            time_zone=self.time_zone, name_templates=self.name_templates, datasets=datasets,
            numbers=self.numbers, matching=self.matching,
        )  # fmt: skip


def _known_time_zone(name: str) -> None:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # noqa: PLC0415

    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError(f"{name} is no IANA time zone; write it like Asia/Shanghai") from None


def _nearest(name: str, known: Any) -> str:
    near = difflib.get_close_matches(name, list(known), 1)
    return f"; the nearest is {near[0]}" if near else ""


def load_settings(file: Path) -> Settings:
    """The settings in this YAML file; relative folders and SQL files count from the file's own folder.

    Raises:
        SettingsError: the file cannot be read, or something in it cannot be; every mistake with its line.
    """
    node, content = _parse(file)
    try:
        settings = Settings.model_validate(content)
    except ValidationError as error:
        raise SettingsError(
            operation="read the settings",
            subject=str(file),
            cause="; ".join(_explain(problem, node, file) for problem in error.errors()),
            remedy="docs/settings.md lists what may stand there",
        ) from None
    return _absolute(settings, file.resolve().parent)


def _parse(file: Path) -> tuple[yaml.Node, Any]:
    try:
        text = file.read_text(encoding="utf-8")
        node = yaml.compose(text, yaml.SafeLoader)
        content = yaml.safe_load(text)
    except OSError as error:
        cause, remedy = error.strerror or str(error), "name a file that exists and can be read"
    except UnicodeDecodeError:
        cause, remedy = "it is not UTF-8", "save it as UTF-8"
    except yaml.YAMLError as error:
        cause, remedy = " ".join(str(error).split()), "mend the YAML at that line"
    else:
        if node is not None and isinstance(content, dict):
            return node, content
        cause, remedy = "it holds no settings", "start with `business:`; docs/settings.md shows a whole file"
    raise SettingsError(operation="read the settings", subject=str(file), cause=cause, remedy=remedy)


def _explain(problem: Any, node: yaml.Node, file: Path) -> str:
    """One mistake: file, line, where in the settings, what was expected."""
    place = [part for part in problem["loc"] if isinstance(part, str | int) and part != "[key]"]
    line = _line(node, place)
    where = ".".join(map(str, place)) or "the whole"
    if problem["type"] == "extra_forbidden":
        model = _model_at(place[:-1])
        return f"{file}:{line}: {where} is not known{_nearest(str(place[-1]), model.model_fields) if model else ''}"
    if problem["type"] == "missing":
        return f"{file}:{line}: {where} is not given"
    if where == "business" and problem["type"].startswith("string_"):
        return f"{file}:{line}: {where}: a bucket cannot be named {problem['input']!r}: use 3 to 57 lower-case letters, digits and single hyphens"
    return f"{file}:{line}: {where}: {str(problem['msg']).removeprefix('Value error, ')}"


def _line(node: yaml.Node, place: list[str | int]) -> int:
    """The line of the deepest part of `place` that stands in the file, from 1."""
    line = node.start_mark.line + 1
    for part in place:
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == str(part)), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return line


def _model_at(place: list[str | int]) -> type[BaseModel] | None:
    """The model whose field was meant at this place."""
    models: dict[str, type[BaseModel]] = {"sites": Site, "datasets": Dataset, "numbers": NumberRules, "matching": MatchingRules}
    if not place:
        return Settings
    if place[0] in models and len(place) <= 2:  # noqa: PLR2004
        return models[str(place[0])]
    return {"columns": DatasetRules.model_fields["columns"].default_factory, "password": Secret, "database": Secret}.get(str(place[-1]))  # type: ignore[return-value]


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
                "password": _absolute_secret(site.password, folder),
                "database": _absolute_secret(site.database, folder) if site.database else None,
            }
        )
        for name, site in settings.sites.items()
    }
    datasets = {
        name: dataset.model_copy(update={"sql": whole(dataset.sql) if dataset.sql else None})
        for name, dataset in settings.datasets.items()
    }
    return settings.model_copy(update={"storage": storage, "sites": sites, "datasets": datasets})


def _absolute_secret(secret: Secret, folder: Path) -> Secret:
    return secret.model_copy(update={"file": str(folder / secret.file)}) if secret.file else secret
