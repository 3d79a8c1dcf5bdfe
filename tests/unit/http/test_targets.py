"""Addresses that may not be called are refused where they can be known."""

import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.http.gateway import TARGET, Gateway


def knows_no_name(*args: Any, **kwargs: Any) -> list[Any]:
    """A resolver of which no refusal may depend."""
    raise socket.gaierror(socket.EAI_NONAME, "no such name")


FORBIDDEN = [
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0177.0.0.1",
    "127.0.0.1.",
    "0",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "[::]",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[2002:7f00:1::]",
    "[fe80::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[ff02::1]",
    "user:pass@127.0.0.1",
    "203.0.113.7@127.0.0.1",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "api.localhost",
    "a.b.LocalHost.",
    "localhost.localdomain",
    "localhost.localdomain.",
    "ip6-localhost",
    "ip6-loopback",
    "localhost:8080",
]


@pytest.mark.parametrize("host", FORBIDDEN)
async def test_a_forbidden_address_is_403_however_it_is_spelt(
    gateway: Gateway, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", knows_no_name)
    response = await gateway.submit(url=f"http://{host}/")
    assert response.status_code == 403, response.text
    problem = response.json()
    assert problem["type"] == "/problems/target-not-allowed"
    assert "not allowed" in problem["error"]


async def test_a_forbidden_port_makes_no_difference(gateway: Gateway) -> None:
    assert (await gateway.submit(url="https://127.0.0.1:8443/")).status_code == 403


async def test_a_forbidden_webhook_is_403_too(gateway: Gateway) -> None:
    hooks = [{"url": "http://203.0.113.9/"}, {"url": "http://169.254.169.254/latest"}]
    assert (await gateway.submit(webhooks=hooks)).status_code == 403
    assert await gateway.store.jobs.waiting() == []


@pytest.mark.parametrize("place", ["fallback_job", "on_success", "on_failure"])
async def test_a_nested_jobs_forbidden_address_is_403_too(gateway: Gateway, place: str) -> None:
    nested = {place: {"url": TARGET, place: {"url": "http://10.0.0.1/"}}}
    assert (await gateway.submit(**nested)).status_code == 403
    hook = {place: {"url": TARGET, "webhooks": [{"url": "http://[::1]/"}]}}
    assert (await gateway.submit(**hook)).status_code == 403
    assert await gateway.store.jobs.waiting() == []


async def test_what_the_operator_allows_is_taken(gateway: Gateway) -> None:
    assert (await gateway.submit(url=TARGET)).status_code == 202
    assert (await gateway.submit(url="http://203.0.114.7/")).status_code == 202


async def test_a_refusal_tells_nothing_of_path_and_query(gateway: Gateway) -> None:
    response = await gateway.submit(url="http://127.0.0.1/path-of-mine?token=of-mine")
    assert "of-mine" not in response.text


Resolver = Callable[..., Any]


@pytest.fixture
def resolves(monkeypatch: pytest.MonkeyPatch) -> Callable[[Resolver], None]:
    """Put a resolver in the system's place: no test asks a name server."""

    def put(resolver: Resolver) -> None:
        monkeypatch.setattr(socket, "getaddrinfo", resolver)

    return put


def to_addresses(*addresses: str) -> Resolver:
    def resolve(host: str, *args: Any, **kwargs: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in addresses]

    return resolve


async def test_a_name_that_resolves_to_a_forbidden_address_is_403(
    gateway: Gateway, resolves: Callable[[Resolver], None]
) -> None:
    resolves(to_addresses("203.0.113.7", "10.0.0.1"))
    assert (await gateway.submit(url="http://sly.example.com/")).status_code == 403


async def test_a_name_that_resolves_to_allowed_addresses_is_taken(
    gateway: Gateway, resolves: Callable[[Resolver], None]
) -> None:
    resolves(to_addresses("203.0.113.7", "93.184.215.14"))
    assert (await gateway.submit(url="http://good.example.com/")).status_code == 202


async def test_a_name_that_does_not_resolve_is_taken(
    gateway: Gateway, resolves: Callable[[Resolver], None]
) -> None:
    resolves(knows_no_name)
    assert (await gateway.submit(url="http://down.example.com/")).status_code == 202


async def test_a_name_that_resolves_too_slowly_is_taken(
    gateway: Gateway, resolves: Callable[[Resolver], None]
) -> None:
    over = threading.Event()

    def hangs(*args: Any, **kwargs: Any) -> list[Any]:
        over.wait()
        return []

    resolves(hangs)
    assert (await gateway.submit(url="http://slow.example.com/")).status_code == 202
    over.set()


@pytest.mark.parametrize("host", ["a" * 300, "a..b", "-", "x" * 64 + ".com", "xn--a"])
async def test_a_name_that_no_resolver_takes_breaks_nothing(
    gateway: Gateway, resolves: Callable[[Resolver], None], host: str
) -> None:
    def encodes(name: str, *args: Any, **kwargs: Any) -> list[Any]:
        name.encode("idna")
        return []

    resolves(encodes)
    assert (await gateway.submit(url=f"http://{host}/")).status_code in {202, 422}
