"""How much of large requests is taken in at once: what does not fit stays in its sender's socket."""

import asyncio
from types import TracebackType
from typing import Self

from starlette.requests import Request

from orchestrator.adapters.http.bodies import declared_bytes
from orchestrator.domain.byte_budget import LARGE_BYTES, MIB
from orchestrator.domain.errors import OverLimit
from orchestrator.domain.ids import CustomerId
from orchestrator.runtime.byte_room import ByteRoom

INCOMING_BYTES = 64 * MIB
"""A batch of 16 MiB takes half of it: one customer's go one by one, and another's beside them."""
COPIES = 2
"""A request's bytes and what is read from them; then that, and what it is sealed into."""
ROOM_WITHIN_S = 30.0
WAITING_MOST = 100
"""Of one customer: each of them holds some 64 KiB of its request in memory."""
COME_BACK_AFTER_S = 5


class IncomingRoom:
    """Lets large requests in as there is room for them: fair between customers."""

    def __init__(self) -> None:
        self._room = ByteRoom(INCOMING_BYTES)

    @property
    def used(self) -> int:
        """Bytes that are counted now."""
        return self._room.budget.used

    def held(self, customer: CustomerId, request: Request, most: int) -> "HeldRoom":
        """Give what holds a request's room while it is read and worked on; ``most`` bytes where it does not
        say how many it has.
        """
        return HeldRoom(self._room, customer, min(declared_bytes(request, otherwise=most), most) * COPIES)


class HeldRoom:
    """Room for one request; a small one needs none, unless it comes in parts: then it may be long in coming.

    Raises:
        OverLimit: So much of the customer's is under way that it can't be taken in soon.
    """

    __slots__ = ("_customer", "_room", "_size", "_taken")

    def __init__(self, room: ByteRoom, customer: CustomerId, size: int) -> None:
        self._room = room
        self._customer = customer
        self._size = size
        self._taken = False

    async def __aenter__(self) -> Self:
        if self._size > LARGE_BYTES * COPIES:
            await self._take()
        return self

    async def more_is_coming(self) -> None:
        """Its first part was read, and is not all of it."""
        if self._size and not self._taken:
            await self._take()

    async def _take(self) -> None:
        if self._room.waiting(self._customer) >= WAITING_MOST:
            raise _too_much()
        try:
            async with asyncio.timeout(ROOM_WITHIN_S):
                await self._room.take(self._customer, self._size)
                self._taken = True
        except TimeoutError:
            raise _too_much() from None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._taken:
            self._room.give_back(self._customer, self._size)


def _too_much() -> OverLimit:
    return OverLimit("too many large requests of yours are under way: send fewer at once", COME_BACK_AFTER_S)
