from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.hosts import literal_address
from regions.guard import AddressPolicy, parse_networks

DEFAULT = AddressPolicy()
DEVELOPMENT = AddressPolicy(allow_private=True)

INTERNAL = (
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.100.100.200",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "169.254.170.2",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.7",
    "203.0.113.9",
    "240.0.0.1",
    "255.255.255.254",
    "::1",
    "100::1",
    "2001::1",
    "2001:2::1",
    "2001:10::1",
    "2001:db8::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "4000::1",
    "9000::1",
)
NOBODY = ("0.0.0.0", "224.0.0.1", "239.255.255.255", "255.255.255.255", "::", "ff02::1", "ff0e::1")
PUBLIC = (
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.1",
    "168.63.129.15",
    "169.253.255.255",
    "172.15.255.255",
    "172.32.0.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2606:4700:4700::1111",
    "2a00:1450:4001::200e",
    "2001:200::1",
)

EMBEDDINGS = {
    "mapped": lambda v4: IPv6Address(b"\x00" * 10 + b"\xff\xff" + v4),
    "translated": lambda v4: IPv6Address(b"\x00" * 8 + b"\xff\xff\x00\x00" + v4),
    "NAT64": lambda v4: IPv6Address(bytes.fromhex("0064ff9b0000000000000000") + v4),
    "6to4": lambda v4: IPv6Address(b"\x20\x02" + v4 + b"\x00" * 10),
    "ISATAP": lambda v4: IPv6Address(bytes.fromhex("2606470047000000") + b"\x00\x00\x5e\xfe" + v4),
}


@pytest.mark.parametrize("address", INTERNAL + NOBODY)
def test_an_address_that_stands_for_a_place_inside_or_for_no_place_is_refused(address: str) -> None:
    assert not DEFAULT.permits(address)
    assert not DEFAULT.permits(ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_permitted(address: str) -> None:
    assert DEFAULT.permits(address)


@pytest.mark.parametrize("address", PUBLIC + INTERNAL)
def test_development_permits_every_address_that_one_host_can_have(address: str) -> None:
    assert DEVELOPMENT.permits(address)


@pytest.mark.parametrize("address", NOBODY)
def test_development_does_not_permit_what_is_no_hosts_address(address: str) -> None:
    assert not DEVELOPMENT.permits(address)


@pytest.mark.parametrize("form", EMBEDDINGS)
@pytest.mark.parametrize(
    "inside", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "100.100.100.200", "224.0.0.1"]
)
def test_an_ipv6_form_is_refused_for_the_forbidden_address_that_it_carries(form: str, inside: str) -> None:
    assert not DEFAULT.permits(EMBEDDINGS[form](IPv4Address(inside).packed))


@pytest.mark.parametrize("form", EMBEDDINGS)
def test_an_ipv6_form_that_carries_a_public_address_is_permitted(form: str) -> None:
    assert DEFAULT.permits(EMBEDDINGS[form](IPv4Address("8.8.8.8").packed))


@pytest.mark.parametrize("address", ["::8.8.8.8", "::127.0.0.1", "64:ff9b:1::808:808"])
def test_a_form_that_leads_to_a_translator_inside_is_refused_whatever_it_carries(address: str) -> None:
    assert not DEFAULT.permits(address)


@given(st.sampled_from(sorted(EMBEDDINGS)), st.integers(0, 2**32 - 1))
def test_no_embedding_permits_more_than_the_plain_address(form: str, number: int) -> None:
    plain = IPv4Address(number)
    assert DEFAULT.permits(plain) or not DEFAULT.permits(EMBEDDINGS[form](plain.packed))


@given(st.integers(0, 2**128 - 1).map(IPv6Address))
def test_no_ipv6_address_outside_global_unicast_is_permitted_by_itself(address: IPv6Address) -> None:
    if address not in ip_network("2000::/3"):
        assert not DEFAULT.permits(address)


