"""What a recording's path says, by the first template that fits it."""

from datetime import UTC, date, datetime

import polars as pl
import pytest
from tables import BUSINESS, DAY, SITE, at, recording_id

from reconcile.errors import RuleError
from reconcile.frames import INSTANT
from reconcile.names import compile_template, read_names
from reconcile.recordings import name_files, object_key
from reconcile.rules import Rules

MEITUAN = "{month}/{day}/{extension}_{number}_{start:%Y%m%d%H%M%S}.wav3"


def said(path: str, *templates: str, zone: str = "Asia/Shanghai") -> dict[str, object]:
    """What the path says, without what it does not say."""
    row = read_names(pl.Series([path]), list(templates), zone).row(0, named=True)
    return {name: value for name, value in row.items() if value is not None}


def test_extension_number_start_and_day_are_read_from_the_name() -> None:
    assert said("01/31/2049_15372388463_20210131114129.wav3", MEITUAN) == {
        "extension": "2049", "number": "15372388463", "started_at": at("11:41:29"), "day": DAY,
    }  # fmt: skip


@pytest.mark.parametrize(
    "path",
    [
        "x/01/31/2049_15372388463_20210131114129.wav3",
        "01/31/2049_15372388463_20210131114129.wav3.part",
        "01/31/2049_15372388463_20210131114129xwav3",
        "01/31/2049_15372388463_2021013111412.wav3",
        "01/31/2049_15372388463_20210131114129.WAV3",
        "01/31/2049_15372388463_20210131114129.wav3\n",
        "",
    ],
)
def test_a_template_fits_a_whole_path_or_not_at_all(path: str) -> None:
    assert said(path, MEITUAN) == {}


def test_a_time_that_no_clock_shows_is_none_but_the_rest_is_said() -> None:
    assert said("01/31/2049_15372388463_20211331114129.wav3", MEITUAN) == {"extension": "2049", "number": "15372388463"}


def test_the_first_template_that_fits_holds_alone() -> None:
    assert said("2049_7.wav", "{any}_{any}.wav", "{extension}_{number}.wav") == {}
    assert said("2049_7.wav", "{extension}_{any}.wav", "{extension}_{number}.wav") == {"extension": "2049"}
    assert said("2049_7.wav", "{call_id}.mp3", "{extension}_{number}.wav") == {"extension": "2049", "number": "7"}


def test_a_bad_time_does_not_hand_the_path_on_to_the_next_template() -> None:
    assert said("20211331114129.wav", "{start:%Y%m%d%H%M%S}.wav", "{call_id}.wav") == {}


def test_each_path_has_its_own_template() -> None:
    paths = pl.Series(["a/7.wav", "20210131114129-8.wav", "neither"])
    read = read_names(paths, ["{any}/{call_id}.wav", "{start:%Y%m%d%H%M%S}-{extension}.wav"], "Asia/Shanghai")
    assert read.rows() == [
        (None, None, "7", None, None),
        ("8", None, None, at("11:41:29").astimezone(UTC), DAY),
        (None, None, None, None, None),
    ]


def test_no_paths_and_no_templates_give_the_right_columns() -> None:
    columns = {"extension": pl.String, "number": pl.String, "call_id": pl.String, "started_at": INSTANT, "day": pl.Date}
    for templates in ([], [MEITUAN]):
        assert read_names(pl.Series(["a", "b"]), templates, "Asia/Shanghai").rows() == [(None,) * 5] * 2
        assert read_names(pl.Series([], dtype=pl.String), templates, "Asia/Shanghai").schema == columns
    assert said("a.wav") == {}


@pytest.mark.parametrize("sign", [*" -+()[].^$|*?#&~!@=,;:'\"`<>录\n"])
def test_every_sign_of_a_template_stands_for_itself(sign: str) -> None:
    assert said(f"a{sign}7.wav", f"a{sign}{{call_id}}.wav") == {"call_id": "7"}
    assert said("ab7.wav", f"a{sign}{{call_id}}.wav") == {}


