"""What the queues of a run's targets were asked and what they gave, written down as it happened."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from unittest.mock import patch

from msgspec import Struct

from orchestrator.core.targets import target_queue
from orchestrator.domain.queueing.fairness import Apart, Closed, FairQueue, Gone, Weight
from orchestrator.domain.queueing.lanes import Gate, Lane, LaneKey
from orchestrator.domain.queueing.ticket import Ticket
from orchestrator.domain.requests.path_class import UNKNOWN_PATH, PathClass


class Move(Enum):
    """What befell a ticket, or a lane of them."""

    WAITS = auto()
    GOES = auto()
    DROPPED = auto()
    """Its job has ended meanwhile."""
    SET_APART = auto()
    """It waits with those of its path class from now on, in the lane that is named."""
    HELD = auto()
    """The lane's account or customer, or its path class, may not go on for now."""
    FREED = auto()
    REGROUPED = auto()
    """Everything is queued anew, and waits as before."""


class QueueEvent(Struct, frozen=True):
    """A move. ``weight`` is that of the lane's customer; ``by_account``: each account has its own turn."""

    at: float
    move: Move
    by_account: bool
    lane: LaneKey | None = None
    spare: bool = False
    ticket: Ticket | None = None
    weight: int = 1


@dataclass(slots=True)
class QueueLog:
    """The life of one target's queue, in order."""

    events: list[QueueEvent] = field(default_factory=list)


@contextmanager
def logged_queues(logs: list[QueueLog], now: Callable[[], float]) -> Iterator[None]:
    """Let every queue that is made write down what happens."""

    def make(weight: Weight, *, by_account: bool) -> LoggedQueue:
        logs.append(QueueLog())
        return LoggedQueue(weight, by_account=by_account, log=logs[-1], now=now)

    with patch.object(target_queue, "FairQueue", make):
        yield


class LoggedQueue(FairQueue):
    """A real queue that tells what it does."""

    __slots__ = ("_log", "_now", "_spares")

    def __init__(self, weight: Weight, *, by_account: bool, log: QueueLog, now: Callable[[], float]) -> None:
        super().__init__(weight, by_account=by_account)
        self._log = log
        self._now = now
        self._spares: set[int] = set()
        """By identity: a ticket may be queued twice."""

    def push(self, ticket: Ticket) -> None:
        """Queue a leg that may not be passed over."""
        self._note(Move.WAITS, _common_lane(ticket), ticket=ticket)
        super().push(ticket)

    def push_spare(self, ticket: Ticket) -> None:
        """Queue a further leg of a race."""
        self._note(Move.WAITS, _common_lane(ticket), ticket=ticket, spare=True)
        self._spares.add(id(ticket))
        super().push_spare(ticket)

    def peek(
        self, closed: Closed = lambda _: None, gone: Gone = lambda _: False, apart: Apart | None = None
    ) -> Ticket | None:
        """Show the next ticket."""

        def noted(ticket: Ticket) -> Gate | None:
            gate = closed(ticket)
            return None if gate is None else _NotedGate(self, gate)

        return super().peek(
            noted, self._noted_gone(gone), None if apart is None else self._noted_apart(apart)
        )

    def thin_out(self, ticket: Ticket, gone: Gone, *, spare: bool) -> bool:
        """Drop legs for which nobody waits."""
        return super().thin_out(ticket, self._noted_gone(gone), spare=spare)

    def _noted_gone(self, gone: Gone) -> Gone:
        def noted(ticket: Ticket) -> bool:
            dropped = gone(ticket)
            if dropped:
                self._note(Move.DROPPED, _common_lane(ticket), ticket=ticket, spare=self._was_spare(ticket))
            return dropped

        return noted

    def _noted_apart(self, apart: Apart) -> Apart:
        # A queue asks only of what waits in the common lane, and follows the answer at once.
        def noted(ticket: Ticket) -> PathClass | None:
            name = apart(ticket)
            if name is not None:
                lane, spare = (ticket.customer, ticket.account, name), id(ticket) in self._spares
                self._note(Move.SET_APART, lane, ticket=ticket, spare=spare)
            return name

        return noted

    def take(self) -> Ticket:
        """Take it."""
        assert self._next is not None
        ticket = self._next[1].heap[0]
        # With it others may be let out of its gate: they come after it.
        self._note(Move.GOES, _common_lane(ticket), ticket=ticket, spare=self._was_spare(ticket))
        return super().take()

    def regroup(self, *, by_account: bool) -> None:
        """Give each account its own turn, or each customer one."""
        self._log.events.append(QueueEvent(self._now(), Move.REGROUPED, by_account))
        super().regroup(by_account=by_account)
        for spare, rotation in ((False, self._first), (True, self._spare)):
            for lane in rotation._lanes.values() if rotation is not None else ():
                for ticket in lane.heap:
                    self._note(Move.WAITS, _common_lane(ticket), ticket=ticket, spare=spare)

    def _was_spare(self, ticket: Ticket) -> bool:
        spare = id(ticket) in self._spares
        self._spares.discard(id(ticket))
        return spare

    def note_lane(self, move: Move, lane: Lane) -> None:
        """Write down that a lane was held back, or let go on."""
        self._note(move, lane.key, spare=lane.turn.rotation is self._spare)

    def _note(self, move: Move, lane: LaneKey, *, spare: bool = False, ticket: Ticket | None = None) -> None:
        weight = max(1, self._weight(lane[0]))
        self._log.events.append(
            QueueEvent(self._now(), move, self.by_account, lane, spare=spare, ticket=ticket, weight=weight)
        )


def _common_lane(ticket: Ticket) -> LaneKey:
    return ticket.customer, ticket.account, UNKNOWN_PATH


class _NotedGate(Struct, frozen=True):
    queue: LoggedQueue
    gate: Gate

    def park(self, lane: Lane) -> None:
        """Keep a lane until the gate opens."""
        self.queue.note_lane(Move.HELD, lane)
        self.gate.park(_NotedLane(self.queue, lane))

    def pass_on(self) -> None:
        """Let the next lane try."""
        self.gate.pass_on()

    def let_go(self, lane: Lane) -> None:
        """Nothing waits in a lane any more."""
        self.queue.note_lane(Move.FREED, lane)
        self.gate.let_go(lane)


class _NotedLane(Lane):
    """Stands for a lane at a gate."""

    __slots__ = ("_lane", "_queue")

    def __init__(self, queue: LoggedQueue, lane: Lane) -> None:
        self._queue = queue
        self._lane = lane
        self.key = lane.key
        self.turn = lane.turn

    @property
    def heap(self) -> list[Ticket]:
        """What waits in the lane."""
        return self._lane.heap

    @property
    def held_since(self) -> int | None:
        """When the lane was first held back."""
        return self._lane.held_since

    @held_since.setter
    def held_since(self, number: int | None) -> None:
        self._lane.held_since = number

    def unpark(self) -> None:
        """Let the lane take part again."""
        self._queue.note_lane(Move.FREED, self._lane)
        self._lane.unpark()
