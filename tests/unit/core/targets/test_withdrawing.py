"""Jobs that end while they wait: what they leave in the queue holds up nobody."""

import asyncio
from random import Random

import pytest

from orchestrator.core.regions.peer import BYTES_CREDIT
from orchestrator.core.targets.domain_limiter import DomainLimiter
from orchestrator.core.targets.target_queue import TargetQueue
from orchestrator.domain.exchange import Fault
from orchestrator.domain.health.breaker import Cause
from orchestrator.domain.ids import AccountId, CustomerId, JobId, target_domain
from orchestrator.domain.jobs.job import Fallback, JobSpec, RetryPolicy, Trigger, TriggerKind
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.domain.jobs.policies import ExecutionMode
from orchestrator.domain.pace.pacing import Pace
from orchestrator.domain.queueing.fairness import one_each
from orchestrator.domain.queueing.ticket import Ticket
from orchestrator.domain.steering.binding import Binding
from tests.support.outlet import Outlet, SlidingWindow
from tests.support.rig import IAD, LAX, ORD, URL, Reply, Rig, in_virtual_time


@in_virtual_time(Pace())
async def test_cancelled_jobs_take_no_turns_of_those_that_come_after_them(rig: Rig) -> None:
    cancelled = [await rig.submit(customer="cust_a") for _ in range(100)]
    for _ in range(100):
        await rig.submit(customer="cust_b")
    for job_id in cancelled:
        await rig.shard.jobs.cancel(job_id)
    began = rig.loop.time()
    await rig.ended(await rig.submit(customer="cust_a"))
    assert rig.loop.time() - began <= 2.0, "a turn of the other customer's, or two"


@in_virtual_time(Pace())
async def test_nothing_is_left_of_jobs_that_are_cancelled_while_they_wait(rig: Rig) -> None:
    cancelled = [await rig.submit() for _ in range(10)]
    for job_id in cancelled:
        await rig.shard.jobs.cancel(job_id)
    await rig.run()
    domain = next(iter(rig.shard.targets.domains.values()))
    assert (domain.waiting, domain.in_flight, len(rig.shard.targets.dispatcher)) == (0, 0, 0)


@pytest.mark.parametrize("left", ["x", "y"])
def test_the_next_behind_a_gate_goes_on_when_who_was_let_in_is_gone(left: str) -> None:
    headers = {"x-ezthrottle-rps": 1, "x-ezthrottle-max-concurrent": 10}
    outlet = Outlet(SlidingWindow(1, headers), pace=Pace(10.0, 10))
    # After a minute what one customer alone was told binds that customer, and no more the domain.
    outlet.put(60, account="x")
    outlet.run(80)
    before = len(outlet.starts)
    outlet.put(1, account="z")
    tickets = {account: outlet.put(3, account=account) for account in ("x", "y")}
    outlet.run(0.1)
    for ticket in tickets["y" if left == "x" else "x"]:
        outlet.limiter.withdraw(ticket)
    outlet.run(10)
    assert [start.ticket.account for start in outlet.starts[before:]] == ["z", *[left] * 3]


@in_virtual_time(Pace(100.0, 100))
async def test_a_won_job_leaves_nothing_where_its_fallback_waited(rig: Rig) -> None:
    late = Trigger(kind=TriggerKind.ON_TIMEOUT, timeout_ms=1_000)
    there = JobSpec(url="https://fallback.example.com/", regions=(IAD,), metadata={})
    rig.answer = lambda call: Reply(after_s=2.0)
    domain = rig.shard.targets.limiter(target_domain(there.url))
    domain.pause(rig.loop.time() + 30.0)
    jobs = [await rig.submit(fallback=Fallback(late, there)) for _ in range(20)]
    await asyncio.sleep(1.5)
    assert domain.waiting == 20
    for job_id in jobs:
        assert (await rig.ended(job_id)).state is JobState.SUCCESS
    assert domain.waiting == 0
    reads = rig.store.jobs.loads
    new = await rig.submit(url=there.url)
    place = rig.shard.jobs.place((await rig.show(new)).job)
    assert place is not None
    assert place.position == 1
    await rig.ended(new)
    # Those of this test alone: one to show it, and those that look for its end.
    assert rig.store.jobs.loads - reads <= 4


