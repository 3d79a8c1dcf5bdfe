"""The seam between an executor and the HTTP client that it uses."""

from collections.abc import Callable
from typing import Protocol

from orchestrator.domain.exchange import Fault, HttpRequest, HttpResponse, Phases
from orchestrator.ports.lifecycle import AsyncCloseable

Timed = Callable[[Phases], None]
"""Takes where the time of an exchange went that was answered."""


class EgressError(Exception):
    """An exchange that ended without an answer; ``fault`` says how, the message says why."""

    def __init__(self, fault: Fault, message: str) -> None:
        super().__init__(message)
        self.fault = fault


class Gate(Protocol):
    """Holds a request back on its ready connection until it may start."""

    async def __call__(self) -> None:
        """Return when the first byte may be written; raise to give the connection back unused."""


class Egress(AsyncCloseable, Protocol):
    """Sends one request and reads one answer."""

    async def exchange(self, request: HttpRequest, gate: Gate, timed: Timed | None = None) -> HttpResponse:
        """Connect, pass the gate, write, read; then call ``timed``.

        The gate is awaited exactly once, on a ready connection, right before the first byte.
        Cancelling the caller's task closes the connection before the task ends.

        Raises:
            EgressError: No answer could be had.
        """

    async def close(self) -> None:
        """Close every connection; exchanges under way end with an error."""
