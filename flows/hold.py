"""On demand: a legal hold is placed on a call, a number, a case or a range of days, or is withdrawn."""

from datetime import UTC, date, datetime
from typing import Any

import polars as pl
from prefect import flow
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from blocks.business import Business
from blocks.errors import PermanentError, SettingsError, TransientError
from blocks.lock import exclusive
from blocks.retained_store import RetainedStore
from blocks.saved import load
from flows.artifacts import show_done
from flows.centre import Centre, load_centre
from flows.days import each_with_neighbours, today
from flows.decisions import keep
from flows.subjects import belongings, known_days, repository_years
from reconcile.frames import HELD, HOLDS, INVENTORY
from reconcile.recordings import object_key
from reconcile.subjects import EVERY_SITE, Subject, active_holds, held_days, held_rows

LOCK = "retention"


class Asked(BaseModel):
    """Whose data is meant: one of call, number, attribute or the days `since` to `until`; of one site or of all."""

    model_config = ConfigDict(extra="forbid")

    # Secrets, so that Prefect's record of a run does not keep them.
    call: SecretStr | None = Field(None, description="Id of a call.")
    number: SecretStr | None = Field(None, description="Telephone number, however it is written, but whole.")
    attribute: SecretStr | None = Field(None, description="NAME=VALUE of any other column, e.g. case=K7.")
    site: str | None = Field(None, description="Only this site.")
    since: date | None = Field(None, description="First business day of a range.")
    until: date | None = Field(None, description="Last business day of a range.")

    def subject(self) -> Subject:
        """The one subject that is named.

        Raises:
            SettingsError: none is named, or several are.
            RuleError: it does not say whose data is meant.
        """
        is_range = self.since is not None or self.until is not None
        given = {"call": self.call, "number": self.number, "attribute": self.attribute}
        named = [(kind, text.get_secret_value()) for kind, text in given.items() if text is not None]
        if len(named) + is_range != 1:
            raise SettingsError(
                operation="find what belongs together",
                subject="call, number, attribute or range",
                cause="one of them must be given, and only one",
                remedy="name the narrowest that means all; several holds may overlap",
            )
        kind, text = named[0] if named else ("range", None)
        name, _, value = (text or "").partition("=") if kind == "attribute" else (None, "", text)
        site = self.site or EVERY_SITE
        return Subject(kind, value, name, site, self.since, self.until)  # type: ignore[arg-type]


@flow(name="hold", flow_run_name="hold {business}")
def hold(
    business: str, author: str, reason: str, subject: Asked | None = None, withdraw: str | None = None
) -> dict[str, Any]:
    """Place a legal hold on all that belongs to a subject, or withdraw the hold of this id.

    Every decision is kept. What is held stays, whatever the ceiling says, and nobody can erase it.
    """
    settings, now = load(Business, business), datetime.now(UTC)
    _refuse_nobody(business, author, reason)
    centres = [load_centre(settings, name) for name in settings.sites]
    with exclusive(settings.lock(LOCK), f"hold {business}"):
        known = read_holds(centres[0])
        decided = _decided(known, withdraw) if withdraw else _placed(settings, subject or Asked())
        decided |= {"day": today(now, centres[0].rules.time_zone), "decided_at": now}
        decided |= {"author": author.strip(), "reason": reason.strip()}
        remember(centres[0], pl.DataFrame([decided], schema=HOLDS.schema))
        held = {centre.site: refresh(centre, None) for centre in centres}
        _keep(centres, decided)
    done = {
        "hold": decided["hold_id"], "decision": decided["decision"], "kind": decided["kind"],
        "author": decided["author"], "reason": decided["reason"],
        "held": sum(rows.filter(pl.col("hold_id") == decided["hold_id"]).height for rows in held.values()),
    }  # fmt: skip
    show_done("hold", business, done)
    return done


def _keep(centres: list[Centre], decided: dict[str, Any]) -> None:
    """Copy the decision beside the backups; where that fails, it is in force all the same, and the error says so."""
    failed: dict[str, TransientError | PermanentError] = {}
    for centre in centres:
        try:
            keep(centre)
        except (TransientError, PermanentError) as error:
            failed[centre.name] = error
    for first in failed.values():
        raise type(first)(
            operation=f"copy a decision beside the backups of {', '.join(failed)}",
            subject=f"hold {decided['hold_id']}",
            cause=f"that it is {decided['decision']} is in force, but there only the catalog knows: {first.cause}",
            remedy=f"{first.remedy}; the next `voxkeep retention apply` copies it, too",
        ) from None


