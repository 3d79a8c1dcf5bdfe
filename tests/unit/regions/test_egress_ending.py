"""Cancelling, closing, and what becomes of connections."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Awaitable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import AddrInfoType

from orchestrator.domain.exchange import Fault, HttpRequest, HttpResponse
from orchestrator.ports.egress import EgressError, Gate
from regions.egress.client import AiohttpEgress
from regions.egress.dns import GuardedDialler
from regions.guard import AddressPolicy

if TYPE_CHECKING:
    from tests.unit.regions.conftest import Certificate, Dialled, Peer, Serve, Server

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


class HangingLookup:
    """A resolver that never answers."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def __call__(self, host: str) -> Sequence[str]:
        self.asked.set()
        await asyncio.Event().wait()
        return []


class Stage:
    """Servers that bring an exchange to a point and hold it there."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.left = asyncio.Event()

    async def handshake(self, peer: Peer) -> None:
        await peer.reader.readexactly(1)
        await self._hold(peer)

    async def gate(self, peer: Peer) -> None:
        await peer.eof()
        self.left.set()

    async def request(self, peer: Peer) -> None:
        await peer.request()
        await self._hold(peer)

    async def head(self, peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n")
        await self._hold(peer)

    async def body(self, peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
        await self._hold(peer)

    async def upload(self, peer: Peer) -> None:
        await peer.reader.readexactly(1)
        self.reached.set()
        await self.left.wait()

    async def _hold(self, peer: Peer) -> None:
        self.reached.set()
        await peer.eof()
        self.left.set()


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("stage", ["gate", "request", "head", "body", "upload"])
async def test_cancelling_closes_the_connection_before_the_task_ends(
    serve: Serve, certificate: Certificate, dialled: Dialled, stage: str, secure: bool
) -> None:
    held = Stage()
    server = await serve(getattr(held, stage), tls=certificate.server if secure else None)

    async def gate() -> None:
        if stage == "gate":
            held.reached.set()
            await asyncio.Event().wait()

    async with AiohttpEgress(PRIVATE, ca_file=certificate.ca_file) as client:
        body = bytes(30_000_000) if stage == "upload" else b"body"

        async def caller() -> None:
            try:
                await fetch(client, server, gate, method="PUT", body=body)
            finally:
                assert dialled.still_open == 0

        task = asyncio.create_task(caller())
        await held.reached.wait()
        assert dialled.still_open == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        if stage == "upload":
            held.left.set()
        await held.left.wait()


async def test_cancelling_ends_a_handshake(serve: Serve, egress: AiohttpEgress, dialled: Dialled) -> None:
    held = Stage()
    server = await serve(held.handshake)
    server.scheme = "https"
    task = asyncio.create_task(fetch(egress, server))
    await held.reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await held.left.wait()
    assert dialled.still_open == 0


async def test_cancelling_does_not_wait_for_a_name_server() -> None:
    lookup = HangingLookup()
    async with AiohttpEgress(PRIVATE, lookup=lookup) as client:
        request = HttpRequest(method="GET", url="http://never.test/")
        task = asyncio.create_task(client.exchange(request, open_gate))
        await lookup.asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.mark.parametrize("how", ["raise", "cancel"])
async def test_a_thousand_exchanges_that_end_at_the_gate_leave_no_connection_behind(
    serve: Serve, dialled: Dialled, how: str
) -> None:
    server = await serve()
    waiting = asyncio.Semaphore(0)

    async def gate() -> None:
        waiting.release()
        if how == "raise":
            raise RuntimeError
        await asyncio.Event().wait()

    async with AiohttpEgress(PRIVATE) as client:
        for _ in range(20):
            tasks = [asyncio.create_task(fetch(client, server, gate)) for _ in range(50)]
            for _ in tasks:
                await waiting.acquire()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await server.until_open(dialled.still_open, accepted=len(dialled))
        assert dialled.still_open <= 50
        assert (await fetch(client, server)).status == 200
    assert len(server.requests) == 1
    assert dialled.still_open == 0
    await server.until_open(0)


async def test_a_thousand_cancelled_exchanges_leave_the_pool_working(serve: Serve, dialled: Dialled) -> None:
    asked = asyncio.Semaphore(0)

    async def handler(peer: Peer) -> None:
        while request := await peer.request():
            asked.release()
            if b"/hold" in request:
                await peer.eof()
            await peer.answer()

    server = await serve(handler)
    async with AiohttpEgress(PRIVATE) as client:
        for _ in range(20):
            url = server.url("/hold")
            tasks = [asyncio.create_task(fetch(client, server, url=url)) for _ in range(50)]
            for _ in tasks:
                await asked.acquire()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert all(task.cancelled() for task in tasks)
            assert dialled.still_open <= 1, "one may have been made ahead"
        await server.until_open(1)
        for _ in range(10):
            assert (await fetch(client, server)).status == 200
    assert len(dialled) == 1_001


async def test_an_idle_connection_is_closed_after_its_time(serve: Serve) -> None:
    server = await serve()
    async with AiohttpEgress(PRIVATE, keepalive_s=0.05) as client:
        await fetch(client, server)
        await server.until_open(0)
        assert (await fetch(client, server)).status == 200


async def test_closing_ends_what_is_under_way_and_refuses_what_comes_later(
    serve: Serve, dialled: Dialled
) -> None:
    held = Stage()
    server = await serve(held.upload)
    client = AiohttpEgress(PRIVATE)
    task = asyncio.create_task(fault_of(fetch(client, server, method="PUT", body=bytes(30_000_000))))
    await held.reached.wait()
    await client.close()
    await client.close()
    assert dialled.still_open == 0
    assert await task is Fault.BROKEN
    assert await fault_of(fetch(client, server)) is Fault.CONNECT
    held.left.set()
    await server.until_open(0)


async def test_closing_does_not_wait_for_a_server_to_take_what_is_still_to_be_written(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Narrow(GuardedDialler):
        def __call__(self, info: AddrInfoType) -> socket.socket:
            opened = super().__call__(info)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
            return opened

    monkeypatch.setattr("regions.egress.sessions.GuardedDialler", Narrow)
    held = Stage()
    server = await serve(held.upload)
    server.listener.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    client = AiohttpEgress(PRIVATE)
    task = asyncio.create_task(fault_of(fetch(client, server, method="PUT", body=bytes(60_000))))
    await held.reached.wait()
    async with asyncio.timeout(10):
        await client.close()
    assert await task is Fault.BROKEN
    held.left.set()
