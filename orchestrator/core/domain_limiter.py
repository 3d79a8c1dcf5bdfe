"""One target domain: its queue, its limiter, and the timer that joins them."""

import dataclasses
from collections.abc import Callable
from math import inf

from orchestrator.core.gates import Gates
from orchestrator.core.pace_view import PaceView
from orchestrator.domain.active_limits import ActiveLimit
from orchestrator.domain.exchange import HttpResponse
from orchestrator.domain.fairness import FairQueue, Gate, Ticket, Weight
from orchestrator.domain.heard import Heard, Learned
from orchestrator.domain.ids import CustomerId, JobId, TargetDomain
from orchestrator.domain.overruling import AS_IT_IS, Overruling, SetPace
from orchestrator.domain.pacing import Limiter, Pace, PaceCaps
from orchestrator.domain.path_class import PathClass
from orchestrator.domain.queue_position import PositionIndex, QueuePosition
from orchestrator.domain.steering import Steering
from orchestrator.domain.throttle import Passage, Throttle
from orchestrator.ports.clock import Clock, Timer, utc

PLACE_WEIGHT = 0.1
"""Of the latest request in the mean time that a place in flight is held."""
Launch = Callable[["DomainLimiter", Ticket, int], None]
"""Takes a ticket whose permit was granted; gives the permit back through the limiter."""


