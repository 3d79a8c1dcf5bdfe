"""Signatures as receivers check them: ours, the Standard Webhooks package, and an HMAC made by hand."""

import base64
import hashlib
import hmac
import time
from collections.abc import Callable

import pytest
from standardwebhooks import webhooks as standard

from ezthrottle import (
    WebhookVerificationError,
    try_verify_with_secrets,
    verify_webhook_signature,
    verify_webhook_signature_strict,
)
from tests.unit.domain.forgeries import DELIVERY, OTHER, SECRET, STANDARD, Signed, forgeries, webhook

NEW = "the_new_secret_of_the_customer"
Verifier = Callable[[Signed, str], bool]


def by_the_client(found: Signed, secret: str) -> bool:
    accepted, _ = verify_webhook_signature(found.body, found.own, secret)
    return accepted


def by_the_client_strictly(found: Signed, secret: str) -> bool:
    try:
        verify_webhook_signature_strict(found.body, found.own, secret)
    except WebhookVerificationError:
        return False
    return True


def by_the_standard_package(found: Signed, secret: str) -> bool:
    try:
        standard.Webhook(base64.b64encode(secret.encode()).decode()).verify(found.body, found.headers)
    except (standard.WebhookVerificationError, UnicodeDecodeError):
        return False
    return True


def by_hand(found: Signed, secret: str) -> bool:
    """As somebody writes it from the documentation alone."""
    stamps = [part[2:] for part in found.own.split(",") if part.startswith("t=")]
    signatures = [part[3:] for part in found.own.split(",") if part.startswith("v1=")]
    if len(stamps) != 1 or not stamps[0].isdigit() or abs(time.time() - int(stamps[0])) > 300:
        return False
    expected = hmac.new(secret.encode(), stamps[0].encode() + b"." + found.body, hashlib.sha256).hexdigest()
    return any(hmac.compare_digest(expected, signature) for signature in signatures)


VERIFIERS = (by_the_client, by_the_client_strictly, by_the_standard_package, by_hand)
EVERY = pytest.mark.parametrize("verify", VERIFIERS, ids=lambda verify: verify.__name__)


@EVERY
def test_a_genuine_webhook_is_accepted(verify: Verifier) -> None:
    assert verify(webhook(int(time.time())), SECRET)
    assert not verify(webhook(int(time.time())), OTHER)


@EVERY
def test_during_a_rotation_receivers_of_either_secret_accept(verify: Verifier) -> None:
    rotating = webhook(int(time.time()), NEW, SECRET)
    assert verify(rotating, NEW)
    assert verify(rotating, SECRET)
    assert not verify(rotating, OTHER)


def test_during_a_rotation_there_are_two_signatures_the_new_secrets_first() -> None:
    now_s = int(time.time())
    rotating, new, old = webhook(now_s, NEW, SECRET), webhook(now_s, NEW), webhook(now_s, SECRET)
    assert rotating.own == f"{new.own},{old.own.split(',')[1]}"
    assert rotating.headers[STANDARD] == f"{new.headers[STANDARD]} {old.headers[STANDARD]}"
    assert try_verify_with_secrets(rotating.body, rotating.own, NEW, SECRET) == (True, "valid_primary")


@EVERY
@pytest.mark.parametrize("how", forgeries(0))
def test_a_forgery_is_refused(how: str, verify: Verifier) -> None:
    assert not verify(forgeries(int(time.time()))[how], SECRET)


def test_a_webhook_passed_off_as_another_delivery_is_refused_by_the_standard_scheme() -> None:
    other = webhook(int(time.time())).carrying(id=f"{DELIVERY}0")
    assert not by_the_standard_package(other, SECRET)
