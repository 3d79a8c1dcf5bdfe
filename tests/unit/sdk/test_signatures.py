from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable
from typing import Any

import pytest

from ezthrottle import (
    EZThrottleError,
    WebhookVerificationError,
    try_verify_with_secrets,
    verify_webhook_signature,
    verify_webhook_signature_strict,
)

SECRET = "a_secret_of_16_or_more"
OTHER = "another_secret_of_16"
BODY = '{"job_id":"job_1_2","status":"success","name":"Zoë"}'.encode()
NOW = object()


def _v1(body: bytes = BODY, secret: str = SECRET, at: int | None = None) -> str:
    stamp = int(time.time()) if at is None else at
    return hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()


def _header(*signatures: str, at: int | None = None) -> str:
    stamp = int(time.time()) if at is None else at
    return ",".join([f"t={stamp}", *(f"v1={each}" for each in signatures)])


def test_a_signature_of_the_body_with_the_secret_is_valid() -> None:
    assert verify_webhook_signature(BODY, _header(_v1()), SECRET) == (True, "valid")


@pytest.mark.parametrize("position", [0, 1, 2])
def test_one_of_several_signatures_is_enough(position: int) -> None:
    signatures = ["00" * 32, _v1(secret=OTHER)]
    signatures.insert(position, _v1())
    assert verify_webhook_signature(BODY, _header(*signatures), SECRET) == (True, "valid")


def test_several_signatures_without_ours_do_not_match() -> None:
    header = _header(_v1(secret=OTHER), "00" * 32)
    assert verify_webhook_signature(BODY, header, SECRET) == (False, "signature_mismatch")


def test_a_body_that_is_no_text_can_be_signed() -> None:
    assert verify_webhook_signature(b"\xff\x00", _header(_v1(b"\xff\x00")), SECRET) == (True, "valid")


def test_spaces_between_the_parts_do_no_harm() -> None:
    assert verify_webhook_signature(BODY, _header(_v1()).replace(",", " , "), SECRET)[0]


@pytest.mark.parametrize("header", ["", None])
def test_a_missing_header_is_named(header: Any) -> None:
    assert verify_webhook_signature(BODY, header, SECRET) == (False, "no_signature_header")


@pytest.mark.parametrize("header", ["t=1763674210", "nonsense", "t=1,v1=", "v2=abc", ","])
def test_a_missing_signature_is_named(header: str) -> None:
    assert verify_webhook_signature(BODY, header, SECRET) == (False, "missing_v1_signature")


@pytest.mark.parametrize("shift", [-350, 350])
def test_an_old_or_early_timestamp_is_named_with_its_distance(shift: int) -> None:
    at = int(time.time()) + shift
    verified, reason = verify_webhook_signature(BODY, _header(_v1(at=at), at=at), SECRET)
    assert not verified
    assert reason in {f"timestamp_expired (diff={diff}s, tolerance=300s)" for diff in (349, 350, 351)}


def test_the_tolerance_can_be_widened() -> None:
    at = int(time.time()) - 350
    assert verify_webhook_signature(BODY, _header(_v1(at=at), at=at), SECRET, tolerance=400)[0]


def test_a_signature_without_its_time_has_expired() -> None:
    verified, reason = verify_webhook_signature(BODY, f"v1={_v1()}", SECRET)
    assert not verified
    assert reason.startswith("timestamp_expired")


@pytest.mark.parametrize(
    ("body", "signed"),
    [
        (BODY + b" ", lambda now: _v1(at=now)),
        (BODY, lambda now: _v1(secret=OTHER, at=now)),
        (BODY, lambda now: _v1(at=now)[:-1]),
        (BODY, lambda now: _v1(at=now).upper()),
        (BODY, lambda now: "é" * 64),
        (BODY.decode().encode("utf-16"), lambda now: _v1(at=now)),
    ],
    ids=["longer", "of another secret", "shorter", "in capitals", "not ASCII", "encoded anew"],
)
def test_a_forged_altered_truncated_or_reencoded_delivery_does_not_match(
    body: bytes, signed: Callable[[int], str]
) -> None:
    now = int(time.time())
    header = _header(signed(now), at=now)
    assert verify_webhook_signature(body, header, SECRET) == (False, "signature_mismatch")


def test_a_retimed_delivery_does_not_match() -> None:
    now = int(time.time())
    header = _header(_v1(at=now - 1), at=now)
    assert verify_webhook_signature(BODY, header, SECRET) == (False, "signature_mismatch")


@pytest.mark.parametrize(
    ("payload", "header", "secret"),
    [
        (BODY, "t=soon,v1=00", SECRET),
        (BODY, "t=" + "9" * 5000 + ",v1=00", SECRET),
        (BODY, NOW, None),
        (BODY, NOW, 7),
        (None, NOW, SECRET),
        ("text", NOW, SECRET),
        (BODY, b"t=1,v1=00", SECRET),
    ],
)
def test_what_cannot_be_judged_is_refused_and_never_raised(payload: Any, header: Any, secret: Any) -> None:
    # Made now: parameters are as old as the run, and a signature lives for five minutes.
    header = _header("00") if header is NOW else header
    verified, reason = verify_webhook_signature(payload, header, secret)
    assert not verified
    assert reason.startswith("verification_error: ")


def test_an_empty_secret_proves_nothing() -> None:
    verified, reason = verify_webhook_signature(BODY, _header(_v1(secret="")), "")
    assert (verified, reason) == (False, "verification_error: the secret is empty")


def test_the_strict_form_is_silent_or_raises_the_reason() -> None:
    verify_webhook_signature_strict(BODY, _header(_v1()), SECRET)
    with pytest.raises(WebhookVerificationError, match="signature_mismatch") as caught:
        verify_webhook_signature_strict(BODY, _header(_v1()), OTHER)
    assert isinstance(caught.value, EZThrottleError)


def test_both_secrets_of_a_rotation_are_tried() -> None:
    header = _header(_v1())
    assert try_verify_with_secrets(BODY, header, SECRET) == (True, "valid_primary")
    assert try_verify_with_secrets(BODY, header, OTHER, SECRET) == (True, "valid_secondary")
    assert try_verify_with_secrets(BODY, header, SECRET, OTHER) == (True, "valid_primary")


@pytest.mark.parametrize("secondary", [None, "", OTHER])
def test_without_a_matching_secret_the_primary_ones_reason_is_given(secondary: Any) -> None:
    expected = (False, "both_secrets_failed (primary: signature_mismatch)")
    assert try_verify_with_secrets(BODY, _header("00"), SECRET, secondary) == expected


def test_an_unset_primary_secret_leaves_the_secondary_to_decide() -> None:
    unset: Any = None
    assert try_verify_with_secrets(BODY, _header(_v1()), unset, SECRET) == (True, "valid_secondary")
