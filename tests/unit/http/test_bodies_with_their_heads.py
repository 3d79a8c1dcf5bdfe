"""A body that came with its head is read at once: only what is still on its way has a limit of time."""

import json
import socket
from collections.abc import Iterator

import pytest

from orchestrator.adapters.http import bodies
from tests.unit.http.gateway import JOBS, KEY, TARGET
from tests.unit.http.served_thread import LOOPS, served_in_thread
from tests.unit.http.test_serving import LOOPBACK

BODY = json.dumps({"url": TARGET}).encode()
_FIRST = f"POST {JOBS} HTTP/1.1\r\nhost: service\r\nauthorization: Bearer {KEY}\r\n".encode()
WHOLE = _FIRST + b"content-length: %d\r\n\r\n" % len(BODY) + BODY
CHUNKED = _FIRST + b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)


@pytest.fixture(params=LOOPS)
def line(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    # Over before it begins: whoever waits for a body is told at once that it did not arrive.
    monkeypatch.setattr(bodies, "ARRIVES_WITHIN_S", -1.0)
    with served_in_thread(request.param) as served:
        connection = socket.create_connection((LOOPBACK, served.port), timeout=30)
        yield connection
        connection.close()
    assert served.wrong == []


def statuses(line: socket.socket, answers: int) -> list[bytes]:
    received = b""
    while received.count(b"HTTP/1.1 ") < answers and (part := line.recv(65_536)):
        received += part
    return [answer[:3] for answer in received.split(b"HTTP/1.1 ")[1:]]


@pytest.mark.parametrize("request_", [WHOLE, CHUNKED], ids=["of a length", "in chunks"])
def test_one_that_came_with_its_head_is_not_waited_for(line: socket.socket, request_: bytes) -> None:
    line.sendall(request_)
    assert statuses(line, 1) == [b"202"]


def test_each_of_several_requests_in_one_packet_has_its_own(line: socket.socket) -> None:
    line.sendall(WHOLE * 3)
    assert statuses(line, 3) == [b"202", b"200", b"200"]


@pytest.mark.parametrize("request_", [WHOLE, CHUNKED], ids=["of a length", "in chunks"])
def test_one_whose_end_is_still_on_its_way_has_a_limit_of_time(line: socket.socket, request_: bytes) -> None:
    line.sendall(request_[:-3])
    assert statuses(line, 1) == [b"400"]
