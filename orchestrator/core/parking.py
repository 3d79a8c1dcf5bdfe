"""Tickets whose turn came while nothing could take them: each waits for its region, or behind a breaker."""

from collections import deque
from collections.abc import Callable, Collection

from orchestrator.core.claim import Claim
from orchestrator.core.domain_limiter import DomainLimiter
from orchestrator.core.target_health import TargetHealth
from orchestrator.domain.breaker import Cause
from orchestrator.domain.fairness import Ticket
from orchestrator.domain.ids import RegionName, TargetDomain
from orchestrator.ports.clock import Clock

ANY = RegionName("")
"""Where a leg goes that may run in any region; no region can bear that name."""


class Parking:
    """Keeps tickets away from their queue, where each would take a permit only to give it back.

    Args:
        clock: Time.
        target_health: Which routes are passable.
        release: Takes a claim that is to queue again, and the region that it waited for.
    """

    def __init__(
        self, clock: Clock, target_health: TargetHealth, release: Callable[[Claim, RegionName], None]
    ) -> None:
        self._clock = clock
        self._target_health = target_health
        self._release = release
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
                self._release(claim, region)

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
        offer = self._target_health.offer(domain.name, [region])
        if offer.regions and region not in offer.ill:
            del self._behind[domain.name, region]
            for claim in waiting:
                self._release(claim, region)
        elif offer.regions:
            self._release(waiting.popleft(), region)
            if not waiting:
                del self._behind[domain.name, region]
        self._wake(domain, region)

    def _wake(self, domain: DomainLimiter, region: RegionName) -> None:
        key = (domain.name, region)
        if key in self._behind and key not in self._timed:
            self._timed.add(key)
            now = self._clock.now()
            due = max(self._target_health.opens_at(domain.name, lambda: [region], now), now + LOOK_LEAST_S)
            self._clock.call_at(due, lambda: self._woken(domain, region))

    def _woken(self, domain: DomainLimiter, region: RegionName) -> None:
        self._timed.discard((domain.name, region))
        self.stir(domain, region)


_Way = tuple[TargetDomain, RegionName]


class Detours:
    """Queued steps with a fallback: while every way to their target is shut, they need not wait.

    Args:
        shut_by: Says what opened the breakers on all routes to a target, or on that from one region; None
            while one is passable.
        leave: Takes the ticket of a step that may go on to its fallback; one that does is ``gone``.
    """

    def __init__(
        self,
        shut_by: Callable[[TargetDomain, RegionName], Cause | None],
        leave: Callable[[Ticket, Cause], None],
    ) -> None:
        self._shut_by = shut_by
        self._leave = leave
        self._queued: dict[_Way, dict[frozenset[Cause], dict[Ticket, None]]] = {}
        """By the causes for which they did not leave: nobody is asked twice."""

    def queued(self, domain: TargetDomain, ticket: Ticket, region: RegionName = ANY) -> None:
        """A step with a fallback is about to wait: for a permit, or for the way from one region."""
        self._queued.setdefault((domain, region), {}).setdefault(frozenset(), {})[ticket] = None
        self.look(domain, region)

    def gone(self, domain: TargetDomain, ticket: Ticket, region: RegionName = ANY) -> None:
        """It waits there no longer."""
        way = domain, region
        queued = self._queued.get(way)
        if queued is None:
            return
        for asked in [asked for asked, tickets in queued.items() if ticket in tickets]:
            del queued[asked][ticket]
            if not queued[asked]:
                del queued[asked]
        if not queued:
            del self._queued[way]

    def look(self, domain: TargetDomain, region: RegionName = ANY) -> None:
        """Let them leave if every way that they may take is shut."""
        way = domain, region
        cause = self._shut_by(domain, region) if way in self._queued else None
        if cause is not None:
            for ticket in self._not_asked(self._queued[way], cause):
                self._leave(ticket, cause)

    def _not_asked(self, queued: dict[frozenset[Cause], dict[Ticket, None]], cause: Cause) -> list[Ticket]:
        found: list[Ticket] = []
        for asked in [asked for asked in queued if cause not in asked]:
            tickets = queued.pop(asked)
            queued.setdefault(asked | {cause}, {}).update(tickets)
            found += tickets
        return found


LOOK_LEAST_S = 0.05
"""A half-open breaker may have credit for a ticket that another one uses first."""
