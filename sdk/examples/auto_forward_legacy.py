"""Code that was there before: what fails in it is run by the service, and nothing else of it changes."""

from __future__ import annotations

from typing import Any

import httpx
from stand_in import stand_in

from ezthrottle import EZThrottle, ForwardToEZThrottle, auto_forward

with stand_in() as api, EZThrottle() as client:

    @auto_forward(client, fallback_on_error=[429, 500])
    def charge(path: str) -> dict[str, Any]:
        response = httpx.post(api.url(path), json={"amount": 1000})
        response.raise_for_status()  # the request is read from the exception; requests' works as well
        answer: dict[str, Any] = response.json()
        return answer

    @auto_forward(client)
    def process_payment(order_id: str) -> dict[str, Any]:
        try:
            return dict(charge("/status/402"))
        except httpx.HTTPStatusError as error:
            raise ForwardToEZThrottle(
                url=api.url("/charge-later"),
                method="POST",
                body='{"amount": 1000}',
                idempotent_key=f"{order_id}-{api.url('')}",
                metadata={"order_id": order_id, "because": str(error.response.status_code)},
                webhooks=[{"url": api.url("/webhook")}],
            ) from error

    print("works:", charge("/charge"))
    forwarded = charge("/flaky/429/charge")
    print("failed with 429:", forwarded["status"], "-", client.wait(forwarded["job_id"])["state"])
    described = process_payment("order_12345")
    print("described:", described["status"], api.wait_for_webhook(described["job_id"]).data["metadata"])
