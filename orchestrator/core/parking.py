"""Tickets whose turn came while nothing could take them: each waits for its region, or behind a breaker."""

from collections import deque
from collections.abc import Callable, Collection

from orchestrator.core.circuits import Circuits
from orchestrator.core.claim import Claim
from orchestrator.core.domain_limiter import DomainLimiter
from orchestrator.domain.breaker import Cause
from orchestrator.domain.fairness import Ticket
from orchestrator.domain.ids import JobId, RegionName, TargetDomain
from orchestrator.ports.clock import Clock

ANY = RegionName("")
"""Where a leg goes that may run in any region; no region can bear that name."""


class Parking:
    """Keeps tickets away from their queue, where each would take a permit only to give it back."""

    def __init__(self, clock: Clock, circuits: Circuits) -> None:
        self._clock = clock
        self._circuits = circuits
        self._without_region: dict[RegionName, list[Claim]] = {}
        self._behind: dict[tuple[TargetDomain, RegionName], deque[Claim]] = {}
        self._timed: set[tuple[TargetDomain, RegionName]] = set()

    def __len__(self) -> int:
        """Count the tickets here."""
        without_region = sum(map(len, self._without_region.values()))
        return without_region + sum(map(len, self._behind.values()))

    def without_region(self, claim: Claim, region: RegionName = ANY) -> None:
        """Keep a ticket until ``region`` takes work."""
        claim.keep_place()
        self._without_region.setdefault(region, []).append(claim)

    def release(self, regions: Collection[RegionName]) -> None:
        """Queue again what waits for one of ``regions``."""
        for region in (ANY, *regions) if regions and self._without_region else ():
            for claim in self._without_region.pop(region, ()):
                claim.enqueue()

    def release_all(self) -> None:
        """Queue again what waits for any region."""
        self.release(list(self._without_region))

    def behind_breaker(self, claim: Claim, region: RegionName) -> None:
        """Keep a ticket until the breaker between ``region`` and the target lets it pass."""
        claim.keep_place()
        self._behind.setdefault((claim.domain.name, region), deque()).append(claim)
        self._wake(claim.domain, region)

    def stir(self, domain: DomainLimiter, region: RegionName) -> None:
        """A breaker has changed: queue again what it lets pass."""
        waiting = self._behind.get((domain.name, region))
        if waiting is None:
            return
        offer = self._circuits.offer(domain.name, [region])
        if offer.regions and region not in offer.ill:
            del self._behind[domain.name, region]
            for claim in waiting:
                claim.enqueue()
        elif offer.regions:
            waiting.popleft().enqueue()
            if not waiting:
                del self._behind[domain.name, region]
        self._wake(domain, region)

    def _wake(self, domain: DomainLimiter, region: RegionName) -> None:
        key = (domain.name, region)
        if key in self._behind and key not in self._timed:
            self._timed.add(key)
            now = self._clock.now()
            due = max(self._circuits.opens_at(domain.name, lambda: [region], now), now + LOOK_LEAST_S)
            self._clock.call_at(due, lambda: self._woken(domain, region))

    def _woken(self, domain: DomainLimiter, region: RegionName) -> None:
        self._timed.discard((domain.name, region))
        self.stir(domain, region)


class Detours:
    """Queued steps with a fallback: while every way to their target is shut, they need not wait.

    Args:
        shut_by: Says what opened the breakers on all ways to a target; None while one is passable.
        leave: Takes the ticket of a step that may go on to its fallback. It stays in its queue as well.
    """

    def __init__(
        self, shut_by: Callable[[TargetDomain], Cause | None], leave: Callable[[Ticket, Cause], None]
    ) -> None:
        self._shut_by = shut_by
        self._leave = leave
        self._queued: dict[TargetDomain, dict[tuple[JobId, int], Ticket]] = {}

    def queued(self, domain: TargetDomain, ticket: Ticket) -> None:
        """A step with a fallback is about to wait for a permit."""
        self._queued.setdefault(domain, {})[ticket.job_id, ticket.step] = ticket
        self.look(domain)

    def gone(self, domain: TargetDomain, ticket: Ticket) -> None:
        """It waits no longer."""
        queued = self._queued.get(domain)
        if queued is not None:
            queued.pop((ticket.job_id, ticket.step), None)
            if not queued:
                del self._queued[domain]

    def look(self, domain: TargetDomain) -> None:
        """Let them leave if every way is shut."""
        cause = self._shut_by(domain) if domain in self._queued else None
        if cause is not None:
            for ticket in self._queued.pop(domain).values():
                self._leave(ticket, cause)


LOOK_LEAST_S = 0.05
"""A half-open breaker may have credit for a ticket that another one uses first."""