def test_a_percent_sign_of_a_template_is_the_escaped_one_of_a_path() -> None:
    assert said("100%25_7.wav", "100%_{call_id}.wav") == {"call_id": "7"}


@pytest.mark.parametrize(
    ("path", "template", "started_at"),
    [
        ("1612064489.wav", "{start:%s}.wav", at("11:41:29")),
        ("210131_1141.wav", "{start:%y%m%d_%H%M}.wav", at("11:41:00")),
        ("2021-Jan-31 11:41:29.wav", "{start:%Y-%b-%d %H:%M:%S}.wav", at("11:41:29")),
        ("2021031114129.wav", "{start:%Y%j%H%M%S}.wav", at("11:41:29")),
        ("20210131114129_5.wav", "{start:%Y%m%d%H%M%S_%f}.wav", at("11:41:29").replace(microsecond=500_000)),
        ("20210131114129123.wav", "{start:%Y%m%d%H%M%S%f}.wav", at("11:41:29").replace(microsecond=123_000)),
        ("20210131114129.123456789.wav", "{start:%Y%m%d%H%M%S.%f}.wav", at("11:41:29").replace(microsecond=123_456)),
    ],
)
def test_every_directive_says_its_time(path: str, template: str, started_at: datetime) -> None:
    assert said(path, template) == {"started_at": started_at, "day": DAY}


def test_unix_seconds_are_no_local_time() -> None:
    assert said("1612064489.wav", "{start:%s}.wav", zone="Europe/Berlin")["started_at"] == at("11:41:29")


@pytest.mark.parametrize("folder", ["2021/01/31", "2021/1/31", "2021/Jan/31"])
def test_folders_alone_give_the_day(folder: str) -> None:
    assert said(f"{folder}/7.wav", "{year}/{month}/{day}/{call_id}.wav") == {"call_id": "7", "day": DAY}


def test_the_start_gives_the_day_before_the_folders_do() -> None:
    template = "{year}/{month}/{day}/{start:%Y%m%d%H%M%S}.wav"
    assert said("2021/02/01/20210131235959.wav", template) == {"started_at": at("23:59:59"), "day": DAY}


def test_where_the_start_is_no_time_the_folders_give_the_day() -> None:
    template = "{year}/{month}/{day}/{extension}_{start:%Y%m%d%H%M%S}.wav"
    assert said("2021/01/31/2049_20211331114129.wav", template) == {"extension": "2049", "day": DAY}
    assert said("2021/01/31/2049_20210131114129.wav", template)["started_at"] == at("11:41:29")


def test_the_day_is_that_of_the_zone_on_both_sides_of_midnight() -> None:
    template = "{start:%Y%m%d%H%M%S}.wav"
    assert said("20210131000000.wav", template) == {
        "started_at": datetime(2021, 1, 30, 16, tzinfo=UTC),
        "day": date(2021, 1, 31),
    }
    assert said("20210131235959.wav", template)["day"] == date(2021, 1, 31)
    assert said("1612108799.wav", "{start:%s}.wav")["day"] == date(2021, 1, 31)
    assert said("1612108800.wav", "{start:%s}.wav")["day"] == date(2021, 2, 1)


def test_where_clocks_change_a_time_that_does_not_exist_keeps_its_day_and_one_that_comes_twice_is_the_first() -> None:
    template = "{start:%Y%m%d%H%M%S}.wav"
    assert said("20210328023000.wav", template, zone="Europe/Berlin") == {"day": date(2021, 3, 28)}
    assert said("20211031023000.wav", template, zone="Europe/Berlin") == {
        "started_at": datetime(2021, 10, 31, 0, 30, tzinfo=UTC),
        "day": date(2021, 10, 31),
    }
    assert said("20210701003000.wav", template, zone="Europe/Berlin")["started_at"] == datetime(
        2021, 6, 30, 22, 30, tzinfo=UTC
    )


