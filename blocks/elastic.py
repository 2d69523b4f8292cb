"""The call index in Elasticsearch: the same verbs and answers as CatalogIndex, for many calls and many readers."""

import re
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import date
from functools import partial
from typing import Any

import httpx
import polars as pl
from pydantic import Field, SecretStr

from blocks.elastic_bulk import Bulk, requests_of
from blocks.elastic_documents import (
    MAPPING,
    ORDER,
    READ,
    decoded,
    document_of,
    encoded,
    filters,
    in_partition,
    sort_values,
)
from blocks.elastic_server import Server, part
from blocks.errors import PermanentError
from blocks.index import LINK_SCHEMA, REJECTED_SCHEMA, Indexed, of_partition
from blocks.query import CallQuery, Found, page_of
from blocks.saved_block import SavedBlock
from blocks.step import Action, Step

# Documents that are encoded together, for each pattern is compiled anew for them; and how many are so at first.
_ENCODED, _FIRST = 8192, 1024
# Hits of a page: of whole documents, and of what is only ids.
_PAGE, _LONG_PAGE = 1000, 10_000
# So many indices are named in an address; of more, all are asked.
_NAMED = 20
_HELD_SCHEMA = pl.Schema({"call_uid": pl.String, "index": pl.String, "content": pl.String})
_SETTINGS = {
    "index": {
        "number_of_shards": "1",
        "auto_expand_replicas": "0-1",
        # Every change is followed by a refresh of its own.
        "refresh_interval": "30s",
        # In the order of every answer, so that its first page is found without looking at the rest.
        "sort": {"field": ["started_us", "call_uid"], "order": ["desc", "asc"]},
    }
}


