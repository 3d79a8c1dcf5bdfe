"""What all operations have: the service, and the client that they belong to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Protocol

from ezthrottle._coroutines import outcome_of

if TYPE_CHECKING:
    from ezthrottle._http.service import Service
    from ezthrottle.types import Acknowledgement


class SubmitsJobs(Protocol):
    """Either client."""

    @property
    def submit_job(self) -> Callable[..., Any]: ...


class Operation:
    """Operations of one client: coroutines, which never suspend where the client is a blocking one.

    >>> run(Overviews(service, client).usage())["open_jobs"]
    0
    """

    def __init__(self, service: Service, client: SubmitsJobs) -> None:
        self._service = service
        self._client = client

    async def _submitted(self, **job: Any) -> Acknowledgement:
        # The client's own method: a program may have made a class of it that does more.
        answer: Acknowledgement = await outcome_of(self._client.submit_job(**job))
        return answer
