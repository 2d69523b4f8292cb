"""The call index over Parquet: the documents that people search, one per call leg."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import polars as pl
from prefect.types import SecretDict
from pydantic import Field

from blocks.catalog import Catalog, Layout, Partition, opened, told
from blocks.errors import PermanentError
from blocks.hits import Hit, best
from blocks.hot import Hot
from blocks.lines import lines_in, packed, read_lines
from blocks.narrow import NO_START, Narrow, Rows, Wanted, instant, narrow, wanted
from blocks.query import CallQuery, Found, newest, page_of
from blocks.saved_block import SavedBlock
from blocks.searchable import DERIVED_SCHEMA, OWN, conditions, derived

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
# A document as a line of JSON.
_LINE_SCHEMA = pl.Schema(
    {name: {"day": pl.Int32(), "started_at": pl.Int64()}.get(name, dtype) for name, dtype in DOCUMENT_SCHEMA.items()}
)
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


class CatalogIndex(SavedBlock):
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
        changed = self._catalog().write(
            _FRAME, business, site, day, kept, layout=Layout(_GROUP, packed(kept.select(_line())["line"].to_list()))
        )
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
        catalog, asked = self._catalog(), wanted(query)
        hits: list[Hit] = []
        fitting = 0
        with told("search the call index", self.url):
            days = self._days(catalog, query)
            for batch in _batches(sorted(days, reverse=True)):
                is_counted = fitting > query.count_to
                if is_counted and len(hits) > query.limit and _is_settled(hits[-1], before=batch[0]):
                    break
                # What is counted already need not be seen on the way to a later page.
                unseen = [day for day in batch if not (is_counted and _is_seen(day, query))]
                looked_at = [
                    one
                    for one in catalog.partitions_of(_FRAME, [(name, day) for day in unseen for name in days[day]])
                    if query.sites is None or one.site in query.sites
                ]
                held = _HOT.get(looked_at, lambda one: _narrow(catalog, one))
                rows = _fitting(held, asked, query)
                fitting += sum(map(len, rows))
                hits = best(hits, list(zip(looked_at, held, rows, strict=True)), query)
            documents = _documents(catalog, hits[: query.limit])
        return page_of(documents, query, fitting, goes_on=len(hits) > query.limit)

    def _days(self, catalog: Catalog, query: CallQuery) -> dict[date, list[str]]:
        """The days that can hold what is looked for, with the businesses that have them."""
        businesses = catalog.businesses() if query.businesses is None else query.businesses
        first = (query.start - _ZONES).date() if query.start else date.min
        last = (query.end + _ZONES).date() if query.end else date.max
        found: dict[date, list[str]] = {}
        for business in dict.fromkeys(businesses):
            for day in catalog.days_of(_FRAME, business):
                if first <= day <= last:
                    found.setdefault(day, []).append(business)
        return found

    def _catalog(self) -> Catalog:
        return Catalog(url=self.url, storage_options=self.storage_options)


def _line() -> pl.Expr:
    """A document as a line of JSON (`_LINE_SCHEMA`)."""
    day, started_at = pl.col("day").cast(pl.Int32), pl.col("started_at").dt.timestamp("us")
    plain = (name for name in DOCUMENT_SCHEMA.names() if name not in {"day", "started_at"})
    return pl.struct(*plain, day, started_at).struct.json_encode().alias("line")


def _narrow(catalog: Catalog, partition: Partition) -> Narrow:
    """What searches look at of a partition; of an older file, it is made now."""
    rows = catalog.open([partition], _NARROW_SCHEMA).collect()
    if rows.height and rows["number_lines"].null_count() == rows.height:
        documents = catalog.open([partition], DOCUMENT_SCHEMA).collect()
        rows = pl.concat([documents.select(OWN), derived(documents)], how="horizontal")
    with opened(partition) as handle:
        return narrow(rows, lines_in(handle) if handle is not None else None)


def _fitting(held: list[Narrow], asked: Wanted, query: CallQuery) -> list[Rows]:
    """The calls of each partition that fit."""
    found, must = [one.fitting(asked) for one in held], conditions(query)
    if not must or not any(map(len, found)):
        return found
    needed = list(dict.fromkeys(name for one in must for name in one.meta.root_names())) or ["call_uid"]
    texts = pl.concat(one.texts_of(rows, needed) for one, rows in zip(held, found, strict=True) if len(rows))
    # Not `select`: where nothing of the columns is asked for, its answer has one row, or one a piece of the texts.
    fits = texts.with_columns(pl.all_horizontal(must).fill_null(value=False).alias("fits"))["fits"].to_numpy()
    parts = np.split(fits, np.cumsum([len(rows) for rows in found])[:-1])
    return [rows[part] for rows, part in zip(found, parts, strict=True)]


def _documents(catalog: Catalog, hits: list[Hit]) -> pl.DataFrame:
    """The whole documents, in order, read only from the partitions that hold them."""
    lines: list[str] = []
    found = []
    for partition, part in _by_partition(hits):
        with opened(partition) as handle:
            known = part[0].narrow.lines
            if handle is not None and known is not None:
                lines += read_lines(handle, known, sorted(hit.row for hit in part))
            else:
                wanted_here = catalog.open([partition], DOCUMENT_SCHEMA).filter(_is_one_of(part))
                found.append(wanted_here.collect())
    read = pl.Series("line", lines, dtype=pl.String).str.json_decode(pl.Struct(_LINE_SCHEMA)).struct.unnest()
    documents = read.with_columns(
        pl.col("day").cast(pl.Date), pl.col("started_at").cast(DOCUMENT_SCHEMA["started_at"])
    ).select(DOCUMENT_SCHEMA.names())
    return newest(pl.concat([documents, *found]).lazy(), len(hits)).collect()


def _by_partition(hits: list[Hit]) -> Iterator[tuple[Partition, list[Hit]]]:
    found: dict[str, list[Hit]] = {}
    for hit in hits:
        found.setdefault(hit.partition.path, []).append(hit)
    return ((part[0].partition, part) for part in found.values())


def _is_one_of(hits: list[Hit]) -> pl.Expr:
    """Whether a document is one of these; said so that groups of rows of other times are not read."""
    is_wanted = pl.col("call_uid").is_in([hit.call_uid for hit in hits])
    instant = DOCUMENT_SCHEMA["started_at"]
    starts = sorted({hit.start for hit in hits})
    if starts[0] == NO_START:
        return is_wanted
    # Polars compares each time of a list with each group: of many, that takes longer than reading does.
    if len(starts) <= _FEW:
        return pl.col("started_at").is_in(pl.Series(starts).cast(instant).to_list()) & is_wanted
    first, last = (pl.lit(start).cast(instant) for start in (starts[0], starts[-1]))
    return pl.col("started_at").is_between(first, last) & is_wanted


def _batches(days: list[date]) -> Iterator[list[date]]:
    """The days in batches that grow, so that the newest calls are found without looking at years."""
    start, size = 0, 1
    while start < len(days):
        yield days[start : start + size]
        start, size = start + size, size * 4


def _is_seen(day: date, query: CallQuery) -> bool:
    """Whether every call of the day comes before the place where the page begins."""
    started_at = query.after[0] if query.after else None
    return started_at is not None and datetime.combine(day, time(), UTC) - _ZONES > started_at


def _is_settled(last: Hit, before: date) -> bool:
    """Whether no call of the day `before`, or of an earlier one, can be newer than the last hit."""
    return last.start >= instant(datetime.combine(before, time(), UTC) + timedelta(days=1) + _ZONES)
