"""One target domain: its queue, its limiter, and the timer that joins them."""

from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.domain.fairness import FairQueue, Ticket
from orchestrator.domain.ids import CustomerId, JobId, TargetDomain
from orchestrator.domain.line import Line
from orchestrator.domain.pacing import Limiter, Pace, PaceCaps, PaceState, steer
from orchestrator.domain.signals import Signal
from orchestrator.ports.clock import Clock, Timer

Launch = Callable[["DomainLimiter", Ticket, int], None]
"""Takes a ticket whose permit was granted; gives the permit back through the limiter."""


@dataclass(frozen=True, slots=True)
class Place:
    """A job's place among those that wait, from 1, and an estimate of the seconds until its start."""

    position: int
    wait_s: float


class DomainLimiter:
    """The only way to a target. State of one domain is in one place, so its limit needs no lock."""

    def __init__(
        self,
        name: TargetDomain,
        clock: Clock,
        *,
        base: Pace,
        caps: PaceCaps,
        learned: Pace | None,
        not_before: float,
        launch: Launch,
        opens_at: Callable[[TargetDomain, float], float],
    ) -> None:
        self.name = name
        self._clock = clock
        self._base = base
        self._caps = caps
        self._launch = launch
        self._opens_at = opens_at
        self._queue = FairQueue()
        self._line = Line()
        self._state = PaceState(base)
        if learned is not None:
            # A lowered pace lapses after a restart too, unless it is repeated.
            told = Signal(rps=learned.rps, max_concurrent=learned.max_concurrent)
            self._state = steer(self._state, told, base=base, caps=caps, now=clock.now())
        self._limiter = Limiter(self._state.pace, not_before=not_before)
        self._wake: Timer | None = None
        self._open = True
        self._pumping = False

    @property
    def pace(self) -> Pace:
        """The pace in force."""
        return self._state.pace

    @property
    def waiting(self) -> int:
        """Jobs that wait for their first permit, or for one to repeat with."""
        return len(self._queue)

    @property
    def in_flight(self) -> int:
        """Places taken."""
        return self._limiter.in_flight

    def seconds_until(self, position: int) -> float:
        """Estimate when the job at ``position`` starts, at the pace in force."""
        pace = self._state.pace
        return max(0.0, (position - pace.starts) / pace.starts * pace.window_s)

    @property
    def next_start_s(self) -> float:
        """Seconds until the next permit, pauses included; 0 where one has to come back first."""
        now = self._clock.now()
        next_at = self._limiter.next_at(now)
        return 0.0 if next_at is None else next_at - now

    @property
    def steered(self) -> bool:
        """Whether the pace in force is what the target asked for, and not the operator's."""
        return self._state.pace != self._base

    def keep_place(self, ticket: Ticket) -> None:
        """Count a leg as waiting here, be it in the queue or put aside until a region is up."""
        self._line.add(ticket.account, (ticket.order_key, ticket.job_id))

    def place(self, customer: CustomerId, order_key: int, job_id: JobId) -> Place | None:
        """Say where a job stands and when it starts, at the pace in force; None where it does not wait."""
        position = self._line.place(customer, (order_key, job_id))
        if position is None:
            return None
        return Place(position, max(self.next_start_s, self.seconds_until(position)))

    def waiting_of(self, customer: CustomerId) -> int:
        """Count a customer's jobs that wait here."""
        return self._line.waiting(customer)

    def enqueue(self, ticket: Ticket) -> None:
        """Queue a leg that others may not pass over."""
        self._queue.push(ticket)
        self.keep_place(ticket)
        self.pump()

    def enqueue_spare(self, ticket: Ticket) -> None:
        """Queue a leg that uses what nobody else wants."""
        self._queue.push_spare(ticket)
        self.pump()

    def hold(self) -> None:
        """Grant nothing until ``release``."""
        self._open = False

    def release(self) -> None:
        """Grant again."""
        self._open = True
        self.pump()

    def pause(self, until: float) -> None:
        """Grant nothing before monotonic ``until``."""
        self._limiter.pause(until)

    def started(self, permit: int, at: float) -> None:
        """A permit's request began at monotonic ``at``."""
        self._limiter.started(permit, at)
        self.pump()

    def unused(self, permit: int) -> None:
        """A permit comes back."""
        self._limiter.unused(permit)
        self.pump()

    def closed(self, permit: int) -> None:
        """A place in flight comes back."""
        self._limiter.closed(permit, self._clock.now())
        self.pump()

    def steer(self, signal: Signal) -> bool:
        """Take what a response said about pace; say whether that changed it."""
        before = self._state
        self._set(steer(before, signal, base=self._base, caps=self._caps, now=self._clock.now()))
        return self._state.pace != before.pace

    def pump(self) -> None:
        """Let out what may go now, and set the timer for what may go later."""
        # A launch may give its permit straight back: the loop below sees that, no second one begins.
        if self._pumping:
            return
        self._pumping = True
        try:
            while self._open and self._queue and self._let_out_one():
                pass
        finally:
            self._pumping = False

    def _let_out_one(self) -> bool:
        now = self._clock.now()
        self._lapse(now)
        opens_at = self._opens_at(self.name, now)
        if opens_at > now:
            self._wake_at(opens_at)
            return False
        permit = self._limiter.take(now)
        if permit is None:
            self._wake_at(self._limiter.next_at(now))
            return False
        ticket = self._queue.pop()
        self._line.remove(ticket.account, (ticket.order_key, ticket.job_id))
        self._launch(self, ticket, permit)
        return True

    def _lapse(self, now: float) -> None:
        if self._state.lapses_at is not None and now >= self._state.lapses_at:
            self._set(PaceState(self._base))

    def _set(self, state: PaceState) -> None:
        self._state = state
        self._limiter.pace = state.pace

    def _wake_at(self, when: float | None) -> None:
        lapses_at = self._state.lapses_at
        if lapses_at is not None:
            when = lapses_at if when is None else min(when, lapses_at)
        if self._wake is not None:
            self._wake.cancel()
        self._wake = None if when is None else self._clock.call_at(when, self._woken)

    def _woken(self) -> None:
        self._wake = None
        self.pump()
