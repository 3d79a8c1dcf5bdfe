from random import Random

import pytest

from orchestrator.domain.ids import new_job_id, target_domain


@pytest.mark.parametrize(
    ("url", "domain"),
    [
        ("https://api.example.com/a?b#c", "api.example.com"),
        ("http://api.example.com", "api.example.com"),
        ("HTTPS://API.Example.COM/", "api.example.com"),
        ("https://api.example.com./", "api.example.com"),
        ("https://api.example.com:443/", "api.example.com"),
        ("http://api.example.com:80/", "api.example.com"),
        ("http://api.example.com:0080/", "api.example.com"),
        ("http://api.example.com:/", "api.example.com"),
        ("http://api.example.com:443/", "api.example.com:443"),
        ("https://api.example.com:8443/", "api.example.com:8443"),
        ("https://user:pass@api.example.com/", "api.example.com"),
        ("http://198.51.100.7/", "198.51.100.7"),
        ("http://[2001:db8::7]/", "[2001:db8::7]"),
        ("http://[2001:db8::7]:8080/", "[2001:db8::7]:8080"),
    ],
)
def test_a_domain_is_the_host_with_its_port_unless_that_is_the_schemes_own(url: str, domain: str) -> None:
    assert target_domain(url) == domain


@pytest.mark.parametrize(
    "spelling",
    ["[2001:DB8:0:0:0:0:0:7]", "[2001:0db8::0007]", "[2001:db8::0.0.0.7]"],
)
def test_an_ipv6_address_has_one_domain_however_it_is_spelt(spelling: str) -> None:
    assert target_domain(f"http://{spelling}/") == "[2001:db8::7]"


def test_an_ipv6_address_that_ends_like_a_port_is_another_domain() -> None:
    assert target_domain("http://[2001:db8::7:8080]/") != target_domain("http://[2001:db8::7]:8080/")


def test_an_ipv4_address_in_ipv6_clothes_is_the_same_domain() -> None:
    assert target_domain("http://[::ffff:198.51.100.7]:81/") == "198.51.100.7:81"


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
