"""The call index over Parquet: the documents that people search, one per call leg."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import polars as pl
from prefect.blocks.core import Block
from prefect.types import SecretDict
from pydantic import Field

from blocks.catalog import Catalog, told
from blocks.errors import PermanentError

_FRAME = "documents"
_INSTANT = pl.Datetime("us", "UTC")

# One row per call leg; docs: reconcile.documents makes them.
DOCUMENT_SCHEMA = pl.Schema(
    [
        ("call_uid", pl.String()),
        ("business", pl.String()),
        ("site", pl.String()),
        ("dataset", pl.String()),
        ("day", pl.Date()),
        ("call_id", pl.String()),
        ("leg", pl.String()),
        ("started_at", _INSTANT),
        ("talk_seconds", pl.Float64()),
        ("extension", pl.String()),
        ("caller", pl.String()),
        ("callee", pl.String()),
        ("display_number", pl.String()),
        ("numbers", pl.List(pl.String())),
        ("attributes", pl.String()),
        ("notes", pl.String()),
        (
            "recordings",
            pl.List(
                pl.Struct(
                    {
                        "recording_id": pl.String(),
                        "key": pl.String(),
                        "path": pl.String(),
                        "container": pl.String(),
                        "codec": pl.String(),
                        "duration_ms": pl.Int64(),
                        "size": pl.Int64(),
                        "sha256": pl.String(),
                    }
                )
            ),
        ),
    ]
)
LINK_SCHEMA = pl.Schema([("call_uid", pl.String()), ("recording_id", pl.String())])
# One document that a call index refused, with its reason: what goes in is indexed or stands here.
REJECTED_SCHEMA = pl.Schema(
    [
        ("business", pl.String()),
        ("site", pl.String()),
        ("day", pl.Date()),
        ("call_uid", pl.String()),
        ("reason", pl.String()),
        ("document", pl.String()),
    ]
)
# What finds a document again, and what it is sorted by.
_HIT_SCHEMA = pl.Schema({name: DOCUMENT_SCHEMA[name] for name in ("call_uid", "business", "site", "day", "started_at")})
# A business day begins and ends at most this far from the day of the same name in UTC.
_ZONES = timedelta(days=1)


@dataclass(frozen=True)
class CallQuery:
    """What somebody looks for; a field that is None does not narrow the search.

    `number` is normalised (reconcile.numbers) and may be a part of a caller's, callee's or display number.
    `start` and `end` bound the start of the call: [start, end).
    """

    business: str | None = None
    site: str | None = None
    call_uid: str | None = None
    call_id: str | None = None
    number: str | None = None
    display_number: str | None = None
    extension: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    has_recording: bool | None = None
    limit: int = 100


@dataclass(frozen=True)
class Indexed:
    """What came of replacing a partition: whether anything changed, and the documents refused (`REJECTED_SCHEMA`)."""

    changed: bool
    rejected: pl.DataFrame


def of_partition(documents: pl.DataFrame, business: str, site: str, day: date) -> pl.DataFrame:
    """The documents with exactly the columns of `DOCUMENT_SCHEMA`, in order of call_uid.

    Raises:
        PermanentError: a column is missing or has another dtype, or a document belongs to another partition.
    """
    partition = f"{business}, {site}, {day}"
    with told("index calls", partition):
        rows = documents.match_to_schema(DOCUMENT_SCHEMA, extra_columns="ignore").sort("call_uid")
    is_ours = (pl.col("business") == business) & (pl.col("site") == site) & (pl.col("day") == day)
    strange = rows.filter(is_ours.not_().fill_null(value=True))
    if strange.height:
        raise PermanentError(
            operation="index calls",
            subject=partition,
            cause=f"{strange.height} of {rows.height} documents belong to another business, site or day",
            remedy="give each partition only its own documents",
        )
    return rows


class CatalogIndex(Block):
    """The call index of the embedded profile: Parquet files, nothing to start.

    Every verb may be called twice, at the same time and after kill -9, as those of Catalog.

    Attributes:
        url: Folder or fsspec URL below which the documents lie; the catalog's own is a good one.
        storage_options: What fsspec needs to reach it: keys, endpoint.

    Example:
        >>> index = CatalogIndex(url="/srv/voxkeep/catalog")
        >>> index.search(CallQuery(business="meituan", number="15372388463", limit=20))
    """

    _block_type_name = "Voxkeep call index"
    _block_type_slug = "voxkeep-call-index"

    url: str = Field(description="Folder or fsspec URL below which the documents lie.")
    storage_options: SecretDict | None = Field(
        default=None, description="Options of fsspec for this URL: keys, endpoint. A folder needs none."
    )

    def replace(
        self,
        business: str,
        site: str,
        day: date,
        documents: pl.DataFrame,
        *,
        anew: bool = False,  # noqa: ARG002  # the whole content is compared anyway
    ) -> Indexed:
        """Make `documents` (`DOCUMENT_SCHEMA`) all that the partition holds; none is ever rejected.

        `anew` is for indices that take what they hold for granted.

        Raises:
            PermanentError: a column is missing or has another dtype, or they cannot be written there.
        """
        rows = of_partition(documents, business, site, day)
        return Indexed(self._catalog().write(_FRAME, business, site, day, rows), REJECTED_SCHEMA.to_frame())

    def documents(self, business: str, site: str, day: date) -> pl.DataFrame:
        """All that the index holds of the partition (`DOCUMENT_SCHEMA`)."""
        return self._catalog().read(_FRAME, business, site, [day], DOCUMENT_SCHEMA)

    def links(self, business: str, site: str, days: Iterable[date]) -> pl.DataFrame:
        """call_uid and recording_id of each link of these days; null for a call without a recording."""
        with told("read the call index", f"{business}, {site}"):
            return (
                self._catalog()
                .scan(_FRAME, business, site, days, DOCUMENT_SCHEMA)
                .select("call_uid", pl.col("recordings").list.eval(pl.element().struct.field("recording_id")))
                .explode("recordings", empty_as_null=True)
                .rename({"recordings": "recording_id"})
                .sort("call_uid", "recording_id")
                .collect()
            )

    def search(self, query: CallQuery) -> pl.DataFrame:
        """The newest calls (`DOCUMENT_SCHEMA`) that fit, by started_at, newest first, then call_uid."""
        catalog = self._catalog()
        hits = _HIT_SCHEMA.to_frame()
        with told("search the call index", query.business or "all businesses"):
            for days in _batches(self._days(catalog, query)):
                if hits.height >= query.limit and _is_settled(hits, before=days[0]):
                    break
                hits = _newest(pl.concat([hits.lazy(), self._hits(catalog, query, days)]), query.limit).collect()
            return _newest(self._documents(catalog, hits), query.limit).collect()

    def _days(self, catalog: Catalog, query: CallQuery) -> list[date]:
        """The days that can hold what is looked for, newest first."""
        businesses = [query.business] if query.business else catalog.businesses()
        first = (query.start - _ZONES).date() if query.start else date.min
        last = (query.end + _ZONES).date() if query.end else date.max
        days = {day for business in businesses for day in catalog.days(_FRAME, business, query.site)}
        return sorted((day for day in days if first <= day <= last), reverse=True)

    def _hits(self, catalog: Catalog, query: CallQuery, days: list[date]) -> pl.LazyFrame:
        """Where the calls of these days that fit are (`_HIT_SCHEMA`): only the columns it takes are read."""
        businesses = [query.business] if query.business else catalog.businesses()
        scans = [catalog.scan(_FRAME, business, query.site, days, DOCUMENT_SCHEMA) for business in businesses]
        return pl.concat(scans).filter(*_conditions(query)).select(_HIT_SCHEMA.names())

    def _documents(self, catalog: Catalog, hits: pl.DataFrame) -> pl.LazyFrame:
        """The whole documents, read only from the partitions that hold them."""
        uids = hits["call_uid"].implode()
        scans = [
            catalog.scan(_FRAME, business, site, partition["day"], DOCUMENT_SCHEMA)
            for (business, site), partition in hits.group_by("business", "site")
        ]
        return pl.concat([DOCUMENT_SCHEMA.to_frame().lazy(), *scans]).filter(pl.col("call_uid").is_in(uids))

    def _catalog(self) -> Catalog:
        return Catalog(url=self.url, storage_options=self.storage_options)


def _conditions(query: CallQuery) -> list[pl.Expr]:
    """What a document must fulfil; nothing where the query does not say."""
    exact = {name: getattr(query, name) for name in ("call_uid", "call_id", "display_number", "extension")}
    conditions = [pl.col(name) == value for name, value in exact.items() if value is not None]
    if query.start is not None:
        conditions.append(pl.col("started_at") >= query.start)
    if query.end is not None:
        conditions.append(pl.col("started_at") < query.end)
    if query.number is not None:
        # Joined by what no number contains, so that a match never spans two of them.
        conditions.append(pl.col("numbers").list.join("\n").str.contains(query.number, literal=True))
    if query.has_recording is not None:
        conditions.append((pl.col("recordings").list.len() > 0) == query.has_recording)
    return conditions


def _newest(calls: pl.LazyFrame, limit: int) -> pl.LazyFrame:
    order = ["started_at", "call_uid"]
    return calls.sort(order, descending=[True, False], nulls_last=True).head(limit)


def _batches(days: list[date]) -> Iterator[list[date]]:
    """The days in batches that double, so that the newest calls are found without opening years of files."""
    start, size = 0, 1
    while start < len(days):
        yield days[start : start + size]
        start, size = start + size, size * 2


def _is_settled(hits: pl.DataFrame, before: date) -> bool:
    """Whether no call of the day `before`, or of an earlier one, can be newer than the oldest hit."""
    oldest = hits["started_at"][-1] if hits.height else None
    return oldest is not None and oldest >= datetime.combine(before, time(), UTC) + timedelta(days=1) + _ZONES
