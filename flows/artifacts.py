"""What Prefect's UI shows of a run, beside its log: what it did, how far restic is, what is open.

https://docs.prefect.io/v3/concepts/artifacts. Telephone numbers are masked, as in every report. No run fails because
Prefect could not take an artifact.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast
from uuid import UUID

import polars as pl
from prefect import get_run_logger
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from reconcile.report import masked

# More findings than this nobody reads in Prefect's UI; the report's workbook has them all.
TOP = 100
# More names than this make a cell that nobody reads.
_NAMES = 20
_SHOWN = ("severity", "kind", "site", "day", "subject", "lost_at", "held_at", "cause", "first_seen")


def show_done(what: str, name: str, done: dict[str, Any]) -> None:
    """A table of what a run did, one line a figure; `name` is the business, or business/site."""
    rows = "\n".join(f"| {key.replace('_', ' ')} | {_cell(value)} |" for key, value in done.items())
    table = f"| {what} | {name} |\n| --- | --- |\n{rows}\n"
    with _only_shown():
        create_markdown_artifact(table, key=_key(what, name), description=f"{what} of {name}")


def show_findings(name: str, is_open: pl.DataFrame) -> None:
    """The open findings (FINDINGS, the worst first) as a table."""
    shown = is_open.head(TOP).select(
        pl.col(*_SHOWN).cast(pl.String).map_elements(masked, return_dtype=pl.String, skip_nulls=True)
    )
    description = f"{is_open.height:,} open findings of {name}" + (
        f"; the first {TOP}, all are in findings.xlsx" if is_open.height > TOP else ""
    )
    with _only_shown():
        create_table_artifact(shown.to_dicts(), key=_key("findings", name), description=description)


def show_progress(name: str) -> Callable[[float, str], None]:
    """A bar that moves: the function takes the part done (0 to 1) and says what is being done."""
    bar: list[UUID] = []
    with _only_shown():
        made = create_progress_artifact(0.0, key=_key("progress", name), description=f"backup of {name}")
        bar.append(cast("UUID", made))

    def move(done: float, words: str) -> None:
        with _only_shown():
            update_progress_artifact(bar[0], progress=min(done, 1.0) * 100, description=f"backup of {name}: {words}")

    return move


@contextmanager
def _only_shown() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001  # whatever it is, a backup is worth more
        get_run_logger().warning("Prefect did not take an artifact: %s", type(error).__name__)


def _key(what: str, name: str) -> str:
    """Prefect takes small letters, digits and dashes."""
    return f"{what}-{name}".replace("/", "--").replace(".", "-").replace("_", "-")


def _cell(value: object) -> str:
    if isinstance(value, list):
        more = f" and {len(value) - _NAMES:,} more" if len(value) > _NAMES else ""
        value = ", ".join(map(str, value[:_NAMES])) + more
    return masked(f"{value:,}" if isinstance(value, int) else str(value)).replace("|", "\\|")
