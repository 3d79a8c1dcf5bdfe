"""Receiving webhooks in a Flask application; the one module that needs Flask."""

from __future__ import annotations

import functools
from typing import Any, Callable

from flask import current_app, request

from ezthrottle._receiving.deliveries import Deliveries
from ezthrottle.exceptions import WebhookVerificationError
from ezthrottle.webhook_utils import DEFAULT_TOLERANCE_S, SIGNATURE_HEADER

__all__ = ["verified_webhook"]


def verified_webhook(
    secret: str | None, secondary_secret: str | None = None, tolerance: int = DEFAULT_TOLERANCE_S
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a view that takes webhooks: it is called with the delivery, once its signature is proven.

    Others are answered 401 with the reason. A view that returns None answers `{"status": "received"}`; one
    that raises answers 500, and the delivery comes again. `tolerance` is in seconds.

    Raises ValueError for an empty secret.

    >>> @app.post("/webhook")
    ... @verified_webhook(os.environ.get("WEBHOOK_SECRET"))
    ... def paid(delivery: dict) -> None:
    ...     print(delivery["job_id"], delivery["status"])
    """
    deliveries = Deliveries(secret, secondary_secret, tolerance)

    def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(view)
        def receive(*args: Any, **kwargs: Any) -> Any:
            try:
                delivery = deliveries.read(request.get_data(), request.headers.get(SIGNATURE_HEADER, ""))
            except WebhookVerificationError as error:
                return {"error": str(error)}, 401
            answer = current_app.ensure_sync(view)(delivery, *args, **kwargs)
            return {"status": "received"} if answer is None else answer

        return receive

    return decorate
