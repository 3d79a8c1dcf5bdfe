"""Real HTTP servers on loopback that record what they are asked and answer by script."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from ezthrottle import EZThrottle

API_KEY = "ck_live_cust_acme_s3cr3t"
JOB_ID = "job_1763674210055_853341"
PATIENCE_S = 20.0


@dataclass(frozen=True)
class Seen:
    """A request as it arrived; header names in lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Answer:
    """What to answer: text, bytes or something to be JSON; `drop` closes the connection instead."""

    status: int = 200
    body: Any = ""
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False

    def content(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()


Script = Callable[[Seen], Answer]


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 128


class _Handler(BaseHTTPRequestHandler):
    scripted: ScriptedServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = PATIENCE_S

    def setup(self) -> None:
        self.scripted.connections += 1
        super().setup()

    def handle_any(self) -> None:
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        headers = {name.lower(): value for name, value in self.headers.items()}
        with suppress(ConnectionError):  # from a client that has given up
            self.send(self.scripted.answer_to(Seen(self.command, url.path, query, headers, body)))

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = handle_any  # noqa: N815

    def send(self, answer: Answer) -> None:
        if answer.drop:
            self.close_connection = True
            return
        content = answer.content()
        self.send_response(answer.status)
        for name, value in {"Content-Length": str(len(content)), **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        pass


class ScriptedServer:
    """Listens on a free port of loopback from construction on."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.connections = 0
        self._scripts: dict[tuple[str, str], list[Answer | Script]] = {}
        self._changed = threading.Condition()
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"scripted": self}))
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def on(self, method: str, path: str, *answers: Answer | Script) -> None:
        """Answer so, one after the other; the last one stays."""
        self._scripts[method, path] = list(answers)

    def requests(self, method: str, path: str) -> list[Seen]:
        return [seen for seen in self.seen if (seen.method, seen.path) == (method, path)]

    def wait_for(self, method: str, path: str, count: int = 1) -> list[Seen]:
        """Return these requests once there are so many."""
        with self._changed:
            arrived = self._changed.wait_for(lambda: len(self.requests(method, path)) >= count, PATIENCE_S)
        assert arrived, f"{method} {path} came {len(self.requests(method, path))} times, not {count}"
        return self.requests(method, path)

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer_to(self, seen: Seen) -> Answer:
        with self._changed:
            self.seen.append(seen)
            self._changed.notify_all()
            answers = self._scripts.get((seen.method, seen.path), [Answer(404, {"title": "not scripted"})])
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return answer if isinstance(answer, Answer) else answer(seen)


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "EZTHROTTLE_API_KEY",
        "EZTHROTTLE_URL",
        "HTTP_PROXY",
        "http_proxy",
        "ALL_PROXY",
        "all_proxy",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("ezthrottle._calls.retry.FIRST_PAUSE_S", 0.001)


@pytest.fixture
def answer() -> type[Answer]:
    return Answer


@pytest.fixture
def start_server() -> Iterator[Callable[[], ScriptedServer]]:
    servers: list[ScriptedServer] = []

    def start() -> ScriptedServer:
        servers.append(ScriptedServer())
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def service(start_server: Callable[[], ScriptedServer]) -> ScriptedServer:
    """The service, which takes every job."""
    server = start_server()
    server.on("POST", "/api/v1/jobs", Answer(202, {"job_id": JOB_ID, "status": "queued"}))
    return server


@pytest.fixture
def target(start_server: Callable[[], ScriptedServer]) -> ScriptedServer:
    """An API that is called from this machine."""
    return start_server()


@pytest.fixture
def client(service: ScriptedServer) -> Iterator[EZThrottle]:
    with EZThrottle(API_KEY, base_url=service.url) as made:
        yield made


@pytest.fixture
def dead_url() -> Iterator[str]:
    """An address that refuses connections, and stays free of others while the test runs."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"
