"""A cancelled request takes its connection with it; another one is made for whoever comes next."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from yarl import URL

from orchestrator.domain.exchange import HttpRequest, HttpResponse
from orchestrator.ports.egress import Gate
from regions.egress import spares
from regions.egress.client import AiohttpEgress
from regions.egress.spares import SpareConnections
from regions.guard import AddressPolicy

if TYPE_CHECKING:
    from tests.unit.regions.conftest import Certificate, Dialled, Peer, Serve, Server

PRIVATE = AddressPolicy(allow_private=True)


class Holding:
    """A server that answers every request but those to ``/held``."""

    def __init__(self) -> None:
        self.held = asyncio.Semaphore(0)

    async def __call__(self, peer: Peer) -> None:
        while request := await peer.request():
            if b"/held" in request:
                self.held.release()
                return await peer.eof()
            await peer.answer()
        return None


async def open_gate() -> None:
    """A gate that holds nobody back."""


async def cancelled(
    client: AiohttpEgress, server: Server, holding: Holding, times: int = 1, *, fresh: bool = False
) -> None:
    """Have so many requests reach the server, and take them back."""
    request = HttpRequest(method="GET", url=server.url("/held"), fresh_connection=fresh)
    asking = [asyncio.create_task(client.exchange(request, open_gate)) for _ in range(times)]
    for _ in range(times):
        await holding.held.acquire()
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)


async def answered(client: AiohttpEgress, server: Server) -> None:
    await client.exchange(HttpRequest(method="GET", url=server.url()), open_gate)


@pytest.mark.parametrize("secure", [False, True])
async def test_the_next_request_finds_a_connection_that_was_made_meanwhile(
    serve: Serve, certificate: Certificate, secure: bool
) -> None:
    holding = Holding()
    server = await serve(holding, tls=certificate.server if secure else None)
    async with AiohttpEgress(PRIVATE, ca_file=certificate.ca_file) as client:
        await cancelled(client, server, holding)
        await asyncio.wait(client._spares.under_way)

        await answered(client, server)

        assert server.accepted == 2


async def test_many_that_are_cancelled_at_once_have_one_made(
    serve: Serve, egress: AiohttpEgress, dialled: Dialled
) -> None:
    holding = Holding()
    server = await serve(holding)

    await cancelled(egress, server, holding, times=20)
    await asyncio.wait(egress._spares.under_way)
    await answered(egress, server)

    assert len(dialled) == 21
    assert dialled.still_open == 1


async def test_none_is_made_where_one_lies_idle(
    serve: Serve, egress: AiohttpEgress, dialled: Dialled
) -> None:
    holding = Holding()
    server = await serve(holding)
    held, idle = asyncio.Event(), asyncio.Event()

    async def gate() -> None:
        held.set()
        await idle.wait()

    beside = asyncio.create_task(egress.exchange(HttpRequest(method="GET", url=server.url()), gate))
    await held.wait()
    request = HttpRequest(method="GET", url=server.url("/held"))
    asking = asyncio.create_task(egress.exchange(request, open_gate))
    await holding.held.acquire()
    idle.set()
    await beside
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await answered(egress, server)

    assert len(dialled) == 2


async def test_none_is_made_for_a_request_that_shares_no_connection(
    serve: Serve, egress: AiohttpEgress
) -> None:
    holding = Holding()
    server = await serve(holding)

    await cancelled(egress, server, holding, fresh=True)

    assert not egress._spares.under_way


@pytest.mark.parametrize("secure", [False, True])
async def test_closing_the_client_ends_those_that_are_begun(
    serve: Serve, certificate: Certificate, dialled: Dialled, secure: bool
) -> None:
    holding = Holding()
    server = await serve(holding, tls=certificate.server if secure else None)
    client = AiohttpEgress(PRIVATE, ca_file=certificate.ca_file)

    await cancelled(client, server, holding)
    assert client._spares.under_way
    await client.close()
    assert not client._spares.under_way
    await server.until_open(0)

    assert dialled.still_open == 0


class HangingEgress:
    """Connects to nobody, ever."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def exchange(self, request: HttpRequest, gate: Gate, timed: object = None) -> HttpResponse:
        self.asked.append(request.url)
        await asyncio.Event().wait()
        raise AssertionError

    async def close(self) -> None:
        """Nothing to be closed."""


async def test_of_each_server_one_is_begun_at_a_time_and_few_of_all() -> None:
    egress = HangingEgress()
    made = SpareConnections(egress)

    for number in range(2 * spares.DIALLED_MOST):
        made.make(URL(f"https://user:secret@api{number}.test/a?token=secret"))
        made.make(URL(f"https://api{number}.test/b"))
    await asyncio.sleep(0)

    assert egress.asked == [f"https://api{number}.test" for number in range(spares.DIALLED_MOST)]
    await made.close()


async def test_once_closed_none_is_begun() -> None:
    made = SpareConnections(HangingEgress())

    await made.close()
    made.make(URL("https://api.test"))

    assert not made.under_way
