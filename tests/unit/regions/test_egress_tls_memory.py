"""What a connection within TLS keeps in memory is little, and so are those that nobody uses."""

import asyncio
import gc
import weakref

import pytest

from orchestrator.domain.byte_budget import KIB
from orchestrator.domain.exchange import HttpRequest
from regions.egress import idle
from regions.egress.client import AiohttpEgress
from regions.egress.connector import TLS_READ_BYTES, NarrowReading
from regions.egress.reader import AnswerReader
from regions.guard import AddressPolicy
from tests.unit.regions.conftest import Certificate, Peer, Serve

PRIVATE = AddressPolicy(allow_private=True)
BODY = bytes(range(256)) * 8 * KIB


async def open_gate() -> None:
    """Let everybody pass."""


def ask(url: str) -> HttpRequest:
    return HttpRequest(method="GET", url=url, timeout_ms=30_000)


class _Lender(asyncio.BufferedProtocol):
    def get_buffer(self, sizehint: int) -> bytearray:  # asyncio's
        return bytearray(256 * KIB)


def test_no_more_is_lent_than_a_record_has() -> None:
    assert len(NarrowReading(_Lender()).get_buffer(-1)) == TLS_READ_BYTES


async def test_tls_reads_through_what_lends_little(serve: Serve, certificate: Certificate) -> None:
    # As long as the event loops' TLS is a BufferedProtocol that start_tls sets before the connection: were it
    # not, nothing would be narrow, and this is where it is seen.
    server, sizes = await serve(_large, tls=certificate.server), list[int]()
    updated = NarrowReading.buffer_updated

    def note(reading: NarrowReading, nbytes: int) -> None:
        sizes.append(nbytes)
        updated(reading, nbytes)

    NarrowReading.buffer_updated = note  # type: ignore[method-assign]  # to see what comes
    try:
        async with AiohttpEgress(PRIVATE, ca_file=certificate.ca_file) as client:
            answer = await client.exchange(ask(server.url()), open_gate)
    finally:
        NarrowReading.buffer_updated = updated  # type: ignore[method-assign]
    assert answer.body == BODY
    assert sum(sizes) > len(BODY)
    assert max(sizes) <= TLS_READ_BYTES


class _Connection:
    def __init__(self) -> None:
        self.is_open = True

    def hang_up(self) -> None:
        self.is_open = False


def test_of_connections_that_nobody_uses_those_that_lay_longest_make_room() -> None:
    lying = idle.IdleConnections()
    plain = [_Connection() for _ in range(idle.IDLE_BYTES // idle.CONNECTION_COSTS)]
    for each in plain:
        lying.rest(each, secure=False)
    assert all(each.is_open for each in plain)
    lying.wake(plain[0])

    secure = _Connection()
    lying.rest(secure, secure=True)

    assert [each.is_open for each in plain[:5]] == [True, False, False, False, True]
    assert secure.is_open
    assert lying.used <= idle.IDLE_BYTES


async def test_a_connection_that_others_need_room_for_is_made_anew(
    serve: Serve, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idle, "IDLE_BYTES", 0)
    server = await serve(tls=certificate.server)
    async with AiohttpEgress(PRIVATE, ca_file=certificate.ca_file) as client:
        for asked in range(1, 3):
            assert (await client.exchange(ask(server.url()), open_gate)).body == b"ok"
            await server.until_open(0, accepted=asked)


async def _large(peer: Peer) -> None:
    while await peer.request():
        await peer.answer(BODY)


async def test_a_connection_that_is_hung_up_on_leaves_memory_without_the_garbage_collector(
    serve: Serve, certificate: Certificate
) -> None:
    async def begins_only(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n" + BODY)
        await peer.eof()

    server, readers = await serve(begins_only, tls=certificate.server), list[weakref.ref[AnswerReader]]()
    gc.collect()
    gc.disable()
    try:
        async with AiohttpEgress(PRIVATE, ca_file=certificate.ca_file) as client:

            async def gate() -> None:
                (exchange,) = client._under_way
                assert exchange._reader is not None
                readers.append(weakref.ref(exchange._reader))

            asked = asyncio.create_task(client.exchange(ask(server.url()), gate))
            await server.until_open(1)
            while not readers:  # noqa: ASYNC110  # the gate is in another task
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            asked.cancel()
            await asyncio.wait([asked])
            await server.until_open(0)
            await asyncio.sleep(0.1)
            assert readers[0]() is None
    finally:
        gc.enable()
