"""What a recording's path says: templates compiled once to regular expressions, read for all paths at once."""

import re
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
    "y": r"[0-9]{2}", "s": r"[0-9]{9,10}", "f": r"[0-9]{1,9}", "j": r"[0-9]{3}", "b": r"[A-Z][a-z]{2}",
}  # fmt: skip
_FIELD = re.compile(r"\{(\w+)(?::([^}]*))?\}")


@dataclass(frozen=True)
class Template:
    """A compiled template: the pattern a whole path must fit, the format of its start, the fields it gives."""

    text: str
    pattern: str
    start_format: str | None
    fields: frozenset[str]


def compile_template(text: str) -> Template:
    """The template as a pattern.

    Raises:
        RuleError: an unknown field or directive, a field that stands twice, or a brace that is not closed.
    """
    pattern, last, seen, start_format = "", 0, set[str](), None
    for found in _FIELD.finditer(text):
        name, form = found.group(1), found.group(2)
        if name in seen and name != "any":
            raise _bad(text, f"the field {{{name}}} stands twice", "give each field once, and {any} for the rest")
        pattern += _literal(text, text[last : found.start()])
        pattern += _field(text, name, form)
        start_format = form if name == "start" else start_format
        seen.add(name)
        last = found.end()
    pattern += _literal(text, text[last:])
    return Template(text, f"^{pattern}$", start_format, frozenset(seen - {"any"}))


def _literal(template: str, text: str) -> str:
    if "{" in text or "}" in text:
        raise _bad(template, "a brace is open", "write a field as {name} or {start:%Y%m%d%H%M%S}")
    return re.escape(text.replace("%", "%25"))


def _field(template: str, name: str, form: str | None) -> str:
    if name == "any":
        return f"(?:{FIELDS['any']})"
    if name == "start":
        return f"(?P<start>{_start(template, form)})"
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
    pieces = re.split(r"%(.)", form)
    unknown = [directive for directive in pieces[1::2] if directive not in _DIRECTIVES]
    if unknown:
        raise _bad(template, f"{{start}} has %{unknown[0]}", f"use %{', %'.join(_DIRECTIVES)}")
    return "".join(_DIRECTIVES[piece] if place % 2 else re.escape(piece) for place, piece in enumerate(pieces))


def _bad(template: str, cause: str, remedy: str) -> RuleError:
    return RuleError(operation="read a name template", subject=template, cause=cause, remedy=remedy)


def read_names(paths: pl.Series, templates: list[str], time_zone: str) -> pl.DataFrame:
    """What the paths say, row by row: extension, number, call_id (String), started_at (UTC), day (Date).

    The first template that fits a path holds for it; a field that it lacks, and every field of a path that fits
    none, is null. `day` is the local date of the start, or else of {year}, {month} and {day}. A local time that
    does not exist is null; of one that comes twice, the first is taken.
    """
    compiled = [compile_template(text) for text in templates]
    frame = pl.DataFrame({"path": paths})
    readings = [_reading(template, place, time_zone) for place, template in enumerate(compiled)]
    frame = frame.with_columns(
        pl.col("path").str.extract_groups(template.pattern).alias(f"groups_{place}")
        for place, template in enumerate(compiled)
        if template.fields
    )
    return frame.with_columns(
        pl.coalesce([reading[name] for reading in readings] + [pl.lit(None, dtype)]).alias(name)
        for name, dtype in _READ.items()
    ).select(list(_READ))


_READ = {
    "extension": pl.String(),
    "number": pl.String(),
    "call_id": pl.String(),
    "started_at": INSTANT,
    "day": pl.Date(),
}


def _reading(template: Template, place: int, time_zone: str) -> dict[str, pl.Expr]:
    """The expression of each value for one template."""

    def group(name: str) -> pl.Expr:
        if name not in template.fields:
            return pl.lit(None, pl.String)
        return pl.col(f"groups_{place}").struct.field(name)

    started_at = pl.lit(None, INSTANT)
    if template.start_format:
        local = group("start").str.to_datetime(template.start_format, time_unit="us", strict=False)
        zone = "UTC" if "%s" in template.start_format else time_zone
        started_at = local.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null").dt.convert_time_zone(
            "UTC"
        )
    by_folder = pl.lit(None, pl.Date)
    if {"year", "month", "day"} <= template.fields:
        month = group("month")
        text = pl.concat_str([group("year"), month, group("day")], separator="-")
        by_folder = pl.coalesce(text.str.to_date("%Y-%m-%d", strict=False), text.str.to_date("%Y-%b-%d", strict=False))
    return {
        "extension": group("extension"),
        "number": group("number"),
        "call_id": group("call_id"),
        "started_at": started_at,
        "day": pl.coalesce(started_at.dt.convert_time_zone(time_zone).dt.date(), by_folder),
    }
