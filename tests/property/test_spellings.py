"""One address and port is one domain, however it is spelt, and what is dialled is what was named."""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.domain.exchange import HttpRequest
from orchestrator.domain.hosts import one_spelling, plain_address
from orchestrator.domain.ids import domain_at, host_and_port, read_domain, target_domain
from orchestrator.domain.jobs.submission import check_url
from orchestrator.domain.jobs.submission_bounds import SubmissionBounds
from orchestrator.domain.pace.known_domains import DomainPolicy, KnownDomains
from regions.egress.request import wire_request
from regions.guard import AddressPolicy
from tests.support.long import drawn

BOUNDS = SubmissionBounds()

V4_SPELLINGS: tuple[Callable[[IPv4Address], str], ...] = (
    str,
    lambda a: f"{a}.",
    lambda a: hex(int(a)),
    lambda a: f"0X{int(a):X}",
    lambda a: str(int(a)),
    lambda a: f"0{int(a):o}",
    lambda a: f"{a.packed[0]}.{int(a) & 0xFFFFFF}",
    lambda a: f"{a.packed[0]}.0x{a.packed[1]:x}.{int(a) & 0xFFFF}.",
    lambda a: ".".join(f"0{octet:o}" for octet in a.packed),
    lambda a: f"[::ffff:{a}]",
    lambda a: f"[::FFFF:{a.packed[0]:x}{a.packed[1]:02X}:{int(a) & 0xFFFF:X}]",
    lambda a: f"[0:0:0:0:0:ffff:{a}]",
    lambda a: f"[64:ff9b::{a}]",
)
V6_SPELLINGS: tuple[Callable[[IPv6Address], str], ...] = (
    lambda a: f"[{a}]",
    lambda a: f"[{a.exploded}]",
    lambda a: f"[{a.exploded.upper()}]",
    lambda a: f"[{':'.join(f'{int(part, 16):x}' for part in a.exploded.split(':'))}]",
    lambda a: f"[{a.exploded[:29]}:{IPv4Address(a.packed[12:])}]",
)
NAME_SPELLINGS: tuple[Callable[[str], str], ...] = (str, str.upper, str.title, lambda name: f"{name}.")

LABELS = st.from_regex(r"(xn--)?[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
NAMES = st.lists(LABELS, min_size=1, max_size=4).map(".".join)
V4 = st.integers(0, 2**32 - 1).map(IPv4Address)
V6 = st.integers(0, 2**128 - 1).map(IPv6Address) | st.integers(0, 2**16).map(
    lambda low: IPv6Address((0x20010DB8 << 96) + low)
)
HOSTS = st.one_of(
    V4.map(lambda a: [spell(a) for spell in V4_SPELLINGS]),
    V6.filter(lambda a: plain_address(a) == a).map(lambda a: [spell(a) for spell in V6_SPELLINGS]),
    NAMES.map(lambda name: [spell(name) for spell in NAME_SPELLINGS]),
)
PORTS = st.integers(1, 65_535) | st.sampled_from([80, 443])


def urls(spellings: list[str], port: int) -> list[str]:
    """Write every way to call one port of one host."""
    ways = [
        f"{scheme}://{user}{host}:{port:0{width}}/"
        for scheme in ("http", "HTTPS")
        for host in spellings
        for user, width in (("", 1), ("user:p%40ss@", 6))
    ]
    if port in (80, 443):
        scheme = "http" if port == 80 else "https"
        ways += [f"{scheme}://{host}{colon}/?at=@b:81" for host in spellings for colon in ("", ":")]
    return ways


@given(HOSTS, PORTS)
@settings(max_examples=drawn(300), deadline=None)
def test_all_spellings_of_one_host_and_port_are_one_domain(spellings: list[str], port: int) -> None:
    (domain,) = {target_domain(url) for url in urls(spellings, port)}
    assert domain_at(*host_and_port(domain)) == domain == read_domain(domain)
    assert {read_domain(f"{host}:{port}") for host in spellings} == {domain}
    assert all(check_url("url", url, BOUNDS) == [] for url in urls(spellings, port))


@given(HOSTS, PORTS)
@settings(max_examples=drawn(300), deadline=None)
def test_an_entry_without_a_port_holds_for_those_two_and_no_other(spellings: list[str], port: int) -> None:
    domain = target_domain(f"http://{spellings[0]}:{port}/")
    entry = {one_spelling(spellings[0].strip("[]")): DomainPolicy(rps=9)}
    assert (KnownDomains(policies=entry).policy(domain).rps == 9) is (port in (80, 443))


@given(HOSTS, HOSTS, PORTS, PORTS)
@settings(max_examples=drawn(200), deadline=None)
def test_other_hosts_and_other_ports_are_other_domains(
    one: list[str], other: list[str], port: int, other_port: int
) -> None:
    same_host = one_spelling(one[0].strip("[]")) == one_spelling(other[0].strip("[]"))
    domains = {target_domain(f"http://{one[-1]}:{port}/"), target_domain(f"http://{other[0]}:{other_port}/")}
    assert len(domains) == (1 if same_host and port == other_port else 2)


@given(HOSTS, PORTS)
@settings(max_examples=drawn(300), deadline=None)
def test_what_is_dialled_is_what_was_named_and_judged(spellings: list[str], port: int) -> None:
    policy = AddressPolicy()
    domain = target_domain(f"http://{spellings[0]}:{port}/")
    verdicts = set()
    for url in urls(spellings, port):
        dialled = wire_request(HttpRequest(method="GET", url=url)).url
        assert domain_at(one_spelling(dialled.raw_host or ""), dialled.port or 0) == domain
        verdicts.add(policy.refusal((dialled.raw_host or "").rstrip(".")))
        if "." in domain and domain[0] != "[" and domain.replace(".", "").replace(":", "").isdigit():
            assert ip_address((dialled.raw_host or "").rstrip("."))
    assert len(verdicts) == 1


@given(st.text("0123456789abcdefxX.:[]@%-_~!$&'()*+,;=\\/?#", max_size=40) | st.from_regex(r"[^/]{0,30}/?"))
@settings(max_examples=drawn(2_000), deadline=None)
def test_whatever_the_door_takes_is_dialled_where_it_was_named(rest: str) -> None:
    for scheme in ("http", "https"):
        url = f"{scheme}://{rest}"
        if not check_url("url", url, BOUNDS):
            dialled = wire_request(HttpRequest(method="GET", url=url)).url
            named = domain_at(one_spelling(dialled.raw_host or ""), dialled.port or 0)
            assert named == target_domain(url)
