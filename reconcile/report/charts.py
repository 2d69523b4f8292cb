"""Charts as SVG: drawn here, so that a page needs nothing from outside and prints as it looks."""

from collections.abc import Callable, Sequence
from html import escape
from itertools import pairwise

from reconcile.report.coverage import Cell

WIDTH, HEIGHT, LEFT, BOTTOM = 860, 196, 48, 32
WIDEST_BAR = 56
# More would overlap on a telephone.
MOST_LABELS = 7
# A day of a calendar, and the room for the names of weekdays and months.
_SIDE, _STEP, _NAMES, _MONTHS = 22, 24, 26, 18
# In a longer calendar a day is too small for its number.
_WEEKS_WITH_NUMBERS = 27


def calendar(cells: Sequence[Cell], label: str, months: Callable[[int], str], weekdays: Sequence[str]) -> str:
    """A square a day: a column a week, a row a weekday, Monday first; `cells` begin on a Monday, without gaps.

    `label`: id of the element that says what it shows; `months` and `weekdays`: their names, as SVG text.
    """
    weeks = [cells[place : place + 7] for place in range(0, len(cells), 7)]
    width, height = _NAMES + len(weeks) * _STEP - 2, _MONTHS + 7 * _STEP - 2
    names = [
        f'<g transform="translate(0 {_MONTHS + row * _STEP + 15})">{name}</g>'
        for row, name in enumerate(weekdays)
        if name
    ]
    numbered = len(weeks) < _WEEKS_WITH_NUMBERS
    squares = [
        _square(cell, _NAMES + column * _STEP, _MONTHS + row * _STEP, numbered=numbered)
        for column, week in enumerate(weeks)
        for row, cell in enumerate(week)
    ]
    drawn = "".join([*names, *_month_names(weeks, months), *squares])
    return (
        f'<svg class="calendar" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-labelledby="{escape(label)}">{drawn}</svg>'
    )


def _month_names(weeks: Sequence[Sequence[Cell]], months: Callable[[int], str]) -> list[str]:
    """The name of each month above the week in which it begins, where it does not run into the next."""
    begins = [0] + [
        column
        for column, week in enumerate(weeks)
        if column and any(cell.day and cell.day.day == 1 for cell in week)
    ]  # fmt: skip
    begins.append(len(weeks))
    names = []
    for column, following in pairwise(begins):
        last = weeks[column][-1].day
        if last and following - column > 1:
            names.append(f'<g transform="translate({_NAMES + column * _STEP} 11)">{months(last.month)}</g>')
    return names


def _square(cell: Cell, x: int, y: int, *, numbered: bool) -> str:
    counts = f"{cell.complete:,} / {cell.must:,} · {cell.text}" if cell.must else "—"
    square = (
        f'<rect class="{cell.level}" x="{x}" y="{y}" width="{_SIDE}" height="{_SIDE}" rx="4">'
        f"<title>{cell.day} · {counts}</title></rect>"
    )
    if cell.level == "gap":
        near, far = _SIDE * 0.3, _SIDE * 0.7
        return square + (
            f'<path class="cross" d="M{x + near:.1f} {y + near:.1f}L{x + far:.1f} {y + far:.1f}'
            f'M{x + far:.1f} {y + near:.1f}L{x + near:.1f} {y + far:.1f}"/>'
        )
    if numbered and cell.day and cell.level != "unknown":
        return square + f'<text class="on-{cell.level}" x="{x + _SIDE / 2:g}" y="{y + 15}">{cell.day.day}</text>'
    return square


def trend(days: list[tuple[str, int, float | None]], label: str) -> str:
    """Bars of recordings and a line of coverage (0 to 1, None: nothing to cover), a day each.

    `label`: id of the element that says what it shows.
    """
    if not days:
        return ""
    top = max(count for _, count, _ in days) or 1
    step = (WIDTH - LEFT - 44) / len(days)
    labelled = -(-len(days) // MOST_LABELS)
    bars = [
        _bar(place, step, (day, count), top, label=(len(days) - 1 - place) % labelled == 0)
        for place, (day, count, _) in enumerate(days)
    ]
    points = [(LEFT + step * (place + 0.5), _y(share)) for place, (_, _, share) in enumerate(days) if share is not None]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = "".join(f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in points)
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="{escape(label)}">'
        f"{_axes(top)}{''.join(bars)}"
        f'<polyline class="line" points="{line}"/>{dots}</svg>'
    )


def _y(share: float) -> float:
    """Where a share of 0 to 1 stands: the plot leaves a little room at its top."""
    return 14 + (1 - share) * (HEIGHT - BOTTOM - 14)


def _axes(top: int) -> str:
    lines = []
    for share in (0.0, 0.5, 1.0):
        y = _y(share)
        lines.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - 44}" y1="{y:.1f}" y2="{y:.1f}"/>')
        if share != 0.5 or top % 2 == 0:  # noqa: PLR2004  # half of an odd number is no count
            lines.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{round(top * share):,}</text>')
        lines.append(f'<text class="share" x="{WIDTH - 38}" y="{y + 4:.1f}">{share:.0%}</text>')
    return "".join(lines)


def _bar(place: int, step: float, bar: tuple[str, int], top: int, *, label: bool) -> str:
    day, count = bar
    width = min(step * 0.64, WIDEST_BAR)
    x = LEFT + step * (place + 0.5) - width / 2
    y = _y(count / top)
    height = HEIGHT - BOTTOM - y
    middle = x + width / 2
    return (
        f'<rect class="bar" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="2">'
        f"<title>{escape(day)}: {count:,}</title></rect>"
        + (f'<text x="{middle:.1f}" y="{HEIGHT - 7}" text-anchor="middle">{escape(day[5:])}</text>' if label else "")
    )
