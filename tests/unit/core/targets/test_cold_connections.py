"""Permits that find no ready connection come back: they take nothing of what a target lets through."""

from collections.abc import Mapping

import pytest

from orchestrator.core.targets.domain_limiter import DomainLimiter
from orchestrator.domain.exchange import HttpResponse
from orchestrator.domain.ids import JobId
from orchestrator.domain.pace.pacing import Pace
from orchestrator.domain.queueing.ticket import Ticket
from orchestrator.domain.steering.learned import Learned
from tests.support.outlet import Outlet, response

GRANT_LASTS_S = 0.05
HANDSHAKE_S = 0.1


class Cold(Outlet):
    """Each request's first permit comes back: its connection is ready a while later."""

    def _launch(self, limiter: DomainLimiter, ticket: Ticket, permit: int) -> None:
        if ticket.job_id in self._ready:
            self._start(ticket, permit)
        else:
            self._ready.add(ticket.job_id)
            self.clock.call_at(self.clock.now() + GRANT_LASTS_S, lambda: self._back(ticket, permit))

    @property
    def _ready(self) -> set[JobId]:
        return self.__dict__.setdefault("ready", set())

    def _back(self, ticket: Ticket, permit: int) -> None:
        self.limiter.unused(permit)
        self.clock.call_at(self.clock.now() + HANDSHAKE_S, lambda: self.limiter.enqueue(ticket))


class Monthly:
    """Tells how much of a long budget is left."""

    def __init__(self, left: int, ends_at: float) -> None:
        self.left = left
        self.ends_at = ends_at

    def answer(self, ticket: Ticket, now: float) -> HttpResponse:
        del ticket
        self.left -= 1
        told: Mapping[str, object] = {
            "x_ratelimit_limit": 1_000,
            "x_ratelimit_remaining": self.left,
            "x_ratelimit_reset": max(0, int(self.ends_at - now)),
        }
        return response(200, **told)


class Willing:
    """Answers 200."""

    def answer(self, ticket: Ticket, now: float) -> HttpResponse:
        del ticket, now
        return response(200)


def test_of_a_rate_that_was_found_by_trying() -> None:
    warm, cold = (
        kind(Willing(), pace=Pace(50.0, 1_000), learned=Learned(tried_rps=5.0)) for kind in (Outlet, Cold)
    )
    for outlet in (warm, cold):
        outlet.put(900)
        outlet.run(11)
    assert len(cold.between(1, 11)) >= 0.75 * len(warm.between(1, 11))


@pytest.mark.parametrize("kind", [Outlet, Cold])
def test_of_a_budget_that_is_spread_over_its_window(kind: type[Outlet]) -> None:
    outlet = kind(Monthly(101, ends_at=1_120.0), pace=Pace(50.0, 1_000))
    outlet.put(1)
    outlet.run(2)
    outlet.put(900)
    outlet.run(58)
    assert 45 <= len(outlet.starts) <= 52
