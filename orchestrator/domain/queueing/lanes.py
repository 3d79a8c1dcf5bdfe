"""Lanes of tickets that wait alike, the gates that hold them back, and the turns that they share."""

import heapq
from collections.abc import Callable
from itertools import count
from typing import Protocol

from orchestrator.domain.ids import AccountId, CustomerId
from orchestrator.domain.queueing.ticket import Ticket
from orchestrator.domain.requests.path_class import PathClass

Key = tuple[CustomerId, AccountId | None]
LaneKey = tuple[CustomerId, AccountId | None, PathClass]
Gone = Callable[[Ticket], bool]
"""Says whether nobody waits for a ticket any more: it is dropped then."""
SLACK = 8
"""Entries that may be over, besides as many as are not."""


class Gate(Protocol):
    """What may hold a lane back."""

    def park(self, lane: "Lane") -> None:
        """Keep a lane until the gate opens; then ``unpark`` it."""

    def pass_on(self) -> None:
        """A lane that it let out has been tried elsewhere, or is no more: the next one may try."""

    def let_go(self, lane: "Lane") -> None:
        """Nothing waits any more in a lane that is parked here."""


class Rotation(Protocol):
    """Where turns come one after the other. ``spare``: those of further legs, which are tried only when no
    first leg may go.
    """

    spare: bool

    def enter(self, turn: "Flow") -> None:
        """Let a turn take part, if it does not yet."""


class Lane:
    """The tickets of one customer with one account, lowest key first; or those of one path class of theirs,
    where that is kept apart.
    """

    __slots__ = ("gate", "gone", "heap", "held_since", "key", "parked", "turn")

    def __init__(self, key: LaneKey, turn: "Flow") -> None:
        self.key = key
        self.turn = turn
        self.heap: list[Ticket] = []
        self.parked = False
        self.gate: Gate | None = None
        """Where it is parked, or was until now: while it has not been tried, others there wait for that."""
        self.held_since: int | None = None
        """Gates number the lanes that they hold back: one that is tried in vain keeps its place."""
        self.gone = 0
        """Tickets for which nobody waits any more, as far as they were counted."""

    @property
    def spare(self) -> bool:
        """Whether it has further legs, which are tried only when no first leg may go."""
        return self.turn.rotation.spare

    def park(self, gate: Gate) -> None:
        """Wait until a gate opens."""
        former, self.gate = self.gate, gate
        self.parked = True
        gate.park(self)
        if former is not None and former != gate:
            former.pass_on()

    def leave_gate(self) -> None:
        """Keep nobody waiting for it."""
        former, self.gate = self.gate, None
        if former is None:
            return
        if self.parked:
            former.let_go(self)
        else:
            former.pass_on()

    def drop(self, gone: Gone) -> int:
        """Drop the tickets for which nobody waits any more; say how many those were."""
        kept = [ticket for ticket in self.heap if not gone(ticket)]
        dropped = len(self.heap) - len(kept)
        heapq.heapify(kept)
        self.heap, self.gone = kept, 0
        return dropped

    def give_way(self) -> None:
        """Another lane has its turn before it: nobody waits at its gate for that."""
        if self.gate is not None:
            self.gate.pass_on()

    def unpark(self) -> bool:
        """Its gate may be open: it takes part again, early on, for it had less than its share meanwhile. Say
        whether it is the first of its turn.
        """
        self.parked = False
        self.turn.offer(self)
        self.turn.rotation.enter(self.turn)
        return self.turn.head() is self


class Flow:
    """Lanes that share one turn: an account's, or all of a customer's where accounts have none."""

    __slots__ = ("_heads", "_numbers", "deficit", "entered", "key", "lanes", "newcomers_before", "rotation")

    def __init__(self, rotation: "Rotation", key: Key) -> None:
        self.rotation = rotation
        self.key = key
        self.lanes = 0
        self.deficit = 0
        self.entered = False
        self.newcomers_before = 0
        """How many newcomers had gone when it had its last turn."""
        self._heads: list[tuple[Ticket, int, Lane]] = []
        self._numbers = count()

    def offer(self, lane: Lane) -> None:
        """Put a lane forward by its first ticket. An older entry of it is passed over later."""
        before = self.head()
        heapq.heappush(self._heads, (lane.heap[0], next(self._numbers), lane))
        if len(self._heads) > 2 * self.lanes + SLACK:
            # While nobody asks for the head, those that are over would stay.
            self._heads = list({entry[2].key: entry for entry in self._heads if _stands(entry)}.values())
            heapq.heapify(self._heads)
        if before is not None and before is not self.head():
            before.give_way()

    def head(self) -> Lane | None:
        """Find the lane with the lowest ticket, or None where none is ready."""
        while self._heads and not _stands(self._heads[0]):
            heapq.heappop(self._heads)
        return self._heads[0][2] if self._heads else None


def _stands(entry: tuple[Ticket, int, Lane]) -> bool:
    ticket, _, lane = entry
    return bool(lane.heap) and not lane.parked and lane.heap[0] is ticket
