"""What a recording's path says: templates compiled once to regular expressions, read for all paths at once."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from reconcile.errors import RuleError
from reconcile.frames import INSTANT

# A field of a template: what its text looks like, where the template does not say so.
FIELDS = {
    "extension": r"[0-9A-Za-z.\-]+?",
    "number": r"\+?[0-9*#xX]+",
    "call_id": r"[0-9A-Za-z.\-]+",
    "year": r"[0-9]{4}",
    "month": r"[0-9]{1,2}|[A-Z][a-z]{2}",
    "day": r"[0-9]{1,2}",
    "any": r"[^/]*?",
}
# strptime's directives that a name can hold, and what their text looks like.
_DIRECTIVES = {
    "Y": r"[0-9]{4}", "m": r"[0-9]{2}", "d": r"[0-9]{2}", "H": r"[0-9]{2}", "M": r"[0-9]{2}", "S": r"[0-9]{2}",
    "y": r"[0-9]{2}", "s": r"[0-9]{9,10}", "j": r"[0-9]{3}", "b": r"[A-Z][a-z]{2}",
}  # fmt: skip
_FIELD = re.compile(r"\{(\w+)(?::([^}]*))?\}")


# One of each line must be in a start: it names a day and a minute, or an instant.
_NEEDED = (("Y", "y", "s"), ("m", "b", "j", "s"), ("d", "j", "s"), ("H", "s"), ("M", "s"))
_FRACTION = "%f"
_OF_FOLDERS = frozenset({"year", "month", "day"})


@dataclass(frozen=True)
class Template:
    """A compiled template: the pattern a whole path must fit, the format of its start, the fields it gives.

    A fraction of a second is the field `fraction`, and not in the format. `folders` is the same pattern with the groups
    of the folders' day alone; where there is a start, `pattern` lacks them.
    """

    text: str
    pattern: str
    folders: str
    start_format: str | None
    fields: frozenset[str]


def compile_template(text: str) -> Template:
    """The template as a pattern.

    Raises:
        RuleError: an unknown field or directive, a start that names no day and minute, a field that stands twice,
        or a brace that is not closed.
    """
    pattern, last, seen, start_format = "", 0, set[str](), None
    for found in _FIELD.finditer(text):
        name, form = found.group(1), found.group(2)
        if name in seen and name != "any":
            raise _bad(text, f"the field {{{name}}} stands twice", "give each field once, and {any} for the rest")
        pattern += _literal(text, text[last : found.start()]) + _field(text, name, form)
        if name == "start":
            start_format = form.removesuffix(_FRACTION)
            seen |= {"fraction"} if form.endswith(_FRACTION) else set()
        seen.add(name)
        last = found.end()
    pattern += _literal(text, text[last:])
    fields = seen - {"any"}
    folders = _without(pattern, fields - _OF_FOLDERS)
    # Every group takes time, and a start tells the day.
    pattern = _without(pattern, _OF_FOLDERS) if start_format else pattern
    return Template(text, f"^{pattern}$", f"^{folders}$", start_format, frozenset(fields))


def _without(pattern: str, groups: Iterable[str]) -> str:
    for name in groups:
        pattern = pattern.replace(f"(?P<{name}>", "(?:")
    return pattern


def _literal(template: str, text: str) -> str:
    if "{" in text or "}" in text:
        raise _bad(template, "a brace is open", "write a field as {name} or {start:%Y%m%d%H%M%S}")
    return re.escape(text.replace("%", "%25"))


def _field(template: str, name: str, form: str | None) -> str:
    if name == "any":
        return f"(?:{FIELDS['any']})"
    if name == "start":
        return _start(template, form)
    if name not in FIELDS or form:
        raise _bad(
            template,
            f"there is no field {{{name}{':' + form if form else ''}}}",
            f"use one of {', '.join([*FIELDS, 'start'])}",
        )
    return f"(?P<{name}>{FIELDS[name]})"


def _start(template: str, form: str | None) -> str:
    if not form:
        raise _bad(template, "{start} says no format", "write it as {start:%Y%m%d%H%M%S}")
    whole = form.removesuffix(_FRACTION)
    pieces = re.split(r"%(.)", whole)
    directives = pieces[1::2]
    unknown = [directive for directive in directives if directive not in _DIRECTIVES]
    if unknown:
        cause = "a fraction that is not its end" if unknown[0] == "f" else f"%{unknown[0]}"
        raise _bad(template, f"{{start}} has {cause}", f"use %{', %'.join(_DIRECTIVES)}, and %f at the end")
    lacking = [choice for choice in _NEEDED if not set(choice) & set(directives)]
    if lacking:
        raise _bad(
            template,
            f"{{start}} names no instant: it has no %{' or %'.join(lacking[0])}",
            "give its day and time in {start:…}, or only its day as {year}, {month} and {day}",
        )
    text = "".join(_DIRECTIVES[piece] if place % 2 else re.escape(piece) for place, piece in enumerate(pieces))
    return f"(?P<start>{text})" + ("(?P<fraction>[0-9]{1,9})" if whole != form else "")


def _bad(template: str, cause: str, remedy: str) -> RuleError:
    return RuleError(operation="read a name template", subject=template, cause=cause, remedy=remedy)


def read_names(paths: pl.Series, templates: list[str], time_zone: str) -> pl.DataFrame:
    """What the paths say, row by row: extension, number, call_id (String), started_at (UTC), day (Date).

    The first template that fits a path holds for it; a field that it lacks, and every field of a path that fits
    none, is null. `day` is the local date of the start, or else of {year}, {month} and {day}. A local time that
    does not exist is null; of one that comes twice, the first is taken.

    Raises:
        RuleError: a template cannot mean anything.
    """
    compiled = [compile_template(text) for text in templates]
    frame = pl.DataFrame({"path": paths}).with_columns(
        pl.col("path").str.extract_groups(template.pattern).alias(f"groups_{place}")
        for place, template in enumerate(compiled)
        if template.fields
    )
    places = [pl.when(_fits(template, place)).then(place) for place, template in enumerate(compiled)]
    frame = frame.with_columns(pl.coalesce([*places, pl.lit(None, pl.Int32)]).alias("holds"))
    readings = [_reading(template, place, time_zone) for place, template in enumerate(compiled)]
    return frame.with_columns(
        pl.coalesce(
            [pl.when(pl.col("holds") == place).then(reading[name]) for place, reading in enumerate(readings)]
            + [pl.lit(None, dtype)]
        ).alias(name)
        for name, dtype in _READ.items()
    ).select(list(_READ))


_READ = {
    "extension": pl.String(), "number": pl.String(), "call_id": pl.String(), "started_at": INSTANT, "day": pl.Date(),
}  # fmt: skip


def _fits(template: Template, place: int) -> pl.Expr:
    """Whether the template fits: no field of a template is optional, so one of them tells."""
    if not template.fields:
        return pl.col("path").str.contains(template.pattern)
    given = template.fields - _OF_FOLDERS if template.start_format else template.fields
    return pl.col(f"groups_{place}").struct.field(min(given)).is_not_null()


def _reading(template: Template, place: int, time_zone: str) -> dict[str, pl.Expr]:
    """The expression of each value for one template."""

    def group(name: str) -> pl.Expr:
        if name not in template.fields:
            return pl.lit(None, pl.String)
        return pl.col(f"groups_{place}").struct.field(name)

    local, started_at = _instant(template, group("start"), group("fraction"), time_zone)
    by_start = (started_at.dt.convert_time_zone(time_zone) if _is_unix(template) else local).dt.date()
    by_folder = pl.lit(None, pl.Date)
    if template.fields >= _OF_FOLDERS:
        given = pl.col(f"groups_{place}")
        if template.start_format is not None:
            given = pl.when(local.is_null()).then(pl.col("path")).str.extract_groups(template.folders)
        text = pl.concat_str([given.struct.field(name) for name in ("year", "month", "day")], separator="-")
        by_folder = pl.coalesce(text.str.to_date("%Y-%m-%d", strict=False), text.str.to_date("%Y-%b-%d", strict=False))
    return {
        "extension": group("extension"),
        "number": group("number"),
        "call_id": group("call_id"),
        "started_at": started_at,
        "day": pl.coalesce(by_start, by_folder),
    }


def _instant(template: Template, start: pl.Expr, fraction: pl.Expr, time_zone: str) -> tuple[pl.Expr, pl.Expr]:
    """The start as it stands in the name (without a zone), and as an instant."""
    if template.start_format is None:
        return pl.lit(None, pl.Datetime("us")), pl.lit(None, INSTANT)
    local = start.str.to_datetime(template.start_format, time_unit="us", strict=False)
    if "fraction" in template.fields:
        local += pl.duration(microseconds=fraction.str.pad_end(6, "0").str.head(6).cast(pl.Int64))
    zone = "UTC" if _is_unix(template) else time_zone
    started_at = local.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    return local, started_at.dt.convert_time_zone("UTC")


def _is_unix(template: Template) -> bool:
    """Whether its start counts seconds since 1970, so that no zone has a word in it."""
    return template.start_format is not None and "%s" in template.start_format
