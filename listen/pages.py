"""How a page becomes HTML: templates with escaping, texts from one catalogue, numbers masked unless told otherwise."""

from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from listen.masking import masked_number, masked_text
from listen.messages import Language, say
from listen.roles import ROLES

_MINUTE, _HOUR = 60, 3600
_KB = 1000
_SHORT_HASH = 12


def render(template: str, language: Language, **content: object) -> str:
    """The page in this language."""

    def text(key: str, **places: object) -> str:
        return say(key, language, **places)

    return _environment().get_template(f"{template}.html.j2").render(language=language, t=text, roles=ROLES, **content)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("listen", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # They are part of the program.
        auto_reload=False,
    )
    filters: dict[str, Callable[..., Any]] = {
        "number": masked_number,
        "masked": masked_text,
        "local": _local,
        "length": len,
        "clock": clock,
        "size": size,
        "short": lambda text: str(text)[:_SHORT_HASH],
        "breakable": _breakable,
        "instant": datetime.fromisoformat,
        "sum_of": lambda rows, name: sum(len(row[name]) for row in rows),
        "thousands": lambda count: f"{int(count):,}",
    }
    environment.filters.update(filters)
    return environment


def _local(instant: datetime | None, zone: ZoneInfo) -> str:
    return instant.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S") if instant else "—"


def clock(seconds: float | None) -> str:
    """A length as people read it.

    >>> clock(83.5)
    '1:23'
    """
    if seconds is None:
        return "—"
    whole = int(seconds)
    hours = f"{whole // _HOUR}:" if whole >= _HOUR else ""
    minutes = whole % _HOUR // _MINUTE
    return f"{hours}{minutes:02}:{whole % _MINUTE:02}" if hours else f"{minutes}:{whole % _MINUTE:02}"


def size(count: float) -> str:
    """Bytes as people read them."""
    for unit in ("B", "kB", "MB"):
        if count < _KB:
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= _KB
    return f"{count:,.1f} GB"


def _breakable(text: object) -> Markup:
    """A path or an id, which may break where a narrow screen needs it."""
    whole = Markup.escape(str(text))
    return Markup(whole.replace("/", Markup("/<wbr>")).replace("_", Markup("_<wbr>")))  # noqa: S704  # escaped above
