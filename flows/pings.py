"""Runs that tell a dead man's switch how they go; a ping that fails is told, and breaks nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from prefect import get_run_logger

from blocks.business import Business
from blocks.errors import SettingsError, TransientError
from blocks.pings import Pings, Stage
from blocks.saved import load


@contextmanager
def pinged(business: Business, site: str, stage: Stage) -> Iterator[None]:
    """Ping the site's check of this stage when the body begins, and when it has succeeded or failed."""
    if stage not in business.sites[site].pings:
        yield
        return
    place = (business.business, site)
    _ping(place, stage, "/start")
    try:
        yield
    except BaseException as error:
        _ping(place, stage, "/fail", str(error))
        raise
    _ping(place, stage, "")


def _ping(place: tuple[str, str], stage: Stage, what: Literal["", "/start", "/fail"], words: str = "") -> None:
    try:
        load(Pings, "--".join(place)).ping(stage, what, words)
    except (SettingsError, TransientError) as error:
        get_run_logger().warning("%s: %s", "/".join(place), error)
