"""Writing many documents to Elasticsearch, which may have more to do than it can take.

It says 429, of a whole request or of single items; these are sent again after a pause that doubles, until a deadline.
A request that it refuses whole, because one item in it is malformed or all of them are too much, is cut in halves.
"""

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from threading import Event
from typing import Any

import polars as pl

from blocks.elastic_server import BUSY, Server, part, reason
from blocks.errors import TransientError

# Bytes of a request, roughly: large enough that its overhead is nothing, small beside what a node may hold.
REQUEST_BYTES = 4 << 20
_REFUSED_WHOLE = (400, 413)
_OK, _NOT_FOUND = 200, 404
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0
# What is needed of an answer: whether all of it was taken, and if not, what became of each item.
_WHETHER = "error,errors"
_OF_ITEMS = ("status", "error.reason", "error.type", "error.caused_by")
_WHAT = ",".join((_WHETHER, *(f"items.*.{name}" for name in _OF_ITEMS)))


@dataclass(frozen=True)
class Bulk:
    """Where items are written, and until when (`time.monotonic`) a busy server is asked again.

    To tell of each item costs the server and us more than it says, so it is asked for only from the first answer on
    that says that something was not taken: that request is sent once more, which changes nothing of what was taken.
    """

    server: Server
    index: str
    give_up: float
    is_refused: Event = field(default_factory=Event)

    def write(self, items: pl.Series) -> dict[int, str]:
        """Write the items (each its lines of `_bulk`); the reason of each that was refused, by its place.

        Raises:
            TransientError: Elasticsearch was busy until the deadline, or does not answer.
        """
        refused: dict[int, str] = {}
        waiting = [list(places) for places in requests_of(items)]
        pause = _FIRST_PAUSE
        while waiting:
            again = [places for request in waiting for places in self._send(items, request, refused)]
            if again:
                self._wait(pause, again)
                pause = min(pause * 2, _LONGEST_PAUSE)
            waiting = again
        return refused

    def _send(self, items: pl.Series, places: list[int], refused: dict[int, str]) -> Iterator[list[int]]:
        """Send these items; yields those to be sent again, adds to `refused` those that never will be taken."""
        body = items.gather(places).str.join("").cast(pl.Binary).item()
        status, answer = self._post(body, _WHAT if self.is_refused.is_set() else _WHETHER)
        if status == _OK and answer["errors"] and "items" not in answer:
            self.is_refused.set()
            status, answer = self._post(body, _WHAT)
        if status in BUSY:
            yield places
        elif status in _REFUSED_WHOLE and len(places) > 1:
            middle = len(places) // 2
            yield from self._send(items, places[:middle], refused)
            yield from self._send(items, places[middle:], refused)
        elif status in _REFUSED_WHOLE:
            refused[places[0]] = f"{status}: {reason(answer)}"
        elif status != _OK:
            raise self.server.refusal(f"POST {self.index}/_bulk", status, answer)
        elif answer["errors"]:
            yield from _sort_out(places, answer["items"], refused)

    def _post(self, body: bytes, wanted: str) -> tuple[int, dict[str, Any]]:
        return self.server.send("POST", f"{part(self.index)}/_bulk", lines=body, parameters={"filter_path": wanted})

    def _wait(self, pause: float, again: list[list[int]]) -> None:
        if time.monotonic() + pause > self.give_up:
            raise TransientError(
                operation=f"write to {self.index}",
                subject=self.server.url,
                cause=f"it still has too much to do to take {sum(map(len, again))} documents",
                remedy="wait until it has less to do, then run it again; or let it be waited for longer",
            )
        # Not all at the same moment, or they are refused together again.
        time.sleep(pause * random.uniform(0.5, 1))  # noqa: S311  # no secret


def _sort_out(
    places: list[int], items: list[dict[str, dict[str, Any]]], refused: dict[int, str]
) -> Iterator[list[int]]:
    """The items that Elasticsearch was too busy for; those that it refuses are added to `refused`."""
    busy = []
    for place, item in zip(places, items, strict=True):
        ((verb, outcome),) = item.items()
        if outcome["status"] in BUSY:
            busy.append(place)
        elif "error" in outcome and not (verb == "delete" and outcome["status"] == _NOT_FOUND):
            refused[place] = reason(outcome)
    if busy:
        yield busy


def requests_of(items: pl.Series) -> list[range]:
    """The places of the items of each request, in order: even parts, the nearest to `REQUEST_BYTES`."""
    sizes = items.str.len_bytes().cast(pl.Int64)
    total = int(sizes.sum())
    parts = max(1, round(total / REQUEST_BYTES))
    lengths = (sizes.cum_sum() * parts // (total + 1)).rle().struct.field("len")
    return [range(start, end) for start, end in pairwise(accumulate(lengths, initial=0))]
