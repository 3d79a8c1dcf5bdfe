"""What customers get of one target, in virtual time; and what many targets cost."""

import tracemalloc
from random import Random

import pytest

from orchestrator.core.targets.domain_limiter import DomainLimiter
from orchestrator.domain.exchange import HttpResponse
from orchestrator.domain.ids import CustomerId, JobId, TargetDomain
from orchestrator.domain.pace.pacing import Pace, PaceCaps
from orchestrator.domain.queueing.fairness import FairQueue, one_each
from orchestrator.domain.queueing.ticket import Ticket
from orchestrator.domain.steering.steering import Steering
from tests.support.long import some_of
from tests.support.outlet import HeapClock, Outlet, response


class Willing:
    """Answers 200."""

    def answer(self, ticket: Ticket, now: float) -> HttpResponse:
        return response(200)


def p99(values: list[float]) -> float:
    return sorted(values)[int(0.99 * len(values))]


def quiet_waits(rps: float, *, flood: int) -> list[float]:
    """Wait of a customer that sends one request every 100 intervals or so, beside one that floods."""
    random, count = Random(5), 200
    outlet = Outlet(Willing(), pace=Pace(rps, 1_000))
    if flood:
        outlet.put(flood, "cust_flood")
    at, times = 0.0, []
    for _ in range(count):
        at += random.uniform(50, 150) / rps
        times.append(at)
    outlet.put_at(times, "cust_quiet")
    outlet.run(at + 5)
    return [start.waited_s for start in outlet.between(0, 1e9, "cust_quiet")]


@pytest.mark.parametrize("rps", some_of([2.0, 200.0], 2.0))
def test_a_flood_of_a_thousand_to_one_costs_the_quiet_one_two_slots_at_most(rps: float) -> None:
    alone, beside = quiet_waits(rps, flood=0), quiet_waits(rps, flood=200_000)
    assert len(alone) == len(beside) == 200
    assert p99(beside) <= p99(alone) + 2 / rps


def jain(shares: list[int]) -> float:
    """Fairness index of Jain, Chiu and Hawe (1984): 1 where all get the same."""
    return sum(shares) ** 2 / (len(shares) * sum(share * share for share in shares))


def test_fifty_customers_of_equal_weight_get_equal_shares() -> None:
    outlet = Outlet(Willing(), pace=Pace(100.0, 1_000))
    random = Random(11)
    for number in range(50):
        outlet.put(random.choice([200, 400, 3_000]), f"cust_{number:02d}")
    outlet.run(60)
    shares = [len(outlet.between(0, 60, f"cust_{number:02d}")) for number in range(50)]
    assert jain(shares) >= 0.99


def test_customers_of_unequal_weight_get_shares_in_proportion() -> None:
    weights = {"cust_free": 1, "cust_pro": 2, "cust_large": 5}
    outlet = Outlet(Willing(), pace=Pace(40.0, 1_000), weight=lambda customer: weights[customer])
    for customer in weights:
        outlet.put(3_000, customer)
    outlet.run(60)
    shares = [len(outlet.between(0, 60, customer)) / weight for customer, weight in weights.items()]
    assert jain([round(share) for share in shares]) >= 0.99


def answered_at_once(limiter: DomainLimiter, _ticket: Ticket, permit: int) -> None:
    limiter.closed(permit)


def at_once(_domain: TargetDomain, now: float) -> float:
    return now


def idle_domain(number: int, clock: HeapClock, pace: Pace, caps: PaceCaps) -> DomainLimiter:
    return DomainLimiter(
        TargetDomain(f"host-{number}.example.com"),
        clock,
        Steering(pace, caps),
        weight=one_each,
        not_before=0.0,
        launch=answered_at_once,
        opens_at=at_once,
    )


def test_an_idle_domain_takes_at_most_one_and_a_half_kilobytes() -> None:
    clock, count, pace, caps = HeapClock(), 10_000, Pace(), PaceCaps()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    domains = {}
    for number in range(count):
        domain = idle_domain(number, clock, pace, caps)
        domain.enqueue(Ticket(number, JobId(f"job_{number}"), customer=CustomerId("cust_a")))
        domains[domain.name] = domain
    each = (tracemalloc.get_traced_memory()[0] - before) / count
    tracemalloc.stop()
    assert each <= 1_536


class CountedTicket(Ticket):
    """Counts how often tickets are compared: what picking costs, without a clock."""

    __slots__ = ()
    compared = 0

    def __lt__(self, other: object) -> bool:
        CountedTicket.compared += 1
        return isinstance(other, Ticket) and self.order_key < other.order_key


def cost_of_picking(waiting: int) -> float:
    random, queue = Random(3), FairQueue()
    for number in range(waiting):
        customer = CustomerId(f"cust_{random.randrange(max(1, waiting // 10))}")
        queue.push(CountedTicket(random.randrange(10**9), JobId(f"job_{number}"), customer=customer))
    CountedTicket.compared = 0
    picks = 50
    for number in range(picks):
        queue.peek()
        queue.take()
        queue.push(
            CountedTicket(random.randrange(10**9), JobId(f"job_n{number}"), customer=CustomerId("cust_1"))
        )
    return CountedTicket.compared / picks


def test_picking_the_next_among_very_many_costs_little_more_than_among_few() -> None:
    few, many = cost_of_picking(100), cost_of_picking(100_000)
    assert many <= 2 * few + 4
