"""The call index over Parquet: the documents that people search, one per call leg."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import polars as pl
from prefect.blocks.core import Block
from prefect.types import SecretDict
from pydantic import Field

from blocks.catalog import Catalog, Partition, told
from blocks.errors import PermanentError
from blocks.hot import Hot
from blocks.narrow import hashes_of, narrow
from blocks.query import CallQuery, Found, newest, page_of
from blocks.searchable import DERIVED_SCHEMA, OWN, after, conditions, derived

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
                        "state": pl.String(),
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
# What a search looks at.
_NARROW_SCHEMA = pl.Schema({name: DOCUMENT_SCHEMA[name] for name in OWN} | dict(DERIVED_SCHEMA))
_HOT = Hot()
# What finds a document again, and what it is sorted by.
_HIT_SCHEMA = pl.Schema({name: DOCUMENT_SCHEMA[name] for name in ("call_uid", "business", "site", "day", "started_at")})
# Documents that are read at a time, where few are wanted.
_GROUP = 512
_FEW = 4
# A business day begins and ends at most this far from the day of the same name in UTC.
_ZONES = timedelta(days=1)


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
        >>> index.search(CallQuery(businesses=("meituan",), number="15372388463", limit=20))
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
        # In the order of time, so that what stands on one page is read together.
        kept = pl.concat([rows, derived(rows)], how="horizontal").sort("started_at", "call_uid")
        changed = self._catalog().write(_FRAME, business, site, day, kept, group=_GROUP)
        return Indexed(changed, REJECTED_SCHEMA.to_frame())

    def update(self, business: str, site: str, day: date, documents: pl.DataFrame) -> Indexed:
        """Make `documents` (`DOCUMENT_SCHEMA`) what the partition holds of their calls; the others stay as they are.

        Raises:
            PermanentError: as `replace`.
        """
        rows = of_partition(documents, business, site, day)
        others = self.documents(business, site, day).join(rows, on="call_uid", how="anti")
        return self.replace(business, site, day, pl.concat([others, rows]))

    def documents(self, business: str, site: str, day: date) -> pl.DataFrame:
        """All that the index holds of the partition (`DOCUMENT_SCHEMA`)."""
        return self._catalog().read(_FRAME, business, site, [day], DOCUMENT_SCHEMA).sort("call_uid")

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

    def search(self, query: CallQuery) -> Found:
        """The page of calls that the query asks for; its count ends as soon as it is known to be too many."""
        catalog = self._catalog()
        hits, fitting = _HIT_SCHEMA.to_frame(), 0
        with told("search the call index", self.url):
            partitions = self._partitions(catalog, query)
            for batch in _batches(sorted({one.day for one in partitions}, reverse=True)):
                is_counted = fitting > query.count_to
                if is_counted and hits.height > query.limit and _is_settled(hits, before=batch[0]):
                    break
                # What is counted already need not be seen on the way to a later page.
                looked_at = [
                    one for one in partitions if one.day in batch and not (is_counted and _is_seen(one, query))
                ]
                fits = self._fitting(catalog, query, looked_at)
                fitting += fits.height
                hits = newest(pl.concat([hits, fits.filter(after(query))]).lazy(), query.limit + 1).collect()
            documents = self._documents(catalog, hits.head(query.limit), partitions)
        return page_of(documents, query, fitting, goes_on=hits.height > query.limit)

    def _partitions(self, catalog: Catalog, query: CallQuery) -> list[Partition]:
        """The partitions that can hold what is looked for."""
        businesses = catalog.businesses() if query.businesses is None else query.businesses
        first = (query.start - _ZONES).date() if query.start else date.min
        last = (query.end + _ZONES).date() if query.end else date.max
        return [
            one
            for business in dict.fromkeys(businesses)
            for one in catalog.partitions(_FRAME, business, first, last)
            if query.sites is None or one.site in query.sites
        ]

    def _fitting(self, catalog: Catalog, query: CallQuery, partitions: Sequence[Partition]) -> pl.DataFrame:
        """Where the calls of these partitions that fit are (`_HIT_SCHEMA`)."""
        must = conditions(query)
        needed = list(dict.fromkeys([*_HIT_SCHEMA, *(name for one in must for name in one.meta.root_names())]))
        held = _HOT.get(partitions, lambda one: narrow(_columns(catalog, one)))
        wanted = hashes_of(query.attributes)
        calls = [having for one in held if (having := one.having(wanted)).height]
        looked_at = pl.concat([_NARROW_SCHEMA.to_frame().select(needed), *(one[needed] for one in calls)])
        return looked_at.lazy().filter(*must).select(_HIT_SCHEMA.names()).collect()

    def _documents(self, catalog: Catalog, hits: pl.DataFrame, partitions: Sequence[Partition]) -> pl.DataFrame:
        """The whole documents, in order, read only from the partitions that hold them."""
        wanted = {keys: _is_one_of(part) for keys, part in hits.group_by("business", "site", "day")}
        found = [
            catalog.open([one], DOCUMENT_SCHEMA).filter(wanted[keys])
            for one in partitions
            if (keys := (one.business, one.site, one.day)) in wanted
        ]
        return newest(pl.concat([DOCUMENT_SCHEMA.to_frame().lazy(), *found]), hits.height).collect()

    def _catalog(self) -> Catalog:
        return Catalog(url=self.url, storage_options=self.storage_options)


def _columns(catalog: Catalog, partition: Partition) -> pl.DataFrame:
    """The columns of a partition that searches look at; of an older file, they are made now."""
    rows = catalog.open([partition], _NARROW_SCHEMA).collect()
    if rows.height and rows["number_lines"].null_count() == rows.height:
        documents = catalog.open([partition], DOCUMENT_SCHEMA).collect()
        rows = pl.concat([documents.select(OWN), derived(documents)], how="horizontal")
    return rows


def _is_one_of(hits: pl.DataFrame) -> pl.Expr:
    """Whether a document is one of these; said so that groups of rows of other times are not read."""
    is_wanted, starts = pl.col("call_uid").is_in(hits["call_uid"].implode()), hits["started_at"]
    if starts.null_count():
        return is_wanted
    # Polars compares each time of a list with each group: of many, that takes longer than reading does.
    if hits.height <= _FEW:
        return pl.col("started_at").is_in(starts.to_list()) & is_wanted
    return pl.col("started_at").is_between(pl.lit(starts.min()), pl.lit(starts.max())) & is_wanted


def _batches(days: list[date]) -> Iterator[list[date]]:
    """The days in batches that grow, so that the newest calls are found without looking at years."""
    start, size = 0, 1
    while start < len(days):
        yield days[start : start + size]
        start, size = start + size, size * 4


def _is_seen(partition: Partition, query: CallQuery) -> bool:
    """Whether every call of the partition comes before the place where the page begins."""
    started_at = query.after[0] if query.after else None
    return started_at is not None and datetime.combine(partition.day, time(), UTC) - _ZONES > started_at


def _is_settled(hits: pl.DataFrame, before: date) -> bool:
    """Whether no call of the day `before`, or of an earlier one, can be newer than the oldest hit."""
    oldest = hits["started_at"][-1] if hits.height else None
    return oldest is not None and oldest >= datetime.combine(before, time(), UTC) + timedelta(days=1) + _ZONES
