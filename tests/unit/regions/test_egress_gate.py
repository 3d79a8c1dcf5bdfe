"""The gate, the time limits, and that nothing is sent twice."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from orchestrator.domain.exchange import Fault, HttpRequest, HttpResponse
from orchestrator.ports.egress import EgressError, Gate
from regions.egress.client import AiohttpEgress
from regions.guard import AddressPolicy

if TYPE_CHECKING:
    from tests.unit.regions.conftest import Certificate, Peer, Serve, Server

PRIVATE = AddressPolicy(allow_private=True)


async def open_gate() -> None:
    """A gate that holds nobody back."""


async def fetch(
    client: AiohttpEgress, server: Server, gate: Gate = open_gate, **request: Any
) -> HttpResponse:
    return await client.exchange(HttpRequest(**{"method": "GET", "url": server.url(), **request}), gate)


async def fault_of(exchange: Awaitable[HttpResponse]) -> Fault:
    with pytest.raises(EgressError) as caught:
        await exchange
    return caught.value.fault


@pytest.fixture(autouse=True)
def nothing_is_forgotten() -> Iterator[None]:
    """A connection that nobody closed warns when it is collected, and a warning is an error here."""
    yield
    gc.collect()


@pytest.mark.parametrize("secure", [False, True])
async def test_the_gate_is_passed_once_on_a_ready_connection_before_the_first_byte(
    serve: Serve, certificate: Certificate, secure: bool
) -> None:
    server = await serve(tls=certificate.server if secure else None)
    passed = 0

    async def gate() -> None:
        nonlocal passed
        passed += 1
        await server.until_open(1)
        assert len(server.requests) == passed - 1

    async with AiohttpEgress(PRIVATE, ca_file=certificate.ca_file) as client:
        for attempt in range(1, 4):
            await fetch(client, server, gate)
            assert (passed, len(server.requests), server.accepted) == (attempt, attempt, 1)


async def test_of_an_answer_that_is_read_no_further_tls_lays_nothing_more_aside(
    serve: Serve, certificate: Certificate
) -> None:
    server = await serve(tls=certificate.server)
    most: list[int] = []
    async with AiohttpEgress(PRIVATE, ca_file=certificate.ca_file) as client:

        async def gate() -> None:
            (exchange,) = client._under_way
            _, high = exchange._transport.get_read_buffer_limits()  # type: ignore[union-attr]  # of TLS alone
            most.append(high)

        for _ in range(2):
            await fetch(client, server, gate)
    assert most == [1, 1]


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("gate"),
        OSError(5, "gate"),
        TimeoutError(),
        aiohttp.ServerDisconnectedError(),
        aiohttp.ClientOSError(5, "gate"),
        EgressError(Fault.LOST, "gate"),
    ],
    ids=repr,
)
async def test_what_the_gate_raises_arrives_unchanged_and_the_connection_is_kept(
    serve: Serve, egress: AiohttpEgress, error: Exception
) -> None:
    server = await serve()
    passed = 0

    async def gate() -> None:
        nonlocal passed
        passed += 1
        raise error

    for _ in range(2):
        with pytest.raises(type(error)) as caught:
            await fetch(egress, server, gate)
        assert caught.value is error
    assert (passed, server.requests) == (2, [])
    assert (await fetch(egress, server)).status == 200
    assert server.accepted == 1


async def test_waiting_at_the_gate_is_not_bounded_and_not_counted(
    serve: Serve, egress: AiohttpEgress
) -> None:
    server = await serve()
    answer = await fetch(egress, server, lambda: asyncio.sleep(0.3), timeout_ms=200)
    assert answer.status == 200


async def test_a_connection_that_is_lost_at_the_gate_is_reported_as_never_written_to(
    serve: Serve, egress: AiohttpEgress
) -> None:
    leave = asyncio.Event()

    async def handler(peer: Peer) -> None:
        server.requests.append(await peer.request())
        await peer.answer()
        await leave.wait()

    async def gate() -> None:
        leave.set()
        await server.until_open(0)
        await asyncio.sleep(0.05)  # the client's loop has yet to read what the server's has written

    server = await serve(handler)
    await fetch(egress, server)
    assert await fault_of(fetch(egress, server, gate, method="POST", body=b"once")) is Fault.CONNECT
    assert len(server.requests) == 1


async def test_an_answer_nobody_asked_for_is_not_taken_for_the_next_one(
    serve: Serve, egress: AiohttpEgress
) -> None:
    received, stray = asyncio.Event(), asyncio.Event()

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"own")
        if server.accepted == 1:
            await received.wait()
            await peer.answer(b"of another")
            stray.set()
        await peer.eof()

    server = await serve(handler)
    assert (await fetch(egress, server)).body == b"own"
    received.set()
    await stray.wait()
    await asyncio.sleep(0.05)  # the client's loop has yet to read what the server's has written
    assert (await fetch(egress, server)).body == b"own"
    assert server.accepted == 2


async def test_a_server_that_speaks_first_gets_no_request(serve: Serve, egress: AiohttpEgress) -> None:
    async def handler(peer: Peer) -> None:
        await peer.send(b"SSH-2.0-banner\r\n")
        server.requests.append(await peer.request())

    server = await serve(handler)
    assert await fault_of(fetch(egress, server, lambda: asyncio.sleep(0.05))) is Fault.CONNECT
    await server.until_open(0)
    assert set(server.requests) == {b""}


async def silent(peer: Peer) -> None:
    await peer.eof()


class HangingLookup:
    """A resolver that never answers."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def __call__(self, host: str) -> Sequence[str]:
        self.asked.set()
        await asyncio.Event().wait()
        return []


