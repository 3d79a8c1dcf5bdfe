"""How each target does as seen from each region: breakers and latencies, learned from every attempt."""

from collections.abc import Callable, Collection, Sequence

from msgspec import Struct

from orchestrator.core.targets.route import Route
from orchestrator.core.views import RouteView
from orchestrator.domain.health.answer_times import AnswerTimes
from orchestrator.domain.health.breaker import (
    Breaker,
    BreakerState,
    Cause,
    Sign,
    admits,
    let_go,
    note_end,
    sign_of,
)
from orchestrator.domain.health.latency import much_quicker, note_answer, note_given_up
from orchestrator.domain.health.outlier_detection import Doubt, blame, note_sent, to_avoid
from orchestrator.domain.ids import JobId, RegionName, TargetDomain
from orchestrator.domain.pace.active_limits import ActiveLimit, ActiveLimitKind
from orchestrator.ports.clock import Clock

DOMAINS_MOST = 20_000
"""Of more the oldest are forgotten: what was learned of a target is soon learned again."""

TRIED_EVERY = 128
"""Hedges that begin elsewhere, before one shows whether a region that was slow still is."""

_CLOSED = Breaker()


class AvailableRegions(Struct, frozen=True):
    """Regions from which a target may be called now, the fastest first; from those in ``ill`` it is only
    being tried again, and those in ``doubted`` reach nothing that others reach.
    """

    regions: Sequence[RegionName]
    ill: Collection[RegionName] = frozenset()
    doubted: Collection[RegionName] = frozenset()


