"""What a single field of the settings cannot know: whether names, columns, templates and SQL fit together.

The checks read plain content, which may still be wrong in shape, so that every mistake is told at once; where
the shape is wrong they are silent, because pydantic tells that better.
"""

import re
from collections.abc import Iterator
from datetime import date
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

import polars as pl

from blocks.day_sql import sql_of_day
from blocks.errors import SettingsError
from blocks.expectations import names
from reconcile.errors import RuleError
from reconcile.expected import columns_of
from reconcile.names import compile_template
from voxkeep.retention_checks import check_retention
from voxkeep.settings_fields import Place
from voxkeep.settings_mistakes import Content, Found, nearest

# What a placeholder cannot stand in: comments and quoted text. A doubled colon is a cast of PostgreSQL.
_NO_CODE = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'", re.DOTALL)


def check_rules(content: Content) -> Iterator[tuple[Place, str]]:
    """Mistakes in the engine's part: time zones, name templates, the fields and columns that rules name."""
    yield from _time_zone(content, ())
    fields: set[str] = set()
    for number, text in enumerate(_texts(content.get("name_templates"))):
        try:
            fields |= compile_template(text).fields
        except RuleError as error:
            yield ("name_templates", number), f"{error.cause}; {error.remedy}"
    key = _texts(_named(content.get("matching")).get("key"))
    for number, field in enumerate(key):
        if fields and field in ("call_id", "extension", "number", "start") and field not in fields:
            yield (
                ("matching", "key", number),
                f"no name template gives {field}; they give {', '.join(sorted(fields))}",
            )
    for name, dataset in _named(content.get("datasets")).items():
        yield from _dataset(_named(dataset), ("datasets", name))


def check_business(content: Content) -> Iterator[tuple[Place, str]]:
    """Mistakes in a business: those of `check_rules`, and names of sites and datasets that fit nothing."""
    yield from check_rules(content)
    business = content.get("business")
    if isinstance(business, str) and business.endswith("-audio"):
        yield ("business",), "the end -audio is kept for the bucket of recordings; end the name otherwise"
    sites, datasets = _named(content.get("sites")), _named(content.get("datasets"))
    for site, settings in sites.items():
        for dataset in _named(_named(settings).get("dropped")):
            if dataset not in datasets:
                yield (
                    ("sites", site, "dropped", dataset),
                    f"{dataset} is not among datasets{nearest(dataset, datasets)}",
                )
    yield from _expectations(_named(content.get("expectations")), datasets)
    yield from check_retention(content)
    if not sites:
        return
    for name, dataset in datasets.items():
        if isinstance(dataset, dict | None):
            yield from _origin(name, _named(dataset), sites)


def _expectations(content: Content, datasets: Content) -> Found:
    """Mistakes in what is expected: datasets, expectations and columns that there are not."""
    rows, own = _named(content.get("rows")), content.get("own")
    for dataset in rows:
        if dataset not in datasets:
            yield ("expectations", "rows", dataset), f"{dataset} is not among datasets{nearest(dataset, datasets)}"
    known = columns_of(rows)
    for number, one in enumerate(own if isinstance(own, list) else []):
        place: Place = ("expectations", "own", number)
        name, arguments = _named(one).get("expect"), _named(_named(one).get("arguments"))
        if isinstance(name, str) and name not in names():
            yield (*place, "expect"), f"Great Expectations has no {name}{nearest(name, names())}"
        for argument, value in arguments.items():
            for column in [value, *_texts(value)] if argument.startswith("column") else []:
                if isinstance(column, str) and column not in known:
                    yield (*place, "arguments", argument), f"there is no column {column}{nearest(column, known, few=0)}"


def check_sql(content: Content, folder: Path) -> Iterator[tuple[Place, str]]:
    """Mistakes in the SQL files that datasets name; a relative name counts from `folder`."""
    for name, dataset in _named(content.get("datasets")).items():
        sql = _named(dataset).get("sql")
        if isinstance(sql, str):
            try:
                read_sql(folder / sql, name)
            except SettingsError as error:
                yield ("datasets", name, "sql"), f"{error.subject}: {error.cause}; {error.remedy}"


