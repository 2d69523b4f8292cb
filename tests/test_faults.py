"""Killed at any point, a run is simply run again and ends as an undisturbed one."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from prefect.settings import get_current_settings
from shop import DAY, Shop

from flows.backup import backup
from flows.ingest import ingest

# A run in a process of its own that kills itself with SIGKILL when it comes to the named call for the n-th time.
KILLED_RUN = """
import importlib, os, signal, sys
from datetime import date
module, name, nth, flow, business, *arguments = sys.argv[1:]
owner = importlib.import_module(module)
for part in name.split(".")[:-1]:
    owner = getattr(owner, part)
name = name.split(".")[-1]
real, times = getattr(owner, name), [0]

def deadly(*given, **named):
    times[0] += 1
    if times[0] == int(nth):
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*given, **named)

if hasattr(real, "fn"):  # a task of Prefect
    task, real = real, real.fn
    task.fn = deadly
else:
    setattr(owner, name, deadly)
run = getattr(importlib.import_module(f"flows.{flow}"), flow)
run(business, *[date.fromisoformat(text) if text[:2] == "20" else text for text in arguments])
"""

# Those that are marked are between the same two writes as another: `make test-long` has them, too.
BACKUP_POINTS = [
    pytest.param(("flows.backup", "extract", 1), marks=pytest.mark.long),
    pytest.param(("flows.backup", "write_datapackage", 1), marks=pytest.mark.long),
    pytest.param(("flows.backup", "take_inventory", 1), marks=pytest.mark.long),
    ("flows.backup", "stage", 1),
    pytest.param(("shutil", "rmtree", 2), marks=pytest.mark.long),
    pytest.param(("flows.backup", "take_snapshot", 1), marks=pytest.mark.long),
    pytest.param(("blocks.repository", "run_restic", 3), marks=pytest.mark.long),
    ("blocks.repository", "run_restic", 6),
    pytest.param(("flows.backup", "confirm", 1), marks=pytest.mark.long),
]
INGEST_POINTS = [
    pytest.param(("flows.ingest", "unpack", 1), marks=pytest.mark.long),
    pytest.param(("flows.ingest", "restore", 1), marks=pytest.mark.long),
    pytest.param(("flows.ingest", "list_held", 1), marks=pytest.mark.long),
    pytest.param(("flows.ingest", "verify", 1), marks=pytest.mark.long),
    pytest.param(("flows.ingest", "publish", 1), marks=pytest.mark.long),
    ("os", "link", 2),
    pytest.param(("flows.ingest", "catalogue", 1), marks=pytest.mark.long),
    pytest.param(("flows.centre", "Catalog.write", 2), marks=pytest.mark.long),
    ("flows.centre", "Catalog.write", 5),
    pytest.param(("flows.ingest", "index", 1), marks=pytest.mark.long),
    ("flows.centre", "CatalogIndex.replace", 1),
    ("flows.ingest", "finish", 1),
]


def run_and_die(point: tuple[str, str, int], flow: str, *arguments: str, business: str = "shop") -> None:
    """Run the flow in a process of its own that kills itself at this point."""
    server = {"PREFECT_API_URL": str(get_current_settings().api.url), "PREFECT_LOGGING_LEVEL": "CRITICAL"}
    module, name, nth = point
    done = subprocess.run(
        [sys.executable, "-c", KILLED_RUN, module, name, str(nth), flow, business, *arguments],
        env=os.environ | server,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]


def a_day(shop: Shop) -> None:
    for place, clock in enumerate(("09:00:00", "10:00:00", "11:00:00")):
        shop.call(f"c{place}", clock)
        shop.recording(clock)
    shop.call("missing", "12:00:00")


@pytest.fixture(scope="module")
def undisturbed(prefect: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """The end state of a day that nothing disturbed, before its reconciliation, which only reads what is here."""
    shop = Shop(tmp_path_factory.mktemp("undisturbed"))
    a_day(shop)
    backup("shop", "one", DAY)
    ingest("shop")
    return shop.end_state()


@pytest.mark.parametrize("point", BACKUP_POINTS, ids=lambda point: f"{point[1]}-{point[2]}")
def test_a_backup_that_was_killed_is_run_again_and_ends_the_same(
    point: tuple[str, str, int], new_shop: Shop, undisturbed: dict[str, object]
) -> None:
    a_day(new_shop)
    run_and_die(point, "backup", "one", DAY.isoformat())
    backup("shop", "one", DAY)
    ingest("shop")
    assert new_shop.end_state() == undisturbed


@pytest.mark.parametrize("point", INGEST_POINTS, ids=lambda point: f"{point[1]}-{point[2]}")
def test_an_ingest_that_was_killed_is_run_again_and_ends_the_same(
    point: tuple[str, str, int], shop: Shop, undisturbed: dict[str, object]
) -> None:
    a_day(shop)
    backup("shop", "one", DAY)
    run_and_die(point, "ingest")
    ingest("shop")
    assert shop.end_state() == undisturbed
    assert leftovers(shop.storage) == []


def leftovers(storage: Path) -> list[Path]:
    """Files that a writer has left half-written."""
    return [file for file in storage.rglob("*") if file.name.endswith((".part", ".tmp"))]


def test_two_ingests_at_the_same_time_end_as_one(shop: Shop, undisturbed: dict[str, object]) -> None:
    a_day(shop)
    backup("shop", "one", DAY)
    server = {"PREFECT_API_URL": str(get_current_settings().api.url), "PREFECT_LOGGING_LEVEL": "CRITICAL"}
    code = "from flows.ingest import ingest; ingest('shop')"
    both = [subprocess.Popen([sys.executable, "-c", code], env=os.environ | server) for _ in range(2)]
    assert [run.wait(timeout=120) for run in both] == [0, 0]
    assert shop.end_state() == undisturbed


def test_a_repository_on_a_full_disk_is_one_clear_error(new_shop: Shop) -> None:
    a_day(new_shop)
    small = new_shop.repositories
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(small)], check=True)
    try:
        with pytest.raises(Exception, match=r"(?s)shop/one.*space") as caught:
            backup("shop", "one", DAY)
        assert "free some space" in str(caught.value)
    finally:
        subprocess.run(["umount", str(small)], check=True)
    assert list(small.iterdir()) == []
    new_shop.run()
    assert new_shop.open_findings() == {"recording_missing": 1}
