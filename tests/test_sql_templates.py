"""The SQL of `sql/` on the products' own tables: extracted from real servers, and read by the settings beside it."""

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from blocks.day_sql import sql_of_day
from blocks.errors import PermanentError
from blocks.source import SourceDatabase
from deploy.servers.mariadb import Mariadb
from deploy.servers.postgresql import Postgresql
from flows.days import window
from reconcile.calls import read_calls, read_notes
from reconcile.tables import read_table
from voxkeep.settings import load_settings

TEMPLATES = Path(__file__).resolve().parents[1] / "sql"
DAY = date(2021, 1, 31)
# The table of FreePBX's module cdr.
ASTERISK = """
CREATE OR REPLACE TABLE cdr (
    calldate datetime NOT NULL DEFAULT '0000-00-00 00:00:00', clid varchar(80) NOT NULL DEFAULT '',
    src varchar(80) NOT NULL DEFAULT '', dst varchar(80) NOT NULL DEFAULT '', dcontext varchar(80) NOT NULL DEFAULT '',
    channel varchar(80) NOT NULL DEFAULT '', dstchannel varchar(80) NOT NULL DEFAULT '',
    lastapp varchar(80) NOT NULL DEFAULT '', lastdata varchar(80) NOT NULL DEFAULT '',
    duration int(11) NOT NULL DEFAULT 0, billsec int(11) NOT NULL DEFAULT 0,
    disposition varchar(45) NOT NULL DEFAULT '', amaflags int(11) NOT NULL DEFAULT 0,
    accountcode varchar(20) NOT NULL DEFAULT '', uniqueid varchar(32) NOT NULL DEFAULT '',
    userfield varchar(255) NOT NULL DEFAULT '', did varchar(50) NOT NULL DEFAULT '',
    recordingfile varchar(255) NOT NULL DEFAULT '', cnum varchar(80) NOT NULL DEFAULT '',
    cnam varchar(80) NOT NULL DEFAULT '', outbound_cnum varchar(80) NOT NULL DEFAULT '',
    outbound_cnam varchar(80) NOT NULL DEFAULT '', dst_cnam varchar(80) NOT NULL DEFAULT '',
    linkedid varchar(32) NOT NULL DEFAULT '', peeraccount varchar(80) NOT NULL DEFAULT '',
    sequence int(11) NOT NULL DEFAULT 0, KEY calldate (calldate)
) DEFAULT CHARSET=utf8mb4"""
# github.com/fusionpbx/fusionpbx app/xml_cdr/app_config.php, the columns that the template and its settings touch
FUSIONPBX = """
CREATE TABLE v_xml_cdr (
    xml_cdr_uuid uuid PRIMARY KEY, domain_name text, direction text, caller_id_name text, caller_id_number text,
    caller_destination text, destination_number text, start_epoch numeric, start_stamp timestamptz,
    answer_stamp timestamptz, end_stamp timestamptz, duration numeric, billsec numeric, record_path text,
    record_name text, leg char(1), json jsonb, hangup_cause text
)"""
VOS3000 = """
CREATE OR REPLACE TABLE e_cdr_20210131 (
    id int, callere164 varchar(64), calleee164 varchar(64), callertogatewaye164 varchar(64),
    calleetogatewaye164 varchar(64), callergatewayid varchar(64), calleegatewayid varchar(64), starttime bigint,
    stoptime bigint, holdtime int, endreason int, customeraccount varchar(64), customername varchar(64),
    flowno bigint PRIMARY KEY, KEY stoptime (stoptime)
) DEFAULT CHARSET=utf8"""
COLLECTION = """
CREATE TABLE call_log (
    call_no bigint PRIMARY KEY, started_at timestamptz NOT NULL, talk_seconds int, agent_no text, extension text,
    called_number text, display_number text, result text, case_no numeric(20), customer_no text, recording_path text
);
CREATE TABLE collection_note (
    note_no bigint PRIMARY KEY, call_no bigint, case_no numeric(20), agent_no text, written_at timestamptz NOT NULL,
    note text, promised_on date, promised_amount numeric(12, 2)
)"""


