"""`voxkeep retention preview`: what would go and what stays, for people."""

from typing import Any

from voxkeep.console import out, table

_GOES = ("site", "what", "of", "objects", "rows", "documents", "partitions", "snapshots", "bytes", "held")
_STAYS = ("site", "why", "days", "first", "last", "recordings", "bytes", "until")
_HOLDS = ("hold", "kind", "site", "since", "until")


def show_preview(found: dict[str, Any]) -> None:
    """Three tables: what would go, what stays and why, and the holds."""
    title = f"{found['business']} on {found['day']}: what would be removed"
    for name, columns, rows in (
        (title, _GOES, found["goes"]), ("what stays", _STAYS, found["stays"]), ("legal holds", _HOLDS, found["holds"]),
    ):  # fmt: skip
        shown = [[_cell(row.get(column)) for column in columns] for row in rows]
        out.print(table(name, list(columns), shown, numbers_from=3) if shown else f"{name}: nothing")


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else str(value)
