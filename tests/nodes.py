"""One real Elasticsearch for all workers of a test run, used by one test at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import psutil
import pytest

from deploy.servers import elasticsearch, process
from deploy.servers.elasticsearch import USER, Elasticsearch

# Quick to compile instead of quick to run: no node of the tests lives for long.
JAVA_OPTIONS = "-XX:TieredStopAtLevel=1"
PASSWORD = "a-password-of-the-tests"
# A node that soon has too much to do, takes small requests only, and asks who one is.
STRAINED = {"thread_pool.write.size": "1", "thread_pool.write.queue_size": "1", "http.max_content_length": "1mb"}


def node_of_all_workers(factory: pytest.TempPathFactory, name: str, **options: object) -> Iterator[Elasticsearch]:
    """The node of this name, started by the first worker that wants it and stopped by the last that had it."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    folder.mkdir(exist_ok=True)
    users = folder / "users"
    users.mkdir(exist_ok=True)
    with held(folder / "start"):
        (users / str(os.getpid())).touch()
        try:
            elasticsearch.fetch()
            node = replace(elasticsearch.node(folder, **options), java_options=JAVA_OPTIONS)  # type: ignore[arg-type]
            node.start()
        except process.ServerError as error:
            pytest.skip(str(error))
    yield node
    with held(folder / "start"):
        (users / str(os.getpid())).unlink()
        if not any(psutil.pid_exists(int(user.name)) for user in users.iterdir()):
            node.stop()


@contextmanager
def held(file: Path) -> Iterator[None]:
    """Hold a lock that dies with its process."""
    with file.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextmanager
def emptied(node: Elasticsearch) -> Iterator[httpx.Client]:
    """The node without calls, for this test alone; a client to ask it directly."""
    login = (USER, node.password) if node.password else None
    with held(node.folder / "test"), httpx.Client(base_url=node.url, auth=login, timeout=60) as client:
        for name in client.get("/calls-*/_alias").json():
            client.delete(f"/{name}").raise_for_status()
        for template in client.get("/_index_template/calls-*").json().get("index_templates", []):
            client.delete(f"/_index_template/{template['name']}").raise_for_status()
        yield client
