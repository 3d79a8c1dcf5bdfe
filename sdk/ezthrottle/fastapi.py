"""Receiving webhooks in a FastAPI application; the one module that needs FastAPI."""

# No `from __future__ import annotations` here: older releases of FastAPI (0.128, say) can't read a string as
# the annotation of a callable object, and would take the request for a query parameter.
from typing import Any, Optional

from fastapi import HTTPException, Request

from ezthrottle._receiving.deliveries import Deliveries
from ezthrottle.exceptions import WebhookVerificationError
from ezthrottle.webhook_utils import DEFAULT_TOLERANCE_S, SIGNATURE_HEADER

__all__ = ["VerifiedWebhook"]


class VerifiedWebhook:
    """A dependency that is the delivery, once its signature is proven; others are answered 401.

    A path operation that raises answers 500, and the delivery comes again. `tolerance` is in seconds. Raises
    ValueError for an empty secret.

    >>> verified = VerifiedWebhook(os.environ.get("WEBHOOK_SECRET"))
    >>> @app.post("/webhook")
    ... async def paid(delivery: Annotated[dict, Depends(verified)]) -> None:
    ...     print(delivery["job_id"], delivery["status"])
    """

    def __init__(
        self,
        secret: Optional[str],  # noqa: FA100 - see above
        secondary_secret: Optional[str] = None,  # noqa: FA100 - the same
        tolerance: int = DEFAULT_TOLERANCE_S,
    ) -> None:
        self._deliveries = Deliveries(secret, secondary_secret, tolerance)

    async def __call__(self, request: Request) -> dict[str, Any]:
        """Return the delivery in a request."""
        try:
            return self._deliveries.read(await request.body(), request.headers.get(SIGNATURE_HEADER, ""))
        except WebhookVerificationError as error:
            raise HTTPException(401, str(error)) from error
