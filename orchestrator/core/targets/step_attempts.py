"""The attempts of the steps that are at work at their targets: sent, told of, and given up."""

from collections.abc import Callable, Sequence

from orchestrator.core.regions.peers import Listed, PeerBook
from orchestrator.core.targets.dispatcher import Dispatcher, OpenAttempt
from orchestrator.core.targets.domain_limiter import DomainLimiter
from orchestrator.core.targets.hedges import Hedges
from orchestrator.core.targets.marker import Marker
from orchestrator.core.targets.routes import Routes
from orchestrator.core.targets.step_at_target import OpenLeg, StepAtTarget, claim_in
from orchestrator.domain.exchange import Fault
from orchestrator.domain.execution.settling import Ended
from orchestrator.domain.ids import AttemptId, JobId, RegionName, TargetDomain
from orchestrator.ports.clock import Clock
from orchestrator.ports.targets import AttemptEnded, Claim, Jobs, SendAttempt, Started, Turn, Withdraw


class StepAttempts:
    """Sends what was placed, and tells jobs how it goes.

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

    def send(self, order: SendAttempt) -> None:
        """Send a placed attempt; what may be sent once goes when its mark is on disk. One that was withdrawn
        meanwhile is not sent.
        """
        placed = self._still_placed(order)
        if placed is None:
            return
        if order.once:
            turn, opened, _ = placed
            self._mark(order, turn.domain, opened)
        else:
            self._go(order, *placed)

    def _mark(self, order: SendAttempt, domain: TargetDomain, opened: OpenLeg) -> None:
        def over(*, marked: bool) -> None:
            placed = self._still_placed(order) if marked else None
            if placed is not None:
                self._go(order, *placed)
            self._routes.credit_back()

        peer = self._peers.peer(opened.region, named=opened.named)
        self._marker.before(order, domain, peer, over)

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
                order.request,
                turn=turn,
                permit=permit,
                region=opened.region,
                named=opened.named,
            )
        else:
            # It went down meanwhile. Sent all the same, nobody could know what became of the request.
            self._tell_end(turn.domain, order.job, order.step, order.attempt, _UNSENT)
            self._limiter(turn.domain).unused(permit)

    def attempt_started(self, attempt: AttemptId, opened: OpenAttempt, started_ms: int) -> None:
        """An attempt's first byte was written."""
        ticket = opened.turn.ticket
        self._jobs.started(Started(ticket.job_id, ticket.step, attempt, started_ms))

    def attempt_ready(self, attempt: AttemptId, opened: OpenAttempt) -> None:
        """An attempt waits on a ready connection: its leg queues for a permit again."""
        ticket = opened.turn.ticket
        step = self._steps.get((ticket.job_id, ticket.step))
        if step is not None and step.order is not None and attempt in step.open:
            # What it waits for its permit says nothing about its target.
            if (watch := step.unwatch(attempt)) is not None:
                self._hedges.forget(watch)
            self._wait(claim_in(step.order, step.open[attempt].leg), self._routes.line_up)

    def attempt_ended(self, attempt: AttemptId, opened: OpenAttempt, ended: Ended) -> None:
        """An attempt is over."""
        ticket = opened.turn.ticket
        self._tell_end(opened.turn.domain, ticket.job_id, ticket.step, attempt, ended)

    def _tell_end(
        self, domain: TargetDomain, job: JobId, number: int, attempt: AttemptId, ended: Ended
    ) -> None:
        step = self._steps.get((job, number))
        healthy: Sequence[RegionName] = ()
        if step is not None:
            claim, watch = step.take_claim(attempt), step.close(attempt)
            if watch is not None:
                self._hedges.ended(watch, ended)
            if claim is not None:
                # Its next permit would only come back, and a repeat of its leg would wait beside it.
                self._routes.withdraw(claim, ())
            if step.order is not None and (ended.response is None or not ended.response.beyond_doubt):
                healthy = self._healthy(domain, step.order.plan.listed)
        self._jobs.ended(AttemptEnded(job, number, attempt, ended, tuple(healthy)))

    def _healthy(self, domain: TargetDomain, listed: Listed = None) -> Sequence[RegionName]:
        return self._routes.target_health.healthy(domain, self._peers.regions_up(listed))

    def _wait(self, claim: Claim, how: Callable[[Claim], None]) -> None:
        step = self._steps.get((claim.ticket.job_id, claim.ticket.step))
        if step is not None:
            step.claims[claim.ticket.leg] = claim
        how(claim)

    def _let_go_of_attempts(self, order: Withdraw, step: StepAtTarget) -> None:
        for watch in (step.hedges or {}).values():
            self._hedges.given_up(watch)
        for attempt, opened in step.open.items():
            if opened.permit is None:
                self._dispatcher.cancel(attempt)
            else:
                self._tell_end(order.domain, order.job, order.step, attempt, _WITHDRAWN)
                self._limiter(order.domain).unused(opened.permit)


_WITHDRAWN = Ended(None, Fault.CANCELLED, "withdrawn before the request was sent", written=False)
_UNSENT = Ended(None, Fault.LOST, "the region went down before the request was sent", written=False)
