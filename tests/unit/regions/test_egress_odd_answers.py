"""Once its status line was read an answer counts: odd ones are taken, those that stop short are marked."""

from __future__ import annotations

import asyncio
import gc
import socket
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.domain.exchange import Fault, HttpRequest, HttpResponse
from orchestrator.ports.egress import EgressError
from regions.egress.client import AiohttpEgress
from regions.egress.head import HEADER_BYTES_MOST, HEADER_LINES_MOST
from tests.support.odd_answers import GOOD_ENOUGH, NO_ANSWER, STALLED, Odd, Then, all_answered

if TYPE_CHECKING:
    from tests.unit.regions.conftest import Peer, Serve, Server

RESET = struct.pack("ii", 1, 0)
ANSWERED = dict(all_answered())
METHODS = ("GET", "POST", "HEAD")
OWN = b"the next request's own"


async def open_gate() -> None:
    """A gate that holds nobody back."""


@pytest.fixture(autouse=True, scope="module")
def nothing_is_forgotten() -> Iterator[None]:
    """A connection that nobody closed warns when it is collected, and a warning is an error here."""
    yield
    gc.collect()


async def fetch(client: AiohttpEgress, server: Server, **request: Any) -> HttpResponse:
    return await client.exchange(HttpRequest(**{"method": "GET", "url": server.url(), **request}), open_gate)


async def sending(serve: Serve, wire: bytes, then: Then = Then.WAIT, *, piece: int = 0) -> Server:
    """A server that sends ``wire``, in pieces, for "/odd"; for anything else an answer as it should be."""

    async def handler(peer: Peer) -> None:
        while request := await peer.request():
            server.requests.append(request)
            if b" /odd " not in request:
                await peer.answer(OWN)
                continue
            for start in range(0, len(wire), piece or len(wire) or 1):
                await peer.send(wire[start : start + (piece or len(wire))])
                await asyncio.sleep(0)
            if then is Then.RESET:
                peer.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            if then is not Then.WAIT:
                return

    server = await serve(handler)
    return server


async def odd_of(client: AiohttpEgress, server: Server, **request: Any) -> HttpResponse:
    return await fetch(client, server, url=server.url("/odd"), **request)


def check(answer: HttpResponse, odd: Odd, method: str) -> None:
    assert (answer.status, answer.headers_truncated) == (odd.status, odd.cut)
    if method == "HEAD":
        assert (answer.body, answer.incomplete == "") == (b"", odd.head_is_whole or odd.whole)
    else:
        assert (answer.body, answer.incomplete == "") == (odd.body, odd.whole)


@pytest.mark.parametrize("name", ANSWERED)
async def test_an_odd_answer_counts_and_the_next_request_gets_its_own(
    serve: Serve, egress: AiohttpEgress, name: str
) -> None:
    odd = ANSWERED[name]
    for method in METHODS:
        server = await sending(serve, odd.wire, odd.then)

        check(await odd_of(egress, server, method=method), odd, method)

        assert (await fetch(egress, server)).body == OWN
        assert len(server.requests) == 2


