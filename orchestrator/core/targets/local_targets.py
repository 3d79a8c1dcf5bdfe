"""The targets that live in the supervisors' own process."""

from collections.abc import Sequence

from orchestrator.core.targets.domain_limiter import DomainLimiter
from orchestrator.core.targets.placement import choose
from orchestrator.core.targets.step_at_target import (
    OpenLeg,
    StepAtTarget,
    begun_order,
    claim_in,
    sibling_claims,
)
from orchestrator.core.targets.step_attempts import StepAttempts
from orchestrator.domain.execution.course import PRIMARY
from orchestrator.domain.health.breaker import Cause
from orchestrator.domain.ids import JobId, RegionName
from orchestrator.domain.queueing.ticket import Ticket
from orchestrator.ports.targets import Claim, Placed, RegionsGone, RunStep, Shut, Turn, Withdraw


class LocalTargets(StepAttempts):
    """``Targets`` whose messages are method calls: which leg goes, where, and when."""

    def line_up(self, claim: Claim, *, spends: bool = False) -> None:
        """Let a leg wait for its permit; one that ``spends`` waits for the target's retry budget first."""
        ticket = claim.ticket
        self._at_work(ticket.job_id, ticket.step).claims[ticket.leg] = claim
        self._routes.line_up(claim, spends=spends)

    def take_turn(self, limiter: DomainLimiter, ticket: Ticket, permit: int) -> None:
        """A ticket has its permit: an attempt of the leg that is ready goes; otherwise its job is asked."""
        self._routes.detours.gone(limiter.name, ticket)
        step = self._steps.get((ticket.job_id, ticket.step))
        if step is not None:
            step.claims.pop(ticket.leg, None)
            for attempt, opened in step.open.items():
                if opened.leg == ticket.leg and self._dispatcher.is_parked(attempt):
                    self._dispatcher.go(attempt, permit)
                    self._hedges.watch(step, attempt, self._jobs.late)
                    return
        elif ticket.step != PRIMARY:
            # What is withdrawn with its step has let it come before; of a first step nobody knows that.
            limiter.unused(permit)
            return
        self._jobs.turn(Turn(limiter.name, ticket, permit))

    def pass_up(self, turn: Turn) -> None:
        """Nobody wants this turn any more."""
        self._limiter(turn.domain).unused(turn.permit)

    def run(self, order: RunStep) -> None:
        """Use a turn for the leg whose it is, or for a sibling that may use it."""
        turn = order.turn
        limiter = self._limiter(turn.domain)
        if not limiter.classify(turn.permit, order.path):
            limiter.unused(turn.permit)
            self._wait(claim_in(order, turn.ticket.leg), self._routes.line_up)
            return
        placed = choose(order, self._peers, self._routes.target_health)
        if placed is None:
            self._wait_elsewhere(order)
            limiter.unused(turn.permit)
        else:
            self._place(order, *placed)

    def withdraw(self, orders: Sequence[Withdraw]) -> None:
        """Steps are over: none of them starts anything from here on."""
        # What is let go of below may let out others: nothing of these steps may be found then.
        steps = [self._steps.pop((order.job, order.step), None) for order in orders]
        for order, step in zip(orders, steps, strict=True):
            if step is None or step.claims:
                self._let_go_of_claims(order, step)
        for order, step in zip(orders, steps, strict=True):
            if step is not None and step.open:
                self._let_go_of_attempts(order, step)

    def leave(self, ticket: Ticket, cause: Cause) -> None:
        """Every way that a step which waits may take is shut."""
        self._jobs.shut(Shut(ticket.job_id, ticket.step, cause))

    def _place(self, order: RunStep, leg: int, region: RegionName) -> None:
        turn, plan = order.turn, order.plan
        job, number = turn.ticket.job_id, turn.ticket.step
        if leg not in plan.sent:
            self._routes.retry_budgets.sent_first(turn.domain)
        attempt = self._next_attempt()
        step = self._at_work(job, number)
        begun = step.order = begun_order(order, leg)
        named = region in plan.listed
        step.open[attempt] = OpenLeg(leg, region, turn.permit, named)
        site = self._peers.site(region, named=named)
        self._jobs.placed(Placed(job, number, leg, attempt, region, site))
        self._hedges.watch(step, attempt, self._jobs.late)
        for claim in sibling_claims(order, begun, leg):
            self._wait(claim, self._routes.line_up)

    def _wait_elsewhere(self, order: RunStep) -> None:
        """Nothing takes the leg now: it waits for a region or behind a breaker, or is told of as gone."""
        plan, ticket, domain = order.plan, order.turn.ticket, order.turn.domain
        region = plan.legs[ticket.leg].region
        own = [region, *plan.untried]
        if plan.strict and self._routes.gone_for_good(own):
            down_s = self._routes.strict_down_s
            self._jobs.gone(RegionsGone(ticket.job_id, ticket.step, ticket.leg, tuple(own), down_s))
            return
        ways = plan.strict_ways(ticket.leg) if plan.strict else []
        cause = self._routes.shut_from(domain, ways if plan.strict else None, plan.listed)
        if cause is not None and self._jobs.shut(Shut(ticket.job_id, ticket.step, cause)):
            return
        claim = claim_in(order, ticket.leg)
        if plan.strict:
            self._wait(claim, lambda claim: self._routes.wait_strictly(claim, ways))
        else:
            self._wait(claim, lambda claim: self._routes.wait_anywhere(claim, region, plan.listed))

    def _let_go_of_claims(self, order: Withdraw, step: StepAtTarget | None) -> None:
        unasked = [order.claim] if order.claim is not None else []
        for claim in unasked if step is None else step.claims.values():
            self._routes.withdraw(claim, order.regions)

    def _at_work(self, job: JobId, number: int) -> StepAtTarget:
        step = self._steps.get((job, number))
        if step is None:
            step = self._steps[job, number] = StepAtTarget()
        return step
