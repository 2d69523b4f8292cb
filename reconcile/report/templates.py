"""Jinja, as every template of this folder is read."""

from jinja2 import Environment, PackageLoader, StrictUndefined


def environment() -> Environment:
    """A new environment: what templates are given is escaped, and a name that they are not given is an error."""
    made = Environment(
        loader=PackageLoader("reconcile.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["thousands"] = lambda number: f"{int(number):,}"
    return made
