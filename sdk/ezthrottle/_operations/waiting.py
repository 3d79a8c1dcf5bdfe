"""Waiting for a job's end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ezthrottle._calls.call import Call
from ezthrottle._calls.paths import job_path
from ezthrottle._http.lanes import Kind, NoTurn
from ezthrottle._jobs.states import Ending
from ezthrottle._operations.operation import Operation
from ezthrottle.exceptions import (
    EZThrottleError,
    ServiceUnavailableError,
    ServiceUnreachableError,
    TimeoutError,  # noqa: A004 - the published name
)

if TYPE_CHECKING:
    from ezthrottle.types import EndedJob

LONG_POLL_S = 30
DEFAULT_WAIT_S = 300.0

_ENDED = frozenset(ending.value for ending in Ending)


class Waiting(Operation):
    """Waits for jobs.

    >>> run(Waiting(service, client).wait("job_1763674210055_853341"))["state"]
    'success'
    """

    async def wait(
        self, job_id: str, timeout: float = DEFAULT_WAIT_S, *, poll_interval: float = 2.0
    ) -> EndedJob:
        """Wait until the job has ended, and return it.

        `timeout` is in seconds. The service holds each question until the job ends; `poll_interval` is the
        pause in seconds where it answers early. A service that is away for a while does not end the wait.
        Raises ezthrottle.TimeoutError, after which the job goes on, a second late at most where the service
        is silent; ServiceUnreachableError or ServiceUnavailableError where it is away at the end; or
        NotFoundError.
        """
        deadline = time.monotonic() + timeout
        while True:
            asked = time.monotonic()
            remaining_s = max(deadline - asked, 0.0)
            held_s = self._held_s(remaining_s)
            job, missed = await self._when_ended(job_id, held_s, remaining_s)
            if job is not None:
                return job
            now = time.monotonic()
            if now >= deadline:
                raise _too_late(job_id, timeout, missed) from missed
            if now - asked < max(held_s / 2, 1.0):
                await self._service.runtime.sleep(min(poll_interval, deadline - now))

    async def _when_ended(
        self, job_id: str, held_s: int, remaining_s: float
    ) -> tuple[EndedJob | None, EZThrottleError | None]:
        """Return the job if it has ended by now, or else why the service could not be asked, if so."""
        from ezthrottle._http.service import is_lasting  # noqa: PLC0415 - loads httpx, as the client has by now

        call: Call[EndedJob] = Call(
            "GET", job_path(job_id), params={"wait": held_s}, expects=("state",), extra_s=held_s
        )
        try:
            job = await self._service.call(call, kind=Kind.WAIT, at_most_s=remaining_s)
        except NoTurn:
            return None, None
        except (ServiceUnreachableError, ServiceUnavailableError) as error:
            if is_lasting(error):
                raise
            return None, error
        return (job if job["state"] in _ENDED else None), None

    def _held_s(self, remaining_s: float) -> int:
        # Where many wait, each asks for less, so that all have their turn in about the same time.
        share_s = max(LONG_POLL_S / self._service.runtime.lane(Kind.WAIT).crowd, 1.0)
        return int(min(remaining_s, share_s))


def _too_late(job_id: str, timeout: float, missed: EZThrottleError | None) -> EZThrottleError:
    from ezthrottle._http.service import is_silence  # noqa: PLC0415 - loads httpx, as the client has by now

    silent = isinstance(missed, ServiceUnreachableError) and is_silence(missed)
    if missed is not None and not silent:
        return missed
    said = "is not known to have ended" if silent else "has not ended"
    return TimeoutError(
        f"Job {job_id} {said} within {timeout} s. It goes on: ask again with wait() or get_job()."
    )
