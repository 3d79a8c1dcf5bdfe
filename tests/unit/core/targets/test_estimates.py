"""Where a job stands and when it is said to start, against when it really does, in virtual time.

Nothing new comes after the estimate. It may be off by a tenth of the wait, or by two intervals.
"""

import asyncio
from collections.abc import Iterable

import pytest

from orchestrator.domain.exchange import HttpResponse
from orchestrator.domain.ids import CustomerId, target_domain
from orchestrator.domain.jobs.job import Fallback, JobSpec, Trigger, TriggerKind
from orchestrator.domain.pace.pacing import Pace
from orchestrator.domain.queueing.ticket import Ticket
from tests.support.outlet import Outlet, Server, SlidingWindow, response
from tests.support.rig import IAD, URL, Reply, Rig, in_virtual_time

SHARE = 0.1
SLOTS = 2
WEIGHTS = {"cust_heavy": 4}


class Says:
    """Answers everything with the same."""

    def __init__(self, status: int = 200, **headers: object) -> None:
        self.said = response(status, **headers)

    def answer(self, ticket: Ticket, now: float) -> HttpResponse:
        return self.said


class Limited:
    """Bears so many requests a second from each account, and says so."""

    def __init__(self, **rps: int) -> None:
        self.servers = {
            account: SlidingWindow(limit, {"ratelimit-policy": f'"a";q={limit};w=1'})
            for account, limit in rps.items()
        }

    def answer(self, ticket: Ticket, now: float) -> HttpResponse:
        return self.servers[str(ticket.account)].answer(ticket, now)


def outlet_to(server: Server, pace: Pace, **options: object) -> Outlet:
    latency = options.get("latency_s", (0.02, 0.04))
    assert isinstance(latency, tuple)
    return Outlet(
        server,
        pace=pace,
        latency_s=latency,
        weight=lambda customer: WEIGHTS.get(customer, 1),
        account_queues=bool(options.get("account_queues")),
    )


def foretold(outlet: Outlet, tickets: Iterable[Ticket]) -> dict[str, tuple[int, float]]:
    """Ask for every ticket's place and start, in seconds from now."""
    found = {}
    for ticket in tickets:
        place = outlet.limiter.place(ticket.customer, ticket.order_key, ticket.job_id)
        if place is not None:
            found[str(ticket.job_id)] = place.position, place.wait_s
    return found


def check(
    outlet: Outlet, tickets: list[Ticket], interval_s: float, *, run_s: float, exact: bool = True
) -> None:
    """Compare what is foretold now with what happens."""
    told, now, begun = foretold(outlet, tickets), outlet.clock.now(), len(outlet.starts)
    outlet.run(run_s)
    started = outlet.starts[begun:]
    assert len(told) == len(started) > 10
    if exact:
        assert [told[start.ticket.job_id][0] for start in started] == list(range(1, len(started) + 1))
    for start in started:
        really_s, wait_s = start.at - now, told[start.ticket.job_id][1]
        assert abs(wait_s - really_s) <= max(SHARE * really_s, SLOTS * interval_s), (wait_s, really_s)


@pytest.mark.parametrize("rps", [0.5, 2.0, 50.0])
@pytest.mark.parametrize("after", [0, 7])
def test_one_customer_alone(rps: float, after: int) -> None:
    outlet = outlet_to(Says(), Pace(rps, 100))
    tickets = outlet.put(60, "cust_a")
    outlet.run(after / rps)
    check(outlet, tickets, 1 / rps, run_s=80 / rps)


def test_two_customers_whose_plans_weigh_differently() -> None:
    outlet = outlet_to(Says(), Pace(5.0, 100))
    tickets = [*outlet.put(50, "cust_light"), *outlet.put(50, "cust_heavy")]
    outlet.run(2)
    check(outlet, tickets, 0.2, run_s=40)


def test_accounts_with_queues_of_their_own() -> None:
    outlet = outlet_to(Says(), Pace(5.0, 100), account_queues=True)
    tickets = [*outlet.put(40, "cust_a", "x"), *outlet.put(20, "cust_a", "y"), *outlet.put(20, "cust_b", "z")]
    outlet.run(2)
    check(outlet, tickets, 0.2, run_s=40)


