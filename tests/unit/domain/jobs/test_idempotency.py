import hashlib

import pytest

from orchestrator.domain.ids import CustomerId
from orchestrator.domain.jobs.idempotency import content_key, payload_bytes
from tests.unit.domain.builders import ACME, IAD, LAX, a_spec

URL = "https://api.example.com/pay"


def test_a_key_is_sha256_over_length_prefixed_parts() -> None:
    digest = hashlib.sha256()
    for part in (URL, "POST", "zwölf", ACME):
        digest.update(len(part.encode()).to_bytes(8, "big") + part.encode())
    assert content_key(ACME, URL, "POST", "zwölf") == digest.hexdigest()


def test_an_absent_body_counts_as_an_empty_one() -> None:
    assert content_key(ACME, URL, "GET", None) == content_key(ACME, URL, "GET", "")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("https://a/b", "POST", "x"), ("https://a/bP", "OST", "x")),
        (("https://a", "POST", "x"), ("https://a", "POS", "Tx")),
        (("https://a", "POST", ""), ("https://aPOST", "", "")),
        (("https://a", "", "POST"), ("https://a", "POST", "")),
    ],
)
def test_parts_that_run_together_alike_have_different_keys(
    one: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    assert content_key(ACME, *one) != content_key(ACME, *other)


def test_a_body_does_not_run_into_the_customer() -> None:
    assert content_key(CustomerId("b"), URL, "PUT", "a") != content_key(CustomerId("ab"), URL, "PUT", "")


def test_customers_do_not_share_keys() -> None:
    assert content_key(ACME, URL, "GET", None) != content_key(CustomerId("cust_beta"), URL, "GET", None)


def test_equal_payloads_have_equal_bytes_in_whatever_order_their_metadata_came() -> None:
    one = a_spec(metadata={"a": 1, "b": {"c": 2, "d": 3}})
    other = a_spec(metadata={"b": {"d": 3, "c": 2}, "a": 1})
    assert payload_bytes(one) == payload_bytes(other)


@pytest.mark.parametrize(
    "change",
    [
        {"method": "PUT"},
        {"body": "x"},
        {"body": ""},
        {"headers": (("a", "b"),)},
        {"metadata": {"a": 1}},
        {"regions": (LAX,)},
        {"regions": (IAD, LAX)},
        {"priority": 6},
        {"cost": 2.0},
        {"account": "x"},
    ],
)
def test_payloads_that_differ_anywhere_have_different_bytes(change: dict[str, object]) -> None:
    assert payload_bytes(a_spec(**change)) != payload_bytes(a_spec())
