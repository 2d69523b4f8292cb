"""Toxiproxy on this machine: a network between two programs that stalls, cuts and comes back when it is told to.

Its interface is HTTP: https://github.com/Shopify/toxiproxy#http-api.
"""

from dataclasses import dataclass
from pathlib import Path

import httpx

from deploy.servers import process

TOOLS = Path(__file__).resolve().parents[2] / ".tools"
_NAME = "toxiproxy"


@dataclass(frozen=True)
class Toxiproxy:
    """A proxy on the loopback in front of one server; every verb may be called twice.

    Attributes:
        folder: Log, port and process id.
        upstream: `host:port` of the server behind it.
    """

    folder: Path
    upstream: str

    @property
    def address(self) -> str:
        """`host:port` at which the server behind it is reached."""
        return f"127.0.0.1:{process.remembered_port(self.folder / 'front')}"

    def start(self) -> None:
        """Start it, with nothing in its way; returns when the server behind it can be reached.

        Raises:
            ServerError: it was not built, has ended, or is not ready in time.
        """
        program = TOOLS / "toxiproxy"
        if not program.exists():
            raise process.ServerError(f"Cannot start Toxiproxy: {program} is missing. Run `make servers`.")
        port = process.remembered_port(self.folder)
        process.start(_NAME, [str(program), "-host", "127.0.0.1", "-port", str(port)], self.folder)
        process.wait_until(lambda: process.answers(port), _NAME, self.folder)
        self._ask("POST", "/populate", [{"name": "way", "listen": self.address, "upstream": self.upstream}])

    def cut(self) -> None:
        """Let nothing through: connections are refused."""
        self._ask("POST", "/proxies/way", {"enabled": False})

    def mend(self) -> None:
        """Let everything through, at once."""
        self._ask("POST", "/reset", None)

    def stall(self, milliseconds: int, share_cut: float) -> None:
        """Have each answer wait up to so long, and cut a share of the connections in the middle of what they carry."""
        self.mend()
        slow = {"latency": milliseconds // 2, "jitter": milliseconds // 2}
        for name, kind, toxicity, attributes in (
            ("slow", "latency", 1.0, slow),
            ("torn", "limit_data", share_cut, {"bytes": 20_000}),
        ):
            toxic = {"name": name, "type": kind, "toxicity": toxicity, "attributes": attributes}
            self._ask("POST", "/proxies/way/toxics", toxic)

    def stop(self) -> None:
        """End it."""
        process.stop(_NAME, self.folder)

    def _ask(self, method: str, path: str, body: object) -> None:
        url = f"http://127.0.0.1:{process.remembered_port(self.folder)}{path}"
        # It refuses what says that it comes from a browser, and takes httpx for none of them.
        httpx.request(method, url, json=body, timeout=10).raise_for_status()
