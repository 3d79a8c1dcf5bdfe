"""A request that is over holds its body no longer, however it ended: no garbage collection is waited for."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from orchestrator.domain.exchange import Fault, HttpRequest
from orchestrator.ports.egress import EgressError
from regions.egress.client import AiohttpEgress
from regions.guard import AddressPolicy

if TYPE_CHECKING:
    from tests.unit.regions.conftest import Handler, Peer, Serve

SIZES = (1_000, 4_000_000)
"""Of bodies that go out at once, and piece by piece."""


@pytest.fixture(autouse=True)
def _nothing_is_collected() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def open_gate() -> None:
    """A gate that holds nobody back."""


async def shut_gate() -> None:
    raise EgressError(Fault.LOST, "not now")


async def resets(peer: Peer) -> None:
    peer.writer.transport.abort()


async def resets_within(peer: Peer) -> None:
    await peer.reader.readuntil(b"\r\n\r\n")
    peer.writer.transport.abort()


async def says_no_http(peer: Peer) -> None:
    await peer.send(b"SSH-2.0-OpenSSH_9.6\r\n")
    await peer.eof()


async def hangs(peer: Peer) -> None:
    await peer.eof()


async def answers_early(peer: Peer) -> None:
    await peer.reader.readuntil(b"\r\n\r\n")
    await peer.answer(status="413 Too Large")
    peer.writer.close()


def holders_of(body: bytes) -> int:
    return sys.getrefcount(body)


async def exchange(client: AiohttpEgress, url: str, body: bytes, gate: Callable[[], Awaitable[None]]) -> None:
    with suppress(EgressError, asyncio.CancelledError):
        await client.exchange(
            HttpRequest(method="POST", url=url, body=body, timeout_ms=300, status_suffices=True), gate
        )


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("handler", [resets, resets_within, says_no_http, hangs, answers_early])
async def test_a_request_that_a_server_fails_lets_go_of_its_body(
    serve: Serve, egress: AiohttpEgress, handler: Handler, size: int
) -> None:
    server = await serve(handler)
    body = bytes(size)
    before = holders_of(body)

    await asyncio.create_task(exchange(egress, server.url(), body, open_gate))
    await server.until_open(0)
    await asyncio.sleep(0)

    assert holders_of(body) == before


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("url", ["http://127.0.0.1:9/", "https://127.0.0.1:9/", "http://localhost:9/"])
async def test_a_request_that_is_refused_lets_go_of_its_body(
    egress: AiohttpEgress, url: str, size: int
) -> None:
    body = bytes(size)
    before = holders_of(body)

    await asyncio.create_task(exchange(egress, url, body, open_gate))
    await asyncio.sleep(0)

    assert holders_of(body) == before


async def test_a_request_to_a_forbidden_address_lets_go_of_its_body(serve: Serve) -> None:
    server = await serve()
    body = bytes(SIZES[1])
    before = holders_of(body)
    async with AiohttpEgress(AddressPolicy()) as guarded:
        await asyncio.create_task(exchange(guarded, server.url(), body, open_gate))

        assert holders_of(body) == before


async def test_a_request_whose_gate_stays_shut_lets_go_of_its_body(
    serve: Serve, egress: AiohttpEgress
) -> None:
    server = await serve()
    body = bytes(SIZES[1])
    before = holders_of(body)

    await asyncio.create_task(exchange(egress, server.url(), body, shut_gate))

    assert holders_of(body) == before


async def test_a_request_that_is_cancelled_lets_go_of_its_body(serve: Serve, egress: AiohttpEgress) -> None:
    server = await serve(hangs)
    body = bytes(SIZES[1])
    before = holders_of(body)

    asked = asyncio.create_task(exchange(egress, server.url(), body, open_gate))
    await server.until_open(1)
    asked.cancel()
    await asyncio.wait([asked])
    await server.until_open(0)
    await asyncio.sleep(0)

    assert holders_of(body) == before
