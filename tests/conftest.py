"""Fixtures that several files of tests share."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from playwright.sync_api import Browser, sync_playwright
from prefect.settings import (
    PREFECT_API_TLS_INSECURE_SKIP_VERIFY,
    PREFECT_CLIENT_CSRF_SUPPORT_ENABLED,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    PREFECT_SERVER_ANALYTICS_ENABLED,
    PREFECT_SERVER_SERVICES_EVENT_PERSISTER_ENABLED,
    PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_ENABLED,
    PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED,
    temporary_settings,
)
from prefect.testing.utilities import prefect_test_harness

sys.path.insert(0, str(Path(__file__).parent))

from databases import mariadb, postgresql  # noqa: F401  # fixtures
from nodes import PASSWORD, STRAINED, emptied, node_of_all_workers
from online import running_cluster, servers  # noqa: F401  # fixtures
from page import Page
from s3_servers import breakable_minio, minio, minio_cluster, seaweedfs, service  # noqa: F401  # fixtures
from servers import server_of_all_workers
from shop import Shop

from blocks.elastic import ElasticIndex
from deploy.servers.elasticsearch import Elasticsearch
from deploy.servers.sftp import Sftp

# No test is timed: on a busy machine the same example takes ten times as long.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are processors: a fifth of its time, a worker waits for a server."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(scope="session")
def prefect() -> Iterator[None]:
    """One Prefect server for all tests that run flows.

    Nobody listens for their heartbeat here, and the thread that sends it makes every flow up to a second longer. Nor
    does anybody read events, which takes the server as much work as all that is asked of it. The server has no
    certificate and wants no token: each client would read those of all authorities, and ask for one, in vain.
    """
    needless = dict.fromkeys(
        (
            PREFECT_CLIENT_CSRF_SUPPORT_ENABLED,
            PREFECT_SERVER_ANALYTICS_ENABLED,
            PREFECT_SERVER_SERVICES_EVENT_PERSISTER_ENABLED,
            PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_ENABLED,
            PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED,
        ),
        False,
    )
    with (
        temporary_settings(
            {PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None, PREFECT_API_TLS_INSECURE_SKIP_VERIFY: True, **needless}
        ),
        prefect_test_harness(server_startup_timeout=300),
    ):
        yield


@pytest.fixture
def shop(prefect: None, tmp_path: Path) -> Shop:
    """A small business with one site, its database, a repository and a folder of recordings, all empty."""
    return Shop(tmp_path)


@pytest.fixture
def new_shop(prefect: None, tmp_path: Path) -> Shop:
    """The same before its first backup, which makes the repository."""
    return Shop(tmp_path, is_new=True)


@pytest.fixture(scope="session")
def elasticsearch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Elasticsearch]:
    """A real Elasticsearch, as its makers set it up."""
    yield from node_of_all_workers(tmp_path_factory, "elasticsearch")


@pytest.fixture(scope="session")
def strained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Elasticsearch]:
    """A real Elasticsearch with a password, little room for requests, and a limit to their size."""
    yield from node_of_all_workers(tmp_path_factory, "strained", password=PASSWORD, settings=STRAINED)


@pytest.fixture(scope="session")
def sftp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sftp]:
    """A bank's SFTP server."""
    yield from server_of_all_workers(tmp_path_factory, "sftp", Sftp, Sftp.stop)


@pytest.fixture
def elastic(elasticsearch: Elasticsearch) -> Iterator[ElasticIndex]:
    """An empty call index in Elasticsearch, this test's alone."""
    with emptied(elasticsearch):
        yield ElasticIndex(url=elasticsearch.url)


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The page 调听 over two businesses, served; one for all tests of a worker."""
    page = Page(tmp_path_factory.mktemp("page"))
    server = page.start()
    yield page
    server.should_exit = True


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real Chromium without a window, one a file of tests.

    While Playwright runs, its event loop is that of the thread: Prefect's flows would take themselves for asynchronous.
    """
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("there is no Chromium: make servers")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()
