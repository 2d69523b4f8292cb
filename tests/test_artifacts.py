"""What Prefect's UI alone shows of a day."""

import json
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from shop import DAY, Shop

from flows import artifacts
from flows.backup import backup
from flows.ingest import ingest


def shown(key: str) -> Any:
    """The newest artifact of this key."""
    with get_client(sync_client=True) as client:
        wanted = ArtifactFilter(key=ArtifactFilterKey(any_=[key]))
        found = client.read_artifacts(artifact_filter=wanted)
    return max(found, key=lambda one: str(one.created)) if found else None


def test_a_day_is_told_by_summaries_a_bar_and_a_table_of_findings(shop: Shop) -> None:
    shop.call("c1", "09:00:00")
    shop.recording("09:00:00")
    shop.recording("10:00:00", number="18600000001")
    shop.run()
    assert "| recordings | 2 |" in shown("backup-shop--one").data
    assert shown("progress-shop--one").data == 100
    assert "| published | 2 |" in shown("ingest-shop").data
    (row,) = json.loads(shown("findings-shop").data)
    assert (row["severity"], row["kind"], row["site"]) == ("major", "recording_orphan", "one")
    assert "18600000001" not in str(row)
    assert shown("report-shop-page").data.endswith("report.html)")


def test_a_sweep_that_finds_nothing_leaves_the_last_summary(shop: Shop) -> None:
    shop.recording("09:00:00")
    backup("shop", "one", DAY)
    ingest("shop")
    before = shown("ingest-shop").id
    ingest("shop")
    assert shown("ingest-shop").id == before


def test_a_backup_goes_on_without_artifacts(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ConnectionError("Prefect is away")

    for name in ("create_markdown_artifact", "create_progress_artifact"):
        monkeypatch.setattr(artifacts, name, refuse)
    shop.recording("09:00:00")
    assert backup("shop", "one", DAY)["recordings"] == 1
