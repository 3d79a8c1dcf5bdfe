"""What is served where: the API, and the metrics where they are bound apart. Over real sockets."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from orchestrator.adapters.http import head_room, protocol, serving
from orchestrator.adapters.http.lingering import DROPPED_BYTES_MOST
from orchestrator.adapters.http.listening import listen
from orchestrator.adapters.http.protocol import HEAD_BYTES_MOST
from orchestrator.adapters.http.serving import make_servers
from orchestrator.settings import Address, Settings
from tests.unit.http.gateway import KEY, Gateway

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
    try:
        async with httpx.AsyncClient(trust_env=False) as client:
            yield client
    finally:
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


@asynccontextmanager
async def connected(gateway: Gateway) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """One connection to the API, for bytes that no client sends."""
    port = a_free_port()
    async with served(gateway, Settings(port=port)):
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
        try:
            yield reader, writer
        finally:
            writer.close()


async def answer_to(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Read until the server closes; give the status and the whole answer."""
    async with asyncio.timeout(20):
        answer = await reader.read()
    return int(answer.split(b" ", 2)[1]), answer


async def send_fields(writer: asyncio.StreamWriter, size: int) -> None:
    for _ in range(size // len(FLOOD)):
        writer.write(b"x: " + FLOOD + b"\r\n")
        await writer.drain()


HEAD = b"GET /healthz HTTP/1.1\r\nhost: service\r\n"
FLOOD = b"x" * 4_096
UNFINISHED = (HEAD + b"x: ", b"GET /", b"", HEAD + b"a")
CHUNKED = b"POST /api/v1/jobs HTTP/1.1\r\nhost: service\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("beginning", UNFINISHED)
async def test_a_head_without_an_end_is_refused_and_its_connection_closed(
    gateway: Gateway, beginning: bytes
) -> None:
    async with connected(gateway) as (reader, writer):
        writer.write(beginning)
        flood = FLOOD if beginning else b"\r\n" * 2_048
        for _ in range(HEAD_BYTES_MOST // len(flood) + 1):
            writer.write(flood)
        status, answer = await answer_to(reader)
    assert status == 431
    assert b"content-type: application/problem+json" in answer


async def test_a_large_head_that_comes_whole_is_refused_too(gateway: Gateway) -> None:
    async with connected(gateway) as (reader, writer):
        writer.write(HEAD + b"x: " + b"y" * HEAD_BYTES_MOST + b"\r\n\r\n")
        assert (await answer_to(reader))[0] == 431


async def test_fields_after_a_body_are_bounded_as_those_before_it(gateway: Gateway) -> None:
    async with connected(gateway) as (reader, writer):
        writer.write(CHUNKED[:-2] + b"authorization: Bearer " + KEY.encode() + b"\r\n\r\n1\r\na\r\n0\r\n")
        await send_fields(writer, 2 * HEAD_BYTES_MOST)
        assert (await answer_to(reader))[0] == 431


async def test_fields_after_a_body_that_was_answered_early_are_dropped_and_not_for_ever(
    gateway: Gateway,
) -> None:
    async with connected(gateway) as (reader, writer):
        writer.write(CHUNKED + b"1\r\na\r\n0\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 401")
        with pytest.raises(ConnectionError):
            await send_fields(writer, 100 * DROPPED_BYTES_MOST)


async def test_a_large_body_in_small_chunks_is_no_large_head(gateway: Gateway) -> None:
    body = b'{"url":"http://203.0.113.7/","body":"' + b"x" * 48_000 + b'"}'
    chunks = b"".join(b"20\r\n" + body[at : at + 32].ljust(32) + b"\r\n" for at in range(0, len(body), 32))
    key = b"authorization: Bearer " + KEY.encode() + b"\r\nconnection: close\r\n\r\n"
    async with connected(gateway) as (reader, writer):
        writer.write(CHUNKED[:-2] + key + chunks + b"0\r\n\r\n")
        assert (await answer_to(reader))[0] == 202


async def test_many_requests_that_come_at_once_are_no_large_head(gateway: Gateway) -> None:
    count = 2 * HEAD_BYTES_MOST // len(HEAD)
    async with connected(gateway) as (reader, writer):
        writer.write((HEAD + b"\r\n") * count + HEAD + b"connection: close\r\n\r\n")
        _, answer = await answer_to(reader)
    assert answer.count(b"HTTP/1.1 200 OK") == count + 1


async def test_a_head_of_very_many_lines_is_refused(gateway: Gateway) -> None:
    async with connected(gateway) as (reader, writer):
        writer.write(HEAD + b"x:\r\n" * (protocol.HEAD_LINES_MOST + 1))
        assert (await answer_to(reader))[0] == 431


async def test_of_a_head_with_too_many_lines_few_more_are_read_than_one_may_have(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[bytes] = []
    usual = protocol.BoundedProtocol.on_header

    def counted(self: protocol.BoundedProtocol, name: bytes, value: bytes) -> None:
        read.append(name)
        usual(self, name, value)

    monkeypatch.setattr(protocol.BoundedProtocol, "on_header", counted)
    async with connected(gateway) as (reader, writer):
        writer.write(HEAD + b"x:\r\n" * 15_000)
        assert (await answer_to(reader))[0] == 431
    assert protocol.HEAD_LINES_MOST < len(read) < 2 * protocol.HEAD_LINES_MOST


async def test_requests_behind_many_others_are_read_when_their_turn_comes_though_no_more_is_sent(
    gateway: Gateway,
) -> None:
    count = 5 * protocol.PIPELINED_MOST
    async with connected(gateway) as (reader, writer):
        writer.write((HEAD + b"\r\n") * count)
        writer.write_eof()
        _, answer = await answer_to(reader)
    assert answer.count(b"HTTP/1.1 200 OK") == count


async def test_a_small_submission_that_is_long_in_coming_needs_room(gateway: Gateway) -> None:
    body = b'{"url":"http://203.0.113.7/","body":"' + b"x" * 10_000 + b'"}'
    key = b"authorization: Bearer " + KEY.encode() + b"\r\nconnection: close\r\n"
    head = b"POST /api/v1/jobs HTTP/1.1\r\nhost: service\r\n" + key
    room = gateway.backend.incoming
    async with connected(gateway) as (reader, writer):
        writer.write(head + b"content-length: %d\r\n\r\n" % len(body) + body[:5_000])
        async with asyncio.timeout(20):
            while room.used < len(body):  # noqa: ASYNC110  # a count has no event
                await asyncio.sleep(0.01)
        writer.write(body[5_000:])
        assert (await answer_to(reader))[0] == 202
    assert room.used == 0


async def test_a_body_where_none_belongs_is_dropped(gateway: Gateway) -> None:
    async with connected(gateway) as (reader, writer):
        writer.write(HEAD + b"connection: close\r\ncontent-length: 100000\r\n\r\n" + b"x" * 100_000)
        assert (await answer_to(reader))[0] == 200


async def test_heads_that_are_under_way_have_a_room_and_small_ones_need_none(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head_room, "HEADS_BYTES", 40_000)
    port = a_free_port()
    large, small = HEAD + b"x: " + b"y" * 30_000, HEAD + b"x: y"
    async with served(gateway, Settings(port=port)) as client, contextlib.AsyncExitStack() as opened:

        async def begin(head: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            opened.callback(writer.close)
            writer.write(head)
            return reader, writer

        first, slow = await begin(large), await begin(small)
        assert (await answer_to((await begin(large))[0]))[0] == 503
        assert await status(client, port, "/healthz") == 200
        slow[1].write(b"\r\nconnection: close\r\n\r\n")
        assert (await answer_to(slow[0]))[0] == 200

        first[1].write(b"\r\nconnection: close\r\n\r\n")
        assert (await answer_to(first[0]))[0] == 200
        again = await begin(large + b"\r\nconnection: close\r\n\r\n")
        assert (await answer_to(again[0]))[0] == 200


@pytest.mark.parametrize("beginning", [*UNFINISHED, HEAD + b"\r\n", HEAD + b"\r\n\r\n", CHUNKED])
async def test_a_connection_that_falls_silent_is_closed(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, beginning: bytes
) -> None:
    monkeypatch.setattr(protocol, "HEAD_WITHIN_S", 0.05)
    monkeypatch.setattr(serving, "KEEP_ALIVE_S", 0.05)
    async with connected(gateway) as (reader, writer):
        writer.write(beginning)
        async with asyncio.timeout(20):
            await reader.read()


async def test_a_head_may_not_trickle_for_ever(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_WITHIN_S", 0.05)
    async with connected(gateway) as (reader, writer), asyncio.timeout(20):
        writer.write(HEAD)
        while not reader.at_eof():
            with contextlib.suppress(ConnectionError, TimeoutError):
                writer.write(b"x")
                await asyncio.wait_for(reader.read(), 0.01)


async def test_more_connections_than_may_be_open_are_refused(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "connections_most", lambda: 1)
    async with connected(gateway) as (first, writer):
        host, port = writer.get_extra_info("peername")
        second, other = await asyncio.open_connection(host, port)
        status, answer = await answer_to(second)
        other.close()
        assert (status, b"too many connections" in answer) == (503, True)
        writer.write(HEAD + b"connection: close\r\n\r\n")
        assert (await answer_to(first))[0] == 200


async def test_what_is_no_http_is_a_problem_document(gateway: Gateway) -> None:
    async with connected(gateway) as (reader, writer):
        writer.write(b"\x16\x03\x01\x02\r\n\r\n")
        status, answer = await answer_to(reader)
    assert (status, b"application/problem+json" in answer) == (400, True)