@in_virtual_time(Pace(20.0, 20))
async def test_a_won_race_leaves_no_further_legs_in_its_queue(rig: Rig) -> None:
    races = [await rig.submit(regions=(IAD, LAX, ORD)) for _ in range(200)]
    await asyncio.sleep(5)
    won = sum([(await rig.show(job_id)).state is JobState.SUCCESS for job_id in races])
    assert won > 90
    (domain,) = rig.shard.targets.domains.values()
    spare = domain._queue._tickets._spare
    assert spare is None or spare.count <= 10


@in_virtual_time(Pace(1.0, 1))
async def test_two_tickets_of_one_job_are_both_dropped(rig: Rig) -> None:
    rig.answer = lambda call: Reply(after_s=5.0)
    first = await rig.submit()
    fanout = await rig.submit(regions=(IAD, LAX, ORD), execution_mode=ExecutionMode.FANOUT)
    await rig.ended(first)
    await asyncio.sleep(1)
    reads = rig.store.jobs.loads
    await rig.shard.jobs.cancel(fanout)
    await rig.run()
    assert rig.seen(fanout) == [IAD]
    assert rig.store.jobs.loads - reads <= 4


async def lost_while_it_waits(rig: Rig) -> tuple[JobId, DomainLimiter]:
    """Let a job's attempt wait on a ready connection for its next permit, as its region goes down."""
    rig.connects_in_s[IAD] = 0.2
    job_id = await rig.submit()
    (domain,) = rig.shard.targets.domains.values()
    domain.pause(rig.loop.time() + 30.0)
    await asyncio.sleep(1.0)
    assert (domain.waiting, domain.in_flight, rig.seen(job_id)) == (1, 0, [])
    rig.alive.discard(IAD)
    await asyncio.sleep(10.0)
    return job_id, domain


@in_virtual_time(Pace(1.0, 1))
async def test_an_attempt_that_is_lost_while_it_waits_leaves_its_leg_one_ticket(rig: Rig) -> None:
    job_id, domain = await lost_while_it_waits(rig)
    assert (domain.waiting, len(domain._queue._tickets)) == (1, 1)
    assert (await rig.ended(job_id)).state is JobState.SUCCESS
    assert len(rig.seen(job_id)) == 1
    assert (domain.waiting, bool(domain._queue)) == (0, False)


@in_virtual_time(Pace(1.0, 1))
async def test_a_job_whose_attempt_was_lost_while_it_waited_is_asked_for_no_turn_once_it_ended(
    rig: Rig,
) -> None:
    job_id, _ = await lost_while_it_waits(rig)
    after = await rig.submit(regions=(LAX,))
    await rig.shard.jobs.cancel(job_id)
    reads = rig.store.jobs.loads
    await rig.ended(after)
    # Those that look for the end of the job that came after it.
    assert (rig.seen(job_id), rig.seen(after)) == ([], [LAX])
    assert rig.store.jobs.loads - reads == 2


@in_virtual_time(down=(IAD, LAX, ORD))
async def test_a_job_that_is_cancelled_while_it_waits_for_a_region_leaves_nothing_there(rig: Rig) -> None:
    job_id = await rig.submit()
    await asyncio.sleep(1)
    (domain,) = rig.shard.targets.domains.values()
    assert (domain.waiting, len(rig.shard.targets.routes.parking)) == (1, 1)
    await rig.shard.jobs.cancel(job_id)
    assert (domain.waiting, len(rig.shard.targets.routes.parking)) == (0, 0)


@in_virtual_time(Pace(20.0, 20))
async def test_a_job_that_is_cancelled_while_it_waits_for_a_token_leaves_nothing_there(rig: Rig) -> None:
    rig.answer = lambda call: Reply(status=500 if call.url.endswith("broken") else 200)
    policy = RetryPolicy(max_retries=20, retry_codes=frozenset({500}))
    jobs = []
    for _ in range(100):
        jobs.append(await rig.submit(url=f"{URL}broken", retry_policy=policy))
        await rig.submit(customer="cust_well")
    budgets = rig.shard.targets.routes.retry_budgets
    await asyncio.sleep(12)
    assert len(budgets) > 10
    for job_id in jobs:
        await rig.shard.jobs.cancel(job_id)
    (domain,) = rig.shard.targets.domains.values()
    assert (domain.waiting, len(budgets)) == (0, 0)


