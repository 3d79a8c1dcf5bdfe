"""Stands in for the APIs and webhook receivers of the examples, so that they need nothing but the service.

``python stand_in.py [PORT]`` serves it by itself, on port 9000, and prints what it is asked.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PATIENCE_S = 30.0


@dataclass(frozen=True)
class Webhook:
    """A delivery as it came in."""

    path: str
    body: bytes
    signature: str

    @property
    def data(self) -> dict[str, Any]:
        """What it says."""
        delivery: dict[str, Any] = json.loads(self.body)
        return delivery


class StandIn:
    """An HTTP server on this machine: `/status/<code>`, `/delay/<s>`, `/flaky/<code>/..`, `/webhook..`.

    A flaky path fails the first time that it is asked for, and works from then on.
    """

    def __init__(self, port: int = 0, *, prints: bool = False) -> None:
        self.webhooks: list[Webhook] = []
        self.asked = Counter[str]()
        self._changed = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self, prints=prints))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def url(self, path: str) -> str:
        """Return the address of a path."""
        return f"http://127.0.0.1:{self._server.server_port}{path}"

    def wait_for_webhook(self, job_id: str, path: str = "/webhook") -> Webhook:
        """Return a job's delivery to this path once it has come."""

        def found() -> Webhook | None:
            return next((w for w in self.webhooks if (w.path, w.data["job_id"]) == (path, job_id)), None)

        with self._changed:
            delivery = self._changed.wait_for(found, PATIENCE_S)
        if delivery is None:
            raise TimeoutError(f"no webhook came for {job_id}")
        return delivery

    def wait_for_request(self, path: str, times: int = 1) -> None:
        """Return once this path was asked for so often."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.asked[path] >= times, PATIENCE_S):
                raise TimeoutError(f"{path} was not asked for")

    def join(self) -> None:
        """Serve until the process is interrupted."""
        self._thread.join()

    def stop(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()

    def take(self, path: str, body: bytes, signature: str) -> int:
        """Take in a request, and return the status to answer it with."""
        with self._changed:
            self.asked[path] += 1
            if path.startswith("/webhook"):
                self.webhooks.append(Webhook(path, body, signature))
            self._changed.notify_all()
        _, kind, *rest = path.split("/")
        if kind == "delay":
            time.sleep(float(rest[0]))
        if kind == "status" or (kind == "flaky" and self.asked[path] == 1):
            return int(rest[0])
        return 500 if path.endswith("/broken") else 200


@contextmanager
def stand_in() -> Iterator[StandIn]:
    """Run one until the block ends."""
    server = StandIn()
    try:
        yield server
    finally:
        server.stop()


def _handler(server: StandIn, *, prints: bool) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            path = self.path.partition("?")[0]
            status = server.take(path, body, self.headers.get("X-EZThrottle-Signature", ""))
            if prints:
                print(self.command, self.path, status, flush=True)
            answer = json.dumps({"path": path, "status": status}).encode()
            self.send_response(status)
            # Without these the service sends two requests a second, two at once.
            self.send_header("X-EZTHROTTLE-RPS", "50")
            self.send_header("X-EZTHROTTLE-MAX-CONCURRENT", "10")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Keep the examples' output their own."""

    return Handler


if __name__ == "__main__":
    alone = StandIn(int(sys.argv[1]) if len(sys.argv) > 1 else 9000, prints=True)
    print(f"answering on {alone.url('')}", flush=True)
    alone.join()
