"""A pack goes to its bank whole, checked, and once; what is interrupted goes on."""

import hashlib
import json
import zipfile
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import bagit
import openpyxl
import pytest
import yaml
from shop import DAY, Shop
from test_faults import run_and_die

from blocks.errors import PermanentError, SettingsError, TransientError
from deploy.servers.sftp import Sftp
from flows.backup import backup
from flows.export import export
from flows.ingest import ingest
from reconcile.frames import SENT

PACK = {
    "pack": "bank",
    "title": "Bank",
    "rows": "recordings",
    "columns": [{"name": "通话", "field": "call_id"}, {"name": "文件", "field": "file", "required": True}],
    "file": {"name": "index.xlsx", "kind": "xlsx"},
    "recordings": {"name": "{day:%Y%m%d}/{call_id}.{suffix}"},
    "split": {"rows": 2},
    "zip": "bank_{since:%Y%m%d}_{part:03}.zip",
    "bagit": True,
}


def with_pack(shop: Shop, **changes: Any) -> Path:
    """Apply the shop with this pack, which goes to the folder that comes back."""
    bank = shop.folder / "bank"
    bank.mkdir(exist_ok=True)
    content = PACK | {"deliver": {"url": str(bank)}} | changes
    (shop.folder / "bank.yaml").write_text(yaml.safe_dump(content, allow_unicode=True))
    shop.apply(packs=["bank.yaml"])
    return bank


def a_day(shop: Shop, *clocks: str) -> None:
    for clock in clocks:
        shop.call(f"c{clock[:2]}", clock)
        shop.recording(clock)
    backup("shop", "one", DAY)
    ingest("shop")


def send(**changes: Any) -> dict[str, Any]:
    return export("shop", "bank", DAY, DAY, **changes)


def sent_files(bank: Path) -> dict[str, bytes]:
    return {str(file.relative_to(bank)): file.read_bytes() for file in sorted(bank.rglob("*")) if file.is_file()}


def test_a_pack_arrives_in_parts_each_a_bag_with_its_index_and_the_very_bytes(shop: Shop, tmp_path: Path) -> None:
    bank = with_pack(shop)
    a_day(shop, "09:00:00", "10:00:00", "11:00:00")
    assert send()["recordings"] == 3
    assert list(sent_files(bank)) == ["bank_20210131_001.zip", "bank_20210131_002.zip"]
    for name in sent_files(bank):
        with zipfile.ZipFile(bank / name) as archive:
            archive.extractall(tmp_path / "got")
        assert bagit.Bag(str(tmp_path / "got" / name.removesuffix(".zip"))).is_valid()
    first = tmp_path / "got" / "bank_20210131_001" / "data"
    sheet = openpyxl.load_workbook(BytesIO((first / "index.xlsx").read_bytes())).active
    assert [[cell.value for cell in row] for row in sheet.iter_rows()] == [
        ["通话", "文件"], ["c09", "20210131/c09.wav3"], ["c10", "20210131/c10.wav3"],
    ]  # fmt: skip
    source = shop.root / "01" / "31" / "2049_15372388463_20210131090000.wav3"
    assert (first / "20210131" / "c09.wav3").read_bytes() == source.read_bytes()
    assert shop.frame(SENT).select("pack", "part", "export").rows() == [
        ("bank", part, "2021-01-31--2021-01-31.001") for part in (1, 1, 2)
    ]


def test_nothing_is_sent_twice_what_comes_late_is_sent_alone_and_all_again_on_request(shop: Shop) -> None:
    bank = with_pack(shop, zip="bank_{until:%Y%m%d}_{part:03}.zip", split={})
    a_day(shop, "09:00:00")
    send()
    first = sent_files(bank)
    assert send()["rows"] == 0
    assert sent_files(bank) == first
    a_day(shop, "10:00:00")
    (bank / "bank_20210131_001.zip").rename(bank / "taken.zip")
    assert send()["rows"] == 1
    with zipfile.ZipFile(bank / "bank_20210131_001.zip") as archive:
        assert [name for name in archive.namelist() if "/data/2" in name] == [
            "bank_20210131_001/data/20210131/c10.wav3"
        ]
    for file in bank.iterdir():
        file.unlink()
    assert send(resend=True)["rows"] == 2
    receipts = sorted((shop.storage / "exports" / "shop" / "bank").glob("*/receipt.json"))
    assert [len(json.loads(file.read_text())["parts"][0]["sent_again"]) for file in receipts] == [1, 1]


