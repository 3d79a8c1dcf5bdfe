"""One target domain: its queue, its limiter, and the timer that joins them."""

from collections.abc import Callable
from math import inf

from orchestrator.core.targets.pace_keeper import PaceKeeper
from orchestrator.core.targets.pace_view import PaceView
from orchestrator.core.targets.permits_out import PermitsOut
from orchestrator.core.targets.target_queue import TargetQueue
from orchestrator.domain.exchange import HttpResponse
from orchestrator.domain.ids import CustomerId, JobId, TargetDomain
from orchestrator.domain.pace.active_limits import ActiveLimit
from orchestrator.domain.pace.overruling import AS_IT_IS, Overruling
from orchestrator.domain.pace.pacing import Limiter, Pace
from orchestrator.domain.queueing.fairness import Weight
from orchestrator.domain.queueing.queue_position import QueuePosition
from orchestrator.domain.queueing.ticket import Ticket
from orchestrator.domain.requests.path_class import PathClass
from orchestrator.domain.steering.learned import Learned
from orchestrator.domain.steering.steering import Steering
from orchestrator.ports.clock import Clock, Timer

Launch = Callable[["DomainLimiter", Ticket, int], None]
"""Takes a ticket whose permit was granted; gives the permit back through the limiter."""


class DomainLimiter:
    """The only way to a target. State of one domain is in one place, so its limit needs no lock.

    Args:
        name: The domain.
        clock: Time.
        steering: The pace that its target asked for, as far as it is known.
        weight: Of customers in its queue.
        overruling: What the operator said.
        not_before: When the first request may go (monotonic s).
        launch: Takes each ticket that is let out.
        opens_at: Says when a way to the target opens.

    """

    __slots__ = (
        "__weakref__",
        "_clock",
        "_keeper",
        "_launch",
        "_limiter",
        "_open",
        "_opens_at",
        "_permits",
        "_pumping",
        "_queue",
        "_wake",
        "_wakes_at",
        "name",
    )

    def __init__(
        self,
        name: TargetDomain,
        clock: Clock,
        steering: Steering,
        *,
        weight: Weight,
        overruling: Overruling = AS_IT_IS,
        not_before: float,
        launch: Launch,
        opens_at: Callable[[TargetDomain, float], float],
    ) -> None:
        self.name = name
        self._clock = clock
        self._launch = launch
        self._opens_at = opens_at
        self._queue = TargetQueue(steering.binding, weight)
        self._limiter = Limiter(steering.together, not_before=not_before)
        self._permits = PermitsOut(self._limiter, steering.binding)
        self._keeper = PaceKeeper(clock, steering, self._limiter, self._queue, self._permits, overruling)
        self._wake: Timer | None = None
        self._wakes_at = inf
        self._open = True
        self._pumping = False

    @property
    def pace(self) -> Pace:
        """The pace in force."""
        return self._keeper.pace

    @property
    def learned(self) -> Learned:
        """What its target has taught, to be kept."""
        return self._keeper.learned

    @property
    def waiting(self) -> int:
        """Jobs that wait for their first permit, or for one to repeat with."""
        return self._queue.waiting

    @property
    def in_flight(self) -> int:
        """Places taken."""
        return self._limiter.in_flight

    @property
    def steered(self) -> bool:
        """Whether the pace in force is what the target asked for, and not the operator's."""
        return self._keeper.steered

    @property
    def account_queues(self) -> bool:
        """Whether each account has a queue of its own."""
        return self._queue.by_account

    def at_rest(self, for_s: float) -> bool:
        """Whether it knows nothing that a new one would not: nobody waits or is under way, nothing has
        started for so long, and nothing that its target told holds.
        """
        now = self._clock.now()
        idle = self._open and self._queue.at_rest and not self._permits
        return idle and self._limiter.at_rest(now, for_s) and self._keeper.at_rest(now)

    def view(self, breaker: ActiveLimit | None = None) -> PaceView:
        """Show what holds now; ``breaker`` is what shuts the ways to the target, where that is so."""
        return self._keeper.view(self._opens_at(self.name, self._clock.now()), breaker)

    def keep_place(self, ticket: Ticket) -> None:
        """Count a leg as waiting here, be it in the queue or put aside until a region is up."""
        self._queue.keep_place(ticket)

    def withdraw(self, ticket: Ticket, *, spare: bool = False, queued: bool = True) -> None:
        """A leg that waits here does so no longer. A ``queued`` ticket is dropped when it is at the front."""
        if self._queue.withdraw(ticket, spare=spare, queued=queued):
            self.pump()

    def place(self, customer: CustomerId, order_key: int, job_id: JobId) -> QueuePosition | None:
        """Say where a job stands, and when it starts if nothing new comes and all stays as it is: the pace,
        what the target asks, and how long it takes to answer. None where the job does not wait.
        """
        stand = self._queue.stand(customer, order_key, job_id)
        return None if stand is None else QueuePosition(stand.position, self.view().expected_s(stand))

    def waiting_of(self, customer: CustomerId) -> int:
        """Count a customer's jobs that wait here."""
        return self._queue.waiting_of(customer)

    def enqueue(self, ticket: Ticket) -> None:
        """Queue a leg that others may not pass over."""
        self._queue.push(ticket)
        self.pump()

    def enqueue_spare(self, ticket: Ticket) -> None:
        """Queue a leg that uses what nobody else wants."""
        self._queue.push_spare(ticket)
        self.pump()

    @property
    def overruling(self) -> Overruling:
        """What the operator said, as far as it holds now."""
        return self._keeper.overruling

    def overrule(self, overruling: Overruling) -> None:
        """Keep to what the operator says from now on."""
        self._keeper.overrule(overruling)
        self.pump()

    def forget_learned(self, *, but_queues: bool = False) -> None:
        """Forget what its target taught; ``but_queues``: not whether each account has a queue of its own."""
        self._keeper.forget_learned(but_queues=but_queues)
        self.pump()

    def hold(self) -> None:
        """Grant nothing until ``release``."""
        self._open = False

    def release(self) -> None:
        """Grant again."""
        self._open = True
        self.pump()

    def begin_windows(self, at: float) -> None:
        """Count what may have started until monotonic ``at``, by an earlier life, in every window."""
        self._keeper.begin_windows(at)

    def pause(self, until: float) -> None:
        """Grant nothing before monotonic ``until``."""
        self._limiter.pause(until)

    def classify(self, permit: int, path: PathClass) -> bool:
        """Say what a permit's request asks for, where its ticket, found on disk, does not; False where such
        requests wait for a turn of their own.
        """
        return self._keeper.classify(permit, path)

    def started(self, permit: int, at: float) -> None:
        """A permit's request began at monotonic ``at``."""
        self._look_again(self._permits.started(permit, at))

    def unused(self, permit: int) -> None:
        """A permit comes back."""
        self._look_again(self._permits.unused(permit, self._clock.now()))

    def closed(self, permit: int) -> None:
        """A place in flight comes back."""
        self._look_again(self._permits.closed(permit, self._clock.now()))

    def _look_again(self, ticket: Ticket | None) -> None:
        """Let those go that waited for what a ticket gave back."""
        if ticket is not None:
            self._queue.look_again(ticket)
        self.pump()

    def hear(
        self,
        permit: int | None,
        response: HttpResponse,
        started_at: float,
        answered_at: float,
        *,
        probe: bool = False,
    ) -> bool:
        """Take what the answer to a permit's request said about pace; say whether anything changed that is
        worth keeping. ``permit`` is None where it came back meanwhile; ``started_at`` is when the request's
        first byte went, ``answered_at`` when the answer ended as its region saw it (monotonic s). ``probe``:
        it tried if the target is back.
        """
        return self._keeper.hear(permit, response, started_at, answered_at, probe=probe)

    def pump(self) -> None:
        """Let out what may go now, and set the timer for what may go later."""
        # A launch may give its permit straight back: the loop below sees that, no second one begins.
        if self._pumping:
            return
        self._pumping = True
        try:
            while self._open and not self._keeper.paused and self._queue and self._let_out_one():
                pass
        finally:
            self._pumping = False
        self._queue.forget_withdrawn()

    def _let_out_one(self) -> bool:
        now = self._clock.now()
        self._keeper.let_lapse(now)
        self._queue.open_due(now)
        opens_at = self._opens_at(self.name, now)
        if opens_at > now:
            self._wake_at(opens_at)
            return False
        due = self._limiter.next_at(now)
        ticket, due = self._queue.next(now) if due == now else (None, due)
        permit = self._limiter.take(now) if ticket is not None and due == now else None
        if ticket is None or permit is None:
            self._wake_at(due)
            return False
        self._permits.grant(permit, ticket, self._queue.take(ticket, now), now)
        try:
            self._launch(self, ticket, permit)
        except BaseException:
            self.unused(permit)
            raise
        return True

    def _wake_at(self, when: float | None) -> None:
        change_at = self._keeper.next_change_at
        when = change_at if when is None else min(when, change_at)
        if when == self._wakes_at:
            return
        if self._wake is not None:
            self._wake.cancel()
        self._wakes_at = when
        self._wake = None if when == inf else self._clock.call_at(when, self._woken)

    def _woken(self) -> None:
        self._wake, self._wakes_at = None, inf
        self.pump()
