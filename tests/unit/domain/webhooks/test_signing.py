import base64
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from orchestrator.domain.ids import DeliveryId
from orchestrator.domain.webhooks.signing import mask, secret_problem, signature_headers
from tests.unit.domain.receivers import any_v1_accepts, published_client_accepts

BODY = '{"job_id":"job_1_2","metadata":{"name":"Zoë"}}'.encode()
DELIVERY = DeliveryId("msg_job_1_2_0")
AT_S = 1_763_674_210
OLD, NEW = "an_old_secret_of_16", "a_new_secret_of_16"
ODD = "ein_Geheimnis_für_zwölf"
STANDARD = "whsec_" + base64.b64encode(bytes(range(32))).decode()
UNPADDED = "whsec_" + base64.b64encode(bytes(range(1, 33))).decode().rstrip("=")
"""Padding is lost in dashboards and environment files, and libraries do without."""


def signed(*secrets: str, body: bytes = BODY, at_s: int = AT_S) -> dict[str, str]:
    return dict(signature_headers(body, secrets, DELIVERY, at_s))


def standard_key(secret: str) -> str:
    """The key as the Standard Webhooks package wants it."""
    return secret if secret.startswith("whsec_") else base64.b64encode(secret.encode()).decode()


def test_the_signature_is_an_hmac_over_time_and_body() -> None:
    # echo -n '1700000000.{"a":1}' | openssl dgst -sha256 -hmac 0123456789abcdef
    header = signed("0123456789abcdef", body=b'{"a":1}', at_s=1_700_000_000)["X-EZThrottle-Signature"]
    assert header == "t=1700000000,v1=9eb18f493f8ec135d9eb2dad817c369bb4e9cbfa818657897a7437c1cd8c3a23"


@pytest.mark.parametrize("secret", [OLD, ODD, STANDARD])
def test_the_published_client_accepts_a_signature(secret: str) -> None:
    header = signed(secret)["X-EZThrottle-Signature"]
    assert published_client_accepts(BODY, header, secret, now_s=AT_S)
    assert not published_client_accepts(BODY + b" ", header, secret, now_s=AT_S)
    assert not published_client_accepts(BODY, header, secret + "x", now_s=AT_S)
    assert not published_client_accepts(BODY, header, secret, now_s=AT_S + 301)


def test_during_a_rotation_the_new_secrets_signature_stands_first() -> None:
    header = signed(NEW, OLD)["X-EZThrottle-Signature"]
    alone = [signed(secret)["X-EZThrottle-Signature"].split(",")[1] for secret in (NEW, OLD)]
    assert header == ",".join((f"t={AT_S}", *alone))


def test_during_a_rotation_a_client_that_knows_the_old_secret_only_goes_on_working() -> None:
    assert published_client_accepts(BODY, signed(NEW, OLD)["X-EZThrottle-Signature"], OLD, now_s=AT_S)


@pytest.mark.parametrize("secret", [NEW, OLD])
def test_during_a_rotation_either_secret_verifies(secret: str) -> None:
    assert any_v1_accepts(BODY, signed(NEW, OLD)["X-EZThrottle-Signature"], secret)


@pytest.mark.parametrize(
    "secret", [OLD, ODD, STANDARD, UNPADDED, UNPADDED[:-1], UNPADDED[:-3], UNPADDED + "=="]
)
def test_the_standard_webhooks_package_accepts_a_signature(secret: str) -> None:
    headers = signed(secret, at_s=int(time.time()))
    assert Webhook(standard_key(secret)).verify(BODY, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(standard_key(secret)).verify(BODY.replace(b"1", b"2"), headers)


@pytest.mark.parametrize("secret", [NEW, UNPADDED])
def test_during_a_rotation_the_standard_signature_verifies_under_either_secret(secret: str) -> None:
    headers = signed(NEW, UNPADDED, at_s=int(time.time()))
    assert Webhook(standard_key(secret)).verify(BODY, headers)


def test_the_standard_headers_name_delivery_and_time() -> None:
    headers = signed(OLD)
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == (DELIVERY, str(AT_S))


def test_another_delivery_of_the_same_bytes_is_signed_otherwise() -> None:
    other = dict(signature_headers(BODY, [OLD], DeliveryId("msg_other"), AT_S))
    assert other["webhook-signature"] != signed(OLD)["webhook-signature"]


def test_without_a_secret_a_delivery_is_named_and_not_signed() -> None:
    assert signed() == {"webhook-id": DELIVERY, "webhook-timestamp": str(AT_S)}


@pytest.mark.parametrize("void", ["whsec_not base64!", "whsec_abcde", "whsec_====", "whsec_schlüssel"])
def test_what_follows_the_prefix_and_is_no_base64_is_taken_as_it_stands(void: str) -> None:
    headers = signed(void, at_s=int(time.time()))
    assert Webhook(base64.b64encode(void.encode()).decode()).verify(BODY, headers)


URL_SAFE = "whsec_" + base64.urlsafe_b64encode(bytes(range(240, 256)) * 2).decode()


@pytest.mark.parametrize("secret", [OLD, ODD, STANDARD, UNPADDED, UNPADDED + "==", "WHSEC_!!!!!!!!!!"])
def test_a_secret_from_which_all_derive_one_key_is_right(secret: str) -> None:
    assert secret_problem(secret) is None


@pytest.mark.parametrize(
    "secret",
    [
        "whsec_!!!!!!!!!!!!",
        "whsec_not base64!",
        # Some libraries drop what is not in the alphabet, some refuse it: no two keys are alike.
        URL_SAFE,
        URL_SAFE.rstrip("="),
        UNPADDED + "\n",
        UNPADDED + "===",
        "whsec_" + "A" * 41,
        "whsec_",
        "whsec_==========",
        "whsec_schlüsselschlüssel",
    ],
)
def test_a_secret_that_libraries_read_each_in_its_own_way_is_told(secret: str) -> None:
    assert "must be base64" in (secret_problem(secret) or "")


@given(st.binary(min_size=8, max_size=64), st.booleans(), st.booleans())
def test_every_secret_that_is_taken_is_verified_by_the_library(
    key: bytes, padded: bool, url_safe: bool
) -> None:
    encode = base64.urlsafe_b64encode if url_safe else base64.b64encode
    text = "whsec_" + encode(key).decode()
    secret = text if padded else text.rstrip("=")
    if secret_problem(secret) is None:
        assert Webhook(secret).verify(BODY, signed(secret, at_s=int(time.time())))
    else:
        assert url_safe


@pytest.mark.parametrize(
    ("secret", "masked"),
    [("0123456789abcdef", "0123****def"), ("whsec_MfKQ9r8GKYqrTwjU", "whse****wjU")],
)
def test_a_mask_shows_the_first_four_and_the_last_three(secret: str, masked: str) -> None:
    assert mask(secret) == masked
