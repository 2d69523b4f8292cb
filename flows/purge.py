"""On demand: the signed list of recordings that a source may delete, because the centre has them and proved it."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE

from blocks.business import Business
from blocks.errors import SettingsError
from blocks.saved import load
from blocks.signing import Signer
from flows.artifacts import show_done
from flows.centre import Centre, load_centre
from flows.certify import write_whole
from flows.days import today
from flows.errors import at
from flows.recovery import kept_snapshots
from reconcile.frames import FINDINGS, INVENTORY, PURGED, RESTORED, SNAPSHOT_FILES
from reconcile.purge import Kept, Terms, may_go
from reconcile.purge import purge_list as written_list

# A list is carried out within so many days, or made anew: what it says was true when it was signed.
VALID_DAYS = 7


@flow(name="purge-list", flow_run_name="purge-list {business}/{site}")
def purge_list(business: str, site: str, since: date | None = None) -> dict[str, Any]:
    """List and sign what the site may delete, of the business days from `since` on (all, where not given).

    Only what is older than `purge_after_days`, in a snapshot, restored and proved, in the object store with all its
    bytes, and free of serious findings. Nothing is deleted here.
    """
    settings = load(Business, business)
    now = datetime.now(UTC)
    with at(f"{business}/{site}"):
        centre = load_centre(settings, site)
        signer = _signer(business)
        until = today(now, centre.rules.time_zone) - timedelta(days=settings.purge_after_days)
        days = [day for day in centre.days(INVENTORY) if (since or day) <= day <= until]
        recordings = choose(centre, days, until)
        done = {
            "business": business, "site": site, "until": until.isoformat(), "recordings": recordings.height,
            "bytes": int(recordings["size"].sum()), "list": None,
        }  # fmt: skip
        if recordings.height:
            terms = Terms(business, site, settings.sites[site].staging, now, now + timedelta(days=VALID_DAYS))
            content = written_list(terms, recordings)
            folder = settings.reports() / "purge" / f"{site}--issued-{now:%Y%m%dT%H%M%SZ}"
            signed = {
                "list.json": content,
                "list.json.sig": signer.sign(content),
                "public-key.pem": signer.public_key(),
            }
            done |= {"list": str(write_whole(folder, signed) / "list.json"), "expires": terms.expires_at.isoformat()}
    show_done("purge-list", centre.name, done)
    return done


@task(name="choose what may go", cache_policy=NO_CACHE)
def choose(centre: Centre, days: list[date], until: date) -> pl.DataFrame:
    """The recordings (INVENTORY) of these days that the source may delete."""
    snapshots = kept_snapshots(centre)["snapshot_id"].to_list()
    parts = [INVENTORY.empty()]
    for day in days:
        inventory, purged = centre.read(INVENTORY, [day]), centre.read(PURGED, [day])
        if inventory.join(purged, on="recording_id", how="anti").is_empty():
            continue
        kept = Kept(
            inventory=inventory,
            held=centre.read(SNAPSHOT_FILES, [day]),
            restored=centre.read(RESTORED, [day]),
            listing=centre.store.listing(f"{day}/"),
            findings=centre.read(FINDINGS, [day]),
            purged=purged,
            snapshots=snapshots,
        )
        parts.append(may_go(kept, until))
        stays = inventory.height - purged.height - parts[-1].height
        get_run_logger().info("%s: %s: %d may go, %d stay", centre.name, day, parts[-1].height, stays)
    return pl.concat(parts)


def _signer(business: str) -> Signer:
    try:
        return load(Signer, business)
    except SettingsError:
        raise SettingsError(
            operation="sign a purge list",
            subject=business,
            cause="there is no key to sign it with",
            remedy="make one with `openssl genpkey -algorithm ed25519 -out key.pem`, name it in the settings as "
            "`certificate_key`, and apply them",
        ) from None
