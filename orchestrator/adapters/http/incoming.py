"""How much of large requests is taken in at once: what does not fit stays in its sender's socket."""

import asyncio
from types import TracebackType

from starlette.requests import Request

from orchestrator.adapters.http.bodies import declared_bytes
from orchestrator.domain.byte_budget import LARGE_BYTES, MIB
from orchestrator.domain.errors import OverLimit
from orchestrator.domain.ids import CustomerId
from orchestrator.runtime.byte_room import ByteRoom

INCOMING_BYTES = 80 * MIB
"""A batch of 16 MiB takes half of it: one customer's go one by one, and another's beside them."""
COPIES = 3
"""A request's bytes, what is read from them, and what that is sealed into."""
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
    """Room for one request; a small one needs none.

    Raises:
        OverLimit: So much of the customer's is under way that it can't be taken in soon.
    """

    __slots__ = ("_customer", "_room", "_size")

    def __init__(self, room: ByteRoom, customer: CustomerId, size: int) -> None:
        self._room = room
        self._customer = customer
        self._size = size if size > LARGE_BYTES * COPIES else 0

    async def __aenter__(self) -> None:
        if not self._size:
            return
        if self._room.waiting(self._customer) >= WAITING_MOST:
            raise _too_much()
        try:
            async with asyncio.timeout(ROOM_WITHIN_S):
                await self._room.take(self._customer, self._size)
        except TimeoutError:
            raise _too_much() from None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._size:
            self._room.give_back(self._customer, self._size)


def _too_much() -> OverLimit:
    return OverLimit("too many large requests of yours are under way: send fewer at once", COME_BACK_AFTER_S)
