"""The pages of drills and inspections: templates, and figures as people read them, in both languages."""

from datetime import datetime
from functools import cache
from zoneinfo import ZoneInfo

from jinja2 import Template
from markupsafe import Markup

from reconcile.report.messages import say
from reconcile.report.spoken import both, breakable
from reconcile.report.templates import environment

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


@cache
def sheet(name: str) -> Template:
    """The template of this name."""
    jinja = environment()
    jinja.globals["t"] = lambda key, **places: both(lambda spoken: say(key, spoken, **places))
    jinja.filters["breakable"] = breakable
    return jinja.get_template(name)


def local(instant: datetime, time_zone: str) -> str:
    """The instant as a clock on the wall shows it."""
    return instant.astimezone(ZoneInfo(time_zone)).strftime("%Y-%m-%d %H:%M")


def lasting(seconds: float | None, language: str) -> str:
    """A length of time as people read it: 12.3 s, 4.5 min, 6.7 h, 8.9 days."""
    if seconds is None:
        return "—"
    unit, size = next(
        (unit, size)
        for unit, size, below in (
            ("seconds", 1, _MINUTE), ("minutes", _MINUTE, _HOUR), ("hours", _HOUR, 2 * _DAY), ("days", _DAY, None),
        )
        if below is None or seconds < below
    )  # fmt: skip
    return say(f"lasting_{unit}", "en" if language == "en" else "zh", n=f"{seconds / size:,.1f}")


def lasting_both(seconds: float | None) -> Markup:
    """The same in both languages, for a page."""
    return both(lambda spoken: lasting(seconds, spoken))
