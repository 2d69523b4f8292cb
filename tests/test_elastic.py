"""The call index in Elasticsearch: on a real server, strained, lost, and beside the one in Parquet."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path
from random import Random

import httpx
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nodes import PASSWORD, emptied
from pydantic import ValidationError
from shop import DAY as SHOP_DAY
from shop import Shop
from test_index import DAY, NOON, document, found, frame, put, recording

from blocks.elastic import ElasticIndex
from blocks.errors import SettingsError, TransientError
from blocks.index import CatalogIndex
from blocks.query import CallQuery
from deploy.servers.elasticsearch import USER, Elasticsearch
from deploy.servers.process import free_port
from flows.backup import backup
from flows.ingest import ingest
from flows.reconciliation import reconcile
from flows.reindex import reindex
from reconcile.frames import REJECTED, SNAPSHOTS, UNINDEXED
from reconcile.text import filled

INDEX = "calls-meituan-2021.01"


def ask(index: ElasticIndex, method: str, path: str, body: object = None) -> dict[str, object]:
    """Ask the server itself."""
    answer = httpx.request(method, f"{index.url}/{path}", json=body, timeout=60)
    return dict(answer.raise_for_status().json())


# --- the same answers as the index in Parquet


def calls_of_all_kinds() -> list[dict[str, object]]:
    """Calls that share parts of numbers, instants to the microsecond, missing values and odd characters."""
    random = Random(7)  # noqa: S311  # repeatable data, no secret
    numbers = ["2049", "2050", "15372388463", "15372388464", "02161234", "1" * 40, "5*3?7\\2", "催2049收"]
    calls = []
    for place in range(200):
        started = NOON + timedelta(microseconds=random.randrange(-3, 3), seconds=random.randrange(-2, 3))
        owned = [recording(f"r{place}-{number}") for number in range(random.choice((0, 0, 1, 3)))]
        calls.append(
            document(
                f"{place:03}",
                random.choice((started, started, started, None)),
                call_id=f"c{place // 2}",
                extension=random.choice(("2049", "2050", "", None)),
                display_number=random.choice((*numbers, None)),
                numbers=random.sample(numbers, random.randrange(4)),
                talk_seconds=random.choice((None, 0.1 + 0.2, 1e300)),
                attributes=random.choice(('{"案件": "K\\"7", "n": 1.10,\n"id": 123456789012345678}', "{}")),
                notes=json.dumps([{"text": "line\nline \u2028 催记"}], ensure_ascii=False),
                recordings=owned,
            )
        )
    return calls


@pytest.fixture
def both(elastic: ElasticIndex, tmp_path: Path) -> tuple[ElasticIndex, CatalogIndex]:
    """The same calls in both kinds of index."""
    parquet = CatalogIndex(url=str(tmp_path))
    for index in (elastic, parquet):
        put(index, *calls_of_all_kinds())
    return elastic, parquet


PARTS = st.sampled_from(["2049", "153723884", "4", "1" * 33, "*", "?", "\\", "5*3?7\\2", "催", "", "99999"])
INSTANTS = st.integers(-3_000_000, 3_000_000).map(lambda us: NOON + timedelta(microseconds=us))
QUERIES = st.builds(
    CallQuery,
    businesses=st.sampled_from([None, None, ("meituan",), ("meituan", "other"), ("other",), ()]),
    sites=st.sampled_from([None, None, None, ("cq",), ("wh",), ("wh", "cq")]),
    call_uids=st.sampled_from([None, None, None, None, ("007", "008", "x")]),
    call_id=st.sampled_from([None, None, None, "c3"]),
    number=st.none() | PARTS,
    display_number=st.sampled_from([None, None, "02161234", "5*3?7\\2"]),
    extension=st.sampled_from([None, None, "2049", ""]),
    attributes=st.sampled_from([(), (), (("案件", 'K"7'),), (("案件", "K"),)]),
    words=st.sampled_from([None, None, "催记", "line 催", "记line", "！"]),
    min_seconds=st.sampled_from([None, None, 0.3, 0.1 + 0.2, 0.4]),
    max_seconds=st.sampled_from([None, None, 0.3, 0.1 + 0.2, 1e300]),
    recording_state=st.sampled_from([None, None, "ok", "empty"]),
    after=st.none() | st.tuples(st.none() | INSTANTS, st.sampled_from(["", "007", "1", "199"])),
    count_to=st.sampled_from([0, 3, 40, 10_000]),
    start=st.none() | INSTANTS,
    end=st.none() | INSTANTS,
    has_recording=st.sampled_from([None, None, True, False]),
    limit=st.sampled_from([0, 1, 7, 100, 1000]),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(query=QUERIES)
def test_any_search_finds_the_same_documents_in_the_same_order(
    both: tuple[ElasticIndex, CatalogIndex], query: CallQuery
) -> None:
    elastic, parquet = both
    expected = parquet.search(query)
    found = elastic.search(query)
    assert found.calls.rows() == expected.calls.rows()
    assert (found.total, found.exact, found.after) == (expected.total, expected.exact, expected.after)


def test_documents_and_links_are_the_same_letter_for_letter(both: tuple[ElasticIndex, CatalogIndex]) -> None:
    elastic, parquet = both
    assert elastic.documents("meituan", "cq", DAY).equals(parquet.documents("meituan", "cq", DAY))
    links = [index.links("meituan", "cq", [DAY, date(2021, 2, 1)]) for index in both]
    assert links[0].equals(links[1])
    assert links[0].schema == links[1].schema
    assert links[0].height > 200


def test_more_calls_than_a_page_holds_are_read_back_exactly(elastic: ElasticIndex) -> None:
    documents = frame(
        *(
            document(f"{place:05}", NOON + timedelta(seconds=place // 3), recordings=[recording(f"r{place}")])
            for place in range(15_000)
        )
    )
    assert elastic.replace("meituan", "cq", DAY, documents).changed
    assert elastic.documents("meituan", "cq", DAY).equals(documents)
    expected = documents.select("call_uid", filled("r{}", pl.col("call_uid").cast(pl.Int64)).alias("recording_id"))
    assert elastic.links("meituan", "cq", [DAY]).equals(expected)
    newest = documents.sort(["started_at", "call_uid"], descending=[True, False])["call_uid"].head(12_000)
    assert found(elastic, limit=12_000) == newest.to_list()
    assert not elastic.replace("meituan", "cq", DAY, documents).changed


# --- what is written, and what is not


def test_only_what_differs_is_written(elastic: ElasticIndex) -> None:
    put(elastic, document("1"), document("2"), document("3"))
    put(elastic, document("1"), document("2", leg="changed"), document("4"))
    versions = {
        hit["_id"]: hit["_version"]
        for hit in ask(elastic, "GET", f"{INDEX}/_search?version=true")["hits"]["hits"]  # type: ignore[index]
    }
    assert versions == {"1": 1, "2": 2, "4": 1}
    assert elastic.documents("meituan", "cq", DAY)["leg"].to_list() == ["", "changed", ""]


def test_a_document_that_somebody_has_altered_is_mended_when_all_is_written_anew(elastic: ElasticIndex) -> None:
    put(elastic, document("1", recordings=[recording("r1")]))
    ask(elastic, "POST", f"{INDEX}/_update/1?refresh=true", {"doc": {"recordings": []}})
    assert elastic.links("meituan", "cq", [DAY]).rows() == [("1", None)]
    elastic.replace("meituan", "cq", DAY, frame(document("1", recordings=[recording("r1")])), anew=True)
    assert elastic.links("meituan", "cq", [DAY]).rows() == [("1", "r1")]


@pytest.mark.parametrize("moved_to", [date(2021, 1, 30), date(2020, 12, 31), date(2021, 2, 1)])
def test_a_call_that_moved_to_another_day_or_month_is_in_the_index_once(elastic: ElasticIndex, moved_to: date) -> None:
    put(elastic, document("1"), document("2"))
    done = elastic.replace("meituan", "cq", moved_to, frame(document("1", day=moved_to)))
    assert done.changed
    assert elastic.documents("meituan", "cq", DAY)["call_uid"].to_list() == ["2"]
    assert elastic.documents("meituan", "cq", moved_to)["call_uid"].to_list() == ["1"]
    assert found(elastic) == ["1", "2"]
    put(elastic, document("2"))
    assert found(elastic) == ["1", "2"]


def test_what_is_refused_is_told_with_its_reason_and_in_equals_indexed_and_rejected(elastic: ElasticIndex) -> None:
    put(elastic, document("damaged"))
    sent = frame(
        document("good"),
        document("damaged", attributes="{no JSON"),
        document("injected", attributes='"{}, \\"site\\": \\"wh\\""'),
        document("immense", call_id="催" * 20_000),
        document("n" * 513),
    )
    done = elastic.replace("meituan", "cq", DAY, sent)
    indexed = elastic.documents("meituan", "cq", DAY)
    assert indexed["call_uid"].to_list() == ["good"]  # and no older version of what was refused
    assert indexed.height + done.rejected.height == sent.height
    reasons = dict(done.rejected.select("call_uid", "reason").iter_rows())
    assert "attributes" in reasons["damaged"]
    assert "START_OBJECT" in reasons["injected"]
    assert "immense term" in reasons["immense"]
    assert "too long" in reasons["n" * 513]
    assert json.loads(done.rejected.filter(pl.col("call_uid") == "damaged")["document"].item())["attributes_json"] == (
        "{no JSON"
    )
    again = elastic.replace("meituan", "cq", DAY, sent)
    assert (again.changed, again.rejected.height) == (False, 4)


def test_two_months_are_first_written_by_many_at_the_same_time(elastic: ElasticIndex) -> None:
    days = [date(2021, 1, 28) + timedelta(days=offset) for offset in range(8)]
    with ThreadPoolExecutor(len(days)) as pool:
        done = pool.map(lambda day: elastic.replace("meituan", "cq", day, frame(document(f"{day}", day=day))), days)
        assert all(part.changed for part in done)
    assert sorted(found(elastic)) == [str(day) for day in days]
    assert set(ask(elastic, "GET", "_alias/calls-meituan")) == {INDEX, "calls-meituan-2021.02"}


# --- mapping and template


def test_thousands_of_attribute_names_do_not_grow_the_mapping_and_are_found(elastic: ElasticIndex) -> None:
    put(elastic, document("0", attributes="{}"))
    before = ask(elastic, "GET", f"{INDEX}/_mapping")
    put(elastic, *(document(f"{place}", attributes=json.dumps({f"列 {place}": f"值{place}"})) for place in range(3000)))
    assert ask(elastic, "GET", f"{INDEX}/_mapping") == before
    assert found(elastic, attributes=(("列 1234", "值1234"),)) == ["1234"]


def actions(index: ElasticIndex, business: str) -> list[str]:
    return [step.action for step in index.prepare(business)]


def prepare(index: ElasticIndex, business: str) -> None:
    for step in index.prepare(business):
        step.do()


def test_the_template_is_made_once_and_mended_when_it_was_changed(elastic: ElasticIndex) -> None:
    assert actions(elastic, "meituan") == ["create", "unchanged"]
    prepare(elastic, "meituan")
    assert actions(elastic, "meituan") == ["unchanged", "unchanged"]
    known = ask(elastic, "GET", "_index_template/calls-meituan")["index_templates"][0]["index_template"]  # type: ignore[index]
    del known["template"]["mappings"]["properties"]["notes"]
    altered = {name: known[name] for name in ("index_patterns", "priority", "template")}
    ask(elastic, "PUT", "_index_template/calls-meituan", altered)
    assert actions(elastic, "meituan") == ["change", "unchanged"]
    prepare(elastic, "meituan")
    assert actions(elastic, "meituan") == ["unchanged", "unchanged"]


def test_an_index_that_anybody_makes_is_typed_and_behind_the_alias_of_its_business(elastic: ElasticIndex) -> None:
    for business in ("meituan", "meituan-two"):
        prepare(elastic, business)
        ask(elastic, "POST", f"calls-{business}-2021.03/_doc?refresh=true", {"started_us": 1, "numbers": "1"})
    for business in ("meituan", "meituan-two"):
        index = f"calls-{business}-2021.03"
        held = ask(elastic, "GET", index)[index]
        assert held["aliases"] == {f"calls-{business}": {}}  # type: ignore[index]
        assert held["mappings"]["properties"]["note_words"] == {"type": "text", "analyzer": "whitespace"}  # type: ignore[index]


def test_an_index_that_lost_its_alias_gets_it_back(elastic: ElasticIndex) -> None:
    prepare(elastic, "meituan")
    put(elastic, document("1"))
    ask(elastic, "DELETE", f"{INDEX}/_alias/calls-meituan")
    assert actions(elastic, "meituan") == ["unchanged", "change"]
    prepare(elastic, "meituan")
    assert actions(elastic, "meituan") == ["unchanged", "unchanged"]
    assert elastic.documents("meituan", "cq", DAY)["call_uid"].to_list() == ["1"]


# --- a server that is busy, strict or gone


@pytest.fixture
def guarded(strained: Elasticsearch) -> Iterator[tuple[ElasticIndex, httpx.Client]]:
    """The strained node without calls, and a client to ask it directly."""
    with emptied(strained) as client:
        yield ElasticIndex(url=strained.url, user=USER, password=PASSWORD, connections=16), client


def refusals(client: httpx.Client) -> int:
    """How often the node had too much to do."""
    nodes = client.get("/_nodes/stats/thread_pool").json()["nodes"].values()
    return sum(node["thread_pool"]["write"]["rejected"] for node in nodes)


def test_a_server_that_refuses_for_a_while_gets_every_document(
    guarded: tuple[ElasticIndex, httpx.Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    index, client = guarded
    monkeypatch.setattr("blocks.elastic_bulk.REQUEST_BYTES", 50_000)
    before = refusals(client)
    documents = frame(*(document(f"{place:05}") for place in range(4000)))
    done = index.replace("meituan", "cq", DAY, documents)
    assert refusals(client) > before, "nothing was refused, so nothing was proved"
    assert done.rejected.is_empty()
    assert index.documents("meituan", "cq", DAY).equals(documents)


def test_a_server_that_refuses_for_too_long_is_a_transient_error(
    guarded: tuple[ElasticIndex, httpx.Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    index, _ = guarded
    monkeypatch.setattr("blocks.elastic_bulk.REQUEST_BYTES", 50_000)
    impatient = index.model_copy(update={"patience_seconds": 0})
    documents = frame(*(document(f"{place:05}") for place in range(4000)))
    with pytest.raises(TransientError, match="too much to do to take"):
        impatient.replace("meituan", "cq", DAY, documents)
    assert index.replace("meituan", "cq", DAY, documents).changed
    assert index.documents("meituan", "cq", DAY).height == documents.height


def test_requests_that_are_too_large_are_cut_and_a_document_that_is_too_large_is_rejected(
    guarded: tuple[ElasticIndex, httpx.Client],
) -> None:
    index, _ = guarded
    sent = frame(
        *(document(f"{place:04}", notes="催" * 1000) for place in range(600)),
        document("large", notes="x" * (1 << 21)),
    )
    done = index.replace("meituan", "cq", DAY, sent)
    assert done.rejected["call_uid"].to_list() == ["large"]
    assert done.rejected["reason"].item().startswith("413")
    assert index.documents("meituan", "cq", DAY).height == 600


@pytest.mark.parametrize(
    "credentials", [{}, {"user": USER, "password": "wrong"}, {"api_key": "d3Jvbmc6d3Jvbmc="}], ids=str
)
def test_wrong_credentials_are_an_error_of_the_settings(strained: Elasticsearch, credentials: dict[str, str]) -> None:
    index = ElasticIndex(url=strained.url, **credentials)  # type: ignore[arg-type]
    for verb in (
        lambda: index.search(CallQuery()),
        lambda: index.prepare("meituan"),
        lambda: index.replace("meituan", "cq", DAY, frame(document("1"))),
    ):
        with pytest.raises(SettingsError, match="401") as caught:
            verb()
        assert "wrong" not in str(caught.value)


def test_a_password_in_the_url_is_refused_for_urls_are_shown() -> None:
    with pytest.raises(ValidationError, match="pattern"):
        ElasticIndex(url="http://elastic:secret@127.0.0.1:9200")
    assert "hunter2" not in repr(ElasticIndex(url="http://127.0.0.1:9200", user="u", password="hunter2"))


def test_a_server_that_is_not_there_is_a_transient_error_at_once() -> None:
    index = ElasticIndex(url=f"http://127.0.0.1:{free_port()}")
    began = time.monotonic()
    with pytest.raises(TransientError, match="Cannot reach Elasticsearch"):
        index.replace("meituan", "cq", DAY, frame(document("1")))
    with pytest.raises(TransientError):
        index.links("meituan", "cq", [DAY])
    assert time.monotonic() - began < 5


def test_a_server_that_never_answers_is_a_transient_error_in_time() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        index = ElasticIndex(url=f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_seconds=1)
        began = time.monotonic()
        with pytest.raises(TransientError):
            index.search(CallQuery())
        assert time.monotonic() - began < 5


def test_something_else_at_that_address_is_a_permanent_error() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 13\r\n\r\n<html></html>")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(Exception, match="404") as caught:
            ElasticIndex(url=f"http://127.0.0.1:{server.getsockname()[1]}").search(CallQuery())
        thread.join()
        assert type(caught.value).__name__ == "PermanentError"


# --- in the flows


@pytest.fixture
def shop_of(shop: Shop, guarded: tuple[ElasticIndex, httpx.Client]) -> Iterator[Shop]:
    """A small business whose call index is on the strained node."""
    index, _ = guarded
    index.save("shop", overwrite=True)
    yield shop
    ElasticIndex.delete("shop")


def a_day(shop: Shop) -> None:
    for place, clock in enumerate(("09:00:00", "10:00:00", "11:00:00")):
        shop.call(f"c{place}", clock)
        shop.recording(clock)


def linked(index: ElasticIndex) -> int:
    """Calls in the index that have a recording."""
    return index.links("shop", "one", [SHOP_DAY]).drop_nulls().height


def test_an_index_that_is_down_for_a_whole_ingest_is_caught_up_with_by_the_next(
    shop_of: Shop, guarded: tuple[ElasticIndex, httpx.Client], strained: Elasticsearch
) -> None:
    index, _ = guarded
    a_day(shop_of)
    backup("shop", "one", SHOP_DAY)
    strained.stop()
    try:
        down = ingest("shop")
        assert (len(down["snapshots"]), down["published"], down["days_unindexed"]) == (1, 3, 1)
        assert shop_of.frame(SNAPSHOTS).height == 1
        assert shop_of.frame(UNINDEXED)["day"].to_list() == [SHOP_DAY]
        since = shop_of.frame(UNINDEXED)["since"].to_list()
        still = ingest("shop")
        assert (still["snapshots"], still["days_unindexed"]) == ([], 1)
        assert shop_of.frame(UNINDEXED)["since"].to_list() == since
        with pytest.raises(TransientError, match="Elasticsearch"):
            reconcile("shop", day=SHOP_DAY)
    finally:
        strained.start()
    back = ingest("shop")
    assert (back["snapshots"], back["days_unindexed"]) == ([], 0)
    assert shop_of.frame(UNINDEXED).is_empty()
    assert linked(index) == 3
    reconcile("shop", day=SHOP_DAY)
    assert shop_of.open_findings() == {}


def test_a_call_that_the_index_refuses_is_in_the_dead_letters_and_a_finding(
    shop_of: Shop, guarded: tuple[ElasticIndex, httpx.Client]
) -> None:
    index, _ = guarded
    a_day(shop_of)
    shop_of.call("c" * 40_000, "12:00:00")
    shop_of.recording("12:00:00")
    backup("shop", "one", SHOP_DAY)
    assert ingest("shop")["rejected"] == 1
    rejected = shop_of.frame(REJECTED)
    assert rejected.height == 1
    assert "immense term" in rejected["reason"].item()
    assert index.documents("shop", "one", SHOP_DAY).height == 3
    reconcile("shop", day=SHOP_DAY)
    assert shop_of.open_findings() == {"not_indexed": 1}


def test_an_index_that_was_deleted_is_rebuilt_from_the_catalog_alone(
    shop_of: Shop, guarded: tuple[ElasticIndex, httpx.Client]
) -> None:
    index, client = guarded
    a_day(shop_of)
    shop_of.run()
    held = index.documents("shop", "one", SHOP_DAY)
    for name in client.get("/calls-shop/_alias").json():
        client.delete(f"/{name}").raise_for_status()
    reconcile("shop", day=SHOP_DAY)
    assert shop_of.open_findings() == {"not_indexed": 3}
    assert reindex("shop") == {"business": "shop", "days": 1, "calls": 3, "rejected": 0}
    assert index.documents("shop", "one", SHOP_DAY).equals(held)
    assert held.height == 3
    reconcile("shop", day=SHOP_DAY)
    assert shop_of.open_findings() == {}
