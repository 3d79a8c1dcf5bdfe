"""One program, under the published client and under ours: service, target and receiver see the same."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import httpx
import pytest

from bench.loopback import GENEROUS_PACE, Reply, Seen, Site, running_site
from bench.ports import free_port
from tests.acceptance.conftest import customer_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.service import Service

pytestmark = [pytest.mark.service, pytest.mark.timeout(300)]

SCRIPT = Path(__file__).with_name("either_client.py")
WEBHOOKS = {
    "/everything",
    "/watcher",
    "/second",
    "/arguments",
    "/fallbacks",
    "/chain",
    "/forward",
    "/deprecated",
}
# What a library says of itself and of its connection, and what is another one at each run.
OWN_HEADERS = {"accept", "accept-encoding", "connection", "host", "user-agent", "x-ezthrottle-attempt"}
# A duplicate's ``state`` tells how far the first job has come by then.
OWN_FIELDS = {"queued_at", "position", "estimated_processing_time", "state"}
NAMES = (
    (re.compile(r"job_\d+_\d+"), "<job>"),
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "<uuid>"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "<hash>"),
)


@dataclass
class Run:
    """What became of the program, and what the others saw of it."""

    returned: dict[str, Any] = field(default_factory=dict)
    service_saw: list[Any] = field(default_factory=list)
    target_saw: list[Any] = field(default_factory=list)
    receiver_saw: dict[str, Any] = field(default_factory=dict)


class Doorkeeper:
    """Hands calls on to the service and writes down what they ask, without the envelope if there is one."""

    def __init__(self, service_url: str) -> None:
        self.calls: list[Any] = []
        self.job_ids: list[str] = []
        self._service = httpx.Client(base_url=service_url, timeout=60)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._service.close()

    def pass_on(self, method: str, path: str, headers: dict[str, str], body: bytes) -> httpx.Response:
        asked = json.loads(body) if body else None
        if path == "/api/v1/proxy":
            inner = urlsplit(asked["target_url"]).path
            self.calls.append([asked["method"], inner, json.loads(asked["body"] or "null")])
        else:
            self.calls.append([method, path, asked])
        answer = self._service.request(method, path, headers=headers, content=body)
        self.job_ids += set(re.findall(r"job_\d+_\d+", answer.text))
        return answer

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        keeper = self

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                kept = {
                    name: self.headers[name]
                    for name in ("Authorization", "Content-Type")
                    if self.headers[name]
                }
                answer = keeper.pass_on(self.command, self.path, kept, body)
                self.send_response(answer.status_code)
                for name in ("Content-Type", "Content-Length", "Retry-After"):
                    if name in answer.headers:
                        self.send_header(name, answer.headers[name])
                self.end_headers()
                self.wfile.write(answer.content)

            do_GET = do_POST = do_DELETE = handle_any  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        return Handler


@contextlib.contextmanager
def a_target() -> Iterator[Site]:
    with running_site() as site:
        for path, status in (("/missing", 404), ("/broken", 500)):
            site.on(path, Reply(status=status, headers=GENEROUS_PACE, body=b"no"))
        site.on("/flaky", Reply(status=500, headers=GENEROUS_PACE), Reply(headers=GENEROUS_PACE))
        site.on("/moved", Reply(status=302, headers={"Location": "/local"}))
        site.on("/moved-head", Reply(status=302, headers={"Location": "/local"}, body=b""))
        yield site


def run_under(service: Service, customer: str, *interpreter: Path | str) -> Run:
    with (
        customer_of(service, customer) as api,
        a_target() as target,
        running_site(Reply()) as receiver,
        Doorkeeper(service.base_url) as door,
        socket.socket() as nobody,
    ):
        nobody.bind(("127.0.0.1", 0))
        api.open_gate(target)
        target.forget()
        order = {
            "base_url": door.url,
            "api_key": api.api_key,
            "target": target.url(""),
            "receiver": receiver.url(""),
            "nobody": f"http://127.0.0.1:{nobody.getsockname()[1]}",
            "port": free_port(),
        }
        said = said_by([*interpreter, SCRIPT], order)
        receiver.wait(lambda seen: {each.path for each in seen} >= WEBHOOKS)
        for job_id in dict.fromkeys(door.job_ids):
            # Not its deliveries: the program may be gone before it has answered the one to itself.
            api.ended(job_id)
        known = {order[name]: f"<{name}>" for name in ("base_url", "target", "receiver", "nobody")}
        known |= {f"localhost:{order['port']}": "<own>", customer: "<customer>"}
        return Run(
            # A framework may have said hello before.
            alike(json.loads(said.splitlines()[-1]), known),
            alike(door.calls, known),
            sorted(alike([_request(seen) for seen in target.seen()], known)),
            alike({seen.path: seen.json() for seen in receiver.seen()}, known),
        )


def said_by(command: Sequence[Path | str], order: dict[str, Any]) -> str:
    done = subprocess.run(command, input=json.dumps(order), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _request(seen: Seen) -> Any:
    headers = {name: value for name, value in seen.headers.items() if name not in OWN_HEADERS}
    return [seen.path, seen.method, seen.body.decode(), json.dumps(headers, sort_keys=True)]


def alike(value: Any, known: dict[str, str]) -> Any:
    """Give what is another one at each run its name."""
    if isinstance(value, dict):
        return {name: alike(each, known) for name, each in value.items() if name not in OWN_FIELDS}
    if isinstance(value, list):
        return [alike(each, known) for each in value]
    if not isinstance(value, str):
        return value
    for address, name in known.items():
        value = value.replace(address, name)
    for pattern, name in NAMES:
        value = pattern.sub(name, value)
    return value


@pytest.fixture(scope="module")
def runs(service: Service, published: Path) -> tuple[Run, Run]:
    """The program under the published client, and under ours."""
    return (
        run_under(service, "cust_published_either", published, "-I"),
        run_under(service, "cust_ours_either", sys.executable),
    )


def test_the_program_is_returned_the_same(runs: tuple[Run, Run]) -> None:
    published, ours = runs
    assert published.returned.keys() == ours.returned.keys()
    for action, returned in published.returned.items():
        assert ours.returned[action] == returned, action


def test_the_service_is_asked_for_the_same(runs: tuple[Run, Run]) -> None:
    published, ours = runs
    assert len(published.service_saw) > 20
    assert ours.service_saw == published.service_saw


def test_the_target_sees_the_same_requests(runs: tuple[Run, Run]) -> None:
    published, ours = runs
    assert len(published.target_saw) > 20
    assert ours.target_saw == published.target_saw


def test_the_receiver_sees_the_same_results(runs: tuple[Run, Run]) -> None:
    published, ours = runs
    assert published.receiver_saw.keys() == WEBHOOKS
    assert ours.receiver_saw == published.receiver_saw
