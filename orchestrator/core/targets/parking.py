"""Tickets whose turn came while nothing could take them: each waits for its region, or behind a breaker."""

from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass

from orchestrator.core.targets.queues import Queues
from orchestrator.core.targets.target_health import TargetHealth
from orchestrator.domain.health.breaker import Cause
from orchestrator.domain.ids import RegionName, TargetDomain
from orchestrator.domain.queueing.ticket import Ticket
from orchestrator.ports.clock import Clock
from orchestrator.ports.targets import Claim

ANY = RegionName("")
"""Where a leg goes that may run in any region; no region can bear that name."""
GONE_MOST = 64
"""In a line, besides twice what is here, of tickets that went by another way."""

_Way = tuple[TargetDomain, RegionName]


@dataclass(slots=True, eq=False)
class _Kept:
    """A ticket that is here once, in however many lines it waits."""

    claim: Claim
    here: bool = True


class Parking:
    """Keeps tickets away from their queue, where each would take a permit only to give it back.

    Args:
        clock: Time.
        target_health: Which routes are passable.
        queues: Where the tickets came from.
        release: Takes a claim that is to queue again, and the region that it waited for.
    """

    def __init__(
        self,
        clock: Clock,
        target_health: TargetHealth,
        queues: Queues,
        release: Callable[[Claim, RegionName], None],
    ) -> None:
        self._clock = clock
        self._target_health = target_health
        self._queues = queues
        self._release = release
        self._here: dict[Ticket, _Kept] = {}
        self._without_region: dict[RegionName, deque[_Kept]] = {}
        self._behind: dict[_Way, deque[_Kept]] = {}
        self._timed: set[_Way] = set()

    def __len__(self) -> int:
        """Count the tickets here."""
        return len(self._here)

    def keep(
        self, claim: Claim, *, down: Collection[RegionName] = (), shut: Collection[RegionName] = ()
    ) -> None:
        """Keep a ticket until a region of ``down`` takes work, or the breaker between one of ``shut`` and the
        target lets it pass: whichever comes first.
        """
        self._queues.keep_place(claim)
        kept = self._here[claim.ticket] = _Kept(claim)
        for region in down:
            self._append(self._without_region.setdefault(region, deque()), kept)
        for region in shut:
            self._append(self._behind.setdefault((claim.domain, region), deque()), kept)
            self._wake(claim.domain, region)

    def withdraw(self, claim: Claim) -> bool:
        """Nobody waits for a claim any more; say whether it was here."""
        kept = self._here.pop(claim.ticket, None)
        if kept is not None:
            kept.here = False
        return kept is not None

    def release(self, regions: Collection[RegionName]) -> None:
        """Queue again what waits for one of ``regions``, of which ANY is one."""
        for region in regions if self._without_region else ():
            for kept in self._without_region.pop(region, ()):
                self._let_go(kept, region)

    def release_all(self) -> None:
        """Queue again what waits for any region."""
        self.release(list(self._without_region))

    def stir(self, domain: TargetDomain, region: RegionName) -> None:
        """A breaker has changed: queue again what it lets pass."""
        way = domain, region
        waiting = self._behind.get(way)
        if waiting is None:
            return
        offer = self._target_health.offer(domain, [region])
        if offer.regions and region not in offer.ill:
            del self._behind[way]
            for kept in waiting:
                self._let_go(kept, region)
        elif offer.regions:
            self._let_one_go(waiting, region)
            if not waiting:
                del self._behind[way]
        self._wake(domain, region)

    def _append(self, line: deque["_Kept"], kept: "_Kept") -> None:
        line.append(kept)
        # What was let go by another way stays behind here: it is thinned out before it is the most of a line.
        if len(line) > 2 * len(self._here) + GONE_MOST:
            here = [each for each in line if each.here]
            line.clear()
            line.extend(here)

    def _let_go(self, kept: "_Kept", region: RegionName) -> bool:
        """Queue it again, unless it went by another way; say whether it was here."""
        was_here, kept.here = kept.here, False
        if was_here:
            del self._here[kept.claim.ticket]
            # It has no place but one of the queue's from here on: its step may be over before it is queued.
            self._queues.withdraw(kept.claim, queued=False)
            self._release(kept.claim, region)
        return was_here

    def _let_one_go(self, waiting: deque["_Kept"], region: RegionName) -> None:
        while waiting:
            if self._let_go(waiting.popleft(), region):
                return

    def _wake(self, domain: TargetDomain, region: RegionName) -> None:
        way = domain, region
        if way in self._behind and way not in self._timed:
            self._timed.add(way)
            now = self._clock.now()
            due = max(self._target_health.opens_at(domain, lambda: [region], now), now + LOOK_LEAST_S)
            self._clock.call_at(due, lambda: self._woken(domain, region))

    def _woken(self, domain: TargetDomain, region: RegionName) -> None:
        self._timed.discard((domain, region))
        self.stir(domain, region)


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
