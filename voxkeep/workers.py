"""Flows that the page asks for: run by Prefect's workers where the business has them, in this process where not."""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx
from prefect.deployments import run_deployment
from prefect.exceptions import PrefectException

from blocks.errors import TransientError
from blocks.progress import Progress
from voxkeep.audit_trail import known_businesses, save_log
from voxkeep.listen_settings import ListenSettings
from voxkeep.server import no_heartbeat

# So many at a time in this process; the others wait.
_AT_ONCE = 2


class Workers:
    """Starts flows for the page of this home, whose audit trail they write into."""

    def __init__(self, home: Path, settings: ListenSettings) -> None:
        self._home = home
        self._settings = settings
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="flow")

    def start(self, flow: str, parameters: dict[str, Any], progress: Progress) -> None:
        """Have the flow of a business run soon; how it goes on and ends, it tells by `progress`.

        Raises:
            TransientError: Prefect's server does not take it.
        """
        business = parameters["business"]
        if known_businesses(self._home)[business].schedules is None:
            self._threads.submit(self._run, flow, parameters).add_done_callback(partial(_tell_failure, progress))
            return
        self._reach_trail(business)
        try:
            run_deployment(f"{flow}/{business}", parameters=parameters, timeout=0, as_subflow=False)
        except (httpx.HTTPError, PrefectException) as error:
            raise TransientError(
                operation=f"start {flow}", subject=business, cause=type(error).__name__,
                remedy="look whether Prefect's server answers and `voxkeep apply` has made the deployment",
            ) from None  # fmt: skip

    def _run(self, flow: str, parameters: dict[str, Any]) -> None:
        """Run it here. If this process dies, so does the run; started again it goes on."""
        self._reach_trail(parameters["business"])
        with no_heartbeat():
            getattr(import_module(f"flows.{flow}"), flow)(**parameters)

    def _reach_trail(self, business: str) -> None:
        """Have the flow write into the page's own trail, whatever was applied."""
        save_log(self._home, self._settings, known_businesses(self._home), business)


def _tell_failure(progress: Progress, run: Future[None]) -> None:
    """Tell of a run that failed before it could tell anything itself."""
    told, error = progress.read(), run.exception()
    if error and told and told.state == "asked":
        progress.tell(replace(told, state="failed", error=str(error)))
