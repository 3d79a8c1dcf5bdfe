"""Where a job stands at its target: its place among what waits, as the fair queue would serve it if nothing
new came.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice

from orchestrator.domain.fairness import LOOKED_AT_MOST, FairQueue, Key, Share, Ticket
from orchestrator.domain.ids import CustomerId, JobId

COMPACTED_FROM = 64


class _Sorted:
    """Tickets of one turn. They mostly come at the end and leave at the front, so that adding and removing
    cost next to nothing.
    """

    __slots__ = ("_begin", "_tickets")

    def __init__(self) -> None:
        self._tickets: list[Ticket] = []
        self._begin = 0

    def __len__(self) -> int:
        return len(self._tickets) - self._begin

    def __iter__(self) -> Iterator[Ticket]:
        return iter(self._tickets[self._begin :])

    def add(self, ticket: Ticket) -> bool:
        """Put a ticket where it belongs; say whether it was new."""
        tickets = self._tickets
        if not len(self) or tickets[-1] < ticket:
            tickets.append(ticket)
            return True
        index = bisect_left(tickets, ticket, self._begin)
        if tickets[index] == ticket:
            return False
        tickets.insert(index, ticket)
        return True

    def remove(self, ticket: Ticket) -> bool:
        """Take a ticket out; say whether it was there."""
        index = bisect_left(self._tickets, ticket, self._begin)
        if index == len(self._tickets) or self._tickets[index] != ticket:
            return False
        self._delete(index)
        return True

    def remove_job(self, order_key: int, job_id: JobId) -> int:
        """Take a job's tickets out; say how many there were."""
        removed = 0
        while (ahead := self.ahead(order_key, job_id)) is not None:
            self._delete(self._begin + ahead)
            removed += 1
        return removed

    def ahead(self, order_key: int, job_id: JobId) -> int | None:
        """Count the tickets before a job's first one; None where it has none."""
        # Mostly it is the one that has just come.
        index = len(self._tickets) - 1
        if not self._is_first_of(job_id, index):
            index = bisect_left(self._tickets, Ticket(order_key, job_id, leg=-1), self._begin)
        found = index < len(self._tickets) and self._tickets[index].job_id == job_id
        return index - self._begin if found else None

    def _is_first_of(self, job_id: JobId, index: int) -> bool:
        if index < self._begin or self._tickets[index].job_id != job_id:
            return False
        return index == self._begin or self._tickets[index - 1].job_id != job_id

    def at(self, ahead: int) -> Ticket:
        """Give the ticket that has so many ahead of it."""
        return self._tickets[self._begin + ahead]

    def _delete(self, index: int) -> None:
        if index > self._begin:
            del self._tickets[index]
            return
        self._begin += 1
        if self._begin >= COMPACTED_FROM and 2 * self._begin >= len(self._tickets):
            del self._tickets[: self._begin]
            self._begin = 0


@dataclass(frozen=True, slots=True)
class Stand:
    """A job's place among all that wait, and in its own turn; both from 1. ``ticket`` is its first."""

    position: int
    in_turn: int
    ticket: Ticket


class Line:
    """A sorted index beside the fair queue, which knows only who is next. A place is O(log n + turns)."""

    __slots__ = ("_customers", "count")

    def __init__(self) -> None:
        self._customers: dict[CustomerId, dict[Key, _Sorted]] = {}
        self.count = 0
        """Tickets that wait."""

    def add(self, turn: Key, ticket: Ticket) -> None:
        """A leg waits; adding it twice changes nothing."""
        self.count += self._customers.setdefault(turn[0], {}).setdefault(turn, _Sorted()).add(ticket)

    def remove(self, turn: Key, ticket: Ticket) -> None:
        """A leg had its turn."""
        tickets = self._customers.get(turn[0], {}).get(turn)
        if tickets is not None:
            self.count -= tickets.remove(ticket)
            self._tidy(turn, tickets)

    def withdraw(self, customer: CustomerId, order_key: int, job_id: JobId) -> None:
        """A job waits no longer, though its tickets may still lie in the queue."""
        for turn, tickets in [*self._customers.get(customer, {}).items()]:
            self.count -= tickets.remove_job(order_key, job_id)
            self._tidy(turn, tickets)

    def stand(self, customer: CustomerId, order_key: int, job_id: JobId, queue: FairQueue) -> Stand | None:
        """Say where a job stands; None where it does not wait."""
        for turn, tickets in self._customers.get(customer, {}).items():
            ahead = tickets.ahead(order_key, job_id)
            if ahead is not None:
                return Stand(self._position(turn, ahead, queue), ahead + 1, tickets.at(ahead))
        return None

    def waiting(self, customer: CustomerId) -> int:
        """Count a customer's tickets."""
        return sum(map(len, self._customers.get(customer, {}).values()))

    def regrouped(self, queue: FairQueue) -> "Line":
        """Give the same tickets by the turns that the queue has now."""
        line = Line()
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
