"""Attempts of hedges: when one is late, and whether a further leg may go then."""

from collections.abc import Callable, Sequence

from orchestrator.core.targets.step_at_target import StepAtTarget, Watch
from orchestrator.core.targets.target_health import TargetHealth
from orchestrator.domain.execution.settling import Ended
from orchestrator.domain.health.breaker import Sign, sign_of
from orchestrator.domain.health.hedging import HedgeBudget, note_answer, spend
from orchestrator.domain.ids import AttemptId, CustomerId, RegionName, TargetDomain
from orchestrator.domain.recent import Recent
from orchestrator.ports.clock import Clock
from orchestrator.ports.targets import Late

BUDGETS_MOST = 20_000
"""Of more the one that changed longest ago is forgotten: those hedges begin with a new one."""

_NEW = HedgeBudget()


class Hedges:
    """Watches the attempts of a shard's hedges. A budget is one customer's at one target.

    Args:
        clock: Time.
        target_health: What is known of the ways to the targets; learns how long answers take.
        healthy: Names the regions that nothing speaks against for a target.
    """

    def __init__(
        self,
        clock: Clock,
        target_health: TargetHealth,
        healthy: Callable[[TargetDomain], Sequence[RegionName]],
    ) -> None:
        self._clock = clock
        self._target_health = target_health
        self._healthy = healthy
        self._budgets: Recent[tuple[TargetDomain, CustomerId], HedgeBudget] = Recent(BUDGETS_MOST)

    def watch(self, step: StepAtTarget, attempt: AttemptId, late: Callable[[Late], None]) -> None:
        """Call ``late`` once a hedge's attempt is late, where a region that its step has not tried is well
        then, and the budget has a further leg left.
        """
        order, opened = step.order, step.open.get(attempt)
        if order is None or opened is None or not order.plan.mode.conduct.when_late:
            return
        ticket, plan = order.turn.ticket, order.plan
        first, now = not plan.is_further(opened.leg), self._clock.now()
        watch = Watch(order.turn.domain, opened.region, ticket.customer, plan.hedge, first, now)
        step.watch(attempt, watch)
        free = {region for region in plan.free if region != opened.region}
        if free and watch.policy.budget:
            self._await(watch, free, lambda: late(Late(ticket.job_id, ticket.step, attempt)))

    def ended(self, watch: Watch, ended: Ended) -> None:
        """An attempt is over: an answer tells how long answers take, and earns a share of a further leg."""
        status = ended.response.status if ended.response is not None else None
        if sign_of(status, ended.fault) is Sign.WELL:
            self._learn(watch, answered=True)
            if watch.first:
                key = (watch.domain, watch.customer)
                self._keep(key, note_answer(self._budgets.get(key) or _NEW, watch.policy.budget))
        self.forget(watch)

    def given_up(self, watch: Watch) -> None:
        """Nobody waits for its answer any more. One that was late counts with the time so far: if only quick
        answers counted, ever more would seem late.
        """
        if watch.late:
            self._learn(watch, answered=False)
        self.forget(watch)

    def forget(self, watch: Watch) -> None:
        """Wait no more for an attempt to be late."""
        if watch.timer is not None:
            watch.timer.cancel()
            watch.timer = None

    def _await(self, watch: Watch, free: set[RegionName], late: Callable[[], None]) -> None:
        def due() -> None:
            watch.timer, watch.late = None, True
            if not free.isdisjoint(self._healthy(watch.domain)) and self._spend(watch):
                late()

        quantile = watch.policy.quantile
        late_s = self._target_health.late_after_s(watch.domain, watch.region, quantile, free)
        watch.timer = self._clock.call_at(watch.since + late_s, due)

    def _learn(self, watch: Watch, *, answered: bool) -> None:
        took_s = self._clock.now() - watch.since
        self._target_health.note_hedged(watch.domain, watch.region, took_s, answered=answered)

    def _spend(self, watch: Watch) -> bool:
        key = (watch.domain, watch.customer)
        left = spend(self._budgets.get(key) or _NEW)
        if left is None:
            return False
        self._keep(key, left)
        return True

    def _keep(self, key: tuple[TargetDomain, CustomerId], budget: HedgeBudget) -> None:
        if budget == _NEW:
            self._budgets.drop(key)
        else:
            self._budgets.put(key, budget)
