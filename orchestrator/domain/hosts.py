"""Hosts as URLs spell them, in one spelling each: what names a target and what is dialled is the same.

Sources: the WHATWG's URL standard (3.5, host parsing), ``inet_aton`` of C libraries, RFC 5952 for IPv6.
"""

import re
import unicodedata
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address

_ANOTHER_SPELLING = (
    IPv6Network("::ffff:0:0/96"),  # IPv4-mapped
    IPv6Network("::ffff:0:0:0/96"),  # IPv4-translated (RFC 2765)
    IPv6Network("64:ff9b::/96"),  # NAT64's well-known prefix (RFC 6052)
)
"""Forms that are another spelling of the IPv4 address in their last 32 bits, and nothing besides."""

LOOPBACK_NAMES = frozenset(
    {"localhost", "localhost.localdomain", "localhost4", "localhost6", "ip6-localhost", "ip6-loopback"}
)
_IPV4_PARTS = 4
_OCTET_MAX = 255
_LONGEST_HOST = 255
_DOTS = re.compile("[\u3002\uff0e\uff61]")
_NUMBER = re.compile(r"0[xX](?P<hex>[0-9a-fA-F]+)|0(?P<oct>[0-7]+)|(?P<dec>0|[1-9][0-9]*)")
_NUMERIC_LABEL = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*")


def one_spelling(host: str) -> str:
    """Spell a host as all its spellings are to be named: in lower case, without dots at its end, an address
    in its usual form and without its zone. An empty host stays empty.

    Raises:
        ValueError: It has colons and is no IPv6 address.
    """
    host = host.rstrip(".").lower()
    if ":" in host:
        plain = plain_address(IPv6Address(host.partition("%")[0]))
        return f"[{plain}]" if isinstance(plain, IPv6Address) else str(plain)
    literal = literal_address(host) if ends_in_a_number(host) else None
    return host if literal is None else str(literal)


def ends_in_a_number(host: str) -> bool:
    """Whether a host can only be an IPv4 address, spelt rightly or not: no name ends so."""
    return _NUMERIC_LABEL.fullmatch(host.rstrip(".").rpartition(".")[2]) is not None


def plain_address(address: Address) -> Address:
    """The IPv4 address that ``address`` is only another spelling of, or itself."""
    if isinstance(address, IPv6Address) and any(address in form for form in _ANOTHER_SPELLING):
        return IPv4Address(address.packed[12:])
    return address


def is_loopback_name(host: str) -> bool:
    """Whether a name stands for this machine by itself, whatever a resolver says (RFC 6761, 6.3)."""
    name = host.rstrip(".").lower()
    return name in LOOPBACK_NAMES or name.endswith(".localhost")


def literal_address(host: str) -> Address | None:
    """The address that ``host`` spells, or None where it is a name.

    Besides the usual forms it reads those which C libraries accept or a resolver makes plain on its way:
    fewer than four parts, octal, hexadecimal and plain integers, brackets, a zone, a trailing dot,
    full-width characters.
    """
    plain = unicodedata.normalize("NFKC", _DOTS.sub(".", host)).strip().rstrip(".")
    if plain.startswith("[") and plain.endswith("]"):
        plain = plain[1:-1]
    try:
        return ip_address(plain)
    except ValueError:
        return _numeric_ipv4(plain)


def _numeric_ipv4(text: str) -> IPv4Address | None:
    """Read up to four numbers as ``inet_aton`` does: the last one fills all the bytes that are left."""
    numbers = [_number(part) for part in text.split(".")]
    if len(numbers) > _IPV4_PARTS:
        return None
    *leading, last = numbers
    value = 0
    for number in leading:
        if number is None or number > _OCTET_MAX:
            return None
        value = value << 8 | number
    bits = 8 * (_IPV4_PARTS - len(leading))
    if last is None or last >> bits:
        return None
    return IPv4Address(value << bits | last)


def _number(text: str) -> int | None:
    if len(text) > _LONGEST_HOST or (found := _NUMBER.fullmatch(text)) is None:
        return None
    if found["hex"]:
        return int(found["hex"], 16)
    return int(found["oct"], 8) if found["oct"] else int(found["dec"])
