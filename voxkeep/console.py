"""What the terminal shows: tables for people, one JSON object for machines, errors as one paragraph."""

import json
import logging
import os
import shutil
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

# Cells of a title that a table is widened for.
_SHORT_TITLE = 60
_ROOMS = ("blocks", "flows", "listen", "reconcile", "voxkeep")


def print_json(content: dict[str, Any]) -> None:
    """One object, and nothing else on stdout."""
    sys.stdout.write(json.dumps(content, ensure_ascii=False, default=str) + "\n")


def print_error(error: Exception) -> None:
    """The error as one paragraph on stderr."""
    err.print(f"[bold red]voxkeep:[/] {_escape(str(error))}")


def print_defect(error: Exception) -> None:
    """One paragraph about an error that nobody foresaw, and where its traceback lies."""
    with NamedTemporaryFile("w", prefix="voxkeep-", suffix=".txt", delete=False, encoding="utf-8") as file:
        file.writelines(traceback.format_exception(error))
    kind = type(error).__name__
    err.print(
        f"[bold red]voxkeep:[/] this is a defect of voxkeep ({kind}), not of what it was given. Nothing is "
        f"half-written: the same command can be run again. Please report it with the file {file.name}.",
        soft_wrap=True,
    )


def _escape(text: str) -> str:
    return text.replace("[", r"\[")


def table(title: str, columns: list[str], rows: list[list[Any]], *, numbers_from: int = 1) -> Table:
    """A plain table; columns from `numbers_from` on are aligned as numbers."""
    made = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold", title_style="bold")
    # Of a narrow table a short title would be broken.
    made.min_width = min(cell_len(title), _SHORT_TITLE)
    for place, column in enumerate(columns):
        right = place >= numbers_from
        made.add_column(column, justify="right" if right else "left", overflow="fold", no_wrap=right)
    for row in rows:
        made.add_row(*(f"{cell:,}" if isinstance(cell, int) else _escape(str(cell)) for cell in row))
    return made


@contextmanager
def working(what: str) -> Iterator[None]:
    """Show that something is going on, and the run's own messages as they come."""
    show_our_lines()
    with err.status(what):
        yield


def show_our_lines(*others: logging.Logger) -> None:
    """Show what our own files log in a run, or to these loggers, as it comes."""
    for logger in (logging.getLogger("prefect.flow_runs"), logging.getLogger("prefect.task_runs"), *others):
        if not any(isinstance(known, _OurLines) for known in logger.handlers):
            logger.addHandler(_OurLines())


class _OurLines(logging.Handler):
    """Lines that our own files log, as they stand."""

    def emit(self, record: logging.LogRecord) -> None:
        if Path(record.pathname).parent.name in _ROOMS:
            style = "yellow" if record.levelno >= logging.WARNING else "dim"
            err.print(f"[{style}]{_escape(record.getMessage())}[/]", soft_wrap=True)


def beside(program: str) -> str:
    """A program of this environment, as it can be called from here."""
    mine = Path(sys.executable).with_name(program)
    found = shutil.which(program)
    return program if found and Path(found) == mine else os.path.relpath(mine)
