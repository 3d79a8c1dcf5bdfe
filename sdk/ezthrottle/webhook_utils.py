"""Proving that a webhook came from the service, unchanged and recently."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Iterable

from ezthrottle.exceptions import WebhookVerificationError

__all__ = [
    "WebhookVerificationError",
    "try_verify_with_secrets",
    "verify_webhook_signature",
    "verify_webhook_signature_strict",
]

SIGNATURE_HEADER = "X-EZThrottle-Signature"
DEFAULT_TOLERANCE_S = 300


def verify_webhook_signature(
    payload: bytes, signature_header: str, secret: str, tolerance: int = DEFAULT_TOLERANCE_S
) -> tuple[bool, str]:
    """Check a delivery's `X-EZThrottle-Signature`; never raises.

    `payload` is the request's body exactly as received, before any parsing; `tolerance` is the greatest
    accepted distance between the signature's time and now, in seconds. While a secret is being rotated the
    header holds one `v1` for each secret; one that matches is enough.

    Returns `(True, "valid")`, or False with the reason: `no_signature_header`, `missing_v1_signature`,
    `timestamp_expired (diff=..s, tolerance=..s)`, `signature_mismatch` or `verification_error: ..`.

    >>> verify_webhook_signature(b"{}", "", "a_secret_of_16_or_more")
    (False, 'no_signature_header')
    """
    if not signature_header:
        return False, "no_signature_header"
    try:
        reason = _judge(payload, signature_header, secret, tolerance)
    except Exception as error:  # noqa: BLE001 - a stranger wrote the header, and the caller must answer it
        reason = f"verification_error: {error}"
    return reason == "valid", reason


def verify_webhook_signature_strict(
    payload: bytes, signature_header: str, secret: str, tolerance: int = DEFAULT_TOLERANCE_S
) -> None:
    """Check a delivery as `verify_webhook_signature` does, and raise where it fails.

    Raises WebhookVerificationError, whose message holds the reason.

    >>> verify_webhook_signature_strict(request.get_data(), request.headers["X-EZThrottle-Signature"], secret)
    """
    verified, reason = verify_webhook_signature(payload, signature_header, secret, tolerance)
    if not verified:
        raise WebhookVerificationError(f"The webhook's signature was not accepted: {reason}")


def try_verify_with_secrets(
    payload: bytes,
    signature_header: str,
    primary_secret: str,
    secondary_secret: str | None = None,
    tolerance: int = DEFAULT_TOLERANCE_S,
) -> tuple[bool, str]:
    """Check a delivery against the new secret, then against the one that it replaces; never raises.

    Returns `(True, "valid_primary")`, `(True, "valid_secondary")`, or
    `(False, "both_secrets_failed (primary: <reason>)")`.

    >>> try_verify_with_secrets(b"{}", "", "the_new_secret_of_16")
    (False, 'both_secrets_failed (primary: no_signature_header)')
    """
    verified, reason = verify_webhook_signature(payload, signature_header, primary_secret, tolerance)
    if verified:
        return True, "valid_primary"
    if secondary_secret:
        verified, _ = verify_webhook_signature(payload, signature_header, secondary_secret, tolerance)
        if verified:
            return True, "valid_secondary"
    return False, f"both_secrets_failed (primary: {reason})"


def _judge(payload: bytes, header: str, secret: str, tolerance: int) -> str:
    timestamp, signatures = _parse(header)
    if not signatures:
        return "missing_v1_signature"
    distance = abs(int(time.time()) - int(timestamp))
    if distance > tolerance:
        return f"timestamp_expired (diff={distance}s, tolerance={tolerance}s)"
    expected = _signature(payload, timestamp, secret)
    return "valid" if _matches_any(expected, signatures) else "signature_mismatch"


def _parse(header: str) -> tuple[str, list[str]]:
    timestamp, signatures = "0", []
    for part in header.split(","):
        name, _, value = part.strip().partition("=")
        if name == "t":
            timestamp = value
        elif name == "v1" and value:
            signatures.append(value)
    return timestamp, signatures


def _signature(payload: bytes, timestamp: str, secret: str) -> str:
    # An unset variable often arrives as an empty string, and anybody can sign with an empty key.
    if not secret:
        raise ValueError("the secret is empty")
    return hmac.new(secret.encode(), timestamp.encode() + b"." + payload, hashlib.sha256).hexdigest()


def _matches_any(expected: str, signatures: Iterable[str]) -> bool:
    # Every candidate is compared, in constant time, so that the time taken says nothing about which matched.
    wanted = expected.encode()
    matches = [hmac.compare_digest(wanted, candidate.encode()) for candidate in signatures]
    return any(matches)
