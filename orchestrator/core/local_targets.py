"""The targets that live in the supervisors' own process."""

from collections.abc import Callable, Sequence

from orchestrator.core.dispatcher import Dispatcher, OpenAttempt
from orchestrator.core.domain_limiter import DomainLimiter
from orchestrator.core.hedges import Hedges
from orchestrator.core.marker import Marker
from orchestrator.core.peers import Listed, PeerBook
from orchestrator.core.placement import choose
from orchestrator.core.routes import Routes
from orchestrator.core.step_at_target import (
    OpenLeg,
    StepAtTarget,
    begun_order,
    claim_in,
    sibling_claims,
)
from orchestrator.domain.breaker import Cause
from orchestrator.domain.course import PRIMARY
from orchestrator.domain.exchange import Fault
from orchestrator.domain.fairness import Ticket
from orchestrator.domain.ids import AttemptId, JobId, RegionName, TargetDomain
from orchestrator.domain.settling import Ended
from orchestrator.ports.clock import Clock
from orchestrator.ports.targets import (
    AttemptEnded,
    Claim,
    Jobs,
    Placed,
    RegionsGone,
    RunStep,
    SendAttempt,
    Shut,
    Started,
    Turn,
    Withdraw,
)


class LocalTargets:
    """``Targets`` whose messages are method calls.

    Args:
        clock: Time.
        peers: Which regions are up.
        routes: Which ways to the targets are passable.
        limiter: Finds a domain's limiter, or makes it.
        dispatcher: Sends attempts; tells this of them.
        marker: Marks what may be sent once.
        next_attempt: Makes the id of an attempt.
    """

    _jobs: Jobs

    def __init__(
        self,
        clock: Clock,
        peers: PeerBook,
        routes: Routes,
        limiter: Callable[[TargetDomain], DomainLimiter],
        dispatcher: Dispatcher,
        marker: Marker,
        next_attempt: Callable[[], AttemptId],
    ) -> None:
        self._clock = clock
        self._peers = peers
        self._routes = routes
        self._limiter = limiter
        self._dispatcher = dispatcher
        self._marker = marker
        self._next_attempt = next_attempt
        self._hedges = Hedges(clock, routes.target_health, self._healthy)
        self._steps: dict[tuple[JobId, int], StepAtTarget] = {}

    def begin(self, jobs: Jobs) -> None:
        """Tell ``jobs`` of their attempts and turns from now on."""
        self._jobs = jobs
        self._dispatcher.begin(self)

    def __len__(self) -> int:
        """Count the steps that are at work."""
        return len(self._steps)

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
            # It was kept away from its queue when its step was withdrawn; of a first step nobody knows that.
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

    def send(self, order: SendAttempt) -> None:
        """Send a placed attempt; what may be sent once goes when its mark is on disk. One that was withdrawn
        meanwhile is not sent.
        """
        placed = self._still_placed(order)
        if placed is None:
            return
        if order.once:
            turn, opened, _ = placed
            self._marker.before(order, turn.domain, opened.region, self._send_marked)
        else:
            self._go(order, *placed)

    def _send_marked(self, order: SendAttempt) -> None:
        placed = self._still_placed(order)
        if placed is not None:
            self._go(order, *placed)

    def _still_placed(self, order: SendAttempt) -> tuple[Turn, OpenLeg, int] | None:
        """Find an attempt that was neither withdrawn nor sent; its permit is the last."""
        step = self._steps.get((order.job, order.step))
        opened = step.open.get(order.attempt) if step is not None else None
        if step is None or step.order is None or opened is None or opened.permit is None:
            return None
        return step.order.turn, opened, opened.permit

    def _go(self, order: SendAttempt, turn: Turn, opened: OpenLeg, permit: int) -> None:
        if self._peers.is_up(opened.region, named=opened.named):
            opened.permit = None
            self._dispatcher.send(
                order.attempt,
                job=order.job,
                step=order.step,
                customer=turn.ticket.customer,
                domain=turn.domain,
                permit=permit,
                region=opened.region,
                named=opened.named,
                request=order.request,
            )
        else:
            # It went down meanwhile. Sent all the same, nobody could know what became of the request.
            self._tell_end(turn.domain, order.job, order.step, order.attempt, _UNSENT)
            self._limiter(turn.domain).unused(permit)

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

    def attempt_started(self, attempt: AttemptId, opened: OpenAttempt, started_ms: int) -> None:
        """An attempt's first byte was written."""
        self._jobs.started(Started(opened.job, opened.step, attempt, started_ms))

    def attempt_ready(self, attempt: AttemptId, opened: OpenAttempt) -> None:
        """An attempt waits on a ready connection: its leg queues for a permit again."""
        step = self._steps.get((opened.job, opened.step))
        if step is not None and step.order is not None and attempt in step.open:
            # What it waits for its permit says nothing about its target.
            if (watch := step.unwatch(attempt)) is not None:
                self._hedges.forget(watch)
            self._wait(claim_in(step.order, step.open[attempt].leg), self._routes.line_up)

    def attempt_ended(self, attempt: AttemptId, opened: OpenAttempt, ended: Ended) -> None:
        """An attempt is over."""
        self._tell_end(opened.domain, opened.job, opened.step, attempt, ended)

    def _tell_end(
        self, domain: TargetDomain, job: JobId, number: int, attempt: AttemptId, ended: Ended
    ) -> None:
        step = self._steps.get((job, number))
        healthy: Sequence[RegionName] = ()
        if step is not None:
            watch = step.close(attempt)
            if watch is not None:
                self._hedges.ended(watch, ended)
            if step.order is not None and (ended.response is None or not ended.response.beyond_doubt):
                healthy = self._healthy(domain, step.order.plan.listed)
        self._jobs.ended(AttemptEnded(job, number, attempt, ended, tuple(healthy)))

    def _healthy(self, domain: TargetDomain, listed: Listed = None) -> Sequence[RegionName]:
        return self._routes.target_health.healthy(domain, self._peers.regions_up(listed))

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

    def _wait(self, claim: Claim, how: Callable[[Claim], None]) -> None:
        step = self._steps.get((claim.ticket.job_id, claim.ticket.step))
        if step is not None:
            step.claims[claim.ticket.leg] = claim
        how(claim)

    def _let_go_of_claims(self, order: Withdraw, step: StepAtTarget | None) -> None:
        unasked = [order.claim] if order.claim is not None else []
        for claim in unasked if step is None else step.claims.values():
            self._routes.withdraw(claim, order.regions)

    def _let_go_of_attempts(self, order: Withdraw, step: StepAtTarget) -> None:
        for watch in (step.hedges or {}).values():
            self._hedges.given_up(watch)
        for attempt, opened in step.open.items():
            if opened.permit is None:
                self._dispatcher.cancel(attempt)
            else:
                self._tell_end(order.domain, order.job, order.step, attempt, _WITHDRAWN)
                self._limiter(order.domain).unused(opened.permit)

    def _at_work(self, job: JobId, number: int) -> StepAtTarget:
        step = self._steps.get((job, number))
        if step is None:
            step = self._steps[job, number] = StepAtTarget()
        return step


_WITHDRAWN = Ended(None, Fault.CANCELLED, "withdrawn before the request was sent", written=False)
_UNSENT = Ended(None, Fault.LOST, "the region went down before the request was sent", written=False)
