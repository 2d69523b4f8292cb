"""When each stage last succeeded, and how long it took: what monitoring tells of runs.

A site writes nothing into the catalog, so what its backup took stands in its snapshot: restic's own times, and the tag
`began`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import polars as pl

from reconcile.frames import RUNS

# Tags of a snapshot: when its backup began, and that it was a batch of the watcher.
BEGAN = "began="
LIVE = "live"
_STAGE = pl.Schema({name: RUNS.schema[name] for name in ("stage", "started_at", "ended_at")})


class Stages:
    """The stages of one run that have succeeded; of one that came several times, the last."""

    def __init__(self) -> None:
        self._done: dict[str, tuple[datetime, datetime]] = {}

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Remember the stage, if the body succeeds."""
        began = datetime.now(UTC)
        yield
        self._done[stage] = (began, datetime.now(UTC))

    def add_backup(self, snapshot: dict[str, Any]) -> None:
        """Remember what the backup that took this snapshot (`SNAPSHOT_SCHEMA`) took; older ones did not tell."""
        ended = snapshot["ended_at"]
        began = next((tag.removeprefix(BEGAN) for tag in snapshot["tags"] if tag.startswith(BEGAN)), None)
        if ended and began:
            self._done["backup"] = (datetime.fromisoformat(began), ended)
            self._done["snapshot"] = (snapshot["taken_at"], ended)

    def __or__(self, others: "Stages") -> "Stages":
        """The stages of both."""
        both = Stages()
        both._done = self._done | others._done
        return both

    def into(self, known: pl.DataFrame, keys: dict[str, Any]) -> pl.DataFrame:
        """RUNS of one partition (`keys`: business, site, day) with these stages told anew."""
        rows = [(stage, *times) for stage, times in self._done.items()]
        told = pl.DataFrame(rows, schema=_STAGE, orient="row").select(
            *(pl.lit(value).alias(name) for name, value in keys.items()), pl.all()
        )
        kept = known.join(told, on="stage", how="anti")
        return pl.concat([kept, told.match_to_schema(RUNS.schema)]).sort("stage")