class ElasticIndex(SavedBlock):
    """The call index of a cluster: an index a month, all behind one alias for each business.

    Every verb may be called twice, at the same time and after kill -9. A call is in the index once: replacing the day
    that it moved to takes it out of the day that it was in.

    Attributes:
        url: URL of Elasticsearch.
        user: User, where it asks for one.
        password: Password of the user.
        api_key: API key, instead of user and password.
        ca_file: Certificate authority of the service, where it is not one that the machine knows.
        connections: Requests at the same time.
        timeout_seconds: How long one request may take.
        patience_seconds: How long a server that is too busy is asked again.

    Example:
        >>> index = ElasticIndex(url="https://elastic:9200", user="voxkeep", password="…", ca_file="/etc/ssl/ca.pem")
        >>> index.search(CallQuery(businesses=("meituan",), number="15372388463", limit=20))
    """

    _block_type_name = "Voxkeep Elasticsearch index"
    _block_type_slug = "voxkeep-elastic-index"

    url: str = Field(description="URL of Elasticsearch, e.g. https://elastic:9200.", pattern="^https?://[^@]+$")
    user: str | None = Field(default=None, description="User, where it asks for one.")
    password: SecretStr | None = Field(default=None, description="Password of the user.")
    api_key: SecretStr | None = Field(default=None, description="API key, instead of user and password.")
    ca_file: str | None = Field(default=None, description="File with the certificate authority of the service.")
    connections: int = Field(default=4, ge=1, description="Requests at the same time.")
    timeout_seconds: float = Field(default=60, gt=0, description="How long one request may take, in seconds.")
    patience_seconds: float = Field(
        default=120, ge=0, description="How long a server that is too busy is asked again, in seconds."
    )

    def prepare(self, business: str) -> list[Step]:
        """What is to be done so that every index of the business is typed and behind its alias.

        Raises:
            TransientError: Elasticsearch does not answer.
            SettingsError: it does not accept the credentials or the certificate.
        """
        alias = _alias(business)
        server = self._server()
        known = server.ask("GET", f"_index_template/{part(alias)}", absent=True).get("index_templates", [])
        outside = [name for name, held in self._indices(server, business).items() if alias not in held["aliases"]]
        found = known[0]["index_template"] if known else None
        wanted = _template(business)
        differs = found is None or any(found.get(name) != value for name, value in wanted.items())
        action: Action = "create" if found is None else "change" if differs else "unchanged"
        return [
            Step(f"index template {alias}", action, partial(self._put_template, business)),
            Step(
                f"index alias {alias}", "change" if outside else "unchanged", partial(self._put_alias, alias, outside)
            ),
        ]

    def replace(self, business: str, site: str, day: date, documents: pl.DataFrame, *, anew: bool = False) -> Indexed:
        """Make `documents` (`DOCUMENT_SCHEMA`) all that the partition holds; only what differs is written.

        A document that Elasticsearch refuses is rejected, and an older version of it is taken out.
        `anew`: write also what the index says it holds already.

        Raises:
            PermanentError: a column is missing or has another dtype, or Elasticsearch refuses everything.
            SettingsError: it does not accept the credentials or the certificate.
            TransientError: it does not answer, or was too busy for too long. The same again does the rest.
        """
        rows = of_partition(documents, business, site, day)
        index = f"{_alias(business)}-{day:%Y.%m}"
        server = self._server()
        # What a killed run has written is seen, too.
        server.ask("POST", f"{part(_alias(business))}/_refresh", ignore_unavailable="true")
        held = _held(server, _alias(business), in_partition(business, site, [day]))
        if rows.height:
            self._create(server, business, index)
        written, rejected = self._write(server, index, rows, held.clear() if anew else held)
        moved = self._moved(server, business, index, written)
        gone = held.filter(pl.col("call_uid").is_in(rows["call_uid"].implode()).not_())
        refused = held.join(rejected, on="call_uid", how="semi")
        unwanted = pl.concat([gone, refused, moved])
        self._delete(server, business, unwanted)
        changed = len(written) + unwanted.height > 0
        if changed:
            server.ask("POST", f"{part(_alias(business))}/_refresh")
        return Indexed(changed, rejected)

    def update(self, business: str, site: str, day: date, documents: pl.DataFrame) -> Indexed:
        """Make `documents` (`DOCUMENT_SCHEMA`) what the partition holds of their calls; the others stay as they are.

        Raises:
            As `replace`.
        """
        rows = of_partition(documents, business, site, day)
        if rows.is_empty():
            return Indexed(changed=False, rejected=REJECTED_SCHEMA.to_frame())
        index = f"{_alias(business)}-{day:%Y.%m}"
        server = self._server()
        self._create(server, business, index)
        written, rejected = self._write(server, index, rows, _HELD_SCHEMA.to_frame())
        older = [_held(server, index, [_is_one_of(uids)]) for uids in _portions(rejected["call_uid"].to_list())]
        self._delete(server, business, pl.concat([self._moved(server, business, index, written), *older]))
        server.ask("POST", f"{part(_alias(business))}/_refresh")
        return Indexed(changed=True, rejected=rejected)

    def documents(self, business: str, site: str, day: date) -> pl.DataFrame:
        """All that the index holds of the partition (`DOCUMENT_SCHEMA`)."""
        server = self._server()
        hits = server.hits(_alias(business), _whole(in_partition(business, site, [day])), _PAGE)
        return decoded([hit["_source"] for hit in hits]).sort("call_uid")

    def links(self, business: str, site: str, days: Iterable[date]) -> pl.DataFrame:
        """call_uid and recording_id of each link of these days; null for a call without a recording."""
        search = _narrow(in_partition(business, site, list(days)), "call_uid", "recordings.recording_id")
        server = self._server()
        fields = [hit["fields"] for hit in server.hits(_alias(business), search, _LONG_PAGE)]
        rows = [
            (found["call_uid"][0], recording)
            for found in fields
            for recording in found.get("recordings.recording_id", [None])
        ]
        return pl.DataFrame(rows, schema=LINK_SCHEMA, orient="row").sort("call_uid", "recording_id")

    def search(self, query: CallQuery) -> Found:
        """The page of calls that the query asks for."""
        wanted = _whole(filters(query)) | {"sort": ORDER, "track_total_hits": query.count_to + 1}
        if query.after is not None:
            wanted["search_after"] = sort_values(query.after)
        server = self._server()
        found, fitting = server.first_hits(_aliases(query), wanted, query.limit + 1)
        page = decoded([hit["_source"] for hit in found[: query.limit]])
        return page_of(page, query, fitting, goes_on=len(found) > query.limit)

    def _write(
        self, server: Server, index: str, rows: pl.DataFrame, held: pl.DataFrame
    ) -> tuple[list[str], pl.DataFrame]:
        """Write the rows that are not held so; call_uid of each that is new, and what was refused."""
        bulk = Bulk(server, index, time.monotonic() + self.patience_seconds)
        done, running = [], deque[Future[tuple[list[str], pl.DataFrame]]]()
        with ThreadPoolExecutor(self.connections) as pool:
            # Nearly in the order of the index, which has then little to sort.
            for fresh in _fresh(rows.sort("started_at", "call_uid", descending=[True, False], nulls_last=True), held):
                running.append(pool.submit(_write_part, bulk, fresh))
                # Encoding is quicker than writing: it waits, or the lines of the whole partition would be in memory.
                if len(running) == 2 * self.connections:
                    done.append(running.popleft().result())
            done += [writing.result() for writing in running]
        written = [uid for uids, _ in done for uid in uids]
        return written, pl.concat([REJECTED_SCHEMA.to_frame(), *(rejected for _, rejected in done)])

    def _delete(self, server: Server, business: str, unwanted: pl.DataFrame) -> None:
        """Take out these documents (call_uid, index)."""
        target = pl.struct(pl.col("index").alias("_index"), pl.col("call_uid").alias("_id")).struct.json_encode()
        items = unwanted.select(pl.concat_str(pl.lit('{"delete":'), target, pl.lit("}\n")).alias("item"))["item"]
        refused = Bulk(server, _alias(business), time.monotonic() + self.patience_seconds).write(items)
        if refused:
            raise PermanentError(
                operation=f"take documents out of the call index of {business}",
                subject=f"{len(refused)} documents",
                cause=next(iter(refused.values())),
                remedy="check that voxkeep's user may delete there, and that the index is not read-only",
            )

    def _create(self, server: Server, business: str, index: str) -> None:
        """Make the month's index; somebody may do so at the same time."""
        if server.send("HEAD", part(index))[0] == httpx.codes.OK:
            return
        status, answer = server.send("PUT", part(index), _template(business)["template"])
        if status >= httpx.codes.BAD_REQUEST and _error_type(answer) != "resource_already_exists_exception":
            raise server.refusal(f"PUT {index}", status, answer)

    def _moved(self, server: Server, business: str, index: str, written: list[str]) -> pl.DataFrame:
        """These calls as other months hold them, from which they have moved."""
        others = [name for name in self._indices(server, business) if name != index]
        found = [_held(server, other, [_is_one_of(uids)]) for other in others for uids in _portions(written)]
        return pl.concat([_HELD_SCHEMA.to_frame(), *found])

    def _indices(self, server: Server, business: str) -> dict[str, Any]:
        """The indices of the business with their aliases: names that another business begins with are not its own."""
        alias = _alias(business)
        found = server.ask("GET", f"{part(alias)}-*/_alias", absent=True)
        return {name: held for name, held in found.items() if re.fullmatch(r"-\d+\.\d\d", name.removeprefix(alias))}

    def _put_template(self, business: str) -> None:
        server = self._server()
        server.ask("PUT", f"_index_template/{part(_alias(business))}", _template(business))
        for index in self._indices(server, business):
            server.ask("PUT", f"{part(index)}/_mapping", MAPPING)

    def _put_alias(self, alias: str, indices: list[str]) -> None:
        server = self._server()
        for index in indices:
            server.ask("PUT", f"{part(index)}/_alias/{part(alias)}")

    def _server(self) -> Server:
        login: httpx.Auth | dict[str, str] = {}
        if self.api_key:
            login = {"Authorization": f"ApiKey {self.api_key.get_secret_value()}"}
        elif self.user:
            login = httpx.BasicAuth(self.user, self.password.get_secret_value() if self.password else "")
        return Server(self.url, login, self.ca_file, self.timeout_seconds)


