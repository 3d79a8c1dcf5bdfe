"""The HTTP side of the webhook server, over the standard library's; what the other backends share."""

from __future__ import annotations

import json
import logging
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable, Protocol
from urllib.parse import parse_qs, urlsplit

from ezthrottle._receiving.addresses import WEBHOOK, WORKFLOW
from ezthrottle.webhook_utils import SIGNATURE_HEADER

_log = logging.getLogger("ezthrottle")

LARGEST_BODY = 32 * 1024 * 1024
MOST_DIGITS = 10

Receive = Callable[[bytes, str, "str | None"], HTTPStatus]


class Listener(Protocol):
    """Listens from construction on, and answers from `start` on."""

    @property
    def server_port(self) -> int:
        """The port that it listens on."""

    def start(self) -> None:
        """Answer requests, in threads."""

    def stop(self) -> None:
        """Stop, and free the port."""


def refusal_of(content_length: str) -> HTTPStatus | None:
    """Return the status that refuses a body whose length is announced so, or None."""
    if not content_length.isdecimal():
        return HTTPStatus.LENGTH_REQUIRED
    too_large = len(content_length) > MOST_DIGITS or int(content_length) > LARGEST_BODY
    return HTTPStatus.REQUEST_ENTITY_TOO_LARGE if too_large else None


def said(status: HTTPStatus) -> dict[str, str]:
    """Return the body of an answer."""
    return {"status": "received" if status == HTTPStatus.OK else status.phrase}


class StandardListener(ThreadingHTTPServer):
    """The standard library's.

    >>> StandardListener("127.0.0.1", 0, lambda body, signature, workflow: HTTPStatus.OK).start()
    """

    daemon_threads = True

    def __init__(self, host: str, port: int, receive: Receive) -> None:
        super().__init__((host, port), _Handler)
        self.receive = receive
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)

    def start(self) -> None:
        """Answer requests, in threads."""
        self._thread.start()

    def stop(self) -> None:
        """Stop, and free the port."""
        self.shutdown()
        self.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    # A sender that goes silent must not keep a thread for ever; seconds.
    timeout = 30
    server: StandardListener

    def do_POST(self) -> None:
        url = urlsplit(self.path)
        length = self.headers.get("Content-Length", "")
        refusal = refusal_of(length) if url.path == WEBHOOK else HTTPStatus.NOT_FOUND
        if refusal is not None:
            self._answer(refusal)
            return
        body = self.rfile.read(int(length))
        workflow = parse_qs(url.query).get(WORKFLOW, [None])[0]
        self._answer(self.server.receive(body, self.headers.get(SIGNATURE_HEADER, ""), workflow))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name for it
        _log.debug(format, *args)

    def _answer(self, status: HTTPStatus) -> None:
        body = json.dumps(said(status)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
