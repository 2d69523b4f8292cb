"""What single fields of `retention` cannot know: floors against ceilings, datasets, the lock of the store, the key."""

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from reconcile.retention import SHORTEST_FLOOR, Retention, at_least
from voxkeep.settings_fields import Place
from voxkeep.settings_mistakes import nearest

Content = dict[str, Any]
_HERE: Place = ("retention",)


def check_retention(content: Content) -> Iterator[tuple[Place, str]]:
    """Mistakes in how long things are kept; none where the shape is wrong, which pydantic tells better."""
    try:
        kept = Retention.model_validate(content.get("retention") or {})
    except ValidationError:
        return
    datasets = content.get("datasets")
    datasets = datasets if isinstance(datasets, dict) else {}
    yield from _spans(kept)
    for name in kept.datasets:
        if name not in datasets:
            yield (*_HERE, "datasets", name), f"{name} is not among datasets{nearest(name, datasets)}"
        elif _kind(datasets[name]) == "calls" and not _outlives(kept, name):
            yield (
                (*_HERE, "datasets", name, "ceiling"),
                "calls must be kept as long as their recordings, which would belong to nobody",
            )
    yield from _of_others(kept, content)


def _spans(kept: Retention) -> Iterator[tuple[Place, str]]:
    """Floors that are too short, and ceilings below their floor."""
    for name in (None, *kept.datasets):
        spans, place = kept.spans(name), (*_HERE, "datasets", name) if name else _HERE
        if not at_least(spans.floor, SHORTEST_FLOOR) and not kept.short_floor_reason:
            yield (
                (*place, "floor"),
                f"{spans.floor} is shorter than {SHORTEST_FLOOR}; where that is allowed, say why in short_floor_reason",
            )
        if spans.ceiling and not at_least(spans.ceiling, spans.floor):
            yield (*place, "ceiling"), f"{spans.ceiling} may be shorter than the floor, {spans.floor}"


def _kind(dataset: object) -> object:
    return dataset.get("kind", "calls") if isinstance(dataset, dict) else "calls"


def _outlives(kept: Retention, name: str) -> bool:
    own, everything = kept.spans(name).ceiling, kept.spans().ceiling
    return own is None or (everything is not None and at_least(own, everything))


def _of_others(kept: Retention, content: Content) -> Iterator[tuple[Place, str]]:
    """What retention needs of the other settings."""
    removes = kept.ceiling or kept.snapshots_within or any(one.ceiling for one in kept.datasets.values())
    if removes and not content.get("certificate_key"):
        yield (
            _HERE,
            "what is removed is told in a signed protocol; give `certificate_key`, the key that signs it",
        )
    s3 = content.get("s3")
    locked = s3.get("object_lock_days") if isinstance(s3, dict) else None
    if kept.ceiling and isinstance(locked, int) and not at_least(kept.ceiling, f"{locked}d"):
        yield (
            (*_HERE, "ceiling"),
            f"recordings cannot go after {kept.ceiling}, because s3.object_lock_days locks them for {locked} days",
        )