async def test_a_tls_handshake_that_never_ends_is_a_connect_timeout(
    serve: Serve, egress: AiohttpEgress
) -> None:
    server = await serve(silent)
    server.scheme = "https"
    assert await fault_of(fetch(egress, server, timeout_ms=100)) is Fault.CONNECT_TIMEOUT
    await server.until_open(0)


async def test_a_name_server_that_never_answers_is_a_connect_timeout() -> None:
    async with AiohttpEgress(PRIVATE, lookup=HangingLookup()) as client:
        request = HttpRequest(method="GET", url="http://never.test/", timeout_ms=50)
        assert await fault_of(client.exchange(request, open_gate)) is Fault.CONNECT_TIMEOUT


async def dripping_head(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\n")
    while True:
        await peer.send(b"X-Drip: 1\r\n")
        await asyncio.sleep(0.02)


async def dripping_body(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        await peer.send(b"x")
        await asyncio.sleep(0.02)


async def going_on_and_on(peer: Peer) -> None:
    await peer.request()
    while True:
        await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("handler", [silent, going_on_and_on])
async def test_one_deadline_covers_everything_after_the_gate(
    serve: Serve, egress: AiohttpEgress, handler: Callable[[Peer], Awaitable[None]]
) -> None:
    server = await serve(handler)
    assert await fault_of(fetch(egress, server, timeout_ms=200)) is Fault.TIMEOUT
    await server.until_open(0)


@pytest.mark.parametrize("handler", [dripping_head, dripping_body])
async def test_an_answer_that_has_begun_when_the_deadline_comes_ends_with_its_status(
    serve: Serve, egress: AiohttpEgress, handler: Callable[[Peer], Awaitable[None]]
) -> None:
    server = await serve(handler)
    answer = await fetch(egress, server, timeout_ms=200)
    assert (answer.status, answer.incomplete) == (200, "the time limit passed")
    await server.until_open(0)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "POST"])
async def test_a_request_is_never_sent_twice_when_a_kept_connection_is_dropped(
    serve: Serve, egress: AiohttpEgress, method: str
) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"")
        server.requests.append(await peer.request())

    server = await serve(handler)
    for number in range(1, 6):
        await fetch(egress, server, method=method)
        fault = await fault_of(fetch(egress, server, method=method, url=server.url(f"/{number}")))
        assert fault is Fault.BROKEN
        assert len(server.requests) == number
    assert [request.split()[1] for request in server.requests] == [b"/1", b"/2", b"/3", b"/4", b"/5"]


async def test_a_server_that_closes_after_each_answer_sees_each_request_at_most_once(
    serve: Serve, egress: AiohttpEgress
) -> None:
    async def handler(peer: Peer) -> None:
        server.requests.append(await peer.request())
        await peer.answer()

    server = await serve(handler)
    urls = [server.url(f"/{number}") for number in range(100)]
    for url in urls:
        with suppress(EgressError):
            await fetch(egress, server, url=url)
    paths = [request.split()[1] for request in server.requests if request]
    assert len(paths) == len(set(paths)) >= 50
