"""The HTTP side of the webhook server, over the standard library's."""

from __future__ import annotations

import json
import logging
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable
from urllib.parse import parse_qs, urlsplit

_log = logging.getLogger("ezthrottle")

PATH = "/webhook"
LARGEST_BODY = 32 * 1024 * 1024
MOST_DIGITS = 10
SIGNATURE_HEADER = "X-EZThrottle-Signature"

Receive = Callable[[bytes, str, "str | None"], HTTPStatus]


class Listener(ThreadingHTTPServer):
    """Listens from construction on, and answers from `start` on.

    >>> Listener("127.0.0.1", 0, lambda body, signature, workflow: HTTPStatus.OK).start()
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
    server: Listener

    def do_POST(self) -> None:
        url = urlsplit(self.path)
        length = self.headers.get("Content-Length", "")
        if url.path != PATH:
            self._answer(HTTPStatus.NOT_FOUND)
        elif not length.isdecimal():
            self._answer(HTTPStatus.LENGTH_REQUIRED)
        elif len(length) > MOST_DIGITS or int(length) > LARGEST_BODY:
            self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        else:
            body = self.rfile.read(int(length))
            workflow = parse_qs(url.query).get("workflow", [None])[0]
            self._answer(self.server.receive(body, self.headers.get(SIGNATURE_HEADER, ""), workflow))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name for it
        _log.debug(format, *args)

    def _answer(self, status: HTTPStatus) -> None:
        body = json.dumps({"status": "received" if status == HTTPStatus.OK else status.phrase}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
