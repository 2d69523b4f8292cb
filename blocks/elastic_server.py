"""Talking with Elasticsearch: one request and its answer, and searches read to their end."""

import os
import ssl
import time
from collections.abc import Iterator
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import httpx

from blocks.errors import PermanentError, SettingsError, TransientError, VoxkeepError

# HTTP: the same request may succeed later. Elasticsearch says 429 when it has more to do than it can hold.
BUSY = (429, 502, 503, 504)
_NO_ENTRY = (401, 403)
_KEEP = "2m"
# A new index takes a moment until it can be searched.
_SHARDS_SECONDS = 20.0
# So many hits come in one answer, if nobody has changed what Elasticsearch allows.
_AT_ONCE = 10_000


class Server:
    """Elasticsearch, for one who may ask it; used by several threads at a time."""

    def __init__(
        self, url: str, login: httpx.Auth | dict[str, str], ca_file: str | None, timeout_seconds: float
    ) -> None:
        self._auth: httpx.Auth | None = None if isinstance(login, dict) else login
        self._headers = login if isinstance(login, dict) else {}
        self.url = url.rstrip("/")
        self._client = _client(os.getpid(), self.url, ca_file, timeout_seconds)

    def ask(
        self, method: str, path: str, body: object = None, *, absent: bool = False, **parameters: str
    ) -> dict[str, Any]:
        """The answer to one request; `absent`: what is not there gives an empty answer.

        Raises:
            TransientError: it does not answer, or has too much to do.
            SettingsError: it does not accept the credentials or the certificate.
            PermanentError: it refuses the request.
        """
        status, answer = self.send(method, path, body, parameters=parameters)
        if status < httpx.codes.BAD_REQUEST or (absent and status == httpx.codes.NOT_FOUND):
            return answer if status != httpx.codes.NOT_FOUND else {}
        raise self.refusal(f"{method} {path}", status, answer)

    def send(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        lines: bytes | None = None,
        parameters: dict[str, str] | None = None,
    ) -> tuple[int, dict[str, Any]]:
        """Status and body of the answer, whatever it says; only credentials that are refused are an error here.

        Raises:
            TransientError: it does not answer.
            SettingsError: it does not accept the credentials or the certificate.
        """
        headers = self._headers | ({"Content-Type": "application/x-ndjson"} if lines else {})
        where = f"{self.url}/{path}"
        try:
            answer = self._client.request(
                method, where, json=body, content=lines, params=parameters, headers=headers, auth=self._auth
            )
            content = answer.json() if answer.content else {}
        except httpx.TransportError as error:
            raise self._unreachable(error) from None
        except ValueError:
            content = {"error": answer.text[:200]}
        if answer.status_code in _NO_ENTRY:
            raise self.refusal(f"{method} {path}", answer.status_code, content)
        return answer.status_code, content

    def hits(self, index: str, search: dict[str, Any], page: int) -> Iterator[dict[str, Any]]:
        """Every hit of the search, however many, as they all were at one moment; none where there is no index."""
        point = self._point_in_time(index)
        search = {"sort": ["_shard_doc"], "track_total_hits": False, "size": page, **search}
        try:
            while True:
                search["pit"] = {"id": point, "keep_alive": _KEEP}
                answer = self.ask("POST", "_search", search, allow_partial_search_results="false")
                found = answer["hits"]["hits"]
                yield from found
                if len(found) < page:
                    return
                point, search["search_after"] = answer["pit_id"], found[-1]["sort"]
        finally:
            self.ask("DELETE", "_pit", {"id": point}, absent=True)

    def first_hits(self, index: str, search: dict[str, Any], most: int) -> tuple[list[dict[str, Any]], int]:
        """The first hits of a search that has an order, and how many it counted; none where there is no index."""
        found: list[dict[str, Any]] = []
        fitting = 0
        while True:
            size = min(most - len(found), _AT_ONCE)
            parameters = {"ignore_unavailable": "true", "allow_partial_search_results": "false"}
            answer = self._patiently(f"{index}/_search", search | {"size": size}, parameters)["hits"]
            fitting = fitting or answer["total"]["value"]
            found += answer["hits"]
            if len(answer["hits"]) < size or len(found) >= most:
                return found, fitting
            search = search | {"search_after": found[-1]["sort"]}

    def _point_in_time(self, index: str) -> str:
        """The id of the index as it is now."""
        return str(self._patiently(f"{index}/_pit", None, {"keep_alive": _KEEP, "ignore_unavailable": "true"})["id"])

    def _patiently(self, path: str, body: object, parameters: dict[str, str]) -> dict[str, Any]:
        """The answer to a POST; of an index that was made a moment ago, as soon as its shards are there."""
        give_up = time.monotonic() + _SHARDS_SECONDS
        while True:
            status, answer = self.send("POST", path, body, parameters=parameters)
            if status < httpx.codes.BAD_REQUEST:
                return answer
            if status not in BUSY or time.monotonic() > give_up:
                raise self.refusal(f"POST {path}", status, answer)
            time.sleep(0.2)

    def refusal(self, what: str, status: int, answer: dict[str, Any]) -> VoxkeepError:
        """The error that an answer is."""
        told = {
            "operation": f"ask Elasticsearch for {what}",
            "subject": self.url,
            "cause": f"{status}: {reason(answer)}",
        }
        if status in _NO_ENTRY:
            return SettingsError(**told, remedy="check the user and password, or the API key, and what they may do")
        if status in BUSY:
            return TransientError(**told, remedy="wait until it has less to do, then run it again")
        return PermanentError(**told, remedy="check the index template with `voxkeep apply`, and Elasticsearch's log")

    def _unreachable(self, error: httpx.TransportError) -> VoxkeepError:
        cause = str(error) or type(error).__name__
        if "CERTIFICATE_VERIFY_FAILED" in cause:
            return SettingsError(
                operation="reach Elasticsearch",
                subject=self.url,
                cause=cause,
                remedy="name the file of its certificate authority in `ca_file`",
            )
        return TransientError(
            operation="reach Elasticsearch",
            subject=self.url,
            cause=cause,
            remedy="check that it runs and that the address is right, then run it again",
        )


def reason(answer: dict[str, Any]) -> str:
    """Why Elasticsearch refused, in its own words."""
    error = answer.get("error", answer)
    if not isinstance(error, dict):
        return str(error)
    told = []
    while error:
        told.append(str(error.get("reason") or error.get("type") or error))
        error = error.get("caused_by")
    return ": ".join(told)


def part(name: str) -> str:
    """A name as it stands in a path of Elasticsearch."""
    return quote(name, safe="")


@lru_cache(maxsize=16)
def _client(process: int, url: str, ca_file: str | None, timeout_seconds: float) -> httpx.Client:  # noqa: ARG001
    """The connections of this process to a server: making them costs more than a search."""
    return httpx.Client(verify=_trust(url, ca_file), timeout=httpx.Timeout(timeout_seconds, connect=10))


def _trust(url: str, ca_file: str | None) -> ssl.SSLContext | bool:
    if not url.startswith("https"):
        return True
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise SettingsError(
            operation="reach Elasticsearch",
            subject=url,
            cause=f"{ca_file} cannot be read: {error}",
            remedy="name a file with certificates in PEM form in `ca_file`",
        ) from None
