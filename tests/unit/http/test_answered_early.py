"""An answer that does not wait for the request's body reaches clients that are still sending it."""

import contextlib
import select
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection

import httpx
import pytest

from orchestrator.adapters.http import lingering, serving
from orchestrator.adapters.http.lingering import DROPPED_BYTES_MOST
from tests.unit.http.gateway import JOBS, KEY
from tests.unit.http.served_thread import LOOPS, served_in_thread
from tests.unit.http.test_serving import LOOPBACK

MIB = 1024 * 1024
PART = b"x" * 65_536
PATHS = [JOBS, f"{JOBS}:batch", "/api/v1/proxy", "/api/v1/webhook-secrets"]


@pytest.fixture(params=LOOPS)
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    with served_in_thread(request.param) as served:
        yield served.port
    assert served.wrong == []


def sent_whole(port: int, head: bytes, size: int) -> tuple[bytes, bool]:
    """Send a head and a body, reading nothing meanwhile; give the answer, and whether all could be sent."""
    with socket.create_connection((LOOPBACK, port), timeout=30) as line:
        line.sendall(head)
        whole = True
        try:
            for _ in range(size // len(PART)):
                line.sendall(PART)
        except OSError:
            whole = False
        return received(line), whole


def received(line: socket.socket) -> bytes:
    answer = b""
    with contextlib.suppress(ConnectionError):
        while part := line.recv(65_536):
            answer += part
    return answer


def head_of(path: str, size: int, key: str = KEY, *more: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "host: service", f"content-length: {size}", *more]
    if key:
        lines.append(f"authorization: Bearer {key}")
    return "\r\n".join([*lines, "", ""]).encode()


@pytest.mark.parametrize("connection", ["keep-alive", "close"])
@pytest.mark.parametrize(("key", "status"), [(KEY, 413), ("", 401), ("ck_live_cust_acme_wrong", 401)])
def test_who_reads_only_after_sending_gets_the_answer(
    port: int, key: str, status: int, connection: str
) -> None:
    for path in PATHS:
        head = head_of(path, 100 * MIB, key, f"connection: {connection}")
        answer, whole = sent_whole(port, head, DROPPED_BYTES_MOST - MIB)
        assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer[:100]
        assert b"\r\nconnection: close\r\n" in answer
        assert answer.count(b"HTTP/1.1") == 1
        assert whole


def test_more_than_is_dropped_ends_the_connection_and_the_answer_is_there(port: int) -> None:
    answer, whole = sent_whole(port, head_of(JOBS, 100 * MIB), 100 * MIB)
    assert (answer.startswith(b"HTTP/1.1 413 "), whole) == (True, False)


def test_a_client_that_sends_on_and_on_is_let_go_after_a_while(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lingering, "DROPPED_FOR_S", 0.2)
    with socket.create_connection((LOOPBACK, port), timeout=30) as line:
        line.sendall(head_of(JOBS, 100 * MIB))
        assert received(line).startswith(b"HTTP/1.1 413 ")
        with pytest.raises(ConnectionError):
            trickle(line)


def trickle(line: socket.socket) -> None:
    """Send a byte now and then, for 20 s at most."""
    for _ in range(200):
        line.sendall(b"x")
        select.select([], [], [], 0.1)


def test_a_body_without_a_length_is_refused_where_it_is_too_large(port: int) -> None:
    head = head_of(JOBS, 0).replace(b"content-length: 0", b"transfer-encoding: chunked")
    with socket.create_connection((LOOPBACK, port), timeout=30) as line:
        line.sendall(head)
        for _ in range(8 * MIB // len(PART)):
            line.sendall(b"%x\r\n%b\r\n" % (len(PART), PART))
        line.sendall(b"0\r\n\r\n")
        assert received(line).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("size", [2 * MIB, 12 * MIB, 100 * MIB])
@pytest.mark.parametrize(("key", "status"), [(KEY, 413), ("ck_live_cust_acme_wrong", 401)])
def test_an_http_library_that_sends_a_hundred_megabytes_reads_the_refusal(
    port: int, key: str, status: int, size: int
) -> None:
    parts = (PART for _ in range(size // len(PART)))
    headers = {"authorization": f"Bearer {key}", "content-length": str(size)}
    with httpx.Client(trust_env=False, timeout=30) as client:
        answer = client.post(f"http://{LOOPBACK}:{port}{JOBS}", content=parts, headers=headers)
    assert answer.status_code == status


def test_pythons_own_client_reads_the_refusal_of_what_is_dropped(port: int) -> None:
    with contextlib.closing(HTTPConnection(LOOPBACK, port, timeout=30)) as connection:
        body = b"x" * (DROPPED_BYTES_MOST - MIB)
        connection.request("POST", JOBS, body, {"Authorization": f"Bearer {KEY}", "Connection": "close"})
        assert connection.getresponse().status == 413


@pytest.mark.parametrize(
    ("path", "key", "size", "status"),
    [
        (JOBS, KEY, 100 * MIB, 413),
        (f"{JOBS}:batch", KEY, 100 * MIB, 413),
        ("/api/v1/proxy", KEY, 100 * MIB, 413),
        (JOBS, "", 1, 401),
        ("/api/v1/proxy", "ck_live_cust_acme_wrong", 1, 401),
        ("/api/v1/nothing", KEY, 1, 404),
        ("/healthz", KEY, 1, 405),
    ],
)
def test_nobody_is_told_to_go_on_with_what_is_refused_by_its_head(
    port: int, path: str, key: str, size: int, status: int
) -> None:
    answer, _ = sent_whole(port, head_of(path, size, key, "expect: 100-continue"), 0)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer


def test_who_may_go_on_is_told_so(port: int) -> None:
    body = b'{"url": "http://203.0.113.7/"}'
    with socket.create_connection((LOOPBACK, port), timeout=30) as line:
        line.sendall(head_of(JOBS, len(body), KEY, "expect: 100-continue", "connection: close"))
        assert line.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        line.sendall(body)
        assert received(line).startswith(b"HTTP/1.1 202 ")


@pytest.mark.parametrize("loop", LOOPS)
def test_over_the_limit_of_connections_even_who_sends_much_reads_why(
    monkeypatch: pytest.MonkeyPatch, loop: str
) -> None:
    monkeypatch.setattr(serving, "connections_most", lambda: 1)
    head = head_of(JOBS, 8 * MIB)
    with served_in_thread(loop) as served, socket.create_connection((LOOPBACK, served.port)) as first:
        with ThreadPoolExecutor(10) as pool:
            asked = [pool.submit(sent_whole, served.port, head, 8 * MIB) for _ in range(10)]
        for answer, whole in (future.result() for future in asked):
            assert answer.startswith(b"HTTP/1.1 503 ")
            assert whole
        # And none of them has taken a place.
        first.sendall(b"GET /healthz HTTP/1.1\r\nhost: service\r\nconnection: close\r\n\r\n")
        assert received(first).startswith(b"HTTP/1.1 200 ")
    assert served.wrong == []


def test_of_too_many_refused_connections_the_oldest_goes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "connections_most", lambda: 1)
    monkeypatch.setattr(lingering, "REFUSED_MOST", 3)
    with served_in_thread("uvloop") as served, contextlib.ExitStack() as opened:
        _, oldest, *_, newest = [
            opened.enter_context(socket.create_connection((LOOPBACK, served.port), timeout=20))
            for _ in range(6)
        ]
        assert received(newest).startswith(b"HTTP/1.1 503 ")
        with pytest.raises(ConnectionError):
            trickle(oldest)
        newest.sendall(PART)