def _placed(settings: Business, asked: Asked) -> dict[str, Any]:
    _refuse_unknown_site(settings, asked.site)
    subject = asked.subject()
    return {
        "business": settings.business, "site": subject.site, "hold_id": subject.hold_id, "decision": "placed",
        "kind": subject.kind, "name": subject.name, "value": subject.value, "since": subject.since,
        "until": subject.until,
    }  # fmt: skip


def read_holds(centre: Centre) -> pl.DataFrame:
    """Every decision about holds of the business (HOLDS)."""
    return centre.catalog.read(HOLDS.name, centre.business.business, None, None, HOLDS.schema)


def remember(centre: Centre, decided: pl.DataFrame) -> None:
    """Keep one more decision."""
    row = decided.row(0, named=True)
    business, site, day = centre.business.business, row["site"], row["day"]
    known = centre.catalog.read(HOLDS.name, business, site, [day], HOLDS.schema)
    centre.catalog.write(HOLDS.name, business, site, day, pl.concat([known, decided]).sort("decided_at"))


def refresh(centre: Centre, days: list[date] | None) -> pl.DataFrame:
    """Bring HELD of the site's days (all, where not given) up to date with the holds; what is held on them.

    Neighbours are looked into, too, but not written: what is told of them is not all that is held there.
    """
    business = centre.business.business
    holds = [one for one in active_holds(read_holds(centre)) if one[1].of_site(centre.site)]
    around = None if days is None else each_with_neighbours(days)
    parts = [HELD.empty(), *(_held(centre, hold_id, subject, around) for hold_id, subject in holds)]
    held = pl.concat(parts).unique().sort("day", *list(HELD.columns)[3:], nulls_last=True)
    held = held if days is None else held.filter(pl.col("day").is_in(days))
    before = centre.days(HELD)
    for day in sorted({*held["day"], *(before if days is None else set(before).intersection(days))}):
        part = held.filter(pl.col("day") == day)
        was = centre.read(HELD, [day])
        if not was.equals(part):
            centre.catalog.write(HELD.name, business, centre.site, day, part)
            in_store(centre, day, was, part)
    return held


def _held(centre: Centre, hold_id: str, subject: Subject, days: list[date] | None) -> pl.DataFrame:
    business = centre.business.business
    if subject.since and subject.until:
        wanted = known_days(centre) if days is None else days
        inside = [day for day in wanted if subject.since <= day <= subject.until]
        return held_days(centre.site, inside, business, hold_id, repository_years(centre, inside))
    found = belongings(centre, subject, days)
    return held_rows(found, business, hold_id, repository_years(centre, found.days()))


def held_recordings(centre: Centre, day: date, held: pl.DataFrame) -> pl.DataFrame:
    """The recordings (INVENTORY) of the day that are held."""
    inventory = centre.read(INVENTORY, [day])
    names = pl.col("call_uid", "note_uid", "recording_id")
    is_whole = held.filter(pl.all_horizontal(names.is_null())).height > 0
    return inventory if is_whole else inventory.join(held, on="recording_id", how="semi")


def in_store(centre: Centre, day: date, was: pl.DataFrame, now: pl.DataFrame) -> None:
    """Put the store's own hold on what is held now, and take it off what is no more; where the store has any."""
    store = load(RetainedStore, centre.business.business)
    if not store.lock_days:
        return
    there = centre.store.listing(f"{day}/")["key"].implode()
    before, after = (
        held_recordings(centre, day, rows).select(object_key().alias("key")).drop_nulls() for rows in (was, now)
    )
    for some, others, on in ((after, before, True), (before, after, False)):
        keys = some.join(others, on="key", how="anti").filter(pl.col("key").is_in(there))
        store.hold(keys["key"].to_list(), on=on)


def _decided(known: pl.DataFrame, hold_id: str) -> dict[str, Any]:
    """The decision that withdraws this hold."""
    ours = known.filter(pl.col("hold_id") == hold_id).sort("decided_at")
    if ours.is_empty():
        raise SettingsError(
            operation="withdraw a hold",
            subject=hold_id,
            cause="there is no hold of this id",
            remedy="take the id from `voxkeep retention preview`",
        )
    return ours.row(-1, named=True) | {"decision": "withdrawn"}


def _refuse_nobody(business: str, author: str, reason: str) -> None:
    if not (author.strip() and reason.strip()):
        raise SettingsError(
            operation="decide about a hold",
            subject=business,
            cause="nobody or nothing stands behind it",
            remedy="say who decides and why: an auditor will read both",
        )


def _refuse_unknown_site(settings: Business, site: str | None) -> None:
    if site is not None and site not in settings.sites:
        raise SettingsError(
            operation="place a hold",
            subject=f"site {site}",
            cause=f"{settings.business} has the sites {', '.join(settings.sites)}",
            remedy="name one of them, or none for all",
        )
