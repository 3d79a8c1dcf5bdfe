"""What all receivers share: reading a delivery, and, for Flask, FastAPI and Django, proving it to be one."""

from __future__ import annotations

import json
from typing import Any

from ezthrottle.exceptions import WebhookVerificationError
from ezthrottle.webhook_utils import DEFAULT_TOLERANCE_S, try_verify_with_secrets, verify_webhook_signature


class Deliveries:
    """Reads deliveries that are signed with one of two secrets; `tolerance` is in seconds.

    Raises ValueError for an empty secret: it is an unset variable, and anybody can sign with it.

    >>> Deliveries("a_secret_of_16_or_more").read(b'{"job_id": "job_1_2", "status": "success"}', "t=1,v1=00")
    Traceback (most recent call last):
    ezthrottle.exceptions.WebhookVerificationError: ...
    """

    def __init__(
        self, secret: str | None, secondary_secret: str | None = None, tolerance: int = DEFAULT_TOLERANCE_S
    ) -> None:
        if not secret:
            raise ValueError("The webhook secret is empty: is the variable that it comes from set?")
        self._secret = secret
        self._secondary = secondary_secret
        self._tolerance = tolerance

    def read(self, body: bytes, signature: str) -> dict[str, Any]:
        """Return the delivery in a request's body, exactly as received.

        Raises WebhookVerificationError, whose message holds the reason.
        """
        if self._secondary:
            verified, reason = try_verify_with_secrets(
                body, signature, self._secret, self._secondary, self._tolerance
            )
        else:
            verified, reason = verify_webhook_signature(body, signature, self._secret, self._tolerance)
        if not verified:
            raise WebhookVerificationError(reason)
        delivery = delivery_in(body)
        if delivery is None:
            raise WebhookVerificationError("not_a_delivery")
        return delivery


def delivery_in(body: bytes) -> dict[str, Any] | None:
    """Return the delivery that a body holds, or None where it is something else."""
    try:
        delivery = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(delivery, dict):
        return None
    named = isinstance(delivery.get("job_id"), str) and isinstance(delivery.get("status"), str)
    return delivery if named else None
