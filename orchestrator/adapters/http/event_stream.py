"""A job's events as Server-Sent Events (WHATWG HTML, 9.2)."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from orchestrator.adapters.http.documents import place_document, result_document
from orchestrator.adapters.http.large_answers import PLACE_OF_RESULT, SharedResults, in_pieces
from orchestrator.core.domain_limiter import QueuePosition
from orchestrator.core.shard import Shard
from orchestrator.domain.errors import OverLimit
from orchestrator.domain.ids import CustomerId
from orchestrator.domain.job import without_payload
from orchestrator.domain.lifecycle import JobState, state_shown
from orchestrator.domain.progress import Event, EventName, Told, end_event, news
from orchestrator.ports.store import DamagedError, StoredJob

POSITION_EVERY_S = 1.0
KEEP_ALIVE_S = 15.0
"""Proxies between give up on connections that are silent for longer."""
COME_BACK_AFTER_MS = 2_000
PLACE_FREE_AFTER_S = 5


class StreamSlots:
    """Counts the open streams of each customer, of whom none may hold all of the service's connections.

    Args:
        most: Streams of one customer that may be open at once.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken: Counter[CustomerId] = Counter()

    def take(self, customer: CustomerId) -> Callable[[], None]:
        """Take a place; give what gives it back.

        Raises:
            OverLimit: The customer has as many streams as may be.
        """
        if self._taken[customer] >= self._most:
            message = f"{self._most} streams are open, and more may not be at once: close some, or use ?wait="
            raise OverLimit(message, PLACE_FREE_AFTER_S)
        self._taken[customer] += 1
        return lambda: self._give_back(customer)

    def _give_back(self, customer: CustomerId) -> None:
        self._taken[customer] -= 1
        if not self._taken[customer]:
            del self._taken[customer]


class JobEvents:
    """Follows one job for one client, who may leave at any time: nothing here changes the job.

    Args:
        shard: Whose job it is.
        stored: The job, as its owner was allowed to see it.
        told: What the client knows already.
        results: Where a large result is read from.
    """

    def __init__(self, shard: Shard, results: SharedResults, stored: StoredJob, told: Told) -> None:
        self._shard = shard
        self._results = results
        # For as long as the stream lasts, and with it a hundred others: nothing that may be large.
        self._job = without_payload(stored.job)
        self._stored = replace(stored, job=self._job, result=None)
        self._told = told
        self._place: QueuePosition | None = None

    async def lines(self) -> AsyncIterator[bytes]:
        """Give the stream in pieces, until the job's end or the service's."""
        yield f"retry: {COME_BACK_AFTER_MS}\n\n".encode()
        with self._shard.board.watch(self._job.id) as watch:
            happened, spoke_at = True, self._now()
            while True:
                over = happened and await self._look()
                spoken = [*(self._news() if happened else ()), *(() if over else self._position())]
                if not spoken and self._now() - spoke_at >= KEEP_ALIVE_S:
                    yield b": still here\n\n"
                    spoke_at = self._now()
                for event in spoken:
                    yield _written(event)
                    spoke_at = self._now()
                if over:
                    async for piece in self._last_words():
                        yield piece
                if over or not self._shard.accepting:
                    return
                happened = await watch.news(POSITION_EVERY_S if self._waits() else KEEP_ALIVE_S)

    async def _look(self) -> bool:
        """Read the job anew; say whether it has ended."""
        try:
            found = await self._shard.store.look(self._job.id, self._job.customer)
        except DamagedError as error:
            found = await self._remains(error)
        if found is not None:
            self._stored = replace(found, job=self._job)
        return self._stored.state.ended

    async def _remains(self, error: DamagedError) -> StoredJob | None:
        """What can be read of a job that was damaged since this stream began."""
        line = await self._shard.store.summary(self._job.id, self._shard.clock.unix_ms())
        if line is None:
            return None
        return replace(self._stored, state=line.state, ended_ms=line.ended_ms, result=error.result)

    def _news(self) -> Iterator[Event]:
        _, course = self._shard.under_way(self._job.id) or (None, self._stored.course)
        state = state_shown(self._stored.state, self._job.begins_ms, self._shard.clock.unix_ms())
        queued = {
            "job_id": self._job.id,
            # Who joins late is told how it began; what came of it stands in the events that follow.
            "state": state if state is JobState.SCHEDULED else JobState.QUEUED,
            "accepted_at": self._job.accepted_ms,
        }
        for told, event in news(self._told, course, queued):
            self._told = told
            yield event

    def _position(self) -> Iterator[Event]:
        place = self._shard.place(self._job)
        moved = place is not None and (self._place is None or place.position != self._place.position)
        self._place = place
        if place is not None and moved:
            yield Event(EventName.POSITION, place_document(place, self._shard.clock.unix_ms()))

    async def _last_words(self) -> AsyncIterator[bytes]:
        """Tell the job's end, with its result."""
        document = {
            "job_id": self._job.id,
            "state": self._stored.state,
            "ended_at": self._stored.ended_ms,
            "result": result_document(self._stored),
        }
        event = _written(end_event(self._stored.state, document))
        before, place, after = event.partition(f'"{PLACE_OF_RESULT}"'.encode())
        yield before
        if place:
            size = self._stored.result_bytes
            async with self._results.borrow(self._job.customer, self._job.id, size) as result:
                for piece in in_pieces(result):
                    yield piece
                    # As in large_answers: the connection says only then whether it has had enough.
                    await asyncio.sleep(0)
            yield after

    def _waits(self) -> bool:
        return self._stored.state in (JobState.SCHEDULED, JobState.QUEUED)

    def _now(self) -> float:
        return self._shard.clock.now()


class EventResponse(StreamingResponse):
    """Answers with a stream of events; no cache or proxy may hold it back.

    Args:
        events: What is told.
        over: Called once the stream is over, however it ended.
    """

    media_type = "text/event-stream"

    def __init__(self, events: JobEvents, over: Callable[[], None]) -> None:
        super().__init__(events.lines(), headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._over = over

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it (ASGI)."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            # Not in the generator: one that a client left before its first event is never entered.
            self._over()


def _written(event: Event) -> bytes:
    lines = [f"event: {event.name}", f"data: {json.dumps(event.data, separators=(',', ':'))}"]
    if event.id is not None:
        lines.append(f"id: {event.id}")
    return ("\n".join(lines) + "\n\n").encode()
