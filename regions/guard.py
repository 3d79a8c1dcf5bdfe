"""Which addresses an executor may talk to: the rules against server-side request forgery, without I/O.

``ipaddress`` has flags of its own, but ``is_private`` lets carrier-grade NAT pass, and ``is_global`` lets
multicast and IPv6 forms that carry an IPv4 address pass. So the forbidden networks are listed here.
"""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_network
from typing import TypeAlias

from msgspec import Struct

from orchestrator.domain.hosts import Address, is_loopback_name, literal_address, plain_address

Network: TypeAlias = IPv4Network | IPv6Network


def _table(rows: Iterable[tuple[str, str]]) -> tuple[tuple[Network, str], ...]:
    return tuple((ip_network(network), reason) for network, reason in rows)


_NOBODY = _table(
    (
        ("0.0.0.0/32", "unspecified"),
        ("224.0.0.0/4", "multicast"),
        ("255.255.255.255/32", "broadcast"),
        ("::/128", "unspecified"),
        ("ff00::/8", "multicast"),
    )
)
"""What is nobody's unicast address: ``allow_private`` does not lift it."""

_INTERNAL = _table(
    (
        ("0.0.0.0/8", "this network (RFC 1122)"),
        ("10.0.0.0/8", "private (RFC 1918)"),
        ("100.64.0.0/10", "carrier-grade NAT (RFC 6598), Alibaba's metadata service among it"),
        ("127.0.0.0/8", "loopback"),
        ("168.63.129.16/32", "Azure's platform service"),
        ("169.254.0.0/16", "link-local, the metadata services of most clouds among it"),
        ("172.16.0.0/12", "private (RFC 1918)"),
        ("192.0.0.0/24", "IETF protocol assignments, Oracle's metadata service among them"),
        ("192.0.2.0/24", "documentation (RFC 5737)"),
        ("192.88.99.0/24", "6to4 relay anycast (RFC 7526)"),
        ("192.168.0.0/16", "private (RFC 1918)"),
        ("198.18.0.0/15", "benchmarking (RFC 2544)"),
        ("198.51.100.0/24", "documentation (RFC 5737)"),
        ("203.0.113.0/24", "documentation (RFC 5737)"),
        ("240.0.0.0/4", "reserved (RFC 1112)"),
        ("::1/128", "loopback"),
        ("::/96", "IPv4-compatible, deprecated (RFC 4291)"),
        ("64:ff9b:1::/48", "local-use IPv4/IPv6 translation (RFC 8215)"),
        ("100::/64", "discard-only (RFC 6666)"),
        ("100:0:0:1::/64", "dummy prefix (RFC 9780)"),
        ("2001::/32", "Teredo (RFC 4380)"),
        ("2001:2::/48", "benchmarking (RFC 5180)"),
        ("2001::/23", "IETF protocol assignments (RFC 2928)"),
        ("2001:db8::/32", "documentation (RFC 3849)"),
        ("3fff::/20", "documentation (RFC 9637)"),
        ("5f00::/16", "segment routing identifiers (RFC 9602)"),
        ("fd00:ec2::254/128", "Amazon's metadata service"),
        ("fd20:ce::254/128", "Google's metadata service"),
        ("fc00::/7", "unique local (RFC 4193)"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local, deprecated (RFC 3879)"),
        ("::/3", "outside global unicast"),
        ("4000::/2", "outside global unicast"),
        ("8000::/1", "outside global unicast"),
    )
)
"""What stands for a place inside, or for no place at all: the first row that holds gives the reason."""

_LOOPBACK = ("127.0.0.1", "::1")
_COMPATIBLE = IPv6Network("::/96")
_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")
_6TO4 = IPv6Network("2002::/16")
_ISATAP = frozenset((b"\x00\x00\x5e\xfe", b"\x02\x00\x5e\xfe"))
_THIS_NETWORK = IPv4Network("0.0.0.0/8")


class AddressPolicy(Struct, frozen=True):
    """Whom the egress may talk to.

    ``allow_private`` is for development: it lifts all but multicast, broadcast and the unspecified address.
    ``allowed_networks`` lifts the refusal for exactly those networks.
    """

    allow_private: bool = False
    allowed_networks: tuple[Network, ...] = ()

    def permits(self, address: str | Address) -> bool:
        """Whether a connection to ``address`` may be made; a text that is no address is refused."""
        return self.refusal(address) is None

    def refusal(self, address: str | Address) -> str | None:
        """Why ``address`` is refused, in a few words; None where it is permitted."""
        known = literal_address(address) if isinstance(address, str) else address
        if known is None:
            return "not an address"
        reasons = (self._face_refusal(face) for face in _faces(known))
        return next((reason for reason in reasons if reason is not None), None)

    def name_refusal(self, name: str) -> str | None:
        """Why a name is refused before it is resolved; None where its addresses have to be looked at."""
        if is_loopback_name(name) and not any(map(self.permits, _LOOPBACK)):
            return "loopback"
        return None

    def _face_refusal(self, face: Address) -> str | None:
        if any(face in network for network in self.allowed_networks):
            return None
        table = _NOBODY if self.allow_private else _NOBODY + _INTERNAL
        return next((reason for network, reason in table if face in network), None)


def _faces(address: Address) -> Iterator[Address]:
    """Every address that a packet to ``address`` may end up at."""
    address = plain_address(address)
    yield address
    if isinstance(address, IPv4Address):
        return
    packed = address.packed
    if address in _6TO4:
        yield IPv4Address(packed[2:6])
    if address in _LOCAL_NAT64:
        yield from _nat64_readings(packed)
    if packed[8:12] in _ISATAP or (address in _COMPATIBLE and int(address) > 1):
        yield IPv4Address(packed[12:])


def _nat64_readings(packed: bytes) -> Iterator[IPv4Address]:
    """The IPv4 addresses that RFC 6052 may mean, whose place depends on a prefix length nobody tells us.

    A reading in 0.0.0.0/8 is the padding of another one.
    """
    readings = (
        packed[6:8] + packed[9:11],
        packed[7:8] + packed[9:12],
        packed[9:13],
        packed[12:],
    )
    for reading in map(IPv4Address, readings):
        if reading not in _THIS_NETWORK:
            yield reading


def parse_networks(text: str) -> tuple[Network, ...]:
    """Read a list such as ``10.0.0.0/8,127.0.0.1/32``; an empty text is an empty list.

    Raises:
        ValueError: A part is no network; the message names it.
    """
    if not text.strip():
        return ()
    return tuple(_network(part.strip()) for part in text.split(","))


def _network(text: str) -> Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a network such as 10.0.0.0/8: {error}") from None
