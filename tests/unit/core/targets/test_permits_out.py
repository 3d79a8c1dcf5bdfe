"""What is counted of the permits that are out."""

import pytest

from orchestrator.core.targets.permits_out import PermitsOut
from orchestrator.domain.ids import JobId
from orchestrator.domain.pace.pacing import Limiter, Pace
from orchestrator.domain.queueing.ticket import Ticket
from orchestrator.domain.steering.binding import Binding

NOW = 100.0
TICKET = Ticket(0, JobId("job_1"), cost=3.0)


@pytest.fixture
def limiter() -> Limiter:
    return Limiter(Pace(10.0, 10))


@pytest.fixture
def binding() -> Binding:
    return Binding()


@pytest.fixture
def permits(limiter: Limiter, binding: Binding) -> PermitsOut:
    return PermitsOut(limiter, binding)


def let_out(permits: PermitsOut, limiter: Limiter) -> int:
    permit = limiter.take(NOW)
    assert permit is not None
    permits.grant(permit, TICKET, [], NOW)
    return permit


def test_a_permit_is_out_until_it_comes_back(permits: PermitsOut, limiter: Limiter) -> None:
    permit = let_out(permits, limiter)
    assert (len(permits), permits.ticket(permit)) == (1, TICKET)
    assert permits.unused(permit, NOW) == TICKET
    assert (len(permits), permits.ticket(permit), permits.unused(permit, NOW)) == (0, None, None)


def test_a_throttle_that_is_new_counts_what_is_out_once(
    permits: PermitsOut, limiter: Limiter, binding: Binding
) -> None:
    permit = let_out(permits, limiter)
    throttle = binding.throttles.domain()
    permits.count_in(throttle)
    permits.count_in(throttle)
    assert (throttle.out, throttle.cost_out) == (1, 3.0)
    permits.closed(permit, NOW + 1)
    assert (throttle.out, throttle.cost_out) == (0, 0.0)


def test_the_time_that_a_place_is_held_is_learned_from_what_was_used(
    permits: PermitsOut, limiter: Limiter
) -> None:
    permits.unused(let_out(permits, limiter), NOW + 50)
    assert permits.place_s == 0.0
    permits.closed(let_out(permits, limiter), NOW + 2)
    assert permits.place_s == 2.0


def test_two_that_are_idle_share_nothing(limiter: Limiter, binding: Binding) -> None:
    one, other = PermitsOut(limiter, binding), PermitsOut(Limiter(Pace(10.0, 10)), Binding())
    permit = let_out(one, limiter)
    assert (len(one), len(other)) == (1, 0)
    one.closed(permit, NOW + 1)
    assert (len(one), len(other)) == (0, 0)
