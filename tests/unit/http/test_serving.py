"""What is served where: the API, and the metrics where they are bound apart. Over real sockets."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from orchestrator.adapters.http.serving import listen, make_servers
from orchestrator.settings import Address, Settings
from tests.unit.http.gateway import Gateway

LOOPBACK = "127.0.0.1"


def a_free_port() -> int:
    with socket.create_server((LOOPBACK, 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def served(gateway: Gateway, settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """Serve on real sockets until the block ends."""
    servers = make_servers(settings, gateway.backend)
    serving = [asyncio.create_task(server.serve([listen(address)])) for server, address in servers]
    while not all(server.started for server, _ in servers):  # noqa: ASYNC110  # a flag without an event
        await asyncio.sleep(0)
    async with httpx.AsyncClient(trust_env=False) as client:
        yield client
    for server, _ in servers:
        server.should_exit = True
    await asyncio.gather(*serving)


async def status(client: httpx.AsyncClient, port: int, path: str) -> int:
    return (await client.get(f"http://{LOOPBACK}:{port}{path}")).status_code


async def test_metrics_are_on_the_apis_port_unless_they_are_bound_apart(gateway: Gateway) -> None:
    port = a_free_port()
    async with served(gateway, Settings(port=port)) as client:
        assert await status(client, port, "/metrics") == 200


async def test_metrics_bound_apart_are_served_there_and_there_alone(gateway: Gateway) -> None:
    port, apart = a_free_port(), a_free_port()
    async with served(gateway, Settings(port=port, metrics_bind=f"{LOOPBACK}:{apart}")) as client:
        answer = await client.get(f"http://{LOOPBACK}:{apart}/metrics")
        assert (answer.status_code, answer.headers["content-type"][:10]) == (200, "text/plain")
        assert "ezthrottle_jobs_open" in answer.text
        assert await status(client, port, "/metrics") == 404
        assert await status(client, port, "/healthz") == 200
        assert "/metrics" not in (await client.get(f"http://{LOOPBACK}:{port}/openapi.json")).json()["paths"]
        assert [await status(client, apart, path) for path in ("/", "/healthz", "/api/v1/usage")] == [404] * 3


def test_an_address_that_is_taken_can_not_be_listened_on() -> None:
    with socket.create_server((LOOPBACK, 0)) as taken, pytest.raises(OSError, match="in use"):
        listen(Address(LOOPBACK, taken.getsockname()[1]))