def _alias(business: str) -> str:
    return f"calls-{business}"


def _aliases(query: CallQuery) -> str:
    """Where to look: among many, it is the query alone that says whose calls are wanted."""
    aliases = [part(_alias(business)) for business in query.businesses or ()]
    return ",".join(aliases) if 0 < len(aliases) <= _NAMED else "calls-*"


def _template(business: str) -> dict[str, Any]:
    """The index template, as Elasticsearch tells it again."""
    alias = _alias(business)
    return {
        "index_patterns": [f"{alias}-*"],
        # Of two businesses whose names begin alike, the longer name says whose an index is.
        "priority": 200 + len(business),
        "template": {"settings": _SETTINGS, "mappings": MAPPING, "aliases": {alias: {}}},
    }


def _fresh(rows: pl.DataFrame, held: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """The rows that are not held in just this form (call_uid, lines, business, site, day), a request's worth each."""
    # The first are few: nothing is written meanwhile.
    for documents in (rows[:_FIRST], *rows[_FIRST:].iter_slices(_ENCODED)):
        lines = encoded(documents).hstack(documents.select("business", "site", "day"))
        fresh = lines.join(held, on=["call_uid", "content"], how="anti", maintain_order="left")
        for places in requests_of(fresh["lines"]):
            yield fresh[places.start : places.stop]


def _write_part(bulk: Bulk, fresh: pl.DataFrame) -> tuple[list[str], pl.DataFrame]:
    """Write these documents; call_uid of each that was written, and what was refused."""
    refused = bulk.write(fresh["lines"])
    if not refused:
        return fresh["call_uid"].to_list(), REJECTED_SCHEMA.to_frame()
    reasons = pl.DataFrame(
        {"place": list(refused), "reason": list(refused.values())}, schema={"place": pl.UInt32, "reason": pl.String}
    )
    placed = fresh.with_row_index("place").join(reasons, on="place", how="left", maintain_order="left")
    rejected = placed.drop_nulls("reason").select(
        "business", "site", "day", "call_uid", "reason", document_of(pl.col("lines")).alias("document")
    )
    return placed.filter(pl.col("reason").is_null())["call_uid"].to_list(), rejected


def _held(server: Server, index: str, conditions: list[dict[str, Any]]) -> pl.DataFrame:
    """call_uid, index and content of every document that fulfils the conditions."""
    hits = server.hits(index, _narrow(conditions, "content"), _LONG_PAGE)
    rows = [(hit["_id"], hit["_index"], hit.get("fields", {}).get("content", [None])[0]) for hit in hits]
    return pl.DataFrame(rows, schema=_HELD_SCHEMA, orient="row")


def _is_one_of(uids: list[str]) -> dict[str, Any]:
    return {"terms": {"call_uid": uids}}


def _portions(uids: list[str]) -> list[list[str]]:
    """The ids in parts that one question can hold."""
    return [uids[start : start + _LONG_PAGE] for start in range(0, len(uids), _LONG_PAGE)]


def _narrow(conditions: list[dict[str, Any]], *fields: str) -> dict[str, Any]:
    return {"query": {"bool": {"filter": conditions}}, "_source": False, "docvalue_fields": list(fields)}


def _whole(conditions: list[dict[str, Any]]) -> dict[str, Any]:
    return {"query": {"bool": {"filter": conditions}}, "_source": READ}


def _error_type(answer: dict[str, Any]) -> str:
    error = answer.get("error")
    return str(error.get("type")) if isinstance(error, dict) else ""