@pytest.mark.parametrize("name", ANSWERED)
async def test_the_pieces_in_which_an_answer_comes_make_no_difference(
    serve: Serve, egress: AiohttpEgress, name: str
) -> None:
    odd = ANSWERED[name]
    server = await sending(serve, odd.wire, odd.then, piece=max(1, len(odd.wire) // 50))

    check(await odd_of(egress, server), odd, "GET")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", STALLED)
async def test_an_answer_whose_time_is_over_ends_with_its_status(
    serve: Serve, egress: AiohttpEgress, name: str, method: str
) -> None:
    odd = STALLED[name]
    server = await sending(serve, odd.wire)

    answer = await odd_of(egress, server, method=method, timeout_ms=200)

    check(answer, odd, method)
    if answer.incomplete:
        assert answer.incomplete == "the time limit passed"
        await server.until_open(0)


@pytest.mark.parametrize("name", NO_ANSWER)
async def test_what_has_no_status_line_is_no_answer(serve: Serve, egress: AiohttpEgress, name: str) -> None:
    wire, then = NO_ANSWER[name]
    server = await sending(serve, wire, then)
    with pytest.raises(EgressError) as caught:
        await odd_of(egress, server, method="POST", body=b"x")
    assert caught.value.fault is Fault.BROKEN


@pytest.mark.parametrize(
    "name", ["129 header lines", "one length twice", "trailers", "interim answers before it"]
)
async def test_an_answer_that_is_whole_leaves_its_connection_to_the_next(
    serve: Serve, egress: AiohttpEgress, name: str
) -> None:
    server = await sending(serve, GOOD_ENOUGH[name].wire)
    for _ in range(3):
        await odd_of(egress, server)
    assert server.accepted == 1


@pytest.mark.parametrize("name", ["a 204 with a body", "a space before a colon", "a length beside chunks"])
async def test_an_answer_behind_which_nobody_knows_what_follows_costs_its_connection(
    serve: Serve, egress: AiohttpEgress, name: str
) -> None:
    server = await sending(serve, GOOD_ENOUGH[name].wire)
    await odd_of(egress, server)
    await server.until_open(0, accepted=1)


@pytest.mark.parametrize("line", [b"Content-Length: 2", b"Transfer-Encoding: chunked"])
async def test_an_answer_without_a_body_that_announces_one_costs_its_connection(
    serve: Serve, egress: AiohttpEgress, line: bytes
) -> None:
    server = await sending(serve, b"HTTP/1.1 204 No Content\r\n" + line + b"\r\n\r\n")
    await odd_of(egress, server)
    await server.until_open(0, accepted=1)


async def test_header_lines_are_kept_up_to_a_bound_and_the_body_is_read_all_the_same(
    serve: Serve, egress: AiohttpEgress
) -> None:
    lines = b"".join(b"X-%d: %b\r\n" % (n, b"v" * 1_000) for n in range(1_000))
    wire = b"HTTP/1.1 200 OK\r\n" + lines + b"Content-Length: 2\r\nContent-Encoding: gzip\r\n\r\nok"
    answer = await odd_of(egress, await sending(serve, wire))

    assert (answer.body, answer.headers_truncated, answer.incomplete) == (b"ok", True, "")
    assert HEADER_BYTES_MOST * 0.9 < sum(map(len, answer.headers.values())) <= HEADER_BYTES_MOST
    assert (answer.headers["x-0"], answer.headers["content-length"]) == ("v" * 1_000, "2")


async def test_of_very_many_short_header_lines_a_thousand_are_kept_and_those_that_frame_the_body(
    serve: Serve, egress: AiohttpEgress
) -> None:
    lines = b"".join(b"%x:\r\n" % number for number in range(4 * HEADER_LINES_MOST))
    wire = b"HTTP/1.1 200 OK\r\n" + lines + b" folded\r\nContent-Length: 2\r\n\r\nok"
    answer = await odd_of(egress, await sending(serve, wire))

    assert (answer.body, answer.headers_truncated, answer.incomplete) == (b"ok", True, "")
    assert len(answer.headers) == HEADER_LINES_MOST + 1
    assert answer.headers["content-length"] == "2"


@pytest.mark.parametrize(
    ("lines", "headers"),
    [
        (b"X-A : b\r\n", {"x-a": "b"}),
        (b"X-A: b\r\n\tc\r\n d\r\n", {"x-a": "b c d"}),
        (b"X-A: b\x00c\r\n", {"x-a": "b c"}),
        (b"X-A: b\rc\r\n", {"x-a": "b c"}),
        (b"nonsense\r\n: v\r\nX-A: b\r\n", {"x-a": "b"}),
        (b"X A: b\r\n", {"x a": "b"}),
    ],
)
async def test_what_a_header_line_says_is_read_as_far_as_it_says_anything(
    serve: Serve, egress: AiohttpEgress, lines: bytes, headers: dict[str, str]
) -> None:
    wire = b"HTTP/1.1 204 No Content\r\n" + lines + b"\r\n"
    assert (await odd_of(egress, await sending(serve, wire))).headers == headers


async def test_interim_answers_without_end_are_none(serve: Serve, egress: AiohttpEgress) -> None:
    wire = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 2_000
    server = await sending(serve, wire)
    with pytest.raises(EgressError, match="interim answers came without end"):
        await odd_of(egress, server)
    await server.until_open(0)


async def test_a_request_that_asks_for_it_gets_a_connection_that_served_no_other(
    serve: Serve, egress: AiohttpEgress
) -> None:
    server = await serve()
    for _ in range(3):
        await fetch(egress, server)
    assert server.accepted == 1
    for number in range(2, 4):
        assert (await fetch(egress, server, fresh_connection=True, method="POST")).body == b"ok"
        assert server.accepted == number
        await server.until_open(1)
    await fetch(egress, server)
    assert server.accepted == 3
    assert not any(b"onnection:" in request for request in server.requests)


async def test_where_the_status_suffices_little_time_is_spent_on_the_rest(
    serve: Serve, egress: AiohttpEgress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("regions.egress.client.STATUS_REST_S", 0.05)
    server = await sending(serve, STALLED["stalled before its length"].wire)

    answer = await odd_of(egress, server, status_suffices=True, timeout_ms=60_000)

    assert (answer.status, answer.incomplete) == (200, "the time limit passed")
    await server.until_open(0)


async def test_where_the_status_suffices_a_connection_that_behaves_is_kept(
    serve: Serve, egress: AiohttpEgress
) -> None:
    server = await serve()
    for _ in range(3):
        assert (await fetch(egress, server, status_suffices=True)).incomplete == ""
    assert server.accepted == 1
