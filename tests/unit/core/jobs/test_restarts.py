"""What a restart finds on disk, in the real core."""

import asyncio

import pytest

from orchestrator.core.jobs.job_recovery import CRASHES_MOST
from orchestrator.core.targets.domain_limiter import DomainLimiter
from orchestrator.domain.exchange import Fault
from orchestrator.domain.health.routing import STRICT_DOWN_S
from orchestrator.domain.ids import JobId, TargetDomain
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.domain.jobs.policies import Guarantee, RegionPolicy
from orchestrator.domain.pace.pacing import Pace, PaceCaps
from orchestrator.domain.queueing.fairness import one_each
from orchestrator.domain.queueing.ticket import Ticket
from orchestrator.domain.steering.steering import Steering
from orchestrator.ports.store import Duplicate
from tests.support.rig import IAD, LAX, ORD, Reply, Rig, in_virtual_time

STRICT = RegionPolicy.STRICT


@in_virtual_time()
async def test_a_region_that_was_taken_out_of_service_counts_as_down_from_the_start(rig: Rig) -> None:
    rig.alive.discard(ORD)
    await asyncio.sleep(4)
    gone = await rig.submit(regions=(ORD,), region_policy=STRICT)
    other = await rig.submit(regions=(IAD,))
    await rig.restart(regions=(IAD, LAX))
    begun = rig.loop.time()
    assert (await rig.ended(other)).state is JobState.SUCCESS
    stored = await rig.ended(gone)
    assert (stored.state, rig.seen(gone)) == (JobState.FAILED, [])
    assert b'"regions_down"' in (stored.result or b"")
    assert STRICT_DOWN_S <= rig.loop.time() - begun <= STRICT_DOWN_S + 5


@in_virtual_time()
async def test_what_was_under_way_in_a_region_that_is_no_more_is_given_up_too(rig: Rig) -> None:
    rig.answer = lambda call: Reply(after_s=50.0)
    gone = await rig.submit(regions=(ORD,), region_policy=STRICT)
    await asyncio.sleep(1)
    rig.answer = lambda call: Reply()
    await rig.restart(regions=(IAD, LAX))
    assert (await rig.ended(gone)).state is JobState.FAILED
    assert (await rig.run(regions=(IAD,))).state is JobState.SUCCESS


@in_virtual_time(Pace(2.0, 2))
async def test_a_permit_whose_launch_breaks_comes_back(rig: Rig) -> None:
    def breaks(_domain: DomainLimiter, _ticket: Ticket, _permit: int) -> None:
        raise LookupError

    limiter = DomainLimiter(
        TargetDomain("203.0.113.7:80"),
        rig.clock,
        Steering(Pace(2.0, 2), PaceCaps()),
        weight=one_each,
        not_before=0.0,
        launch=breaks,
        opens_at=lambda _domain, now: now,
    )
    with pytest.raises(LookupError):
        limiter.enqueue(Ticket(0, JobId("job_1")))
    assert (limiter.in_flight, limiter.waiting, limiter.view().next_start_s(None)) == (0, 0, 0.0)


@in_virtual_time()
async def test_a_job_that_takes_long_lives_through_any_number_of_orderly_stops(rig: Rig) -> None:
    rig.answer = lambda call: Reply(after_s=50.0)
    job_id = await rig.submit(timeout_ms=60_000)
    for _ in range(2 * CRASHES_MOST):
        await asyncio.sleep(10)
        await rig.restart(drain_s=1.0)
    stored = await rig.ended(job_id)
    assert stored.state is JobState.SUCCESS
    assert len(rig.seen(job_id)) == 2 * CRASHES_MOST + 1


@in_virtual_time()
async def test_a_job_that_is_there_whenever_the_service_dies_is_given_up(rig: Rig) -> None:
    rig.answer = lambda call: Reply(after_s=50.0)
    job_id = await rig.submit(timeout_ms=60_000)
    for _ in range(CRASHES_MOST):
        await asyncio.sleep(10)
        await rig.restart()
    stored = await rig.ended(job_id)
    assert b'"poison"' in (stored.result or b"")


@in_virtual_time()
async def test_a_request_that_may_be_sent_once_goes_after_a_crash_that_came_before_its_mark(rig: Rig) -> None:
    rig.store.jobs.marking_takes_s = 5.0
    job_id = await rig.submit(method="POST", guarantee=Guarantee.AT_MOST_ONCE)
    await asyncio.sleep(1.0)
    assert (await rig.show(job_id)).state is JobState.RUNNING, "it is on disk that it has its permit"
    rig.store.jobs.marking_takes_s = 0.0
    await rig.restart()
    stored = await rig.ended(job_id)
    assert (stored.state, len(rig.seen(job_id))) == (JobState.SUCCESS, 1)
    assert stored.course is not None
    assert [(attempt.written, attempt.fault) for attempt in stored.course.attempts] == [
        (False, Fault.LOST),
        (True, None),
    ]


@in_virtual_time()
async def test_a_request_that_may_be_sent_once_is_not_repeated_where_only_its_mark_is_on_disk(
    rig: Rig,
) -> None:
    rig.answer = lambda call: Reply(after_s=50.0)
    rig.store.jobs.loses_notes = True
    job_id = await rig.submit(timeout_ms=60_000, method="POST", guarantee=Guarantee.AT_MOST_ONCE)
    await asyncio.sleep(10)
    assert (await rig.show(job_id)).state is JobState.QUEUED
    await rig.restart()
    stored = await rig.ended(job_id)
    assert b'"unknown_outcome"' in (stored.result or b"")
    assert len(rig.seen(job_id)) == 1
    assert isinstance(await rig.store.jobs.submit(stored.job), Duplicate), "its key is not free"
    assert await rig.store.jobs.marks() == {}


@in_virtual_time()
async def test_a_request_that_may_be_sent_once_is_not_repeated_after_an_orderly_stop(rig: Rig) -> None:
    rig.answer = lambda call: Reply(after_s=50.0)
    job_id = await rig.submit(timeout_ms=60_000, guarantee=Guarantee.AT_MOST_ONCE)
    await asyncio.sleep(10)
    await rig.restart(drain_s=1.0)
    stored = await rig.ended(job_id)
    assert b'"unknown_outcome"' in (stored.result or b"")
    assert len(rig.seen(job_id)) == 1