def test_an_account_that_the_target_paces_by_itself() -> None:
    outlet = outlet_to(Limited(slow=1, fast=5), Pace(10.0, 100), account_queues=True)
    slow, fast = outlet.put(40, "cust_a", "slow"), outlet.put(40, "cust_b", "fast")
    outlet.run(3)
    check(outlet, [*slow, *fast], 1.0, run_s=80, exact=False)


def test_a_domain_that_is_paused() -> None:
    outlet = outlet_to(Says(503, retry_after=40), Pace(2.0, 1))
    outlet.put(1, "cust_a")
    outlet.run(1)
    outlet.server = Says()
    tickets = outlet.put(30, "cust_a")
    place = outlet.limiter.place(CustomerId("cust_a"), tickets[0].order_key, tickets[0].job_id)
    assert place is not None
    assert 38 <= place.wait_s <= 40
    check(outlet, tickets, 0.5, run_s=80)


def test_a_target_whose_answers_take_longer_than_its_pace() -> None:
    outlet = outlet_to(Says(), Pace(10.0, 2), latency_s=(1.8, 2.2))
    tickets = outlet.put(80, "cust_a")
    outlet.run(20)
    check(outlet, tickets, 1.0, run_s=120)


def test_a_budget_that_is_spread_over_its_window() -> None:
    said = {"X-RateLimit-Limit": 100, "X-RateLimit-Remaining": 40, "X-RateLimit-Reset": 60}
    outlet = outlet_to(Says(**said), Pace(50.0, 100))
    outlet.put(1, "cust_a")
    outlet.run(0.5)
    outlet.server = Says()
    check(outlet, outlet.put(30, "cust_a"), 1.5, run_s=60)


def test_a_job_that_was_cancelled_in_its_queue_counts_no_more() -> None:
    outlet = outlet_to(Says(), Pace(1.0, 100))
    tickets = outlet.put(30, "cust_a")
    left = tickets[1::2]
    for ticket in tickets[::2]:
        outlet.limiter.withdraw(ticket)
    assert outlet.limiter.waiting == outlet.limiter.waiting_of(CustomerId("cust_a")) == len(left)
    assert [position for position, _ in foretold(outlet, left).values()] == list(range(1, len(left) + 1))


@in_virtual_time(Pace(1.0, 1))
async def test_the_service_says_so_of_a_cancelled_job_as_well(rig: Rig) -> None:
    jobs = []
    for _ in range(6):
        jobs.append(await rig.submit())
        await asyncio.sleep(0.001)  # of two jobs of one millisecond either may go first
    (domain,) = rig.shard.targets.domains.values()
    stored = [(await rig.show(job)).job for job in jobs]
    before = [place and place.position for place in map(rig.shard.jobs.place, stored)]
    assert before == [None, 1, 2, 3, 4, 5]
    assert await rig.shard.jobs.cancel(jobs[2])
    after = [place and place.position for place in map(rig.shard.jobs.place, stored)]
    assert after == [None, 1, None, 2, 3, 4]
    assert domain.waiting == 4


@in_virtual_time(Pace(2.0, 2))
async def test_a_job_stands_where_its_fallback_waits(rig: Rig) -> None:
    rig.answer = lambda call: Reply(status=500 if call.url == URL else 200, after_s=0.01)
    there = JobSpec(url="https://fallback.example.com/", regions=(IAD,), metadata={})
    for _ in range(5):
        await rig.submit(url=there.url)
    await asyncio.sleep(0.01)
    trigger = Trigger(kind=TriggerKind.ON_ERROR, codes=frozenset({500}))
    job_id = await rig.submit(fallback=Fallback(trigger, there))
    await asyncio.sleep(0.1)
    place = rig.shard.jobs.place((await rig.show(job_id)).job)
    assert place is not None
    domain = rig.shard.targets.limiter(target_domain(there.url))
    assert place.position == domain.waiting >= 4
    begun = rig.loop.time()
    await rig.ended(job_id)
    assert rig.loop.time() - begun == pytest.approx(place.wait_s, abs=0.5)
