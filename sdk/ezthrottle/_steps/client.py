"""What steps need of the client that runs them, and of its webhook server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Callable, Protocol

if TYPE_CHECKING:
    from ezthrottle._steps.spec import ChainedStep
    from ezthrottle.event_store import EventStore


class Client(Protocol):
    """Either client."""

    @property
    def submit_job(self) -> Callable[..., Any]:
        """Submit a job, or return what is to be awaited for it."""

    @property
    def request(self) -> Callable[..., Any]:
        """Send a request from this machine, or return what is to be awaited for it."""

    @property
    def webhook_server(self) -> EndsOfJobs | None:
        """The server that receives the ends of jobs, if there is one."""


class EndsOfJobs(Protocol):
    """A `WebhookServer`."""

    event_store: EventStore

    def listens_elsewhere(self) -> bool:
        """Whether the deliveries arrive in a process that this one was forked from."""

    def get_url(self) -> str:
        """Return the address to give to the service as a webhook."""

    def register_workflow(
        self,
        job_id: str,
        on_success: ChainedStep | None = None,
        on_failure: ChainedStep | None = None,
        client: Client | None = None,
        *,
        step: ChainedStep | None = None,
        awaited: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Start one of these steps when the job has ended."""
