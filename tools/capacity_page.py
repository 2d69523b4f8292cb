"""docs/capacity.md: what voxkeep needs, by formulae over what one recording costs.

The costs are measured (`make bench-capacity` writes docs/capacity.json); everything else on the page is computed here.
"""

import json
from dataclasses import dataclass
from pathlib import Path

COSTS = Path(__file__).resolve().parents[1] / "docs" / "capacity.json"
TEXT = Path(__file__).with_suffix(".md")
DAYS_A_YEAR = 365
# What every formula takes: the settings' defaults, and one core that does nothing else.
CHECK_DAYS, LOOKBACK_DAYS = 30, 2
# Of the recordings with which the costs were measured (bench/day.py).
MEASURED_BYTES = 50_000
# A recording of the example: half a minute of telephone, 8,000 bytes a second and a little.
BYTES = 300_000
_UNITS = ((1e15, "PB"), (1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


@dataclass(frozen=True)
class Scale:
    """So many recordings a day, over so many sites, kept for so many years."""

    name: str
    a_day: int
    sites: int
    years: int = 3
    size: int = BYTES


@dataclass(frozen=True)
class Costs:
    """What one recording costs: bytes in catalog, call index and repository, CPU seconds of each flow."""

    catalog: float
    index: float
    repository: float
    memory: float
    backup: float
    ingest: float
    reconcile: float
    maintain: float


@dataclass(frozen=True)
class Needs:
    """What a scale needs; bytes, cores and seconds."""

    recordings: float
    repositories: float
    published: float
    catalog: float
    index: float
    restic_memory: float
    source_cores: float
    central_cores: float
    checked_a_day: float
    rebuild_core_days: float
    network: float


SCALES = (
    Scale("a small site", 50_000, 1),
    Scale("a large site", 500_000, 1),
    Scale("a vendor", 10_000_000, 100),
)


def load_costs(file: Path = COSTS) -> tuple[Costs, dict[str, float]]:
    """The costs, and each measured figure by its name."""
    measured: dict[str, float] = json.loads(file.read_text())
    frames = sum(cost for name, cost in measured.items() if name.startswith("catalog_"))
    parts = sum(measured[f"restic_{part}"] for part in ("data", "index"))
    flows = [measured[f"cpu_{name}"] for name in ("backup", "ingest", "reconcile", "maintain")]
    return Costs(frames, measured["index"], parts, measured["restic_memory"], *flows), measured


def needs(scale: Scale, costs: Costs) -> Needs:
    """The formulae of the page."""
    kept = scale.a_day * DAYS_A_YEAR * scale.years
    stored = kept * (scale.size + costs.repository)
    published = kept * scale.size
    looked = LOOKBACK_DAYS + 1
    seconds_a_day = 86_400
    checked = (stored + published) / CHECK_DAYS
    # Costs were measured with small recordings; what reads bytes costs at most so much more with larger ones.
    larger = max(1.0, scale.size / MEASURED_BYTES)
    taken_in = costs.ingest * larger + looked * costs.reconcile
    central = scale.a_day * taken_in + costs.maintain * larger * kept / CHECK_DAYS
    return Needs(
        recordings=kept,
        repositories=stored,
        published=published,
        catalog=kept * costs.catalog,
        index=kept * costs.index,
        restic_memory=scale.a_day / scale.sites * DAYS_A_YEAR * costs.memory,
        source_cores=scale.a_day / scale.sites * costs.backup * larger / seconds_a_day,
        central_cores=central / seconds_a_day,
        checked_a_day=checked,
        rebuild_core_days=kept * taken_in / seconds_a_day,
        network=scale.a_day * scale.size * 8 / seconds_a_day,
    )


def amount(number: float) -> str:
    """Bytes as people write them, in three digits."""
    for unit, name in _UNITS:
        if number >= unit:
            return f"{float(f'{number / unit:.3g}'):g} {name}"
    return f"{number:.0f} bytes"


def capacity_page(generated: str) -> str:
    """The page."""
    costs, measured = load_costs()
    found = [needs(scale, costs) for scale in SCALES]

    def line(words: str, told: list[str]) -> str:
        return f"| {words} | " + " | ".join(told) + " |"

    rows = [
        line("recordings kept", [f"{one.recordings:,.0f}" for one in found]),
        line("repositories", [amount(one.repositories) for one in found]),
        line("published recordings", [amount(one.published) for one in found]),
        line("catalog", [amount(one.catalog) for one in found]),
        line("call index", [amount(one.index) for one in found]),
        line("memory of restic, for the repository of one site at the end of a year",
             [amount(one.restic_memory) for one in found]),
        line("network into the centre, over a whole day", [f"{one.network / 1e6:,.0f} Mbit/s" for one in found]),
        line("read by the checks a day", [amount(one.checked_a_day) for one in found]),
        line("cores busy at a site, over a day", [f"{one.source_cores:.2g}" for one in found]),
        line("cores busy at the centre, over a day", [f"{one.central_cores:.2g}" for one in found]),
        line("rebuild of everything, in days of one core", [f"{one.rebuild_core_days:,.1f}" for one in found]),
    ]  # fmt: skip
    heads = "| | " + " | ".join(f"{scale.name}: {scale.a_day:,} a day" for scale in SCALES) + " |"
    table = "\n".join([heads, "| --- |" + " ---: |" * len(SCALES), *rows])
    frames = sorted(
        ((cost, name) for name, cost in measured.items() if name.startswith("catalog_") and cost >= 1), reverse=True
    )
    shown = "\n".join(f"| `{name.removeprefix('catalog_')}` | {cost:.0f} |" for cost, name in frames)
    return TEXT.read_text(encoding="utf-8").format(
        generated=generated, table=table, frames=shown, years=SCALES[0].years, size=amount(BYTES),
        check_days=CHECK_DAYS, looked=LOOKBACK_DAYS + 1, catalog=costs.catalog, index=costs.index,
        data=measured["restic_data"], restic_index=measured["restic_index"], memory=costs.memory,
        backup=costs.backup * 1000, ingest=costs.ingest * 1000, reconcile=costs.reconcile * 1000,
        maintain=costs.maintain * 1000, vendor=found[-1].central_cores,
        read=found[-1].checked_a_day * 8 / 86_400 / 1e9,
    )  # fmt: skip
