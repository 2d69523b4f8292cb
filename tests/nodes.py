"""One real Elasticsearch for all workers of a test run, used by one test at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from servers import held, server_of_all_workers

from deploy.servers import elasticsearch
from deploy.servers.elasticsearch import USER, Elasticsearch

# Quick to compile instead of quick to run: no node of the tests lives for long.
JAVA_OPTIONS = "-XX:TieredStopAtLevel=1"
PASSWORD = "a-password-of-the-tests"
# A node that soon has too much to do, takes small requests only, and asks who one is.
STRAINED = {"thread_pool.write.size": "1", "thread_pool.write.queue_size": "1", "http.max_content_length": "1mb"}


def node_of_all_workers(factory: pytest.TempPathFactory, name: str, **options: object) -> Iterator[Elasticsearch]:
    """The node of this name, started by the first worker that wants it and stopped by the last that had it."""

    def make(folder: Path) -> Elasticsearch:
        elasticsearch.fetch()
        return replace(elasticsearch.node(folder, **options), java_options=JAVA_OPTIONS)  # type: ignore[arg-type]

    yield from server_of_all_workers(factory, name, make, Elasticsearch.stop)


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
