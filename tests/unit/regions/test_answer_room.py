"""Answers that are being read have a room in memory: what does not fit is read later, and not cut."""

import asyncio
import contextlib
import gzip
import tracemalloc
from collections.abc import Callable
from typing import Self

from orchestrator.core.webhooks.delivery_room import DELIVERY_COSTS
from orchestrator.domain.byte_budget import KIB, MIB
from orchestrator.domain.exchange import HttpRequest, HttpResponse
from orchestrator.ports.egress import Gate
from regions.egress import answer_room
from regions.egress.answer_room import AnswerRoom
from regions.egress.client import AiohttpEgress
from regions.guard import AddressPolicy

DELIVERIES = 100
BODY = b"0123456789abcdef" * (2 * MIB // 16)


async def open_gate() -> None:
    """Let everybody pass."""


class Site:
    """Answers with a body that stops after so many bytes until it may go on."""

    def __init__(self, body: bytes = BODY, stops_after: int = 0, fields: str = "") -> None:
        self.may_end = asyncio.Event()
        self._body = body
        self._stops_after = stops_after
        self._fields = fields
        self.url = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.may_end.set()
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 200 OK\r\n{self._fields}Connection: close\r\n\r\n"
        writer.write(head.encode() + self._body[: self._stops_after])
        if self._stops_after:
            await self.may_end.wait()
        with contextlib.suppress(OSError):
            writer.write(self._body[self._stops_after :])
            await writer.drain()
        writer.close()


class Client:
    """An egress over one room."""

    def __init__(self, most: int = 5 * MIB) -> None:
        self.room = AnswerRoom()
        self.egress = AiohttpEgress(
            AddressPolicy(allow_private=True), room=self.room, max_response_bytes=most
        )

    def fill(self) -> None:
        """Leave no room: a piece counts as half of it at most."""
        for other in ("other", "another"):
            self.room.hold(other, answer_room.ANSWER_BYTES)

    def empty(self) -> None:
        for other in ("other", "another"):
            self.room.let_go(other, answer_room.ANSWER_BYTES)

    def ask(self, url: str, owner: str, gate: Gate = open_gate) -> "asyncio.Future[HttpResponse]":
        request = HttpRequest(method="GET", url=url, owner=owner, timeout_ms=30_000)
        return asyncio.ensure_future(self.egress.exchange(request, gate))


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110  # a count has no event
            await asyncio.sleep(0.01)


async def test_what_is_read_is_counted_and_given_back() -> None:
    client = Client()
    async with Site(stops_after=MIB) as site:
        asked = client.ask(site.url, "acme")
        await until(lambda: client.room.used >= MIB - 64 * KIB)
        site.may_end.set()
        assert (await asked).body == BODY
    assert client.room.used == 0
    await client.egress.close()


async def test_without_room_one_answer_of_an_owner_goes_on_at_a_time_and_all_come_whole() -> None:
    client = Client()
    client.fill()
    async with Site() as site:
        answers = await asyncio.gather(*(client.ask(site.url, "acme") for _ in range(12)))
    assert {answer.body for answer in answers} == {BODY}
    client.empty()
    assert client.room.used == 0
    await client.egress.close()


async def test_answers_that_do_not_end_hold_up_nobody_elses() -> None:
    client = Client()
    async with Site(BODY * 3, stops_after=5 * MIB) as hanging, Site() as prompt:
        stuck = [client.ask(hanging.url, "acme") for _ in range(40)]
        await until(lambda: client.room.used > answer_room.ANSWER_BYTES // 3)
        async with asyncio.timeout(20):
            answers = await asyncio.gather(*(client.ask(prompt.url, "beta") for _ in range(8)))
        assert {answer.body for answer in answers} == {BODY}
        most = answer_room.ANSWER_BYTES + answer_room.AHEAD_MOST * 5 * MIB
        assert client.room.used <= most
        for asked in stuck:
            asked.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)
    assert client.room.used == 0
    await client.egress.close()


async def test_headers_of_many_short_lines_wait_for_room_as_bodies_do() -> None:
    client = Client()
    client.fill()
    client.room._ahead = {"acme": client.room.open("acme", 1)}
    lines = "".join(f"x{number}:\r\n" for number in range(1_000))
    async with Site(b"ok", fields=lines) as site:
        asked = client.ask(site.url, "acme")
        await until(lambda: client.room._room.waiting("acme") == 1)
        client.empty()
        assert len((await asked).headers) == 1_001
    assert client.room.used == 0
    await client.egress.close()


async def test_small_answers_wait_for_no_room() -> None:
    client = Client()
    client.fill()
    client.room._ahead = {
        f"other {number}": client.room.open("x", 1) for number in range(answer_room.AHEAD_MOST)
    }
    async with Site(b"x" * 10_000) as site:
        assert (await client.ask(site.url, "acme")).body == b"x" * 10_000
    await client.egress.close()


async def test_a_bomb_is_counted_before_it_is_inflated() -> None:
    client = Client()
    client.fill()
    client.room._ahead = {"acme": client.room.open("acme", 1)}
    bomb = gzip.compress(bytes(64 * MIB))
    async with Site(bomb, fields="Content-Encoding: gzip\r\n") as site:
        asked = [client.ask(site.url, "acme") for _ in range(5)]
        await until(lambda: client.room._room.waiting("acme") == 5)
        client.empty()
        answers = await asyncio.gather(*asked)
    assert {(len(answer.body), answer.truncated) for answer in answers} == {(5 * MIB, True)}
    assert client.room.used == 0
    await client.egress.close()


async def test_whole_answers_that_wait_for_the_shard_are_not_outrun() -> None:
    client = Client()
    client.fill()
    async with Site() as site:
        asked = [client.ask(site.url, "acme") for _ in range(5)]
        first = asyncio.ensure_future(asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED))
        await first
        client.room.hold("acme", len(BODY))
        await asyncio.sleep(3 * answer_room.REST_S)
        assert sum(task.done() for task in asked) == 1

        client.room.let_go("acme", len(BODY))
        assert {answer.body for answer in await asyncio.gather(*asked)} == {BODY}
    await client.egress.close()


async def test_of_an_answer_without_room_whose_status_suffices_little_is_held() -> None:
    client = Client()
    client.fill()
    async with Site(BODY, stops_after=MIB, fields="x: ") as site:
        request = HttpRequest(method="POST", url=site.url, timeout_ms=30_000, status_suffices=True)
        # One goes ahead of the others, as it would of jobs' answers.
        first = asyncio.ensure_future(client.egress.exchange(request, open_gate))
        await asyncio.sleep(0.2)
        tracemalloc.start()
        asked = [asyncio.ensure_future(client.egress.exchange(request, open_gate)) for _ in range(DELIVERIES)]
        await asyncio.sleep(1.0)
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        for exchange in [first, *asked]:
            exchange.cancel()
        await asyncio.gather(first, *asked, return_exceptions=True)
    # The site's own end is in it, too.
    assert held < DELIVERIES * 2 * DELIVERY_COSTS
    client.empty()
    assert client.room.used == 0
    await client.egress.close()
