"""The routes from the regions to the targets: which are passable, and who waits for one that is not."""

from collections.abc import Callable, Iterable, Sequence

from orchestrator.core.regions.peer import Region
from orchestrator.core.regions.peers import PeerBook
from orchestrator.core.targets.domain_limiter import DomainLimiter
from orchestrator.core.targets.parking import ANY, Detours, Parking
from orchestrator.core.targets.queues import Queues
from orchestrator.core.targets.retry_budgets import RetryBudgets
from orchestrator.core.targets.target_health import TargetHealth
from orchestrator.domain.health.breaker import Cause
from orchestrator.domain.health.routing import STRICT_DOWN_S, RegionHealth
from orchestrator.domain.ids import RegionName, TargetDomain
from orchestrator.domain.pace.active_limits import ActiveLimit
from orchestrator.domain.queueing.ticket import Ticket
from orchestrator.ports.clock import Clock
from orchestrator.ports.targets import Claim

LOOK_MARGIN_S = 0.05
"""For the timer's resolution."""


class Routes:
    """Joins what is known of regions with what is known of targets.

    Args:
        clock: Time.
        peers: Which regions are up.
        domain: Finds a domain's limiter.
        leave: Takes the ticket of a step that may go on to its fallback, and what shut the way to its target.
        strict_down_s: How long a region is down before a leg that may run nowhere else is given up.
    """

    def __init__(
        self,
        clock: Clock,
        peers: PeerBook,
        domain: Callable[[TargetDomain], DomainLimiter],
        leave: Callable[[Ticket, Cause], None],
        *,
        strict_down_s: float = STRICT_DOWN_S,
    ) -> None:
        self._clock = clock
        self._peers = peers
        self._domain = domain
        self.strict_down_s = strict_down_s
        self.target_health = TargetHealth(clock, self._changed)
        self._queues = Queues(domain)
        self.parking = Parking(clock, self.target_health, self._queues, self._released)
        self.detours = Detours(self._shut_by, leave)
        self.retry_budgets = RetryBudgets(clock, self._queues)

    def line_up(self, claim: Claim, *, spends: bool = False) -> None:
        """Let a leg wait for its permit; one that ``spends`` waits for the target's retry budget first."""
        if claim.may_leave:
            self.detours.queued(claim.domain, claim.ticket)
        if spends:
            self.retry_budgets.enqueue(claim)
        else:
            self._queues.enqueue(claim)

    def wait_anywhere(self, claim: Claim, region: RegionName, listed: Sequence[RegionName]) -> None:
        """Keep a leg that may run in any region until one takes work and its way to the target is open.
        ``region`` is where it would be best, ``listed`` are those that its job names.
        """
        with_credit = self._peers.regions_with_credit(listed)
        if not with_credit:
            self.parking.keep(claim, down=[ANY, *listed])
            return
        self.parking.keep(claim, shut=[region] if region in with_credit else with_credit)
        if claim.may_leave:
            self.detours.queued(claim.domain, claim.ticket, ANY)

    def wait_strictly(self, claim: Claim, regions: Sequence[RegionName]) -> None:
        """Keep a leg that may run in ``regions`` only until one takes work and its way is open."""
        with_credit = self._peers.regions_with_credit()
        down = [region for region in regions if region not in with_credit]
        self.parking.keep(claim, down=down, shut=[region for region in regions if region in with_credit])
        if claim.may_leave and len(regions) == 1 and not down:
            self.detours.queued(claim.domain, claim.ticket, regions[0])

    def withdraw(self, claim: Claim, regions: Sequence[RegionName]) -> None:
        """A leg that waits, for one of ``regions`` perhaps, does so no longer."""
        kept_away = self.parking.withdraw(claim) or self.retry_budgets.withdraw(claim)
        self._queues.withdraw(claim, queued=not kept_away)
        for place in (ANY, *regions):
            self.detours.gone(claim.domain, claim.ticket, place)

    def _released(self, claim: Claim, region: RegionName) -> None:
        self.detours.gone(claim.domain, claim.ticket, region)
        self.line_up(claim)

    def forget(self, domain: TargetDomain) -> None:
        """Forget what was learned of the ways to a target, and how often it may be asked again."""
        self.target_health.forget(domain)
        self.retry_budgets.forget(domain)

    def opens_at(self, domain: TargetDomain, now: float) -> float:
        """Say when a request to a target may next go from anywhere: ``now`` or later, monotonic s."""
        return self.target_health.opens_at(domain, self._peers.regions_with_credit, now)

    def breaker_limit(self, domain: TargetDomain) -> ActiveLimit | None:
        """Show the breakers that shut every way to a target; None where one is passable."""
        return self.target_health.breaker_limit(domain, self._peers.regions_up())

    def credit_back(self) -> None:
        """An executor may have room again."""
        if self.parking:
            with_credit = self._peers.regions_with_credit()
            # A region that takes only jobs which name it is none for those that go anywhere.
            anywhere = [ANY] if self._peers.regions_with_credit(()) else []
            self.parking.release([*anywhere, *with_credit])

    def region_up(self) -> None:
        """A region takes work (again)."""
        self.credit_back()
        for domain in self.target_health.troubled:
            self._domain(domain).pump()

    def begin(self) -> None:
        """No region is heard yet, and some that jobs name may not be there any more: see ``region_lost``."""
        self._when_gone(self.parking.release_all)

    def region_lost(self, region: Region) -> None:
        """A region lost a node: where that was the last, what may run nowhere else is judged again when its
        time is over.
        """
        if region.health is RegionHealth.DOWN:
            self._when_gone(lambda: self.parking.release([region.name]))

    def _when_gone(self, judge: Callable[[], None]) -> None:
        self._clock.call_at(self._clock.now() + self.strict_down_s + LOOK_MARGIN_S, judge)

    def gone_for_good(self, regions: Iterable[RegionName]) -> bool:
        """Whether a leg that may run in these regions only is to be given up."""
        return all(self._peers.down_s(region) >= self.strict_down_s for region in regions)

    def health(self, region: Region) -> RegionHealth:
        """Judge a region by its heartbeats, and by what it reaches."""
        doubted = region.health is RegionHealth.UP and self.target_health.doubts(region.name)
        return RegionHealth.SUSPECT if doubted else region.health

    def open_breakers(self) -> dict[RegionName, int]:
        """Count the breakers that are not closed, by region: labels of a metric stay bounded."""
        return {peer.name: self.target_health.troubled_from(peer.name) for peer in self._peers.regions()}

    def shut_from(
        self, domain: TargetDomain, regions: Sequence[RegionName] | None, listed: Sequence[RegionName]
    ) -> Cause | None:
        """Say what opened the breakers, where all of those of ``regions`` that take work are open. None
        stands for all that a job which lists ``listed`` may use.
        """
        with_credit = self._peers.regions_with_credit(listed)
        ways = [region for region in with_credit if regions is None or region in regions]
        return self.target_health.shut_by(domain, ways)

    def _shut_by(self, domain: TargetDomain, region: RegionName) -> Cause | None:
        return self.target_health.shut_by(domain, self._peers.regions_up() if region == ANY else [region])

    def _changed(self, domain: TargetDomain, region: RegionName) -> None:
        self.detours.look(domain)
        self.detours.look(domain, region)
        self.parking.stir(domain, region)
        self._domain(domain).pump()
