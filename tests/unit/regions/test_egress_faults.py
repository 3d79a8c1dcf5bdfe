"""What an exchange without an answer is called, and what its messages keep to themselves."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import socket
import traceback
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import AddrInfoType

from orchestrator.domain.exchange import Fault, HttpRequest, HttpResponse
from orchestrator.ports.egress import EgressError
from regions.egress.client import AiohttpEgress
from regions.egress.dns import GuardedDialler, SystemLookup
from regions.guard import AddressPolicy, parse_networks

if TYPE_CHECKING:
    from tests.unit.regions.conftest import Certificate, Peer, Serve

PRIVATE = AddressPolicy(allow_private=True)


async def open_gate() -> None:
    """A gate that holds nobody back."""


async def shut_gate() -> None:
    pytest.fail("the gate was passed")


async def failure_of(client: AiohttpEgress, url: str, gate: Any = open_gate, **request: Any) -> EgressError:
    with pytest.raises(EgressError) as caught:
        await client.exchange(HttpRequest(**{"method": "GET", "url": url, **request}), gate)
    return caught.value


async def fetch(client: AiohttpEgress, url: str) -> HttpResponse:
    return await client.exchange(HttpRequest(method="GET", url=url), open_gate)


class Names:
    """A resolver that knows what it is told."""

    def __init__(self, answer: Callable[[str], Sequence[str]]) -> None:
        self._answer = answer
        self.asked: list[str] = []

    async def __call__(self, host: str) -> Sequence[str]:
        self.asked.append(host)
        return self._answer(host)


@pytest.mark.parametrize(
    "request_parts",
    [
        {"headers": (("X", "a\r\nY: b"),)},
        {"headers": (("X", "a\nb"),)},
        {"headers": (("X", "a\0b"),)},
        {"headers": (("X", "caf\u00e9"),)},
        {"headers": (("X", "\ud800"),)},
        {"headers": (("X\r\nY", "b"),)},
        {"headers": (("X Y", "b"),)},
        {"headers": (("", "b"),)},
        {"headers": (("Transfer-Encoding", "chunked"),), "body": b"0\r\n\r\nGET / HTTP/1.1\r\n\r\n"},
        {"headers": (("Content-Length", "3"),), "body": b"four"},
        {"headers": (("Content-Length", "4"), ("content-length", "4")), "body": b"four"},
        {"headers": (("Content-Length", "4"),)},
        {"method": "GET / HTTP/1.1\r\nX: y\r\n\r\nGET"},
        {"method": "GE T"},
        {"method": ""},
        {"method": "CONNECT"},
        {"path": "/a b"},
        {"path": "/a\r\nX: y"},
        {"path": "/caf\u00e9"},
        {"path": "/\ud800"},
    ],
)
async def test_what_cannot_be_put_on_a_wire_never_connects(
    serve: Serve, egress: AiohttpEgress, request_parts: dict[str, Any]
) -> None:
    server = await serve()
    parts = {"path": "/", **request_parts}
    url = server.url(parts.pop("path"))
    assert (await failure_of(egress, url, shut_gate, **parts)).fault is Fault.INVALID
    assert server.accepted == 0


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/relative",
        "//host/",
        "http:///path",
        "http://",
        "http://:80/",
        "ftp://127.0.0.1/",
        "ws://127.0.0.1/",
        "http://127.0.0.1:65536/",
        "http://127.0.0.1:-1/",
        "http://127.0.0.1:port/",
        "http://[::1/",
        "http://a\\@127.0.0.1/",
        "http://%31%32%37.0.0.1/",
        "http://a_%00b/",
        "http://\uff11\uff12\uff17.0.0.1/",
        "http://exa$mple.com/",
    ],
)
async def test_a_malformed_url_is_invalid(egress: AiohttpEgress, url: str) -> None:
    assert (await failure_of(egress, url, shut_gate)).fault is Fault.INVALID


async def test_a_closed_port_is_a_failed_connection(egress: AiohttpEgress) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        failure = await failure_of(egress, f"http://127.0.0.1:{port}/", shut_gate)
    assert failure.fault is Fault.CONNECT
    assert str(failure) == f"127.0.0.1:{port}: no connection: Connection refused"


async def test_a_process_that_may_open_no_more_files_says_nothing_of_the_target(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(GuardedDialler):
        def __call__(self, info: AddrInfoType) -> socket.socket:
            raise OSError(errno.EMFILE, "Too many open files")

    server = await serve()
    monkeypatch.setattr("regions.egress.sessions.GuardedDialler", Full)
    async with AiohttpEgress(PRIVATE) as client:
        failure = await failure_of(client, server.url(), shut_gate)
    assert failure.fault is Fault.LOST


async def test_a_name_that_does_not_resolve_is_a_failed_connection() -> None:
    def unknown(_: str) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async with AiohttpEgress(PRIVATE, lookup=Names(unknown)) as client:
        failure = await failure_of(client, "http://unknown.test/", shut_gate)
    assert failure.fault is Fault.CONNECT
    assert str(failure) == "unknown.test:80: the name does not resolve: Name or service not known"


@pytest.mark.parametrize("host", ["a" * 64 + ".test", "a..test"])
async def test_a_name_that_no_name_server_can_be_asked_for_does_not_resolve(
    egress: AiohttpEgress, host: str
) -> None:
    assert (await failure_of(egress, f"http://{host}/", shut_gate)).fault is Fault.CONNECT


async def test_a_name_without_any_address_is_a_failed_connection() -> None:
    async with AiohttpEgress(PRIVATE, lookup=Names(lambda _: [])) as client:
        assert (await failure_of(client, "http://empty.test/", shut_gate)).fault is Fault.CONNECT


async def test_the_second_address_is_tried_when_the_first_refuses(serve: Serve) -> None:
    server = await serve()
    async with AiohttpEgress(PRIVATE, lookup=Names(lambda _: ["127.0.0.2", "127.0.0.1"])) as client:
        assert (await fetch(client, server.url(host="two.test"))).status == 200


async def test_the_systems_resolver_knows_this_host_and_gives_up_in_time() -> None:
    lookup = SystemLookup(patience_s=5)
    assert set(await lookup("localhost")) <= {"127.0.0.1", "::1"}
    lookup.close()
    impatient = SystemLookup(patience_s=-1)
    with pytest.raises(socket.gaierror, match="no answer from the name servers"):
        await impatient("localhost")
    impatient.close()


async def test_a_certificate_is_verified_against_the_system_and_the_given_file(
    serve: Serve, egress: AiohttpEgress, certificate: Certificate
) -> None:
    server = await serve(tls=certificate.server)
    failure = await failure_of(egress, server.url(), shut_gate)
    assert failure.fault is Fault.CONNECT
    assert "certificate does not verify" in str(failure)
    async with AiohttpEgress(PRIVATE, ca_file=certificate.ca_file) as trusting:
        assert (await fetch(trusting, server.url())).status == 200


async def test_a_certificate_for_another_name_does_not_verify(serve: Serve, certificate: Certificate) -> None:
    server = await serve(tls=certificate.server)
    names = Names(lambda _: ["127.0.0.1"])
    async with AiohttpEgress(PRIVATE, ca_file=certificate.ca_file, lookup=names) as client:
        failure = await failure_of(client, server.url(host="other.test"), shut_gate)
    assert failure.fault is Fault.CONNECT
    assert "other.test" in str(failure)


async def test_a_server_without_tls_is_a_failed_connection(serve: Serve, egress: AiohttpEgress) -> None:
    async def handler(peer: Peer) -> None:
        await peer.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    server = await serve(handler)
    server.scheme = "https"
    assert (await failure_of(egress, server.url(), shut_gate)).fault is Fault.CONNECT


async def test_an_answer_that_comes_before_the_whole_request_was_read_counts(
    serve: Serve, egress: AiohttpEgress
) -> None:
    async def handler(peer: Peer) -> None:
        await peer.reader.readexactly(1)
        await peer.answer(b"too much", status="413 Content Too Large", headers="Connection: close\r\n")
        await peer.eof()

    server = await serve(handler)
    answer = await egress.exchange(
        HttpRequest(method="POST", url=server.url(), body=bytes(20_000_000)), open_gate
    )
    assert (answer.status, answer.body) == (413, b"too much")
    await server.until_open(0)


CANARY = "canary7Q"


async def closing(peer: Peer) -> None:
    await peer.request()


async def garbage(peer: Peer) -> None:
    await peer.request()
    await peer.send(f"{CANARY}\r\n\r\n".encode())


async def cut(peer: Peer) -> None:
    await peer.request()
    await peer.send(f"HTTP/1.1 200 OK\r\nX: {CANARY}\r\nContent-Length: 99\r\n\r\n{CANARY}".encode())


async def silent(peer: Peer) -> None:
    await peer.eof()


async def lease_expired(peer: Peer) -> None:
    await peer.reader.readexactly(1)
    peer.writer.transport.abort()


async def fine(peer: Peer) -> None:
    await peer.request()
    await peer.answer(CANARY.encode(), headers=f"Set-Cookie: a={CANARY}\r\n")


@pytest.mark.parametrize("handler", [closing, garbage, cut, silent, lease_expired, fine])
@pytest.mark.parametrize("host", ["127.0.0.1", "unknown.test", "127.1", "evil.test"])
async def test_no_secret_of_a_request_or_an_answer_shows_in_an_error_or_a_log(
    serve: Serve,
    caplog: pytest.LogCaptureFixture,
    handler: Callable[[Peer], Awaitable[None]],
    host: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)
    server = await serve(handler)
    names = Names(lambda name: ["10.0.0.1"] if name == "evil.test" else [])
    policy = AddressPolicy(allowed_networks=parse_networks("127.0.0.1/32"))
    request = HttpRequest(
        method="PUT",
        url=server.url(f"/{CANARY}?q={CANARY}#{CANARY}", host=f"{CANARY}:{CANARY}@{host}"),
        headers=(("X-Secret", CANARY), ("Cookie", CANARY)),
        body=CANARY.encode() * 1_000_000,
        timeout_ms=300,
    )
    async with AiohttpEgress(policy, lookup=names) as client:
        outcome = (await asyncio.gather(client.exchange(request, open_gate), return_exceptions=True))[0]
    gc.collect()
    assert CANARY not in caplog.text
    if handler in (fine, cut) and host in ("127.0.0.1", "127.1"):
        assert isinstance(outcome, HttpResponse)
        assert CANARY not in outcome.incomplete
    else:
        assert isinstance(outcome, EgressError)
        assert (outcome.__cause__, outcome.__context__) == (None, None)
        assert CANARY not in "".join(traceback.format_exception(outcome))


@pytest.mark.parametrize(
    "parts",
    [
        {"headers": ((CANARY, f"{CANARY}\r\n"),)},
        {"headers": ((f"{CANARY} ", CANARY),)},
        {"method": f"{CANARY} "},
        {"url": f"http://{CANARY}:{CANARY}@[::1/?{CANARY}"},
        {"url": f"http://{CANARY}:{CANARY}@127.0.0.1:99999/?{CANARY}"},
        {"url": f"http://127.0.0.1/?{CANARY} "},
    ],
)
async def test_no_secret_of_an_invalid_request_shows_in_its_error(
    egress: AiohttpEgress, parts: dict[str, Any]
) -> None:
    parts = {"url": "http://127.0.0.1/", **parts}
    failure = await failure_of(egress, parts.pop("url"), shut_gate, **parts)
    assert failure.fault is Fault.INVALID
    assert CANARY not in "".join(traceback.format_exception(failure))
    assert failure.__cause__ is None
