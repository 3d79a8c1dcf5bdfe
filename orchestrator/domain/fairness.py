"""Who goes next at one target: accounts in turn, and within an account the lowest order key.

First legs go before everything; a race's further legs use what nobody else wants.
"""

import heapq
from collections import deque
from dataclasses import dataclass, field

from orchestrator.domain.ids import CustomerId, JobId


@dataclass(frozen=True, slots=True, order=True)
class Ticket:
    """A leg's place in the queue: an index entry, never the payload."""

    order_key: int
    job_id: JobId
    leg: int = 0
    account: CustomerId = field(default=CustomerId(""), compare=False)
    step: int = 0


class FairQueue:
    """Tickets of one target. Push and pop are O(log n); accounts take turns (round robin)."""

    __slots__ = ("_accounts", "_count", "_spare", "_turns")

    def __init__(self) -> None:
        self._accounts: dict[CustomerId, list[Ticket]] = {}
        self._turns: deque[CustomerId] = deque()
        self._spare: list[Ticket] = []
        self._count = 0

    def __len__(self) -> int:
        """Count the first legs that wait."""
        return self._count

    def __bool__(self) -> bool:
        """Whether anything waits, spare legs included."""
        return bool(self._count or self._spare)

    def push(self, ticket: Ticket) -> None:
        """Queue a leg that may not be passed over."""
        heap = self._accounts.get(ticket.account)
        if heap is None:
            heap = self._accounts[ticket.account] = []
            self._turns.append(ticket.account)
        heapq.heappush(heap, ticket)
        self._count += 1

    def push_spare(self, ticket: Ticket) -> None:
        """Queue a further leg of a race: it goes only when no first leg waits."""
        heapq.heappush(self._spare, ticket)

    def pop(self) -> Ticket:
        """Take the next.

        Raises:
            IndexError: Nothing waits.

        """
        if not self._turns:
            return heapq.heappop(self._spare)
        account = self._turns.popleft()
        heap = self._accounts[account]
        ticket = heapq.heappop(heap)
        self._count -= 1
        if heap:
            self._turns.append(account)
        else:
            del self._accounts[account]
        return ticket
