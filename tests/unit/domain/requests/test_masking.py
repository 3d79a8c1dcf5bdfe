"""What of a request is shown, and what never is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.requests.masking import MASK, masked_headers, masked_url

SECRET_NAMES = [
    *("Authorization", "authorization", "PROXY-AUTHORIZATION", "Cookie", "X-API-Key", "api-key", "apikey"),
    *(
        "X-Auth-Token",
        "x-amz-security-token",
        "X-Goog-Signature",
        "stripe-signature",
        "X-Secret",
        "secretKey",
    ),
    *(
        "xAccessToken",
        "X-Session-Id",
        "PRIVATE_KEY",
        "x-vault-token",
        "X-CSRF-Token",
        "x-shopify-access-token",
    ),
    *("X-Hub-Signature-256", "password", "client_secret", "refreshToken", "accesstoken", "AWSAccessKeyId"),
]
PLAIN_HEADERS = [
    *(
        "Content-Type",
        "Accept",
        "User-Agent",
        "X-Request-Id",
        "X-Monkey",
        "X-Turkey",
        "Author",
        "X-Passenger",
    ),
    *("Idempotency-Key", "X-Keyboard", "X-Compass", "Accept-Encoding", "X-Customer"),
]
SECRET_VALUES = [
    *(
        "Bearer abc",
        "basic dTpw",
        "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
        "ghp_0123456789abcdef",
        "whsec_MfKQ9r8G",
    ),
    *("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "AKIAIOSFODNN7EXAMPLE", "xoxb-123-456-abc"),
    *("d41d8cd98f00b204e9800998ecf8427e", "Zm9vYmFyYmF6cXV4MTIzNDU2Nzg5MA", "ck_live_cust_acme_s3cret"),
]
PLAIN_VALUES = [
    "application/json",
    "7",
    "2026-01-02",
    "order-7",
    "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
    "en-GB",
]


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_a_name_that_promises_a_secret_is_kept(name: str) -> None:
    assert masked_headers([(name, "x7")]) == {name: MASK}
    assert masked_url(f"https://a.example/p?{name}=x7&q=1") == f"https://a.example/p?{name}={MASK}&q=1"


@pytest.mark.parametrize("value", SECRET_VALUES)
def test_a_value_that_looks_like_a_secret_is_kept_whatever_its_name(value: str) -> None:
    assert masked_headers([("X-Custom", value)]) == {"X-Custom": MASK}
    assert value not in masked_url(f"https://a.example/p?custom={value.replace(' ', '%20')}")


@pytest.mark.parametrize("name", PLAIN_HEADERS)
@pytest.mark.parametrize("value", PLAIN_VALUES)
def test_what_is_none_is_shown(name: str, value: str) -> None:
    assert masked_headers([(name, value)]) == {name: value}
    url = f"https://a.example/v1/{value.replace('/', '-')}?q={value}#{value}"
    assert masked_url(url) == url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:pass@a.example:8443/x", "https://****@a.example:8443/x"),
        ("https://user@a.example/", "https://****@a.example/"),
        ("https://u:p%40@[::1]:81/", "https://****@[::1]:81/"),
        ("https://a.example/?token=1&token=2;key=3", "https://a.example/?token=****&token=****;key=****"),
        ("https://a.example/?to%6ben=1", "https://a.example/?to%6ben=****"),
        ("https://a.example/?token=", "https://a.example/?token="),
        ("https://a.example/?sk_live_abc", "https://a.example/?****"),
        ("https://a.example/cb#access_token=abc", "https://a.example/cb#access_token=****"),
        (
            "https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXxxxxxxxx1234",
            "https://hooks.slack.com/services/T00000000/B00000000/****",
        ),
        (
            "https://a.example/?X-Amz-Signature=abc&X-Amz-Date=1",
            "https://a.example/?X-Amz-Signature=****&X-Amz-Date=1",
        ),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert masked_url(url) == shown


@given(
    user=st.from_regex(r"[a-z0-9%.]{1,12}", fullmatch=True),
    secret=st.from_regex(r"[a-zA-Z0-9]{8,40}", fullmatch=True),
)
def test_neither_userinfo_nor_a_token_ever_comes_through(user: str, secret: str) -> None:
    url = f"https://{user}:{secret}q@a.example/x?access_token={secret}q&y=1#id_token={secret}q"
    assert f"{secret}q" not in masked_url(url)
