from random import Random

import pytest

from orchestrator.domain.ids import domain_at, host_and_port, new_job_id, read_domain, target_domain


@pytest.mark.parametrize(
    ("url", "domain"),
    [
        ("https://api.example.com/a?b#c", "api.example.com"),
        ("http://api.example.com", "api.example.com:80"),
        ("HTTPS://API.Example.COM/", "api.example.com"),
        ("HTTP://API.Example.COM/", "api.example.com:80"),
        ("https://api.example.com./", "api.example.com"),
        ("https://api.example.com:443/", "api.example.com"),
        ("https://api.example.com:80/", "api.example.com:80"),
        ("http://api.example.com:80/", "api.example.com:80"),
        ("http://api.example.com:0080/", "api.example.com:80"),
        ("http://api.example.com:/", "api.example.com:80"),
        ("https://api.example.com:/", "api.example.com"),
        ("http://api.example.com:443/", "api.example.com"),
        ("https://api.example.com:8443/", "api.example.com:8443"),
        ("https://user:pass@api.example.com/", "api.example.com"),
        ("http://198.51.100.7/", "198.51.100.7:80"),
        ("https://[2001:db8::7]/", "[2001:db8::7]"),
        ("http://[2001:db8::7]/", "[2001:db8::7]:80"),
        ("http://[2001:db8::7]:8080/", "[2001:db8::7]:8080"),
    ],
)
def test_a_domain_is_a_host_and_a_port_that_is_left_out_where_it_is_443(url: str, domain: str) -> None:
    assert target_domain(url) == domain
    assert domain_at(*host_and_port(target_domain(url))) == domain


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("API.example.com.", "api.example.com"),
        ("api.example.com:443", "api.example.com"),
        ("api.example.com:80", "api.example.com:80"),
        ("http://api.example.com/hook", "api.example.com:80"),
        ("127.1:8080", "127.0.0.1:8080"),
        ("[2001:DB8::7]:443", "[2001:db8::7]"),
    ],
)
def test_a_domain_is_read_as_people_write_it(text: str, domain: str) -> None:
    assert read_domain(text) == domain


ONE_ADDRESS = {
    "127.0.0.1": (
        "127.0.0.1",
        "127.0.0.1.",
        "127.1",
        "127.0.1",
        "127.0.0.01",
        "2130706433",
        "017700000001",
        "0x7f000001",
        "0X7F.0.0.0x1",
        "0x7f.1.",
        "0177.0.0.1",
        "[::ffff:127.0.0.1]",
        "[::FFFF:7f00:1]",
        "[0:0:0:0:0:ffff:127.0.0.1]",
        "[::ffff:0:127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
    ),
    "[2001:db8::7]": (
        "[2001:db8::7]",
        "[2001:DB8:0:0:0:0:0:7]",
        "[2001:0db8::0007]",
        "[2001:db8:0::0:7]",
        "[2001:db8::0.0.0.7]",
        "[2001:db8::7%25eth0]",
    ),
    "xn--bcher-kva.example": ("xn--bcher-kva.example", "XN--BCHER-KVA.Example", "xn--bcher-kva.example."),
}


@pytest.mark.parametrize(("host", "spelling"), [(h, s) for h, all_ in ONE_ADDRESS.items() for s in all_])
def test_a_host_has_one_domain_at_each_port_however_it_is_spelt(host: str, spelling: str) -> None:
    assert target_domain(f"https://{spelling}/") == host
    assert target_domain(f"http://{spelling}/") == f"{host}:80"
    assert target_domain(f"http://{spelling}:81/") == f"{host}:81"


@pytest.mark.parametrize(
    "name", ["1.2.3.4.5", "256.0.0.1", "7.example.com", "0x7g", "127.0.0.1.example.com", "1a"]
)
def test_a_name_that_looks_like_a_number_is_a_name(name: str) -> None:
    assert target_domain(f"https://{name}/") == name


def test_an_ipv6_address_that_ends_like_a_port_is_another_domain() -> None:
    assert target_domain("http://[2001:db8::7:8080]/") != target_domain("http://[2001:db8::7]:8080/")


@pytest.mark.parametrize(
    "url", ["", "https://", "https:///path", "/path", "https://:8080/", "https://./", "mailto:a@b"]
)
def test_a_url_without_a_host_has_no_domain(url: str) -> None:
    with pytest.raises(ValueError, match="names no host"):
        target_domain(url)


@pytest.mark.parametrize("port", ["65536", "-1", "http", "8_0", "+80"])
def test_a_port_that_is_none_is_refused(port: str) -> None:
    with pytest.raises(ValueError, match=r"[Pp]ort"):
        target_domain(f"http://example.com:{port}/")


def test_a_job_id_holds_its_time_and_digits() -> None:
    prefix, time_ms, digits = new_job_id(1_763_674_210_055, Random(1)).split("_")
    assert (prefix, time_ms) == ("job", "1763674210055")
    assert digits.isdigit()
    assert len(digits) == 12


def test_job_ids_of_one_millisecond_differ() -> None:
    random = Random(1)
    assert len({new_job_id(1, random) for _ in range(10_000)}) == 10_000
