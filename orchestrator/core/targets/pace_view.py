"""What holds at one target now, for those who look: signals, the pace that they leave, the next starts."""

import math
from collections.abc import Iterator
from itertools import islice

from msgspec import Struct

from orchestrator.core.targets.target_queue import TargetQueue
from orchestrator.domain.ids import CustomerId, JobId
from orchestrator.domain.pace.active_limits import OPERATOR, ActiveLimit, ActiveLimitKind
from orchestrator.domain.pace.effective_pace import EffectivePace, of_pace
from orchestrator.domain.pace.overruling import Overruling
from orchestrator.domain.pace.pacing import Limiter, Outlook, Pace
from orchestrator.domain.queueing.fairness import LOOKED_AT_MOST
from orchestrator.domain.queueing.queue_position import Standing
from orchestrator.domain.queueing.ticket import Ticket
from orchestrator.domain.steering.steering import Steering

ACCOUNT_SIGNALS_MOST = 100
"""A customer may have any number of accounts: no more of their signals are shown."""
HEADS_READ_MOST = 10_000
_NO_JOB = JobId("")
_PAUSED = ActiveLimit(kind=ActiveLimitKind.PAUSE, source=OPERATOR, rps=0.0)


class PaceView(Struct, frozen=True):
    """A look at one target at monotonic ``now``; ``opens_at`` is when a way to it opens, ``breaker`` what
    shuts them all, ``starts`` how many requests began so far. A ``customer`` of None looks for everybody.
    """

    now: float
    steering: Steering
    limiter: Limiter
    queue: TargetQueue
    overruling: Overruling
    place_s: float
    starts: int
    opens_at: float
    breaker: ActiveLimit | None

    def signals(self, customer: CustomerId | None) -> list[ActiveLimit]:
        """List the signals that hold a customer's requests back; of accounts, only its own."""
        own = islice(self.steering.active_limits_for(customer, self.now), ACCOUNT_SIGNALS_MOST)
        troubles = self.steering.binding.judge.troubles
        return [*self._of_all(), *own, *(troubles.active_limits() if troubles is not None else ())]

    def effective(self, customer: CustomerId | None) -> EffectivePace:
        """Say which pace the signals leave to a customer; where its requests wait behind limits of their own,
        to those that wait.
        """
        of_all = of_pace(self.steering.together).under(self._that_bind_all())
        heads, count = self._heads(customer)
        apart = [self.steering.binding.limit_apart(head, self.now) for head in heads]
        if apart and all(apart):
            return of_all.under(limit for limit in apart if limit is not None)
        heads = [head for head, limit in zip(heads, apart, strict=True) if limit is None]
        count -= len(apart) - len(heads)
        told, untold = self._by_whose_pace(heads)
        lanes = [of_pace(pace).under(self._of_lane(head)) for head, pace in told]
        if self.steering.binding.accounts.each is None:
            return of_all.shared_by([*lanes, *(self._in_turn(head) for head in untold)], of=count)
        if untold or not lanes:
            shared = of_pace(self.steering.pace).under(self.steering.active_limits(self.now))
            together = shared.shared_by([self._in_turn(head) for head in untold], of=len(untold))
            lanes.append(together)
            count += 1 - len(untold)
        return of_all.shared_by(lanes, of=max(count, len(lanes)))

    def next_start_s(self, customer: CustomerId | None) -> float:
        """Estimate the seconds until a customer's next request may start; infinite while nobody knows."""
        if self.overruling.pause is not None:
            return math.inf
        heads, _ = self._heads(customer)
        lanes = [self._lane_begins_at(head) for head in heads]
        return max(self._begins_at(), min(lanes, default=self.now)) - self.now

    def expected_s(self, stand: Standing) -> float:
        """Estimate the seconds until a job starts that waits; infinite while nobody knows."""
        if self.overruling.pause is not None:
            return math.inf
        ticket, binding = stand.ticket, self.steering.binding
        bound = [(throttle, stand.in_turn) for _, throttle in binding.on_the_way_of(ticket, self.now)]
        own = binding.throttles.own
        bound += [(own, stand.position)] if own is not None else []
        starts = [self._outlook().start(stand.position)]
        for throttle, number in bound:
            starts.append(throttle.outlook(self.now, self.place_s).start(number))
            starts.append(throttle.paid_at(self.now, ticket.cost, number))
        return max(starts) - self.now

    def _of_all(self) -> Iterator[ActiveLimit]:
        if self.overruling.pause is not None:
            yield _PAUSED
        if self.breaker is not None:
            yield self.breaker
        yield from self.steering.active_limits(self.now)

    def _that_bind_all(self) -> Iterator[ActiveLimit]:
        """Leave out a pace that was told, where it is each account's and not that of all together."""
        shared = self.steering.binding.accounts.each is None
        for limit in self._of_all():
            if shared or limit.kind is not ActiveLimitKind.PACE or limit.source == OPERATOR:
                yield limit

    def _by_whose_pace(self, heads: list[Ticket]) -> tuple[list[tuple[Ticket, Pace]], list[Ticket]]:
        """Part those whose accounts were told a pace of their own from those who share the domain's."""
        accounts = self.steering.binding.accounts
        if accounts.each is None:
            return [], heads
        paced = [(head, accounts.pace_of(head.account, self.now)) for head in heads]
        told = [(head, pace) for head, pace in paced if pace is not None]
        return told, [head for head, pace in paced if pace is None]

    def _in_turn(self, head: Ticket) -> EffectivePace:
        return of_pace(self.steering.pace).under(self._of_lane(head))

    def _of_lane(self, head: Ticket) -> Iterator[ActiveLimit]:
        return self.steering.binding.limits_for(head.customer, head.account, self.now)

    def _heads(self, customer: CustomerId | None) -> tuple[list[Ticket], int]:
        """Give some of those whose requests wait, and how many they are."""
        if not self.steering.binding.any:
            return [], 0
        heads = islice(self.queue.heads(), HEADS_READ_MOST)
        waiting = [head for head in heads if customer in (None, head.customer)]
        if customer is not None and not waiting:
            return [Ticket(0, _NO_JOB, customer=customer)], 1
        return waiting[:LOOKED_AT_MOST], len(waiting)

    def _outlook(self) -> Outlook:
        outlook = self.limiter.outlook(self.now, self.place_s)
        if math.isfinite(self.opens_at):
            outlook = outlook.joined(Outlook(self.opens_at))
        throttle = self.steering.binding.throttles.own
        return outlook if throttle is None else outlook.joined(throttle.outlook(self.now, self.place_s))

    def _begins_at(self) -> float:
        throttle, begins_at = self.steering.binding.throttles.own, self._outlook().begins_at
        return begins_at if throttle is None else max(begins_at, throttle.paid_at(self.now, 1.0, 1))

    def _lane_begins_at(self, head: Ticket) -> float:
        starts = [self.now]
        for _, throttle in self.steering.binding.on_the_way_of(head, self.now):
            starts.append(throttle.outlook(self.now, self.place_s).begins_at)
            starts.append(throttle.paid_at(self.now, head.cost, 1))
        return max(starts)
