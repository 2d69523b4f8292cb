"""Dead-man pings: somebody else is told that a run began and how it ended, and alarms when nothing comes.

The protocol is that of Healthchecks: https://healthchecks.io/docs/http_api/.
"""

import logging
from typing import Literal

import requests
from prefect.types import SecretDict
from pydantic import Field

from blocks.errors import TransientError
from blocks.saved_block import SavedBlock

Stage = Literal["backup", "ingest", "reconcile"]
# Nobody waits for a ping.
_PATIENCE_SECONDS = 5.0

# What requests stands on logs the addresses it posts to, which hold tokens.
logging.getLogger("urllib3.connectionpool").addFilter(lambda record: record.levelno > logging.DEBUG)


class Pings(SavedBlock):
    """The addresses that are pinged of one site of one business.

    Attributes:
        urls: Stage (backup, ingest, reconcile) to the URL of its check; the URL is a secret.

    Example:
        >>> Pings(urls={"backup": "https://hc-ping.com/0b3…"}).ping("backup", "/fail", "the disk is full")
    """

    _block_type_name = "Voxkeep pings"
    _block_type_slug = "voxkeep-pings"

    urls: SecretDict = Field(description="Stage: URL of its check, e.g. https://hc-ping.com/….")

    def ping(self, stage: Stage, what: Literal["", "/start", "/fail"], words: str = "") -> None:
        """Tell that the stage began (`/start`), succeeded, or failed (`/fail`) with these words.

        A stage without a URL tells nobody.

        Raises:
            TransientError: it was not taken; its text holds nothing of the URL.
        """
        url = self.urls.get_secret_value().get(stage)
        if url is None:
            return
        try:
            answer = requests.post(f"{str(url).rstrip('/')}{what}", data=words.encode(), timeout=_PATIENCE_SECONDS)
            cause = "" if answer.ok else f"it answers {answer.status_code}"
        except (requests.RequestException, ValueError) as error:
            cause = type(error).__name__
        if cause:
            raise TransientError(
                operation="ping", subject=f"the check of {stage}", cause=cause,
                remedy="see that its service answers and that the URL in `pings` is right",
            )  # fmt: skip