def test_a_dry_run_tells_everything_and_writes_nothing(shop: Shop) -> None:
    columns = [{"name": "号码", "field": "attribute.备注", "pattern": "[0-9]+"}]
    bank = with_pack(shop, columns=columns)
    a_day(shop, "09:00:00")
    told = send(dry_run=True)
    assert (told["rows"], told["problems"]) == (1, 1)
    assert told["broken_rules"] == ["row 1, call c09, 号码: it does not fit [0-9]+"]
    with pytest.raises(PermanentError, match="1 of 1 rows break the bank's rules: row 1, call c09"):
        send()
    assert sent_files(bank) == {}
    assert not (shop.storage / "exports").exists()


def test_an_object_with_other_bytes_is_never_sent(shop: Shop) -> None:
    bank = with_pack(shop)
    a_day(shop, "09:00:00")
    [key] = shop.store.listing()["key"]
    file = shop.storage / "bucket" / "shop-audio" / key
    content = file.read_bytes()
    file.chmod(0o644)
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(PermanentError, match="not those of the recording"):
        send()
    assert sent_files(bank) == {}
    file.write_bytes(content)
    assert send()["rows"] == 1


def test_a_copy_in_the_banks_form_is_a_copy(shop: Shop) -> None:
    recordings = {"name": "{call_id}.{suffix}", "format": "wav-alaw"}
    bank = with_pack(shop, recordings=recordings, zip=None, bagit=False, split={})
    a_day(shop, "09:00:00")
    send()
    with av.open(str(bank / "c09.wav")) as copy:
        assert copy.streams.audio[0].codec_context.name == "pcm_alaw"
    published = b"".join(shop.store.get(shop.store.listing()["key"][0]))
    source = shop.root / "01" / "31" / "2049_15372388463_20210131090000.wav3"
    assert hashlib.sha256(published).digest() == hashlib.sha256(source.read_bytes()).digest()


# Between every two writes of an export of two parts.
POINTS = [
    pytest.param(("pathlib", "Path.rename", 1), marks=pytest.mark.long),
    pytest.param(("flows.export", "_deliver", 1), marks=pytest.mark.long),
    pytest.param(("blocks.delivery", "Delivery.put", 2), marks=pytest.mark.long),
    ("flows.export", "_record", 1),
    pytest.param(("blocks.catalog", "Catalog.write", 1), marks=pytest.mark.long),
    pytest.param(("flows.export", "_write", 1), marks=pytest.mark.long),
    pytest.param(("flows.export", "_receipt", 1), marks=pytest.mark.long),
]


@pytest.mark.parametrize("point", POINTS, ids=lambda point: f"{point[1]}-{point[2]}")
def test_an_export_that_was_killed_goes_on_and_sends_no_row_in_two_packs(
    point: tuple[str, str, int], shop: Shop
) -> None:
    bank = with_pack(shop)
    a_day(shop, "09:00:00", "10:00:00", "11:00:00")
    run_and_die(point, "export", "bank", DAY.isoformat(), DAY.isoformat())
    before = sent_files(bank)
    assert send()["rows"] == 3
    after = sent_files(bank)
    assert {name: after[name] for name in before} == before
    assert list(after) == ["bank_20210131_001.zip", "bank_20210131_002.zip"]
    assert shop.frame(SENT).height == shop.frame(SENT)["row_uid"].n_unique() == 3
    assert send()["rows"] == 0


def test_a_pack_goes_to_a_real_sftp_server_and_waits_for_one_that_is_gone(shop: Shop, sftp: Sftp) -> None:
    (shop.folder / "key").write_text(sftp.private_key.read_text())
    bank = shop.folder / "at-the-bank"
    deliver = {"url": f"{sftp.url}{bank}", "private_key": {"file": "key"}, "host_key": sftp.host_key}
    gone = {
        **deliver,
        "url": "sftp://x@127.0.0.1:1/y",
        "host_key": sftp.host_key.replace(sftp.host_key.split()[0], "x"),
    }
    a_day(shop, "09:00:00")
    with_pack(shop, deliver=gone)
    with pytest.raises(TransientError, match="goes on where it stopped"):
        send()
    with_pack(shop, deliver=deliver)
    assert send()["recordings"] == 1
    assert [file.name for file in bank.iterdir()] == ["bank_20210131_001.zip"]
    assert send()["rows"] == 0


def test_a_pack_that_there_is_not_is_told_with_those_that_are(shop: Shop) -> None:
    with_pack(shop)
    with pytest.raises(SettingsError, match="has the packs bank"):
        export("shop", "other", DAY - timedelta(days=1), DAY)