class TargetHealth:
    """Every route of a shard.

    Args:
        clock: Time.
        changed: Told which way, from a region to a target, has opened or closed or is being tried.
    """

    def __init__(self, clock: Clock, changed: Callable[[TargetDomain, RegionName], None]) -> None:
        self._clock = clock
        self._changed = changed
        self._routes: dict[TargetDomain, dict[RegionName, Route]] = {}
        self._troubled: dict[TargetDomain, int] = {}
        self._doubts: dict[RegionName, Doubt] = {}

    @property
    def troubled(self) -> list[TargetDomain]:
        """Name the targets with a breaker that is not closed."""
        return list(self._troubled)

    def troubled_from(self, region: RegionName) -> int:
        """Count the targets whose breaker is not closed in a region."""
        routes = (self._routes[domain].get(region) for domain in self._troubled)
        return sum(route is not None and route.breaker.state is not BreakerState.CLOSED for route in routes)

    def calm(self, domain: TargetDomain) -> bool:
        """Whether nothing speaks against any region for this target."""
        return domain not in self._troubled and not self._doubts

    def offer(self, domain: TargetDomain, regions: Sequence[RegionName]) -> AvailableRegions:
        """Choose those of ``regions`` from which the target may be called now."""
        now = self._clock.now()
        routes = self._routes.get(domain, {})
        doubted = {region for region, doubt in self._doubts.items() if to_avoid(doubt, now)}
        if domain not in self._troubled:
            return AvailableRegions(_fastest_first(regions, routes), doubted=doubted)
        open_to = [r for r in regions if r not in routes or admits(routes[r].breaker, now)]
        ill = {r for r in open_to if r in routes and routes[r].breaker.state is not BreakerState.CLOSED}
        return AvailableRegions(_fastest_first(open_to, routes), ill, doubted)

    def admits(self, domain: TargetDomain, region: RegionName) -> bool:
        """Whether a request to the target may go from a region now."""
        return bool(self.offer(domain, [region]).regions)

    def healthy(self, domain: TargetDomain, regions: Sequence[RegionName]) -> list[RegionName]:
        """Name those of ``regions`` that nothing speaks against, the fastest first."""
        offer = self.offer(domain, regions)
        return [r for r in offer.regions if r not in offer.ill and r not in offer.doubted]

    def doubts(self, region: RegionName) -> bool:
        """Whether a region reaches nothing that others reach."""
        return region in self._doubts and self._doubts[region].doubted

    def opens_at(
        self, domain: TargetDomain, regions: Callable[[], Sequence[RegionName]], now: float
    ) -> float:
        """Say when the target may next be called from one of ``regions``: ``now`` or later, monotonic s."""
        if domain not in self._troubled:
            return now
        routes = (self._route_opens_at(domain, region, now) for region in regions())
        return min(routes, default=now)

    def shut_by(self, domain: TargetDomain, regions: Sequence[RegionName]) -> Cause | None:
        """Say what opened the breakers, where all of those of ``regions`` are open."""
        if domain not in self._troubled or not regions:
            return None
        routes = self._routes[domain]
        breakers = [routes[region].breaker if region in routes else _CLOSED for region in regions]
        if all(breaker.state is BreakerState.OPEN for breaker in breakers):
            return breakers[0].cause
        return None

    def breaker_limit(self, domain: TargetDomain, regions: Sequence[RegionName]) -> ActiveLimit | None:
        """Show the breakers of all ways from ``regions`` together; None where one of them is closed."""
        if domain not in self._troubled or not regions:
            return None
        routes = self._routes[domain]
        breakers = [routes[region].breaker if region in routes else _CLOSED for region in regions]
        if any(breaker.state is BreakerState.CLOSED for breaker in breakers):
            return None
        cause = breakers[0].cause
        return ActiveLimit(
            kind=ActiveLimitKind.BREAKER,
            source=str(cause.status or cause.fault) if cause else "",
            rps=sum(1 / breaker.pause_s for breaker in breakers if breaker.pause_s),
        )

    def where_to_begin(
        self, domain: TargetDomain, wanted: RegionName, others: Collection[RegionName]
    ) -> RegionName:
        """Choose where a hedge's leg begins: where it is wanted, unless the target answers much sooner in one
        of ``others``. Now and then it begins there all the same, or nobody would see that it is quick again.
        """
        quicker = self._quicker(domain, wanted, others)
        if quicker is None:
            return wanted
        own = self._routes[domain][wanted]
        own.passed_over = (own.passed_over + 1) % TRIED_EVERY
        return quicker if own.passed_over else wanted

    def late_after_s(
        self, domain: TargetDomain, region: RegionName, quantile: float, others: Collection[RegionName]
    ) -> float:
        """How long an answer of the target may take before it is later than ``quantile`` of them are: of
        those in one of ``others`` where they come much sooner.
        """
        routes = self._routes.get(domain, {})
        known = max(routes.values(), key=lambda route: route.latency.answers, default=Route())
        quicker = self._quicker(domain, region, others)
        own = routes.get(region if quicker is None else quicker, known)
        route = own if quicker or own.latency.answers >= known.latency.answers / 2 else known
        return route.late_after_s(quantile, self._clock.now())

    def _quicker(
        self, domain: TargetDomain, region: RegionName, others: Collection[RegionName]
    ) -> RegionName | None:
        routes = self._routes.get(domain, {})
        own = routes.get(region)
        known = {other: routes[other].latency for other in others if other in routes}
        return much_quicker(own.latency, known) if own is not None and known else None

    def note_hedged(self, domain: TargetDomain, region: RegionName, took_s: float, *, answered: bool) -> None:
        """Learn how long an attempt of a hedge took, or took at least where it was late and given up."""
        now = self._clock.now()
        route = self._route(domain, region)
        if route.times is None:
            route.times = AnswerTimes(now)
        route.times.note(took_s, now)
        if not answered:
            route.latency = note_given_up(route.latency, took_s)

    def sent(self, domain: TargetDomain, region: RegionName) -> bool:
        """Count an attempt that goes out; say whether it is a probe."""
        if region in self._doubts:
            self._doubts[region] = note_sent(self._doubts[region], self._clock.now())
        route = self._routes.get(domain, {}).get(region)
        if route is None or route.breaker.state is BreakerState.CLOSED:
            return False
        route.breaker = let_go(route.breaker, self._clock.now())
        return True

    def ended(
        self,
        domain: TargetDomain,
        region: RegionName,
        job: JobId,
        cause: Cause,
        *,
        sent_at: float,
        took_s: float | None,
    ) -> None:
        """Learn from an attempt's end. ``took_s`` is from its first byte to its answer, None without one."""
        sign = sign_of(cause.status, cause.fault)
        if sign is Sign.NONE:
            return
        route = self._route(domain, region)
        route.answers += sign.answers
        route.failures += sign is Sign.ILL
        route.silent = cause.status is None
        if not route.silent:
            self._answered(domain, region)
        if took_s is not None and sign.answers:
            route.latency = note_answer(route.latency, took_s)
        before = route.breaker
        route.breaker = note_end(before, cause, job, sent_at=sent_at, now=self._clock.now())
        if route.breaker.state is not before.state or route.breaker.credit != before.credit:
            self._count_trouble(domain, before, route.breaker)
            self._changed(domain, region)

    def forget(self, domain: TargetDomain) -> None:
        """Close a target's breakers: what was sent before tells nothing any more."""
        self._troubled.pop(domain, None)
        for region, route in self._routes.get(domain, {}).items():
            route.breaker, route.silent = Breaker(since=self._clock.now()), False
            self._changed(domain, region)

    def view(self, domain: TargetDomain) -> dict[RegionName, RouteView]:
        """Show a target's routes by region. Regions that have not called it are absent."""
        now = self._clock.now()
        return {region: route.view(now) for region, route in self._routes.get(domain, {}).items()}

    def _answered(self, domain: TargetDomain, region: RegionName) -> None:
        self._doubts.pop(region, None)
        for other, route in self._routes[domain].items():
            if route.silent:
                self._doubts[other] = blame(self._doubts.get(other, Doubt()), domain)

    def _route_opens_at(self, domain: TargetDomain, region: RegionName, now: float) -> float:
        route = self._routes[domain].get(region)
        return now if route is None or admits(route.breaker, now) else route.breaker.probe_at

    def _count_trouble(self, domain: TargetDomain, before: Breaker, after: Breaker) -> None:
        was, is_ = (breaker.state is not BreakerState.CLOSED for breaker in (before, after))
        count = self._troubled.get(domain, 0) + is_ - was
        if count:
            self._troubled[domain] = count
        else:
            self._troubled.pop(domain, None)

    def _route(self, domain: TargetDomain, region: RegionName) -> Route:
        routes = self._routes.get(domain)
        if routes is None:
            self._forget_one()
            routes = self._routes[domain] = {}
        return routes.setdefault(region, Route())

    def _forget_one(self) -> None:
        if len(self._routes) >= DOMAINS_MOST:
            oldest = next((domain for domain in self._routes if domain not in self._troubled), None)
            if oldest is not None:
                del self._routes[oldest]


def _fastest_first(regions: Sequence[RegionName], routes: dict[RegionName, Route]) -> Sequence[RegionName]:
    if len(regions) < 2:  # noqa: PLR2004  # nothing to sort
        return regions
    return sorted(regions, key=lambda region: _speed(routes.get(region)))


def _speed(route: Route | None) -> float:
    known = route is not None and route.latency.answers
    return route.latency.mean_s if route is not None and known else float("inf")