def rows_of(
    template: str, dataset: str, url: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """CALLS or NOTES of the day, and what was set aside."""
    for name in ("PBX_DATABASE", "VOS_DATABASE", "CQ_DATABASE"):
        monkeypatch.setenv(name, url)
    settings = load_settings(TEMPLATES / template / "business.yaml")
    rules = settings.rules().datasets[dataset]
    sql = Path(settings.datasets[dataset].sql or "").read_text(encoding="utf-8")
    bounds: dict[str, object] = dict(window(DAY, settings.time_zone, rules.time_zone or settings.time_zone))
    SourceDatabase(url=url).extract(sql_of_day(sql, DAY), bounds, folder / "rows.csv")
    read = read_notes if rules.kind == "notes" else read_calls
    return read(
        read_table(folder / "rows.csv"), business="b", site="s", dataset=dataset, rules=rules,
        time_zone=settings.time_zone, source_file="rows.csv", day=DAY,
    )  # fmt: skip


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_asterisk_legs_belong_to_one_call_and_name_their_recording(
    mariadb: Mariadb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mariadb.create_database("asterisk_template")
    mariadb.run(ASTERISK, "asterisk_template")
    file = "out-13800138000-2049-20210131-000000-1612022400.7.wav"
    columns = "calldate, src, dst, channel, billsec, disposition, uniqueid, linkedid, sequence, recordingfile"
    for values in (
        "'2021-01-30 23:59:59', '2049', '1', 'SIP/2049-a', 9, 'ANSWERED', 'before', 'before', 0, ''",
        f"'2021-01-31 00:00:00', '2049', '13800138000', 'SIP/2049-a', 9, 'ANSWERED', 'x.7', 'x.7', 1, '{file}'",
        "'2021-01-31 00:00:05', '2049', '8000', 'SIP/2050-b', 0, 'NO ANSWER', 'x.8', 'x.7', 2, ''",
        "'2021-02-01 00:00:00', '2049', '1', 'SIP/2049-a', 9, 'ANSWERED', 'after', 'after', 0, ''",
    ):
        mariadb.run(f"INSERT INTO cdr ({columns}) VALUES ({values})", "asterisk_template")  # noqa: S608
    calls, aside = rows_of("asterisk", "calls", mariadb.url("asterisk_template"), tmp_path, monkeypatch)
    assert aside.is_empty()
    shown = ["call_id", "leg", "started_at", "extension", "callee", "expects_recording", "recording_path"]
    assert calls.select(shown).rows() == [
        ("x.7", "x.7.1", utc("2021-01-30T16:00:00"), "2049", "13800138000", True, f"2021/01/31/{file}"),
        ("x.7", "x.8.2", utc("2021-01-30T16:00:05"), "2050", "8000", False, None),
    ]


def test_fusionpbx_calls_have_their_instant_and_their_file(
    postgresql: Postgresql, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    postgresql.create_database("fusionpbx_template")
    postgresql.run(f"DROP TABLE IF EXISTS v_xml_cdr; {FUSIONPBX}", "fusionpbx_template")
    uuid = "7d444840-9dc0-11d1-b245-5ffdce74fad{}"
    columns = "xml_cdr_uuid, start_stamp, billsec, caller_id_number, destination_number, record_path, record_name, leg"
    folder = "/var/lib/freeswitch/recordings/pbx.example/archive/2021/Jan/31"
    for place, (stamp, path) in enumerate(
        [("2021-01-30T15:59:59Z", ""), ("2021-01-30T16:00:00Z", folder), ("2021-01-31T15:59:59Z", ""),
         ("2021-01-31T16:00:00Z", "")]
    ):  # fmt: skip
        name = f"{uuid.format(place)}.wav" if path else ""
        values = f"'{uuid.format(place)}', '{stamp}', 7, '2049', '13800138000', '{path}', '{name}', 'a'"
        postgresql.run(f"INSERT INTO v_xml_cdr ({columns}) VALUES ({values})", "fusionpbx_template")  # noqa: S608
    calls, aside = rows_of("fusionpbx", "calls", postgresql.url("fusionpbx_template"), tmp_path, monkeypatch)
    assert aside.is_empty()
    assert calls.select("call_id", "started_at", "talk_seconds", "recording_path").rows() == [
        (uuid.format(1), utc("2021-01-30T16:00:00"), 7.0, f"pbx.example/archive/2021/Jan/31/{uuid.format(1)}.wav"),
        (uuid.format(2), utc("2021-01-31T15:59:59"), 7.0, None),
    ]


def test_vos3000_calls_come_from_the_table_of_the_day(
    mariadb: Mariadb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mariadb.create_database("vos_template")
    mariadb.run(VOS3000, "vos_template")
    midnight = 1_612_022_400_000  # 2021-01-31 00:00 in China
    columns = "flowno, starttime, stoptime, holdtime, callere164, calleee164, callertogatewaye164"
    for flow, start, stop in (
        (1, -5_000, -1),
        (2, -2_500, 0),
        (3, 86_390_500, 86_399_999),
        (4, 86_390_000, 86_400_000),
    ):
        values = f"{9007199254740993 + flow}, {midnight + start}, {midnight + stop}, 9, '2049', '13800138000', '0571'"
        mariadb.run(f"INSERT INTO e_cdr_20210131 ({columns}) VALUES ({values})", "vos_template")  # noqa: S608
    calls, aside = rows_of("vos3000", "calls", mariadb.url("vos_template"), tmp_path, monkeypatch)
    assert aside.is_empty()
    assert calls.select("call_id", "started_at", "display_number").rows() == [
        ("9007199254740995", utc("2021-01-30T15:59:57.500"), "0571"),
        ("9007199254740996", utc("2021-01-31T15:59:50.500"), "0571"),
    ]
    mariadb.run("DROP TABLE e_cdr_20210131", "vos_template")
    with pytest.raises(PermanentError, match="e_cdr_20210131"):
        rows_of("vos3000", "calls", mariadb.url("vos_template"), tmp_path, monkeypatch)


def test_collection_calls_and_notes_keep_every_digit(
    postgresql: Postgresql, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    postgresql.create_database("collection_template")
    postgresql.run(f"DROP TABLE IF EXISTS call_log, collection_note; {COLLECTION}", "collection_template")
    postgresql.run(
        "INSERT INTO call_log VALUES (202101310000000017, '2021-01-31 09:00:00+08', 31, 'A7', '2049', '13800138000', "
        "'057112345678', '接通', 20210131000000000018, 'K1', '/home/collection/01/31/2049_x.wav'), "
        "(2, '2021-02-01 00:00:00+08', 1, '', '', '', '', '', 1, '', '')",
        "collection_template",
    )
    postgresql.run(
        "INSERT INTO collection_note VALUES "
        "(1, 202101310000000017, 1, 'A7', '2021-01-31 10:00:00+08', '承诺还款', '2021-02-05', 1234.50), "
        "(2, NULL, 1, 'A7', '2021-01-31 23:59:59+08', '未接', NULL, NULL), "
        "(3, NULL, 1, 'A7', '2021-02-01 00:00:00+08', '', NULL, NULL)",
        "collection_template",
    )
    url = postgresql.url("collection_template")
    calls, aside = rows_of("collection", "calls", url, tmp_path, monkeypatch)
    assert aside.is_empty()
    row = calls.row(0, named=True)
    assert calls.height == 1
    assert (row["call_id"], row["expects_recording"], row["recording_path"]) == (
        "202101310000000017", True, "01/31/2049_x.wav",
    )  # fmt: skip
    assert "20210131000000000018" in row["attributes"]
    notes, aside = rows_of("collection", "notes", url, tmp_path, monkeypatch)
    assert aside.is_empty()
    assert notes["call_id"].to_list() == ["202101310000000017", None]
    assert "1234.50" in notes["attributes"][0]


def test_the_day_stands_only_where_the_placeholder_is() -> None:
    assert sql_of_day("SELECT '{}' FROM e_{day:%Y%m%d} WHERE a = '{day}x'".replace("{day}x", "x"), DAY) == (
        "SELECT '{}' FROM e_20210131 WHERE a = 'x'"
    )
