"""The call index finds calls by what people know of them, wherever it is kept."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from blocks.catalog import Catalog
from blocks.elastic import ElasticIndex
from blocks.errors import PermanentError
from blocks.hot import Hot
from blocks.index import DOCUMENT_SCHEMA, CatalogIndex
from blocks.query import CallQuery, every_page, search_all
from blocks.searchable import derived

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


def put(index: AnyIndex, *documents: dict[str, object]) -> None:
    """Replace the partition by these documents."""
    assert index.replace("meituan", "cq", DAY, frame(*documents)).rejected.is_empty()


def found(index: AnyIndex, **query: object) -> list[str]:
    """call_uid of each call of the answer."""
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


def test_updating_replaces_the_documents_of_these_calls_and_leaves_the_others(index: AnyIndex) -> None:
    put(index, document("1"), document("2"))
    done = index.update("meituan", "cq", DAY, frame(document("2", recordings=[recording("r")]), document("3")))
    assert (done.changed, done.rejected.height) == (True, 0)
    assert index.links("meituan", "cq", [DAY]).rows() == [("1", None), ("2", "r"), ("3", None)]
    assert not index.update("meituan", "cq", DAY, frame()).changed
    assert found(index) == ["1", "2", "3"]


@pytest.mark.parametrize("stranger", [{"business": "other"}, {"site": "wh"}, {"day": date(2021, 2, 1)}, {"day": None}])
def test_a_document_of_another_partition_is_refused(index: AnyIndex, stranger: dict[str, object]) -> None:
    with pytest.raises(PermanentError, match="1 of 2 documents belong to another"):
        index.replace("meituan", "cq", DAY, frame(document("1"), document("2", **stranger)))


def test_documents_with_a_missing_column_are_refused(index: AnyIndex) -> None:
    with pytest.raises(PermanentError, match="numbers"):
        index.replace("meituan", "cq", DAY, frame(document("1")).drop("numbers"))


def three_calls(index: AnyIndex) -> None:
    """A at noon with a recording; b an hour later; c another hour later, at another site."""
    one = document(
        "a",
        numbers=["2049", "15372388463", "02161206"],
        recordings=[recording("r1") | {"state": "truncated"}, recording("r2")],
        attributes='{"case": "A-1", "customer": "C9", "empty": ""}',
        notes='[{"text": "客户说：明天下午还款", "by": "2049"}]',
    )
    two = document(
        "b",
        NOON + timedelta(hours=1),
        extension="3001",
        display_number="021-4001 8888",
        numbers=["3001"],
        talk_seconds=60.0,
        attributes='{"case": "A-10", "agent": "王 五"}',
        notes='[{"text": "明天不还"}, {"text": "下午再打 Call BACK"}]',
    )
    other_site = document("c", NOON + timedelta(hours=2), site="wh", numbers=["15000000000"], talk_seconds=None)
    index.replace("meituan", "cq", DAY, frame(one, two))
    index.replace("meituan", "wh", DAY, frame(other_site))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, "cba"),
        ({"number": "15372388463"}, "a"),
        ({"number": "2388"}, "a"),
        ({"number": "0615"}, ""),  # not across two numbers
        ({"number": "."}, ""),  # not a pattern
        ({"display_number": "214001"}, "b"),  # however it was written
        ({"display_number": "2161234"}, "ca"),
        ({"display_number": "15372388463"}, ""),  # another number of the call
        ({"extension": "3001"}, "b"),
        ({"extension": "300"}, ""),
        ({"call_id": "call-c"}, "c"),
        ({"call_uids": ("c", "a", "nobody")}, "ca"),
        ({"call_uids": ()}, ""),
        ({"attributes": (("case", "A-1"),)}, "ca"),  # and not A-10
        ({"attributes": (("case", "A-1"), ("customer", "C9"))}, "a"),
        ({"attributes": (("customer", "A-1"),)}, ""),  # the value of another name
        ({"attributes": (("agent", "王 五"),)}, "b"),
        ({"words": "明天下午"}, "a"),
        ({"words": "下午 明天"}, "ba"),
        ({"words": "还下午"}, ""),  # not across two notes
        ({"words": "说明"}, "a"),  # punctuation does not count
        ({"words": "ｃａｌｌ back"}, "b"),  # neither do case and width
        ({"words": "bac"}, ""),  # part of a word
        ({"words": "text"}, ""),  # a name in a note, no word of it
        ({"words": "2049"}, "a"),
        ({"words": "…"}, ""),
        ({"words": " "}, "cba"),
        ({"min_seconds": 30.5}, "ba"),
        ({"min_seconds": 30.6}, "b"),
        ({"max_seconds": 30.5}, "a"),
        ({"has_recording": True}, "a"),
        ({"has_recording": False}, "cb"),
        ({"recording_state": "truncated"}, "a"),
        ({"recording_state": "ok"}, "a"),
        ({"recording_state": "o"}, ""),
        ({"sites": ("wh",)}, "c"),
        ({"sites": ("wh", "cq")}, "cba"),
        ({"sites": ()}, ""),
        ({"businesses": ("other",)}, ""),
        ({"businesses": ("other", "meituan")}, "cba"),
        ({"businesses": ()}, ""),  # who may see nothing finds nothing
        ({"businesses": ("meituan",), "start": NOON + timedelta(hours=1)}, "cb"),
        ({"end": NOON + timedelta(hours=1)}, "a"),
        ({"start": NOON, "end": NOON}, ""),
        ({"after": (NOON + timedelta(hours=1), "b")}, "a"),
        ({"after": (NOON + timedelta(hours=1), "a")}, "ba"),
        ({"after": (None, "")}, ""),
        ({"limit": 2}, "cb"),
        ({"number": "15372388463", "extension": "3001"}, ""),
        ({"number": "3001", "words": "下午", "min_seconds": 1, "has_recording": False, "sites": ("cq",)}, "b"),
    ],
    ids=str,
)
def test_a_search_finds_what_fits_newest_first(index: AnyIndex, query: dict[str, object], expected: str) -> None:
    three_calls(index)
    assert found(index, **query) == list(expected)


ODD = (
    "*", "1?3", "a\\", '"}}],"x":[{"', "1' OR '1'='1", "K.7", "K*", "(K", "[0-9]", "催收 一组", "\t", "$1", "{{",
    "&<b>",
)  # fmt: skip


def test_signs_of_any_language_of_queries_are_only_letters(index: AnyIndex) -> None:
    odd = [
        document(f"{place:02}", numbers=[f"9{sign}9"], display_number=f"8{sign}8", attributes=json.dumps({sign: sign}))
        for place, sign in enumerate(ODD)
    ]
    put(index, document("plain", numbers=["15372388463"], notes='[{"text": "1 OR 1"}]'), *odd)
    for place, sign in enumerate(ODD):
        holding = [f"{number:02}" for number, other in enumerate(ODD) if sign in other]
        assert found(index, number=sign) == holding, sign
        assert found(index, number=f"9{sign}") == [f"{place:02}"], sign
        assert found(index, attributes=((sign, sign),)) == [f"{place:02}"], sign
        assert found(index, call_id=sign) == found(index, extension=sign) == found(index, words=f"{sign}无") == []
    assert found(index, display_number="8*8") == ["00"]
    assert found(index, words="1' OR '1'='1") == []


def test_the_total_is_exact_until_it_is_more_than_is_counted(index: AnyIndex) -> None:
    put(index, *(document(f"{place}") for place in range(9)))
    answers = {count: index.search(CallQuery(limit=2, count_to=count)) for count in (8, 9, 10, 0)}
    assert {count: (answer.total, answer.exact) for count, answer in answers.items()} == {
        8: (8, False), 9: (9, True), 10: (9, True), 0: (0, False),
    }  # fmt: skip
    assert {answer.after for answer in answers.values()} == {(NOON, "1")}
    nothing = index.search(CallQuery(number="404", count_to=0))
    assert (nothing.total, nothing.exact, nothing.after) == (0, True, None)


def test_the_last_page_says_that_it_is_the_last_also_when_it_is_full(index: AnyIndex) -> None:
    put(index, document("1"), document("2"), document("3", None), document("4", None))
    pages = list(every_page([(index, CallQuery(limit=2))]))
    assert [page.calls["call_uid"].to_list() for page in pages] == [["1", "2"], ["3", "4"]]
    assert [page.after for page in pages] == [(NOON, "2"), None]
    assert [(page.total, page.exact) for page in pages] == [(4, True), (4, True)]


def test_pages_neither_skip_nor_double_a_call_while_others_come_and_go(index: AnyIndex) -> None:
    known = [document(f"{place:02}", NOON + timedelta(seconds=place // 4)) for place in range(40)]
    put(index, *known)
    seen: list[str] = []
    for number, page in enumerate(every_page([(index, CallQuery(limit=6))])):
        seen += page.calls["call_uid"].to_list()
        newer = [document(f"new-{number}-{place}", NOON + timedelta(hours=1)) for place in range(7)]
        index.replace("meituan", "cq", DAY, frame(*known, *newer))
    assert len(seen) == len(set(seen))
    assert sorted(seen) == [f"{place:02}" for place in range(40)]


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


STARTS = st.one_of(st.none(), st.integers(-3, 3).map(lambda seconds: NOON + timedelta(seconds=seconds)))


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STARTS, min_size=1, max_size=25), st.integers(1, 9), st.sampled_from([None, True, False]))
def test_pages_together_are_one_big_page(
    index: AnyIndex, starts: list[datetime | None], limit: int, has_recording: bool | None
) -> None:
    """Many calls of one instant, and some of none, whatever the length of a page."""
    put(
        index,
        *(
            document(f"{place:02}", start, recordings=[recording("r")] if place % 3 else [])
            for place, start in enumerate(starts)
        ),
    )
    query = CallQuery(limit=1000, has_recording=has_recording)
    whole = index.search(query)
    pages = list(every_page([(index, CallQuery(limit=limit, has_recording=has_recording))]))
    assert pl.concat([page.calls for page in pages]).equals(whole.calls)
    assert all(page.calls.height == limit for page in pages[:-1])
    assert {(page.total, page.exact) for page in pages} == {(whole.calls.height, True)}


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
    expected = everything.sort(["started_at", "call_uid"], descending=[True, False])["call_uid"].to_list()
    assert found(index, limit=limit) == expected[:limit]
    pages = every_page([(index, CallQuery(limit=limit, count_to=3))])
    assert [uid for page in pages for uid in page.calls["call_uid"]] == expected


# --- what only the index in Parquet must take care of


def test_several_indices_answer_as_one(tmp_path: Path) -> None:
    indices = [CatalogIndex(url=str(tmp_path / name)) for name in ("one", "two", "empty")]
    for place in range(20):
        index, business = indices[place % 2], f"b{place % 2}"
        held = index.documents(business, "cq", DAY)
        added = document(f"{place:02}", NOON + timedelta(seconds=place // 5), business=business)
        index.replace(business, "cq", DAY, pl.concat([held, frame(added)]))
    pages = list(every_page([(index, CallQuery(limit=3)) for index in indices]))
    uids = [uid for page in pages for uid in page.calls["call_uid"]]
    assert uids == [f"{place:02}" for place in sorted(range(20), key=lambda place: (-(place // 5), place))]
    assert {(page.total, page.exact) for page in pages} == {(20, True)}
    some = search_all([(index, CallQuery(limit=3, count_to=9)) for index in indices])
    assert (some.total, some.exact) == (18, False)


def test_a_partition_written_before_searches_had_columns_of_their_own_is_searched(tmp_path: Path) -> None:
    old = frame(document("1", notes='[{"text": "催记"}]', recordings=[recording("r")]), document("2"))
    states = pl.element().struct.field("recording_id", "key", "path", "container", "codec", "duration_ms", "size")
    held = old.with_columns(pl.col("recordings").list.eval(pl.struct(states)))
    Catalog(url=str(tmp_path)).write("documents", "meituan", "cq", DAY, held)
    index = CatalogIndex(url=str(tmp_path))
    assert found(index, words="催记", number="15372388463", attributes=(("case", "A-1"),)) == ["1"]
    assert found(index, has_recording=False) == ["2"]


def test_a_partition_written_before_documents_had_lines_of_their_own_is_searched(tmp_path: Path) -> None:
    documents = frame(*(document(f"{place}", NOON + timedelta(seconds=place)) for place in range(9)))
    held = pl.concat([documents, derived(documents)], how="horizontal").sort("started_at", "call_uid")
    Catalog(url=str(tmp_path)).write("documents", "meituan", "cq", DAY, held)
    answer = CatalogIndex(url=str(tmp_path)).search(CallQuery(number="2388463", limit=3))
    assert answer.calls.equals(documents.sort("started_at", descending=True).head(3))
    assert answer.total == 9


def test_the_lines_of_a_partition_are_no_matter_to_other_readers_of_parquet(tmp_path: Path) -> None:
    documents = frame(*(document(f"{place:03}", recordings=[recording("r")]) for place in range(100)))
    CatalogIndex(url=str(tmp_path)).replace("meituan", "cq", DAY, documents)
    (file,) = tmp_path.rglob("*.parquet")
    assert parquet.read_table(file).select(["call_uid"]).num_rows == 100
    assert len(duckdb.read_parquet(str(file)).unique("call_uid").fetchall()) == 100
    assert pl.read_parquet(file).select(DOCUMENT_SCHEMA.names()).match_to_schema(DOCUMENT_SCHEMA).equals(documents)


def test_a_document_comes_back_to_the_letter_from_its_line(tmp_path: Path) -> None:
    odd = [
        document("1", None, talk_seconds=0.1 + 0.2, numbers=[], extension=None, notes='[{"a": "\n\u2028\\"}]'),
        document("2", NOON + timedelta(microseconds=1), attributes='{"a":\n"\t"}', callee='"},{', talk_seconds=None),
        document("3", datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), numbers=None, talk_seconds=1e300),
    ]
    index = CatalogIndex(url=str(tmp_path))
    index.replace("meituan", "cq", DAY, frame(*odd))
    assert index.search(CallQuery()).calls.equals(frame(odd[1], odd[2], odd[0]))


def test_what_a_call_has_twice_is_found_once(tmp_path: Path) -> None:
    index = CatalogIndex(url=str(tmp_path))
    put(index, document("1", attributes='{"tag": ["x", "x"]}', recordings=[recording("a"), recording("b")]))
    for query in ({"attributes": (("tag", "x"),)}, {"recording_state": "ok"}, {"call_uids": ("1", "1")}):
        assert found(index, **query) == ["1"]
        assert index.search(CallQuery(**query)).total == 1  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "number", ["1", "15", "153", "1537", "15372", "7238", "72388463", "15372388463", "0463", "张三"]
)
def test_parts_of_numbers_of_every_length_are_found(tmp_path: Path, number: str) -> None:
    index = CatalogIndex(url=str(tmp_path))
    held = {"a": ["2049", "15372388463"], "b": ["15372388464"], "c": ["张三1537"], "d": [], "e": ["1", "537"]}
    put(index, *(document(uid, numbers=numbers) for uid, numbers in held.items()))
    assert found(index, number=number) == [
        uid for uid, numbers in held.items() if any(number in one for one in numbers)
    ]


def test_more_than_fits_in_memory_is_searched_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blocks.index._HOT", Hot(held_bytes=1))
    index = CatalogIndex(url=str(tmp_path))
    days = [DAY + timedelta(days=offset) for offset in range(10)]
    for day in days:
        start = datetime.combine(day, NOON.timetz())
        index.replace("meituan", "cq", day, frame(document(f"{day}", start, day=day)))
    for _ in range(2):
        assert found(index, number="15372388463") == [f"{day}" for day in reversed(days)]


def test_many_who_search_while_a_day_is_replaced_see_it_before_or_after(tmp_path: Path) -> None:
    index = CatalogIndex(url=str(tmp_path))
    versions = [frame(*(document(f"{number}-{place}") for place in range(30))) for number in range(12)]
    index.replace("meituan", "cq", DAY, versions[0])
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(index.search, CallQuery(number="15372388463")) for _ in range(40)]
        for version in versions:
            index.replace("meituan", "cq", DAY, version)
        for answer in answers:
            page = answer.result()
            assert page.total == 30
            assert len({uid.split("-")[0] for uid in page.calls["call_uid"]}) <= 1
    assert found(index, limit=1)[0].startswith("11-")
