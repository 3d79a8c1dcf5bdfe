"""Whom a client may reach, and that it reaches nobody else."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.domain.exchange import Fault, HttpRequest, HttpResponse
from orchestrator.ports.egress import EgressError
from regions.egress.client import AiohttpEgress
from regions.egress.dns import ForbiddenAddressError, GuardedDialler
from regions.guard import AddressPolicy, parse_networks

if TYPE_CHECKING:
    from tests.unit.regions.conftest import Serve

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
    "host",
    [
        "127.0.0.1",
        "127.0.0.1.",
        "localhost",
        "LocalHost",
        "127.1",
        "2130706433",
        "017700000001",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "[2002:7f00:1::]",
        "user@127.0.0.1",
        "example.com@127.0.0.1",
    ],
)
async def test_no_spelling_of_this_host_is_let_through(serve: Serve, host: str) -> None:
    server = await serve()
    async with AiohttpEgress(AddressPolicy()) as client:
        failure = await failure_of(client, server.url(host=host), shut_gate)
    assert failure.fault is Fault.NOT_ALLOWED
    assert server.accepted == 0


@pytest.mark.parametrize(
    "answers", [["127.0.0.2", "127.0.0.1"], ["127.0.0.1", "127.0.0.2"], ["127.0.0.2", "::1"]]
)
async def test_a_name_with_any_forbidden_address_is_refused_whole(serve: Serve, answers: list[str]) -> None:
    server = await serve(host="127.0.0.2")
    policy = AddressPolicy(allowed_networks=parse_networks("127.0.0.2/32"))
    async with AiohttpEgress(policy, lookup=Names(lambda _: answers)) as client:
        failure = await failure_of(client, server.url(host="mixed.test"), shut_gate)
    assert failure.fault is Fault.NOT_ALLOWED
    assert str(failure) == f"mixed.test:{server.port}: the address is not allowed: loopback"
    assert server.accepted == 0


async def test_a_name_that_changes_its_address_reaches_only_the_address_that_was_judged(serve: Serve) -> None:
    server = await serve()
    turns = count()
    names = Names(lambda _: ["127.0.0.1" if next(turns) % 2 == 0 else "10.0.0.1"])
    policy = AddressPolicy(allowed_networks=parse_networks("127.0.0.1/32"))
    async with AiohttpEgress(policy, lookup=names) as client:
        for number in range(0, 100, 2):
            assert (await fetch(client, server.url(host=f"n{number}.test"))).status == 200
            refused = await failure_of(client, server.url(host=f"n{number + 1}.test"), shut_gate)
            assert refused.fault is Fault.NOT_ALLOWED
    assert len(names.asked) == 100
    assert len(server.requests) == server.accepted == 50
    assert b"Host: n0.test:" in server.requests[0]


async def test_a_name_is_looked_up_once_for_one_connection(serve: Serve) -> None:
    server = await serve()
    answers = iter([["127.0.0.1"], ["10.0.0.1"]])
    names = Names(lambda _: next(answers))
    policy = AddressPolicy(allowed_networks=parse_networks("127.0.0.1/32"))
    async with AiohttpEgress(policy, lookup=names) as client:
        assert (await fetch(client, server.url(host="rebinding.test"))).status == 200
    assert names.asked == ["rebinding.test"]


def test_the_dialler_refuses_by_itself_whatever_a_resolver_let_through() -> None:
    dial = GuardedDialler(AddressPolicy())
    with pytest.raises(ForbiddenAddressError):
        dial((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 80)))
    with pytest.raises(ForbiddenAddressError):
        dial((socket.AF_INET6, socket.SOCK_STREAM, 0, "", ("fe80::1%1", 80, 0, 1)))


async def test_a_connection_is_on_its_way_before_its_loop_takes_it_over() -> None:
    dial = GuardedDialler(AddressPolicy(allowed_networks=parse_networks("127.0.0.1/32")))
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        address = server.getsockname()
        with dial((socket.AF_INET, socket.SOCK_STREAM, 0, "", address)) as made:
            with server.accept()[0] as accepted:
                assert accepted.getpeername() == made.getsockname()
            await asyncio.get_running_loop().sock_connect(made, address)


@pytest.mark.parametrize("host", ["127.1", "0x7f000001", "2130706433", "0177.0.0.01", "127.0.0.1."])
async def test_a_numeric_host_is_dialled_and_named_as_its_usual_address(serve: Serve, host: str) -> None:
    server, names = await serve(), Names(lambda _: [])
    policy = AddressPolicy(allowed_networks=parse_networks("127.0.0.1/32"))
    async with AiohttpEgress(policy, lookup=names) as client:
        assert (await fetch(client, server.url("/a%2Fb?c=%41", host=host))).status == 200
    assert names.asked == []
    assert server.requests[0].startswith(b"GET /a%2Fb?c=%41 HTTP")
    assert b"Host: 127.0.0.1:%d\r\n" % server.port in server.requests[0]


@pytest.mark.parametrize("host", ["256.0.0.1", "1.2.3.4.5", "08.0.0.1", "host.7", "0x"])
async def test_a_host_that_ends_in_a_number_and_is_no_address_is_asked_for_nowhere(host: str) -> None:
    names = Names(lambda _: pytest.fail("a number was looked up"))
    async with AiohttpEgress(AddressPolicy(), lookup=names) as client:
        failure = await failure_of(client, f"http://{host}/", shut_gate)
    assert (failure.fault, str(failure)) == (Fault.INVALID, "the host ends in a number, but is no address")


@pytest.mark.parametrize("host", ["localhost", "localhost.", "api.LOCALHOST", "localhost.localdomain"])
async def test_a_name_of_this_machine_is_refused_whatever_a_resolver_says(host: str) -> None:
    names = Names(lambda _: ["8.8.8.8"])
    async with AiohttpEgress(AddressPolicy(), lookup=names) as client:
        failure = await failure_of(client, f"http://{host}/", shut_gate)
    assert failure.fault is Fault.NOT_ALLOWED
    assert names.asked == []


@pytest.mark.parametrize("allowed", ["127.0.0.0/8", "::1/128"])
async def test_a_name_of_this_machine_is_looked_up_where_its_address_is_allowed(allowed: str) -> None:
    names = Names(lambda _: ["10.0.0.1"])
    async with AiohttpEgress(AddressPolicy(allowed_networks=parse_networks(allowed)), lookup=names) as client:
        failure = await failure_of(client, "http://localhost/", shut_gate)
    assert str(failure) == "localhost:80: the address is not allowed: private (RFC 1918)"
