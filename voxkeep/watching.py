"""`voxkeep watch`: the watcher as a program, which ends the batch that it is at when it is told to stop."""

import logging
import signal
from concurrent.futures import ThreadPoolExecutor
from threading import Event

from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

from flows.watch import log, watch_centre, watch_site
from voxkeep.console import show_our_lines


def run_watch(business: str, site: str | None) -> None:
    """Watch a site, or at the centre, until SIGTERM or SIGINT."""
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    show_our_lines(log)
    log.setLevel(logging.INFO)
    # In a thread of its own: in the main one Prefect would end a flow as soon as SIGTERM comes.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(_watch, business, site, stop).result()


def _watch(business: str, site: str | None, stop: Event) -> None:
    # A heartbeat is of runs that a worker may leave behind; its thread makes each a second longer.
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        if site:
            watch_site(business, site, stop)
        else:
            watch_centre(business, stop)
