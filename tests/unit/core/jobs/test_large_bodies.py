"""Large bodies: on disk while nothing of their jobs is sent, and there again when something is."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from orchestrator.core.jobs import job_cache
from orchestrator.domain.byte_budget import LARGE_BYTES
from orchestrator.domain.execution.settling import FailureCode
from orchestrator.domain.ids import JobId
from orchestrator.domain.jobs.job import Fallback, JobSpec, RetryPolicy, Trigger, Webhook, held_bytes
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.domain.jobs.policies import ExecutionMode
from orchestrator.domain.pace.pacing import Pace
from orchestrator.ports.store import StoredJob
from tests.support.rig import IAD, LAX, ORD, URL, Reply, Rig, in_virtual_time

LARGE = "x" * (2 * LARGE_BYTES)
REPEATED = RetryPolicy(max_retries=1, retry_codes=frozenset({404}), reroute_codes=frozenset())
WAITS_S = 0.4
"""Until an attempt is over, and its repeat is still to come."""
ONE_AT_A_TIME = Pace(1_000.0, 1)


def held_by_jobs(rig: Rig) -> int:
    return sum(held_bytes(supervisor.job.spec) for supervisor in rig.shard.jobs.table)


@contextmanager
def nothing_held_beside_jobs() -> Iterator[None]:
    with patch.object(job_cache, "FRESH_BYTES", 0):
        yield


def refuses_once(rig: Rig, status: int = 404) -> None:
    """Let the target refuse what every job asks for first."""
    rig.answer = lambda call: Reply(status=200 if rig.seen(call.job_id) else status)


def bodies_sent(rig: Rig) -> list[bytes | None]:
    return [call.body for call in rig.calls]


def error_of(stored: StoredJob) -> object:
    return json.loads(stored.result or b"{}")["error"]["code"]


async def one_that_waits(rig: Rig, **fields: object) -> JobId:
    """Let a job be refused, and wait for its repeat."""
    job_id = await rig.submit(**({"retry_policy": REPEATED, "body": LARGE} | fields))
    await asyncio.sleep(WAITS_S)
    assert rig.seen(job_id) == [IAD]
    return job_id


@in_virtual_time()
async def test_jobs_that_wait_for_a_retry_hold_no_large_body(rig: Rig) -> None:
    rig.answer = lambda _: Reply(status=404)
    for _ in range(100):
        await rig.submit(retry_policy=REPEATED, body=LARGE)
    await asyncio.sleep(WAITS_S)

    assert len(rig.shard.jobs.table) == 100
    assert held_by_jobs(rig) < 100 * 2_000


@in_virtual_time()
async def test_nor_do_those_whose_attempts_are_under_way(rig: Rig) -> None:
    rig.answer = lambda _: Reply(after_s=10.0)
    fallback = Fallback(Trigger(), JobSpec(url=URL, regions=(IAD,), metadata={}, body=LARGE))
    for _ in range(100):
        await rig.submit(fallback=fallback)
    await asyncio.sleep(WAITS_S)

    assert len(rig.shard.jobs.table) == 100
    assert held_by_jobs(rig) < 100 * 4_000


@in_virtual_time()
async def test_nor_do_those_that_a_restart_found(rig: Rig) -> None:
    rig.answer = lambda _: Reply(status=404)
    await one_that_waits(rig)
    await rig.restart()

    assert len(rig.shard.jobs.table) == 1
    assert held_by_jobs(rig) < LARGE_BYTES


@in_virtual_time()
async def test_nor_do_those_that_left_for_a_fallback_whose_time_has_not_come(rig: Rig) -> None:
    fallback = Fallback(Trigger(), JobSpec(url="https://b.test/", regions=(ORD,), metadata={}, body=LARGE))
    rig.answer = lambda call: Reply(status=500 if "b.test" not in call.url else 503)
    job_id = await rig.submit(fallback=fallback, retry_policy=RetryPolicy(max_retries=0, max_reroutes=0))
    await asyncio.sleep(WAITS_S)

    assert rig.seen(job_id) == [IAD, ORD]
    assert held_by_jobs(rig) < LARGE_BYTES


@in_virtual_time()
async def test_a_repeat_sends_the_body_that_was_read_again(rig: Rig) -> None:
    refuses_once(rig)
    with nothing_held_beside_jobs():
        stored = await rig.ended(await one_that_waits(rig))

    assert stored.state is JobState.SUCCESS
    assert bodies_sent(rig) == [LARGE.encode()] * 2


@in_virtual_time()
async def test_where_there_is_room_it_is_not_read_again(rig: Rig) -> None:
    refuses_once(rig)
    job_id = await one_that_waits(rig)
    await asyncio.sleep(10.0)

    assert rig.store.jobs.loads == 0
    assert bodies_sent(rig) == [LARGE.encode()] * 2
    assert (await rig.ended(job_id)).state is JobState.SUCCESS
    assert rig.shard.jobs.table._fresh.take(job_id) is None, "nothing is held of a job that has ended"


@in_virtual_time()
async def test_a_small_body_stays_with_its_job(rig: Rig) -> None:
    refuses_once(rig)
    with nothing_held_beside_jobs():
        job_id = await rig.submit(retry_policy=REPEATED, body="small")
        await asyncio.sleep(WAITS_S)
        reads = rig.store.jobs.loads
        await asyncio.sleep(10.0)

    assert rig.store.jobs.loads == reads
    assert bodies_sent(rig) == [b"small"] * 2
    assert (await rig.ended(job_id)).state is JobState.SUCCESS


@in_virtual_time()
async def test_every_leg_of_a_fan_out_has_it(rig: Rig) -> None:
    with nothing_held_beside_jobs():
        await rig.run(regions=(IAD, LAX, ORD), execution_mode=ExecutionMode.FANOUT, body=LARGE)

    assert bodies_sent(rig) == [LARGE.encode()] * 3


@in_virtual_time()
async def test_a_child_is_born_with_its_body(rig: Rig) -> None:
    child = JobSpec(url=f"{URL}child", regions=(IAD,), metadata={}, body=LARGE)
    with nothing_held_beside_jobs():
        stored = await rig.run(on_success=child)
        assert stored.course is not None
        await rig.ended(stored.course.children[0].job_id)

    assert bodies_sent(rig) == [None, LARGE.encode()]


@in_virtual_time(ONE_AT_A_TIME)
async def test_a_job_that_is_cancelled_while_its_body_is_read_leaves_nothing_behind(rig: Rig) -> None:
    refuses_once(rig)
    with nothing_held_beside_jobs():
        job_id = await one_that_waits(rig)
        rig.store.jobs.load_takes_s = 20.0
        await asyncio.sleep(10.0)
        assert await rig.shard.jobs.cancel(job_id)
        await asyncio.sleep(20.0)
        rig.store.jobs.load_takes_s = 0.0

    assert rig.seen(job_id) == [IAD]
    assert len(rig.shard.jobs.table) == 0
    rig.answer = lambda _: Reply()
    assert (await rig.run(body="the permit is back")).state is JobState.SUCCESS


@in_virtual_time(ONE_AT_A_TIME)
async def test_a_region_that_goes_down_while_a_body_is_read_is_not_sent_it(rig: Rig) -> None:
    refuses_once(rig)
    with nothing_held_beside_jobs():
        job_id = await one_that_waits(rig)
        rig.store.jobs.load_takes_s = 20.0
        await asyncio.sleep(5.0)
        rig.alive.discard(IAD)
        await asyncio.sleep(15.0)
        rig.store.jobs.load_takes_s = 0.0
        stored = await rig.ended(job_id)

    assert stored.state is JobState.SUCCESS
    assert IAD not in rig.seen(job_id)[1:]
    assert bodies_sent(rig) == [LARGE.encode()] * 2


@in_virtual_time(ONE_AT_A_TIME)
async def test_a_job_whose_body_is_damaged_by_now_ends_so_and_tells(rig: Rig) -> None:
    refuses_once(rig)
    with nothing_held_beside_jobs():
        job_id = await one_that_waits(rig, webhooks=(Webhook(url="https://hooks.test/"),))
        rig.store.jobs.damaged = True
        await asyncio.sleep(10.0)
        rig.store.jobs.damaged = False
        stored = await rig.ended(job_id)

    assert stored.state is JobState.FAILED
    assert error_of(stored) == FailureCode.DAMAGED
    assert [entry.index for entry in stored.deliveries] == [0]
    assert rig.seen(job_id) == [IAD]
    rig.answer = lambda _: Reply()
    assert (await rig.run(body="the permit is back")).state is JobState.SUCCESS


@in_virtual_time()
async def test_a_job_whose_child_is_damaged_has_not_done_what_it_was_to_do(rig: Rig) -> None:
    child = JobSpec(url=f"{URL}child", regions=(IAD,), metadata={}, body=LARGE)
    with nothing_held_beside_jobs():
        job_id = await rig.submit(on_success=child, metadata={"order": 17})
        await asyncio.sleep(0.005)
        rig.store.jobs.damaged = True
        await asyncio.sleep(1.0)
        rig.store.jobs.damaged = False
        stored = await rig.ended(job_id)

    assert stored.state is JobState.FAILED
    assert error_of(stored) == FailureCode.DAMAGED
    assert json.loads(stored.result or b"{}")["metadata"] == {"order": 17}
    assert stored.course is not None
    assert stored.course.children == ()


@in_virtual_time()
async def test_bodies_are_read_one_after_the_other(rig: Rig) -> None:
    rig.answer = lambda call: Reply(status=200 if rig.seen(call.job_id) else 404)
    with nothing_held_beside_jobs():
        for customer in ("cust_acme", "cust_other"):
            for _ in range(10):
                await rig.submit(customer=customer, retry_policy=REPEATED, body=LARGE)
        await asyncio.sleep(WAITS_S)
        reads = rig.store.jobs.loads
        rig.store.jobs.load_takes_s = 2.0
        await asyncio.sleep(7.0)

    assert 1 <= rig.store.jobs.loads - reads <= 4