FIRST, OTHER = Ticket(1, JobId("first")), Ticket(2, JobId("other"))


def turns(queue: TargetQueue) -> list[str]:
    """Let out whoever may go, and name them."""
    taken: list[str] = []
    while (ticket := queue.next(0.0)[0]) is not None:
        queue.take(ticket, 0.0)
        taken.append(ticket.job_id)
    return taken


@pytest.mark.parametrize("spare", [False, True])
def test_a_leg_that_comes_back_has_its_ticket_again(spare: bool) -> None:
    queue = TargetQueue(Binding(), one_each)
    line_up = queue.push_spare if spare else queue.push
    for ticket in (FIRST, OTHER):
        line_up(ticket)
    for _ in range(3):
        queue.withdraw(FIRST, spare=spare)
        line_up(FIRST)
    assert queue.waiting == (0 if spare else 2)
    assert turns(queue) == ["first", "other"]


@pytest.mark.parametrize("spare", [False, True])
def test_a_leg_that_does_not_come_back_has_no_turn_and_no_place(spare: bool) -> None:
    queue = TargetQueue(Binding(), one_each)
    for ticket in (FIRST, OTHER):
        (queue.push_spare if spare else queue.push)(ticket)
    queue.withdraw(FIRST, spare=spare)
    assert queue.waiting == (0 if spare else 1)
    assert turns(queue) == ["other"]


def test_a_leg_that_waits_for_a_token_keeps_its_place_while_its_ticket_is_dropped() -> None:
    queue = TargetQueue(Binding(), one_each)
    queue.push(FIRST)
    queue.withdraw(FIRST, spare=False)
    queue.keep_place(FIRST)
    assert (turns(queue), queue.waiting) == ([], 1)
    queue.push(FIRST)
    assert (turns(queue), queue.waiting) == (["first"], 0)


def test_a_leg_that_is_withdrawn_while_it_waits_for_a_token_leaves_nothing() -> None:
    queue = TargetQueue(Binding(), one_each)
    queue.push(OTHER)
    queue.keep_place(FIRST)
    queue.withdraw(FIRST, spare=False, queued=False)
    assert queue.waiting == 1
    queue.push(FIRST)
    assert (turns(queue), queue.waiting) == (["first", "other"], 0)


@in_virtual_time()
async def test_a_job_that_is_cancelled_shows_the_last_response_that_was_seen(rig: Rig) -> None:
    rig.answer = lambda call: Reply(status=503, headers={"retry-after": "60"})
    job_id = await rig.submit()
    await asyncio.sleep(1)
    await rig.shard.jobs.cancel(job_id)
    stored = await rig.show(job_id)
    assert stored.state is JobState.CANCELLED
    assert b'"status_code":503' in (stored.result or b"")


def timers(rig: Rig) -> int:
    """Count what the service still wants to be called for, an hour from now or later."""
    later = rig.loop.time() + 3_000
    return sum(when > later and not handle.cancelled() for when, _, handle, _ in rig.loop._timers)


@in_virtual_time()
async def test_a_scheduled_job_that_is_cancelled_leaves_no_timer(rig: Rig) -> None:
    before = timers(rig)
    for _ in range(20):
        job_id = await rig.submit(retry_at=rig.clock.unix_ms() + 300 * 24 * 3_600_000)
        await rig.shard.jobs.cancel(job_id)
    assert timers(rig) == before


@in_virtual_time()
async def test_a_job_that_is_cancelled_in_its_backoff_leaves_no_timer(rig: Rig) -> None:
    before = timers(rig)
    rig.answer = lambda call: Reply(status=429, headers={"retry-after": "3600"})
    there = JobSpec(url="https://fallback.example.com/", regions=(IAD,), metadata={})
    late = Trigger(kind=TriggerKind.ON_TIMEOUT, timeout_ms=7_200_000)
    jobs = [
        await rig.submit(url=f"https://{number}.example.com/", fallback=Fallback(late, there))
        for number in range(20)
    ]
    await asyncio.sleep(1)
    assert timers(rig) >= before + 40
    for job_id in jobs:
        await rig.shard.jobs.cancel(job_id)
    # Each target that told its pace still looks at its own clock.
    assert timers(rig) <= before + 20


