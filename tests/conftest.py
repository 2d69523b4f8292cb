"""Fixtures that several files of tests share."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.testing.utilities import prefect_test_harness

sys.path.insert(0, str(Path(__file__).parent))

from shop import Shop


@pytest.fixture(scope="session")
def prefect() -> Iterator[None]:
    """One Prefect server for all tests that run flows."""
    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture
def shop(prefect: None, tmp_path: Path) -> Shop:
    """A small business with one site, its database and a folder of recordings, all empty."""
    return Shop(tmp_path)
