"""Following a job's events over Server-Sent Events, across dropped connections."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import httpx

from ezthrottle._calls.answers import error_in
from ezthrottle._calls.call import Call
from ezthrottle._calls.events import EventReader, JobEvent
from ezthrottle._calls.retry import LONGEST_PAUSE_S, RetryPolicy
from ezthrottle._coroutines import run
from ezthrottle._http.lanes import Kind, Lane, NoTurn
from ezthrottle._http.service import REPEATED_CODES, is_lasting
from ezthrottle._per_process import process
from ezthrottle.exceptions import EZThrottleError, TimeoutError  # noqa: A004 - the published name

if TYPE_CHECKING:
    from ezthrottle._http.asyncio_runtime import Awaited
    from ezthrottle._http.blocking_runtime import Blocking
    from ezthrottle._http.service import Service


# A connection that held so long was one, even if nothing was said on it.
_HELD_S = 1.0
# So long a stream may be followed while others wait for their turn; it goes on after theirs.
_TURN_S = 5.0


def follow(service: Service, runtime: Blocking, path: str, timeout: float | None) -> Iterator[JobEvent]:
    """Yield the events of the job at `path` until its end; see `EZThrottle.stream`."""
    course = _Course(service, path, timeout)
    while True:
        run(course.take_turn())
        failed = None
        try:
            response = runtime.sent(course.request(), Kind.WAIT, stream=True)
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
                    if not line and course.gives_way():
                        break
            finally:
                # A loop's body may fork: there the connection is the other process's, which reads on.
                if not course.is_inherited():
                    response.close()
        except httpx.RequestError as error:
            failed = error
        finally:
            course.end_turn()
        run(runtime.sleep(course.pause(failed)))


async def follow_async(
    service: Service, runtime: Awaited, path: str, timeout: float | None
) -> AsyncIterator[JobEvent]:
    """Do as `follow` does, on the running event loop."""
    course = _Course(service, path, timeout)
    while True:
        await course.take_turn()
        failed = None
        try:
            response = await runtime.sent(course.request(), Kind.WAIT, stream=True)
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
                    if not line and course.gives_way():
                        break
            finally:
                await response.aclose()
        except httpx.RequestError as error:
            failed = error
        finally:
            course.end_turn()
        await runtime.sleep(course.pause(failed))


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
        self._began = self._gave_way = False
        self._lane: Lane | None = None
        self._process = process()

    async def take_turn(self) -> None:
        """Return when it is this stream's turn."""
        self._process = process()
        lane = self._service.runtime.lane(Kind.WAIT)
        try:
            await lane.take(self._remaining_s())
        except NoTurn:
            self._remaining_s()
            raise
        self._lane = lane

    def end_turn(self) -> None:
        """Let others have their turn."""
        lane, self._lane = self._lane, None
        if lane is not None and not self.is_inherited():
            lane.give_back()

    def is_inherited(self) -> bool:
        """Whether the connection was made before this process was forked."""
        return self._process != process()

    def gives_way(self) -> bool:
        """Whether to leave the connection, since others wait, or since it is not this process's."""
        crowded = self._lane is not None and self._lane.crowd > 1
        over = crowded and time.monotonic() - self._asked_at >= _TURN_S
        self._gave_way = over or self.is_inherited()
        return self._gave_way

    def request(self) -> httpx.Request:
        """Return the next request; it asks for what came after the last event."""
        self._attempt += 1
        self._reader, self._began, self._gave_way = EventReader(), False, False
        self._asked_at = time.monotonic()
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if self._last_id is not None:
            headers["Last-Event-ID"] = self._last_id
        call: Call[JobEvent] = Call("GET", self._path, headers=headers)
        return self._service.request(call, kind=Kind.WAIT, at_most_s=self._remaining_s())

    def begin(self, response: httpx.Response) -> None:
        """Take in the head of an answer; raises for one that is no stream and will not become one."""
        if response.status_code in REPEATED_CODES:
            raise httpx.ReadError(f"status {response.status_code}", request=response.request)
        if not response.is_success:
            raise error_in(response, self._service.runtime.proxy_variable(response.request.url))
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
        if self._gave_way:
            return 0.0
        now = time.monotonic()
        if self._began and now - self._asked_at >= _HELD_S:
            self._attempt, self._heard_at = 1, now
        remaining = self._remaining_s()
        pause = self._retry.pause(self._attempt, now - self._heard_at, self._come_back_after_s)
        if pause is None or (error is not None and is_lasting(error)):
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
