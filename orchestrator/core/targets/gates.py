"""Gates in front of lanes: where tickets wait that a throttle of their account or customer holds back."""

import heapq
from collections import deque
from itertools import count
from math import inf

from orchestrator.domain.queueing.lanes import SLACK, Lane
from orchestrator.domain.queueing.ticket import Ticket
from orchestrator.domain.steering.binding import SUSPECTS_KEY, TROUBLE_KEY, Binding
from orchestrator.domain.steering.throttle import Passage
from orchestrator.domain.steering.throttles import UNTOLD_KEY, customer_key

SHARED_KEYS = (TROUBLE_KEY, SUSPECTS_KEY)
"""Of gates that stand before tickets of any account."""


class _Passing:
    """Passes gates on one after the other. A lane that is let out may take the turn of one whose gate passes
    on for that, and so on through all lanes that wait: no stack is that deep.
    """

    __slots__ = ("_at_it", "_gates")

    def __init__(self) -> None:
        self._gates: deque[_Gate] = deque()
        self._at_it = False

    def add(self, gate: "_Gate") -> None:
        """Let the next lane of a gate try, unless its time will come by itself."""
        self._gates.append(gate)
        if self._at_it:
            return
        self._at_it = True
        try:
            while self._gates:
                self._gates.popleft().go_on()
        finally:
            self._at_it = False


class _Gate:
    """Lanes that one throttle holds back: those with first legs first, and of them who was held back first.

    It lets out one lane at a time. That is tried, and then waits here again until the gate opens at a known
    time or something comes back, or passes the gate on. So none waits behind an open gate.
    """

    __slots__ = ("_empty", "_lanes", "_numbers", "_passing", "key", "opens_at")

    def __init__(self, key: str, numbers: "count[int]", passing: _Passing) -> None:
        self.key = key
        self.opens_at = inf
        self._numbers = numbers
        self._passing = passing
        self._lanes: list[tuple[bool, int, Lane]] = []
        self._empty = 0
        """Lanes in which nothing waits any more, as far as they were counted."""

    def __len__(self) -> int:
        """Count the lanes."""
        return len(self._lanes)

    def park(self, lane: Lane) -> None:
        """Keep a lane until the gate opens."""
        if lane.held_since is None:
            lane.held_since = next(self._numbers)
        heapq.heappush(self._lanes, (lane.spare, lane.held_since, lane))

    def pass_on(self) -> None:
        """Let the next lane try, in its turn among all that pass on now."""
        self._passing.add(self)

    def go_on(self) -> None:
        """Let the next lane try, unless its time will come by itself."""
        if self.opens_at == inf:
            self.let_one_out()

    def let_go(self, lane: Lane) -> None:
        """Nothing waits any more in a lane here: all such go when they are half."""
        del lane
        self._empty += 1
        if 2 * self._empty >= len(self._lanes):
            self._empty = 0
            self._lanes = [entry for entry in self._lanes if entry[2].heap]
            heapq.heapify(self._lanes)

    def let_one_out(self) -> None:
        """Let the first lane try, and with it those before it whose turn others of theirs have first."""
        self.opens_at = inf
        while self._lanes:
            lane = heapq.heappop(self._lanes)[2]
            if lane.heap and lane.unpark():
                return


class Gates:
    """The gates of one domain. All times are monotonic seconds."""

    __slots__ = ("_binding", "_due", "_gates", "_numbers", "_passing", "_times_ended")

    def __init__(self, binding: Binding) -> None:
        self._binding = binding
        self._gates: dict[str, _Gate] = {}
        self._numbers = count()
        self._passing = _Passing()
        self._due: list[tuple[float, str]] = []
        self._times_ended = 0

    @property
    def opens_at(self) -> float | None:
        """When the next gate opens; None where none waits for a time."""
        while self._due and not self._is_due(*self._due[0]):
            heapq.heappop(self._due)
        return self._due[0][0] if self._due else None

    def closed(self, ticket: Ticket, now: float, *, alone: bool = False) -> _Gate | None:
        """Say which gate is closed to a ticket now, if one is. ``alone``: nobody else may go, for whom
        suspects would have to wait.
        """
        for key, throttle in self._binding.on_the_way_of(ticket, now):
            opens_at = throttle.next_at(now, ticket.cost)
            if opens_at > now and not (alone and key == SUSPECTS_KEY):
                return self._shut(key, opens_at)
        return None

    def spend(self, ticket: Ticket, now: float) -> list[Passage]:
        """Let a ticket through."""
        return [throttle.spend(now, ticket.cost) for _, throttle in self._binding.on_the_way_of(ticket, now)]

    def open_due(self, now: float) -> None:
        """Let one lane at each gate that opens by now try again; it lets in the next."""
        self._let_out_of_trouble()
        while (opens_at := self.opens_at) is not None and opens_at <= now:
            _, key = heapq.heappop(self._due)
            self._wake(key)

    def look_again(self, ticket: Ticket) -> None:
        """Something changed for a ticket's account: whoever waits behind its gates tries again."""
        self._let_out_of_trouble()
        self._wake_what_waits_for_a_place()
        self._wake(customer_key(ticket.customer))
        self._wake(UNTOLD_KEY)
        if ticket.account is not None:
            self._wake(ticket.account)

    def open_all(self) -> None:
        """Let every lane try again: what held them back is forgotten."""
        for key in list(self._gates):
            while key in self._gates:
                self._wake(key)
        self._due.clear()

    def forget(self) -> None:
        """Let go of all lanes: the queue was built anew."""
        self._gates.clear()
        self._due.clear()

    def _let_out_of_trouble(self) -> None:
        """Nothing of a path class that is well again waits for a share; what else is let out waits again."""
        troubles = self._binding.judge.troubles
        ended = -1 if troubles is None else troubles.times_ended
        if ended == self._times_ended:
            return
        self._times_ended = ended
        self._let_out(TROUBLE_KEY)

    def let_out_suspects(self) -> bool:
        """Let everything try again that waits for the suspects' share; say whether anything does."""
        return self._let_out(SUSPECTS_KEY)

    def _let_out(self, key: str) -> bool:
        gate = self._gates.pop(key, None)
        if not gate:
            return False
        while gate:
            gate.let_one_out()
        return True

    def _wake_what_waits_for_a_place(self) -> None:
        """The request that may have come back may have had the share's only place: no timer tells of that."""
        for key in SHARED_KEYS:
            gate = self._gates.get(key)
            if gate is not None and gate.opens_at == inf:
                self._wake(key)

    def _shut(self, key: str, opens_at: float) -> _Gate:
        gate = self._gates.get(key)
        if gate is None:
            gate = self._gates[key] = _Gate(key, self._numbers, self._passing)
        if opens_at < gate.opens_at:
            gate.opens_at = opens_at
            self._note_due(opens_at, key)
        return gate

    def _note_due(self, opens_at: float, key: str) -> None:
        heapq.heappush(self._due, (opens_at, key))
        if len(self._due) > 2 * len(self._gates) + SLACK:
            # A gate that is tried again and again before its time leaves an entry each time, until then.
            self._due = [(gate.opens_at, key) for key, gate in self._gates.items() if gate.opens_at < inf]
            heapq.heapify(self._due)

    def _wake(self, key: str) -> None:
        gate = self._gates.get(key)
        if gate is None:
            return
        if gate:
            gate.let_one_out()
        else:
            del self._gates[key]

    def _is_due(self, opens_at: float, key: str) -> bool:
        gate = self._gates.get(key)
        return gate is not None and gate.opens_at == opens_at