@in_virtual_time(Pace(100.0, 100))
async def test_a_job_that_leaves_for_its_fallback_as_it_is_queued_again_keeps_no_place(rig: Rig) -> None:
    there = JobSpec(url="https://fallback.example.com/", regions=(IAD,), metadata={})
    fallback = Fallback(Trigger(kind=TriggerKind.ANY), there)
    refused = Reply(status=429, headers={"retry-after": "2"})
    rig.answer = lambda call: refused if rig.loop.time() < first_s else Reply()
    first_s = rig.loop.time() + 1.0
    repeating = [await rig.submit(fallback=fallback) for _ in range(5)]
    await asyncio.sleep(1.0)
    peers = [rig.shard.peers.peer(region, named=True) for region in (IAD, LAX, ORD)]
    for peer in peers:
        peer.take(BYTES_CREDIT)
    waiting = [await rig.submit() for _ in range(2)]
    await asyncio.sleep(8.0)
    targets, domain = rig.shard.targets, rig.shard.targets.limiter(target_domain(URL))
    assert (len(targets.routes.parking), domain.waiting) == (7, 7)
    for number in range(60):
        for region in (IAD, LAX, ORD):
            unreachable, job = Cause(None, Fault.CONNECT), JobId(f"another {number}")
            targets.routes.target_health.ended(
                domain.name, region, job, unreachable, sent_at=rig.loop.time(), took_s=None
            )
    for peer in peers:
        peer.give_back(BYTES_CREDIT)
    targets.routes.credit_back()
    for job_id in (*repeating, *waiting):
        await rig.ended(job_id, 600.0)
    assert domain.waiting == 0


def held(queue: TargetQueue) -> int:
    """Count all that a queue has of tickets and of whose they are, alive or not."""
    rotation = queue._tickets._first
    if rotation is None:
        return len(queue._gone or ())
    heads = sum(len(turn._heads) for turn in rotation._turns.values())
    return len(queue._gone or ()) + rotation.count + heads + len(rotation._lanes) + len(rotation._turns)


def a_ticket(number: int, accounts: int, *, urgent: bool = False) -> Ticket:
    key = -number if urgent else number
    return Ticket(
        key, JobId(f"{number}"), customer=CustomerId("acme"), account=AccountId(f"{number % accounts}")
    )


@pytest.mark.parametrize("by_account", [False, True])
@pytest.mark.parametrize("accounts", [1, 100, 100_000])
@pytest.mark.parametrize("urgent", [False, True])
def test_who_cancels_what_waits_holds_no_more_than_waits(
    by_account: bool, accounts: int, urgent: bool
) -> None:
    queue, random, waiting = TargetQueue(Binding(), one_each), Random(7), 200
    queue._tickets.regroup(by_account=by_account)
    tickets: list[Ticket] = []
    for number in range(5_000):
        tickets.append(a_ticket(number, accounts, urgent=urgent))
        queue.push(tickets[-1])
        if number >= waiting:
            queue.withdraw(tickets.pop(random.randrange(waiting + 1)), spare=False)
    assert queue.waiting == waiting
    assert held(queue) <= 8 * waiting
    assert sorted(turns(queue)) == sorted(ticket.job_id for ticket in tickets)


def test_who_cancels_what_waits_behind_a_gate_leaves_nothing_there() -> None:
    headers = {"x-ezthrottle-rps": 1, "x-ezthrottle-max-concurrent": 10}
    outlet = Outlet(SlidingWindow(1, headers), pace=Pace(10.0, 10))
    # After a minute what one customer alone was told binds that customer, and no more the domain.
    outlet.put(60, account="x")
    outlet.run(80)
    outlet.put(1, account="z")
    waiting = [ticket for account in ("x", "y", "w") for ticket in outlet.put(3, account=account)]
    outlet.run(0.1)
    gates = outlet.limiter._queue._gates
    assert gates is not None
    assert sum(map(len, gates._gates.values())) > 0
    for ticket in waiting:
        outlet.limiter.withdraw(ticket)
    assert sum(map(len, gates._gates.values())) == 0
    assert held(outlet.limiter._queue) == 0
