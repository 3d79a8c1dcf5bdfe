"""A customer's webhook receiver: it believes no delivery whose signature it can't verify."""

import json
import threading
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from bench.loopback import Reply, Seen
from ezthrottle import verify_webhook_signature


@dataclass(frozen=True, slots=True)
class Delivery:
    """A webhook as it arrived; ``reason`` is the SDK's word on its signature, ``arrived_ms`` Unix ms."""

    document: dict[str, Any]
    verified: bool
    reason: str
    arrived_ms: int


class Receiver:
    """Verifies each delivery on arrival, answers 401 where that fails, and keeps it."""

    def __init__(self, secret: str) -> None:
        self._secret = secret
        self._deliveries: list[Delivery] = []
        self._changed = threading.Condition()

    def receive(self, request: Seen) -> Reply:
        """Take a webhook."""
        arrived_ms = time.time_ns() // 1_000_000
        header = request.headers.get("x-ezthrottle-signature", "")
        verified, reason = verify_webhook_signature(request.body, header, self._secret)
        delivery = Delivery(json.loads(request.body), verified, reason, arrived_ms)
        with self._changed:
            self._deliveries.append(delivery)
            self._changed.notify_all()
        return Reply(status=HTTPStatus.OK if verified else HTTPStatus.UNAUTHORIZED)

    def deliveries(self) -> list[Delivery]:
        """List them in the order of arrival."""
        with self._changed:
            return list(self._deliveries)

    def wait_for(self, job_id: str, timeout_s: float) -> Delivery | None:
        """Wait for a job's first delivery; None where none came in time."""
        with self._changed:
            return self._changed.wait_for(lambda: self._first(job_id), timeout_s)

    def _first(self, job_id: str) -> Delivery | None:
        return next((d for d in self._deliveries if d.document.get("job_id") == job_id), None)
