"""A job's events as Server-Sent Events (WHATWG HTML, 9.2)."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from orchestrator.adapters.http.documents.events import event_document
from orchestrator.adapters.http.documents.jobs import place_document
from orchestrator.adapters.http.large_answers import PLACE_OF_RESULT, SharedResults, in_pieces
from orchestrator.adapters.http.readers import stored_without_bodies
from orchestrator.core.gateway.watching import JobFollower
from orchestrator.domain.errors import OverLimit
from orchestrator.domain.ids import CustomerId
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.domain.json_bytes import json_bytes
from orchestrator.domain.queueing.queue_position import QueuePosition
from orchestrator.domain.results.progress import Event, EventName, Told, end_event, news
from orchestrator.ports.clock import Clock
from orchestrator.ports.store import StoredJob

POSITION_EVERY_S = 1.0
LOOKED_AT_EVERY_S = 2.0
"""Whether who listens still may: a key that is revoked has its streams end within seconds."""
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
    """Writes what a follower of a job finds as events, for one client.

    Args:
        follower: Follows the job.
        clock: Time.
        results: Where a large result is read from.
        told: What the client knows already.
        may_listen: Whether the client's key is still valid.
        with_bodies: Whether the client may see bodies of requests and answers.
    """

    def __init__(
        self,
        follower: JobFollower,
        clock: Clock,
        results: SharedResults,
        told: Told,
        *,
        may_listen: Callable[[], Awaitable[bool]],
        with_bodies: bool = True,
    ) -> None:
        self._follower = follower
        self._clock = clock
        self._results = results
        self._told = told
        self._may_listen = may_listen
        self._with_bodies = with_bodies
        self._place: QueuePosition | None = None

    async def lines(self) -> AsyncIterator[bytes]:
        """Give the stream in pieces, until the job's end, the service's, or that of the client's key."""
        yield f"retry: {COME_BACK_AFTER_MS}\n\n".encode()
        with self._follower as follower:
            happened, spoke_at = await follower.news(0.0), self._clock.now()
            while True:
                ended = follower.stored.state.ended
                spoken = [*(self._news() if happened else ()), *(() if ended else self._position())]
                if not spoken and self._clock.now() - spoke_at >= KEEP_ALIVE_S:
                    spoken = [b": still here\n\n"]
                for event in spoken:
                    yield event
                    spoke_at = self._clock.now()
                if ended:
                    async for piece in self._last_words():
                        yield piece
                if follower.over:
                    return
                happened = await follower.news(POSITION_EVERY_S if self._waits() else LOOKED_AT_EVERY_S)
                if not await self._may_listen():
                    return

    def _news(self) -> Iterator[bytes]:
        for told, event in news(self._told, self._follower.course):
            self._told = told
            yield self._written(event, self._follower.stored)

    def _position(self) -> Iterator[bytes]:
        place = self._follower.place
        moved = place is not None and (self._place is None or place.position != self._place.position)
        self._place = place
        if place is not None and moved:
            yield _written(EventName.POSITION, place_document(place, self._clock.unix_ms()))

    async def _last_words(self) -> AsyncIterator[bytes]:
        """Tell the job's end, with its result."""
        stored = self._follower.stored
        if not self._with_bodies:
            stored = await stored_without_bodies(self._results, stored)
        event = self._written(end_event(stored.state), stored)
        before, place, after = event.partition(f'"{PLACE_OF_RESULT}"'.encode())
        yield before
        if place:
            size = stored.result_bytes
            async with self._results.borrow(stored.job.customer, stored.job.id, size) as result:
                for piece in in_pieces(result):
                    yield piece
                    # As in large_answers: the connection says only then whether it has had enough.
                    await asyncio.sleep(0)
            yield after

    def _written(self, event: Event, stored: StoredJob) -> bytes:
        document = event_document(event, stored, self._clock.unix_ms())
        return _written(event.name, document, event.id)

    def _waits(self) -> bool:
        return self._follower.stored.state in (JobState.SCHEDULED, JobState.QUEUED)


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


def _written(name: EventName, document: dict[str, Any], id_: str | None = None) -> bytes:
    lines = [b"event: %s" % name.encode(), b"data: %s" % json_bytes(document)]
    if id_ is not None:
        lines.append(b"id: %s" % id_.encode())
    return b"\n".join(lines) + b"\n\n"
