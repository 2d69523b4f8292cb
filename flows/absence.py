"""At a site without network: a disk that is not there is remembered, and a failure that is told only when it lasts."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from prefect import get_run_logger

from blocks.absence import forget_absence, remember_absence
from blocks.business import Business
from blocks.disk_label import require_disk
from blocks.errors import AbsentDiskError, TransientError
from blocks.notifier import Notifier
from blocks.saved import load

_TOLD = {
    "zh": ("{title}：{site} 的备份硬盘不在", "自 {since:%Y-%m-%d %H:%M} UTC 起没有备份硬盘，期间没有任何备份。{cause}"),
    "en": (
        "{title}: no disk at {site}",
        "Since {since:%Y-%m-%d %H:%M} UTC there is no disk, and no backup. {cause}",
    ),
}


def look_for_disk(settings: Business, site: str, now: datetime | None = None) -> None:
    """Require the site's disk, where it has one; its absence is remembered until it is back.

    Raises:
        AbsentDiskError: it is not there, which may be: disks are exchanged.
        TransientError: it has not been there for so long that people must be told; they were.
    """
    place = settings.sites[site]
    if place.disk is None:
        return
    try:
        require_disk(Path(place.disk), settings.business, site)
    except AbsentDiskError as error:
        now = now or datetime.now(UTC)
        since = remember_absence(Path(place.staging), now)
        lasts = now - since
        if lasts < timedelta(days=place.carry.absent_days):
            raise
        _tell(settings, site, since, error)
        raise TransientError(
            operation=error.operation,
            subject=error.subject,
            cause=f"{error.cause}; so it has been for {lasts.days} days, since {since:%Y-%m-%d %H:%M} UTC",
            remedy=error.remedy,
        ) from None
    forget_absence(Path(place.staging))


def _tell(settings: Business, site: str, since: datetime, error: AbsentDiskError) -> None:
    title, text = _TOLD["en" if settings.language == "en" else "zh"]
    said = {
        "title": settings.title, "site": settings.sites[site].title or site, "since": since,
        "cause": f"{error.subject}: {error.cause}.",
    }  # fmt: skip
    notifier = load(Notifier, settings.business)
    for delivery in notifier.resend() + notifier.send(title.format(**said), text.format(**said), "critical"):
        if not delivery.delivered:
            get_run_logger().error("not delivered by %s, kept to be sent again: %s", delivery.route, delivery.cause)