@pytest.mark.parametrize(
    ("template", "cause"),
    [
        ("{agent}.wav", "there is no field {agent}"),
        ("{number:%d}.wav", "there is no field {number:%d}"),
        ("{number}_{number}.wav", "stands twice"),
        ("{number.wav", "a brace is open"),
        ("number}.wav", "a brace is open"),
        ("{start}.wav", "says no format"),
        ("{start:}.wav", "says no format"),
        ("{start:%Y%m%d%H%M%Q}.wav", "{start} has %Q"),
        ("{start:%f%Y%m%d%H%M%S}.wav", "a fraction that is not its end"),
        ("{start:%Y%m%d}.wav", "names no instant: it has no %H"),
        ("{start:%Y%m%d%H}.wav", "names no instant: it has no %M"),
        ("{start:%H%M%S}.wav", "names no instant: it has no %Y"),
        ("{start:%Y%d%H%M}.wav", "names no instant: it has no %m"),
    ],
)
def test_a_template_that_cannot_mean_anything_is_refused_with_its_cause(template: str, cause: str) -> None:
    with pytest.raises(RuleError) as raised:
        compile_template(template)
    assert cause in raised.value.cause
    assert raised.value.subject == template
    assert raised.value.remedy


FILES = pl.DataFrame(
    {
        "path": ["20210131235959.WAV", "other.wav3", "no_ending"],
        "mtime": [at("00:30:00", date(2021, 2, 1)), at("23:59:59"), at("00:00:00", date(2021, 2, 1))],
    },
    schema_overrides={"mtime": INSTANT},
)
RULES = Rules(name_templates=["{start:%Y%m%d%H%M%S}.WAV"])


def test_a_recordings_day_comes_from_its_name_or_failing_that_from_its_last_change() -> None:
    files = name_files(FILES, business=BUSINESS, site=SITE, rules=RULES)
    assert files["day"].to_list() == [date(2021, 1, 31), date(2021, 1, 31), date(2021, 2, 1)]
    assert files["recording_id"].to_list() == [recording_id(path) for path in FILES["path"]]
    assert files.select(pl.col("business", "site").unique()).row(0) == (BUSINESS, SITE)


def test_no_files_give_the_right_columns() -> None:
    some, none = (name_files(frame, business=BUSINESS, site=SITE, rules=RULES) for frame in (FILES, FILES.clear()))
    assert none.schema == some.schema
    assert none.is_empty()


def test_an_object_key_has_day_id_content_and_a_plain_ending() -> None:
    files = name_files(FILES, business=BUSINESS, site=SITE, rules=RULES).with_columns(sha256=pl.lit("0123456789abcdef"))
    first, second, third = (recording_id(path) for path in FILES["path"])
    assert files.select(object_key()).to_series().to_list() == [
        f"2021-01-31/{first[:2]}/{first}.0123456789ab.wav",
        f"2021-01-31/{second[:2]}/{second}.0123456789ab.wav3",
        f"2021-02-01/{third[:2]}/{third}.0123456789ab",
    ]


@pytest.mark.parametrize("path", ["a.b/c", "a.录音", "a.wav%20", "a.", "a.toolongending"])
def test_an_ending_that_is_not_plain_stays_out_of_the_key(path: str) -> None:
    frame = pl.DataFrame({"day": [DAY], "recording_id": ["ab"], "sha256": ["c" * 64], "path": [path]})
    assert frame.select(object_key()).item() == f"2021-01-31/ab/ab.{'c' * 12}"


def test_a_recording_whose_content_was_not_read_has_no_key() -> None:
    frame = pl.DataFrame({"day": [DAY], "recording_id": ["ab"], "sha256": [None], "path": ["a.wav"]})
    assert frame.with_columns(pl.col("sha256").cast(pl.String)).select(object_key()).item() is None