class DomainLimiter:
    """The only way to a target. State of one domain is in one place, so its limit needs no lock."""

    __slots__ = (
        "__weakref__",
        "_clock",
        "_gates",
        "_gone",
        "_launch",
        "_limiter",
        "_line",
        "_open",
        "_opens_at",
        "_out",
        "_overruling",
        "_place_s",
        "_pumping",
        "_queue",
        "_steering",
        "_wake",
        "_wakes_at",
        "name",
    )

    def __init__(
        self,
        name: TargetDomain,
        clock: Clock,
        *,
        base: Pace,
        caps: PaceCaps,
        account_queues: bool,
        weight: Weight,
        learned: Learned | None,
        overruling: Overruling = AS_IT_IS,
        not_before: float,
        launch: Launch,
        opens_at: Callable[[TargetDomain, float], float],
    ) -> None:
        self.name = name
        self._clock = clock
        self._launch = launch
        self._opens_at = opens_at
        self._steering = Steering(base, caps, account_queues=account_queues)
        if learned is not None:
            self._steering.restore(learned, clock.now(), clock.unix_ms())
        self._overruling = overruling
        self._steering.overrule(*self._set())
        self._queue = FairQueue(weight, by_account=self._steering.binding.account_queues)
        self._line: PositionIndex | None = None
        self._gates: Gates | None = None
        self._gone: set[Ticket] | None = None
        """Of legs that wait here no longer, for as long as anything does."""
        self._limiter = Limiter(self._steering.together, not_before=not_before)
        self._out: dict[int, tuple[Ticket, list[Passage], float]] = {}
        self._place_s = 0.0
        self._wake: Timer | None = None
        self._wakes_at = inf
        self._open = True
        self._pumping = False
        self._follow()

    @property
    def pace(self) -> Pace:
        """The pace in force."""
        return self._steering.pace

    @property
    def learned(self) -> Learned:
        """What its target has taught, to be kept."""
        return self._steering.learned(self._clock.now(), self._clock.unix_ms())

    @property
    def waiting(self) -> int:
        """Jobs that wait for their first permit, or for one to repeat with."""
        return self._line.count if self._line is not None else 0

    @property
    def in_flight(self) -> int:
        """Places taken."""
        return self._limiter.in_flight

    @property
    def steered(self) -> bool:
        """Whether the pace in force is what the target asked for, and not the operator's."""
        return self._steering.steered

    @property
    def account_queues(self) -> bool:
        """Whether each account has a queue of its own."""
        return self._queue.by_account

    def at_rest(self, for_s: float) -> bool:
        """Whether it knows nothing that a new one would not: nobody waits or is under way, nothing has
        started for so long, and nothing that its target told holds.
        """
        now = self._clock.now()
        busy = self._queue or self._out or self._line is not None
        return self._open and not busy and self._limiter.at_rest(now, for_s) and self._steering.at_rest(now)

    def view(self, breaker: ActiveLimit | None = None) -> PaceView:
        """Show what holds now; ``breaker`` is what shuts the ways to the target, where that is so."""
        now = self._clock.now()
        self._let_lapse(now)
        return PaceView(
            now,
            self._steering,
            self._limiter,
            self._queue,
            self.overruling,
            place_s=self._place_s,
            opens_at=self._opens_at(self.name, now),
            breaker=breaker,
        )

    def keep_place(self, ticket: Ticket) -> None:
        """Count a leg as waiting here, be it in the queue or put aside until a region is up."""
        if self._line is None:
            self._line = PositionIndex()
        self._line.add(self._queue.turn_of(ticket), ticket)

    def withdraw(self, ticket: Ticket, *, spare: bool = False) -> None:
        """A leg that waits here does so no longer. Its ticket is dropped when it comes to the front."""
        if (self._leave_line(ticket) or spare) and self._queue:
            self._gone = self._gone or set()
            self._gone.add(ticket)
            if spare:
                self._queue.thin_out_spare(ticket, self._is_gone)
                # What was dropped may have had the turn of others behind its gate.
                self.pump()

    def place(self, customer: CustomerId, order_key: int, job_id: JobId) -> QueuePosition | None:
        """Say where a job stands, and when it starts if nothing new comes and all stays as it is: the pace,
        what the target asks, and how long it takes to answer. None where the job does not wait.
        """
        line = self._line
        stand = line.stand(customer, order_key, job_id, self._queue) if line is not None else None
        return None if stand is None else QueuePosition(stand.position, self.view().expected_s(stand))

    def waiting_of(self, customer: CustomerId) -> int:
        """Count a customer's jobs that wait here."""
        return self._line.waiting(customer) if self._line is not None else 0

    def enqueue(self, ticket: Ticket) -> None:
        """Queue a leg that others may not pass over."""
        self._queue.push(ticket)
        self.keep_place(ticket)
        self.pump()

    def enqueue_spare(self, ticket: Ticket) -> None:
        """Queue a leg that uses what nobody else wants."""
        self._queue.push_spare(ticket)
        self.pump()

    @property
    def overruling(self) -> Overruling:
        """What the operator said, as far as it holds now."""
        said = self._overruling
        return said.at(self._clock.unix_ms()) if said.pace is not None else said

    def overrule(self, overruling: Overruling) -> None:
        """Keep to what the operator says from now on."""
        self._overruling = overruling
        self._steering.overrule(*self._set())
        self._follow()
        self.pump()

    def _set(self) -> tuple[SetPace | None, float]:
        """Give the pace that the operator set, and until when (monotonic s)."""
        pace = self._overruling.pace
        if pace is None or pace.until_ms is None:
            return pace, inf
        return pace, self._clock.now() + (pace.until_ms - self._clock.unix_ms()) / 1000

    def forget_learned(self, *, but_queues: bool = False) -> None:
        """Forget what its target taught; ``but_queues``: not whether each account has a queue of its own."""
        self._steering.forget(but_queues=but_queues)
        if self._gates is not None:
            self._gates.open_all()
        self._follow()
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
        self.pause(at + self.pace.window_s)
        self._steering.binding.begin_windows(at)

    def pause(self, until: float) -> None:
        """Grant nothing before monotonic ``until``."""
        self._limiter.pause(until)

    def lacks_path(self, permit: int) -> bool:
        """Whether the ticket of a permit, found on disk, does not say what its request asks for."""
        return permit in self._out and not self._out[permit][0].path

    def classify(self, permit: int, path: PathClass) -> bool:
        """Say what a permit's request asks for; False where such requests wait for a turn of their own."""
        ticket, passages, granted_at = self._out[permit]
        ticket = dataclasses.replace(ticket, path=path)
        self._out[permit] = ticket, passages, granted_at
        return self._steering.binding.apart(ticket) is None

    def started(self, permit: int, at: float) -> None:
        """A permit's request began at monotonic ``at``."""
        self._limiter.started(permit, at)
        ticket, passages, _ = self._out.get(permit, _NOTHING_OUT)
        for passage in passages:
            passage.started(at)
        if ticket is not None and self._gates is not None:
            self._gates.look_again(ticket)
        self.pump()

    def unused(self, permit: int) -> None:
        """A permit comes back."""
        self._limiter.unused(permit)
        self._give_back(permit, used=False)
        self.pump()

    def closed(self, permit: int) -> None:
        """A place in flight comes back."""
        self._limiter.closed(permit, self._clock.now())
        self._give_back(permit, used=True)
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
        """Take what an answer said about pace; say whether anything changed that is worth keeping.

        Args:
            permit: The one that the request was sent with; None where it came back meanwhile.
            response: The answer.
            started_at: Monotonic seconds of the request's first byte.
            answered_at: Monotonic seconds of the answer's end, as its region saw it.
            probe: Whether it tried if the target is back.

        """
        ticket = self._out[permit][0] if permit in self._out else _NOBODY
        heard = Heard(
            response.status,
            response.lines_apart,
            ticket.customer,
            ticket.account,
            started_at,
            answered_at,
            probe,
            ticket.job_id,
            ticket.path,
            ticket.cost if permit in self._out else None,
        )
        now, at = self._clock.now(), utc(self._clock)
        changed = self._steering.hear(heard, self._limiter, now, at, self._count_in)
        for throttle in self._steering.binding.known(ticket.customer, ticket.account):
            self._count_in(throttle)
        self._follow()
        if changed:
            self._adopt(now)
        if self._gates is not None:
            self._gates.look_again(ticket)
        return changed

    def _count_in(self, throttle: Throttle) -> None:
        """Let a throttle that is new count what is under way: it takes places, and may be counted in no
        budget yet.
        """
        if throttle.counts_all:
            return
        throttle.counts_all = True
        for permit, (ticket, _, _) in self._out.items():
            if throttle in self._steering.binding.known(ticket.customer, ticket.account):
                self._adopt_by(throttle, permit)

    def _adopt(self, now: float) -> None:
        """Let throttles of accounts that have a pace of their own from now on count what is under way."""
        if self._steering.binding.each is None:
            return
        for permit, (ticket, _, _) in self._out.items():
            for _, throttle in self._steering.binding.throttles_of(ticket.customer, ticket.account, now):
                self._adopt_by(throttle, permit)

    def _adopt_by(self, throttle: Throttle, permit: int) -> None:
        ticket, passages, granted_at = self._out[permit]
        yet_to_start = self._limiter.has_yet_to_start(permit)
        if all(passage.throttle is not throttle for passage in passages):
            passages.append(throttle.adopt(ticket.cost, yet_to_start=yet_to_start))
        elif yet_to_start:
            passages = [p.paced() if p.throttle is throttle else p for p in passages]
            self._out[permit] = ticket, passages, granted_at

    def pump(self) -> None:
        """Let out what may go now, and set the timer for what may go later."""
        # A launch may give its permit straight back: the loop below sees that, no second one begins.
        if self._pumping:
            return
        self._pumping = True
        try:
            while self._open and not self._overruling.pause and self._queue and self._let_out_one():
                pass
        finally:
            self._pumping = False
        if not self._queue:
            self._gone = None

    def _let_out_one(self) -> bool:
        now = self._clock.now()
        self._let_lapse(now)
        if self._gates is not None:
            self._gates.open_due(now)
        opens_at = self._opens_at(self.name, now)
        if opens_at > now:
            self._wake_at(opens_at)
            return False
        ticket, due = self._next(now)
        permit = self._limiter.take(now) if ticket is not None and due == now else None
        if ticket is None or permit is None:
            self._wake_at(due)
            return False
        self._queue.take()
        self._leave_line(ticket)
        self._out[permit] = ticket, self._spend(ticket, now), now
        try:
            self._launch(self, ticket, permit)
        except BaseException:
            self.unused(permit)
            raise
        return True

    def _let_lapse(self, now: float) -> None:
        if now >= self._steering.next_change_at:
            self._steering.lapse(now)
            self._follow()

    def _next(self, now: float) -> tuple[Ticket | None, float | None]:
        """Find who is next, and when that may go; None where something has to come back first."""
        due = self._limiter.next_at(now)
        if due is None or due > now:
            return None, due
        binding = self._steering.binding
        apart = binding.apart if binding.troubles is not None else None
        ticket = self._queue.peek(lambda ticket: self._closed_gate(ticket, now), self._is_gone, apart)
        if apart is not None and self._queue.looks_on:
            return None, now
        if ticket is None and self._gates is not None and self._gates.let_out_suspects():
            ticket = self._queue.peek(
                lambda ticket: self._closed_gate(ticket, now, alone=True), self._is_gone
            )
        if ticket is None:
            return None, self._gates.opens_at if self._gates is not None else None
        throttle = self._steering.binding.throttle
        return ticket, now if throttle is None else throttle.next_at(now, ticket.cost)

    def _leave_line(self, ticket: Ticket) -> bool:
        if self._line is None:
            return False
        stood = self._line.remove(self._queue.turn_of(ticket), ticket)
        # A target without work holds no line, as it holds no queue.
        self._line = self._line if self._line.count else None
        return stood

    def _spend(self, ticket: Ticket, now: float) -> list[Passage]:
        passages = self._gates.spend(ticket, now) if self._gates is not None else []
        if self._steering.binding.throttle is not None:
            passages.append(self._steering.binding.throttle.spend(now, ticket.cost))
        return passages

    def _give_back(self, permit: int, *, used: bool) -> None:
        ticket, passages, granted_at = self._out.pop(permit, _NOTHING_OUT)
        if ticket is None:
            return
        # An emptied dict keeps its table: an idle target is to cost little.
        self._out = self._out or {}
        now = self._clock.now()
        if used:
            weight = PLACE_WEIGHT if self._place_s else 1.0
            self._place_s += weight * (now - granted_at - self._place_s)
        for passage in passages:
            give_back = passage.closed if used else passage.unused
            give_back(now)
        if self._gates is not None:
            self._gates.look_again(ticket)

    def _is_gone(self, ticket: Ticket) -> bool:
        if self._gone is None or ticket not in self._gone:
            return False
        self._gone.discard(ticket)
        self._leave_line(ticket)
        if self._gates is not None:
            # Its lane may have been let in by a gate: the next one there has its turn then.
            self._gates.look_again(ticket)
        return True

    def _closed_gate(self, ticket: Ticket, now: float, *, alone: bool = False) -> Gate | None:
        return self._gates.closed(ticket, now, alone=alone) if self._gates is not None else None

    def _follow(self) -> None:
        """Bring limiter, gates and queue in line with what the target said."""
        binding, now = self._steering.binding, self._clock.now()
        before = binding.each
        self._steering.share(now)
        if before is None and binding.each is not None:
            self._part(binding.untold(now), now)
        self._limiter.pace = self._steering.together
        if self._gates is None and (
            binding.throttles or binding.each is not None or binding.troubles is not None
        ):
            self._gates = Gates(binding)
        if self._queue.by_account != binding.account_queues:
            self._queue.regroup(by_account=binding.account_queues)
            self._line = None if self._line is None else self._line.regrouped(self._queue)
            if self._gates is not None:
                self._gates.forget()

    def _part(self, untold: Throttle, now: float) -> None:
        """From now on some account keeps to a pace of its own, and the others to the domain's without it."""
        # Until now all was let out by the domain's pace, so it counts there, whosever it is.
        self._limiter.pause(now + self.pace.window_s)
        untold.told.remember(self._limiter)
        for permit in self._out:
            self._adopt_by(untold, permit)

    def _wake_at(self, when: float | None) -> None:
        change_at = self._steering.next_change_at
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


_NOBODY = Ticket(0, JobId(""))
_NOTHING_OUT: tuple[Ticket | None, list[Passage], float] = (None, [], 0.0)
