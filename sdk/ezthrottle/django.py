"""Receiving webhooks in a Django project; the one module that needs Django."""

from __future__ import annotations

import functools
import inspect
from typing import Any, Callable

from django.http import HttpResponseNotAllowed, JsonResponse

from ezthrottle._receiving.deliveries import Deliveries
from ezthrottle.exceptions import WebhookVerificationError
from ezthrottle.webhook_utils import DEFAULT_TOLERANCE_S, SIGNATURE_HEADER

__all__ = ["verified_webhook"]


def verified_webhook(
    secret: str | None, secondary_secret: str | None = None, tolerance: int = DEFAULT_TOLERANCE_S
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a view that takes webhooks, coroutine or not: it is called with the request and the delivery.

    Deliveries without proof are answered 401 with the reason, other methods than POST 405. A view that
    returns None answers `{"status": "received"}`; one that raises answers 500, and the delivery comes again.
    The signature takes the place of the CSRF token. `tolerance` is in seconds.

    Raises ValueError for an empty secret.

    >>> @verified_webhook(settings.WEBHOOK_SECRET)
    ... def paid(request: HttpRequest, delivery: dict) -> None:
    ...     print(delivery["job_id"], delivery["status"])
    """
    deliveries = Deliveries(secret, secondary_secret, tolerance)

    def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(view)
        def receive(request: Any, *args: Any, **kwargs: Any) -> Any:
            delivery, refusal = _read(request, deliveries)
            return refusal or _answered(view(request, delivery, *args, **kwargs))

        @functools.wraps(view)
        async def receive_async(request: Any, *args: Any, **kwargs: Any) -> Any:
            delivery, refusal = _read(request, deliveries)
            return refusal or _answered(await view(request, delivery, *args, **kwargs))

        chosen = receive_async if inspect.iscoroutinefunction(view) else receive
        chosen.__dict__["csrf_exempt"] = True
        return chosen

    return decorate


def _read(request: Any, deliveries: Deliveries) -> tuple[dict[str, Any], Any]:
    if request.method != "POST":
        return {}, HttpResponseNotAllowed(["POST"])
    try:
        return deliveries.read(request.body, request.headers.get(SIGNATURE_HEADER, "")), None
    except WebhookVerificationError as error:
        return {}, JsonResponse({"error": str(error)}, status=401)


def _answered(answer: Any) -> Any:
    return JsonResponse({"status": "received"}) if answer is None else answer