def read_sql(file: Path, dataset: str) -> str:
    """The SQL of a dataset.

    Raises:
        SettingsError: the file cannot be read, does not bind :start and :end, or has a `{day…}` of no form.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
        code = _NO_CODE.sub(" ", text)
        unbound = [f":{name}" for name in ("start", "end") if not re.search(rf"(?<!:):{name}\b", code)]
        cause = f"it does not bind {' and '.join(unbound)}" if unbound else ""
        remedy = "select the half-open window: WHERE start_time >= :start AND start_time < :end"
        sql_of_day(text, date.min)
    except OSError as error:
        cause, remedy = (
            error.strerror or str(error),
            "correct `sql`; it counts from the folder of the YAML file",
        )
    except UnicodeDecodeError:
        cause, remedy = "it is not UTF-8", "save it as UTF-8"
    except SettingsError as error:
        cause, remedy = f"{error.subject}: {error.cause}", error.remedy
    if cause:
        raise SettingsError(operation=f"read the SQL of {dataset}", subject=str(file), cause=cause, remedy=remedy)
    return text


def _origin(name: str, dataset: Content, sites: Content) -> Iterator[tuple[Place, str]]:
    """Mistakes in where the rows of a dataset come from."""
    place: Place = ("datasets", name)
    wanted = _texts(dataset.get("sites"))
    for number, site in enumerate(wanted):
        if site not in sites:
            yield (*place, "sites", number), f"{site} is not among sites{nearest(site, sites)}"
        elif not _named(sites[site]).get("database"):
            yield (*place, "sites", number), f"the site {site} has no database"
    is_dropped = any(name in _named(_named(site).get("dropped")) for site in sites.values())
    if not dataset.get("sql") and not is_dropped:
        yield (
            place,
            "its rows come from nowhere; give it `sql`, or let a site have a folder for it in `dropped`",
        )
    elif dataset.get("sql") and not wanted and not any(_named(site).get("database") for site in sites.values()):
        yield (*place, "sql"), "no site has a database to ask; give one a `database`"


def _dataset(dataset: Content, place: Place) -> Found:
    """Mistakes in how the rows of a dataset are read."""
    yield from _time_zone(dataset, place)
    header = _header(dataset.get("header"))
    columns = _named(dataset.get("columns"))
    for name, source in columns.items():
        where = (*place, "columns", name)
        if isinstance(source, str):
            yield from _known_column(source, header, where)
        elif isinstance(source, dict):
            yield from _known_column(source.get("column"), header, (*where, "column"))
            yield from _pattern(source.get("pattern"), (*where, "pattern"))
    for column in _named(_named(dataset.get("expects_recording")).get("where")):
        yield from _known_column(column, header, (*place, "expects_recording", "where", column))


def _header(value: object) -> list[str]:
    """Every column of the header, or of the several headers, that a dataset gives."""
    several = value if isinstance(value, list) and all(isinstance(one, list) for one in value) else [value]
    return [column for one in several for column in _texts(one)]


def _known_column(column: object, header: list[str], place: Place) -> Found:
    if header and isinstance(column, str) and column not in header:
        yield place, f"the header has no column {column}{nearest(column, header)}"


def _pattern(pattern: object, place: Place) -> Found:
    """A pattern must be what the engine's regular expressions accept, and have a group."""
    if not isinstance(pattern, str):
        return
    try:
        groups = pl.select(pl.lit("").str.extract_groups(pattern)).to_series()
    except pl.exceptions.ComputeError as error:
        yield place, f"it is no regular expression: {str(error).rpartition('error: ')[2].strip()}"
        return
    if not groups.struct.fields:
        yield place, "it has no group; put what is wanted between ( and )"


def _time_zone(content: Content, place: Place) -> Found:
    zone = content.get("time_zone")
    if isinstance(zone, str) and not _is_time_zone(zone):
        yield (
            (*place, "time_zone"),
            f"{zone} is no time zone{nearest(zone, _time_zones(), few=0)}; write it like Asia/Shanghai",
        )


def _is_time_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (OSError, ValueError):
        return False
    except KeyError:  # ZoneInfoNotFoundError is one
        return False
    return True


@cache
def _time_zones() -> list[str]:
    return sorted(available_timezones())


def _named(value: object) -> Content:
    """The names with values that stand here; none, where something else does."""
    return {name: below for name, below in value.items() if isinstance(name, str)} if isinstance(value, dict) else {}


def _texts(value: object) -> list[str]:
    """The list of texts that stands here; none, where something else does."""
    return value if isinstance(value, list) and all(isinstance(part, str) for part in value) else []
