"""Where a job stands at its target: its place among what waits, as the fair queue would serve it if nothing
new came.
"""

from bisect import bisect_left
from collections.abc import Iterator
from heapq import nlargest
from itertools import chain, islice
from operator import itemgetter

from msgspec import Struct
from msgspec.structs import replace

from orchestrator.domain.ids import CustomerId, JobId
from orchestrator.domain.queueing.fairness import LOOKED_AT_MOST, FairQueue, Share
from orchestrator.domain.queueing.lanes import Key
from orchestrator.domain.queueing.ticket import Ticket

BLOCK_MOST = 512
_LAST = itemgetter(-1)


class QueuePosition(Struct, frozen=True):
    """A job's place among those that wait, from 1, and an estimate of the seconds until its start: infinite
    while nobody knows.
    """

    position: int
    wait_s: float


class _Sorted:
    """Tickets of one turn, in blocks of bounded length: one long list would be moved for every ticket that
    does not come last.
    """

    __slots__ = ("_blocks",)

    def __init__(self) -> None:
        self._blocks: list[list[Ticket]] = []

    def __len__(self) -> int:
        return sum(map(len, self._blocks))

    def __iter__(self) -> Iterator[Ticket]:
        return chain.from_iterable(self._blocks)

    def add(self, ticket: Ticket) -> bool:
        """Put a ticket where it belongs; say whether it was new."""
        number = bisect_left(self._blocks, ticket, key=_LAST)
        if number == len(self._blocks):
            self._append(ticket)
            return True
        block = self._blocks[number]
        index = bisect_left(block, ticket)
        if block[index] == ticket:
            return False
        block.insert(index, ticket)
        if len(block) > BLOCK_MOST:
            self._blocks[number : number + 1] = [block[: BLOCK_MOST // 2], block[BLOCK_MOST // 2 :]]
        return True

    def remove(self, ticket: Ticket) -> bool:
        """Take a ticket out; say whether it was there."""
        number = bisect_left(self._blocks, ticket, key=_LAST)
        if number == len(self._blocks):
            return False
        index = bisect_left(self._blocks[number], ticket)
        if self._blocks[number][index] != ticket:
            return False
        self._delete(number, index)
        return True

    def first_of(self, order_key: int, job_id: JobId) -> tuple[int, Ticket] | None:
        """Find a job's first ticket, and count those ahead of it; None where it has none."""
        found = self._first_of(order_key, job_id)
        if found is None:
            return None
        number, index = found
        return sum(map(len, self._blocks[:number])) + index, self._blocks[number][index]

    def _append(self, ticket: Ticket) -> None:
        if self._blocks and len(self._blocks[-1]) < BLOCK_MOST:
            self._blocks[-1].append(ticket)
        else:
            self._blocks.append([ticket])

    def _delete(self, number: int, index: int) -> None:
        del self._blocks[number][index]
        if not self._blocks[number]:
            del self._blocks[number]

    def _first_of(self, order_key: int, job_id: JobId) -> tuple[int, int] | None:
        before = Ticket(order_key, job_id, leg=-1)
        number = bisect_left(self._blocks, before, key=_LAST)
        if number == len(self._blocks):
            return None
        index = bisect_left(self._blocks[number], before)
        return (number, index) if self._blocks[number][index].job_id == job_id else None


class Standing(Struct, frozen=True):
    """A job's place among all that wait, and in its own turn; both from 1. ``ticket`` is its first."""

    position: int
    in_turn: int
    ticket: Ticket


class PositionIndex:
    """A sorted index beside the fair queue, which knows only who is next. A place is O(log n + turns)."""

    __slots__ = ("_customers", "count")

    def __init__(self) -> None:
        self._customers: dict[CustomerId, dict[Key, _Sorted]] = {}
        self.count = 0
        """Tickets that wait."""

    def add(self, turn: Key, ticket: Ticket) -> None:
        """A leg waits; adding it twice changes nothing."""
        self.count += self._customers.setdefault(turn[0], {}).setdefault(turn, _Sorted()).add(ticket)

    def remove(self, turn: Key, ticket: Ticket) -> bool:
        """A leg had its turn, or waits no longer; say whether it did."""
        tickets = self._customers.get(turn[0], {}).get(turn)
        if tickets is None:
            return False
        stood = tickets.remove(ticket)
        self.count -= stood
        self._tidy(turn, tickets)
        return stood

    def stand(self, customer: CustomerId, order_key: int, job_id: JobId, queue: FairQueue) -> Standing | None:
        """Say where a job stands; None where it does not wait."""
        for turn, tickets in self._customers.get(customer, {}).items():
            found = tickets.first_of(order_key, job_id)
            if found is not None:
                ahead, ticket = found
                return Standing(self._position(turn, ahead, queue), ahead + 1, ticket)
        return None

    def waiting(self, customer: CustomerId) -> int:
        """Count a customer's tickets."""
        return sum(map(len, self._customers.get(customer, {}).values()))

    def longest(self, most: int) -> list[tuple[CustomerId, int]]:
        """Give the customers with the most tickets, and how many those are."""
        counted = ((customer, self.waiting(customer)) for customer in self._customers)
        return nlargest(most, counted, key=lambda each: each[1])

    def regrouped(self, queue: FairQueue) -> "PositionIndex":
        """Give the same tickets by the turns that the queue has now."""
        line = PositionIndex()
        for turns in self._customers.values():
            for ticket in (ticket for tickets in turns.values() for ticket in tickets):
                line.add(queue.turn_of(ticket), ticket)
        return line

    def _position(self, own: Key, ahead: int, queue: FairQueue) -> int:
        """Count who is served up to and with a ticket that has so many ``ahead`` in its own turn."""
        mine = queue.share_of(own)
        turns_before = 0 if ahead < mine.now else 1 + (ahead - mine.now) // mine.later
        position = ahead + 1
        for share in chain(queue.others(own), self._elsewhere(own, queue)):
            permits = share.permits(turns_before + 1 if share.before else turns_before)
            position += share.times * min(self._count(share.turn), permits)
        return position

    def _elsewhere(self, own: Key, queue: FairQueue) -> Iterator[Share]:
        """Those that wait for a region or a repeat: they come into the queue as this one does."""
        here = queue.knows(own)
        for turn in islice(chain.from_iterable(self._customers.values()), LOOKED_AT_MOST):
            if turn == own:
                here = True
            elif not queue.knows(turn):
                yield replace(queue.share_of(turn), before=not here)

    def _count(self, turn: Key) -> int:
        return len(self._customers.get(turn[0], {}).get(turn, ()))

    def _tidy(self, turn: Key, tickets: _Sorted) -> None:
        if not tickets:
            turns = self._customers[turn[0]]
            del turns[turn]
            if not turns:
                del self._customers[turn[0]]