def test_allowed_networks_lift_exactly_themselves() -> None:
    policy = AddressPolicy(allowed_networks=parse_networks("10.1.0.0/16,::1/128"))
    assert policy.permits("10.1.2.3")
    assert policy.permits("::1")
    assert policy.permits("::ffff:10.1.2.3")
    assert not policy.permits("10.2.0.1")
    assert not policy.permits("127.0.0.1")
    assert not policy.permits("::ffff:127.0.0.1")


def test_an_allowed_carrier_does_not_lift_what_it_carries() -> None:
    policy = AddressPolicy(allowed_networks=parse_networks("2002::/16,64:ff9b:1::/48"))
    assert not policy.permits("2002:a9fe:a9fe::1")
    assert not policy.permits("64:ff9b:1::a9fe:a9fe")
    assert not policy.permits("64:ff9b:1:a9fe:a9:fe00::")
    assert policy.permits("64:ff9b:1::808:808")
    assert policy.permits("64:ff9b:1:808:8:800::")


def test_the_reason_for_a_refusal_is_told() -> None:
    assert DEFAULT.refusal("127.0.0.1") == "loopback"
    assert DEFAULT.refusal("168.63.129.16") == "Azure's platform service"
    assert DEFAULT.refusal("example.com") == "not an address"
    assert DEFAULT.refusal("8.8.8.8") is None


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.1.",
        "127.1",
        "127.0.1",
        "2130706433",
        "017700000001",
        "0x7f000001",
        "0x7f.1",
        "0X7F.0.0.0x1",
        "0177.0.0.01",
        "0000000000000000000177.1",
        "[127.0.0.1]",
        "\uff11\uff12\uff17.0.0.1",
        "127\u30020\uff0e0\uff611",
        " 127.0.0.1 ",
    ],
)
def test_every_spelling_of_an_ipv4_address_is_understood(host: str) -> None:
    assert literal_address(host) == IPv4Address("127.0.0.1")


@pytest.mark.parametrize("host", ["::1", "[::1]", "0:0:0:0:0:0:0:1", "[::0.0.0.1]"])
def test_every_spelling_of_an_ipv6_address_is_understood(host: str) -> None:
    assert literal_address(host) == IPv6Address("::1")


@pytest.mark.parametrize(
    "host",
    [
        "",
        ".",
        "example.com",
        "localhost",
        "1.2.3.4.5",
        "256.0.0.1",
        "1.2.65536",
        "4294967296",
        "08.0.0.1",
        "0x.1",
        "1..2",
        "a.1",
        "1" * 5000,
        "[::1",
        "-1",
    ],
)
def test_a_name_is_no_address(host: str) -> None:
    assert literal_address(host) is None


@given(st.integers(0, 2**32 - 1).map(IPv4Address))
def test_an_address_is_read_back_from_each_notation(address: IPv4Address) -> None:
    first, *_, last = address.packed
    assert literal_address(str(address)) == address
    assert literal_address(hex(int(address))) == address
    assert literal_address(f"0{int(address):o}") == address
    assert literal_address(f"{first}.{int(address) & 0xFFFFFF}") == address
    assert literal_address(f"0x{first:x}.{address.packed[1]}.{address.packed[2] << 8 | last}") == address


def test_a_scoped_address_keeps_its_zone() -> None:
    assert literal_address("[fe80::1%eth0]") == IPv6Address("fe80::1%eth0")


def test_networks_are_read_from_a_list() -> None:
    networks = parse_networks(" 10.0.0.0/8, 127.0.0.1/32 ,fd00::/8,192.168.0.1")
    assert [str(network) for network in networks] == [
        "10.0.0.0/8",
        "127.0.0.1/32",
        "fd00::/8",
        "192.168.0.1/32",
    ]
    assert parse_networks("  ") == ()


@pytest.mark.parametrize("bad", ["10.0.0.1/8", "example.com", "10.0.0.0/33", "", "fe80::/129"])
def test_a_part_that_is_no_network_is_named(bad: str) -> None:
    with pytest.raises(ValueError, match="is not a network") as caught:
        parse_networks(f"127.0.0.0/8,{bad}")
    assert repr(bad) in str(caught.value)
