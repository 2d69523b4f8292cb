"""The call index finds calls by what people know of them, wherever it is kept."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blocks.elastic import ElasticIndex
from blocks.errors import PermanentError
from blocks.index import DOCUMENT_SCHEMA, CatalogIndex
from blocks.query import CallQuery

DAY = date(2021, 1, 31)
NOON = datetime(2021, 1, 31, 4, 0, tzinfo=UTC)


def document(uid: str, started_at: datetime | None = NOON, **others: object) -> dict[str, object]:
    known: dict[str, object] = {
        "call_uid": uid,
        "business": "meituan",
        "site": "cq",
        "dataset": "calls",
        "day": DAY,
        "call_id": f"call-{uid}",
        "leg": "",
        "started_at": started_at,
        "talk_seconds": 30.5,
        "extension": "2049",
        "caller": "2049",
        "callee": "015372388463",
        "display_number": "02161234",
        "numbers": ["2049", "15372388463", "02161234"],
        "attributes": '{"case": "A-1"}',
        "notes": "[]",
        "recordings": [],
    }
    return known | others


def recording(recording_id: str) -> dict[str, object]:
    return {
        "recording_id": recording_id,
        "key": f"2021-01-31/{recording_id}.wav",
        "path": f"01/31/{recording_id}.wav3",
        "container": "wav",
        "codec": "gsm_ms",
        "duration_ms": 30_000,
        "size": 50_000,
        "sha256": "00",
        "state": "ok",
    }


def frame(*documents: dict[str, object]) -> pl.DataFrame:
    return pl.DataFrame(list(documents), schema=DOCUMENT_SCHEMA)


AnyIndex = CatalogIndex | ElasticIndex


@pytest.fixture(params=["in Parquet", "in Elasticsearch"])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> AnyIndex:
    if request.param == "in Parquet":
        return CatalogIndex(url=str(tmp_path))
    return request.getfixturevalue("elastic")  # type: ignore[no-any-return]


def found(index: AnyIndex, **query: object) -> list[str]:
    return index.search(CallQuery(**query)).calls["call_uid"].to_list()  # type: ignore[arg-type]


def test_an_empty_index_finds_nothing_in_the_right_columns(index: AnyIndex) -> None:
    assert index.search(CallQuery()).calls.equals(DOCUMENT_SCHEMA.to_frame())
    assert index.search(CallQuery(businesses=("meituan",), number="1")).calls.is_empty()
    assert index.links("meituan", "cq", [DAY]).is_empty()


def test_a_document_comes_back_whole(index: AnyIndex) -> None:
    documents = frame(document("1", recordings=[recording("r1"), recording("r2")]))
    index.replace("meituan", "cq", DAY, documents)
    assert index.search(CallQuery(call_uids=("1",))).calls.equals(documents)


def test_replacing_with_the_same_documents_in_another_order_changes_nothing(index: AnyIndex) -> None:
    assert index.replace("meituan", "cq", DAY, frame(document("1"), document("2"))).changed
    assert not index.replace("meituan", "cq", DAY, frame(document("2"), document("1"))).changed
    assert index.replace("meituan", "cq", DAY, frame(document("2"))).changed
    assert found(index) == ["2"]


def test_replacing_with_nothing_leaves_nothing(index: AnyIndex) -> None:
    index.replace("meituan", "cq", DAY, frame(document("1"), document("2")))
    done = index.replace("meituan", "cq", DAY, frame())
    assert (done.changed, done.rejected.height) == (True, 0)
    assert index.documents("meituan", "cq", DAY).is_empty()


def test_the_calls_of_one_partition_are_replaced_and_no_others(index: AnyIndex) -> None:
    for business, site, day in (("meituan", "cq", DAY), ("meituan", "wh", DAY), ("meituan-2021", "cq", DAY)):
        uid = f"{business} {site}"
        index.replace(business, site, day, frame(document(uid, business=business, site=site, day=day)))
    index.replace("meituan", "cq", DAY, frame())
    assert found(index) == ["meituan wh", "meituan-2021 cq"]
    assert index.documents("meituan", "wh", DAY)["call_uid"].to_list() == ["meituan wh"]
    assert index.links("meituan-2021", "cq", [DAY])["call_uid"].to_list() == ["meituan-2021 cq"]


@pytest.mark.parametrize("stranger", [{"business": "other"}, {"site": "wh"}, {"day": date(2021, 2, 1)}, {"day": None}])
def test_a_document_of_another_partition_is_refused(index: AnyIndex, stranger: dict[str, object]) -> None:
    with pytest.raises(PermanentError, match="1 of 2 documents belong to another"):
        index.replace("meituan", "cq", DAY, frame(document("1"), document("2", **stranger)))


def test_documents_with_a_missing_column_are_refused(index: AnyIndex) -> None:
    with pytest.raises(PermanentError, match="numbers"):
        index.replace("meituan", "cq", DAY, frame(document("1")).drop("numbers"))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"number": "15372388463"}, ["a"]),
        ({"number": "2388"}, ["a"]),
        ({"number": "0615"}, []),  # not across two numbers
        ({"number": "."}, []),  # not a pattern
        ({"display_number": "4001"}, ["b"]),
        ({"extension": "3001"}, ["b"]),
        ({"call_id": "call-c"}, ["c"]),
        ({"call_uids": ("c",)}, ["c"]),
        ({"has_recording": True}, ["a"]),
        ({"has_recording": False}, ["c", "b"]),
        ({"sites": ("wh",)}, ["c"]),
        ({"businesses": ("other",)}, []),
        ({"businesses": ("meituan",), "start": NOON + timedelta(hours=1)}, ["c", "b"]),
        ({"end": NOON + timedelta(hours=1)}, ["a"]),
        ({"start": NOON, "end": NOON}, []),
        ({"limit": 2}, ["c", "b"]),
        ({"number": "15372388463", "extension": "3001"}, []),
    ],
)
def test_a_search_finds_what_fits_newest_first(index: AnyIndex, query: dict[str, object], expected: list[str]) -> None:
    one = document("a", NOON, numbers=["2049", "15372388463", "02161206"], recordings=[recording("r1")])
    two = document("b", NOON + timedelta(hours=1), extension="3001", display_number="4001", numbers=["3001"])
    other_site = document("c", NOON + timedelta(hours=2), site="wh", numbers=["15000000000"])
    index.replace("meituan", "cq", DAY, frame(one, two))
    index.replace("meituan", "wh", DAY, frame(other_site))
    assert found(index, **query) == expected


def test_calls_of_one_instant_are_in_order_of_their_ids_and_those_without_one_come_last(
    index: AnyIndex,
) -> None:
    index.replace("meituan", "cq", DAY, frame(document("b"), document("0", None), document("a")))
    assert found(index) == ["a", "b", "0"]


def test_a_call_after_midnight_in_utc_is_found_by_its_instant_not_its_day(index: AnyIndex) -> None:
    # 00:30 on 1 February in Shanghai is 16:30 on 31 January in UTC.
    after_midnight = datetime(2021, 1, 31, 16, 30, tzinfo=UTC)
    index.replace("meituan", "cq", date(2021, 2, 1), frame(document("1", after_midnight, day=date(2021, 2, 1))))
    bounds = {"start": after_midnight, "end": after_midnight + timedelta(seconds=1)}
    assert found(index, **bounds) == ["1"]


def test_links_name_every_recording_and_the_calls_without(index: AnyIndex) -> None:
    with_two = document("1", recordings=[recording("r2"), recording("r1")])
    index.replace("meituan", "cq", DAY, frame(with_two, document("2")))
    links = index.links("meituan", "cq", [DAY, date(2021, 2, 1)])
    assert links.rows() == [("1", "r1"), ("1", "r2"), ("2", None)]
    assert links.schema == pl.Schema([("call_uid", pl.String()), ("recording_id", pl.String())])


@settings(deadline=None)  # the first example pays for what Polars sets up
@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(-14 * 60, 36 * 60)), max_size=30, unique=True),
    st.integers(1, 10),
)
def test_the_newest_calls_of_many_days_are_those_of_one_long_sort(
    tmp_path_factory: pytest.TempPathFactory, calls: list[tuple[int, int]], limit: int
) -> None:
    """A day's calls start up to 14 hours before it begins in UTC, or 12 after it ended."""
    index = CatalogIndex(url=str(tmp_path_factory.mktemp("index")))
    documents = []
    for number, (day, minutes) in enumerate(calls):
        midnight = datetime(2021, 1, 1, tzinfo=UTC) + timedelta(days=day)
        documents.append(document(f"{number:02d}", midnight + timedelta(minutes=minutes), day=midnight.date()))
    everything = frame(*documents)
    for (day,), part in everything.group_by("day"):
        index.replace("meituan", "cq", day, part)
    expected = everything.sort(["started_at", "call_uid"], descending=[True, False])["call_uid"].head(limit)
    assert found(index, limit=limit) == expected.to_list()
