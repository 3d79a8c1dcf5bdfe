"""Large answers: sent in pieces, from one copy that all its readers share, within a budget.

A reader may be slow; what he must not do is hold a copy of five megabytes meanwhile.
"""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from http import HTTPStatus

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from orchestrator.core.gateway.jobs import Jobs
from orchestrator.domain.byte_budget import KIB, MIB
from orchestrator.domain.errors import Conflict
from orchestrator.domain.ids import CustomerId, JobId
from orchestrator.runtime.byte_room import ByteRoom

SHOWN_BYTES = 32 * MIB
"""Of results that are being read, one copy of each, and of pages of lists."""
SENT_BYTES = 14 * MIB
"""Of what lies at hand for the readers of results, and in their sockets."""
PAGE_BYTES = MIB
"""What a page of a list is counted as."""
PIECE_BYTES = 64 * KIB
SOCKET_BYTES = 2 * PIECE_BYTES
"""Of one reader: the piece at hand, and those that the system has not taken yet."""
PIECE_WITHIN_S = 30.0
"""Who takes no piece for so long is no reader any more."""
PLACE_OF_RESULT = f"result {secrets.token_hex(16)}"
"""Stands for the result in a document; no customer can guess it."""


class SharedResults:
    """Copies of results, each for as long as somebody reads it. They are a customer's own, and his budget's.

    Args:
        jobs: Reads them.
    """

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._shown = ByteRoom(SHOWN_BYTES)
        self._sent = ByteRoom(SENT_BYTES)
        self._copies: dict[JobId, _Copy] = {}

    @property
    def bytes_held(self) -> int:
        """Count what is held for readers now."""
        return self._shown.budget.used + self._sent.budget.used

    @contextlib.asynccontextmanager
    async def borrow(self, customer: CustomerId, job_id: JobId, size: int) -> AsyncIterator[bytes]:
        """Wait until there is room for a result of ``size`` bytes and for one reader more, and hold both
        until the block ends.

        Raises:
            Conflict: It is past its keeping.
        """
        copy = self._copies.get(job_id)
        if copy is None:
            reading = asyncio.get_running_loop().create_task(self._read(customer, job_id, size))
            copy = self._copies[job_id] = _Copy(reading)
        copy.readers += 1
        try:
            # Who leaves must not take it from the others.
            result = await asyncio.shield(copy.reading)
            # Only now: readers who hold a place while they wait for their results could wait for each other.
            await self._sent.take(customer, SOCKET_BYTES)
            try:
                yield result
            finally:
                self._sent.give_back(customer, SOCKET_BYTES)
        finally:
            copy.readers -= 1
            if not copy.readers:
                self._drop(customer, job_id, size)

    @contextlib.asynccontextmanager
    async def page(self, customer: CustomerId) -> AsyncIterator[None]:
        """Wait until there is room for a page of a list, and hold it until the block ends."""
        await self._shown.take(customer, PAGE_BYTES)
        try:
            yield
        finally:
            self._shown.give_back(customer, PAGE_BYTES)

    async def _read(self, customer: CustomerId, job_id: JobId, size: int) -> bytes:
        await self._shown.take(customer, size)
        try:
            return _kept(await self._jobs.result(customer, job_id))
        except BaseException:
            self._shown.give_back(customer, size)
            raise

    def _drop(self, customer: CustomerId, job_id: JobId, size: int) -> None:
        reading = self._copies.pop(job_id).reading
        if not reading.done():
            reading.cancel()
        elif not reading.cancelled() and reading.exception() is None:
            self._shown.give_back(customer, size)


def _kept(result: bytes | None) -> bytes:
    if result is None:
        raise Conflict("the job's answer is past its keeping")
    return result


class _Copy:
    """One result in memory: the task that reads it, and how many wait for it or send it."""

    __slots__ = ("readers", "reading")

    def __init__(self, reading: "asyncio.Task[bytes]") -> None:
        self.reading = reading
        self.readers = 0


class ResultResponse(Response):
    """A document with a stored result in its place.

    Args:
        document: As JSON, with PLACE_OF_RESULT where the result belongs.
        borrowed: Gives the result for as long as it is sent.
    """

    media_type = "application/json"

    def __init__(
        self, document: bytes, borrowed: Callable[[], contextlib.AbstractAsyncContextManager[bytes]]
    ) -> None:
        super().__init__(status_code=HTTPStatus.OK)
        before, _, after = document.partition(b'"%s"' % PLACE_OF_RESULT.encode())
        self._before, self._after = before, after
        self._borrowed = borrowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # ASGI
        """Send it (ASGI)."""
        async with self._borrowed() as result:
            await self._send(send, result)

    async def _send(self, send: Send, result: bytes) -> None:
        self.headers["content-length"] = str(len(self._before) + len(result) + len(self._after))
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        # One who takes nothing for too long finds his connection closed: the answer is not complete.
        with contextlib.suppress(TimeoutError):
            await _sent(send, self._before, more=True)
            for piece in in_pieces(result):
                await _sent(send, piece, more=True)
            await _sent(send, self._after, more=False)


class HeldResponse(Response):
    """An answer that is made once there is room for it, and that is held while it is sent.

    Args:
        held: Waits for the room, and holds it.
        make: Makes the answer.
    """

    def __init__(
        self,
        held: contextlib.AbstractAsyncContextManager[None],
        make: Callable[[], Awaitable[Response]],
    ) -> None:
        super().__init__()
        self._held = held
        self._make = make

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it (ASGI)."""

        async def in_time(message: Message) -> None:
            if message["type"] == "http.response.body":
                more, body = message.get("more_body", False), message.get("body", b"")
                for piece in in_pieces(body):
                    await _sent(send, piece, more=True)
                await _sent(send, b"", more=more)
            else:
                await send(message)

        async with self._held:
            response = await self._make()
            with contextlib.suppress(TimeoutError):
                await response(scope, receive, in_time)


def in_pieces(body: bytes) -> Iterator[bytes]:
    """Cut a body into what is sent at once."""
    for at in range(0, len(body), PIECE_BYTES):
        yield body[at : at + PIECE_BYTES]


async def _sent(send: Send, piece: bytes, *, more: bool) -> None:
    async with asyncio.timeout(PIECE_WITHIN_S):
        await send({"type": "http.response.body", "body": piece, "more_body": more})
    # Whether the connection has had enough may be said at the end of the loop's turn only.
    await asyncio.sleep(0)
