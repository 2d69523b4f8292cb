"""Charts as SVG: drawn here, so that a page needs nothing from outside and prints as it looks."""

from html import escape

WIDTH, HEIGHT, LEFT, BOTTOM = 860, 190, 48, 26
WIDEST_BAR = 56
# More would overlap on a telephone.
MOST_LABELS = 10


def trend(days: list[tuple[str, int, float | None]], label: str) -> str:
    """Bars of recordings and a line of coverage (0 to 1, None: nothing to cover), a day each."""
    if not days:
        return ""
    top = max(count for _, count, _ in days) or 1
    step = (WIDTH - LEFT - 44) / len(days)
    labelled = len(days) // MOST_LABELS + 1
    bars = [
        _bar(place, step, (day, count), top, label=place % labelled == 0) for place, (day, count, _) in enumerate(days)
    ]
    points = [(LEFT + step * (place + 0.5), _y(share)) for place, (_, _, share) in enumerate(days) if share is not None]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = "".join(f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in points)
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">'
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
        + (f'<text x="{middle:.1f}" y="{HEIGHT - 8}" text-anchor="middle">{escape(day[5:])}</text>' if label else "")
    )
