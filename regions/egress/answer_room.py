"""How much of the answers that are being read may lie in memory: of all in bytes, fair between owners.

An answer that there is no room for is not cut: it is read no further for a while, and waits in the sockets.
"""

import asyncio
from collections import Counter

from orchestrator.domain.byte_budget import KIB, MIB
from orchestrator.runtime.byte_room import ByteRoom

ANSWER_BYTES = 32 * MIB
"""Of bodies of answers that are being read, and of whole ones that the shard has not asked for."""
FREE_BYTES = 32 * KIB
"""Of every answer: small ones wait for nobody. Times the attempts that an executor takes it is 32 MiB. As
much is taken from the system at a time, and lies here while an answer waits for room.
"""
BRIEF_FREE_BYTES = 4 * KIB
"""The same of an answer whose status suffices: twice that is in what a delivery counts as."""
GROWS_TIMES = 4
AHEAD_MOST = 3
"""Owners of whom one answer each may go on though there is no room: else answers that are half read could
wait for each other."""
REST_S = 0.1
"""Before another answer of an owner goes ahead."""


class AnswerRoom:
    """The room of one process."""

    def __init__(self) -> None:
        self._room = ByteRoom(ANSWER_BYTES)
        self._ahead: dict[str, BodyRoom] = {}
        self._held: Counter[str] = Counter()
        self._resting: set[str] = set()

    @property
    def used(self) -> int:
        """Bytes that are counted now."""
        return self._room.budget.used

    def open(self, owner: str, most: int, *, brief: bool = False) -> "BodyRoom":
        """Make the room of one answer, of ``most`` bytes at most; little of a ``brief`` one is free."""
        return BodyRoom(self, owner, most, BRIEF_FREE_BYTES if brief else FREE_BYTES)

    def hold(self, owner: str, size: int) -> None:
        """Count a whole answer that waits for its shard."""
        self._room.budget.take(owner, size)
        self._held[owner] += 1

    def let_go(self, owner: str, size: int) -> None:
        """Count it no longer."""
        self._held[owner] -= 1
        if not self._held[owner]:
            del self._held[owner]
        self._room.give_back(owner, size)
        self._pass_on(owner)

    async def grow(self, body: "BodyRoom", size: int) -> None:
        """Wait until a body may have ``size`` bytes more."""
        owner = body.owner
        if self._ahead.get(owner) is body:
            self._room.budget.take(owner, size)
        elif self._may_go_ahead(owner) and not self._room.budget.fits(owner, size):
            self._ahead[owner] = body
            self._room.budget.take(owner, size)
        elif await self._room.take(owner, size):
            self._ahead[owner] = body

    def _may_go_ahead(self, owner: str) -> bool:
        """Whether nothing else will make room for an owner: whole answers of his will, once they are sent."""
        busy = owner in self._ahead or owner in self._resting or self._held[owner]
        return not busy and len(self._ahead) < AHEAD_MOST

    def close(self, body: "BodyRoom", pieces: list[int]) -> None:
        """A body is over: what it took goes to others, and after a moment another may go ahead."""
        if self._ahead.get(body.owner) is body:
            del self._ahead[body.owner]
            # The answer that is whole now is about to be held: nobody may go ahead of that.
            self._resting.add(body.owner)
            asyncio.get_running_loop().call_later(REST_S, self._rested, body.owner)
        for size in pieces:
            self._room.give_back(body.owner, size)

    def _rested(self, owner: str) -> None:
        self._resting.discard(owner)
        for waiting in [owner, *self._room.owners_waiting()]:
            self._pass_on(waiting)

    def _pass_on(self, owner: str) -> None:
        if self._may_go_ahead(owner):
            self._room.let_through(owner)


class BodyRoom:
    """How many bytes of one body may lie in memory."""

    __slots__ = ("_most", "_pieces", "_room", "allowed", "free", "owner")

    def __init__(self, room: AnswerRoom, owner: str, most: int, free: int) -> None:
        self._room = room
        self._most = most
        self._pieces: list[int] = []
        self.owner = owner
        self.free = free
        self.allowed = min(free, most)

    def covers(self, size: int) -> bool:
        """Whether the body may have so many bytes by now."""
        return min(size, self._most) <= self.allowed

    async def grow(self, wanted: int) -> None:
        """Wait until the body may have ``wanted`` bytes, or some times what it may have now."""
        wanted = min(self._most, max(wanted, GROWS_TIMES * self.allowed))
        more = wanted - self.allowed
        if more > 0:
            await self._room.grow(self, more)
            self._pieces.append(more)
            self.allowed = wanted

    def close(self) -> None:
        """Give everything back."""
        pieces, self._pieces = self._pieces, []
        self._room.close(self, pieces)
