"""Jobs that end while they wait: what they leave in the queue holds up nobody."""

import asyncio

import pytest

from orchestrator.domain.ids import target_domain
from orchestrator.domain.jobs.job import Fallback, JobSpec, Trigger, TriggerKind
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.domain.jobs.policies import ExecutionMode
from orchestrator.domain.pace.pacing import Pace
from tests.support.outlet import Outlet, SlidingWindow
from tests.support.rig import IAD, LAX, ORD, Reply, Rig, in_virtual_time


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
