"""Following a job's events over Server-Sent Events, across dropped connections."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import httpx

from ._answers import error_in
from ._events import EventReader, JobEvent
from ._retry import LONGEST_PAUSE_S, RetryPolicy
from ._service import REPEATED_CODES
from .exceptions import EZThrottleError, TimeoutError  # noqa: A004 - the published name

if TYPE_CHECKING:
    from ._service import Service


# A connection that held so long was one, even if nothing was said on it.
_HELD_S = 1.0


def follow(service: Service, path: str, timeout: float | None) -> Iterator[JobEvent]:
    """Yield the events of the job at `path` until its end; see `EZThrottle.stream`."""
    course = _Course(service, path, timeout)
    while True:
        try:
            response: httpx.Response = service.send(course.request(), stream=True)
            try:
                if not response.is_success:
                    response.read()
                course.begin(response)
                for line in response.iter_lines():
                    event = course.take(line)
                    if event is not None:
                        yield event
                        if event.ends:
                            return
            finally:
                response.close()
            pause = course.pause(None)
        except httpx.RequestError as error:
            pause = course.pause(error)
        service.runtime.sleep(pause)


async def follow_async(service: Service, path: str, timeout: float | None) -> AsyncIterator[JobEvent]:
    """Do as `follow` does, on the running event loop."""
    import asyncio  # noqa: PLC0415 - loads slower than this whole package

    course = _Course(service, path, timeout)
    while True:
        try:
            response: httpx.Response = await service.send(course.request(), stream=True)
            try:
                if not response.is_success:
                    await response.aread()
                course.begin(response)
                async for line in response.aiter_lines():
                    event = course.take(line)
                    if event is not None:
                        yield event
                        if event.ends:
                            return
            finally:
                await response.aclose()
            pause = course.pause(None)
        except httpx.RequestError as error:
            pause = course.pause(error)
        await asyncio.sleep(pause)


class _Course:
    """Where a stream stands: what to ask for next, and when."""

    def __init__(self, service: Service, path: str, timeout: float | None) -> None:
        self._service = service
        self._path = path
        self._timeout = timeout
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._reader = EventReader()
        self._last_id: str | None = None
        self._attempt = 0
        # A service that restarts is away for longer than a few attempts take: only time ends this patience.
        self._retry = RetryPolicy(sys.maxsize, service.retry.budget_s)
        self._come_back_after_s = 0.0
        self._asked_at = self._heard_at = time.monotonic()
        self._began = False

    def request(self) -> httpx.Request:
        """Return the next request; it asks for what came after the last event."""
        self._attempt += 1
        self._reader, self._began = EventReader(), False
        self._asked_at = time.monotonic()
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if self._last_id is not None:
            headers["Last-Event-ID"] = self._last_id
        return self._service.request("GET", self._path, headers=headers, at_most_s=self._remaining_s())

    def begin(self, response: httpx.Response) -> None:
        """Take in the head of an answer; raises for one that is no stream and will not become one."""
        if response.status_code in REPEATED_CODES:
            raise httpx.ReadError(f"status {response.status_code}", request=response.request)
        if not response.is_success:
            raise error_in(response)
        if not response.headers.get("Content-Type", "").startswith("text/event-stream"):
            raise EZThrottleError(
                f"GET {self._path} was answered with no event stream. "
                "Check that base_url (or EZTHROTTLE_URL) names an EZThrottle service.",
                status_code=response.status_code,
            )
        self._began = True

    def take(self, line: str) -> JobEvent | None:
        """Take in a line, and return the event that it completes, if it does."""
        self._attempt, self._heard_at = 1, time.monotonic()
        self._remaining_s()
        event = self._reader.take(line)
        self._come_back_after_s = min(self._reader.come_back_after_s, LONGEST_PAUSE_S)
        if event is not None:
            self._last_id = event.id or self._last_id
        return event

    def pause(self, error: httpx.RequestError | None) -> float:
        """Seconds until the next request, after a connection that failed or ended early."""
        now = time.monotonic()
        if self._began and now - self._asked_at >= _HELD_S:
            self._attempt, self._heard_at = 1, now
        remaining = self._remaining_s()
        pause = self._retry.pause(self._attempt, now - self._heard_at, self._come_back_after_s)
        if pause is None:
            gone = error or httpx.ReadError("the stream ends before the job")
            raise self._service.unreachable(gone, self._attempt) from error
        return pause if remaining is None else min(pause, remaining)

    def _remaining_s(self) -> float | None:
        if self._deadline is None:
            return None
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError(
                f"{self._path} did not come to its end within {self._timeout} s. The job goes on: "
                "ask again with stream(), wait() or get_job()."
            )
        return remaining
