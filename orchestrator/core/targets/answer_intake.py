"""How much of large answers the shard takes from its executors before what it has is on disk."""

from collections.abc import Callable, Coroutine
from typing import Any

from orchestrator.domain.byte_budget import LARGE_BYTES, MIB
from orchestrator.domain.ids import AttemptId, CustomerId
from orchestrator.runtime.byte_room import ByteRoom

ANSWERS_BYTES = 64 * MIB
COPIES = 2
"""An answer, and what it is written from; its result, and what that is sealed into."""


class AnswerIntake:
    """Asks for large answers as there is room for them: fair between customers."""

    def __init__(self, spawn: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        self._spawn = spawn
        self._room = ByteRoom(ANSWERS_BYTES)
        self._granted: dict[AttemptId, tuple[CustomerId, int]] = {}

    @property
    def used(self) -> int:
        """Bytes that are counted now."""
        return self._room.budget.used

    def offer(self, attempt: AttemptId, customer: CustomerId, size: int, ask: Callable[[], bool]) -> None:
        """Call ``ask`` once there is room for an answer; it says whether that is still wanted."""
        self._spawn(self._admit(attempt, customer, size * COPIES, ask))

    async def _admit(
        self, attempt: AttemptId, customer: CustomerId, size: int, ask: Callable[[], bool]
    ) -> None:
        await self._room.take(customer, size)
        if attempt not in self._granted and ask():
            self._granted[attempt] = customer, size
        else:
            self._room.give_back(customer, size)

    async def lend(self, customer: CustomerId, size: int) -> "Lent":
        """Wait until there is room for a result that goes to a sender; it comes back when all has arrived."""
        await self._room.take(customer, size * COPIES)
        return Lent(lambda: self._room.give_back(customer, size * COPIES))

    def arrived(self, attempt: AttemptId) -> None:
        """An attempt is over: its answer is here, or will never be."""
        granted = self._granted.pop(attempt, None)
        if granted is not None:
            self._room.give_back(*granted)

    def begin_to_save(self, customer: CustomerId, size: int) -> None:
        """Count a result that is about to be saved, whether there is room for it or not."""
        if size > LARGE_BYTES:
            self._room.budget.take(customer, size * COPIES)

    def saved(self, customer: CustomerId, size: int) -> None:
        """It is on disk."""
        if size > LARGE_BYTES:
            self._room.give_back(customer, size * COPIES)


class Lent:
    """Room for a result on its way, until nothing of it is held any more."""

    def __init__(self, over: Callable[[], None]) -> None:
        self._held = 0
        self._over = over

    def take(self, size: int) -> None:
        """Count bytes that are about to be sent."""
        self._held += size

    def give_back(self, size: int) -> None:
        """Count them no longer: they have arrived, or go nowhere."""
        self._held -= size
        if not self._held:
            self._over()
